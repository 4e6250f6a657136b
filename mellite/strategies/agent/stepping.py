"""The backend behind a run: it takes the steps, and gives the events of all of them as one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import evolve

from ...protocols.finish_words import is_paused
from ...thunk.call import CallInfo, Streams, name_of
from ...thunk.observing import enter
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.empty import EMPTY
from ...values.errors import RunStopped
from ...values.events import Event, Finish, StepStart, ToolErrorEvent, ToolResultEvent
from ...values.filling import copier
from ...values.request import Request
from ...values.text_answer import Batch, TextAnswer
from ...values.type_names import type_name
from .calling import Called, run_calls
from .progress import Progress, StopReason
from .reading import Departure, StepReader, TextEnd, all_events, last_event, step_end
from .step import CUT, RunStep, local_calls

if TYPE_CHECKING:
    from ...thunk.observing import Kind
    from ...thunk.outcome import Outcome
    from ...thunk.pushed import Flight, PushedAudience
    from ...values.messages import ToolCall
    from .plan import Plan

__all__ = ["Steps"]

_copied: Final = copier(Request)

#: With more events before it, the last text is read at once: kept one by one, they take many times their text.
_FEW: Final = 256


class Steps:
    """The backend of one run: what it streams are the steps of that run.

    Args:
        plan: what the run is to do.
        progress: how far it has come; made anew unless given.
    """

    __slots__ = ("plan", "progress")

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.plan = plan
        self.progress = Progress(past=plan.past) if progress is None else progress

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

    def begin_pushing(self, request: Request, pump: PushedAudience) -> Flight:
        """Ask the first step at once where that can be, and return what gives the events of the run in batches."""
        progress = self.progress
        progress.begin(request, self.plan.backend)
        if pump.activity is not None or progress.waiting():
            return Departure(self._batches(request, pump))
        reader = StepReader(self._ask(request, is_first=True))
        end = TextEnd(self._text_answer, reader, [StepStart(len(progress.steps))], pump)
        return Departure(self._batches(request, pump, reader), end)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Take the steps, and yield the events of all of them."""
        self.progress.begin(request, self.plan.backend)
        batches = self._batches(request)
        count = 0
        try:
            async for batch in batches:
                for event in batch.events()[count:] if isinstance(batch, TextAnswer) else batch:
                    count += 1
                    yield event
        finally:
            await batches.aclose()

    async def _batches(
        self, request: Request, pump: PushedAudience | None = None, reader: StepReader | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Take the steps, and yield the events of all of them, as many at once as there are.

        Args:
            request: what the run was asked.
            pump: the generation of the run, if it can be ended from outside of its task.
            reader: that of the first step, if this was asked before.
        """
        progress = self.progress
        self._enter_watchers()
        told: list[Event] = []
        finish = Finish("tool-calls")
        behind = await self._answer_waiting() if reader is None else ()
        first = len(progress.steps)
        while progress.stop_reason is None:
            index = len(progress.steps)
            batch = [*behind, StepStart(index)]
            told += batch
            try:
                if reader is None:
                    yield batch
                    batch = []
                    reader = StepReader(self._ask(request, is_first=index == first))
                thunk = reader.thunk
                if not reader.is_over():
                    self._watch(reader, told, pump)
                    async for more in reader:
                        told += more
                        yield [*batch, *more]
                        batch = []
                if progress.stop_reason is not None:  # it was ended while this task was about to go on
                    return
                answer = self._text_answer(reader, told)
                if answer is not None:
                    yield answer
                    return
                if batch and thunk.state != "done":
                    yield batch
                    batch = []
                rest = reader.rest()
                told += rest
            except BaseException:
                if reader is not None:
                    await reader.leave()
                raise
            finish, reader = reader.finish or finish, None
            end = step_end(index, thunk, finish)
            told.append(end)
            yield [*batch, *rest, end]
            behind = await self._end_step(thunk, request)
        if behind:
            yield behind
        if request.output is not str and progress.stop_reason != "answered":
            raise self._stopped(request, progress.stop_reason)
        yield (last_event(finish, progress),)

    def _enter_watchers(self) -> None:
        """Put in force what the backend brings along for runs, to the end of the task of this one."""
        watchers = getattr(self.plan.backend, "run_watchers", ())
        if watchers:
            enter(*watchers)

    def _watch(self, reader: StepReader, told: list[Event], pump: PushedAudience | None) -> None:
        """Have the run end at once when a step gives a text, where that can be."""
        if pump is not None:
            reader.wake_at_end(TextEnd(self._text_answer, reader, told, pump))

    def _text_answer(self, reader: StepReader, told: list[Event]) -> TextAnswer | None:
        """End the run, and return its answer, if a step has given a text that nobody has looked at; else None."""
        if not reader.is_unread() or len(told) > _FEW:
            return None
        progress, thunk = self.progress, reader.thunk
        progress.add(RunStep(thunk))
        progress.stop_reason = "answered"
        return TextAnswer(thunk.partial, partial(all_events, told, thunk, progress))

    def _ask(self, request: Request, *, is_first: bool) -> AnyThunk:
        """Make the thunk of the next step."""
        progress = self.progress
        messages = progress.messages
        if not is_first:
            request = _copied(request, {"messages": messages, "tool_choice": None})
        elif messages is not request.messages:
            request = _copied(request, {"messages": messages})
        call = CallInfo(request, self.plan.backend, lineage=request.metadata.get("lineage", ()))
        thunk: AnyThunk = ModelOutputThunk(call)
        progress.ask(thunk)
        return thunk

    async def _end_step(self, thunk: AnyThunk, request: Request) -> Sequence[Event]:
        """Run the tools of a step that is answered, decide whether it was the last, and return what is to be told."""
        progress = self.progress
        outcome = cast("Outcome", thunk.outcome)
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
        """Note whether the run ends behind these calls, and return the events that tell of them."""
        progress = self.progress
        pending = tuple([one.call for one in called if one.result is None])
        if pending:
            progress.stop_reason, progress.pending_calls = "pending", pending
        elif decide:
            progress.stop_reason = await self.plan.stop_when.reason(progress)
        return [event for one in called for event in _events_of(one)]

    def _stopped(self, request: Request, reason: StopReason | None) -> RunStopped:
        progress = self.progress
        wanted = type_name(request.output)
        count = len(progress.steps)
        msg = (
            f"the run stopped ({reason}) after {count} step{'s' * (count != 1)}, before the model had answered with "
            f"{wanted}; its steps and messages are there, and run.fork({count}) goes on from them"
        )
        return RunStopped(msg, stop_reason=reason, partial=progress.partial, usage=progress.usage)


def _events_of(called: Called) -> list[Event]:
    if called.result is None:
        return []
    result = called.result
    told: list[Event] = []
    if called.failed:
        told.append(ToolErrorEvent(result.id, result.name, message=str(result.result.value), error=called.error))
    told.append(ToolResultEvent(result))
    return told
