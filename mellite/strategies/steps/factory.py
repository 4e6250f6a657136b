"""The clients that a step has of itself: one offline, and one for every provider of mellite."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, final

from ...backends.by_name import backend
from ...backends.wrappers.clocks import SYSTEM
from ...backends.wrappers.retry import Retry
from ...providers import catalog
from ...values.errors import UnknownProvider
from ...values.options import HttpOptions
from ...values.spelling import nearest
from .client import AsyncLLMClient, LLMRequest, LLMResponse, LLMUsage

if TYPE_CHECKING:
    from ...thunk.backend import Backend
    from ...thunk.thunk import ModelOutputThunk

__all__ = ["BackendClient", "FakeClient", "LLMClientFactory"]

_OFFLINE: Final = ("fake", "local")
_LATENCY: Final = 0.03


@final
class FakeClient(AsyncLLMClient):
    """Answers offline with the prompt reversed, after a moment, and counts words as tokens."""

    def __init__(self, name: str) -> None:
        self.provider_name = name

    async def complete(self, req: LLMRequest) -> LLMResponse:
        """Return the prompt, reversed, after the name of the model."""
        await SYSTEM.sleep(_LATENCY)
        text = f"[fake:{req.model}] {req.prompt[::-1]}"
        asked = max(1, len(req.prompt.split()))
        answered = max(1, len(text.split()) - asked)
        usage = LLMUsage(asked, answered, total_tokens=asked + answered, cost_usd=0.0)
        return LLMResponse(text, usage, raw={"echo": True})


@final
class BackendClient(AsyncLLMClient):
    """Asks a backend, once for each call: the step alone says how often.

    Attributes:
        replayed: whether the last answer or error came from a cassette.
    """

    def __init__(self, name: str, given: Backend | None = None) -> None:
        self.provider_name = name
        self.replayed = False
        self._given = None if given is None else Retry(given, attempts=1)

    async def complete(self, req: LLMRequest) -> LLMResponse:
        """Return the answer; cancelled, if the caller stops waiting."""
        options: dict[str, Any] = {"temperature": req.temperature, "top_p": req.top_p}
        if req.extra:
            options["http"] = HttpOptions(body=dict(req.extra))
        if self._given is None:
            asked: Any = _backend(f"{self.provider_name}:{req.model}")
        else:
            asked = self._given
            options["model"] = req.model or None
        given = {name: value for name, value in options.items() if value is not None}
        thunk: ModelOutputThunk[str] = asked.generate(req.prompt, **given)
        async with thunk:
            await thunk.settle()
        self.replayed = thunk.generation.replayed
        if thunk.error is not None:
            raise thunk.error
        return _response(thunk)


@lru_cache(maxsize=64)
def _backend(spec: str) -> Backend:
    """Return the backend of a spec: the same for all steps, so that they share its limit of generations at once."""
    return backend(spec) if spec.startswith("cassette:") else backend(spec, retries=0)


def _response(thunk: ModelOutputThunk[str]) -> LLMResponse:
    used = thunk.usage
    asked = (used.input_tokens if used is not None else None) or 0
    answered = (used.output_tokens if used is not None else None) or 0
    total = (used.total_tokens if used is not None else None) or asked + answered
    cost = thunk.cost_usd
    usage = LLMUsage(asked, answered, total_tokens=total, cost_usd=None if cost is None else float(cost))
    raw: Any = thunk.raw.response
    return LLMResponse(thunk.text or "", usage, raw=raw if isinstance(raw, dict) else {})


@final
class LLMClientFactory:
    """A factory of clients by provider name."""

    @staticmethod
    def make(provider: str) -> AsyncLLMClient:
        """Return a client for a provider: ``fake`` and ``local`` answer offline, all others over the network.

        Args:
            provider: the name, in any case.

        Raises:
            UnknownProvider: if there is no such provider; names the nearest.

        Example:
            >>> LLMClientFactory.make("OpenAI").provider_name
            'openai'
            >>> LLMClientFactory.make("opnai")
            Traceback (most recent call last):
            mellite.errors.UnknownProvider: there is no provider 'opnai'; did you mean 'openai'?
        """
        name = provider.strip() if isinstance(provider, str) else ""
        lower = name.lower()
        if lower in _OFFLINE:
            return FakeClient(lower)
        for known in (lower, name):
            if known == "cassette" or (known and catalog.knows(known)):
                return BackendClient(known)
        near = nearest(lower, [*catalog.names(), *_OFFLINE])
        hint = f"did you mean {near!r}?" if near else "write one such as 'openai', 'anthropic' or 'fake'"
        msg = f"there is no provider {name!r}; {hint}"
        raise UnknownProvider(msg, provider=name)
