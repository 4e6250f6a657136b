"""The table of limits: where each is set and what holds unless you say otherwise, read from the signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import mellite
from mellite import Retry, Timeouts
from mellite.cassettes import ReplayTransport
from mellite.sampling import Strategy
from mellite.thunk.audience import AHEAD
from mellite.wire.bounds import AnswerBounds
from tests.site.cells import cell


def default(of: Callable[..., Any], name: str) -> object:
    """Return the default of an argument."""
    return inspect.signature(of).parameters[name].default


def shown(value: object, unit: str) -> str:
    """Return a default as people write it."""
    if value is None or value is inspect.Parameter.empty:
        return "none"
    if unit == "bytes" and isinstance(value, int):
        return f"{value // 2**20} MiB"
    return f"{value:,} {unit}".strip() if isinstance(value, (int, float)) else f"{value} {unit}".strip()


#: What is limited, where it is set, the default, its unit, and what happens at it.
LIMITS: Final[tuple[tuple[str, str, object, str, str], ...]] = (
    ("connecting", "`Timeouts(connect=)`", default(Timeouts, "connect"), "s", "`ConnectError`"),
    (
        "waiting for the first byte",
        "`Timeouts(first_byte=)`",
        default(Timeouts, "first_byte"),
        "s",
        "`FirstByteTimeout`",
    ),
    ("silence in a stream", "`Timeouts(idle=)`", default(Timeouts, "idle"), "s", "`IdleTimeout`"),
    ("all of a call, retries included", "`Timeouts(total=)`", default(Timeouts, "total"), "s", "`TotalTimeout`"),
    (
        "further attempts of a call",
        "`mellite.backend(..., retries=)`",
        default(mellite.backend, "retries"),
        "",
        "the last error",
    ),
    ("attempts, with a wrapper", "`mellite.Retry(..., attempts=)`", default(Retry, "attempts"), "", "the last error"),
    (
        "the longest wait for a retry",
        "`mellite.Retry(..., max_wait=)`",
        default(Retry, "max_wait"),
        "s",
        "the error is raised at once",
    ),
    (
        "calls of a backend at once",
        "`mellite.backend(..., max_concurrency=)`",
        default(mellite.backend, "max_concurrency"),
        "",
        "the others wait",
    ),
    (
        "thunks of one gathering at once",
        "`mellite.gather(..., concurrency=)`",
        default(mellite.gather, "concurrency"),
        "",
        "the others wait",
    ),
    (
        "thunks of a map at once",
        "`mellite.engine.map(..., concurrency=)`",
        default(mellite.engine.map, "concurrency"),
        "",
        "no more items are taken",
    ),
    ("requests a minute", "`mellite.RateLimit(..., requests_per_minute=)`", None, "", "the others wait"),
    ("tokens a minute", "`mellite.RateLimit(..., tokens_per_minute=)`", None, "", "the others wait"),
    (
        "failures in a row",
        "`mellite.CircuitBreaker(..., failures=)`",
        default(mellite.CircuitBreaker, "failures"),
        "",
        "`CircuitOpen`",
    ),
    (
        "cost of many calls",
        "`mellite.Budget(usd=, tokens=)` for `mellite.engine.map`",
        None,
        "",
        "`BudgetSpent`; calls not sent stay pending",
    ),
    ("samples of a strategy", "`max_samples=`", default(Strategy, "max_samples"), "", "the best so far"),
    (
        "cost of a strategy",
        "`max_usd=`, `max_tokens=`, `deadline=`",
        default(Strategy, "max_usd"),
        "",
        "the best so far; `stop_reason` says which",
    ),
    ("samples at once", "`concurrency=` of a strategy", default(Strategy, "concurrency"), "", "the others wait"),
    (
        "steps of a run",
        "`mellite.run(..., stop_when=)`",
        default(mellite.run, "stop_when"),
        "",
        "the run ends; `stop_reason` says why",
    ),
    (
        "tools of a run at once",
        "`mellite.run(..., concurrency=)`",
        default(mellite.run, "concurrency"),
        "",
        "the others wait",
    ),
    (
        "tool calls of one answer",
        "`mellite.run(..., max_calls=)`",
        default(mellite.run, "max_calls"),
        "",
        "the model is told that the others were not run",
    ),
    (
        "the answer, decompressed",
        "`mellite.backend(..., max_answer_bytes=)`",
        default(AnswerBounds, "max_bytes"),
        "bytes",
        "`OutputTooLarge`",
    ),
    (
        "values of JSON in an answer",
        "`mellite.backend(..., max_answer_values=)`",
        default(AnswerBounds, "max_values"),
        "",
        "`OutputTooLarge`",
    ),
    (
        "the request",
        "`mellite.backend(..., max_request_bytes=)`",
        None,
        "",
        "`PayloadTooLarge`; Anthropic's own bound is kept",
    ),
    ("events read ahead of the slowest reader", "fixed", AHEAD, "", "the connection is paused"),
    (
        "waiting for a reader that left when recorded",
        "`use(..., deadline=)`",
        default(ReplayTransport, "deadline"),
        "s",
        "`CassetteMismatch`",
    ),
)


def rows() -> Iterator[str]:
    """Yield a row for each limit."""
    yield from ("| limit on | set by | unless you say otherwise | what happens at it |", "|---|---|---|---|")
    for what, where, value, unit, then in LIMITS:
        yield f"| {what} | {where} | {cell(shown(value, unit))} | {then} |"
