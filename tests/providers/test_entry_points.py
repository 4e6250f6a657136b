"""Providers and protocols that other packages bring, as entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mellite
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConfigurationError, UnknownProvider
from mellite.providers.catalog import find, find_protocol, knows, names
from mellite.request import Request

PACKAGE = """
from mellite.protocols.openai_chat import protocol
from mellite.providers.compatible import Host, chat_route

ROW = Host("acme", "https://api.acme.example/v1", keys=("ACME_API_KEY",))
SPOKEN = protocol()
NUMBER = 5

def made(*, api_key=None, base_url=None, model=None):
    return chat_route(Host("acme-fast", "https://fast.acme.example/v1"), api_key=api_key, model=model)

def wrong(**given):
    return given

def no_route(**given):
    raise AssertionError
"""

Bring = Callable[..., None]


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bring]:
    """Installs a package with these entry points, as far as Python can tell."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(group: str, **points: str) -> None:
        info = tmp_path / "mellite_acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mellite-acme\nVersion: 1.0\n")
        rows = [f"{name} = {place}" for name, place in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *rows, ""]))
        (tmp_path / "mellite_acme.py").write_text(PACKAGE)

    yield install
    sys.modules.pop("mellite_acme", None)


@pytest.mark.anyio
async def test_a_row_of_another_package(bring: Bring) -> None:
    """A Host as an entry point is a provider like those of the table: found, listed and asked by its name."""
    assert not knows("acme")
    bring("mellite.providers", acme="mellite_acme:ROW")
    assert knows("acme")
    assert "acme" in names()
    answer = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
    backend = mellite.backend("acme:rocket-1", api_key="k", transport=ScriptedTransport([answer]))
    thunk = backend.generate("hi")
    assert await thunk == "Hello!"
    assert (thunk.generation.provider, thunk.generation.model) == ("acme", "rocket-1")
    assert find("acme/rocket-1", api_key="k").prepare(Request.of("hi")).url.startswith("https://api.acme.example/v1/")


def test_a_function_of_another_package(bring: Bring) -> None:
    """A function as an entry point is given key, base URL and model, and makes the route."""
    bring("mellite.providers", Fast="mellite_acme:made")
    assert "fast" in names()
    route = find("FAST:rocket-1", api_key="k")
    assert (route.provider, route.model) == ("acme-fast", "rocket-1")
    with pytest.raises(UnknownProvider, match="'fast'"):
        find("fasd:rocket-1")


def test_nobody_takes_a_name_that_is_taken(bring: Bring) -> None:
    """A package cannot put itself in the place of a provider of mellite's, and so get its key."""
    bring("mellite.providers", openai="mellite_acme:no_route", groq="mellite_acme:no_route", together="x:y")
    assert find("openai:m", api_key="k").endpoint.base_url == "https://api.openai.com/v1"
    assert find("groq:m", api_key="k").provider == "groq"
    assert names().count("groq") == 1


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("mellite_acme:NUMBER", "brings as provider 'acme' an int"),
        ("mellite_acme:wrong", "made a dict where a Route was wanted"),
        ("mellite_acme:missing", "of mellite-acme cannot be loaded"),
        ("mellite_nowhere:ROW", "of mellite-acme cannot be loaded"),
    ],
)
def test_a_broken_package_is_told(bring: Bring, place: str, says: str) -> None:
    """An entry point that leads nowhere, or to something else, is a ConfigurationError that names the package."""
    bring("mellite.providers", acme=place)
    with pytest.raises(ConfigurationError, match=says):
        find("acme:m", api_key="k")


def test_a_protocol_of_another_package(bring: Bring) -> None:
    """A protocol is found by its id; anything else under that name, and no such name, is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="there are: none"):
        find_protocol("acme-chat")
    bring("mellite.protocols", **{"acme-chat": "mellite_acme:SPOKEN", "acme-number": "mellite_acme:NUMBER"})
    assert find_protocol("acme-chat").id == "openai-chat"
    with pytest.raises(ConfigurationError, match="not a Protocol"):
        find_protocol("acme-number")
    with pytest.raises(ConfigurationError, match="acme-chat, acme-number"):
        find_protocol("other")
