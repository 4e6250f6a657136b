"""Await a coroutine in a context of its own, without a task: context variables that it sets do not stay."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any, TypeVar, cast

__all__ = ["in_own_context"]

T = TypeVar("T")


@coroutine
def in_own_context(code: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Wait for `code` in a copy of the context of here, as a task of its own would have, and return what it returns.

    Each step of it runs there; the task, and with it cancellation and scopes, is that of whoever waits.
    """
    run = copy_context().run
    step: Any = code.send
    given: Any = None
    try:
        while True:
            try:
                asked = run(step, given)
            except StopIteration as end:
                return cast("T", end.value)  # in no variable: errors in it may hold this frame
            try:
                step, given = code.send, (yield asked)
            except GeneratorExit:
                run(code.close)
                raise
            except BaseException as error:
                step, given = code.throw, error
    finally:
        del run, step, given, code  # see "Cycles" in `mellite.thunk`
