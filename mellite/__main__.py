"""The `mellite` command: starts the command line, or says which package it needs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the `cli` extra only ``mellite demo`` works."""
    try:
        from . import cli_checking, cli_prices, cli_sampling  # noqa: F401 - each adds its commands to the app
        from .cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("click", "rich"):
            raise
        if sys.argv[1:] == ["demo"]:
            from .demo import run

            sys.exit(run())
        print(f"mellite: the command line needs {error.name}: pip install 'mellite[cli]'", file=sys.stderr)
        sys.exit(2)
    app(prog_name="mellite")


if __name__ == "__main__":
    main()
