"""The stream of Cohere's Chat: what each event stands for, finish reasons, tool plans, citations; and whole answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from ...values.errors import MelliteError, ProviderInternal, UnknownProviderError
from ...values.events import Event, ReasoningDelta, TextDelta, ToolCallEvent
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...wire.protocol import Flowing
from ..error_answers import failure_of
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import json_text, listed, text_of, wrong
from ..reading import answered, decoded, is_done, read_whole
from .answer import PlainCallEvent, decode_plain, usage_of
from .state import State

__all__ = ["flow", "flowing", "halt", "initial", "step", "unary"]

#: What an event carries, by one of these names.
_PAYLOADS: Final = ("delta", "message")


def initial(request: Request) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State()


# A stream


def step(state: State, data: bytes, event: str = "message") -> Sequence[Event]:
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event.
        event: the name of the stream event, which the JSON mostly says again.

    Raises:
        InvalidProviderOutput: for what is not an event of an answer.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> start = b'{"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text"}}}}'
        >>> delta = b'{"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi!"}}}}'
        >>> step(state, start)[-1], step(state, delta)[-1]
        (TextStart(id='text-0', provider_metadata=None), TextDelta(text='Hi!', id='text-0'))
    """
    block = state.flowing
    if block is not None or state.calling:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            pass  # more than a delta, or no JSON at all: the long way finds out
        else:
            if type(plain) is PlainCallEvent:
                if state.calling:
                    more = plain.delta.message.tool_calls.function.arguments
                    return list(state.inputs.add(index=plain.index, arguments=more))
            elif block is not None and plain.index == state.index:
                content = plain.delta.message.content
                text, thinking = content.text, content.thinking
                if text and thinking is None and block.kind == "text":
                    block.pieces.append(text)
                    return (TextDelta(text, block.id),)
                if thinking and text is None and block.kind == "thinking":
                    block.pieces.append(thinking)
                    return (ReasoningDelta(thinking, block.id),)
    return _take(state, data, event)


def flow(state: State, events: Sequence[bytes], name: str = "message") -> list[Event]:  # noqa: ARG001 - as in others
    """Return the deltas of those stream events, from the first one on, that are nothing but more of one thing.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> start = b'{"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text"}}}}'
        >>> more = b'{"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi!"}}}}'
        >>> _ = step(state, start), step(state, more)
        >>> flow(state, [more, more, b"{}"])
        [TextDelta(text='Hi!', id='text-0'), TextDelta(text='Hi!', id='text-0')]
    """
    deltas: list[Event] = []
    if state.calling:
        return _flow_of_arguments(state, events)
    block = state.flowing
    if block is None:
        return deltas
    is_text = block.kind == "text"
    for data in events:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            break
        if type(plain) is PlainCallEvent or plain.index != state.index:
            break
        content = plain.delta.message.content
        more, other = (content.text, content.thinking) if is_text else (content.thinking, content.text)
        if not more or other is not None:
            break
        block.pieces.append(more)
        deltas.append(TextDelta(more, block.id) if is_text else ReasoningDelta(more, block.id))
    return deltas


def _flow_of_arguments(state: State, events: Sequence[bytes]) -> list[Event]:
    deltas: list[Event] = []
    for data in events:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            break
        if type(plain) is not PlainCallEvent:
            break
        more = plain.delta.message.tool_calls.function.arguments
        if not state.inputs.is_more(plain.index, more):
            break
        deltas += state.inputs.add(index=plain.index, arguments=more)
    return deltas


def flowing(state: State) -> Flowing | None:
    """Return what flows: text, thinking or arguments; None if nothing does."""
    if state.calling:
        return state.inputs.flowing
    block = state.flowing
    return None if block is None else Flowing(block.pieces)


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for, where no ``message-end`` came.

    Raises:
        IncompleteStream: always: a whole answer says why it ended.
    """
    raise state.broken_off()


def _take(state: State, data: bytes, event: str) -> Sequence[Event]:
    if is_done(data):
        return halt(state)  # a whole answer has ended already, by its message-end
    try:
        value = decoded(data, event)
        if value is None:
            return ()
        bare = isinstance(value, dict) and "type" not in value and "message" in value
        value = answered(value, "a stream event", event="error" if bare else event, known=_PAYLOADS)
    except MelliteError as error:
        error.usage = state.usage
        raise
    kind = value.get("type", event)
    handler = _HANDLERS.get(kind) if isinstance(kind, str) else None
    events: list[Event] = []
    if handler is not None:
        handler(state, value, events)
    return events


def _on_message_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.identify_by(value, events)
    state.begin(events)
    message = _message(value)
    known = ("content", "tool_plan", "tool_calls", "citations")  # empty here; they come in events of their own
    state.merged.message.update({name: fact for name, fact in message.items() if name not in known})


def _on_content_start(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    content = _inner(_message(value), "content")
    kind = content.get("type")
    if kind is not None and not isinstance(kind, str):
        raise wrong(kind, "the type of a block", "a text")
    kind = kind or ("thinking" if content.get("thinking") is not None else "text")
    facts = {name: fact for name, fact in content.items() if name not in ("type", "text", "thinking")}
    if kind not in ("text", "thinking"):
        facts = dict(content)
    index = _index(value)
    block = state.block(index, kind, facts, events)
    if kind in ("text", "thinking"):
        state.grow(index, block, text_of(content.get(kind), f"the {kind} of a block"), events)


def _on_content_delta(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    content, index = _inner(_message(value), "content"), _index(value)
    for kind in ("thinking", "text"):
        text = text_of(content.get(kind), f"the {kind} of a delta")
        if text:
            state.grow(index, state.block(index, kind, {}, events), text, events)
    others = {name: fact for name, fact in content.items() if name not in ("type", "text", "thinking")}
    block = state.block_at(index) if others else None
    if block is not None:
        block.facts.update(others)
    if value.get("logprobs") is not None:
        state.merged.logprobs.append(value["logprobs"])


def _on_content_end(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    block = state.block_at(_index(value))
    if block is not None and block.kind == "thinking":
        state.close(block, events)


def _on_tool_plan(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.begin(events)
    state.merged.plan.append(text_of(_message(value).get("tool_plan"), "the tool plan"))


def _on_tool_call(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    calls = _message(value).get("tool_calls")
    for call in calls if isinstance(calls, list) else [calls]:
        if call is not None:
            _on_call(state, call, _index(value), events)


def _on_call(state: State, call: Json, index: int, events: list[Event]) -> None:
    function = (call.get("function") or {}) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise wrong(call, "a tool call", "an object with a function")
    state.begin(events)
    state.close_thinking(events)
    arguments = function.get("arguments")
    if isinstance(arguments, (dict, list)):
        arguments = json_text(arguments, what="the arguments")
    id = call.get("id")
    events += state.inputs.add(
        index=index,
        id=None if id is None else str(id),
        name=text_of(function.get("name"), "the name of a tool call") or None,
        arguments=text_of(arguments, "the arguments of a tool call") or None,
    )
    state.calling = True


def _on_citation(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.begin(events)
    found = _message(value).get("citations")
    state.merged.citations += _citations(found if isinstance(found, list) else [found])


def _citations(found: Sequence[Json]) -> list[Json]:
    """Return the objects among citations; they go back with the history, where the server would refuse others."""
    return [citation for citation in found if isinstance(citation, dict)]


def _on_message_end(state: State, value: Mapping[str, Json], events: list[Event]) -> None:
    state.identify_by(value, events)
    delta = _inner(value, "delta")
    _on_finish_reason(state, delta.get("finish_reason"))
    _on_usage(state, delta.get("usage"))
    _on_error(state, delta.get("error"))
    events += _concluded(state)


_HANDLERS: Final[dict[str, Callable[[State, Mapping[str, Json], list[Event]], None]]] = {
    "citation-start": _on_citation,
    "content-delta": _on_content_delta,
    "content-end": _on_content_end,
    "content-start": _on_content_start,
    "message-end": _on_message_end,
    "message-start": _on_message_start,
    "tool-call-delta": _on_tool_call,
    "tool-call-start": _on_tool_call,
    "tool-plan-delta": _on_tool_plan,
}


def _message(value: Mapping[str, Json]) -> Mapping[str, Json]:
    return _inner(_inner(value, "delta"), "message")


def _inner(value: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    inner = value.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise wrong(inner, f"the {name} of an event", "a JSON object")
    return inner


def _index(value: Mapping[str, Json]) -> int:
    index = value.get("index") or 0
    if not isinstance(index, int):
        raise wrong(index, "the index of an event", "a number")
    return index


def _on_finish_reason(state: State, word: Json) -> None:
    if word is not None and not isinstance(word, str):
        raise wrong(word, "finish_reason", "a text")
    if word:
        state.finish_word = state.merged.top["finish_reason"] = word


def _on_error(state: State, error: Json) -> None:
    """Note the error that broke an answer off: of the kind that its words stand for, or else ProviderInternal."""
    if error:
        failure = failure_of({"error": error})
        if isinstance(failure, UnknownProviderError):
            why = failure.provider_message or failure
            msg = f"the answer was broken off by the provider, with finish reason {state.finish_word!r}: {why}"
            failure = ProviderInternal(msg, provider_message=failure.provider_message)
        state.failure = failure


def _on_usage(state: State, usage: Json) -> None:
    """Note a report of usage; the answer as a whole has the one that counts."""
    before = state.usage
    state.use(usage, usage_of)
    if state.usage is not before:
        state.merged.top["usage"] = usage


def _concluded(state: State, answer: JsonObject | None = None) -> Sequence[Event]:
    """Return the events that end an answer.

    Args:
        state: where the parser stands.
        answer: the whole answer, if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no finish reason.
        ProviderInternal: if the answer ended because something broke.
        MelliteError: of the kind that the error at the end of the answer stands for.
    """
    if state.failure is not None:
        state.failure.usage = state.usage
        raise state.failure
    word = state.finish_word
    if answer is None and is_unfinished(word):
        raise state.broken_off()
    reason = finish_reason(word, calls=bool(len(state.inputs)), usage=state.usage)
    events: list[Event] = []
    state.begin(events)
    state.close_all(events)
    if state.response_id:
        state.inputs.id_stem = f"call_{state.response_id}"
    calls = list(state.inputs.finish(cut_short=is_cut_short(word)))
    said = any(block.kind == "text" for block in state.merged.blocks.values())
    events += _planned(calls, "".join(state.merged.plan), () if said else state.merged.citations)
    if answer is None:
        answer = state.merged.finished(tool_calls=state.inputs.merged())
    state.end(reason, word, events, response=answer, logprobs=answer.get("logprobs"))
    return events


def _planned(events: Sequence[Event], plan: str, citations: Sequence[Json]) -> list[Event]:
    """Return the events of tool calls; the first carries the plan and its citations, to go back with the history."""
    noted = list(events)
    found = {"tool_plan": plan, "citations": list(citations)}
    facts = {name: fact for name, fact in found.items() if fact}
    for position, event in enumerate(noted):
        if facts and isinstance(event, ToolCallEvent):
            known = event.call.provider_metadata or {}
            call = evolve(event.call, provider_metadata={**known, "cohere": facts})
            noted[position] = ToolCallEvent(call)
            break
    return noted


# An answer in one piece


def unary(body: bytes) -> Iterator[Event]:
    """Give the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is not an answer of Cohere's Chat.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> body = b'{"message": {"content": [{"type": "text", "text": "Hi!"}]}, "finish_reason": "COMPLETE"}'
        >>> list(unary(body))[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=("message",))
    message = answer.get("message") if isinstance(answer, dict) else None
    if not isinstance(message, dict):
        raise wrong(answer, "the answer", "an answer of Cohere's Chat with a message")
    state = State()
    events: list[Event] = []
    state.identify_by(answer, events)
    state.begin(events)
    for index, block in enumerate(_content(message.get("content"))):
        if not isinstance(block, dict):
            raise wrong(block, "a block", "a JSON object")
        start = {"index": index, "delta": {"message": {"content": block}}}
        _on_content_start(state, start, events)
        _on_content_end(state, start, events)
    state.merged.plan.append(text_of(message.get("tool_plan"), "the tool plan"))
    state.merged.citations += _citations(listed(message.get("citations"), "citations"))
    for index, call in enumerate(listed(message.get("tool_calls"), "tool_calls")):
        _on_call(state, call, index, events)
    _on_finish_reason(state, answer.get("finish_reason"))
    _on_usage(state, answer.get("usage"))
    yield from events  # what there is, also of an answer that was broken off
    yield from _concluded(state, answer)


def _content(content: Json) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else listed(content, "content")
