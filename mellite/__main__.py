"""The `mellite` command: starts the command line, or says which package it needs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the `cli` extra only ``mellite demo`` works."""
    try:
        from .cli import app
        from .cli_checking import check
        from .cli_prices import prices
        from .cli_sampling import sample
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("click", "rich"):
            raise
        if sys.argv[1:] == ["demo"]:
            from .demo import run

            sys.exit(run())
        print(f"mellite: the command line needs {error.name}: pip install 'mellite[cli]'", file=sys.stderr)
        sys.exit(2)
    for command in (check, prices, sample):
        app.add_command(command)
    app(prog_name="mellite")


if __name__ == "__main__":
    main()
