"""Run the step ``ai.llm_call``: one call of a model, tried again where that may help, with a payload for its end."""

from __future__ import annotations

import inspect
import random
from typing import TYPE_CHECKING, Any, Final, final
from weakref import WeakSet

from attrs import asdict

from ... import loops
from ...backends.wrappers.clocks import SYSTEM
from ...thunk.backend import Backend
from ...thunk.performing import Performing
from ...values.errors import (
    CassetteMismatch,
    CassetteMiss,
    GenerationCancelled,
    InvalidRequest,
    MelliteError,
    TotalTimeout,
)
from ...values.secrets.shapes import masked
from ...values.telling import log
from ...values.templates import apply_vars
from ...values.told_errors import error_line, error_text
from .client import AsyncLLMClient, LLMRequest, LLMResponse
from .config import LLMCallConfig
from .factory import BackendClient, LLMClientFactory
from .subject import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from .recorders import Recorder

__all__ = ["run_llm_call"]


_FIRST_WAIT: Final = 0.5
_LONGEST_JITTER: Final = 4.0
_LONGEST_WAIT: Final = 60.0

#: Recorders that have failed, and of which that was said.
_failing: Final[WeakSet[Any]] = WeakSet()


async def run_llm_call(
    flow_id: str,
    step_id: str,
    cfg: LLMCallConfig,
    recorder: Recorder | None = None,
    *,
    client: AsyncLLMClient | Backend | None = None,
) -> dict[str, Any]:
    """Ask a model once, as a step of a flow, and return the outcome as a payload.

    Every error becomes a payload instead of being raised: a missing value for a template, an unknown provider, a
    timeout. Only cancellation is raised; the recorder is then told of no end.

    Failures that may pass (see ``retryable`` of `mellite.errors.MelliteError`) and timeouts are retried ``max_retries``
    times, after the wait that the server asks for, or up to 0.5, 1, 2, then 4 s. If it asks for more than 60 s, the
    error stands.

    Args:
        flow_id: the flow's id, for the recorder.
        step_id: the step's id in the flow.
        cfg: the step's configuration.
        recorder: notified of the start and the end.
        client: asked instead of ``cfg.provider``: your own client, or a backend. The backend's own retries are off, but
            not a `mellite.Retry` around it.

    Returns:
        ``status`` (``"ok"``), ``text``, ``usage`` (``prompt_tokens``, ``completion_tokens``, ``total_tokens``,
        ``cost_usd``), ``provider``, ``model``, ``attempts`` and ``duration_ms``; for an error ``status`` (``"error"``),
        ``reason``, ``provider``, ``model``, ``attempts`` and ``duration_ms``.

    Raises:
        InvalidRequest: if `cfg` is not a configuration, or `client` not a client.

    Example:
        >>> import anyio
        >>> cfg = LLMCallConfig("fake", "toy-1", template="Hello, {{name}}!", vars={"name": "Ada"})
        >>> anyio.run(run_llm_call, "flow", "step", cfg)["text"]
        '[fake:toy-1] !adA ,olleH'
    """
    _check(cfg, client)
    async with Performing("step", Step(flow_id=flow_id, step_id=step_id, config=cfg)) as begun:
        told = _Told(recorder, flow_id, step_id)
        await told.start({"type": "ai.llm_call", "provider": cfg.provider, "model": cfg.model, "attempt": 0})
        attempts = _Attempts(cfg, client)
        payload = await attempts.payload()
        await told.end("success" if payload["status"] == "ok" else "error", payload)
        if begun is not None:
            begun.settle(payload, attempts.error)
        attempts.error = None  # see "Cycles" in `mellite.thunk`
        return payload


def _check(cfg: object, client: object) -> None:
    if not isinstance(cfg, LLMCallConfig):
        msg = f"'cfg' must be an LLMCallConfig, not {type(cfg).__name__}"
        raise InvalidRequest(msg, parameter="cfg")
    if client is not None and not isinstance(client, (AsyncLLMClient, Backend)):
        msg = f"'client' must be an AsyncLLMClient or a backend, not {type(client).__name__}"
        raise InvalidRequest(msg, parameter="client")


@final
class _Attempts:
    """The attempts of one step, one after the other.

    Attributes:
        error: what the step failed with.
    """

    __slots__ = ("_cfg", "_given", "_number", "error")

    def __init__(self, cfg: LLMCallConfig, given: AsyncLLMClient | Backend | None) -> None:
        self._cfg = cfg
        self._given = given
        self._number = 0
        self.error: Exception | None = None

    async def payload(self) -> dict[str, Any]:
        """Return what came of them."""
        began = SYSTEM.now()
        try:
            result = await self._result()
        except GenerationCancelled:
            raise
        except Exception as error:
            self.error = error
            result = {"status": "error", "reason": _reason(error)}
        return {
            **result,
            "provider": self._cfg.provider,
            "model": self._cfg.model,
            "attempts": self._number,
            "duration_ms": round((SYSTEM.now() - began) * 1000),
        }

    async def _result(self) -> dict[str, Any]:
        request = _request(self._cfg)
        client = self._client()
        reason: str | None = None
        while True:
            self._number += 1
            try:
                answer = await self._attempt(client, request)
            except (CassetteMiss, CassetteMismatch):
                if reason is None:
                    raise
                self._number -= 1  # no further attempt was recorded: the recorded error stands
                return {"status": "error", "reason": reason}
            except Exception as error:
                if not isinstance(error, (MelliteError, TimeoutError)) and not _says_retryable(error):
                    raise
                self.error = error
                reason = _reason(error)
                wait = self._wait_after(error, is_replayed=getattr(client, "replayed", False))
            else:
                self.error = None
                return {"status": "ok", "text": answer.text, "usage": asdict(answer.usage)}
            log.warning(
                "step.attempt_failed",
                "ai.llm_call attempt %s failed: %s",
                self._number,
                reason,
                provider=self._cfg.provider,
                model=self._cfg.model,
                attempt=self._number,
                reason=reason,
                wait_s=wait,
            )
            if wait is None:
                return {"status": "error", "reason": reason}
            if wait > _LONGEST_WAIT:
                return {"status": "error", "reason": f"{reason}; it asked to wait {wait:g} s: not tried again"}
            await SYSTEM.sleep(wait)

    def _client(self) -> AsyncLLMClient:
        if self._given is None:
            return LLMClientFactory.make(self._cfg.provider)
        if isinstance(self._given, AsyncLLMClient):
            return self._given
        return BackendClient(self._cfg.provider, self._given)

    async def _attempt(self, client: AsyncLLMClient, request: LLMRequest) -> LLMResponse:
        """Return the answer of one attempt.

        Raises:
            TimeoutError: if it took too long.
        """
        seconds = self._cfg.timeout_s
        with loops.move_on_after(seconds):
            return await client.complete(request)
        shown = f"{seconds:.2f}" if seconds >= 0.01 else f"{seconds:g}"
        msg = f"timeout after {shown}s"
        raise _TookTooLong(msg)

    def _wait_after(self, failure: Exception, *, is_replayed: bool) -> float | None:
        """Return how long to wait before another attempt, in seconds; None where this failure stands."""
        may_pass = isinstance(failure, (TimeoutError, TotalTimeout)) or _says_retryable(failure)
        asked = failure.retry_after if isinstance(failure, MelliteError) else None
        if not may_pass or self._number > self._cfg.max_retries:
            return None
        if is_replayed:
            return 0.0
        most = min(_LONGEST_JITTER, _FIRST_WAIT * 2.0 ** min(self._number - 1, 10))
        return random.uniform(0, most) if asked is None else asked  # noqa: S311 - no secret


def _says_retryable(error: Exception) -> bool:
    """Tell whether an error says of itself that it may pass; those of a client of one's own may, too."""
    return getattr(error, "retryable", False) is True


class _TookTooLong(TimeoutError):
    """An attempt took longer than ``timeout_ms``; the text says it all."""


def _reason(error: Exception) -> str:
    said = masked(error_text(error))
    return said if isinstance(error, _TookTooLong) else f"error: {said or type(error).__name__}"


def _request(cfg: LLMCallConfig) -> LLMRequest:
    text = cfg.template or cfg.prompt
    if not text:
        msg = "ai.llm_call requires either 'prompt' or 'template'"
        raise InvalidRequest(msg, parameter="prompt")
    return LLMRequest(
        cfg.provider,
        cfg.model,
        prompt=apply_vars(text, cfg.vars),
        temperature=cfg.temperature,
        top_p=cfg.top_p,
        extra=dict(cfg.extra or {}),
    )


@final
class _Told:
    """Tells a recorder of one step; what the recorder raises is logged once."""

    __slots__ = ("_flow", "_has_failed", "_recorder", "_step")

    def __init__(self, recorder: Recorder | None, flow: str, step: str) -> None:
        self._recorder = recorder
        self._flow = flow
        self._step = step
        self._has_failed = False

    async def start(self, payload: dict[str, Any]) -> None:
        """Tell of the start."""
        if self._recorder is not None:
            recorder = self._recorder
            await self._tell(lambda: recorder.record_step_start(self._flow, self._step, payload))

    async def end(self, status: str, payload: dict[str, Any]) -> None:
        """Tell of the end."""
        if self._recorder is not None:
            recorder, copied = self._recorder, {**payload}
            await self._tell(lambda: recorder.record_step_end(self._flow, self._step, status=status, payload=copied))

    async def _tell(self, call: Callable[[], Any]) -> None:
        try:
            said = await loops.run_in_thread(call) if getattr(self._recorder, "in_thread", False) else call()
            if inspect.isawaitable(said):
                await said
        except Exception as error:
            self._say(error)

    def _say(self, error: Exception) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        try:
            if self._recorder in _failing:
                return
            _failing.add(self._recorder)
        except TypeError:
            pass  # it cannot be remembered: said once a step
        log.warning(
            "recorder.failed",
            "the recorder %s failed, and steps go on without it; this is said once: %s",
            type(self._recorder).__name__,
            masked(error_line(error)),
            recorder=type(self._recorder).__name__,
        )
