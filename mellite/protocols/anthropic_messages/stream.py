"""The stream of Anthropic Messages: what each event stands for, stop reasons; and whole answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ...values.errors import InvalidProviderOutput
from ...values.events import Event, ToolCallEvent
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...wire.protocol import Flowing
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import listed, shown, wrong
from ..reading import is_done, read_event, read_whole
from .answer import Block, InputPiece, TextPiece, ThinkingPiece, decode_plain
from .blocks import begin_block, end_block, grow
from .state import State

__all__ = ["flow", "flowing", "halt", "initial", "step", "unary"]

#: The events that may be nothing but a delta; "message" is the name of an event without one.
_DELTAS: Final = ("content_block_delta", "message")

#: What a delta of this type adds to, where no block has begun.
_BEGUN_BY: Final = {
    "citations_delta": "text",
    "signature_delta": "thinking",
    "text_delta": "text",
    "thinking_delta": "thinking",
}

#: What an event carries, by one of these names.
_PAYLOADS: Final = ("content_block", "delta", "message", "usage")

#: What a delta of this type goes on with.
_FITS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "call"}


def initial(request: Request) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State()


# A stream


def step(state: State, data: bytes, event: str = "message") -> Sequence[Event]:
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event; or ``[DONE]``, which gateways send.
        event: the name of the stream event.

    Raises:
        InvalidProviderOutput: for what is not an event of this protocol.
        IncompleteStream: for the end of the message before a stop reason.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> delta = b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi!"}}'
        >>> step(state, delta)[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    if event in _DELTAS and not state.complete:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            pass  # more than a delta, or no JSON at all: the long way finds out
        else:
            block = state.blocks.get(plain.index)
            if block is not None and block.open:
                piece = plain.delta  # as `_more_of`, in fewer calls
                if type(piece) is TextPiece:
                    if block.kind == "text":
                        return grow(block, piece.text)
                elif type(piece) is ThinkingPiece:
                    if block.kind == "thinking":
                        return grow(block, piece.thinking)
                elif block.kind == "call":
                    return grow(block, piece.partial_json)  # type: ignore[union-attr]
    return _take(state, data, event)


def flow(state: State, events: Sequence[bytes], name: str = "message") -> list[Event]:
    """Return the deltas of those stream events, from the first one on, that are nothing but more of an open block.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> more = b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi!"}}'
        >>> flow(state, [more]), step(state, more)[-1], flow(state, [more, b"{}"])
        ([], TextDelta(text='Hi!', id='text-0'), [TextDelta(text='Hi!', id='text-0')])
    """
    deltas: list[Event] = []
    for data in events if name in _DELTAS and not state.complete else ():
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            break
        block = state.blocks.get(plain.index)
        more = _more_of(block, plain.delta) if block is not None and block.open else None
        if block is None or not more:
            break
        deltas += grow(block, more)
    return deltas


def _more_of(block: Block, piece: TextPiece | ThinkingPiece | InputPiece) -> str | None:
    """Return what a delta adds to a block; None if it is not for a block of this kind."""
    if isinstance(piece, TextPiece):
        return piece.text if block.kind == "text" else None
    if isinstance(piece, ThinkingPiece):
        return piece.thinking if block.kind == "thinking" else None
    return piece.partial_json if block.kind == "call" else None


def flowing(state: State) -> Flowing | None:
    """Return what flows: the block which was begun last. None if it is closed."""
    block = next(reversed(state.blocks.values()), None)
    return Flowing(block.pieces) if block is not None and block.open and not state.complete else None


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for, where no ``message_stop`` came.

    Raises:
        IncompleteStream: if no stop reason came either.
    """
    return _concluded(state)


def _take(state: State, data: bytes, event: str) -> Sequence[Event]:
    if is_done(data):
        return _concluded(state)
    value = read_event(state, data, event, known=_PAYLOADS)
    if value is None:
        return ()
    kind = value.get("type")
    handler = _HANDLERS.get(kind if isinstance(kind, str) else event)
    events: list[Event] = []
    if handler is not None:
        handler(state, value, events)
    if value.get("usage"):  # in every delta (Dynamo), not only in that of the message
        state.note({"usage": value["usage"]})
    return events


def _on_message_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    message = value.get("message")
    if not isinstance(message, dict):
        raise wrong(message, "the message of a message_start", "an object")
    state.note({name: field for name, field in message.items() if name != "content"})
    state.given = listed(message.get("content"), "the content of a message")
    state.response_id = state.response_model = None  # each message tells its own
    state.identify(message.get("id"), message.get("model"), events)


def _on_block_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    fields = value.get("content_block")
    if not isinstance(fields, dict):
        raise wrong(fields, "a content_block", "an object")
    begin_block(state, _index(value), fields, events)


def _on_block_delta(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    delta, index = value.get("delta", 0), _index(value)
    if delta is None:
        return  # it says nothing
    if not isinstance(delta, dict):
        raise wrong(delta, "a delta", "an object")
    kind = str(delta.get("type"))
    block = state.blocks.get(index)
    if block is not None and block.kind == "text" and kind == "citations_delta":
        block.piece(delta)  # also of a text that has ended: some servers know only at the end what it cites
        return
    if block is None or not block.open:
        begun = _BEGUN_BY.get(kind)
        if begun is None:
            msg = f"a delta of the type {shown(kind)} for block {index}, which is not open"
            raise InvalidProviderOutput(msg)
        block = begin_block(state, index, {"type": begun}, events)
    elif kind in _FITS and block.kind != _FITS[kind]:
        msg = f"a delta of the type {kind!r} for block {index}, which is of the type {shown(block.type)}"
        raise InvalidProviderOutput(msg)
    piece = block.piece(delta)
    if piece:
        state.go_on()
    events += grow(block, piece)


def _on_block_stop(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    block = state.blocks.get(_index(value))
    if block is not None:
        end_block(state, block, events)


def _on_message_delta(state: State, value: Mapping[str, Json], events: list[Event]) -> None:  # noqa: ARG001
    delta = value.get("delta") or {}
    if not isinstance(delta, dict):
        raise wrong(delta, "the delta of a message", "an object")
    state.note(delta)
    state.note({name: field for name, field in value.items() if name not in ("delta", "type", "usage")})


def _on_message_stop(state: State, value: Mapping[str, Json], events: list[Event]) -> None:  # noqa: ARG001
    events += _concluded(state)


_HANDLERS: Final[dict[Json, Callable[[State, Mapping[str, Json], list[Event]], None]]] = {
    "content_block_delta": _on_block_delta,
    "content_block_start": _on_block_start,
    "content_block_stop": _on_block_stop,
    "message_delta": _on_message_delta,
    "message_start": _on_message_start,
    "message_stop": _on_message_stop,
}


def _index(value: Mapping[str, Json]) -> int:
    index = value.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise wrong(index, "the index of a block", "a number")
    return index


def _concluded(state: State, answer: JsonObject | None = None) -> Sequence[Event]:
    """Return the events that end an answer.

    Args:
        state: where the parser stands.
        answer: the whole answer, if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no stop reason.
    """
    word = state.message.get("stop_reason")
    if (not word or is_unfinished(word)) and answer is None:
        raise state.broken_off(before="its stop reason")
    events: list[Event] = []
    state.begin(events)
    if not state.blocks:  # a gateway put all of it into the beginning
        _take_content(state, state.given, events)
    for block in state.blocks.values():
        end_block(state, block, events)
    if not is_cut_short(word):
        events += [ToolCallEvent(call) for call in state.broken]
    blocks = [*state.past, *[state.blocks[index] for index in sorted(state.blocks)]]
    reason = finish_reason(word, calls=any(block.type == "tool_use" for block in blocks), usage=state.counts)
    if answer is None:
        answer = {**state.message, "content": [block.finished() for block in blocks]}
        if state.used:
            answer["usage"] = state.used
    refusal = _explanation(state.message.get("stop_details")) if word == "refusal" else None
    state.end(reason, word, events, response=answer, refusal=refusal)
    return events


def _explanation(details: Json) -> str | None:
    text = details.get("explanation") if isinstance(details, dict) else None
    return text if isinstance(text, str) and text else None


# An answer in one piece


def unary(body: bytes) -> Sequence[Event]:
    """Return the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is not a message.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"content": [{"type": "text", "text": "Hi!"}], "stop_reason": "end_turn"}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=("content",))
    content = answer.get("content") if isinstance(answer, dict) else None
    if content is None and isinstance(answer, dict) and answer.get("stop_reason"):
        content = []  # refused, or filtered, before anything was said
    if not isinstance(content, list):
        raise wrong(answer, "the answer", "a message with content")
    state = State()
    events: list[Event] = []
    state.note({name: field for name, field in answer.items() if name not in ("content", "stop_reason")})
    state.identify(answer.get("id"), answer.get("model"), events)
    _take_content(state, content, events)
    state.note({"stop_reason": answer.get("stop_reason")})
    events += _concluded(state, answer)
    return events


def _take_content(state: State, content: Sequence[Json], events: list[Event]) -> None:
    """Take whole blocks."""
    for index, fields in enumerate(content):
        if not isinstance(fields, dict):
            raise wrong(fields, "a block of the content", "an object")
        end_block(state, begin_block(state, index, fields, events), events)
