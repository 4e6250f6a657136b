"""Rows of the log's tables for a settled thunk, run or step, without secrets."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from ...backends.wrappers.described import spent
from ...values.errors import ConfigurationError, GenerationCancelled, MelliteError
from ...values.message_json import written
from ...values.messages import Deferred, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.options import NO_OPTIONS
from ...values.told_errors import error_text
from ..tags import tags_of
from .masking import Masks

if TYPE_CHECKING:
    from ...thunk.call import CallInfo
    from ...thunk.outcome import Outcome
    from ...values.records import GenerationMetadata, RawProviderResponse

__all__ = [
    "CallRow",
    "KeptMessage",
    "MessageRow",
    "RunRow",
    "Settled",
    "SettledCall",
    "SettledRun",
    "SettledStep",
    "StepRow",
    "rows_of",
    "texts_of",
]


class SettledCall(NamedTuple):
    """A thunk that has settled."""

    id: str
    parent: str | None
    call: CallInfo
    outcome: Outcome


class SettledRun(NamedTuple):
    """A run that has ended."""

    id: str
    parent: str | None
    began: datetime | None
    duration_ms: float | None
    stop_reason: str | None
    error: BaseException | None


class SettledStep(NamedTuple):
    """A step of `mellite.steps` that has ended."""

    id: str
    parent: str | None
    time: float
    flow: str
    step: str
    payload: object
    error: BaseException | None


Settled: TypeAlias = SettledCall | SettledRun | SettledStep


class MessageRow(NamedTuple):
    """A row of ``messages``.

    Args:
        shown: what stands for the message in a prompt, where that is not its text.
        content: all its parts as JSON, where they are more than one text.
    """

    hash: bytes
    role: str
    text: str
    shown: str | None
    content: str | None


class CallRow(NamedTuple):
    """A row of ``call_records``, and what belongs to it in other tables."""

    id: str
    prompt: Sequence[KeptMessage]
    answer: KeptMessage | None
    raw: tuple[int | None, str | None, str | None] | None
    values: dict[str, object]


class RunRow(NamedTuple):
    """A row of ``run_records``."""

    id: str
    parent: str | None
    started_at: str | None
    duration_ms: float | None
    state: str
    stop_reason: str | None
    error_type: str | None
    error: str | None


class StepRow(NamedTuple):
    """A row of ``step_records``."""

    time: float
    flow: str
    step: str
    status: str
    payload: str
    activity: str
    parent: str | None


@final
class KeptMessage:
    """A message of a prompt or an answer; its row is made when it is not yet in the file."""

    __slots__ = ("_masks", "_message", "_row", "hash")

    def __init__(self, message: Message, masks: Masks, known: bytes | None) -> None:
        self._message = message
        self._masks = masks
        self._row: MessageRow | None = None
        if known is None:
            self._row = made = self._made()
            known = made.hash
        self.hash = known

    @property
    def is_read(self) -> bool:
        """Whether the row has been made, because the message has not been met before."""
        return self._row is not None

    def row(self) -> MessageRow:
        """Return the row."""
        return self._row or self._made()

    def _made(self) -> MessageRow:
        message, masks = self._message, self._masks
        role, parts = message.role, message.content
        content = shown = None
        if len(parts) == 1 and type(parts[0]) is Text and _is_bare(message, parts[0]):
            text = masks.text(parts[0].text)
        else:
            text = masks.text(message.text)
            seen = masks.text(_shown(parts))
            shown = None if seen == text else seen
            with suppress(MelliteError):  # a part of a class of the caller's own, or a thunk that gave no text
                content = masks.json(written(message))
        said = f"{role}\0{text}" if content is None else f"{role}\1{content}"
        return MessageRow(blake2b(said.encode(), digest_size=16).digest(), role, text, shown, content)


def _is_bare(message: Message, part: Text) -> bool:
    held = (message.id, message.metadata, message.native, part.cache, part.provider_metadata)
    return held == (None,) * len(held)


def _shown(parts: Sequence[Part]) -> str:
    """Return the parts as a text to be read."""
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, Text):
            pieces.append(part.text)
        elif isinstance(part, ToolCall):
            pieces.append(f"\n{part.name}({part.raw_arguments or part.arguments})\n")
        elif isinstance(part, ToolResult):
            value = part.result.value
            pieces.append(f"\n{_shown(value) if part.result.type == 'content' else value}\n")
        elif isinstance(part, Deferred):
            pieces.append("[a thunk]")
        elif not isinstance(part, Reasoning):
            pieces.append(f"[{type(part).__name__.lower()}]")
    return "".join(pieces).strip("\n")


@final
class _Known:
    """The hashes of messages that are alive, so that a long history is not read again at each turn."""

    def __init__(self) -> None:
        self._hashes: dict[int, tuple[weakref.ref[Message], bytes]] = {}

    def kept(self, message: Message, masks: Masks) -> KeptMessage:
        """Return a message as it is kept."""
        number = id(message)
        known = self._hashes.get(number)
        if known is not None and known[0]() is message:
            return KeptMessage(message, masks, known[1])
        made = KeptMessage(message, masks, None)
        self._hashes[number] = weakref.ref(message, lambda _: self._hashes.pop(number, None)), made.hash
        return made


_known: Final = _Known()


def texts_of(settled: Settled) -> Iterator[str]:
    """Yield what will be masked, as far as that is easily found: the answer, and the last question."""
    if isinstance(settled, SettledCall):
        yield settled.outcome.text
        for message in settled.outcome.prompt.messages[-1:]:
            if len(message.content) == 1 and type(part := message.content[0]) is Text:
                yield part.text


def rows_of(settled: Settled, masks: Masks, *, raw: bool) -> CallRow | RunRow | StepRow:
    """Return the row for something that has settled.

    Args:
        raw: whether to keep the provider's own answer, too.
    """
    if isinstance(settled, SettledCall):
        return _call(settled, masks, raw=raw)
    return _run(settled, masks) if isinstance(settled, SettledRun) else _step(settled, masks)


def _call(settled: SettledCall, masks: Masks, *, raw: bool) -> CallRow:
    outcome = settled.outcome
    request, facts = outcome.prompt, outcome.generation
    messages = [Message("system", request.system)] if request.system else []
    messages += request.messages
    parts = outcome.parts or ((Text(outcome.text),) if outcome.text else ())
    route = getattr(settled.call.backend, "route", None)
    error = outcome.error
    values: dict[str, object] = {
        "id": settled.id,
        "parent": settled.parent,
        "started_at": _moment(facts.started_at),
        "provider": facts.provider or getattr(error, "provider", None) or getattr(route, "provider", None),
        "model": facts.model or getattr(route, "model", None),
        "response_model": facts.response_model,
        "state": outcome.state,
        "thinking": None if outcome.thinking is None else masks.text(outcome.thinking),
        "ttfb_ms": facts.ttfb_ms,
        "duration_ms": facts.duration_ms,
        "finish_reason": facts.finish_reason,
        "response_id": facts.response_id,
        "request_id": facts.request_id,
        "attempts": facts.attempts,
        "lineage": f"[{','.join(map(str, settled.call.lineage))}]",
        "tags": masks.json(tags) if (tags := tags_of(request.metadata)) else "[]",
        "replayed": int(facts.replayed),
        **_usage(facts),
        **_failures(facts, masks),
    }
    if request.options is not NO_OPTIONS and (options := request.options.given()):
        values["options"] = masks.json(options)
    if outcome.state == "failed" and error is not None:
        values["error_type"], values["error"] = _named(error), masks.text(error_text(error))
    elif error is not None:
        values["cancel_reason"] = masks.text(str(getattr(error, "reason", None) or ""))
    return CallRow(
        settled.id,
        [_known.kept(message, masks) for message in messages],
        KeptMessage(Message("assistant", parts), masks, None) if parts else None,
        _raw(outcome.raw, masks) if raw else None,
        values,
    )


def _usage(facts: GenerationMetadata) -> dict[str, object]:
    usage = facts.usage
    if usage is None:
        return {}
    cost: float | None = None
    with suppress(ConfigurationError):  # a price list that cannot be read is told to whoever asks for the cost
        cost = None if facts.cost_usd is None else float(facts.cost_usd)
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_input_tokens,
        "cache_write_tokens": usage.cache_write_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": cost,
    }


def _failures(facts: GenerationMetadata, masks: Masks) -> dict[str, object]:
    """Return what is kept of the attempts before the last: why they failed, and what they used and cost."""
    if not facts.failures:
        return {}
    told = [{"error_type": _named(failure), "error": masks.text(error_text(failure))} for failure in facts.failures]
    used = spent(facts)[0 if facts.usage is None else 1 :]
    costs = [cost for _, cost in used if cost is not None]
    return {
        "failures": masks.json(told),
        "failed_input_tokens": sum([usage.input_tokens or 0 for usage, _ in used]),
        "failed_output_tokens": sum([usage.output_tokens or 0 for usage, _ in used]),
        "failed_cost_usd": sum(costs) if costs else None,
    }


def _raw(raw: RawProviderResponse, masks: Masks) -> tuple[int | None, str | None, str | None] | None:
    if raw.response is None and raw.status is None:
        return None
    headers = None if raw.headers is None else masks.json(dict(raw.headers))
    return raw.status, headers, None if raw.response is None else masks.json(raw.response)


def _run(settled: SettledRun, masks: Masks) -> RunRow:
    error = settled.error
    state = _state(error)
    stop = settled.stop_reason or (None if state == "done" else state)
    failed = error if state == "failed" else None
    return RunRow(
        settled.id,
        settled.parent,
        _moment(settled.began),
        settled.duration_ms,
        state,
        stop,
        None if failed is None else _named(failed),
        None if failed is None else masks.text(error_text(failed)),
    )


def _step(settled: SettledStep, masks: Masks) -> StepRow:
    state = _state(settled.error)
    payload = settled.payload
    if state == "done" and isinstance(payload, dict) and payload.get("status") == "error":
        state = "failed"
    status = {"done": "success", "failed": "error"}.get(state, state)
    flow, step = masks.text(settled.flow), masks.text(settled.step)
    return StepRow(settled.time, flow, step, status, masks.json(payload), settled.id, settled.parent)


def _state(error: BaseException | None) -> str:
    if error is None:
        return "done"
    cancelled = isinstance(error, GenerationCancelled) or not isinstance(error, Exception)
    return "cancelled" if cancelled else "failed"


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _named(error: BaseException) -> str:
    return type(error).__name__
