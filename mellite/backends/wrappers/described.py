"""What is told of generations, tools, runs and strategies: attributes, before they begin and when they are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from ...values.errors import ConfigurationError, GenerationCancelled, MelliteError
from ...values.records import GenerationMetadata
from . import semantics
from .content import finish_word
from .wrapper import Wrapper

if TYPE_CHECKING:
    from ...thunk.observing import Activity, Generation
    from ...values.request import Request
    from ...values.usage import Usage

__all__ = [
    "Attributes",
    "answered_by",
    "asked",
    "cost_of",
    "error_name",
    "failed",
    "finished",
    "measured",
    "model_of",
    "overall",
    "spent",
]

#: Values by name, as spans hold them.
Attributes: TypeAlias = dict[str, Any]


_MEASURED: Final = (
    semantics.OPERATION,
    semantics.PROVIDER,
    semantics.REQUEST_MODEL,
    semantics.RESPONSE_MODEL,
    semantics.SERVER,
    semantics.PORT,
    semantics.REPLAYED,
)


class _Route(Protocol):
    """A route, as far as it is told of."""

    provider: str
    model: str | None
    endpoint: Any


def _route_of(backend: object) -> _Route | None:
    route: _Route | None = getattr(backend, "route", None)
    return route if hasattr(route, "endpoint") else None


def model_of(generation: Generation) -> str | None:
    """Return the model that is asked, if it is known before the answer."""
    model = generation.call.request.model
    if model is None and (route := _route_of(generation.call.backend)) is not None:
        return route.model
    return model


def asked(generation: Generation) -> Attributes:
    """Return what is known of a generation before it begins."""
    request, backend = generation.call.request, generation.call.backend
    found: Attributes = {semantics.OPERATION: semantics.CHAT}
    if (model := model_of(generation)) is not None:
        found[semantics.REQUEST_MODEL] = model
    route = _route_of(backend)
    found[semantics.PROVIDER] = type(backend).__name__ if route is None else semantics.provider_of(route.provider)
    if route is not None:
        found |= _server_of(route)
    return found | _told_of(request)


def _told_of(request: Request) -> Attributes:
    options = request.options
    found = {
        attribute: float(value) if attribute in semantics.FLOATS else value
        for name, attribute in semantics.OPTIONS.items()
        if (value := getattr(options, name)) is not None
    }
    if options.stop:
        found[semantics.STOP_SEQUENCES] = list(options.stop)
    if request.output is not str:
        found[semantics.OUTPUT_TYPE] = "json"
    return found | conversation(request.metadata)


def conversation(metadata: Mapping[str, object]) -> Attributes:
    """Return the conversation that a request is a part of, if it says so."""
    id = metadata.get("conversation_id")
    return {semantics.CONVERSATION: id} if isinstance(id, str) else {}


def answered_by(generation: Generation, facts: GenerationMetadata) -> Attributes:
    """Return where the answer came from, if the backend that was asked first fell back on another one."""
    for other in _others(generation.call.backend):
        route = _route_of(other)
        if route is not None and route.provider == facts.provider and facts.model in (route.model, None):
            return _server_of(route)
    return {}


def _others(backend: Any) -> Iterator[Any]:
    """Give all that stand behind a backend that has several, and nothing for one that has one inside, or none."""
    several = getattr(backend, "backends", None)
    if isinstance(several, tuple):
        for one in several:
            yield from [*_others(one)] or [one]
    elif isinstance(backend, Wrapper):
        yield from _others(backend.backend)


def _server_of(route: _Route) -> Attributes:
    with suppress(ConfigurationError):  # the call tells it
        return _address(route.endpoint.base())
    return {}


@lru_cache(maxsize=64)
def _address(url: str) -> Attributes:
    parts = urlsplit(url)
    if not parts.hostname:
        return {}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {semantics.SERVER: parts.hostname, semantics.PORT: port}


def finished(facts: GenerationMetadata, profile: semantics.Profile) -> Attributes:
    """Return what is known of a generation once it is over."""
    known: Attributes = {
        semantics.REQUEST_MODEL: facts.model,
        semantics.PROVIDER: None if facts.provider is None else semantics.provider_of(facts.provider),
        semantics.RESPONSE_MODEL: facts.response_model,
        semantics.RESPONSE_ID: facts.response_id,
        semantics.FINISH_REASONS: None if facts.finish_reason is None else [finish_word(facts.finish_reason)],
        semantics.ATTEMPTS: facts.attempts,
        semantics.REPLAYED: facts.replayed or None,
    }
    if facts.streaming and facts.ttfb_ms is not None:
        known[semantics.TIME_TO_FIRST_CHUNK] = facts.ttfb_ms / 1000
    if profile.stream is not None:
        known[profile.stream] = facts.streaming
    found = {name: value for name, value in known.items() if value is not None}
    return found | counts(facts.usage)


def counts(usage: Usage | None) -> Attributes:
    """Return the numbers of tokens that are known."""
    if usage is None:
        return {}
    return {
        attribute: count for name, attribute in semantics.COUNTS.items() if (count := getattr(usage, name)) is not None
    }


def cost_of(facts: GenerationMetadata) -> float | None:
    """Return what a generation cost, in USD; None where that is unknown, and for what was only replayed."""
    if facts.replayed:
        return None
    with suppress(ConfigurationError):  # a price list that cannot be read is told to whoever asks for the cost
        cost = facts.cost_usd
        return None if cost is None else float(cost)
    return None


def spent(facts: GenerationMetadata) -> list[tuple[Usage, float | None]]:
    """Return what each attempt of a generation used and cost, the last one first; nothing for what was replayed."""
    if facts.replayed:
        return []
    found = [] if facts.usage is None else [(facts.usage, cost_of(facts))]
    for failure in facts.failures:
        usage = failure.usage if isinstance(failure, MelliteError) else None
        if usage is not None and isinstance(failure, MelliteError):
            one = GenerationMetadata(
                provider=failure.provider, model=failure.model, usage=usage, started_at=facts.started_at
            )
            found.append((usage, cost_of(one)))
    return found


def measured(attributes: Attributes) -> Attributes:
    """Return those attributes that measurements have, too: few, so that there are few series."""
    return {name: attributes[name] for name in _MEASURED if name in attributes}


def overall(activity: Activity, profile: semantics.Profile) -> Attributes:
    """Return what is known of a run, a strategy, a stream or a step once it is over."""
    subject, result = activity.subject, activity.result
    match activity.kind:
        case "run":
            return _of_run(subject)
        case "sampling":
            found: Attributes = {semantics.STRATEGY: type(subject).__name__}
            if profile.workflow is not None:
                found[profile.workflow] = type(subject).__name__
            if result is not None:
                found[semantics.SUCCESS] = bool(result)
                found[semantics.SAMPLES] = len(result.samples)
                found[semantics.STOP_REASON] = result.stop_reason
            return found
        case "stream":
            return {semantics.SUCCESS: bool(subject.success), semantics.ATTEMPTS: max(1, subject.attempts)}
        case _:
            return _of_step(subject, result)


def _of_step(step: Any, payload: Any) -> Attributes:
    """Return what is known of a step of `mellite.steps`; what it spent stands in the spans of its generations."""
    names = {semantics.FLOW_ID: "flow_id", semantics.STEP_ID: "step_id"}
    found: Attributes = {name: str(getattr(step, field)) for name, field in names.items() if hasattr(step, field)}
    if isinstance(payload, dict) and isinstance(payload.get("attempts"), int):
        found[semantics.ATTEMPTS] = payload["attempts"]
    return found


def _of_run(progress: Any) -> Attributes:
    found: Attributes = {semantics.STEPS: len(progress.steps)} | counts(progress.usage)
    if progress.stop_reason is not None:
        found[semantics.STOP_REASON] = progress.stop_reason
    thunks: Sequence[Any] = progress.thunks
    if thunks:
        call, facts = thunks[0].call, thunks[0].generation
        route = _route_of(call.backend)
        model = call.request.model or facts.model or (route.model if route is not None else None)
        provider = facts.provider or (route.provider if route is not None else None)
        found |= conversation(call.request.metadata)
        found |= {} if model is None else {semantics.REQUEST_MODEL: model}
        found |= {} if provider is None else {semantics.PROVIDER: semantics.provider_of(provider)}
    return found


def failed(activity: Activity) -> str | None:
    """Return the name of what an activity failed with; None if it is done, was cancelled or was given up."""
    error = activity.error
    if activity.kind == "tool" and error is None and activity.result is not None:
        return "mellite.errors.ToolFailure" if activity.result.result.type == "error" else None
    if not isinstance(error, Exception) or isinstance(error, GenerationCancelled):
        return None
    return error_name(error)


def error_name(error: BaseException) -> str:
    """Return the full name of an error's class.

    Example:
        >>> from mellite.errors import RateLimited
        >>> error_name(RateLimited("too many"))
        'mellite.errors.RateLimited'
    """
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
