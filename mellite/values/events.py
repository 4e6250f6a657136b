"""The steps of an answer as it arrives: text, thinking and tool-call deltas, usage, and how it finished.

Bare `TextDelta` events and one `Finish` are a valid answer; a delta for an unseen id opens its block.
Delta events are msgspec Structs, because there are thousands of them; the others are frozen attrs classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import msgspec
from attrs import field, fields_dict, frozen

from .messages import ProviderMetadata, ToolCall, ToolResult
from .outputs.plan import OutputMode
from .picklable_errors import by_their_own_means
from .provider_json import Json
from .public_names import publish
from .usage import Usage

__all__ = [
    "Event",
    "Finish",
    "FinishReason",
    "RawChunk",
    "ReasoningDelta",
    "ReasoningEnd",
    "ReasoningStart",
    "ResponseStart",
    "StepFinish",
    "StepStart",
    "TextDelta",
    "TextEnd",
    "TextStart",
    "ToolCallEvent",
    "ToolErrorEvent",
    "ToolInputDelta",
    "ToolInputEnd",
    "ToolInputError",
    "ToolInputStart",
    "ToolResultEvent",
    "Usage",
]

#: Why an answer ended, in the same words for every provider.
FinishReason: TypeAlias = Literal["stop", "length", "tool-calls", "content-filter", "error", "unknown"]
_REASONS: Final[tuple[FinishReason, ...]] = get_args(FinishReason)

#: Words of vendors, for backends of one's own that hand them on; protocols have tables of all of theirs.
_OTHER_WORDS: Final[Mapping[str, FinishReason]] = {
    "content_filter": "content-filter",
    "end_turn": "stop",
    "function_call": "tool-calls",
    "max_tokens": "length",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
}


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """More text, as the provider sent it."""

    text: str
    id: str = "text-0"


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """More thinking."""

    text: str
    id: str = "reasoning-0"


class ToolInputDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the raw JSON of a tool call's arguments."""

    id: str
    name: str
    text: str


class RawChunk(msgspec.Struct, frozen=True, gc=False):
    """One piece of the provider's answer as it came: the JSON of one stream event, undecoded."""

    data: bytes


@frozen(kw_only=True)
class ResponseStart:
    """The metadata of an answer at its start; may come again: later values that are not None win.

    Args:
        streaming: whether the answer comes in pieces.
        headers: of the HTTP response, names in lower case, secrets removed.
        request_body: the JSON that was sent, decoded.
        attempts: how many requests were sent, this one included.
        failures: the errors of the attempts before this one, in order.
        replayed: whether it comes from a cassette.
        repairs: changes to the history so that the provider accepts it, a sentence each.
        output_mode: how the request's output type is enforced: ``native``, ``tool`` or ``text``.
        output_key: the key of the JSON object that holds the answer; None if the answer is the whole JSON.
        service_tier: the service tier, if the caller knows it better than the answer does: ``batch``.
    """

    provider: str | None = None
    protocol: str | None = None
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    status: int | None = None
    headers: Mapping[str, str] | None = None
    request_body: Json = field(default=None, repr=False)
    attempts: int | None = None
    replayed: bool | None = None
    streaming: bool | None = None
    repairs: tuple[str, ...] | None = None
    output_mode: OutputMode | None = None
    output_key: str | None = None
    failures: tuple[Exception, ...] | None = None
    service_tier: str | None = None

    def __getstate__(self) -> dict[str, object]:
        state = {name: getattr(self, name) for name in _START_FIELDS}
        return {**state, "failures": by_their_own_means(self.failures)} if self.failures else state

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name in _START_FIELDS:  # a pickle of an earlier version lacks later fields
            object.__setattr__(self, name, state.get(name))


_START_FIELDS: Final = tuple(fields_dict(ResponseStart))


@frozen
class StepStart:
    """A step of the answer begins; there is more than one only if tools ran in between."""

    index: int = 0


@frozen
class _Block:
    id: str
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)


class TextStart(_Block):
    """A block of text begins."""

    __slots__ = ()


class TextEnd(_Block):
    """A block of text is complete."""

    __slots__ = ()


class ReasoningStart(_Block):
    """A block of thinking begins."""

    __slots__ = ()


class ReasoningEnd(_Block):
    """A block of thinking is complete; ``provider_metadata`` may hold its signature."""

    __slots__ = ()


@frozen
class _ToolInput:
    id: str
    name: str
    provider_executed: bool = field(default=False, kw_only=True)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)


class ToolInputStart(_ToolInput):
    """The model begins to write the arguments of a tool call."""

    __slots__ = ()


class ToolInputEnd(_ToolInput):
    """The arguments of a tool call are complete."""

    __slots__ = ()


@frozen
class ToolInputError:
    """The arguments of a tool call are not JSON; ``raw`` is what the model wrote. The stream continues."""

    id: str
    name: str
    raw: str = field(kw_only=True)


@frozen
class ToolCallEvent:
    """A whole tool call."""

    call: ToolCall


@frozen
class ToolResultEvent:
    """A tool has run: here, or on the provider's side."""

    result: ToolResult


@frozen
class ToolErrorEvent:
    """A tool has failed; ``message`` is what the model is told."""

    id: str
    name: str
    message: str = field(default="", kw_only=True)
    error: Exception | None = field(default=None, kw_only=True, eq=False)


@frozen
class StepFinish:
    """A step of the answer is complete; ``reason`` and ``raw_reason`` as in `Finish`."""

    index: int = 0
    reason: FinishReason = field(default="stop", kw_only=True)
    raw_reason: str | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.reason not in _REASONS:
            _translate(self)


@frozen
class Finish:
    """The answer is complete; exactly one ends every complete stream.

    Args:
        reason: why it ended, in mellite's words: ``stop``, ``length``, ``tool-calls``, ``content-filter``, ``error`` or
            ``unknown``. Any other word is mapped to one of these.
        raw_reason: why it ended, in the provider's own word; by default the word that `reason` was mapped from.
        usage: the tokens used.
        response: the provider's own final object; a streamed answer is merged to the shape of the unary one.
        refusal: the provider's text when the model declined.
        logprobs: the provider's log probabilities, as it sent them.
    """

    reason: FinishReason
    raw_reason: str | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    response: Json = field(default=None, kw_only=True, repr=False)
    refusal: str | None = field(default=None, kw_only=True)
    logprobs: Json = field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.reason not in _REASONS:
            _translate(self)


def _translate(event: StepFinish | Finish) -> None:
    """Put a word of mellite's in the place of another one, which is kept as the raw reason."""
    word: object = event.reason
    object.__setattr__(event, "reason", _OTHER_WORDS.get(word, "unknown") if isinstance(word, str) else "unknown")
    if event.raw_reason is None and isinstance(word, str):
        object.__setattr__(event, "raw_reason", word)


#: A step of an answer as it arrives: what a backend yields and `thunk.events()` gives.
Event: TypeAlias = (
    ResponseStart
    | RawChunk
    | StepStart
    | TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolInputStart
    | ToolInputDelta
    | ToolInputEnd
    | ToolInputError
    | ToolCallEvent
    | ToolResultEvent
    | ToolErrorEvent
    | StepFinish
    | Finish
)

publish(globals(), "mellite.events")
