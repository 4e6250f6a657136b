"""Run pytest with the plugin in a process of its own, on tests such as a user writes, against a model on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.wire.server import Script

PLUGINS = [part for name in ("mellite.pytest_plugin", "anyio.pytest_plugin") for part in ("-p", name)]
ASYNCIO = ["-p", "pytest_asyncio.plugin"]

Run = Callable[..., pytest.RunResult]


def greeting(script: Script, marks: str = "", test: str = "test_hello", kind: str = "anyio") -> str:
    """A test of somebody's that asks the model through its cassette."""
    return f"""
        import mellite, pytest

        @pytest.mark.{kind}
        {marks}
        async def {test}(cassette):
            backend = mellite.backend(
                "openai-chat:m", base_url="{script.url}/v1", api_key="sk-very-secret-key-0123456789", transport=cassette
            )
            assert await backend.generate("hi") == "Hello, you."
    """


def stored(pytester: pytest.Pytester, path: str = "cassettes/test_it/test_hello.json") -> dict[str, object]:
    """A cassette that a test has recorded."""
    content: dict[str, object] = json.loads((pytester.path / path).read_text())
    return content
