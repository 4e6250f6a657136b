"""The `mellite` command: starts the command line, or says which package it needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

__all__ = ["command_line", "main"]


def command_line() -> click.Group:
    """Return the command with all its subcommands.

    Raises:
        ModuleNotFoundError: without the `cli` extra.
    """
    from .cli.app import app

    return app


def main() -> None:
    """Run the command line; without the `cli` extra only ``mellite demo`` works.

    Ctrl-C exits with 130, also before the commands are imported.
    """
    _open_closed_streams()
    try:
        command_line()(prog_name="mellite")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # of what click prints itself, such as help
        from .cli.output import failed_to_write

        if not failed_to_write(error):
            raise
        sys.exit(1)
    except ModuleNotFoundError as error:  # click at once, rich only where a table is printed
        if error.name is None or error.name.partition(".")[0] not in ("click", "rich"):
            raise
        if sys.argv[1:] == ["demo"]:
            from .cli.demo import run

            sys.exit(run())
        print(f"mellite: the command line needs {error.name}: pip install 'mellite[cli]'", file=sys.stderr)
        sys.exit(2)


def _open_closed_streams() -> None:
    """Have somewhere to write where a shell has closed standard output or standard error, as ``>&-`` does."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the program runs


if __name__ == "__main__":
    main()
