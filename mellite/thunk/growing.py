"""Read the answer of a thunk in its output type while it is written: plain data that grows, and whole elements."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final, get_args, get_origin

from ..values.errors import InvalidRequest, MelliteError, OutputValidationError
from ..values.events import Event, ResponseStart, StepStart, TextDelta
from .answer import Answer

if TYPE_CHECKING:
    from ..values.outputs.growing import GrowingJson
    from ..values.outputs.plan import OutputMode
    from ..values.provider_json import Json
    from ..values.request import Request
    from .iterators import Events

__all__ = ["Growing", "Items", "Partials"]

T = TypeVar("T")

_FENCE: Final = re.compile(r"\s*```[^\n]*\n")
_BEGINNING: Final = re.compile(r"(?:^|(?<=\n))[ \t]*```[^\n]*\n|(?:^|(?<=\n))[ \t]*(?=[{\[])")


class Growing(Answer[T], Generic[T]):
    """The side of a thunk from which its answer is read in its output type while it is written."""

    __slots__ = ()

    @abstractmethod
    def events(self, *, ahead: int | None = None) -> Events:
        """Iterate over all events of the answer."""

    def partials(self) -> Partials:
        """Iterate over the answer's JSON data as it grows; the last value is that of the whole answer.

        Strings grow as they are written. Numbers, true, false and null come once they are complete, and so do strings
        that the output type limits to some values or a format: half of one means something else, or nothing. Each value
        is a separate object, and contains everything in the previous one.

        Example:
            >>> import asyncio
            >>> from mellite.backends import Scripted
            >>> async def main():
            ...     thunk = Scripted([['{"name": "Os', 'lo", "people": 7', '}']]).generate("Which?", output=dict)
            ...     return [partial async for partial in thunk.partials()]
            >>> asyncio.run(main())
            [{'name': 'Os'}, {'name': 'Oslo'}, {'name': 'Oslo', 'people': 7}]
        """
        return Partials(self.events(), self.call.request)

    def items(self) -> Items:
        """Iterate over the elements of an answer that is a list, each in its type, as soon as it is whole.

        Raises:
            InvalidRequest: unless the output type is ``list[T]``.
            OutputValidationError: from the iterator, for an element that does not fit.

        Example:
            >>> import asyncio
            >>> from mellite.backends import Scripted
            >>> async def main():
            ...     thunk = Scripted([["[1, 2", "0, 3", "]"]]).generate("Which?", output=list[int])
            ...     return [item async for item in thunk.items()]
            >>> asyncio.run(main())
            [1, 20, 3]
        """
        output = self.call.request.output
        kinds = get_args(output)
        if get_origin(output) is not list or len(kinds) != 1:
            name = getattr(output, "__name__", output)
            msg = f"thunk.items() reads the elements of a list: ask with output=list[T], not {name}"
            raise InvalidRequest(msg, parameter="output")
        return Items(self.events(), self.call.request, kinds[0])


class _Text:
    """The text of an answer while its events come, and what has been read of it."""

    __slots__ = ("_before", "_beside", "_key", "_mode", "_pieces", "_read", "_request", "_told")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._mode: OutputMode | None = "text" if request.output_mode == "text" else None
        self._told: str | None = None  # the key that the answer stands under
        self._key: str | None = None  # that, or the key under which it may stand all the same
        self._pieces: list[str] = []
        self._beside: list[str] = []  # what was said beside the call that is the answer: the answer, if none comes
        self._before: str | None = ""  # text in which no JSON has begun; None once it has
        self._read: GrowingJson | None = None

    @property
    def _reader(self) -> GrowingJson:
        """The reader of the JSON, made when there is some to read."""
        if self._read is None:
            from ..values.output import schema_of
            from ..values.outputs.growing import GrowingJson
            from ..values.outputs.plan import WRAPPED
            from ..values.outputs.schemas import is_of_objects, wrapped

            self._key, schema = self._told, None
            with suppress(MelliteError):  # a type that is known only to read itself
                schema = None if self._request.output is str else schema_of(self._request.output)
            if schema is not None and self._told is not None:
                schema = wrapped(schema)
            elif schema is not None and self._mode is None and not is_of_objects(schema):
                self._key = WRAPPED  # a backend that does not tell may replay an answer that was wrapped
                schema = {**wrapped(schema), "anyOf": [schema]}
            self._read = GrowingJson(schema)
        return self._read

    def take(self, event: Event) -> bool:
        """Take an event; return whether the data may have changed."""
        if type(event) is ResponseStart:
            self._mode = event.output_mode or self._mode
            self._told = event.output_key or self._told
            return False
        if type(event) is StepStart:  # what an earlier step said is not the answer
            self._beside = []
            if self._pieces:
                self._pieces, self._before, self._read = [], "", None
        if type(event) is not TextDelta:
            return False
        if self._mode == "tool" and event.id != "answer":
            self._beside.append(event.text)
            return False
        self._pieces.append(event.text)
        text = self._begun(event.text)
        return bool(text) and self._reader.feed(text)

    def _begun(self, text: str) -> str:
        """Return what of a piece of text belongs to the JSON, or to what follows it."""
        if self._before is None:
            return text
        before = self._before + text
        found = (_BEGINNING if self._mode == "text" else _FENCE).search(before)
        if found is None and (self._mode == "text" or before.lstrip()[:3] in ("", "`", "``", "```")):
            self._before = _last_line(before)
            return ""
        self._before = None
        at = 0 if found is None or (self._mode != "text" and before[: found.start()].strip()) else found.end()
        return before[at:]

    @property
    def so_far(self) -> str:
        """The text of the answer so far."""
        return "".join(self._pieces or self._beside)

    def data(self) -> Json:
        """Return the data so far."""
        from ..values.outputs.growing import NOTHING

        data = self._reader.data
        if self._key is not None and isinstance(data, dict) and data.keys() <= {self._key}:
            return data.get(self._key, NOTHING)
        return data if self._told is None else NOTHING

    def elements(self) -> Sequence[Json]:
        """Return the whole elements so far of a list."""
        return self._reader.elements(self._key) or self._reader.elements()

    def whole(self) -> Json:
        """Return the data of the whole answer, and nothing if it is none."""
        from ..values.outputs.growing import NOTHING
        from ..values.outputs.reading import answer_in

        try:
            return answer_in(self.so_far, mode=self._mode, key=self._key or self._told)
        except OutputValidationError:
            return NOTHING


def _last_line(text: str) -> str:
    """Return what of a text may be the beginning of a line with JSON: of a line that begins otherwise, one letter."""
    line = text[text.rfind("\n") + 1 :]
    return line if line.lstrip(" \t")[:1] in ("", "`", "{", "[") else "x"


@final
class Partials(AsyncIterator[Any]):
    """The plain data of an answer as it grows; see `Growing.partials`."""

    __slots__ = ("_events", "_has_ended", "_last", "_text")

    def __init__(self, events: Events, request: Request) -> None:
        from ..values.outputs.growing import NOTHING

        self._events = events
        self._text = _Text(request)
        self._last: Json = NOTHING
        self._has_ended = False

    async def __anext__(self) -> Json:
        from ..values.outputs.growing import NOTHING

        while not self._has_ended:
            try:
                event = await self._events.__anext__()
            except StopAsyncIteration:
                self._has_ended = True
                data = self._text.whole()
            else:
                if not self._text.take(event):
                    continue
                data = self._text.data()
            if data is not NOTHING and not _is_same(data, self._last):
                self._last = data
                return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave now, as if this iterator was dropped."""
        self._has_ended = True
        await self._events.aclose()


@final
class Items(AsyncIterator[Any]):
    """The elements of an answer that is a list; see `Growing.items`."""

    __slots__ = ("_count", "_events", "_has_ended", "_kind", "_text", "_waiting")

    def __init__(self, events: Events, request: Request, kind: Any) -> None:
        self._events = events
        self._text = _Text(request)
        self._kind = kind
        self._count = 0  # of elements that were given
        self._waiting: Sequence[Json] = ()  # whole elements, from the first
        self._has_ended = False

    async def __anext__(self) -> Any:
        while self._count >= len(self._waiting):
            if self._has_ended:
                raise StopAsyncIteration
            try:
                event = await self._events.__anext__()
            except StopAsyncIteration:
                self._has_ended = True
                whole = self._text.whole()
                self._waiting = whole if isinstance(whole, list) else ()
            else:
                if self._text.take(event):
                    self._waiting = self._text.elements()
        index = self._count
        self._count += 1
        return self._converted(self._waiting[index], index)

    async def aclose(self) -> None:
        """Leave now, as if this iterator was dropped."""
        self._has_ended, self._waiting = True, ()
        await self._events.aclose()

    def _converted(self, element: Json, index: int) -> Any:
        from ..values.output import converted

        if self._kind is Any:
            return element
        try:
            return converted(element, self._kind)
        except OutputValidationError as error:
            self._has_ended = True
            self._count = len(self._waiting)
            path = f"$[{index}]{(error.path or '$')[1:]}"
            msg = f"element {index} of the answer does not fit: {error}"
            raise OutputValidationError(msg, path=path, value=error.value, partial=self._text.so_far) from error


def _is_same(one: Json, other: Json) -> bool:
    """Tell whether two data are equal; 1, 1.0 and true are not, here."""
    return type(one) is type(other) and bool(one == other)
