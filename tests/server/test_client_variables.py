"""The variables by which clients find a server."""

from __future__ import annotations

import pytest

from mellite.server.client_variables import variables

URL = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NO_PROXY": "example.com"}, None),
        ({"HTTP_PROXY": "http://proxy:1"}, "127.0.0.1"),
        ({"http_proxy": "http://proxy:1", "NO_PROXY": "example.com, .local"}, "example.com,.local,127.0.0.1"),
        ({"ALL_PROXY": "http://proxy:1", "no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1"),
        ({"ALL_PROXY": "http://proxy:1", "no_proxy": "127.0.0.1"}, None),
        ({"ALL_PROXY": "http://proxy:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:1"}, None),
    ],
)
def test_past_a_proxy(environment: dict[str, str], expected: str | None) -> None:
    """Where clients have a proxy for plain http, the server is among those that are asked without."""
    found = variables(URL, environment)
    assert found.get("NO_PROXY") == found.get("no_proxy") == expected


def test_keys_that_are_there() -> None:
    """A key that is set stays, and one that is missing is made up only where nobody looks at it."""
    environment = {"OPENAI_API_KEY": "sk-mine"}
    assert "OPENAI_API_KEY" not in variables(URL, environment, keys=True)
    assert variables(URL, environment, keys=True)["ANTHROPIC_API_KEY"] == "mellite"
    assert "ANTHROPIC_API_KEY" not in variables(URL, environment)
