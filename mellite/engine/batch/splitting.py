"""Cut lines into files that a batch service takes: by their number, and by their bytes."""

from __future__ import annotations

from typing import final

from ...values.errors import PayloadTooLarge
from .limits import PART_BYTES, BatchLimits

__all__ = ["Filling"]

#: What may stand around and between the lines, where they are sent as one JSON value.
_AROUND = 64


@final
class Filling:
    """The fill level of a file. A line goes in only as a whole.

    Args:
        limits: what the service takes.

    Example:
        >>> from mellite.engine.batch.limits import BatchLimits
        >>> filling = Filling(BatchLimits(requests=2, bytes=1000, source="", date=""))
        >>> [filling.takes(100), filling.takes(100), filling.takes(100)]
        [True, True, False]
    """

    __slots__ = ("_limits", "_most", "bytes", "requests")

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._most = min(limits.bytes, PART_BYTES) - _AROUND
        self.requests = 0
        self.bytes = 0

    def takes(self, size: int) -> bool:
        """Count a line of so many bytes, if there is room for it; tell whether there was.

        Raises:
            PayloadTooLarge: if it fits in no file.
        """
        if size + 1 > self._most:
            msg = f"a request of {size:,} bytes fits in no batch, of which one has at most {self._most:,}; send it live"
            raise PayloadTooLarge(msg)
        most = self._limits.requests
        if (most is not None and self.requests >= most) or self.bytes + size + 1 > self._most:
            return False
        self.requests += 1
        self.bytes += size + 1  # its newline, or comma
        return True
