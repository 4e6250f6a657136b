"""The progress of a run: its steps and messages, their usage, and why it ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from attrs import evolve

from ...thunk.thunk import AnyThunk
from ...values.messages import Message, ToolCall, ToolResult
from ..spending import spent_on
from .step import RunStep, local_calls

if TYPE_CHECKING:
    from decimal import Decimal

    from ...thunk.call import Streams
    from ...values.prices.totals import Totals
    from ...values.request import Request
    from ...values.usage import Usage
    from .calling import Called

__all__ = ["Past", "Progress", "StopReason"]

#: Why a run ended.
StopReason: TypeAlias = Literal[
    "answered",
    "steps",
    "tokens",
    "usd",
    "seconds",
    "called",
    "repeats",
    "condition",
    "pending",
    "length",
    "content-filter",
    "failed",
    "cancelled",
]

#: What is of this process, or of the run while it goes on.
_ITS_OWN: Final = ("_began", "asked", "find_run")

#: What stands after the prompt of a run.
Past: TypeAlias = Sequence[RunStep | Message]


class Progress:
    """The progress of a run; written by the task that takes its steps, and read by anybody.

    Args:
        prompt: the messages that the run began with.
        past: the steps that it begins with, and messages between and after them.

    Attributes:
        thunks: the thunks of all steps, also of one that is in flight or has failed.
        stop_reason: why it ended; None while it runs, and where it failed or was cancelled.
        pending_calls: the calls that wait for a result from outside.
        find_run: gives the run, while there is one: iterators over it do not keep it.
        asked: what the run was asked, and whom its steps ask, for those who look on; None before it begins.
    """

    __slots__ = (
        "_added",
        "_began",
        "_behind",
        "_prompt",
        "_read",
        "_steps",
        "asked",
        "find_run",
        "pending_calls",
        "stop_reason",
        "thunks",
    )

    def __init__(self, prompt: tuple[Message, ...] = (), past: Past = ()) -> None:
        self._prompt = prompt
        self._behind: list[RunStep | Message] = [*past]
        self._steps: list[RunStep] = [each for each in past if isinstance(each, RunStep)] if past else []
        self._added: list[Message] = []
        self._read = 0  # how many of those after the prompt have their messages there
        self._began: float | None = None
        self.thunks: list[AnyThunk] = [step.thunk for step in self._steps] if past else []
        self.stop_reason: StopReason | None = None
        self.pending_calls: tuple[ToolCall, ...] = ()
        self.find_run: Callable[[], object] | None = None
        self.asked: tuple[Request, Streams] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Progress.__slots__ if name not in _ITS_OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._began = self.find_run = self.asked = None
        for name, value in state.items():
            setattr(self, name, value)

    # What is known

    @property
    def run(self) -> Any:
        """The run; where only its iterators are left, how far it has come, which can be read alike."""
        run = self.find_run() if self.find_run is not None else None
        return self if run is None else run

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The complete steps: answered, and their tools run."""
        return tuple(self._steps)

    @property
    def count(self) -> int:
        """The number of complete steps."""
        return len(self._steps)

    @property
    def new_messages(self) -> tuple[Message, ...]:
        """The messages after the prompt."""
        return tuple(self._read_added())

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole history: the prompt, the answers and the results."""
        return (*self._prompt, *self._read_added()) if self._behind else self._prompt

    @property
    def partial(self) -> str:
        """The text of the last step so far."""
        return self.thunks[-1].partial if self.thunks else ""

    @property
    def usage(self) -> Usage | None:
        """The tokens of all steps together, as far as they were reported; None if none was."""
        return self.totals(priced=False).usage

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost of all steps together, in USD; None if the cost of one is unknown."""
        return self.totals().cost_usd

    def totals(self, *, priced: bool = True) -> Totals:
        """Return what all steps used and, if `priced`, cost."""
        return spent_on(self.thunks, priced=priced)

    @property
    def seconds(self) -> float:
        """The time that the run has taken so far, in seconds."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def before(self, step: int) -> list[RunStep | Message]:
        """Return what stood after the prompt when a step was about to be asked, by its index."""
        found: list[RunStep | Message] = []
        for each in self._behind:
            if isinstance(each, RunStep):
                if not step:
                    break
                step -= 1
            found.append(each)
        return found

    def waiting(self) -> tuple[ToolCall, ...]:
        """Return the calls at the end of the history that have no result."""
        last = self._behind[-1] if self._behind else None
        if isinstance(last, RunStep) and last.is_cut:
            return ()
        messages = self._prompt if last is None else self.messages
        if messages and messages[-1].role == "user":
            return ()
        answered: Counter[str] = Counter()
        for message in reversed(messages):
            if message.role == "tool":
                answered.update([part.id for part in message.content if isinstance(part, ToolResult)])
                continue
            found: list[ToolCall] = []
            for call in local_calls(message.tool_calls) if message.role == "assistant" else ():
                if answered[call.id]:
                    answered[call.id] -= 1
                else:
                    found.append(call)
            return tuple(found)
        return ()

    # What is written

    def begin(self, request: Request, backend: Streams) -> None:
        """Note that the run begins, its request, in which every thunk has become text, and whom its steps ask."""
        self._prompt = request.messages
        self.asked = request, backend
        self._began = time.monotonic()

    def add(self, step: RunStep) -> None:
        """Note that a step is complete."""
        self._behind.append(step)
        self._steps.append(step)

    def answer(self, called: Sequence[Called]) -> None:
        """Enter the results of calls that had none: those of the last step, or of the history that was given."""
        last = self._behind[-1] if self._behind else None
        results = [each.result for each in called if each.result is not None]
        if isinstance(last, RunStep):
            self._behind[-1] = self._steps[-1] = _completed(last, called)
        elif results:
            self._behind.append(Message.tool(*results))
        self._added, self._read = [], 0

    def _read_added(self) -> list[Message]:
        """Return the messages after the prompt; those of a step are made when somebody asks for them."""
        count = len(self._behind)
        if self._read < count:
            added = [*self._added]
            for each in self._behind[self._read : count]:
                if type(each) is RunStep:
                    added += each.messages
                else:
                    added.append(cast("Message", each))
            self._added, self._read = added, count
        return self._added


def _completed(step: RunStep, called: Sequence[Called]) -> RunStep:
    """Return a step with the results of those of its calls that had none."""
    given = iter(called)
    results, values = [*step.results], [*step.values]
    for index, result in enumerate(results):
        if result is None and (one := next(given, None)) is not None:
            results[index], values[index] = one.result, one.value
    return evolve(step, results=tuple(results), values=tuple(values))
