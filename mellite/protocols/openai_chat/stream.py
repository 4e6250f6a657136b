"""The stream of Chat Completions: what each chunk stands for, finish reasons, errors of choices; and whole answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ...values.errors import IncompleteStream, MelliteError
from ...values.events import Event, ReasoningDelta, TextDelta, TextEnd
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...wire.protocol import Flowing
from ..error_answers import failure_of
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import listed, wrong
from ..reading import is_done, read_event, read_whole
from .answer import PlainDelta, decode_plain, filtered_for, usage_of
from .deltas import MISSES, end_reasoning, on_delta
from .dialect import OPENAI, ChatDialect
from .state import State

__all__ = ["flow", "flowing", "halt", "initial", "step", "unary"]

#: The fields of an answer, in one piece or a chunk of it.
_ANSWER: Final = ("choices",)


def initial(request: Request, *, dialect: ChatDialect = OPENAI) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State(dialect)


# A stream


def step(state: State, data: bytes, event: str = "message") -> Sequence[Event]:
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event, or ``[DONE]``.
        event: the name of the stream event.

    Raises:
        InvalidProviderOutput: for what is not a chat chunk.
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
            text, alone = delta.content, delta.tool_calls is None and delta.reasoning is delta.reasoning_content is None
            if text and alone and plain == "text":
                state.merged.content.append(text)
                return (TextDelta(text),)
            flowed = _flowed(state, delta)
            if flowed is not None:
                return flowed
    return _take(state, data, event)


def flow(state: State, events: Sequence[bytes], name: str = "message") -> list[Event]:  # noqa: ARG001 - as in others
    """Return the deltas of those stream events, from the first one on, that are nothing but more of one thing.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> more = b'{"choices": [{"index": 0, "delta": {"content": "Hi!"}}]}'
        >>> flow(state, [more]), step(state, more)[-1], flow(state, [more, b"[DONE]"])
        ([], TextDelta(text='Hi!', id='text-0'), [TextDelta(text='Hi!', id='text-0')])
    """
    if state.plain not in ("", "text"):
        return _flow_beside_text(state, events)
    texts: list[str] = []
    if state.plain == "text":
        add, decode = texts.append, decode_plain
        for data in events:
            try:
                delta = decode(data).choices[0].delta
            except (ValueError, RecursionError):
                break
            text = delta.content
            if not text or delta.tool_calls is not None or not (delta.reasoning is delta.reasoning_content is None):
                break
            add(text)
        state.merged.content += texts
    return list(map(TextDelta, texts))


def _flow_beside_text(state: State, events: Sequence[bytes]) -> list[Event]:
    deltas: list[Event] = []
    for data in events:
        try:
            delta = decode_plain(data).choices[0].delta
        except (ValueError, RecursionError):
            break
        call = None if delta.tool_calls is None else delta.tool_calls[0]
        is_one = call is None or state.inputs.is_more(call.index, call.function.arguments)
        flowed = _flowed(state, delta) if is_one else None
        if flowed is None:
            break
        deltas += flowed
    return deltas


def flowing(state: State) -> Flowing | None:
    """Return what flows: text, thinking or arguments; None if nothing does."""
    plain, merged = state.plain, state.merged
    if plain == "arguments":
        return state.inputs.flowing
    if plain == "text":
        return Flowing(merged.content)
    return Flowing(merged.pieces(plain)) if plain else None


def _flowed(state: State, delta: PlainDelta) -> Sequence[Event] | None:
    """Return the events of a delta that is nothing but more of what flows; None for any other."""
    plain, merged, text = state.plain, state.merged, delta.content
    thinking, reasoning = delta.reasoning_content, delta.reasoning
    if delta.tool_calls is not None:
        if plain == "arguments" and not text and thinking is reasoning is None:
            if text is not None:
                merged.content.append(text)
            call = delta.tool_calls[0]
            return list(state.inputs.add(index=call.index, arguments=call.function.arguments))
    elif plain == "text":
        if text and not thinking and reasoning is None:
            merged.reasoning.append("")
            merged.content.append(text)
            return (TextDelta(text),)
    elif not text:
        more, other = (thinking, reasoning) if plain == "reasoning_content" else (reasoning, thinking)
        if more and other is None and plain != "arguments":
            if text is not None:
                merged.content.append(text)
            merged.pieces(plain).append(more)
            return (ReasoningDelta(more, state.reasoning_id),)
    return None


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for, where no ``[DONE]`` came.

    Raises:
        IncompleteStream: if no finish reason came either.
    """
    if state.finish_word and not state.complete:  # it came with the beginning of arguments
        msg = "the answer broke off inside the arguments of a tool call; what came of it is in .partial"
        raise IncompleteStream(msg, usage=state.usage)
    return _concluded(state)


def _miss(state: State) -> None:
    state.misses += 1
    if state.misses >= MISSES:
        state.plain = ""


def _take(state: State, data: bytes, event: str) -> Sequence[Event]:
    if is_done(data):
        return _concluded(state)
    chunk = read_event(state, data, event, known=_ANSWER)
    if chunk is None:
        return ()
    _check_choices(chunk)
    events: list[Event] = []
    state.identify(chunk.get("id"), chunk.get("model"), events)
    for choice, delta, whole in state.merged.add(chunk):
        if not choice.get("index"):
            grown = state.inputs.grown
            on_delta(state, delta, events, whole=whole)
            _on_finish_reason(state, choice.get("finish_reason"), in_call=state.inputs.grown != grown)
            _on_error(state, choice)
            state.use(choice.get("usage"), usage_of)
    groq = chunk.get("x_groq")
    if isinstance(groq, dict):  # https://console.groq.com/docs/api-reference#chat-create
        if groq.get("error"):
            raise _failure(state, groq)
        state.use(groq.get("usage"), usage_of)
    state.use(chunk.get("usage"), usage_of)
    return events


def _check_choices(chunk: Mapping[str, Json]) -> None:
    """Look at all that is relied upon later.

    Raises:
        InvalidProviderOutput: if something is of another type.
    """
    for choice in listed(chunk.get("choices"), "choices"):
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise wrong(choice, "a choice", "an object with a delta")
        if not isinstance(choice.get("message") or {}, dict):
            raise wrong(choice["message"], "the message of a choice", "an object")
        if not isinstance(choice.get("index") or 0, int):
            raise wrong(choice["index"], "the index of a choice", "a number")


def _failure(state: State, value: Mapping[str, Json]) -> MelliteError:
    error = failure_of(value)
    error.usage = state.usage
    return error


def _on_finish_reason(state: State, word: Json, *, in_call: bool = False) -> None:
    """Take a finish reason; `in_call` if its chunk has arguments of a tool call, which may go on (LiteLLM)."""
    if word is not None and not isinstance(word, str):
        raise wrong(word, "finish_reason", "a text")
    if word and not is_unfinished(word):
        state.finish_word = word
        state.plain = ""  # what comes now has to be looked at
        state.complete = not (in_call and state.inputs.is_open and not is_cut_short(word))


def _on_error(state: State, choice: Mapping[str, Json], *, whole: bool = False) -> None:
    """Note the error of a choice, as OpenRouter has it; what came before the error in the answer is not lost."""
    if choice.get("error"):
        state.failure = failure_of({"error": choice["error"]}, whole=whole)
        state.finish_word = state.finish_word or "error"
        state.complete = True


def _concluded(
    state: State, answer: JsonObject | None = None, choice: Mapping[str, Json] | None = None
) -> Sequence[Event]:
    """Return the events that end an answer.

    Args:
        state: where the parser stands.
        answer: the whole answer, if it came in one piece.
        choice: its first choice.

    Raises:
        IncompleteStream: if a stream gave no finish reason.
        ProviderInternal: if the reason is that something broke.
        MelliteError: of the kind that the error of the choice stands for.
    """
    word, usage = state.finish_word, state.usage
    if not word and answer is None and state.dialect.finish_required:
        raise state.broken_off()
    if state.failure is not None:
        state.failure.usage = usage
        raise state.failure
    calls = bool(len(state.inputs))
    reason = finish_reason(word, calls=calls, usage=usage)
    events: list[Event] = []
    if not state.started:
        state.begin(events)
    first = choice if choice is not None else state.merged.first()
    details = (first.get("message") or {}).get("reasoning_details")
    if details or state.reasoning_id:
        end_reasoning(state, details, events)
    if state.text_open:
        events.append(TextEnd("text-0"))
    if state.response_id:
        state.inputs.id_stem = f"call_{state.response_id}"  # different in every turn
    if calls:
        events += state.inputs.finish(cut_short=is_cut_short(word))
    if answer is None:
        counted = usage.raw if usage is not None else None
        merged = [] if state.old_call else state.inputs.merged()
        answer = state.merged.finished(usage=counted, tool_calls=merged)
    refusal = "".join(state.refusal) or (filtered_for(first) if reason == "content-filter" else None)
    state.end(reason, word, events, response=answer, refusal=refusal, logprobs=first.get("logprobs"))
    return events


# An answer in one piece


def unary(body: bytes, *, dialect: ChatDialect = OPENAI) -> Sequence[Event] | Iterator[Event]:
    """Return the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is not a chat completion.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=_ANSWER)
    choices = answer.get("choices") if type(answer) is dict else None
    if type(choices) is not list or not choices:
        raise wrong(answer, "the answer", "a chat completion with choices")
    first = choices[0]
    for choice in choices:
        if type(choice) is dict and not choice.get("index"):
            first = choice
            break
    message = first.get("message") if type(first) is dict else None
    if message is None and isinstance(first, dict) and isinstance(first.get("text"), str):
        message = {"content": first["text"]}  # as the older Completions say it
    elif message is None and _is_filtered(first):
        message = {}
    if type(message) is not dict:
        raise wrong(first, "a choice", "an object with a message")
    state = State(dialect)
    events: list[Event] = []
    state.identify(answer.get("id"), answer.get("model"), events)
    on_delta(state, message, events, whole=True)
    word = first.get("finish_reason")
    _on_finish_reason(state, word)
    state.finish_word = word
    if "error" in first:
        _on_error(state, first, whole=True)
    state.use(answer.get("usage"), usage_of)
    if state.failure is not None:
        return _broken_off(events, state)
    events += _concluded(state, answer, first)
    return events


def _broken_off(events: Sequence[Event], state: State) -> Iterator[Event]:
    """Give the arrived part of an answer whose choice names an error, and then that error."""
    yield from events
    yield from _concluded(state)


def _is_filtered(choice: Json) -> bool:
    """Tell whether a choice has no message because it was filtered, as Azure does.

    https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter

    Raises:
        ProviderInternal: if the finish reason says that something broke.
    """
    word = choice.get("finish_reason") if isinstance(choice, dict) else None
    return isinstance(word, str) and finish_reason(word, calls=False) == "content-filter"
