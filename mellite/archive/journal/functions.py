"""Functions whose results a journal keeps: `recorded`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar, overload

from msgspec.structs import replace

from ...thunk import observing
from ...values.callables import is_async
from ...values.errors import InvalidRequest
from ...values.public_names import publish
from .book import Book
from .index import Call
from .json_values import as_raw, digest_of, program_value, written_value
from .keeping import Journal
from .lines import Line

__all__ = ["recorded"]

P = ParamSpec("P")
R = TypeVar("R")

#: Stands for a result that is not kept.
_MISSING: Final = object()


@overload
def recorded(function: Callable[P, R], *, name: str | None = None, once: bool = False) -> Callable[P, R]: ...


@overload
def recorded(
    function: None = None, *, name: str | None = None, once: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def recorded(function: Callable[..., Any] | None = None, *, name: str | None = None, once: bool = False) -> Any:
    """Keep the results of a function in the open journal: a decorator, with or without arguments.

    When the program is restarted, the function returns the kept result without being run. Equal calls get their results
    in the order in which they are made. Without an open journal it is the plain function. It must return plain data:
    None, bool, numbers, str, bytes, list, tuple, dict, set, dates, Decimal and UUID. Errors are not kept.

    Args:
        function: a function, async or not.
        name: what the journal calls it; the module and name of the function unless given.
        once: whether it must not run twice for the same call: if its process died while it ran, it is not run again but
            raises `OutcomeUnknown`, until the call is resolved.

    Raises:
        InvalidRequest: if `function` is not callable; when called, for a result that cannot be kept.

    Example:
        >>> @recorded
        ... def roll(sides: int) -> int:
        ...     return sides
        >>> roll(6)
        6
    """
    if function is None:
        return partial(recorded, name=name, once=once)
    if not callable(function) or isinstance(function, type):
        msg = f"what is recorded is a function, not {function!r:.80}"
        raise InvalidRequest(msg, parameter="function")
    called = f"{function.__module__}.{function.__qualname__}" if name is None else name

    entered = partial(_Entry.of, function, called)
    return wraps(function)(
        _kept_async(function, entered, once) if is_async(function) else _kept(function, entered, once)
    )


def _kept(function: Any, entered: Callable[..., _Entry | None], once: bool) -> Any:  # noqa: FBT001
    def kept(*args: Any, **kwargs: Any) -> Any:
        entry = entered(args, kwargs)
        if entry is None:
            return function(*args, **kwargs)
        value = entry.begin(once=once)
        if value is _MISSING:
            if once:
                entry.book.file.sync()
            value = function(*args, **kwargs)
            entry.end(value)
            if once or entry.book.synced is not None:
                entry.book.file.sync()
        return value

    return kept


def _kept_async(function: Any, entered: Callable[..., _Entry | None], once: bool) -> Any:  # noqa: FBT001
    async def kept(*args: Any, **kwargs: Any) -> Any:
        entry = entered(args, kwargs)
        if entry is None:
            return await function(*args, **kwargs)
        value = entry.begin(once=once)
        if value is _MISSING:
            if once:
                await entry.book.sync()
            value = await function(*args, **kwargs)
            entry.end(value)
            if once or entry.book.synced is not None:
                await entry.book.sync()
        return value

    return kept


class _Entry:
    """One call of a function, in an open journal."""

    __slots__ = ("_arguments", "_call", "_key", "_name", "_nth", "book")

    def __init__(self, book: Book, name: str, arguments: Mapping[str, Any], nth: int, key: str) -> None:
        self.book = book
        self._name = name
        self._arguments = arguments
        self._key = key
        self._nth = nth
        self._call: Call | None = book.index.by_key.get((key, nth))

    @classmethod
    def of(cls, function: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Entry | None:
        """Return the entry of a call; None where no journal is open."""
        force = observing.in_force()
        journals = [each for each in force.interceptors if isinstance(each, Journal)] if force is not None else []
        parts = journals[-1].parts if journals else None
        if parts is None:
            return None
        book, claims = parts
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        key = digest_of({"function": name, "arguments": bound.arguments})
        return cls(book, name, bound.arguments, claims.count("function", key), key)

    def begin(self, *, once: bool) -> Any:
        """Return the result that is kept; else note that the function is about to run, and return `_MISSING`.

        Raises:
            OutcomeUnknown: if it is run-once, and may have run.
        """
        book, call = self.book, self._call
        if call is not None and call.is_settled:
            answer = book.answer(call)
            return program_value(answer["given" if "given" in answer else "value"])
        if call is not None and call.once:
            raise book.unknown(call)
        is_inherited = call is None and (self._key, self._nth) in book.index.inherited
        number = book.next_number() if call is None else call.number
        line = Line("begun", number, of="function", key=self._key, nth=self._nth, name=self._name)
        body = as_raw({"arguments": book.packing.clean(_told(self._arguments))})
        self._call = begun = book.begin(replace(line, once=once or is_inherited, body=body))
        if is_inherited:
            raise book.unknown(begun)
        return _MISSING

    def end(self, value: object) -> None:
        """Keep the result."""
        if self._call is not None:
            self.book.settle(self._call, {"value": written_value(value, f"function {self._name!r}")})


def _told(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON, for people to read."""
    told: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            told[name] = written_value(value, name)
        except InvalidRequest:
            told[name] = f"<{type(value).__name__}>"
    return told


publish(globals(), "mellite", "recorded")
