"""Write what the protocols of OpenAI have in common: errors and usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..values.provider_json import JsonObject
from ..values.usage import Usage
from .answer_blocks import kept

__all__ = ["error_body", "usage_written"]

#: Status -> what OpenAI calls the error; https://platform.openai.com/docs/guides/error-codes.
_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


def error_body(status: int, message: str) -> JsonObject:
    """Return the JSON that comes with an error status.

    Example:
        >>> error_body(429, "Slow down.")["error"]["type"]
        'rate_limit_error'
    """
    return {"error": {"message": message, "type": _TYPES.get(status, "server_error"), "param": None, "code": None}}


def usage_written(usage: Usage | None, *, taken: str, given: str) -> JsonObject | None:
    """Return the usage as OpenAI says it; None if nothing is known.

    Args:
        usage: the tokens used.
        taken: what the protocol calls those of the prompt.
        given: what the protocol calls those of the answer.
    """
    if usage is None or usage.input_tokens is usage.output_tokens is None:
        return None
    cached = kept(cached_tokens=usage.cache_read_input_tokens, cache_write_tokens=usage.cache_write_input_tokens)
    thought = kept(reasoning_tokens=usage.reasoning_tokens)
    return {
        f"{taken}_tokens": usage.input_tokens or 0,
        f"{given}_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
        **({f"{taken}_tokens_details": cached} if cached else {}),
        **({f"{given}_tokens_details": thought} if thought else {}),
    }
