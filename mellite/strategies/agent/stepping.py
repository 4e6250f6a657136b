"""The backend behind a run: it takes the steps, and gives the events of all of them as one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast, final

from attrs import evolve

from ...protocols.finish_words import is_paused
from ...thunk.call import CallInfo, Streams
from ...thunk.observing import enter
from ...thunk.pushed import Departed
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.backend_streams import name_of
from ...values.empty import EMPTY
from ...values.errors import RunStopped
from ...values.events import Event, Finish, StepStart, ToolErrorEvent, ToolResultEvent
from ...values.filling import copier
from ...values.request import Request
from ...values.text_answer import Batch, Made, TextAnswer
from ...values.type_names import type_name
from .calling import Called, run_calls
from .progress import Progress, StopReason
from .reading import StepReader, all_events, last_event, step_end
from .step import CUT, RunStep, local_calls

if TYPE_CHECKING:
    from ...thunk.observing import Kind
    from ...thunk.outcome import Outcome
    from ...thunk.pushed import Flight, PushedAudience
    from ...values.messages import ToolCall
    from .plan import Plan

__all__ = ["Departure", "Steps", "TextEnd"]

_copied: Final = copier(Request)

#: How a step ends that says nothing of it.
_ASKS: Final = Finish("tool-calls")

#: With more events before it, the last text is read at once: kept one by one, they take many times their text.
_FEW: Final = 256


class Steps:
    """The backend of one run: what it streams are the steps of that run.

    Args:
        plan: what the run is to do.
        progress: how far it has come; a run that has not begun sets it.
    """

    __slots__ = ("plan", "progress")

    progress: Progress

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.plan = plan
        if progress is not None:
            self.progress = progress

    def describe(self) -> str:
        """Return what to call the backend that is asked."""
        return name_of(self.plan.backend)

    @property
    def asked_for_steps(self) -> Streams:
        """The backend that is asked; see `CallInfo.asked`."""
        return self.plan.backend

    def with_steps_on(self, backend: Streams) -> Steps:
        """Return what takes the same steps on another backend; see `CallInfo.on`."""
        return Steps(evolve(self.plan, backend=backend))

    def as_activity(self) -> tuple[Kind, object]:
        """Return what an observer is told of: a run, not a generation."""
        return "run", self.progress

    def settled_copy(self, call: CallInfo, outcome: Outcome) -> AnyThunk:
        """Return a settled run; see `mellite.thunk.settled_copies`."""
        run = self.progress.run
        kind = type(run) if isinstance(run, ModelOutputThunk) else ModelOutputThunk
        return kind(call, outcome=outcome)

    def read_answer(self, request: Request, text: str) -> Any:
        """Return the parsed output of the last step; `text`, which is its text, where no other type was asked for."""
        if request.output is str:
            return text
        return self.progress.thunks[-1].parsed_repr if self.progress.thunks else None

    def begin_pushing(self, request: Request, pump: PushedAudience, *, once: bool = False) -> Flight:
        """Ask the first step at once where that can be, and return what gives the events of the run in batches."""
        del once  # a run is not repeated: its backend has a rule for that
        progress = self.progress
        progress.begin(request, self.plan.backend)
        if pump.is_bound or self._watchers or progress.waiting():
            return Departure(self, request, pump)
        return Departure(self, request, pump, self._ask(request, is_first=True), [StepStart(progress.count)])

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Take the steps, and yield the events of all of them."""
        self.progress.begin(request, self.plan.backend)
        count = 0
        following: Flight | None = Departure(self, request)
        while following is not None:
            batches, following = following.rest(), None
            try:
                async for batch in batches:
                    if isinstance(batch, Departed):
                        following = batch.flight
                        continue
                    for event in batch.events()[count:] if isinstance(batch, TextAnswer) else batch:
                        count += 1
                        yield event
            finally:
                await batches.aclose()

    async def begin(self, request: Request, pump: PushedAudience | None) -> AsyncGenerator[Batch | Departed, None]:
        """Answer the calls that the history ends with, and ask the first step; yield the events, and what follows.

        Args:
            request: what the run was asked.
            pump: the generation of the run, if it can be ended from outside of its task; None where it stays in that.
        """
        progress = self.progress
        if self._watchers:
            enter(*self._watchers)  # for the tasks of this run, each of which begins in the context of the one before
        behind = await self._answer_waiting()
        if progress.stop_reason is None:
            told = [*behind, StepStart(progress.count)]
            yield [*told]
            reader = self._ask(request, is_first=True)
            pump = None if pump is None or pump.is_bound else pump
            yield Departed(Departure(self, request, pump, reader, told))
        else:
            if behind:
                yield behind
            yield self._end(request, _ASKS)

    async def go_on(
        self, request: Request, pump: PushedAudience | None, reader: StepReader, told: list[Event]
    ) -> AsyncGenerator[Batch | Departed, None]:
        """Read a step, run its tools and ask the next; yield the events, and what follows.

        Args:
            request: what the run was asked.
            pump: the generation of the run, if it can be ended from outside of its task; None where it stays in that.
            reader: that of the step.
            told: the events up to that step.
        """
        progress, thunk, index = self.progress, reader.thunk, self.progress.count
        batch = () if pump is None else told[len(pump.events) :]
        outcome = reader.outcome
        try:
            if outcome is None:
                if pump is not None:
                    reader.wake_at_end(TextEnd(self, pump, reader, told))
                async for more in reader:
                    told += more
                    yield [*batch, *more]
                    batch = ()
                if progress.stop_reason is not None:  # it was ended while this task was about to go on
                    return
                outcome = cast("Outcome", reader.outcome)
            answer = self.text_answer(reader, told)
            if answer is not None:
                yield answer
                return
            if outcome.error is not None and (batch := [*batch, *reader.left(outcome)]):
                yield batch
            rest = reader.rest(outcome)
        except BaseException:
            await reader.leave()
            del self, pump, reader, progress, thunk, outcome  # see "Cycles" in `mellite.thunk`
            raise
        finish = reader.finish or _ASKS
        rest.append(step_end(index, outcome, finish))
        told += rest
        yield [*batch, *rest] if batch else rest
        behind = await self._end_step(thunk, outcome, request)
        if progress.stop_reason is None:
            told += (batch := [*behind, StepStart(index + 1)])
            yield batch
            reader = self._ask(request)
            pump = None if pump is None or pump.is_bound else pump
            yield Departed(Departure(self, request, pump, reader, told))
        else:
            if behind:
                yield behind
            yield self._end(request, finish)

    @property
    def _watchers(self) -> tuple[Any, ...]:
        """The observers that the backend brings along for runs."""
        found: tuple[Any, ...] = getattr(self.plan.backend, "run_watchers", ())
        return found

    def text_answer(self, reader: StepReader, told: list[Event]) -> TextAnswer | None:
        """End the run, and return its answer, if a step has given a text that nobody has looked at; else None."""
        outcome = reader.text_outcome
        if outcome is None or len(told) > _FEW:
            return None
        progress = self.progress
        progress.add(RunStep(reader.thunk))
        progress.stop_reason = "answered"
        return TextAnswer(outcome.text, Made(partial(all_events, told, outcome, progress)))

    def _end(self, request: Request, finish: Finish) -> Sequence[Event]:
        """Return the event that ends the run.

        Raises:
            RunStopped: if the model has not answered with what it was asked for.
        """
        progress = self.progress
        if request.output is not str and progress.stop_reason != "answered":
            raise self._stopped(request, progress.stop_reason)
        return (last_event(finish, progress),)

    def _ask(self, request: Request, *, is_first: bool = False) -> StepReader:
        """Ask the next step, and return what reads it."""
        progress = self.progress
        messages = progress.messages
        if not is_first:
            request = _copied(request, {"messages": messages, "tool_choice": None})
        elif messages is not request.messages:
            request = _copied(request, {"messages": messages})
        call = CallInfo(request, self.plan.backend, lineage=request.metadata.get("lineage", ()))
        thunk: AnyThunk = ModelOutputThunk(call)
        progress.thunks.append(thunk)
        return StepReader(thunk)

    async def _end_step(self, thunk: AnyThunk, outcome: Outcome, request: Request) -> Sequence[Event]:
        """Run the tools of a step that is answered, decide whether it was the last, and return what is to be told."""
        progress = self.progress
        calls = local_calls(outcome.tool_calls)
        reason = outcome.generation.finish_reason
        if reason in CUT:
            progress.stop_reason = "length" if reason == "length" else "content-filter"
        elif not calls and is_paused(outcome.generation.raw_finish_reason):
            progress.add(RunStep(thunk))
            return await self._told(())
        elif not calls or (request.output is not str and thunk.parsed_repr is not None):
            progress.stop_reason = "answered"
        elif self.plan.execution == "none":
            progress.stop_reason, progress.pending_calls = "pending", calls
        else:
            called = await self._run(calls)
            results, values = tuple([one.result for one in called]), tuple([one.value for one in called])
            progress.add(RunStep(thunk, calls, results=results, values=values))
            return await self._told(called)
        nothing = (None,) * len(calls)
        progress.add(RunStep(thunk, calls, results=nothing, values=nothing))
        return ()

    async def _answer_waiting(self) -> Sequence[Event]:
        """Run the calls that the history ends with, or take their results from what was given."""
        progress, plan = self.progress, self.plan
        calls = progress.waiting()
        if not calls:
            return ()
        if plan.execution == "none":  # what is given counts, call by call; the others still wait
            given = await self._run([call for call in calls if call.id in plan.results], plan.results)
            answered = iter(given)
            called = [next(answered) if call.id in plan.results else Called(call, None) for call in calls]
        else:
            called = await self._run(calls, plan.results)
        progress.answer(called)
        return await self._told(called, decide=False)

    async def _run(self, calls: Sequence[ToolCall], results: Mapping[str, Any] = EMPTY) -> list[Called]:
        plan = self.plan
        return await run_calls(
            calls,
            plan.tools,
            approve=plan.approve,
            concurrency=plan.concurrency,
            max_calls=plan.max_calls,
            results=results,
        )

    async def _told(self, called: Sequence[Called], *, decide: bool = True) -> Sequence[Event]:
        """Note whether the run ends after these calls, and return the events that tell of them."""
        progress = self.progress
        told: list[Event] = []
        pending: list[ToolCall] = []
        for one in called:
            result = one.result
            if result is None:
                pending.append(one.call)
                continue
            if one.failed:
                told.append(ToolErrorEvent(result.id, result.name, message=str(result.result.value), error=one.error))
            told.append(ToolResultEvent(result))
        if pending:
            progress.stop_reason, progress.pending_calls = "pending", tuple(pending)
        elif decide:
            progress.stop_reason = await self.plan.stop_when.reason(progress)
        return told

    def _stopped(self, request: Request, reason: StopReason | None) -> RunStopped:
        progress = self.progress
        wanted = type_name(request.output)
        count = len(progress.steps)
        msg = (
            f"the run stopped ({reason}) after {count} step{'s' * (count != 1)}, before the model had answered with "
            f"{wanted}; its steps and messages are there, and run.fork({count}) goes on from them"
        )
        return RunStopped(msg, stop_reason=reason, partial=progress.partial, usage=progress.usage)


@final
class TextEnd:
    """Ends a run at the moment in which a step has given a text, and not when a task gets to it.

    Args:
        steps: takes the steps.
        pump: the generation of the run.
        reader: that of the step.
        told: the events of the run before that text.
    """

    __slots__ = ("_pump", "_reader", "_steps", "_told")

    def __init__(self, steps: Steps, pump: PushedAudience, reader: StepReader, told: list[Event]) -> None:
        self._steps = steps
        self._pump = pump
        self._reader = reader
        self._told = told

    def wake(self) -> None:
        """End the run, if that is what the step has come to."""
        pump = self._pump
        answer = self._steps.text_answer(self._reader, self._told) if pump.is_ready_for_text else None
        if answer is not None:
            pump.end_with_text(answer)


@final
class Departure:
    """A run that is about to begin, or to go on, as a generation takes it: it gives its events in batches, in a task.

    Where a step is on its way, the task begins when there is something of that to tell, and not at all where that is a
    text, which ends the run.

    Args:
        steps: takes the steps.
        request: what the run was asked.
        pump: the generation of the run, if it can be ended from outside of its task; None where it stays in that.
        reader: that of the step which is on its way; None where the first is not asked yet.
        told: the events up to that step.
    """

    __slots__ = ("_pump", "_reader", "_request", "_steps", "_told", "is_sent")

    def __init__(
        self,
        steps: Steps,
        request: Request,
        pump: PushedAudience | None = None,
        reader: StepReader | None = None,
        told: list[Event] | None = None,
    ) -> None:
        self._steps = steps
        self._request = request
        self._pump = pump
        self._reader = reader
        self._told = told
        self.is_sent = pump is not None and reader is not None and reader.wake_at_first(self)

    def wake(self) -> None:
        """End the run, or go on in a task: there is something of the step."""
        pump, reader, told = self._pump, self._reader, self._told
        if not self.is_sent or pump is None or reader is None or told is None or pump.outcome is not None:
            return
        answer = self._steps.text_answer(reader, told) if pump.is_ready_for_text else None
        if answer is not None:
            pump.end_with_text(answer)
        else:
            pump.go_on(self.rest())

    def rest(self) -> AsyncGenerator[Batch | Departed, None]:
        """Return all of it."""
        reader, self._reader = self._reader, None
        if reader is None or self._told is None:
            return self._steps.begin(self._request, self._pump)
        return self._steps.go_on(self._request, self._pump, reader, self._told)

    async def send(self) -> None:
        """Do nothing: `rest` gives all of it."""

    def resume(self) -> None:
        """Do nothing: it pushes nothing by itself."""

    def abort(self) -> None:
        """Leave the step."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.leave_now()
