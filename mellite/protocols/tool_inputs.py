"""Put streamed tool calls together, in whatever pieces they come, and whatever servers do with indexes and ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from ..values.errors import InvalidProviderOutput
from ..values.events import Event, ToolCallEvent, ToolInputDelta, ToolInputEnd, ToolInputError, ToolInputStart
from ..values.messages import ToolCall
from ..values.provider_json import Json, JsonObject
from ..wire.protocol import Flowing
from .json_values import shown
from .tool_calls import parse_arguments

__all__ = ["ToolInputs"]

_MARKS: Final = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_SHORT: Final = 64  # characters of JSON that can be parsed again and again


class _Input:
    """One tool call while it is written."""

    __slots__ = (
        "_depth",
        "_escaped",
        "_quoted",
        "_scanned",
        "broken",
        "extra",
        "held",
        "id",
        "index",
        "name",
        "pieces",
        "size",
        "started",
    )

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.size = 0  # characters in them
        self.held = ""  # an empty object: all there is to the arguments, or a place-holder for what comes
        self.started = False
        self.broken = False  # brackets are closed, and yet it is not JSON
        self.extra: JsonObject = {}
        self._scanned = 0  # pieces
        self._depth = 0
        self._quoted = False
        self._escaped = False

    @property
    def text(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces) or self.held

    @property
    def is_closed(self) -> bool:
        """Whether every bracket of the arguments is closed; each piece is looked at only once."""
        for piece in self.pieces[self._scanned :]:
            text = f"\\{piece}" if self._escaped else piece
            self._escaped = False
            for mark in _MARKS.findall(text):
                if mark == "\\":  # at the end of the piece
                    self._escaped = True
                elif mark == '"':
                    self._quoted = not self._quoted
                elif not self._quoted and mark[0] != "\\":
                    self._depth += 1 if mark in "{[" else -1
        self._scanned = len(self.pieces)
        return self._depth <= 0 and not self._quoted

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are whole JSON; not if there are none yet."""
        if not self.pieces:
            return bool(self.held)
        if self.broken or (self.size > _SHORT and not self.is_closed):
            return False
        try:
            parse_arguments(self.text)
        except InvalidProviderOutput:
            self.broken = self.size > _SHORT
            return False
        return True

    @property
    def metadata(self) -> Mapping[str, Mapping[str, Json]] | None:
        return {"openai": self.extra} if self.extra else None

    def is_over(self, id: str | None, name: str) -> bool:
        """Tell whether a piece with this name, and an id that is not known, begins the next call."""
        if not self.name:  # it comes late
            return False
        if self.pieces or self.held:
            return name != self.name or self.is_whole
        return bool(id and self.id) and name != self.name

    def is_followed(self, name: str, arguments: str) -> bool:
        """Tell whether a piece that bears the id of this call, but another index, begins another call."""
        another = name != self.name or (arguments.lstrip().startswith("{") and arguments != self.text)
        return another and not self.held and self.is_whole

    def add(self, piece: str) -> str:
        """Take more of the arguments; return what of it is to be told now."""
        if not self.pieces and _is_empty_object(piece):
            self.held = piece
            return ""
        if self.held:
            if not piece.strip():
                return ""
            if not piece.lstrip().startswith("{"):  # it was not a place-holder
                piece = self.held + piece
            self.held = ""
        elif piece.lstrip().startswith("{"):
            if self.size < _SHORT and _is_empty_object(self.text):
                self._start_anew()
            elif self.size == len(piece) and self.text == piece and self.is_whole:
                return ""  # all of it once more
        self.pieces.append(piece)
        self.size += len(piece)
        return piece

    def _start_anew(self) -> None:
        self.pieces.clear()
        self.size = self._scanned = self._depth = 0
        self.broken = self._quoted = self._escaped = False

    def rest_of(self, whole: str) -> str:
        """Return what of the whole arguments has not come yet.

        Raises:
            InvalidProviderOutput: if they are not those that came.
        """
        came = "".join(self.pieces)
        if whole.startswith(came):
            return whole[len(came) :]
        try:
            if not whole.strip() or parse_arguments(whole) == parse_arguments(came):
                return ""
        except InvalidProviderOutput:
            pass
        call = shown(self.id or self.name)
        msg = f"the arguments of tool call {call} came as {shown(came)}, and then as {shown(whole)}"
        raise InvalidProviderOutput(msg)


class ToolInputs:
    """The tool calls of one answer while their pieces arrive.

    An id and a name may come once, again with every piece, or late; a name may come in pieces; pieces may lack their
    index, share one, or each have one of their own. A known id finds its call; else the index does, unless a name comes
    after arguments that are whole. A new index alone goes on with the last call. An empty object before more JSON is a
    place-holder.

    Args:
        id_stem: what to call a tool call that never gets an id; its number is put after it. May be changed.

    Attributes:
        grown: how often something has been added.
    """

    __slots__ = ("_by_id", "_by_index", "_inputs", "_last", "grown", "id_stem")

    def __init__(self, *, id_stem: str = "call") -> None:
        self.id_stem = id_stem
        self.grown = 0
        self._inputs: list[_Input] = []
        self._by_index: dict[int, _Input] = {}
        self._by_id: dict[str, _Input] = {}
        self._last: _Input | None = None  # that something was added to

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def is_open(self) -> bool:
        """Whether the arguments that came last go on for certain, or none have come of the last call."""
        if self._inputs and not (self._inputs[-1].pieces or self._inputs[-1].held):
            return True
        return self._last is not None and not self._last.is_closed

    def add(
        self,
        *,
        index: int | None = None,
        id: str | None = None,
        name: str | None = None,
        arguments: str | None = None,
        extra: Mapping[str, Json] | None = None,
        fresh: bool = False,
    ) -> Iterator[Event]:
        """Take one piece; give the events that it stands for.

        Args:
            index: which call of the answer it belongs to, if the provider says.
            id: the call's id, if this piece has one; likewise `name`.
            arguments: more of the raw JSON.
            extra: what else the provider says of the call and wants to see again.
            fresh: it begins a call for certain.
        """
        call = None if fresh else self._find(index, id, name, arguments or "")
        if call is None:
            if not (id or name or arguments):
                return
            call = self._begin(index)
        elif index is not None:
            self._by_index[index] = call
        yield from self._grow(call, id, name, arguments, extra)

    @property
    def flowing(self) -> Flowing | None:
        """The arguments that grew last, if there may be pieces that are nothing but more of them."""
        call = self._last
        if call is None or call.held or not call.started or not call.pieces:
            return None
        return Flowing(call.pieces, add=self.add_more)

    def is_more(self, index: int, arguments: str) -> bool:
        """Tell whether a piece is nothing but more of the arguments that grew last."""
        is_last = self.flowing is not None and self._by_index.get(index) is self._last
        return is_last and bool(arguments) and not arguments.lstrip().startswith("{")

    def add_more(self, arguments: str) -> bool:
        """Take a piece that follows one that `is_more`, of the same index; return False if it may not be more."""
        call = self._last
        if call is None or arguments.lstrip().startswith("{"):  # it may be all of them once more, or instead
            return False
        call.pieces.append(arguments)
        call.size += len(arguments)
        self.grown += 1
        return True

    def add_whole(
        self,
        place: int,
        *,
        id: str | None = None,
        name: str | None = None,
        arguments: str | None = None,
        extra: Mapping[str, Json] | None = None,
    ) -> Iterator[Event]:
        """Take a whole call, of which some may have come before; give the events that the rest of it stands for.

        Args:
            place: its place among the calls of the answer; the others are those of `add`.

        Raises:
            InvalidProviderOutput: if other arguments came before.
        """
        call = self._inputs[place] if place < len(self._inputs) else None
        if call is not None and id and call.id not in ("", id):
            call = next((other for other in self._inputs[place:] if other.id == id), None)
        if call is None:
            call = self._begin(place)
        yield from self._grow(call, id, name, call.rest_of(arguments or ""), extra)

    def add_to_first(self, *, name: str | None, arguments: str | None) -> Iterator[Event]:
        """Take a piece of the only call of the answer; give the events that it stands for."""
        call = self._inputs[0] if self._inputs else self._begin(0)
        yield from self._grow(call, None, name, arguments, None)

    def _find(self, index: int | None, id: str | None, name: str | None, arguments: str) -> _Input | None:
        """Return the call that a piece belongs to; None if the piece begins one."""
        known = self._by_id.get(id) if id else None
        if known is not None:
            shared = name and index not in (None, known.index) and known.is_followed(name, arguments)
            return None if shared else known
        last = self._inputs[-1] if self._inputs else None
        if index is not None:
            known = self._by_index.get(index)
            if known is None:
                return None if id or name else last
        elif last is not None and not (id and last.id):
            known = last
        return None if known is None or (name and known.is_over(id, name)) else known

    def _begin(self, index: int | None) -> _Input:
        call = _Input(index)
        self._inputs.append(call)
        self.grown += 1
        if index is not None:
            self._by_index[index] = call
        return call

    def _grow(
        self, call: _Input, id: str | None, name: str | None, arguments: str | None, extra: Mapping[str, Json] | None
    ) -> Iterator[Event]:
        if id and not call.id:
            call.id = id
        if id:
            self._by_id[id] = call
        if name and not call.started:
            call.name = _joined(call.name, name)
        if extra:
            call.extra.update(extra)
        if not arguments:
            return
        size, held = call.size, call.held
        told = call.add(arguments)
        if call.size != size or call.held != held:
            self.grown += 1
            self._last = call
        if not told:
            return
        if call.started:
            yield ToolInputDelta(call.id, call.name, told)
        elif call.id and call.name:
            yield from self._start(call)

    def _start(self, call: _Input) -> Iterator[Event]:
        call.started = True
        yield ToolInputStart(call.id, call.name)
        if call.pieces:
            yield ToolInputDelta(call.id, call.name, "".join(call.pieces))

    def finish(self, *, cut_short: bool) -> Iterator[Event]:
        """Give the events that complete the tool calls: the answer is over.

        Args:
            cut_short: the answer hit its limit, so that a call which is not whole is not a call.

        Raises:
            InvalidProviderOutput: if a call never got a name.
        """
        for number, call in enumerate(self._inputs):
            if not call.name:
                if cut_short:
                    continue
                msg = f"tool call {call.id or number!r} has no name"
                raise InvalidProviderOutput(msg)
            call.id = call.id or f"{self.id_stem}_{number}"
            held, call.held = call.held, ""
            if held:
                call.pieces.append(held)
            if not call.started:
                yield from self._start(call)
            elif held:
                yield ToolInputDelta(call.id, call.name, held)
            yield ToolInputEnd(call.id, call.name, provider_metadata=call.metadata)
            raw = "".join(call.pieces)
            try:
                arguments = parse_arguments(raw)
            except InvalidProviderOutput:
                yield ToolInputError(call.id, call.name, raw=raw)
                if cut_short:
                    continue
                arguments = None
            yield ToolCallEvent(
                ToolCall(call.id, call.name, arguments, raw_arguments=raw, provider_metadata=call.metadata)
            )

    def merged(self) -> list[JsonObject]:
        """Return the calls as an answer in one piece shows them; to be asked for after `finish`."""
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.pieces)},
                **call.extra,
            }
            for call in self._inputs
        ]


def _joined(known: str, more: str) -> str:
    """Join a name that comes in pieces, or whole with every piece, or as far as it is known."""
    return more if more.startswith(known) else known + more


def _is_empty_object(text: str) -> bool:
    return len(text) < _SHORT and "".join(text.split()) == "{}"
