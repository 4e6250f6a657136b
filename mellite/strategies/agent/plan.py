"""The plan of a run: whom it asks, which tools it runs and how, and when it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import define, field, setters

from ...thunk.call import Streams
from ...values.empty import EMPTY
from ...values.errors import InvalidRequest
from ...values.function_tools import tool_of
from ...values.messages import Message, ToolCall
from ...values.tools import definition_of
from ...values.whole_numbers import check_count
from .step import RunStep
from .stopping import Condition, condition_of, repeats, steps

__all__ = ["DEFAULT_STOP", "Approver", "Execution", "Plan", "tools_by_name"]

#: Who runs the tools: the run, or the caller.
Execution: TypeAlias = Literal["local", "none"]

#: Decides on calls before they run; see `mellite.Approval`.
Approver: TypeAlias = Callable[[ToolCall], Any]

#: When a run stops unless the caller says otherwise.
DEFAULT_STOP: Final[Condition] = steps(10) | repeats(3)


def _stop(value: Any) -> Condition:
    return DEFAULT_STOP if value is DEFAULT_STOP else condition_of(value)


def _execution(value: object) -> Any:
    if value not in ("local", "none"):
        msg = f"'execution' must be 'local' or 'none', not {value!r}"
        raise InvalidRequest(msg, parameter="execution")
    return value


def _approver(value: object) -> Any:
    if value is not None and not callable(value):
        msg = f"'approve' must be a function of the call, or None, not {value!r}"
        raise InvalidRequest(msg, parameter="approve")
    return value


def _results(value: object) -> Mapping[str, Any]:
    if value is None:
        return EMPTY
    if not isinstance(value, Mapping):
        msg = f"'results' must be a mapping from ids of calls to results, not {type(value).__name__}"
        raise InvalidRequest(msg, parameter="results")
    return dict(value)


@define(kw_only=True, eq=False, on_setattr=setters.NO_OP)
class Plan:
    """The settings of a run beside its request; immutable, and shared by all copies of the run.

    It is not a frozen class because one takes twice as long to make, and every run makes one.

    Args:
        backend: who is asked.
        tools: the tools by name, those without a handler too.
        stop_when: when to stop before the model has answered.
        execution: ``none`` hands the calls to the caller.
        concurrency: how many tools run at the same time.
        max_calls: how many calls of one answer are run.
        approve: asked before each call.
        results: the results of calls that wait for one, by id.
        past: the steps that the run begins with, and messages between and after them.
    """

    backend: Streams
    tools: Mapping[str, Any] = EMPTY
    stop_when: Condition = field(default=DEFAULT_STOP, converter=_stop)
    execution: Execution = field(default="local", converter=_execution)
    concurrency: int = 8
    max_calls: int = 100
    approve: Approver | None = field(default=None, converter=_approver)
    results: Mapping[str, Any] = field(default=EMPTY, converter=_results)
    past: tuple[RunStep | Message, ...] = ()

    def __attrs_post_init__(self) -> None:
        if type(self.concurrency) is not int or self.concurrency < 1:
            check_count("concurrency", self.concurrency)
        if type(self.max_calls) is not int or self.max_calls < 1:
            check_count("max_calls", self.max_calls)
        if self.stop_when is not DEFAULT_STOP:
            self.stop_when.check(frozenset(self.tools))


def tools_by_name(tools: Iterable[Any]) -> dict[str, Any]:
    """Return tools by the names that the model calls them by; a function becomes a tool."""
    return {definition_of(each).name: each for each in map(tool_of, tools)}
