"""The request of the next attempt of a stream: the same again, or with the reasons why earlier ones failed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from attrs import evolve

from ...values.errors import ConfigurationError, GenerationCancelled, InvalidRequest, ProviderError, RequestError
from ...values.request import Prompt, Request
from ...values.told_errors import error_line
from ..asking_again import told
from .events import Failure

__all__ = ["Repair", "is_futile", "repaired", "with_reasons"]

#: How to ask again: False, the same request; True, with the reasons in the prompt; or a function that returns a prompt.
Repair: TypeAlias = "bool | Callable[[Request, tuple[Failure, ...]], Prompt | Awaitable[Prompt]]"


async def repaired(repair: Repair, request: Request, failures: Sequence[Failure]) -> Request:
    """Return the request of the next attempt.

    Args:
        repair: how to ask again.
        request: the request of the first attempt.
        failures: the failures of all attempts so far.

    Raises:
        InvalidRequest: if the user's function raises, or does not return a prompt.
    """
    if isinstance(repair, bool):
        return with_reasons(request, failures) if repair else request
    try:
        given = repair(request, tuple(failures))
        if inspect.isawaitable(given):
            given = await given
        return given if isinstance(given, Request) else evolve(request, messages=Request.of(given).messages)
    except Exception as error:
        msg = f"repair gave no prompt for the next attempt: {error_line(error)}"
        raise InvalidRequest(msg, parameter="repair") from error


def with_reasons(request: Request, failures: Sequence[Failure]) -> Request:
    """Return the request with the reasons for the failures, each once, added to the end of the user's message."""
    reasons = list(dict.fromkeys([_reason(failure) for failure in failures if failure.requirement is not None]))
    if not reasons:
        return request
    return told(
        request,
        "\n".join(["An earlier answer was rejected because it did not meet these requirements:", *reasons])
        + "\n\nAnswer again, from the beginning, and meet them all.",
    )


def _reason(failure: Failure) -> str:
    """Say what was required, and why it was not met. An error in the check itself is left out: no model can mend it."""
    what = failure.requirement.description if failure.requirement is not None else ""
    says_why = failure.error is None and failure.result.reason
    return f"- {what} ({failure.result.reason})" if says_why else f"- {what}"


def is_futile(error: Exception) -> bool:
    """Tell whether a retry is pointless: the request is wrong, the key or the money is missing, or it was cancelled."""
    if isinstance(error, ProviderError):
        return not error.retryable
    return isinstance(error, (ConfigurationError, RequestError, GenerationCancelled))
