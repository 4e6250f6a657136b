"""Settle a run-once call whose outcome is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...values.errors import InvalidRequest
from ...values.messages import ToolResult, ToolValue
from .contents import result_written
from .index import Call
from .json_values import written_value
from .lines import Line

if TYPE_CHECKING:
    from .book import Book

__all__ = ["forget", "resolve"]


def resolve(book: Book, call_id: int | str, result: Any) -> None:
    """Write what is to have come of a call; see `Journal.resolve`.

    Raises:
        InvalidRequest: if there is no such call, or it is known what came of it.
    """
    call = _unknown(book, call_id)
    if call.of == "tool" and isinstance(result, (ToolResult, ToolValue)):
        given = result if isinstance(result, ToolResult) else ToolResult("", call.name or "", result)
        book.settle(call, {"result": result_written(given)})
    else:
        book.settle(call, {"given": written_value(result, f"the {call.of} {call.name!r}")})
    book.file.flush()
    book.file.sync()


def forget(book: Book, call_id: int | str) -> None:
    """Have a call run once more, though its outcome is unknown.

    Raises:
        InvalidRequest: as `resolve` does.
    """
    call = _unknown(book, call_id)
    book.write(Line("again", call.number, once=True))
    book.file.sync()


def _unknown(book: Book, call_id: int | str) -> Call:
    number = int(call_id) if isinstance(call_id, int) or call_id.isdecimal() else None
    call = book.index.calls.get(number) if number is not None else None
    if call is None:
        msg = f"there is no call {call_id!r} in the journal {book.file.directory!r}"
        raise InvalidRequest(msg, parameter="call_id")
    if not call.once or call.is_settled:
        known = "it is known what came of it" if call.is_settled else "it may run more than once"
        msg = f"call {call.number} of the journal {book.file.directory!r} waits for no decision: {known}"
        raise InvalidRequest(msg, parameter="call_id")
    return call
