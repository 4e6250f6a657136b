"""Put streamed tool-call arguments together, in whatever pieces they come; write tool results as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InvalidProviderOutput
from ..events import Event, ToolCallEvent, ToolInputDelta, ToolInputEnd, ToolInputError, ToolInputStart
from ..messages import Media, Text, ToolCall, ToolResult
from ..wire.protocol import decode_json, json_text

__all__ = ["ToolInputs", "arguments_object", "arguments_text", "parse_arguments", "result_text"]


class _Input:
    """One tool call while it is written."""

    __slots__ = ("extra", "id", "name", "pieces", "started")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.started = False
        self.extra: dict[str, Any] = {}

    @property
    def is_whole(self) -> bool:
        try:
            parse_arguments("".join(self.pieces))
        except InvalidProviderOutput:
            return False
        return True

    @property
    def metadata(self) -> Mapping[str, Mapping[str, Any]] | None:
        return {"openai": self.extra} if self.extra else None


class ToolInputs:
    """The tool calls of one answer while their pieces arrive.

    An id and a name may come once, again with every piece, or late; a name may come in pieces; pieces may lack their
    index, or share one index while their ids tell them apart.

    Args:
        id_stem: what to call a tool call that never gets an id; its number is put behind it. May be changed.
    """

    __slots__ = ("_by_index", "_inputs", "id_stem")

    def __init__(self, *, id_stem: str = "call") -> None:
        self.id_stem = id_stem
        self._inputs: list[_Input] = []
        self._by_index: dict[int, _Input] = {}

    def __len__(self) -> int:
        return len(self._inputs)

    def add(
        self,
        *,
        index: int | None = None,
        id: str | None = None,
        name: str | None = None,
        arguments: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Iterator[Event]:
        """Take one piece; give the events that it stands for.

        Args:
            index: which call of the answer it belongs to, if the provider says.
            id: the call's id, if this piece has one; likewise `name`.
            arguments: more of the raw JSON.
            extra: what else the provider says of the call and wants to see again.
        """
        call = self._find(index, id, name)
        if id and not call.id:
            call.id = id
        if name and not call.started:
            call.name = _joined(call.name, name)
        if extra:
            call.extra.update(extra)
        if not arguments:
            return
        call.pieces.append(arguments)
        if call.started:
            yield ToolInputDelta(call.id, call.name, arguments)
        elif call.id and call.name:
            yield from self._start(call)

    def _find(self, index: int | None, id: str | None, name: str | None) -> _Input:
        known = self._inputs[-1] if self._inputs else None
        if index is not None:
            known = self._by_index.get(index)
            if known is not None and id and name and known.id and known.id != id:
                known = None  # the next call under the same number
        elif id:
            known = next((call for call in self._inputs if call.id == id), known if known and not known.id else None)
        elif name and known is not None and known.pieces and (name != known.name or known.is_whole):
            known = None  # the next call, as far as can be told
        if known is None:
            known = _Input()
            self._inputs.append(known)
        if index is not None:
            self._by_index[index] = known
        return known

    def _start(self, call: _Input) -> Iterator[Event]:
        call.started = True
        yield ToolInputStart(call.id, call.name)
        if call.pieces:
            yield ToolInputDelta(call.id, call.name, "".join(call.pieces))

    def finish(self, *, cut_short: bool) -> Iterator[Event]:
        """The answer is over: give what completes its tool calls.

        Args:
            cut_short: the answer hit its limit, so that a call which is not whole is no call.

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
            if not call.started:
                yield from self._start(call)
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

    def merged(self) -> list[dict[str, Any]]:
        """The calls as an answer in one piece shows them; to be asked for after `finish`."""
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
    """A name that comes in pieces, or whole with every piece, or as far as it is known."""
    return more if more.startswith(known) else known + more


def parse_arguments(raw: str) -> Any:
    """The arguments that a model wrote; nothing at all stands for no arguments.

    Raises:
        InvalidProviderOutput: if it is not JSON.

    Example:
        >>> parse_arguments('{"city": "Paris"}'), parse_arguments("")
        ({'city': 'Paris'}, {})
    """
    return decode_json(raw) if raw.strip() else {}


def arguments_text(call: ToolCall) -> str:
    """The arguments as JSON text: as the model wrote them, unless they were changed since.

    Raises:
        InvalidRequest: if they cannot be written as JSON.
    """
    raw = call.raw_arguments
    if raw and call.arguments is None:
        return raw
    if raw and raw.strip():
        try:
            if decode_json(raw) == call.arguments:
                return raw
        except InvalidProviderOutput:
            pass
    arguments = {} if call.arguments is None else call.arguments
    return json_text(arguments, what=f"the arguments of tool call {call.id!r}")


def arguments_object(call: ToolCall) -> dict[str, Any]:
    """The arguments as the JSON object that some protocols want; what is none is put into one, so that nothing is lost.

    Raises:
        InvalidRequest: if they cannot be written as JSON.

    Example:
        >>> arguments_object(ToolCall("call_1", "f", {"a": 1})), arguments_object(ToolCall("call_1", "f", [1]))
        ({'a': 1}, {'arguments': [1]})
    """
    arguments = call.arguments
    if arguments is None:
        raw = call.raw_arguments
        return {"arguments": raw} if raw and raw.strip() not in ("", "null") else {}
    plain = decode_json(json_text(arguments, what=f"the arguments of tool call {call.id!r}"))
    return plain if isinstance(plain, dict) else {"arguments": plain}


def result_text(result: ToolResult) -> tuple[str, tuple[Media, ...]]:
    """A tool's result as text, and the media that text cannot hold.

    Raises:
        InvalidRequest: if it cannot be written as JSON.

    Example:
        >>> result_text(ToolResult("call_1", "get_weather", {"temperature": 22}))
        ('{"temperature":22}', ())
    """
    value = result.result
    what = f"the result of tool call {result.id!r}"
    if value.type == "content":
        parts = value.value if isinstance(value.value, (list, tuple)) else (value.value,)
        text = "\n".join([part.text for part in parts if isinstance(part, Text)])
        return text, tuple([part for part in parts if isinstance(part, Media)])
    if value.type == "json" or (value.type == "error" and isinstance(value.value, (dict, list))):
        return json_text(value.value, what=what), ()
    return str(value.value), ()
