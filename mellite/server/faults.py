"""Deliberate faults: error statuses, answers that end too soon, break, stall or crawl, at a given rate, by a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from ..values.errors import ConfigurationError

__all__ = ["Fault", "Faults", "cut_short"]

_KINDS: Final = ("cut", "reset", "stall", "slow")
_FORM: Final = re.compile(r"([a-z]+|[45]\d\d):(\d+(?:\.\d*)?|\.\d+)")

#: What tells that an event is the end of an answer, or begins it, in any protocol.
_END: Final = re.compile(
    rb'"finish_reason":\s*"|message_delta|message_stop|response\.(?:completed|incomplete|failed)|"finishReason"'
    rb'|messageStop|message-end|"done":\s*true|\[DONE\]'
)
_EVENT: Final = re.compile(rb".*?(?:\r?\n\r?\n|\Z)", re.DOTALL)
_LINE: Final = re.compile(rb"[^\n]*(?:\n|\Z)")


@frozen
class Fault:
    """One kind of fault.

    Args:
        kind: an HTTP status such as ``429``, or ``cut``, ``reset``, ``stall`` or ``slow``.
        rate: for how many of the requests, from 0 to 1.
    """

    kind: str
    rate: float

    @classmethod
    def of(cls, text: str) -> Fault:
        """Read ``KIND:RATE``.

        Raises:
            ConfigurationError: if it is nothing of the kind.

        Example:
            >>> Fault.of("429:0.1")
            Fault(kind='429', rate=0.1)
        """
        found = _FORM.fullmatch(text.strip().lower())
        if found is None or not (found[1].isdigit() or found[1] in _KINDS) or not 0 <= float(found[2]) <= 1:
            kinds = ", ".join(_KINDS)
            form = f"KIND:RATE, as in 429:0.1: an HTTP status or {kinds}, and a share from 0 to 1"
            msg = f"a fault is {form}; not {text!r:.80}"
            raise ConfigurationError(msg)
        return cls(found[1], float(found[2]))

    @property
    def status(self) -> int | None:
        """The HTTP status with which to refuse; None for other kinds."""
        return int(self.kind) if self.kind.isdigit() else None


class Faults:
    """Draws a fault for each request. The same seed draws the same faults for the same requests in a row.

    Args:
        faults: the kinds, as ``KIND:RATE`` or as `Fault`; the first that is drawn counts.
        seed: where to begin.

    Raises:
        ConfigurationError: for a fault that is none.
    """

    def __init__(self, faults: Iterable[str | Fault] = (), *, seed: int = 0) -> None:
        self.faults: Sequence[Fault] = [Fault.of(each) if isinstance(each, str) else each for each in faults]
        self._random = random.Random(seed)  # noqa: S311 - to be repeatable

    def draw(self) -> Fault | None:
        """Return the fault of the next request; None for most."""
        drawn = [fault for fault in self.faults if self._random.random() < fault.rate]
        return drawn[0] if drawn else None


def cut_short(body: bytes, content_type: str) -> bytes:
    r"""Return a body up to the event that tells its end, which is left out; the first half of a whole answer.

    Example:
        >>> cut_short(b'data: {"a": 1}\n\ndata: {"finish_reason": "stop"}\n\ndata: [DONE]\n\n', "text/event-stream")
        b'data: {"a": 1}\n\n'
    """
    events = _events(body, content_type)
    if len(events) < 2:
        return body[: len(body) // 2]
    kept: list[bytes] = []
    for event in events:
        if _END.search(event):
            break
        kept.append(event)
    return b"".join(kept)


def _events(body: bytes, content_type: str) -> list[bytes]:
    kind = content_type.partition(";")[0].strip()
    if kind == "text/event-stream":
        return [found[0] for found in _EVENT.finditer(body) if found[0]]
    if kind in ("application/x-ndjson", "application/jsonl"):
        return [found[0] for found in _LINE.finditer(body) if found[0]]
    if kind == "application/vnd.amazon.eventstream":
        return _messages(body)
    return [body]


def _messages(body: bytes) -> list[bytes]:
    messages: list[bytes] = []
    at = 0
    while at + 4 <= len(body):
        size = max(int.from_bytes(body[at : at + 4], "big"), 4)
        messages.append(body[at : at + size])
        at += size
    return messages
