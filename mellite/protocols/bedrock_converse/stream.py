"""The stream of Converse: what each event stands for, stop reasons, exceptions; and whole answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Event, ReasoningDelta, TextDelta, ToolCallEvent, ToolInputDelta
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..error_answers import failure_of
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import listed, wrong
from ..reading import answered, decoded
from .answer import Block, PlainDelta, decode_plain, usage_of
from .exceptions import error_value, failure_in_stream
from .state import State

__all__ = ["flow", "halt", "initial", "step", "unary"]


def initial(request: Request) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State()


# A stream


def step(state: State, data: bytes, event: str = "") -> Sequence[Event]:  # noqa: ARG001 - the name is in the data
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event under its name, as in ``{"contentBlockDelta": {...}}``.
        event: the name of the stream event, once more.

    Raises:
        InvalidProviderOutput: for what is not an event of an answer.
        MelliteError: of the kind that an exception inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> step(state, b'{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi!"}}}')[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    block = state.flowing
    if block is not None and not state.complete:
        try:
            plain = decode_plain(data).content_block_delta
        except (ValueError, RecursionError):
            pass  # more than a delta, or no JSON at all: the long way finds out
        else:
            if plain.content_block_index == state.index:
                flowed = _flowed(block, plain.delta)
                if flowed is not None:
                    return (flowed,)
    try:
        value = decoded(data)
        if value is not None and (not isinstance(value, dict) or not any(name.endswith("Exception") for name in value)):
            value = answered(value, "a stream event", known=_HANDLERS)
    except MelliteError as error:
        error.usage = state.usage
        raise
    return () if value is None else _take(state, value)


def flow(state: State, events: Sequence[bytes], name: str = "") -> list[Event]:  # noqa: ARG001 - as in others
    """Return the deltas of those stream events, from the first one on, that are nothing but more of one block.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> more = b'{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi!"}}}'
        >>> flow(state, [more]), step(state, more)[-1], flow(state, [more, b"{}"])
        ([], TextDelta(text='Hi!', id='text-0'), [TextDelta(text='Hi!', id='text-0')])
    """
    deltas: list[Event] = []
    block = state.flowing
    for data in events if block is not None and not state.complete else ():
        try:
            plain = decode_plain(data).content_block_delta
        except (ValueError, RecursionError):
            break
        flowed = _flowed(block, plain.delta) if block is not None and plain.content_block_index == state.index else None
        if flowed is None:
            break
        deltas.append(flowed)
    return deltas


def _flowed(block: Block, delta: PlainDelta) -> Event | None:
    """Return the event of a delta that is nothing but more of the block that is flowing; None for any other."""
    text, thought, input = delta.text, delta.reasoning_content, delta.tool_use
    if block.kind == "text":
        if text and thought is None and input is None:
            block.pieces.append(text)
            return TextDelta(text, block.id)
    elif block.kind == "reasoning":
        if thought is not None and thought.text and text is None and input is None:
            block.pieces.append(thought.text)
            return ReasoningDelta(thought.text, block.id)
    elif input is not None and input.input and text is None and thought is None:
        block.pieces.append(input.input)
        return ToolInputDelta(block.id, block.name, input.input)
    return None


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for, where no usage came.

    Raises:
        IncompleteStream: if no stop reason came either.
    """
    return _concluded(state)


def _take(state: State, event: Mapping[str, Json]) -> Sequence[Event]:
    events: list[Event] = []
    for name, value in event.items():
        if _is_failure(name):
            error = failure_in_stream(name, value)
            error.usage = state.usage
            raise error
        if value is None:
            continue  # says nothing
        if not isinstance(value, dict):
            raise wrong(value, f"the event {name!r}", "a JSON object")
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(state, value, events)
        else:
            state.merged.add({name: value})
    return events


def _is_failure(name: str) -> bool:
    return name == "error" or name.endswith("Exception")


def _on_message_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.merged.begin(value)
    state.begin(events)


def _on_block_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    index = _index(value)
    start = value.get("start") or {}
    if not isinstance(start, dict):
        raise wrong(start, "the start of a block", "a JSON object")
    for kind, facts in start.items():
        if not isinstance(facts, dict):
            raise wrong(facts, f"the start of a {kind}", "a JSON object")
        state.close(index, events)
        if kind in ("text", "reasoningContent"):
            continue  # begins with its first delta
        state.begin_block(index, kind, facts, events)


def _on_block_delta(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    index = _index(value)
    delta = value.get("delta") or {}
    if not isinstance(delta, dict):
        raise wrong(delta, "a delta", "a JSON object")
    for kind, more in delta.items():
        if kind == "text":
            state.add_text(index, more, events)
        elif kind == "reasoningContent":
            state.add_thinking(index, more, events)
        elif kind == "citation":
            state.cited(index, events).parts.append(more)
        elif kind == "toolUse":
            state.add_input(index, more, events)
        elif kind == "toolResult":
            state.block(index, kind, events).parts += more if isinstance(more, list) else [more]
        else:
            state.block(index, kind, events).parts.append(more)


def _on_block_stop(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.close(_index(value), events)


def _on_message_stop(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    word = value.get("stopReason")
    if not isinstance(word, str) or not word:
        raise wrong(word, "stopReason", "a text")
    if is_unfinished(word):
        return
    state.finish_word = word
    state.complete = True
    state.flowing, state.index = None, -1  # what comes now has to be looked at
    state.merged.add(value)
    if state.usage is not None:
        events += _concluded(state)


def _on_metadata(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.merged.add(value)
    state.use(value.get("usage"), usage_of)
    if state.complete:
        events += _concluded(state)


_HANDLERS: Final[dict[str, Callable[[State, Mapping[str, Json], list[Event]], None]]] = {
    "contentBlockDelta": _on_block_delta,
    "contentBlockStart": _on_block_start,
    "contentBlockStop": _on_block_stop,
    "messageStart": _on_message_start,
    "messageStop": _on_message_stop,
    "metadata": _on_metadata,
}


def _index(value: Mapping[str, Json]) -> int:
    index = value.get("contentBlockIndex", 0)
    if not isinstance(index, int):
        raise wrong(index, "contentBlockIndex", "a number")
    return index


def _concluded(state: State, answer: JsonObject | None = None) -> Sequence[Event]:
    """Return the events that end an answer.

    Args:
        state: where the parser stands.
        answer: the whole answer, if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no stop reason.
    """
    word = state.finish_word
    if not word and answer is None:
        raise state.broken_off(before="its stop reason")
    events: list[Event] = []
    state.begin(events)
    state.close_all(events)
    if not is_cut_short(word):  # else a call that is not whole is not a call
        events += [ToolCallEvent(call) for call in state.broken]
    calls = any(block.kind == "toolUse" and not block.is_hosted for block in state.merged.blocks)
    reason = finish_reason(word, calls=calls, usage=state.usage)
    state.end(reason, word, events, response=state.merged.finished() if answer is None else answer)
    return events


# An answer in one piece


def unary(body: bytes) -> Sequence[Event]:
    """Return the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is not an answer of Converse.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"output": {"message": {"content": [{"text": "Hi!"}]}}, "stopReason": "end_turn"}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = decoded(body, whole=True)
    content = _content(answer)
    state = State()
    events: list[Event] = []
    state.begin(events)
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise wrong(block, "a block", "a JSON object")
        _on_whole_block(state, index, block, events)
        state.close(index, events)
    word = answer.get("stopReason")
    if word is not None and not isinstance(word, str):
        raise wrong(word, "stopReason", "a text")
    state.finish_word = word
    state.use(answer.get("usage"), usage_of)
    events += _concluded(state, answer)
    return events


def _content(answer: Json) -> list[Json]:
    """Return the blocks of an answer in one piece.

    Raises:
        InvalidProviderOutput: if it is not an answer of Converse.
        MelliteError: of the kind that an error object stands for.
    """
    output = answer.get("output") if isinstance(answer, dict) else None
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if content is None and isinstance(output, dict) and answer.get("stopReason"):
        content = []  # a guardrail let nothing through
    if not isinstance(content, list):
        if isinstance(answer, dict) and output is None and ("message" in answer or "__type" in answer):
            raise failure_of(error_value(answer, {}), whole=True)
        if output is None:
            answered(answer, "the answer", whole=True)
        raise wrong(answer, "the answer", "an answer of Converse with an output")
    return content


def _on_whole_block(state: State, index: int, block: Mapping[str, Json], events: list[Event]) -> None:
    """Take one block of an answer in one piece, by way of the deltas that it would have come in."""
    for kind, value in block.items():
        if kind == "text":
            state.add_text(index, value, events)
        elif kind == "citationsContent" and isinstance(value, dict):
            for part in listed(value.get("content"), "the content of citations"):
                state.add_text(index, part.get("text", "") if isinstance(part, dict) else part, events)
            state.block(index, "text", events).parts += listed(value.get("citations"), "citations")
        elif kind == "reasoningContent" and isinstance(value, dict):
            state.add_thinking(index, value.get("reasoningText", value), events)
        elif kind == "toolUse" and isinstance(value, dict):
            state.begin_block(index, kind, value, events)
        elif kind == "toolResult" and isinstance(value, dict):
            facts = {name: fact for name, fact in value.items() if name != "content"}
            state.begin_block(index, kind, facts, events).parts += listed(
                value.get("content"), "the content of a result"
            )
