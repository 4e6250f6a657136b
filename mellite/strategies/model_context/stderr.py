"""Keep the last lines that an MCP server writes to stderr, for the error when it ends."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Final, final

from ... import loops
from ...values.telling import MCP_LOG

__all__ = ["LastWords"]

#: How much is kept, in bytes.
_KEPT: Final = 4000
#: How long to wait for the last words of a program that has ended, in seconds: another may hold the pipe open.
_WAITING_TIME: Final = 0.5


@final
class LastWords:
    """A pipe for the stderr of a program, read by a thread until all writers have closed it.

    Each line goes to the logger ``mellite.mcp``, as INFO.

    Args:
        label: the program's name, for the log.
        masked: takes secrets out of a text.
    """

    def __init__(self, label: str, masked: Callable[[str], str]) -> None:
        self._label = label
        self._masked = masked
        self._kept = b""
        self._over = False
        self._waiter: loops.Waiter | None = None
        self._reading, writing = os.pipe()
        self.writing = os.fdopen(writing, "w", encoding="utf-8")
        threading.Thread(target=self._read, name="mellite: stderr of an MCP server", daemon=True).start()

    def _read(self) -> None:
        with open(self._reading, "rb") as pipe:
            for line in iter(lambda: pipe.readline(_KEPT), b""):
                self._kept = (self._kept + line)[-_KEPT:]
                if MCP_LOG.wants(logging.INFO):
                    said = self._masked(_text(line))
                    MCP_LOG.info("mcp.stderr", "%s: %s", self._label, said, server=self._label)
        self._over = True
        if self._waiter is not None:
            self._waiter.wake()

    async def text(self) -> str:
        """Return the last words, without secrets; once the program has ended, all it has written."""
        self._waiter = loops.waiter()
        if not self._over:
            with loops.move_on_after(_WAITING_TIME):
                await self._waiter.wait()
        kept = self._kept
        if len(kept) == _KEPT:  # it may begin in the middle of a secret
            kept = kept.partition(b"\n")[2]
        return self._masked(_text(kept))


def _text(written: bytes) -> str:
    return written.decode("utf-8", "replace").strip()
