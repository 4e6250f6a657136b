"""The errors of AWS, by HTTP and inside a stream, in the words that others use."""

from __future__ import annotations

from collections.abc import Mapping

from ...values.errors import InvalidProviderOutput, MelliteError
from ...values.provider_json import Json, JsonObject
from ..error_answers import classify as classify_any, failure_of
from ..json_values import decode_json

__all__ = ["classify", "error_value", "failure_in_stream"]


def classify(status: int, headers: Mapping[str, str], body: bytes) -> MelliteError:
    """Return the error that an HTTP error answer stands for; AWS names its type in a header.

    Example:
        >>> classify(400, {"x-amzn-errortype": "ThrottlingException"}, b'{"message": "Too many tokens, please wait."}')
        RateLimited('HTTP 400: Too many tokens, please wait.')
    """
    try:
        value = decode_json(body)
    except InvalidProviderOutput:
        value = None
    if not isinstance(value, dict):
        return classify_any(status, headers, body)
    return failure_of(error_value(value, headers), status=status, headers=headers)


def failure_in_stream(name: str, value: Json) -> MelliteError:
    """Return the error that an exception inside a stream stands for."""
    if isinstance(value, str):
        return failure_of(value)
    facts = value if isinstance(value, dict) else {}
    return failure_of(error_value({**facts, "__type": facts.get("code") or name}, {}))


def error_value(value: Mapping[str, Json], headers: Mapping[str, str]) -> JsonObject:
    """Write what AWS says of an error in the words that others use; words of others stay as they are."""
    kind = headers.get("x-amzn-errortype") or value.get("__type") or value.get("code")
    kind = kind.partition(":")[0].rpartition("#")[2] if isinstance(kind, str) else None
    message = value.get("message") or value.get("Message") or ""
    behind = value.get("originalMessage")  # what the model's own host said
    if isinstance(behind, str) and behind and behind not in str(message):
        message = f"{message}: {behind}" if message else behind
    others = {name: item for name, item in value.items() if name not in ("Message", "__type", "originalMessage")}
    return {**others, **({"code": kind} if kind else {}), **({"message": message} if message else {})}
