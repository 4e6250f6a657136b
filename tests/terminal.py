"""Programs run on a terminal of their own, as a person would see them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).parent.parent

COLUMNS = 90


class Seen(NamedTuple):
    """What a program left behind."""

    code: int
    printed: str
    """What it wrote to standard output, if that was a pipe."""
    drawn: str
    """What it wrote to the terminal, with the codes for colours and the cursor."""

    @property
    def plain(self) -> str:
        """What it wrote to the terminal, without the codes."""
        return _plain(self.drawn)

    @property
    def screen(self) -> list[str]:
        """The lines that are left on the terminal in the end, without the empty ones at its end."""
        lines, row, column = [""], 0, 0
        for found in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+", self.drawn):
            number, kind, text = found[1], found[2], found[0]
            if kind == "A":
                row = max(0, row - int(number or 1))
            elif kind == "K":
                lines[row] = ""
            elif kind:
                pass
            elif text == "\r":
                column = 0
            elif text == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            else:
                lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                column += len(text)
        return "\n".join([line.rstrip() for line in lines]).rstrip().split("\n")


def on_terminal(
    command: Sequence[str], *, only_errors: bool = False, when: Sequence[tuple[str, ...]] = (), **environment: str
) -> Seen:
    """Run a program with a terminal of 90 columns as its standard output and error, or as its standard error only.

    Args:
        when: texts; once the terminal has shown all of one tuple, a line is written to the standard input of the
            program, for each tuple in turn.
    """
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=subprocess.PIPE if when else subprocess.DEVNULL,
        stdout=subprocess.PIPE if only_errors else terminal,
        stderr=terminal,
        text=True,
    ) as child:
        os.close(terminal)
        drawn = b""
        for texts in when:
            drawn += _read_until(control, texts, drawn)
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        drawn += read_all(control)
        os.close(control)
        printed = child.stdout.read() if child.stdout is not None else ""
    return Seen(child.returncode, printed, drawn.decode())


class Dialogue:
    """A program on a terminal of its own, at which somebody types.

    Args:
        command: the program and its arguments.
        **environment: variables beside those of this process.
    """

    def __init__(self, command: Sequence[str], cwd: Path = ROOT, **environment: str) -> None:
        self._control, terminal = pty.openpty()
        self._child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "TERM": "dumb", "PYTHONPATH": str(ROOT), **environment},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - for Ctrl-C; no Python runs beside it
        )
        os.close(terminal)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._control)

    def type(self, text: str) -> None:
        r"""Type a text; "\x03" is Ctrl-C, "\x04" Ctrl-D."""
        os.write(self._control, text.encode())

    def read_until(self, wanted: str, seconds: float = 30) -> str:
        """Wait until the terminal shows a text, and return what it showed since the last one, up to its end."""
        ends = time.monotonic() + seconds
        while wanted not in self.seen:
            ready, _, _ = select.select([self._control], [], [], max(ends - time.monotonic(), 0))
            assert ready, f"no {wanted!r} in {self.seen!r}"
            try:
                self.seen += os.read(self._control, 65536).decode().replace("\r", "")
            except OSError:  # the program has ended
                assert wanted in self.seen, f"no {wanted!r} in {self.seen!r}"
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def wait(self) -> int:
        """Wait until the program has ended, and return its code."""
        return self._child.wait(30)


def _read_until(control: int, texts: tuple[str, ...], before: bytes) -> bytes:
    """What is written to the other side of a terminal until all texts have been, now or before."""
    got = b""
    ends = time.monotonic() + 60
    while not all(text in " ".join(_plain((before + got).decode(errors="ignore")).split()) for text in texts):
        ready, _, _ = select.select([control], [], [], max(ends - time.monotonic(), 0))
        if not ready or time.monotonic() > ends:
            msg = f"not all of {texts} in {before + got!r}"
            raise AssertionError(msg)
        try:
            got += os.read(control, 65536)
        except OSError:  # how Linux says that the other side is gone
            break
    return got


def _plain(drawn: str) -> str:
    """What is drawn, without codes for colours and the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", drawn)


def read_all(control: int) -> bytes:
    """Everything that is written to the other side of a terminal until it is closed."""
    got = b""
    while True:
        try:
            piece = os.read(control, 65536)
        except OSError:  # how Linux says that the other side is gone
            return got
        if not piece:
            return got
        got += piece
