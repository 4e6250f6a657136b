"""The stream of Gemini: what each chunk stands for, finish reasons, blocked prompts; and whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ...values.events import Event, FinishReason, ReasoningDelta, TextDelta
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...wire.protocol import Flowing
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import listed, wrong
from ..reading import answered, is_done, read_event, read_whole
from .answer import decode_plain, numbered, usage_of
from .dialect import GOOGLE, GeminiDialect
from .enums import BLOCK_REASONS, FINISH_REASONS, name_of
from .field_names import with_known_names
from .parts import MISSES, close, finish_call, on_part
from .state import State

__all__ = ["flow", "flowing", "halt", "initial", "step", "unary"]

#: The fields of an answer, in one piece or a chunk of it.
_ANSWER: Final = ("candidates", "promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata")


def initial(request: Request, *, dialect: GeminiDialect = GOOGLE) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State(FINISH_REASONS[dialect.enums])


# A stream


def step(state: State, data: bytes, event: str = "message") -> Sequence[Event]:
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event; or ``[DONE]``, which gateways send.
        event: the name of the stream event.

    Raises:
        InvalidProviderOutput: for what is not a chunk of an answer.
        IncompleteStream: for ``[DONE]`` before a finish reason.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> step(state, b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}], "role": "model"}}]}')[-1]
        TextDelta(text='Hi!', id='text-0')
    """
    plain = state.plain
    if plain:
        try:
            chunk = decode_plain(data)
        except (ValueError, RecursionError):
            state.misses += 1  # more than text, or no JSON at all: the long way finds out
            if state.misses >= MISSES:
                state.plain = ""
        else:
            part = chunk.candidates[0].content.parts[0]
            text = part.text
            if text and part.thought is (plain == "reasoning"):
                state.merged.flowing.append(text)
                if chunk.usageMetadata:
                    state.last_usage = chunk.usageMetadata
                if plain == "text":
                    return (TextDelta(text, state.block_id),)
                return (ReasoningDelta(text, state.block_id),)
    if is_done(data):
        return _concluded(state)
    value = read_event(state, data, event, known=_ANSWER)
    return () if value is None else _take(state, with_known_names(value), data)


def flow(state: State, events: Sequence[bytes], name: str = "message") -> list[Event]:  # noqa: ARG001 - as in others
    """Return the deltas of those stream events, from the first one on, that are nothing but more text or thinking.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> more = b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}], "role": "model"}}]}'
        >>> flow(state, [more]), step(state, more)[-1], flow(state, [more, b"{}"])
        ([], TextDelta(text='Hi!', id='text-0'), [TextDelta(text='Hi!', id='text-0')])
    """
    deltas: list[Event] = []
    is_thinking = state.plain == "reasoning"
    for data in events if state.plain else ():
        try:
            chunk = decode_plain(data)
        except (ValueError, RecursionError):
            break
        part = chunk.candidates[0].content.parts[0]
        text = part.text
        if not text or part.thought is not is_thinking:
            break
        state.merged.flowing.append(text)
        if chunk.usageMetadata:
            state.last_usage = chunk.usageMetadata
        deltas.append((ReasoningDelta if is_thinking else TextDelta)(text, state.block_id))
    return deltas


def flowing(state: State) -> Flowing | None:
    """Return the text or the thinking that flows; None if neither does."""
    return Flowing(state.merged.flowing) if state.plain else None


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for.

    Raises:
        IncompleteStream: if no finish reason came.
    """
    return _concluded(state)


def _take(state: State, chunk: Mapping[str, Json], data: bytes) -> Sequence[Event]:
    candidates = _checked(chunk)
    events: list[Event] = []
    _identify(state, chunk, data, events)
    state.merged.add(chunk)
    _on_chunk(state, chunk, candidates, events)
    return events


def _checked(chunk: Mapping[str, Json]) -> list[Json]:
    """Return the candidates, after a look at all that is relied upon later."""
    candidates = listed(chunk.get("candidates"), "candidates")
    for candidate in candidates:
        content = candidate.get("content") if isinstance(candidate, dict) else None
        if not isinstance(candidate, dict) or not isinstance(content or {}, dict):
            raise wrong(candidate, "a candidate", "an object with a content")
        index = candidate.get("index")
        if index is not None and not isinstance(index, int):
            raise wrong(index, "the index of a candidate", "a number")
        for part in listed((content or {}).get("parts"), "the parts of a content"):
            if not isinstance(part, dict):
                raise wrong(part, "a part", "an object")
    return candidates


def _identify(state: State, answer: Mapping[str, Json], data: bytes, events: list[Event]) -> None:
    if state.response_id is None or state.response_model is None:
        state.identify(answer.get("responseId"), answer.get("modelVersion"), events)
    if not state.id_stem:  # for calls without an id: different in every turn, and the same whenever it is replayed
        state.id_stem = f"call_{state.response_id or _hashed(data)}"


def _hashed(data: bytes) -> str:
    from hashlib import blake2s  # a first call whose answer has an id needs none of it

    return blake2s(data, digest_size=8).hexdigest()


def _on_chunk(state: State, chunk: Mapping[str, Json], candidates: Sequence[Json], events: list[Event]) -> None:
    for index, candidate in numbered(candidates):
        if index == 0:
            for part in (candidate.get("content") or {}).get("parts") or ():
                on_part(state, part, events)
            if candidate.get("finishReason") is not None:
                _on_finish_reason(state, candidate)
    feedback, usage = chunk.get("promptFeedback"), chunk.get("usageMetadata")
    if isinstance(feedback, dict):
        _on_feedback(state, feedback)
    if usage:
        state.use(usage, usage_of)


def _on_feedback(state: State, feedback: Mapping[str, Json]) -> None:
    word, said = name_of(feedback.get("blockReason"), BLOCK_REASONS, "blockReason"), feedback.get("blockReasonMessage")
    if not is_unfinished(word):
        state.blocked = word
        state.message = said if isinstance(said, str) else None
        state.complete = True


def _on_finish_reason(state: State, candidate: Mapping[str, Json]) -> None:
    word, said = name_of(candidate.get("finishReason"), state.numbers, "finishReason"), candidate.get("finishMessage")
    if not is_unfinished(word):  # older models give one with every chunk: the last counts
        state.finish_word = word
        state.message = said if isinstance(said, str) else None
        state.complete = True
        state.plain = ""  # what comes now has to be looked at


def _concluded(state: State, answer: JsonObject | None = None) -> Sequence[Event]:
    """Return the events that end an answer.

    Args:
        state: where the parser stands.
        answer: the whole answer, if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no finish reason.
    """
    word = state.finish_word or state.blocked
    if not word and answer is None:
        raise state.broken_off()
    usage = state.counts
    events: list[Event] = []
    state.begin(events)
    close(state, events)
    finish_call(state, events, cut_short=is_cut_short(word))
    if state.finish_word is None and state.blocked:
        reason: FinishReason = "content-filter"
    else:
        reason = finish_reason(word, calls=bool(state.calls), usage=usage)
    if answer is None:
        answer = state.merged.finished(usage=usage.raw if usage is not None else None)
    refusal = state.message if reason == "content-filter" else None
    state.end(reason, word, events, response=answer, refusal=refusal, logprobs=_first(answer).get("logprobsResult"))
    return events


def _first(answer: Mapping[str, Json]) -> Mapping[str, Json]:
    return next((candidate for index, candidate in numbered(answer.get("candidates")) if index == 0), {})


# An answer in one piece


def unary(body: bytes, *, dialect: GeminiDialect = GOOGLE) -> Sequence[Event]:
    """Return the events of an answer in one piece; a list of chunks, as a stream without ``alt=sse``, is one too.

    Raises:
        InvalidProviderOutput: if it is not an answer of Gemini.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}]}, "finishReason": "STOP"}]}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=_ANSWER)
    state = State(FINISH_REASONS[dialect.enums])
    events: list[Event] = []
    if isinstance(answer, list) and answer:
        for chunk in answer:
            events += _take(state, with_known_names(answered(chunk, "a chunk of the answer", known=_ANSWER)), body)
        return [*events, *_concluded(state)]
    answer = with_known_names(answer) if isinstance(answer, dict) else answer
    if not isinstance(answer, dict) or not (answer.get("candidates") or answer.get("promptFeedback")):
        raise wrong(answer, "the answer", "an object with candidates")
    candidates = _checked(answer)
    _identify(state, answer, body, events)
    _on_chunk(state, answer, candidates, events)
    events += _concluded(state, answer)
    return events
