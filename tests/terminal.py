"""Programs run on a terminal of their own, as a person would see them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.drawn)


def on_terminal(command: Sequence[str], *, only_errors: bool = False, **environment: str) -> Seen:
    """Run a program with a terminal of 90 columns as its standard output and error, or as its standard error only."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if only_errors else terminal,
        stderr=terminal,
        text=True,
    ) as child:
        os.close(terminal)
        drawn = read_all(control)
        os.close(control)
        printed = child.stdout.read() if child.stdout is not None else ""
    return Seen(child.returncode, printed, drawn.decode())


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
