"""OpenAI Chat Completions, spoken by most companies: request body, stream chunks, finish reasons, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..errors import IncompleteStream, ProviderInternal
from ..events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
    TextEnd,
    TextStart,
    Usage,
)
from ..request import Request
from ..wire.protocol import Protocol, decode_json, json_text, listed, wrong
from .chat_answer import ID, ChatCompletion, MergedChat, OpenAIChatRaw, decode_plain, usage_of
from .chat_body import OPENAI, ChatDialect, lower, options_of
from .failures import classify, failure_of
from .history import HistoryRules, mend
from .toolcalls import ToolInputs

__all__ = [
    "OPENAI",
    "ChatCompletion",
    "ChatDialect",
    "ChatState",
    "OpenAIChatRaw",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]


# Stream events

#: After so many chunks that held more than text, those of this host are no longer tried as plain.
_MISSES: Final = 8
_DONE: Final = b"[DONE]"

_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_text")

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "end": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content-filter",
    "sensitive": "content-filter",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
    "function_call": "tool-calls",
}
_FAILURES: Final = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})


# Parser state


class ChatState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the finish reason has come.
        done: the end of the stream has come.
    """

    __slots__ = (
        "blocks",
        "complete",
        "dialect",
        "done",
        "finish_word",
        "has_details",
        "inputs",
        "merged",
        "misses",
        "plain",
        "reasoning_id",
        "refusal",
        "response_id",
        "response_model",
        "started",
        "text_open",
        "usage",
    )

    def __init__(self, dialect: ChatDialect) -> None:
        self.dialect = dialect
        self.complete = False
        self.done = False
        self.plain = ""  # what is flowing, "text" or "reasoning", so that the next chunk is likely to be more of it
        self.misses = 0
        self.started = False
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.text_open = False
        self.reasoning_id = ""  # the open block
        self.blocks = 0  # of thinking, so far
        self.has_details = False
        self.refusal: list[str] = []
        self.inputs = ToolInputs()
        self.merged = MergedChat()
        self.finish_word: str | None = None
        self.usage: Usage | None = None


def initial(request: Request, *, dialect: ChatDialect = OPENAI) -> ChatState:  # noqa: ARG001 - other protocols need it
    """A fresh state for the answer to one request."""
    return ChatState(dialect)


# Reading a stream


def step(state: ChatState, data: bytes, event: str = "message") -> Sequence[Event]:
    """The events that one stream event stands for.

    Args:
        data: its JSON, or ``[DONE]``.
        event: its name.

    Raises:
        InvalidProviderOutput: for what is no chat chunk.
        IncompleteStream: for ``[DONE]`` before a finish reason.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> step(state, b'{"choices": [{"index": 0, "delta": {"content": "Hi!"}}]}')[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    plain = state.plain
    if plain:
        try:
            delta = decode_plain(data).choices[0].delta
        except (ValueError, RecursionError):
            _miss(state)  # more than text, or no JSON at all: the long way finds out
        else:
            text, thinking = delta.content, delta.reasoning_content
            if text and not thinking and plain == "text":
                state.merged.content.append(text)
                return (TextDelta(text),)
            if thinking and not text and plain == "reasoning":
                state.merged.reasoning.append(thinking)
                return (ReasoningDelta(thinking, state.reasoning_id),)
    return _take(state, data, event)


def halt(state: ChatState) -> Sequence[Event]:
    """What the end of the stream stands for, where no ``[DONE]`` came.

    Raises:
        IncompleteStream: if no finish reason came either.
    """
    return _concluded(state)


def _miss(state: ChatState) -> None:
    state.misses += 1
    if state.misses >= _MISSES:
        state.plain = ""


def _take(state: ChatState, data: bytes, event: str) -> Sequence[Event]:
    if data.strip() == _DONE:
        return _concluded(state)
    chunk = decode_json(data)
    if not isinstance(chunk, dict):
        raise wrong(chunk, "a stream event", "a JSON object")
    if event == "error" or chunk.get("error"):
        error = failure_of(chunk)
        error.usage = state.usage
        raise error
    choices = listed(chunk.get("choices"), "choices")
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise wrong(choice, "a choice", "an object with a delta")
        if not isinstance(choice.get("index") or 0, int):
            raise wrong(choice["index"], "the index of a choice", "a number")
    events: list[Event] = []
    _identify(state, chunk, events)
    state.merged.add(chunk)
    for choice in choices:
        if not choice.get("index"):
            _on_delta(state, choice.get("delta") or {}, events)
            _on_finish_reason(state, choice.get("finish_reason"))
            _on_usage(state, choice.get("usage"))
    groq = chunk.get("x_groq")
    _on_usage(state, groq.get("usage") if isinstance(groq, dict) else None)
    _on_usage(state, chunk.get("usage"))
    return events


def _identify(state: ChatState, answer: Mapping[str, Any], events: list[Event]) -> None:
    """Say which answer of which model this is, as soon as it is known."""
    id, model = answer.get("id"), answer.get("model")
    id = id if isinstance(id, str) and id and state.response_id is None else None
    model = model if isinstance(model, str) and model and state.response_model is None else None
    if id or model:
        state.response_id = id or state.response_id
        state.response_model = model or state.response_model
        events.append(ResponseStart(response_id=id, response_model=model))


def _on_delta(state: ChatState, delta: Mapping[str, Any], events: list[Event], *, whole: bool = False) -> None:
    """More of the answer; `whole` if it is all of it, so that each tool call is one of its own."""
    content = delta.get("content")
    thinking = next((text for name in _REASONING_FIELDS if isinstance(text := delta.get(name), str) and text), "")
    if isinstance(content, list):
        parts = _on_parts(content)
        thinking, content = thinking or parts[0], parts[1]
    elif content is not None and not isinstance(content, str):
        raise wrong(content, "content", "a text")
    state.has_details = state.has_details or bool(delta.get("reasoning_details"))
    if thinking:
        _on_thinking(state, thinking, events)
    if content:
        _on_text(state, content, events)
    refusal = delta.get("refusal")
    if isinstance(refusal, str):
        state.refusal.append(refusal)
    calls = listed(delta.get("tool_calls"), "tool_calls")
    if calls:
        _begin(state, events)
        _close_reasoning(state, events)
    for position, call in enumerate(calls):
        _on_tool_call(state, call, position if whole else None, events)


def _on_parts(parts: Sequence[Any]) -> tuple[str, str]:
    """The thinking and the text of a content in parts; those of other types are only in the raw answer."""
    thinking: list[str] = []
    text: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            raise wrong(part, "a part of the content", "an object")
        kind, said = part.get("type"), part.get("text")
        if kind == "thinking":
            inner = part.get("thinking")
            thinking += [inner] if isinstance(inner, str) else [_on_parts(listed(inner, "thinking"))[1]]
        elif kind == "text" and isinstance(said, str):
            text.append(said)
    return "".join(thinking), "".join(text)


def _on_thinking(state: ChatState, text: str, events: list[Event]) -> None:
    _begin(state, events)
    if not state.reasoning_id:
        state.reasoning_id = f"reasoning-{state.blocks}"
        state.blocks += 1
        events.append(ReasoningStart(state.reasoning_id))
    events.append(ReasoningDelta(text, state.reasoning_id))
    state.plain = "reasoning" if state.misses < _MISSES else ""


def _on_text(state: ChatState, text: str, events: list[Event]) -> None:
    _begin(state, events)
    _close_reasoning(state, events)
    if not state.text_open:
        state.text_open = True
        events.append(TextStart("text-0"))
    events.append(TextDelta(text))
    state.plain = "text" if state.misses < _MISSES else ""


def _on_tool_call(state: ChatState, call: Any, position: int | None, events: list[Event]) -> None:
    function = (call.get("function") or call.get("custom") or {}) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise wrong(call, "a tool call", "an object with a function")
    index, id, name = call.get("index"), call.get("id"), function.get("name")
    arguments = function.get("arguments", function.get("input"))
    if isinstance(arguments, (dict, list)):  # some hosts send the object itself
        arguments = json_text(arguments, what="the arguments")
    for what, value in (("name", name), ("arguments", arguments)):
        if value is not None and not isinstance(value, str):
            raise wrong(value, f"the {what} of a tool call", "a text")
    events += state.inputs.add(
        index=position if position is not None else index if isinstance(index, int) else None,
        id=None if id is None else str(id),
        name=name,
        arguments=arguments,
        extra={key: value for key, value in call.items() if key not in _CALL_FIELDS},
    )


_CALL_FIELDS: Final = frozenset({"custom", "function", "id", "index", "type"})


def _on_finish_reason(state: ChatState, word: Any) -> None:
    if word is not None and not isinstance(word, str):
        raise wrong(word, "finish_reason", "a text")
    if word:  # some hosts send an empty one with every chunk
        state.finish_word = word
        state.complete = True


def _on_usage(state: ChatState, usage: Any) -> None:
    """Later usage replaces earlier, unless it says nothing: some hosts send zeros at the end."""
    if isinstance(usage, dict) and usage:
        counts = usage_of(usage)
        if state.usage is None or not counts.is_zero:
            state.usage = counts


def _begin(state: ChatState, events: list[Event]) -> None:
    if not state.started:
        state.started = True
        events.append(StepStart())


def _close_reasoning(state: ChatState, events: list[Event]) -> None:
    """Thinking ends where something else begins; where details belong to it, which may come late, at the very end."""
    if state.reasoning_id and not state.has_details:
        events.append(ReasoningEnd(state.reasoning_id))
        state.reasoning_id = ""


def _end_reasoning(state: ChatState, details: Any, events: list[Event]) -> None:
    if details and not state.reasoning_id:  # encrypted thinking, of which nothing is shown
        state.reasoning_id = f"reasoning-{state.blocks}"
        events.append(ReasoningStart(state.reasoning_id))
    if state.reasoning_id:
        metadata = {"openai": {"reasoning_details": details}} if details else None
        events.append(ReasoningEnd(state.reasoning_id, provider_metadata=metadata))
        state.reasoning_id = ""


def _concluded(
    state: ChatState, answer: dict[str, Any] | None = None, choice: Mapping[str, Any] | None = None
) -> Sequence[Event]:
    """The events that end an answer; `answer` and its first `choice` if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no finish reason.
        ProviderInternal: if the reason is that something broke.
    """
    word = state.finish_word
    usage = state.usage
    if not word and answer is None and state.dialect.finish_required:
        what = "broke off before its finish reason" if state.response_id or state.started else "ended before it began"
        msg = f"the answer {what}; what came of it is in .partial"
        raise IncompleteStream(msg, usage=usage)
    if word in _FAILURES:
        msg = f"the answer was broken off by the provider, with finish reason {word!r}"
        raise ProviderInternal(msg, usage=usage)
    state.complete = state.done = True
    events: list[Event] = []
    _begin(state, events)
    first = choice if choice is not None else state.merged.first()
    _end_reasoning(state, first.get("message", {}).get("reasoning_details"), events)
    if state.text_open:
        events.append(TextEnd("text-0"))
    reason = _REASONS.get(word or "", "unknown")
    if state.response_id:
        state.inputs.id_stem = f"call_{state.response_id}"  # different in every turn
    events += state.inputs.finish(cut_short=reason in ("length", "content-filter"))
    if len(state.inputs) and (reason == "stop" or not word):
        reason = "tool-calls"  # OpenAI says "stop" where a tool was forced
    if answer is None:
        counted = usage.raw if usage is not None else None
        answer = state.merged.finished(usage=counted, tool_calls=state.inputs.merged())
    events.append(StepFinish(0, reason=reason, raw_reason=word, usage=usage))
    events.append(
        Finish(
            reason,
            raw_reason=word,
            usage=usage,
            response=answer,
            refusal="".join(state.refusal) or None,
            logprobs=first.get("logprobs"),
        )
    )
    return events


# An answer in one piece


def unary(body: bytes) -> Sequence[Event]:
    """The events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is no chat completion.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = decode_json(body)
    if isinstance(answer, dict) and answer.get("error"):
        raise failure_of(answer)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices:
        raise wrong(answer, "the answer", "a chat completion with choices")
    first = next((choice for choice in choices if isinstance(choice, dict) and not choice.get("index")), choices[0])
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        raise wrong(first, "a choice", "an object with a message")
    state = ChatState(OPENAI)
    events: list[Event] = []
    _identify(state, answer, events)
    _on_delta(state, message, events, whole=True)
    _on_finish_reason(state, first.get("finish_reason"))
    state.finish_word = first.get("finish_reason")
    _on_usage(state, answer.get("usage"))
    events += _concluded(state, answer, first)
    return events


# What all of it makes


def protocol(dialect: ChatDialect = OPENAI) -> Protocol[ChatState]:
    """Chat Completions as one company speaks it.

    Example:
        >>> protocol().id
        'openai-chat'
    """
    return Protocol(
        id=ID,
        options=options_of(dialect),
        lower=partial(lower, dialect=dialect),
        initial=partial(initial, dialect=dialect),
        step=step,
        halt=halt,
        unary=unary,
        classify=classify,
        mend=partial(mend, rules=HistoryRules(ids=dialect.tool_ids)),
    )
