"""`mellite view`: look at calls, streams and runs in a browser, on this machine, or write them as one HTML file."""

from __future__ import annotations

import errno
import sys
import webbrowser
from typing import Final

import click

from ..values.errors import ConfigurationError
from .examples import examples
from .output import errors_shown, print_json

__all__ = ["view"]

#: How a place where a file cannot be says so.
_NO_PLACE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS)


@click.command(
    epilog=examples("mellite view tests/cassettes", "mellite view calls.db --html calls.html"),
)
@click.argument("source", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; a free one unless given.")
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write a page into this file instead; - is standard output.",
)
@click.option("--no-open", is_flag=True, help="Open no browser; in a pipe none is opened anyway.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def view(source: str | None, port: int, file: str | None, no_open: bool, as_json: bool) -> None:
    """Show the calls in SOURCE in a browser.

    SOURCE is a cassette, a folder of cassettes, the directory of a journal, or a log. Without SOURCE, the log that
    MELLITE_LOG_DB names is shown, or else ./cassettes. Only this machine can reach the page, and its address is secret.
    Ctrl-C ends the command. --html writes one file that needs no server, for a CI artifact or a pull request.
    """
    from ..viewer.sources import named_or_default

    with errors_shown():
        path = named_or_default(source)
        if file is not None:
            _write(path, file, as_json=as_json)
        else:
            _serve(path, port, opens=not no_open and sys.stdout.isatty(), as_json=as_json)


def _serve(path: str, port: int, *, opens: bool, as_json: bool) -> None:
    from ..viewer.running import run

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            click.echo(f"mellite view: {url}")
        sys.stdout.flush()
        if opens:
            webbrowser.open(url)

    run(path, port=port, ready=ready)


def _write(path: str, file: str, *, as_json: bool) -> None:
    from ..viewer.page import html

    text = html(path)
    if file == "-":
        click.echo(text, nl=False)
        return
    try:
        with open(file, "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except OSError as error:
        if error.errno not in _NO_PLACE:  # a full disk
            raise OSError(error.errno, error.strerror, file) from error
        msg = f"cannot write {file!r}: {error.strerror or error}"
        raise ConfigurationError(msg) from error
    if as_json:
        print_json({"file": file})
    else:
        click.echo(f"mellite view: {file}")
