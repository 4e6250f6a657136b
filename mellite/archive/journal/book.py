"""The writer of an open journal: lines whose times only grow, and calls with their numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

from msgspec.structs import replace

from ... import loops
from ...cassettes.timeline import Stopwatch
from ...loops import forking
from ...values.errors import OutcomeUnknown
from ...values.provider_json import Json, JsonObject
from ...values.secrets.json_masks import masked_json
from .contents import Packing
from .file import JournalFile
from .index import Call
from .json_values import as_raw, read_raw
from .lines import Line, State

__all__ = ["Book"]


@final
class Book:
    """Writes lines, from any thread, and knows what they come to.

    Args:
        file: the open journal.
    """

    def __init__(self, file: JournalFile) -> None:
        self.file = file
        self.index = file.index
        self._lock = forking.rlock()
        self._watch = Stopwatch()
        self._next = self.index.next_number
        self.packing = Packing(self._keep, set(self.index.kept))

    def next_number(self) -> int:
        """Return the number of the next call."""
        with self._lock:
            number = self._next
            self._next += 1
            return number

    def write(self, line: Line) -> Call | None:
        """Write a line, which gets its moment here; return the call that it is about, if any.

        Raises:
            JournalError: if it cannot be written.
        """
        with self._lock:
            line = replace(line, at=max(self._watch.now(), self.index.latest + 1))
            return self.index.note(line, self.file.add(line, now=line.once))

    def begin(self, line: Line) -> Call:
        """Write that a call begins, and return it.

        Raises:
            JournalError: if it cannot be kept.
        """
        self.file.check()
        call = self.write(line)
        if call is None:
            raise AssertionError(line)
        return call

    def _keep(self, name: str, value: Json) -> None:
        self.write(Line("kept", key=name, body=as_raw(value)))

    def settle(self, call: Call, body: JsonObject, state: State = "done", *, retryable: bool = False) -> None:
        """Write down what came of a call."""
        line = Line("settled", call=call.number, of=call.of, once=call.once, state=state, retryable=retryable)
        line = replace(line, body=as_raw(body))
        self.write(line)
        if call.of != "call":
            call.fresh = line

    def answer(self, call: Call) -> JsonObject:
        """Return what came of a call."""
        answer: JsonObject = read_raw(call.fresh.body) if call.fresh is not None else self.index.body(call.answered)
        return answer

    @property
    def synced(self) -> Callable[[], Awaitable[None]] | None:
        """The function that waits until everything is on disk; None where nothing waits for it."""
        return self.sync if self.file.is_synced else None

    async def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        await loops.run_in_thread(self.file.sync)

    def unknown(self, call: Call) -> OutcomeUnknown:
        """Return the error of a call that must run once, has begun, and whose outcome is unknown."""
        arguments = masked_json(self.index.told(call.asked).get("arguments"))
        where = self.file.directory
        msg = (
            f"{call.of} {call.name!r} must run once, and had begun when its process died: nobody knows whether it was "
            f"done. Look, and say so: journal.resolve({call.number}, result), or on the command line "
            f"`mellite journal resolve {where} {call.number} --result JSON`, or --again to run it once more"
        )
        return OutcomeUnknown(msg, path=where, tool=call.name, arguments=arguments, call_id=call.number)
