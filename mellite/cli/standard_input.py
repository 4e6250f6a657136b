"""Read prompts from standard input: where an argument is "-", and what is piped in beside one."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import Final

import click

from ..values.errors import InvalidRequest

__all__ = ["given_bytes", "given_text", "piped_text"]

#: After how many seconds without anything on a pipe it is said what is waited for.
_PATIENCE: Final = 2.0


def given_text() -> str:
    """Return all of standard input, with line ends as they are in Python.

    Raises:
        InvalidRequest: if it is closed, or no text.
    """
    encoding = getattr(sys.stdin, "encoding", None) or "utf-8"
    try:
        return io.TextIOWrapper(io.BytesIO(given_bytes()), encoding=encoding, errors="strict").read()
    except UnicodeDecodeError as error:
        msg = f"standard input is not {error.encoding}: {error.reason} at byte {error.start}"
        raise InvalidRequest(msg) from error


def given_bytes() -> bytes:
    """Return all of standard input as it is.

    Raises:
        InvalidRequest: if it is closed.
    """
    if sys.stdin is None:
        msg = "standard input is closed; give the text as an argument"
        raise InvalidRequest(msg)
    return sys.stdin.buffer.read()


def piped_text() -> str:
    """Return what is piped in, without being asked for: empty on a terminal, or if there is nothing.

    A file and a pipe are read to their end, and after two seconds of silence it is said what is waited for. A socket,
    which stands open under programs that start others, is read if something is there.

    Raises:
        InvalidRequest: if it is not text.
    """
    if sys.stdin is None or sys.stdin.isatty() or not _is_waited_for():
        return ""
    return given_text()


def _is_waited_for() -> bool:
    """Return whether to read standard input."""
    try:
        number = sys.stdin.fileno()
        kind = os.fstat(number).st_mode
    except (OSError, ValueError):  # a stand-in for it, as of a test, which has no file
        return True
    if stat.S_ISSOCK(kind):
        return _is_ready(number, 0)
    if stat.S_ISFIFO(kind) and os.name == "posix" and not _is_ready(number, _PATIENCE):
        click.echo("mellite: waiting for standard input to end; where there is none, add </dev/null", err=True)
    return True


def _is_ready(number: int, seconds: float) -> bool:
    """Return whether something, or the end, is there after so many seconds at the latest."""
    return bool(select.select([number], [], [], seconds)[0])
