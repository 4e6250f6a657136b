"""How long the machine made this process wait meanwhile, for tests that hold a promise of some milliseconds."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

BEAT = 0.005


class Pauses:
    """A thread that wants to run every 5 ms, and notes for how long it could not.

    What took too long only because other processes ran then is not too late::

        with Pauses() as pauses:
            ...
            assert late < 0.1 + pauses.longest
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pauses")
        self._longest = 0.0
        self._last = 0.0

    def _watch(self) -> None:
        self._last = time.monotonic()
        while not self._over.wait(BEAT):
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last - BEAT)
            self._last = now

    @property
    def longest(self) -> float:
        """The longest pause so far, in seconds, one that has not ended included."""
        return max(self._longest, time.monotonic() - self._last - BEAT)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._over.set()
        self._thread.join()
