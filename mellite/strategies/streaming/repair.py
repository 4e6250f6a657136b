"""What the next attempt of a stream is asked: plainly again, or told why the ones before were rejected."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from attrs import evolve

from ...values.errors import ConfigurationError, GenerationCancelled, InvalidRequest, ProviderError, RequestError
from ...values.messages import Message, Text
from ...values.request import Request
from .events import Failure

__all__ = ["Repair", "is_futile", "repaired", "with_reasons"]

#: How to ask again: plainly, with the reasons in the prompt, or as a function of the request and the failures says.
Repair: TypeAlias = "bool | Callable[[Request, tuple[Failure, ...]], Any]"


async def repaired(repair: Repair, request: Request, failures: Sequence[Failure]) -> Request:
    """The request of the next attempt.

    Args:
        failures: of all attempts so far.

    Raises:
        InvalidRequest: if a function of the user's raises, or gives no prompt.
    """
    if isinstance(repair, bool):
        return with_reasons(request, failures) if repair else request
    try:
        given = repair(request, tuple(failures))
        if inspect.isawaitable(given):
            given = await given
        return given if isinstance(given, Request) else evolve(request, messages=Request.of(given).messages)
    except Exception as error:
        msg = f"repair gave no prompt for the next attempt: {type(error).__name__}: {error}"
        raise InvalidRequest(msg, parameter="repair") from error


def with_reasons(request: Request, failures: Sequence[Failure]) -> Request:
    """The request with the reasons of failures at the end of what the user asks, each once."""
    reasons = list(dict.fromkeys([_reason(failure) for failure in failures if failure.requirement is not None]))
    if not reasons:
        return request
    told = [
        "\n".join(["An earlier answer was rejected because it did not meet these requirements:", *reasons]),
        "Answer again, from the beginning, and meet them all.",
    ]
    *before, question = request.messages or (Message.user(),)
    if question.role != "user":
        return evolve(request, messages=(*request.messages, Message.user("\n\n".join(told))))
    text = Text("\n\n".join(["", *told]))
    return evolve(request, messages=(*before, evolve(question, content=(*question.content, text))))


def _reason(failure: Failure) -> str:
    """What was required, and why it was not met; that a check itself went wrong is nothing a model can mend."""
    what = failure.requirement.description if failure.requirement is not None else ""
    told = failure.error is None and failure.result.reason
    return f"- {what} ({failure.result.reason})" if told else f"- {what}"


def is_futile(error: Exception) -> bool:
    """Whether another attempt would only fail again: a wrong request, no key, no money; or it is not wanted."""
    if isinstance(error, ProviderError):
        return not error.retryable
    return isinstance(error, (ConfigurationError, RequestError, GenerationCancelled))
