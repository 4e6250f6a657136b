"""`mellite doctor`: whether mellite works here, which keys and extras there are, and which servers can be reached."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click

from ..values.errors import MelliteError
from ..values.told_errors import error_line
from .examples import examples
from .output import print_json, print_table
from .providers import key_shown

if TYPE_CHECKING:
    from ..providers.overview import Overview

__all__ = ["doctor"]

#: How long a server may take to answer, in seconds.
_PATIENCE: Final = 10.0

_OK: Final = "ok"

#: A requirement of mellite: the package, and the extra that needs it.
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+).*?extra == ['\"]([a-z0-9-]+)['\"]")
_OLDER_PYTHON: Final = re.compile(r"python_version < ['\"]3\.(\d+)['\"]")

#: What only those need who work on mellite.
_NOT_FOR_USERS: Final = frozenset({"test"})


@click.command(epilog=examples("mellite doctor", "mellite doctor --online --json"))
@click.option(
    "--online", is_flag=True, help="Ask each server with a key whether it answers; without the key, for free."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(*, online: bool, as_json: bool) -> None:
    """Check that mellite works; show which keys and extras it finds.

    Keys are never shown. Exits with 1 if something does not work, or with --online if a server cannot be reached.
    """
    from ..providers.overview import overview

    checked = _selftest()
    keys = [each for each in overview() if each.variables]
    extras = _extras()
    reached = _reached([each for each in keys if each.key == "present"]) if online else {}
    failed = {name: said for name, said in checked.items() if said != _OK}
    if as_json:
        print_json(
            {
                "version": metadata.version("mellite"),
                "selftest": "failed" if failed else _OK,
                "keys": {each.name: {"key": each.key, "variable": each.variable} for each in keys},
                "extras": {name: {"installed": _is_whole(each), "packages": each} for name, each in extras.items()},
                "checks": checked,
                **({"online": reached} if online else {}),
            }
        )
    else:
        _print(checked, keys, extras, reached)
    if failed or not all(said["reached"] for said in reached.values()):
        sys.exit(1)


# What works here


def _selftest() -> dict[str, str]:
    """Return, for each check, "ok" or what went wrong."""
    checks: dict[str, Callable[[], object]] = {
        "asyncio": partial(_generates, "asyncio"),
        "replay": _replays,
        "prices": _prices,
    }
    if find_spec("trio") is not None:
        checks["trio"] = partial(_generates, "trio")
    return {name: _outcome(check) for name, check in checks.items()}


def _outcome(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:
        return error_line(error)
    return _OK


def _generates(loop: str) -> None:
    """Stream an answer on a loop."""
    import anyio

    from ..backends.fake import Scripted

    async def streamed() -> str:
        return "".join([delta async for delta in Scripted([["One, ", "two."]]).generate("Count.")])

    _expect("One, two.", anyio.run(streamed, backend=loop))


def _replays() -> None:
    """Replay the recorded answer that ships with the package."""
    from ..backends.by_name import backend
    from .demo import CASSETTES

    thunk = backend(f"cassette:{CASSETTES / 'chat.json'}").generate("Name three rivers.", system="Be brief.")
    _expect("The Amazon, the Nile and the Danube.", thunk.result())


def _prices() -> None:
    """Read the price list in use, all of it."""
    from ..values.prices.pricelist import prices

    prices().check()


def _expect(wanted: object, got: object) -> None:
    if wanted != got:
        msg = f"expected {wanted!r}, got {got!r}"
        raise ValueError(msg)


def _extras() -> dict[str, dict[str, str | None]]:
    """Return, for each extra, its packages with the version that is installed; None for one that is missing."""
    extras: dict[str, dict[str, str | None]] = {}
    for line in metadata.requires("mellite") or ():
        found = _REQUIREMENT.match(line)
        if found is None or found[2] in _NOT_FOR_USERS:
            continue
        packages = extras.setdefault(found[2], {})
        older = _OLDER_PYTHON.search(line)
        if older is None or sys.version_info < (3, int(older[1])):
            packages[found[1]] = _installed(found[1])
    return dict(sorted(extras.items()))


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# Which servers answer


def _reached(providers: Sequence[Overview]) -> dict[str, dict[str, object]]:
    """Ask the server of each provider, all at once; nothing is sent but the request for its base URL."""
    import anyio

    found: dict[str, dict[str, object]] = {}

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for each in providers:
                group.start_soon(ask, each)

    async def ask(each: Overview) -> None:
        status, error = await _status_of(each)
        found[each.name] = {"reached": status is not None, "status": status, "error": error}

    anyio.run(all_of_them)
    return dict(sorted(found.items()))


async def _status_of(each: Overview) -> tuple[int | None, str | None]:
    """Return the HTTP status with which a server answers, or why there is none."""
    import anyio

    from ..wire.http import HttpRequest
    from ..wire.transports.http1 import Http1Transport

    if each.base_url is None or "{" in each.base_url:
        return None, each.problem or f"{each.base_url}: set {' or '.join(each.variables)}"
    transport = Http1Transport()
    try:
        with anyio.fail_after(_PATIENCE):
            response = await transport.open(HttpRequest("GET", each.base_url), timeout=_PATIENCE)
            await response.aclose()
    except TimeoutError:
        return None, f"no answer within {_PATIENCE:.0f} s"
    except MelliteError as error:
        return None, str(error)
    finally:
        await transport.aclose()
    return response.status, None


# In words


def _print(
    checked: Mapping[str, str],
    keys: Sequence[Overview],
    extras: Mapping[str, Mapping[str, str | None]],
    online: Mapping[str, Mapping[str, object]],
) -> None:
    rows = [("check", name, said) for name, said in checked.items()]
    rows += [("key", each.name, each.problem or key_shown(each)) for each in keys]
    rows += [
        ("extra", name, "installed" if _is_whole(packages) else _advice(name, packages))
        for name, packages in extras.items()
    ]
    rows += [
        ("server", name, f"answers (HTTP {said['status']})" if said["reached"] else str(said["error"]))
        for name, said in online.items()
    ]
    title = f"mellite {metadata.version('mellite')}, Python {sys.version.split()[0]}"
    print_table(title, ["what", "name", "state"], rows)


def _is_whole(packages: Mapping[str, str | None]) -> bool:
    return None not in packages.values()


def _advice(extra: str, packages: Mapping[str, str | None]) -> str:
    missing = [name for name, version in packages.items() if version is None]
    return f"missing {', '.join(missing)}: pip install 'mellite[{extra}]'"
