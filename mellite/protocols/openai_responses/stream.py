"""OpenAI Responses, streamed over HTTP or WebSocket: request body, stream events, items, tools that OpenAI runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from ...values.errors import IncompleteStream, MelliteError
from ...values.events import Event, Finish, FinishReason, ResponseStart, StepFinish, StepStart, TextDelta
from ...values.request import Request
from ...values.usage import Usage
from ...wire.protocol import Protocol
from ..error_answers import answered, classify, decoded, failure_of
from ..json_values import is_done, wrong
from .agreement import SequenceNumbers
from .answer import (
    ID,
    OpenAIResponsesRaw,
    ResponseObject,
    ResponseOutputItem,
    decode_plain,
    log_probabilities,
    refusal_of,
    usage_of,
    whole,
)
from .body import OPENAI, ResponsesDialect, lower, mended, options_of
from .items import Items
from .pieces import CALLS, Block, Item, Kind

__all__ = [
    "OPENAI",
    "OpenAIResponsesRaw",
    "ResponseObject",
    "ResponseOutputItem",
    "ResponsesDialect",
    "ResponsesState",
    "classify",
    "halt",
    "initial",
    "lower",
    "protocol",
    "step",
    "unary",
]


# Stream events

_CUT_SHORT: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content-filter",
}
_FAILED: Final = frozenset({"failed", "cancelled"})
#: What an event carries, by one of these names.
_PAYLOADS: Final = ("item", "part", "response")
_RUNNING: Final = frozenset({"queued", "in_progress"})


# Parser state


class _Flow(NamedTuple):
    """The text that flows at the moment, so that the next event is likely to be more of it."""

    place: int | str | None  # of its item: the index in the output or, without one, the id
    content_index: int
    block: Block


class ResponsesState:
    """Where the parser stands in one answer.

    Attributes:
        complete: the last event has come; likewise `done`.
    """

    __slots__ = (
        "complete",
        "done",
        "flow",
        "items",
        "piece_of",
        "refusals",
        "response_id",
        "response_model",
        "sequence",
        "started",
        "usage",
    )

    def __init__(self, dialect: ResponsesDialect) -> None:
        self.complete = False
        self.done = False
        self.items = Items(dialect.namespace)
        self.flow: _Flow | None = None
        self.piece_of: Block | Item | None = None  # what the event at hand is a piece of
        self.refusals: dict[tuple[Any, int], str] = {}  # by item and part
        self.sequence = SequenceNumbers()
        self.started = False
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.usage: Usage | None = None


def initial(request: Request, *, dialect: ResponsesDialect = OPENAI) -> ResponsesState:  # noqa: ARG001 - see ChatState
    """A fresh state for the answer to one request."""
    return ResponsesState(dialect)


# Reading a stream


def step(state: ResponsesState, data: bytes, event: str = "message") -> Sequence[Event]:
    """The events that one stream event stands for.

    Args:
        data: its JSON.
        event: its name, which the JSON repeats.

    Raises:
        InvalidProviderOutput: for what is no stream event of Responses.
        IncompleteStream: for ``[DONE]`` before the last event.
        MelliteError: of the kind that an error inside the stream stands for.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> step(state, b'{"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi!"}')[-1]
        TextDelta(text='Hi!', id='msg_1')
    """
    flow = state.flow
    if flow is not None and event in _PLAIN_NAMES:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            pass  # another event, or no JSON at all: the long way finds out
        else:
            place = plain.item_id if plain.output_index is None else plain.output_index
            if place == flow.place and plain.content_index == flow.content_index and plain.delta:
                block = flow.block
                if plain.sequence_number is not None:
                    state.sequence.note(plain.sequence_number, block)
                block.pieces.append(plain.delta)
                return (TextDelta(plain.delta, block.id),)
    return _take(state, data, event)


_PLAIN_NAMES: Final = frozenset({"message", "response.output_text.delta"})


def halt(state: ResponsesState) -> Sequence[Event]:
    """What the end of the stream stands for, where it comes before the last event.

    Raises:
        IncompleteStream: always.
    """
    raise _broken_off(state)


def _broken_off(state: ResponsesState) -> IncompleteStream:
    what = "broke off before its last event" if state.response_id or state.started else "ended before it began"
    return IncompleteStream(f"the answer {what}; what came of it is in .partial", usage=state.usage)


def _take(state: ResponsesState, data: bytes, name: str) -> Sequence[Event]:
    if is_done(data):
        raise _broken_off(state)
    try:
        if (event := decoded(data, name)) is None:
            return ()
        said = event.get("type") if isinstance(event, dict) else None
        type = said if isinstance(said, str) else name
        if said is None or (type not in _LAST and (not type.startswith("response.") or event.get("error"))):
            event = answered(event, "a stream event", event=name, known=_PAYLOADS)
    except MelliteError as error:
        error.usage = state.usage
        raise
    events: list[Event] = []
    if type in _LAST:
        response = _object(event, "response")
        failure = _conclude(state, response, _LAST[type], events)
        if failure is not None:
            raise failure
        return events
    handler = _HANDLERS.get(type)
    state.piece_of = None
    if handler is not None:  # else it is only in the raw answer
        handler(state, event, events)
    state.sequence.note(event.get("sequence_number"), state.piece_of)
    return events


def _object(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    if not isinstance(value, dict):
        raise wrong(value, f"{name!r} of a stream event", "an object")
    return value


def _text(event: Mapping[str, Any], name: str = "delta") -> str:
    value = event.get(name, 0)
    if value is not None and not isinstance(value, str):
        raise wrong(value, f"{name!r} of a stream event", "a text")
    return value or ""  # null says nothing


def _number(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0


def _identify(state: ResponsesState, response: Mapping[str, Any], events: list[Event]) -> None:
    """Say which answer of which model this is, as soon as it is known."""
    id, model = response.get("id"), response.get("model")
    id = id if isinstance(id, str) and id and state.response_id is None else None
    model = model if isinstance(model, str) and model and state.response_model is None else None
    if id or model:
        state.response_id = id or state.response_id
        state.response_model = model or state.response_model
        events.append(ResponseStart(response_id=id, response_model=model))


def _begin(state: ResponsesState, events: list[Event]) -> None:
    if not state.started:
        state.started = True
        events.append(StepStart())


def _on_response(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    _identify(state, _object(event, "response"), events)


def _on_item_added(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    _begin(state, events)
    state.flow = None
    events += state.items.added(_object(event, "item"), event.get("output_index"))


def _on_item_done(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    _begin(state, events)
    state.flow = None
    events += state.items.done(_object(event, "item"), event.get("output_index"))


def _on_text(
    state: ResponsesState, event: Mapping[str, Any], events: list[Event], *, kind: Kind = "output_text"
) -> None:
    text = _text(event)
    if not text:
        return
    _begin(state, events)
    item = state.items.of(event, "message" if kind == "output_text" else "reasoning")
    number = _number(event, _COUNTED[kind])
    block, more = state.items.text(item, kind, number, text)
    if kind == "output_text" and item.held is None:
        place = event.get("output_index")
        state.flow = _Flow(event.get("item_id") if place is None else place, number, block)
    state.piece_of = block
    events += more


#: The field that says which text of its kind an event belongs to.
_COUNTED: Final[Mapping[Kind, str]] = {
    "output_text": "content_index",
    "reasoning_text": "content_index",
    "summary_text": "summary_index",
}


def _on_whole_text(
    state: ResponsesState, event: Mapping[str, Any], events: list[Event], *, kind: Kind = "output_text"
) -> None:
    whole = event.get("text")
    if not isinstance(whole, str) or not whole:
        return  # it is not said here
    _begin(state, events)
    state.flow = None
    events += state.items.whole_text(event, kind, _number(event, _COUNTED[kind]), whole)


def _on_part_done(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    """Take a part of a message or of thinking as a whole; it is of the kind that its type says."""
    part = event.get("part")
    if isinstance(part, Mapping):
        handler = _PARTS.get(str(part.get("type")))
        if handler is not None:
            handler(state, {**event, **part}, events)


def _on_input(
    state: ResponsesState, event: Mapping[str, Any], events: list[Event], *, kind: str = "function_call"
) -> None:
    text = _text(event)
    if not text:
        return
    _begin(state, events)
    item = state.items.of(event, kind)
    state.piece_of = item
    events += state.items.input(item, text)


def _on_whole_input(
    state: ResponsesState, event: Mapping[str, Any], events: list[Event], *, kind: str = "function_call"
) -> None:
    whole = event.get(CALLS[kind])
    if not isinstance(whole, str) or not whole.strip():
        return
    _begin(state, events)
    events += state.items.whole_input(event, kind, whole)


def _on_refusal(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    _begin(state, events)
    place = _refused(event)
    state.refusals[place] = state.refusals.get(place, "") + _text(event)


def _on_whole_refusal(state: ResponsesState, event: Mapping[str, Any], events: list[Event]) -> None:
    whole = event.get("refusal")
    if isinstance(whole, str) and whole:
        _begin(state, events)
        state.refusals[_refused(event)] = whole


def _refused(event: Mapping[str, Any]) -> tuple[Any, int]:
    """Where a refusal stands: an item that is sent twice keeps its id."""
    names = [name for name in (event.get("item_id"), event.get("output_index")) if isinstance(name, (str, int))]
    return next(iter(names), None), _number(event, "content_index")


_PARTS: Final[Mapping[str, Callable[[ResponsesState, Mapping[str, Any], list[Event]], None]]] = {
    "output_text": _on_whole_text,
    "reasoning_text": partial(_on_whole_text, kind="reasoning_text"),
    "refusal": _on_whole_refusal,
    "summary_text": partial(_on_whole_text, kind="summary_text"),
}

_HANDLERS: Final[Mapping[str, Callable[[ResponsesState, Mapping[str, Any], list[Event]], None]]] = {
    "response.created": _on_response,
    "response.queued": _on_response,
    "response.in_progress": _on_response,
    "response.output_item.added": _on_item_added,
    "response.output_item.done": _on_item_done,
    "response.output_text.delta": _on_text,
    "response.output_text.done": _on_whole_text,
    "response.content_part.done": _on_part_done,
    "response.refusal.delta": _on_refusal,
    "response.refusal.done": _on_whole_refusal,
    "response.reasoning_text.delta": partial(_on_text, kind="reasoning_text"),
    "response.reasoning_text.done": partial(_on_whole_text, kind="reasoning_text"),
    "response.reasoning_part.done": _on_part_done,
    "response.reasoning_summary.delta": partial(_on_text, kind="summary_text"),
    "response.reasoning_summary.done": partial(_on_whole_text, kind="summary_text"),
    "response.reasoning_summary_text.delta": partial(_on_text, kind="summary_text"),
    "response.reasoning_summary_text.done": partial(_on_whole_text, kind="summary_text"),
    "response.reasoning_summary_part.done": _on_part_done,
    "response.function_call_arguments.delta": _on_input,
    "response.function_call_arguments.done": _on_whole_input,
    "response.custom_tool_call_input.delta": partial(_on_input, kind="custom_tool_call"),
    "response.custom_tool_call_input.done": partial(_on_whole_input, kind="custom_tool_call"),
}

#: The events that end an answer, and the status that they stand for; of the last, the answer itself says it.
_LAST: Final[Mapping[str, str | None]] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "response.done": None,
}


# The end


def _conclude(
    state: ResponsesState,
    response: dict[str, Any],
    status: str | None,
    events: list[Event],
    *,
    in_one_piece: bool = False,
) -> MelliteError | None:
    """Put the events that end an answer behind `events`; give the error, if it is none.

    Args:
        status: how it ended, if the answer itself does not say it; None if nobody does.
        in_one_piece: whether it did not come as a stream.
    """
    _identify(state, response, events)
    usage = response.get("usage")
    if isinstance(usage, dict) and usage:
        state.usage = usage_of(usage)
    word = response.get("status")
    word = word if isinstance(word, str) and word else status
    output = response.get("output")
    if output is not None and not isinstance(output, list):
        raise wrong(output, "output", "a list")
    _begin(state, events)
    if state.response_id:
        state.items.id_stem = f"call_{state.response_id}"  # different in every turn
    reason = _reason(response, word)
    events += state.items.finish(output or [], cut_short=reason in ("length", "content-filter"))
    if reason in ("stop", "unknown") and state.items.has_calls:
        reason = "tool-calls"
    events.append(StepFinish(0, reason=reason, raw_reason=word, usage=state.usage))
    if word in _RUNNING:
        msg = f"the answer is not there yet: it is {word!r}, to be asked for later by its id {state.response_id!r}"
        return IncompleteStream(msg, usage=state.usage)
    if word in _FAILED:
        return _failure(state, response, in_one_piece=in_one_piece)
    if reason != "content-filter":  # which may take back what was streamed
        state.items.check()
    state.complete = state.done = True
    answer = whole(response, state.items.merged())
    said = answer.get("output") or []
    events.append(
        Finish(
            reason,
            raw_reason=word,
            usage=state.usage,
            response=answer,
            refusal=refusal_of(said) or "".join(state.refusals.values()) or None,
            logprobs=log_probabilities(said),
        )
    )
    return None


def _reason(response: Mapping[str, Any], word: str | None) -> FinishReason:
    details = response.get("incomplete_details")
    why = details.get("reason") if isinstance(details, Mapping) else None
    if word in _FAILED:
        return "error"
    if word == "incomplete" or why:
        return _CUT_SHORT.get(str(why), "unknown")
    return "stop" if word in ("completed", None) else "unknown"


def _failure(state: ResponsesState, response: Mapping[str, Any], *, in_one_piece: bool) -> MelliteError:
    """What an answer that failed stands for."""
    said = {name: value for name, value in response.items() if name not in ("object", "status")}
    error = failure_of({"error": said["error"]} if said.get("error") else said, whole=in_one_piece)
    error.request_id = None  # an answer has an id of its own
    error.usage = error.usage or state.usage
    return error


# An answer in one piece


def unary(body: bytes, *, dialect: ResponsesDialect = OPENAI) -> Iterator[Event]:
    """The events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is no response.
        IncompleteStream: if the answer is still being made, behind the events of what there is.
        MelliteError: of the kind that a failed answer or an error object, sent with status 200, stands for.

    Example:
        >>> said = b'{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}'
        >>> list(unary(b'{"status": "completed", "output": [' + said + b']}'))[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = decoded(body, whole=True)
    state = ResponsesState(dialect)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        answered(answer, "the answer", whole=True)
        raise wrong(answer, "the answer", "a response with output")
    events: list[Event] = []
    failure = _conclude(state, answer, None, events, in_one_piece=True)
    yield from events
    if failure is not None:
        raise failure


# What all of it makes


def protocol(dialect: ResponsesDialect = OPENAI) -> Protocol[ResponsesState]:
    """Responses as one company speaks it.

    Example:
        >>> protocol().id
        'openai-responses'
    """
    return Protocol(
        id=ID,
        options=options_of(dialect),
        lower=partial(lower, dialect=dialect),
        initial=partial(initial, dialect=dialect),
        step=step,
        halt=halt,
        unary=partial(unary, dialect=dialect),
        classify=classify,
        mend=mended,
        elsewhere="ask a server that only knows Chat Completions with '{provider}-chat:' instead of '{provider}:'",
    )
