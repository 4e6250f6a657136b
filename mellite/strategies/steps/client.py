"""The client that answers a step: an interface of one method, its request and its response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ...values.empty import EMPTY

__all__ = ["AsyncLLMClient", "LLMRequest", "LLMResponse", "LLMUsage"]


@frozen
class LLMUsage:
    """The tokens and the cost of an answer.

    Args:
        prompt_tokens: all tokens of the prompt, including those read from a cache; 0 if unknown.
        completion_tokens: all tokens of the answer, including thinking; 0 if unknown.
        total_tokens: the sum of both.
        cost_usd: the cost in USD; None if no price is known.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = field(default=0, kw_only=True)
    cost_usd: float | None = field(default=None, kw_only=True)


@frozen
class LLMRequest:
    """The request of a step to a client.

    Args:
        provider: as in the step's configuration.
        model: the model's id.
        prompt: the text, with all placeholders filled.
        temperature: None leaves it to the provider.
        top_p: None leaves it to the provider.
        extra: more fields of the request's JSON body.
    """

    provider: str
    model: str
    prompt: str = field(kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    top_p: float | None = field(default=None, kw_only=True)
    extra: Mapping[str, Any] = field(default=EMPTY, kw_only=True)


@frozen
class LLMResponse:
    """The response of a client.

    Args:
        text: the answer.
        usage: the tokens and cost.
        raw: the provider's own answer.
    """

    text: str
    usage: LLMUsage
    raw: Mapping[str, Any] = field(default=EMPTY, repr=False, kw_only=True)


class AsyncLLMClient(ABC):
    """A client that answers steps: subclass it, write `complete`, and pass an instance to `run_llm_call`.

    Attributes:
        provider_name: the provider's name.

    Example:
        >>> class Parrot(AsyncLLMClient):
        ...     provider_name = "parrot"
        ...     async def complete(self, req: LLMRequest) -> LLMResponse:
        ...         return LLMResponse(req.prompt, LLMUsage())
    """

    provider_name: str

    @abstractmethod
    async def complete(self, req: LLMRequest) -> LLMResponse:
        """Make one attempt to answer a request. An error whose ``retryable`` is true is retried."""
