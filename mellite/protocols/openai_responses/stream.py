"""The stream of Responses: what an event stands for, how an answer ends; and whole answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from ...values.errors import IncompleteStream, MelliteError
from ...values.events import Event, FinishReason, ReasoningDelta, StepFinish, TextDelta, ToolInputDelta
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...wire.protocol import Flowing
from ..error_answers import failure_of
from ..json_values import wrong
from ..reading import answered, decoded, is_done
from .answer import decode_plain, log_probabilities, refusal_of, usage_of, whole
from .dialect import OPENAI, ResponsesDialect
from .events import HANDLERS, object_in
from .pieces import Block, Item
from .state import State

__all__ = ["flow", "flowing", "halt", "initial", "step", "unary"]

_CUT_SHORT: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content-filter",
}
_FAILED: Final = frozenset({"failed", "cancelled"})
#: What an event carries, by one of these names.
_PAYLOADS: Final = ("item", "part", "response")
_RUNNING: Final = frozenset({"queued", "in_progress"})

#: The events that end an answer, and the status that they stand for; of the last, the answer itself says it.
_LAST: Final[Mapping[str, str | None]] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "response.done": None,
}

_SUMMARY: Final = "response.reasoning_summary_text.delta"

#: The events that bring more of what flows; "message" is the name of an event without one.
_PLAIN_NAMES: Final = frozenset(
    {
        "message",
        "response.custom_tool_call_input.delta",
        "response.function_call_arguments.delta",
        "response.output_text.delta",
        _SUMMARY,
        "response.reasoning_text.delta",
    }
)


def initial(request: Request, *, dialect: ResponsesDialect = OPENAI) -> State:  # noqa: ARG001 - the argument of every protocol
    """Return a fresh state for the answer to one request."""
    return State(dialect)


# A stream


def step(state: State, data: bytes, event: str = "message") -> Sequence[Event]:
    """Return the events that one stream event stands for.

    Args:
        state: where the parser stands.
        data: the JSON of the stream event.
        event: the name of the stream event, which the JSON repeats.

    Raises:
        InvalidProviderOutput: for what is not a stream event of Responses.
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
            type, place = plain.type, plain.item_id if plain.output_index is None else plain.output_index
            number = plain.summary_index if type == _SUMMARY else plain.content_index
            if type == flow.type and place == flow.place and number == flow.number and plain.delta:
                if plain.sequence_number is not None:
                    state.sequence.note(plain.sequence_number, flow.grown)
                flow.grown.pieces.append(plain.delta)
                if type == "response.output_text.delta":
                    return (TextDelta(plain.delta, flow.grown.id),)
                return (_flowed(flow.grown, plain.delta),)
    return _take(state, data, event)


def flow(state: State, events: Sequence[bytes], name: str = "message") -> list[Event]:
    """Return the deltas of those stream events, from the first one on, that are nothing but more of what flows.

    Example:
        >>> state = initial(Request.of("Hello."))
        >>> more = b'{"type": "response.output_text.delta", "item_id": "1", "content_index": 0, "delta": "Hi!"}'
        >>> flow(state, [more]), step(state, more)[-1], flow(state, [more, b"{}"])
        ([], TextDelta(text='Hi!', id='1'), [TextDelta(text='Hi!', id='1')])
    """
    deltas: list[Event] = []
    flows = state.flow
    if flows is None or name not in _PLAIN_NAMES:
        return deltas
    grown = flows.grown
    is_text, is_summary = flows.type == "response.output_text.delta", flows.type == _SUMMARY
    for data in events:
        try:
            plain = decode_plain(data)
        except (ValueError, RecursionError):
            break
        place = plain.item_id if plain.output_index is None else plain.output_index
        number = plain.summary_index if is_summary else plain.content_index
        if (plain.type, place, number) != (flows.type, flows.place, flows.number) or not plain.delta:
            break
        if plain.sequence_number is not None:
            state.sequence.note(plain.sequence_number, grown)
        grown.pieces.append(plain.delta)
        deltas.append(TextDelta(plain.delta, grown.id) if is_text else _flowed(grown, plain.delta))
    return deltas


def flowing(state: State) -> Flowing | None:
    """Return what flows; None if nothing does. Its events are numbered."""
    flows = state.flow
    return None if flows is None else Flowing(flows.grown.pieces, partial(state.sequence.note, of=flows.grown))


def _flowed(grown: Block | Item, more: str) -> Event:
    """Return the event of more thinking, or of more that goes to a tool."""
    return ToolInputDelta(grown.call_id, grown.name, more) if type(grown) is Item else ReasoningDelta(more, grown.id)


def halt(state: State) -> Sequence[Event]:
    """Return what the end of the stream stands for, where it comes before the last event.

    Raises:
        IncompleteStream: always.
    """
    raise state.broken_off(before="its last event")


def _take(state: State, data: bytes, name: str) -> Sequence[Event]:
    if is_done(data):
        raise state.broken_off(before="its last event")
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
        failure = _concluded(state, object_in(event, "response"), _LAST[type], events)
        if failure is not None:
            raise failure
        return events
    handler = HANDLERS.get(type)
    state.piece_of = None
    if handler is not None:
        handler(state, event, events)
    state.sequence.note(event.get("sequence_number"), state.piece_of)
    return events


def _concluded(
    state: State,
    response: JsonObject,
    status: str | None,
    events: list[Event],
    *,
    in_one_piece: bool = False,
) -> MelliteError | None:
    """Put the events that end an answer after `events`; return the error, if the answer is none.

    Args:
        state: where the parser stands.
        response: the whole answer.
        status: how the answer ended, where it does not say so itself; None if that is not known.
        events: what the answer stands for so far.
        in_one_piece: whether the answer did not come as a stream.
    """
    state.identify(response.get("id"), response.get("model"), events)
    state.use(response.get("usage"), usage_of)
    word = response.get("status")
    word = word if isinstance(word, str) and word else status
    output = response.get("output")
    if output is not None and not isinstance(output, list):
        raise wrong(output, "output", "a list")
    state.begin(events)
    if state.response_id:
        state.items.id_stem = f"call_{state.response_id}"  # different in every turn
    reason = _reason(response, word)
    events += state.items.finish(output or [], cut_short=reason in ("length", "content-filter"))
    if reason in ("stop", "unknown") and state.items.has_calls:
        reason = "tool-calls"
    if word in _RUNNING or word in _FAILED:
        events.append(StepFinish(0, reason=reason, raw_reason=word, usage=state.usage))
        return _failure(state, response, word, in_one_piece=in_one_piece)
    if reason != "content-filter":  # which may take back what was streamed
        state.items.check()
    answer = whole(response, state.items.merged())
    said = answer.get("output") or []
    refusal = refusal_of(said) or "".join(state.refusals.values()) or None
    state.end(reason, word, events, response=answer, refusal=refusal, logprobs=log_probabilities(said))
    return None


def _reason(response: Mapping[str, Json], word: str | None) -> FinishReason:
    details = response.get("incomplete_details")
    why = details.get("reason") if isinstance(details, Mapping) else None
    if word in _FAILED:
        return "error"
    if word == "incomplete" or why:
        return _CUT_SHORT.get(str(why), "unknown")
    return "stop" if word in ("completed", None) else "unknown"


def _failure(state: State, response: Mapping[str, Json], word: str | None, *, in_one_piece: bool) -> MelliteError:
    """Return the error that an answer stands for which failed, or is still being made."""
    if word in _RUNNING:
        msg = f"the answer is not there yet: it is {word!r}, to be asked for later by its id {state.response_id!r}"
        return IncompleteStream(msg, usage=state.usage)
    said = {name: value for name, value in response.items() if name not in ("object", "status")}
    error = failure_of({"error": said["error"]} if said.get("error") else said, whole=in_one_piece)
    error.request_id = None  # an answer has an id of its own
    error.usage = error.usage or state.usage
    return error


# An answer in one piece


def unary(body: bytes, *, dialect: ResponsesDialect = OPENAI) -> Iterator[Event]:
    """Give the events of an answer that came in one piece.

    Raises:
        InvalidProviderOutput: if it is not a response.
        IncompleteStream: if the answer is still being made, after the events of what there is.
        MelliteError: of the kind that a failed answer or an error object, sent with status 200, stands for.

    Example:
        >>> said = b'{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}'
        >>> list(unary(b'{"status": "completed", "output": [' + said + b']}'))[2]
        TextDelta(text='Hi!', id='text-0')
    """
    answer = decoded(body, whole=True)
    state = State(dialect)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
        answered(answer, "the answer", whole=True)
        raise wrong(answer, "the answer", "a response with output")
    events: list[Event] = []
    failure = _concluded(state, answer, None, events, in_one_piece=True)
    yield from events
    if failure is not None:
        raise failure
