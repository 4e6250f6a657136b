"""The table of providers: protocol, key, server, and which options are refused, asked of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from mellite import Request
from mellite.backends import LiveBackend
from mellite.errors import UnsupportedOption
from mellite.providers.catalog import find, names
from mellite.providers.overview import described
from mellite.wire.route import Route
from tests.site.cells import bare_environment, code
from tests.site.option_table import VALUES, look_up


def rows() -> Iterator[str]:
    """Yield a row for each provider: protocol, server, and where its key comes from."""
    yield from ("| provider | variables, those of the key first | protocol | server |", "|---" * 4 + "|")
    with bare_environment():
        for name in names():
            seen = described(name)
            server = f"`{seen.base_url}`" if seen.base_url else "`base_url=`"
            yield f"| `{name}` | {code(seen.variables)} | `{protocol(name)}` | {server} |"


def refusals() -> Iterator[str]:
    """Yield a row for each set of options that providers refuse."""
    yield from ("| refused | by |", "|---|---|")
    by: dict[tuple[str, ...], list[str]] = {}
    with bare_environment():
        for name in names():
            by.setdefault(tuple(refused(name)), []).append(name)
    for options in sorted(by, key=lambda options: (len(options), options)):
        yield f"| {code(options)} | {code(by[options])} |"


def protocol(name: str) -> str:
    """Return the id of the protocol that a provider speaks."""
    return str(route(name).protocol.id)


def route(name: str) -> Route:
    """Return the route to a provider, without what only an account of one's own could say."""
    return find(f"{name}:a-model", api_key="made-up", base_url="https://models.example.com/v1")


def refused(name: str) -> list[str]:
    """Return the options that a provider has no place for, whatever the model."""
    backend = LiveBackend(route(name))
    found = []
    for option, value in VALUES.items():
        try:
            backend.prepare(Request.of("Hello.", tools=[look_up], **{option: value}))
        except UnsupportedOption:
            found.append(option)
    return found
