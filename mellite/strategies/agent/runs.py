"""run() and Run: a model that calls tools until it has answered, as one thunk."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast, overload

from attrs import define, evolve

from ...backends.asking import named
from ...thunk.call import CallInfo, Streams, share_type
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.errors import ConfigurationError, InvalidRequest
from ...values.messages import Deferred, Message, ToolCall
from ...values.options import GenerateOptions
from ...values.prompts import messages_of
from ...values.public_names import publish
from ...values.request import Prompt, Request, System
from .plan import DEFAULT_STOP, Approver, Execution, Plan, tools_by_name
from .progress import Progress, StopReason
from .step import RunStep
from .stepping import Steps
from .stopping import StopWhen

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Self

    from ...values.portrait import Portrait
    from ...values.records import GenerationMetadata
    from ...values.tools import ToolLike
    from ...values.usage import Usage

__all__ = ["Run", "run"]

T = TypeVar("T")


@define(eq=False, repr=False)
class Run(ModelOutputThunk[T], Generic[T]):
    """A model that calls tools until it has answered; made by `mellite.run`. Nothing is sent until it is awaited.

    A run is a thunk: it is awaited, iterated over, copied, resampled, cancelled, gathered and made part of a prompt
    like any other. Its text and parsed output are the last step's; its deltas, events, usage and cost are of all steps.

    Example:
        >>> from mellite.backends import Echo
        >>> answer = run(Echo(), "Hello.")
        >>> answer.result(), answer.stop_reason, len(answer.steps)
        ('Hello.', 'answered', 1)
    """

    def __attrs_post_init__(self) -> None:
        if self._outcome is None:
            stepping = cast("Steps", self._call.backend)
            stepping.progress = progress = Progress(self._call.request.messages, stepping.plan.past)
            progress.find_run = weakref.ref(self)

    @property
    def _stepping(self) -> Steps:
        return cast("Steps", self._call.backend)

    # What is known

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The complete steps: answered, and their tools run."""
        return self._stepping.progress.steps

    @property
    def thunks(self) -> tuple[AnyThunk, ...]:
        """The thunk of each step, including one that is running or has failed."""
        return tuple(self._stepping.progress.thunks)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history: the prompt, the answers and the results of tools."""
        return self._stepping.progress.messages

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the run ended; None before.

        ``answered``; the condition that stopped it: ``steps``, ``tokens``, ``usd``, ``seconds``, ``called``,
        ``repeats``, or ``condition`` for a function; ``pending`` if calls wait for a result; ``length`` or
        ``content-filter`` if an answer was cut; ``failed`` or ``cancelled``.
        """
        outcome = self.outcome
        if outcome is None:
            return None
        if outcome.state == "cancelled":
            return "cancelled"
        found = self._stepping.progress.stop_reason
        return found if found is not None else "failed"

    @property
    def pending_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait for a result from outside, to be given to `resume`."""
        return self._stepping.progress.pending_calls

    @property
    def usage(self) -> Usage | None:
        """The tokens of all steps together, as far as providers reported them; None if none did."""
        return self._stepping.progress.usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all steps together, in USD; None if the cost of one is unknown."""
        return self._stepping.progress.cost_usd

    @property
    def generation(self) -> GenerationMetadata:
        """The metadata of the last step, with the run's start and end, and usage and cost of all steps."""
        made = super().generation
        if len(self._stepping.progress.thunks) < 2:
            return made
        return evolve(made, usage=self.usage, cost_usd=self.cost_usd)

    def deferred_messages(self) -> tuple[Message, ...]:
        """Return the messages that the run added to its prompt; raise if it failed, was cancelled or is not over."""
        from ...values.errors import RunStopped

        outcome = self.outcome
        if outcome is None:
            return super().deferred_messages()  # which says that it is not done
        if not isinstance(outcome.error, RunStopped):
            outcome.raise_error()
        return self._stepping.progress.new_messages

    def __repr__(self) -> str:
        state, count = self.state, len(self.steps)
        told = "" if state == "pending" else f" {self.stop_reason or 'so far'} after {count} step{'s' * (count != 1)}"
        if state in ("failed", "cancelled"):
            told = told.replace(f" {state}", "", 1)
        return super().__repr__().replace(f"<ModelOutputThunk {state}", f"<Run {state}{told}", 1)

    def _portrait(self) -> Portrait:
        from .portraying import portrait_of_run

        waiting = len(self.pending_calls)
        return portrait_of_run(
            self, steps=self.steps, thunks=self.thunks, stop_reason=self.stop_reason, waiting=waiting
        )

    # Going on

    def fork(
        self,
        step: int,
        messages: Prompt = (),
        *,
        backend: Streams | str | None = None,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        stop_when: StopWhen | None = None,
        output: Any = None,
        execution: Execution | None = None,
        concurrency: int | None = None,
        max_calls: int | None = None,
        approve: Approver | None = None,
        results: Mapping[str, Any] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Run[Any]:
        """Make a pending run that keeps the first steps of this one and continues from there.

        The steps that are kept are the same objects, and count: for `stop_when`, for usage and for cost.

        Args:
            step: how many steps to keep.
            messages: what to put after them; a str is a message of the user.
            backend: the backend to ask from there on.
            system: instructions in place of the run's own. This and the following arguments are those of `mellite.run`,
                and replace the run's own if given.

        Raises:
            InvalidRequest: if the run has not taken so many steps, or a value is wrong.
        """
        progress = self._stepping.progress
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= len(progress.steps):
            msg = f"'step' must be a number of steps that the run has taken, 0 to {len(progress.steps)}, not {step!r}"
            raise InvalidRequest(msg, parameter="step")
        behind = () if isinstance(messages, (tuple, list)) and not messages else messages_of(messages)
        given = {
            "stop_when": stop_when,
            "execution": execution,
            "concurrency": concurrency,
            "max_calls": max_calls,
            "approve": approve,
            "results": results,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if backend is not None:
            changes["backend"] = _backend(backend)
        if tools is not None:
            changes["tools"] = tools_by_name(tools)
        plan = self._stepping.plan
        if results is None and step > sum(isinstance(each, RunStep) for each in plan.past):
            changes["results"] = None  # they were for calls before this run: a later one may have the same id
        plan = evolve(plan, past=(*progress.before(step), *behind), **changes)
        if step and "tool_choice" not in options:
            options["tool_choice"] = None
        request = Request.of(self._call.request, system=system, tools=tools, output=output, **options)
        if results is not None:
            _check_results(plan, request)
        call = self._descend(request)
        return Run(evolve(call, backend=Steps(plan)))

    def resume(self, results: Mapping[str, Any]) -> Run[T]:
        """Make a pending run that continues this one, which ended because calls wait for a result.

        Args:
            results: the result of each call in `pending_calls`, by its id: what a tool might return, or a `ToolResult`.
                A call that is left out goes through approval again.

        Raises:
            InvalidRequest: if no call is pending, or none has such an id.
        """
        progress = self._stepping.progress
        if not progress.pending_calls:
            msg = f"no call of this run waits for a result; it is {self.state}"
            raise InvalidRequest(msg)
        plan = self._stepping.plan
        past = tuple(progress.before(len(progress.steps)))
        plan = evolve(plan, past=past, results=results)
        request = self._call.request
        if request.tool_choice is not None:
            request = evolve(request, tool_choice=None)
        _check_results(plan, request)
        return Run(CallInfo(request, Steps(plan), lineage=self._call.lineage))

    # Copies

    def resample(  # pyright: ignore[reportIncompatibleMethodOverride] - both say `Self`
        self,
        n: int,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> list[Self]:
        """Make n pending runs of the same call, whatever the state of this one; see `ModelOutputThunk.resample`."""
        runs = super().resample(n, system=system, tools=tools, **options)
        if tools is None:
            return runs
        plan = evolve(self._stepping.plan, tools=tools_by_name(tools))
        return [type(self)(evolve(each.call, backend=Steps(plan))) for each in runs]

    def _descend(self, request: Request) -> CallInfo:
        return evolve(super()._descend(request), backend=Steps(self._stepping.plan))

    def _copied_deeply(self, memo: dict[int, object]) -> Self:
        """Copy this run; backend, tools and conditions are the world outside, and shared."""
        outcome = self.outcome
        stepping = self._stepping
        memo[id(stepping.plan.backend)] = stepping.plan.backend
        share_type(self._call.request, memo)
        request = copy.deepcopy(self._call.request, memo)
        plan = evolve(
            stepping.plan,
            past=copy.deepcopy(stepping.plan.past, memo),
            results=copy.deepcopy(stepping.plan.results, memo),
        )
        if outcome is None:
            return type(self)(evolve(self._descend(request), backend=Steps(plan)))
        call = evolve(self._call, request=request, backend=Steps(plan, copy.deepcopy(stepping.progress, memo)))
        return type(self)(call, outcome=copy.deepcopy(outcome, memo), copies=self._copies)


@overload
def run(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] = (),
    stop_when: StopWhen = ...,
    output: type[T],
    execution: Execution = "local",
    concurrency: int = 8,
    max_calls: int = 100,
    approve: Approver | None = None,
    results: Mapping[str, Any] | None = None,
    **options: Unpack[GenerateOptions],
) -> Run[T]: ...


@overload
def run(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] = (),
    stop_when: StopWhen = ...,
    output: None = None,
    execution: Execution = "local",
    concurrency: int = 8,
    max_calls: int = 100,
    approve: Approver | None = None,
    results: Mapping[str, Any] | None = None,
    **options: Unpack[GenerateOptions],
) -> Run[str]: ...


@overload
def run(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] = (),
    stop_when: StopWhen = ...,
    output: object,
    execution: Execution = "local",
    concurrency: int = 8,
    max_calls: int = 100,
    approve: Approver | None = None,
    results: Mapping[str, Any] | None = None,
    **options: Unpack[GenerateOptions],
) -> Run[Any]: ...


def run(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] = (),
    stop_when: StopWhen = DEFAULT_STOP,
    output: Any = None,
    execution: Execution = "local",
    concurrency: int = 8,
    max_calls: int = 100,
    approve: Approver | None = None,
    results: Mapping[str, Any] | None = None,
    **options: Unpack[GenerateOptions],
) -> Run[Any]:
    """Let a model call tools until it has answered. Nothing is sent until the run is awaited, iterated over or read.

    The model is asked, the tools it calls are run, it is asked again with their results, and so on, until it answers
    without calling a tool, or a condition of `stop_when` is met.

    Args:
        backend: a backend, or what `mellite.backend` takes, as in ``openai:gpt-4o-mini``.
        prompt: as for `mellite.generate`. If a history ends with calls without results, these are run first.
        system: the system prompt: instructions before the conversation.
        tools: what the model may call: functions, and what `mellite.tool` makes of them; a `ToolDefinition` has no
            handler, and the model is told so.
        stop_when: when to stop before the model has answered: conditions of `mellite.stop` and functions of the run,
            joined by ``|`` and ``&``. Replaces the default.
        output: the type of the parsed answer, or a `mellite.Json`; str by default.
        execution: ``none`` runs no tools: the run ends with the calls in `Run.pending_calls`.
        concurrency: how many tools run at the same time.
        max_calls: the most calls of one answer to run; the model is told that others were not.
        approve: decides on each call, before the tool's own ``approve``; see `mellite.Approval`.
        results: the results of calls that the history ends with, by id; see `Run.resume`.
        **options: as for `mellite.generate`. ``tool_choice`` applies to the first step only.

    Raises:
        InvalidRequest: for a value of the wrong type or out of range.
        UnknownOption: for a misspelled option, with the nearest name.
        ConfigurationError: if `backend` has no ``stream``, or does not name a backend.

    Example:
        >>> from mellite.backends import Echo
        >>> run(Echo(), "Hello.").result()
        'Hello.'
    """
    if not isinstance(tools, (list, tuple)) and (isinstance(tools, (str, Mapping)) or not isinstance(tools, Sequence)):
        msg = f"'tools' must be a sequence of tools, not {type(tools).__name__}"
        raise InvalidRequest(msg, parameter="tools")
    request = Request.of(prompt, system=system, tools=tools or None, output=output, **options)
    if isinstance(prompt, Request) and not tools and execution == "local" and approve is None:
        _check_runnable(request)
    plan = Plan(
        backend=_backend(backend),
        tools=tools_by_name(tools or request.tools),
        stop_when=stop_when,
        execution=execution,
        concurrency=concurrency,
        max_calls=max_calls,
        approve=approve,
        results=results,
    )
    if plan.results:
        _check_results(plan, request)
    return Run(CallInfo(request, Steps(plan)))


def _backend(backend: Any) -> Streams:
    """Return the backend that a caller gave or named.

    Raises:
        ConfigurationError: if it has no ``stream``, or the name is none.
    """
    if isinstance(backend, str):
        return named(backend)
    if not callable(getattr(backend, "stream", None)):
        msg = f"a backend needs a method stream(request); {type(backend).__name__} has none"
        raise ConfigurationError(msg)
    found: Streams = backend
    return found


def _check_runnable(request: Request) -> None:
    """Raise InvalidRequest for tools of a request: it keeps what the model is told of them, and not what runs them."""
    names = [repr(tool.name) for tool in request.tools if tool.native is None]
    if names:
        msg = (
            f"the Request keeps the definitions of its tools ({', '.join(names)}), and not their functions; "
            "give these to the run, run(backend, request, tools=[...]), or take the calls with execution='none'"
        )
        raise InvalidRequest(msg, parameter="tools")


def _check_results(plan: Plan, request: Request) -> None:
    """Raise InvalidRequest for a result of a call that does not wait for one."""
    if not plan.results:
        return
    progress = Progress(request.messages, plan.past)
    if any(isinstance(part, Deferred) for message in progress.messages for part in message.content):
        return  # which calls there are is known when they have settled
    calls = progress.waiting()
    waiting = [call.id for call in calls]
    for id in plan.results:
        same = [call for call in calls if call.id == id]
        if any((call.name, call.arguments) != (same[0].name, same[0].arguments) for call in same[1:]):
            msg = (
                f"'results' has one result for {id!r}, the id of {len(same)} different calls that wait; leave it out, "
                "and decide on them one by one with approve=..."
            )
            raise InvalidRequest(msg, parameter="results")
        if id not in waiting:
            from ...values.spelling import did_you_mean

            said = did_you_mean(id, waiting) if waiting else "the history ends with none"
            msg = f"'results' has a result for {id!r}, and no call with this id waits for one; {said}"
            raise InvalidRequest(msg, parameter="results")


publish(globals(), "mellite", "Run", "run", elsewhere={"_outcome": "thunk.outcome", "_call": "thunk.call"})
