"""Records of one generation: its metadata, the raw provider response, and its log entry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar

from attrs import field, fields, frozen

from .compact import CompactLog
from .events import FinishReason
from .messages import Message
from .outputs.plan import OutputMode
from .picklable_errors import by_their_own_means
from .provider_json import Json
from .public_names import publish
from .signatures import write_signature
from .telling_fields import fields_that_say_something
from .usage import Usage

__all__ = ["GenerateLog", "GenerationMetadata", "RawProviderResponse"]


class _Unpriced(Enum):
    """Stands for a cost that has not been computed yet."""

    UNPRICED = "unpriced"


@frozen(kw_only=True)
class GenerationMetadata:
    """The facts of one generation, the same for streamed and unary answers. None where unknown.

    Args:
        generation_id: assigned when the generation starts; correlates logs.
        model: the requested model.
        response_model: the model that answered, as the provider says.
        response_id: the provider's id of the answer.
        request_id: the provider's id of the HTTP request.
        finish_reason: why it ended, in mellite's words; `raw_finish_reason` in the provider's.
        service_tier: the tier that served the answer, as the provider says (``flex``, ``priority``).
        cost_usd: in USD, exact, if known from a source other than the price list.
        started_at: when the generation started, in UTC.
        ttfb_ms: from the start to the first event, in ms.
        duration_ms: from the start to the end, in ms.
        attempts: how many requests were sent.
        failures: the errors of the attempts before the last, each with its usage; ``thunk.error`` is the last one's.
        replayed: whether it came from a cassette.
        repairs: changes to the history so that the provider accepts it, a sentence each.
        output_mode: how the output type was enforced: ``native`` by a schema that the provider enforces, ``tool`` by a
            tool that had to be called, ``text`` by instructions; None if no type was requested.
    """

    generation_id: str | None = None
    model: str | None = None
    provider: str | None = None
    protocol: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    finish_reason: FinishReason | None = None
    raw_finish_reason: str | None = None
    refusal: str | None = None
    logprobs: Json = field(default=None, repr=False)
    usage: Usage | None = None
    service_tier: str | None = None
    _cost_usd: Decimal | _Unpriced | None = field(default=_Unpriced.UNPRICED, eq=False, repr=False)
    streaming: bool = False
    started_at: datetime | None = None
    ttfb_ms: float | None = None
    duration_ms: float | None = None
    attempts: int | None = None
    replayed: bool = False
    repairs: tuple[str, ...] = ()
    output_mode: OutputMode | None = None
    failures: tuple[Exception, ...] = ()

    __rich_repr__ = fields_that_say_something

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in USD, exact; None when the price or a count is unknown, never 0.

        `mellite.values.prices.pricelist` says where the prices come from.

        It is computed on access, so that generations whose cost is never read do not pay for it.

        Raises:
            ConfigurationError: if MELLITE_PRICES names a file that is not a price list.
        """
        if not isinstance(self._cost_usd, _Unpriced):
            return self._cost_usd
        usage = self.usage
        if usage is None or self.provider is None:
            return None
        from .prices.pricelist import prices

        raw = usage.raw or {}
        tier = self.service_tier or raw.get("service_tier") or raw.get("serviceTier")
        return prices().cost(
            usage,
            provider=self.provider,
            models=(self.response_model, self.model),
            at=self.started_at,
            served={"service_tier": tier, "speed": raw.get("speed")},
        )

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another price list: the cost goes along.
        state: dict[str, Any] = {name: getattr(self, name) for name in _METADATA_SLOTS}
        return {**state, "_cost_usd": self.cost_usd, "failures": by_their_own_means(self.failures)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an earlier version lacks later fields.
        for name, value in {"output_mode": None, "failures": (), **state}.items():
            object.__setattr__(self, name, value)


_METADATA_SLOTS = tuple(attribute.name for attribute in fields(GenerationMetadata))

_RAW_CLASSES: dict[str, type[RawProviderResponse]] = {}


@frozen(kw_only=True)
class RawProviderResponse:
    """The provider's own answer. Code that reads it depends on that provider's shape.

    Each protocol has a subclass whose ``response`` is typed, so that ``match thunk.raw`` and
    ``isinstance`` narrow it.

    Args:
        provider: the provider's name, as in ``openai``.
        protocol: the protocol that was spoken, as in ``openai-chat``.
        response: the provider's final object, decoded; a streamed answer is merged to the shape of the unary one.
        status: the HTTP status.
        headers: the HTTP headers, names in lower case, secrets removed.
        request_body: the JSON that was sent, decoded.
    """

    protocol_id: ClassVar[str | None] = None

    provider: str | None = None
    protocol: str | None = None
    response: Json = field(default=None, repr=False)
    status: int | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    request_body: Json = field(default=None, repr=False)
    log: CompactLog | None = field(default=None, repr=False, eq=False)

    def __init_subclass__(cls, *, protocol: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if protocol is not None:
            cls.protocol_id = protocol
            _RAW_CLASSES[protocol] = cls

    @classmethod
    def for_protocol(cls, protocol: str | None) -> type[RawProviderResponse]:
        """Return the class for answers of this protocol; this class if there is none."""
        return _RAW_CLASSES.get(protocol or "", RawProviderResponse)

    @property
    def streamed_chunks(self) -> list[Json] | None:
        """The stream events as the provider sent them, decoded on each access; None unless it streamed."""
        if self.log is None or not self.log.raw:
            return None
        return [_decoded(chunk) for chunk in self.log.raw_chunks()]


def _decoded(chunk: bytes) -> Json:
    import json

    try:
        return json.loads(chunk)
    except (ValueError, RecursionError):
        return chunk.decode("utf-8", "replace")  # not JSON: shown as it came


@frozen(kw_only=True)
class GenerateLog:
    """One entry of the log of generations; a strategy marks its winner with a new one.

    Args:
        date: when the generation started, in UTC.
        prompt: the messages that were sent, with the text of thunks in their place.
        backend: the backend's name.
        model_options: the options that were given, by name.
        model_output: the text.
        action: the message that asked.
        result: the parsed value.
        is_final_result: whether a strategy chose it; None if none ran.
        attempts: how many requests were sent.
        extra: anything else.
    """

    date: datetime | None = None
    prompt: tuple[Message, ...] = ()
    backend: str | None = None
    model_options: Mapping[str, Any] = field(factory=dict)
    model_output: str | None = None
    action: Message | None = None
    result: Any = None
    is_final_result: bool | None = None
    attempts: int | None = None
    extra: Mapping[str, Any] = field(factory=dict)

    __rich_repr__ = fields_that_say_something


publish(globals(), "mellite")

write_signature(GenerationMetadata, {"cost_usd": "..."}, types={"cost_usd": "Decimal | None"})
write_signature(GenerateLog, {"model_options": "{}", "extra": "{}"})
