"""What a settled generation leaves behind: done, failed or cancelled, with everything received by then."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, final

from attrs import define, evolve, field, fields_dict

from ..values.backend_streams import name_of
from ..values.compact import CompactLog
from ..values.errors import (
    BackendError,
    GenerationCancelled,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    OutputValidationError,
)
from ..values.events import Event
from ..values.fold import Folded, fold
from ..values.messages import Part, Text, ToolCall
from ..values.outputs.reading import explained, read_answer
from ..values.outputs.tool_answers import is_answered
from ..values.picklable_errors import by_their_own_means
from ..values.provider_json import Json
from ..values.records import GenerateLog, GenerationMetadata, RawProviderResponse
from ..values.request import Request
from ..values.told_errors import error_line, error_text

__all__ = ["Outcome", "State", "conclude", "metadata_of", "raw_of", "what_ends"]

State = Literal["pending", "running", "done", "failed", "cancelled"]


@define(eq=False, kw_only=True)
class Outcome:
    """A settled generation. Copies of a thunk share it; only ``log`` may be replaced.

    Attributes:
        parts: the parts of the message; None for one part of plain text, or for no text.
        error: what ``await`` raises: the failure, or a `GenerationCancelled`.
        traceback: that of the error when it settled.
        prompt: the request as the backend got it.
        extra: more for the log.
        is_final: what the log is to say about the choice of a strategy, if one chose.
    """

    state: Literal["done", "failed", "cancelled"]
    text: str
    thinking: str | None
    parts: tuple[Part, ...] | None
    tool_calls: tuple[ToolCall, ...]
    generation: GenerationMetadata
    raw: RawProviderResponse
    parsed: Any
    error: Exception | None
    traceback: TracebackType | None
    compact: CompactLog
    prompt: Request
    extra: Mapping[str, object] | None = None
    log: GenerateLog | None = None
    is_final: bool | None = None
    _unread: _Unread | None = field(default=None, init=False, repr=False)

    @classmethod
    def of_text(
        cls,
        text: str,
        events: Callable[[], list[Event]],
        *,
        request: Request,
        backend: object,
        generation_id: str | None = None,
        clock: Clock,
    ) -> Outcome:
        """Return the outcome of an answer of text alone; most of it is made when somebody looks.

        It then is what `conclude` makes of the events, whatever has become of `clock` by then.

        Args:
            text: the whole text of an answer that is done, without thinking and without tool calls, as str asked for.
            events: makes the events that the answer stands for; called in any thread, once or more, then dropped.
        """
        self = cls.__new__(cls)
        self.state = "done"
        self.text = self.parsed = text
        self.thinking = self.error = self.traceback = self.log = self.is_final = None
        self.tool_calls = ()
        self.prompt = request
        self.extra = clock.extra
        self._unread = unread = _Unread()
        unread.events = events
        unread.backend = backend
        unread.generation_id = generation_id
        unread.started_at = clock.started_at
        unread.ttfb_ms = clock.ttfb_ms
        unread.duration_ms = clock.duration_ms
        return self

    if not TYPE_CHECKING:  # no name is new to type checkers; this is asked only for what is not there yet

        def __getattr__(self, name: str) -> object:
            unread = self._unread if name in _READ_LATE else None
            if unread is not None and name == "generation":
                self._read_generation(unread)
            elif unread is not None:
                self._read(unread)
            return object.__getattribute__(self, name)

    def _read_generation(self, unread: _Unread) -> None:
        """Make the metadata alone: half of all, and what most look at; of two threads, both get those of the first."""
        known = metadata_of(fold(unread.events()), self.prompt, unread.generation_id, unread.clock(self.extra))
        unread.append(known)  # atomic, as is taking the first
        self.generation = unread.generation

    def _read(self, unread: _Unread) -> None:
        """Make what nobody has looked at so far; if two threads do it at once, both get what the first one made."""
        whole = conclude(
            unread.events(),
            request=self.prompt,
            backend=unread.backend,
            generation_id=unread.generation_id,
            clock=unread.clock(self.extra),
        )
        unread.append(whole)
        whole = next(each for each in unread if isinstance(each, Outcome))
        if whole.text == self.text:
            self.text = self.parsed = whole.text  # that of the log, so that there is one text and not two
        self.generation = unread.generation
        self.parts, self.raw, self.compact = whole.parts, whole.raw, whole.compact
        self._unread = None

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        yield "state", self.state
        yield "text", self.text
        if self.error is not None:
            yield "error", self.error

    def mark(self, *, final: bool) -> None:
        """Say in the log entry whether a strategy chose this generation, without making the entry for it."""
        self.is_final = final
        if self.log is not None:
            self.log = evolve(self.log, is_final_result=final)

    def raise_error(self) -> None:
        """Raise what went wrong, if anything did, with the traceback it settled with, so that this does not grow."""
        error, traceback = self.error, self.traceback
        if error is not None:
            try:
                raise error.with_traceback(traceback)
            finally:
                del self, error, traceback  # see "Cycles" in `mellite.thunk`

    def generate_log(self, backend: str) -> GenerateLog:
        """Return the log entry, which is made on the first call."""
        if self.log is None:
            request = self.prompt
            self.log = GenerateLog(
                date=self.generation.started_at,
                prompt=request.messages,
                backend=backend,
                model_options=request.options.given(),
                model_output=self.text,
                action=request.messages[-1] if request.messages else None,
                result=self.parsed,
                attempts=self.generation.attempts,
                is_final_result=self.is_final,
                extra=dict(self.extra or {}),
            )
        return self.log

    def __deepcopy__(self, memo: dict[int, object]) -> Outcome:
        memo.update({id(failure): failure for failure in self.generation.failures})
        changes = {
            name: copy.deepcopy(getattr(self, name), memo)
            for name in ("parts", "tool_calls", "generation", "raw", "parsed", "compact", "prompt", "extra", "log")
        }
        return evolve(self, **changes)  # the error is shared, and strings are what they are

    def __getstate__(self) -> dict[str, object]:
        state = {name: getattr(self, name) for name in fields_dict(Outcome) if name not in ("traceback", "_unread")}
        return state if self.error is None else {**state, "error": by_their_own_means([self.error])[0]}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._unread = None
        self.is_final = None  # pickles of earlier versions do not say
        for name, value in state.items():
            setattr(self, name, value)
        self.traceback = None


@define(kw_only=True)
class Clock:
    """When a generation started, and how long it took to begin and to end."""

    started_at: datetime | None = None
    ttfb_ms: float | None = None
    duration_ms: float | None = None
    extra: Mapping[str, object] | None = field(default=None)


_UNTIMED: Final = Clock()


@final
class _Unread(list[Outcome | GenerationMetadata]):
    """What an outcome is made of that nobody has looked at yet; holds what has been made of it, the first of all first.

    It is that list itself, because every kept answer has one of these.
    """

    __slots__ = ("backend", "duration_ms", "events", "generation_id", "started_at", "ttfb_ms")

    events: Callable[[], list[Event]]
    backend: object
    generation_id: str | None
    started_at: datetime | None
    ttfb_ms: float | None
    duration_ms: float | None

    def clock(self, extra: Mapping[str, object] | None) -> Clock:
        """Return the clock of the generation as it stood in the end."""
        return Clock(started_at=self.started_at, ttfb_ms=self.ttfb_ms, duration_ms=self.duration_ms, extra=extra)

    @property
    def generation(self) -> GenerationMetadata:
        """The metadata that were made first, by themselves or with the rest."""
        first = self[0]
        return first if isinstance(first, GenerationMetadata) else first.generation


#: What `Outcome.of_text` leaves open.
_READ_LATE: Final = ("parts", "generation", "raw", "compact")


def metadata_of(folded: Folded, request: Request, generation_id: str | None, clock: Clock) -> GenerationMetadata:
    """Return the metadata of one generation."""
    start, finish = folded.start, folded.finish
    ended = finish or folded.step
    return GenerationMetadata(
        generation_id=generation_id,
        model=start.model if start.model is not None else request.model,
        provider=start.provider,
        protocol=start.protocol,
        response_model=start.response_model,
        response_id=start.response_id,
        request_id=start.request_id,
        finish_reason=ended.reason if ended else None,
        raw_finish_reason=ended.raw_reason if ended else None,
        refusal=finish.refusal if finish else None,
        logprobs=finish.logprobs if finish else None,
        usage=folded.usage,
        service_tier=start.service_tier or (_tier(finish.response) if finish else None),
        streaming=bool(start.streaming),
        started_at=clock.started_at,
        ttfb_ms=clock.ttfb_ms,
        duration_ms=clock.duration_ms,
        attempts=start.attempts if start.attempts is not None else (1 if generation_id else None),
        replayed=bool(start.replayed),
        repairs=start.repairs or (),
        output_mode=None if request.output is str else start.output_mode or "text",
        failures=start.failures or (),
    )


def _tier(response: Json) -> str | None:
    """What the provider's final object says of how it was served, at its top; some say it in the usage instead."""
    if not isinstance(response, dict) or not ("service_tier" in response or "serviceTier" in response):
        return None
    facts: Mapping[str, object] = response
    tier = facts.get("service_tier") or facts.get("serviceTier")
    tier = tier.get("type") if isinstance(tier, Mapping) else tier
    return tier if isinstance(tier, str) else None


def raw_of(folded: Folded, log: CompactLog | None) -> RawProviderResponse:
    """Return the raw response of one generation, in the class of its protocol."""
    start = folded.start
    return RawProviderResponse.for_protocol(start.protocol)(
        provider=start.provider,
        protocol=start.protocol,
        response=folded.finish.response if folded.finish else None,
        status=start.status,
        headers=start.headers,
        request_body=start.request_body,
        log=log,
    )


def conclude(
    events: list[Event],
    *,
    request: Request,
    backend: object,
    generation_id: str | None = None,
    clock: Clock = _UNTIMED,
    error: BaseException | None = None,
    cancelled: str | None = None,
) -> Outcome:
    """Fold the events, and decide between done, failed and cancelled.

    Args:
        backend: asked for its name where an error needs it.
        error: what the backend raised, if anything.
        cancelled: why the generation was cancelled, if it was; a cancellation after the finish event comes too late.
    """
    weigh = partial(_weigh, request=request, backend=backend, generation_id=generation_id, clock=clock)
    try:
        return weigh(events, error=error, cancelled=cancelled)
    except Exception as trouble:
        if not events:
            raise
        # An event holds what it must not. Keep what came before the first such event: from there on, folding fails.
        first = bisect_left(range(len(events)), 1, key=lambda count: _fails(weigh, events[: count + 1]))
        broken = InvalidProviderOutput(
            f"{name_of(backend)} yielded an event that cannot be read, {events[first]!r:.200}: {error_text(trouble)}"
        )
        broken.__cause__ = trouble
        return weigh(events[:first], error=broken, cancelled=None)


def _fails(weigh: Callable[..., Outcome], events: list[Event]) -> bool:
    try:
        weigh(events, error=None, cancelled=None)
    except Exception:
        return True
    return False


def _weigh(
    events: list[Event],
    *,
    request: Request,
    backend: object,
    generation_id: str | None,
    clock: Clock,
    error: BaseException | None,
    cancelled: str | None,
) -> Outcome:
    folded = fold(events)
    if folded.usage is None and isinstance(error, MelliteError) and error.usage is not None:
        folded = evolve(folded, usage=error.usage)  # told with the error, in no event
    generation = metadata_of(folded, request, generation_id, clock)
    failure: Exception | None = None
    parsed: Any = None
    if error is not None:
        failure = _ours(error, backend)
    elif folded.finish is None and cancelled is None:
        msg = f"the stream of {name_of(backend)} stopped without a finish event; what came before it is in .partial"
        failure = IncompleteStream(msg)
    elif folded.finish is not None:
        try:
            parsed = _parsed(folded, events, request, backend)
        except OutputValidationError as invalid:
            failure = invalid
    state: Literal["done", "failed", "cancelled"] = "done"
    if failure is not None:
        state = "failed"
        _inform(failure, folded, generation)
    elif folded.finish is None:
        state = "cancelled"
        failure = GenerationCancelled(
            f"the generation was cancelled: {cancelled}", reason=cancelled, partial=folded.text, usage=folded.usage
        )
    compact = _compact(events, folded)
    try:
        return Outcome(
            state=state,
            text=folded.text,
            thinking=folded.thinking,
            parts=None if _is_plain(folded.parts) else folded.parts,
            tool_calls=folded.tool_calls,
            generation=generation,
            raw=raw_of(folded, compact),
            parsed=parsed,
            error=failure,
            traceback=failure.__traceback__ if failure is not None else None,
            compact=compact,
            prompt=request,
            extra=clock.extra,
        )
    finally:
        failure = None  # see "Cycles" in `mellite.thunk`


def _is_plain(parts: tuple[Part, ...]) -> bool:
    return not parts or (len(parts) == 1 and type(parts[0]) is Text and parts[0].provider_metadata is None)


def _compact(events: list[Event], folded: Folded) -> CompactLog:
    text, thinking = folded.earlier
    return CompactLog.of(events, text=text + folded.text, thinking=thinking + (folded.thinking or ""), run=folded.run)


def _parsed(folded: Folded, events: list[Event], request: Request, backend: object) -> Any:
    """Return the answer in its output type; None where a turn only asks for tools, whatever it says beside the calls.

    A backend that takes several steps has read the last one already.

    Raises:
        OutputValidationError: if it does not fit.
    """
    read = getattr(backend, "read_answer", None)
    if read is not None:
        return read(request, folded.text)
    calls, output = folded.tool_calls, request.output
    if output is str:
        return folded.text if folded.text or not calls else None
    start, text = folded.start, folded.text
    mode = start.output_mode or ("text" if request.output_mode == "text" else None)
    if mode == "tool" and is_answered(events):
        text = next((part.text for part in reversed(folded.parts) if type(part) is Text), "")
    elif calls and not (text and all(call.provider_executed for call in calls)):
        return None
    try:
        return read_answer(text, output, mode=mode, key=start.output_key)
    except OutputValidationError as error:
        raise explained(error, folded.finish) from error.__cause__


def what_ends(error: BaseException) -> BaseException:
    """Return what ends the program, if a task group has raised it among others; else the error itself."""
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception):
        ends: BaseException | None = error.subgroup((KeyboardInterrupt, SystemExit))
        while isinstance(ends, BaseExceptionGroup):
            ends = ends.exceptions[0]
        return error if ends is None else ends
    return error


def _ours(error: BaseException, backend: object) -> Exception:
    """Return the error as mellite raises it, without the frames of this room at its top."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in _MACHINERY:
        traceback = traceback.tb_next
    error.__traceback__ = traceback
    if isinstance(error, MelliteError):
        return error
    wrapped = BackendError(f"backend {name_of(backend)} raised {error_line(error)}")
    wrapped.__cause__ = error
    return wrapped


#: The modules whose frames are cut off the top of a traceback.
_MACHINERY: Final = frozenset(f"{__package__}.{name}" for name in ("pump", "pushed", "audience", "outcome", "sharing"))


def _inform(failure: Exception, folded: Folded, generation: GenerationMetadata) -> None:
    if not isinstance(failure, MelliteError):
        return
    if failure.partial is None:
        failure.partial = folded.text
    if failure.usage is None:
        failure.usage = folded.usage
    for name in ("provider", "model", "request_id"):
        if getattr(failure, name) is None:
            setattr(failure, name, getattr(generation, name))
