"""Google's Gemini, on AI Studio and Vertex AI: request body, stream chunks, finish reasons, blocked prompts, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2s
from typing import Any, Final

from ...values.errors import IncompleteStream, MelliteError
from ...values.events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ResponseStart,
    StepFinish,
    StepStart,
    TextDelta,
)
from ...values.request import Request
from ...values.usage import Usage
from ...wire.protocol import Protocol
from ..error_answers import answered, classify, read_event, read_whole
from ..finish_words import finish_reason, is_cut_short, is_unfinished
from ..json_values import decode_json, is_done, listed, wrong
from .answer import ID, GeminiRaw, GeminiResponse, decode_plain, numbered, usage_of
from .body import GOOGLE, OPTIONS, GeminiDialect, lower, mended
from .enums import BLOCK_REASONS, FINISH_REASONS, name_of
from .parts import MISSES, GeminiState, close, finish_call, on_part

__all__ = [
    "GOOGLE",
    "GeminiDialect",
    "GeminiRaw",
    "GeminiResponse",
    "GeminiState",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]


#: The fields of an answer, in one piece or a chunk of it.
_ANSWER: Final = ("candidates", "promptFeedback", "usageMetadata")


# Parser state is in `gemini_parts`


def initial(request: Request, *, dialect: GeminiDialect = GOOGLE) -> GeminiState:  # noqa: ARG001 - others need it
    """A fresh state for the answer to one request."""
    return GeminiState(FINISH_REASONS[dialect.enums])


# Reading a stream


def step(state: GeminiState, data: bytes, event: str = "message") -> Sequence[Event]:
    """The events that one stream event stands for.

    Args:
        data: its JSON; or ``[DONE]``, which gateways send.
        event: its name.

    Raises:
        InvalidProviderOutput: for what is no chunk of an answer.
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
    try:
        said = read_event(data, event, known=_ANSWER)
    except MelliteError as error:
        error.usage = _usage(state)
        raise
    return () if said is None else _take(state, said, data)


def halt(state: GeminiState) -> Sequence[Event]:
    """What the end of the stream stands for.

    Raises:
        IncompleteStream: if no finish reason came.
    """
    return _concluded(state)


def _take(state: GeminiState, chunk: Mapping[str, Any], data: bytes) -> Sequence[Event]:
    candidates = _checked(chunk)
    events: list[Event] = []
    _identify(state, chunk, data, events)
    state.merged.add(chunk)
    _read(state, chunk, candidates, events)
    return events


def _checked(chunk: Mapping[str, Any]) -> list[Any]:
    """The candidates, after a look at all that is relied upon later."""
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


def _identify(state: GeminiState, answer: Mapping[str, Any], data: bytes, events: list[Event]) -> None:
    """Say which answer of which model this is, as soon as it is known."""
    id, model = answer.get("responseId"), answer.get("modelVersion")
    id = id if isinstance(id, str) and id and state.response_id is None else None
    model = model if isinstance(model, str) and model and state.response_model is None else None
    if not state.id_stem:  # for calls without an id: different in every turn, and the same whenever it is replayed
        state.id_stem = f"call_{id or blake2s(data, digest_size=8).hexdigest()}"
    if id or model:
        state.response_id = id or state.response_id
        state.response_model = model or state.response_model
        events.append(ResponseStart(response_id=id, response_model=model))


def _read(state: GeminiState, chunk: Mapping[str, Any], candidates: Sequence[Any], events: list[Event]) -> None:
    for index, candidate in numbered(candidates):
        if index == 0:
            for part in (candidate.get("content") or {}).get("parts") or ():
                on_part(state, part, events)
            _on_finish_reason(state, candidate)
    feedback = chunk.get("promptFeedback")
    if isinstance(feedback, dict):
        word, said = (
            name_of(feedback.get("blockReason"), BLOCK_REASONS, "blockReason"),
            feedback.get("blockReasonMessage"),
        )
        if not is_unfinished(word):
            state.blocked = word
            state.message = said if isinstance(said, str) else None
            state.complete = True
    usage = chunk.get("usageMetadata")
    if isinstance(usage, dict) and usage:
        _usage(state)  # one that is not decoded yet came before
        _use(state, usage)


def _on_finish_reason(state: GeminiState, candidate: Mapping[str, Any]) -> None:
    word, said = name_of(candidate.get("finishReason"), state.numbers, "finishReason"), candidate.get("finishMessage")
    if not is_unfinished(word):  # older models give one with every chunk: the last counts
        state.finish_word = word
        state.message = said if isinstance(said, str) else None
        state.complete = True
        state.plain = ""  # what comes now has to be looked at


def _use(state: GeminiState, raw: Mapping[str, Any]) -> None:
    """Later usage replaces earlier, unless it says nothing."""
    state.usage = usage_of(raw).replacing(state.usage)


def _usage(state: GeminiState) -> Usage | None:
    """The usage so far."""
    if state.last_usage:
        raw = decode_json(bytes(state.last_usage))
        state.last_usage = b""
        if isinstance(raw, dict):
            _use(state, raw)
    return state.usage


def _concluded(state: GeminiState, answer: dict[str, Any] | None = None) -> Sequence[Event]:
    """The events that end an answer; `answer` if it came in one piece.

    Raises:
        IncompleteStream: if a stream gave no finish reason.
    """
    usage = _usage(state)
    word = state.finish_word or state.blocked
    if not word and answer is None:
        what = "broke off before its finish reason" if state.started or state.response_id else "ended before it began"
        msg = f"the answer {what}; what came of it is in .partial"
        raise IncompleteStream(msg, usage=usage)
    events: list[Event] = [] if state.started else [StepStart()]
    close(state, events)
    finish_call(state, events, cut_short=is_cut_short(word))
    if state.finish_word is None and state.blocked:
        reason: FinishReason = "content-filter"
    else:
        reason = finish_reason(word, calls=bool(state.calls), usage=usage)
    state.complete = state.done = True
    if answer is None:
        answer = state.merged.finished(usage=usage.raw if usage is not None else None)
    events.append(StepFinish(0, reason=reason, raw_reason=word, usage=usage))
    events.append(
        Finish(
            reason,
            raw_reason=word,
            usage=usage,
            response=answer,
            refusal=state.message if reason == "content-filter" else None,
            logprobs=_first(answer).get("logprobsResult"),
        )
    )
    return events


def _first(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((candidate for index, candidate in numbered(answer.get("candidates")) if index == 0), {})


# An answer in one piece


def unary(body: bytes, *, dialect: GeminiDialect = GOOGLE) -> Sequence[Event]:
    """The events of an answer that came in one piece; a list of chunks, as a stream without ``alt=sse``, is one too.

    Raises:
        InvalidProviderOutput: if it is no answer of Gemini.
        MelliteError: of the kind that an error object, sent with status 200, stands for.

    Example:
        >>> unary(b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}]}, "finishReason": "STOP"}]}')[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = read_whole(body, known=_ANSWER)
    state = GeminiState(FINISH_REASONS[dialect.enums])
    events: list[Event] = []
    if isinstance(answer, list) and answer:
        for chunk in answer:
            events += _take(state, answered(chunk, "a chunk of the answer", known=_ANSWER), body)
        return [*events, *_concluded(state)]
    if not isinstance(answer, dict) or not (answer.get("candidates") or answer.get("promptFeedback")):
        raise wrong(answer, "the answer", "an object with candidates")
    candidates = _checked(answer)
    _identify(state, answer, body, events)
    _read(state, answer, candidates, events)
    events += _concluded(state, answer)
    return events


# What all of it makes


def protocol(dialect: GeminiDialect = GOOGLE) -> Protocol[GeminiState]:
    """Gemini's protocol.

    Example:
        >>> protocol().id
        'gemini'
    """
    return Protocol(
        id=ID,
        options=OPTIONS,
        lower=partial(lower, dialect=dialect),
        initial=partial(initial, dialect=dialect),
        step=step,
        halt=halt,
        unary=partial(unary, dialect=dialect),
        classify=classify,
        mend=mended,
    )
