"""`mellite providers`: who can be asked, with which key, where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .examples import examples
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..providers.overview import Overview
    from ..values.provider_json import JsonObject

__all__ = ["key_shown", "providers"]


@click.command(epilog=examples("mellite providers", "mellite providers --json"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def providers(*, as_json: bool) -> None:
    """List the providers, with their keys, servers and variables.

    Shows whether there is a key, the base URL, and the environment variables that each provider reads. Keys are never
    shown.
    """
    from ..providers.overview import overview

    found = overview()
    if as_json:
        for each in found:
            print_json(_as_json(each))
        return
    rows = [
        [each.name, key_shown(each), each.base_url or each.problem or "", ", ".join(each.variables)] for each in found
    ]
    print_table("providers", ["name", "key", "base URL", "variables"], rows)


def key_shown(each: Overview) -> str:
    """Return whether there is a key, and where, in words."""
    return each.key if each.variable is None else f"{each.key} ({each.variable})"


def _as_json(each: Overview) -> JsonObject:
    return {
        "name": each.name,
        "variables": list(each.variables),
        "base_url": each.base_url,
        "key": each.key,
        "problem": each.problem,
    }
