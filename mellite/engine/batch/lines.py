"""Lines of batch files: how each service wants a request to be written, and how it tells what came of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from attrs import field, frozen

from ...protocols.error_words import ANTHROPIC_STATUSES
from ...values.errors import InvalidProviderOutput
from ...values.provider_json import JsonObject
from ...wire.json_body import encoded

__all__ = ["Ending", "Format", "Result", "custom_id_of", "request_line", "result_of"]

#: How a service writes its lines. OpenAI's format is that of most companies with an API like OpenAI's, and Azure's.
Format: TypeAlias = Literal["openai", "azure", "mistral", "anthropic", "gemini"]

#: What became of a request: it was answered, maybe with an error; or it was not asked any more.
Ending: TypeAlias = Literal["answered", "expired", "cancelled"]

_DIGITS: Final = 40

#: The HTTP statuses of Google's codes: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_GOOGLE: Final = {2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 13: 500}
_GOOGLE_MORE: Final = {14: 503, 15: 500, 16: 401}
_GOOGLE_CANCELLED: Final = 1
_HTTP: Final = 100  # numbers from here on are HTTP statuses


@frozen
class Result:
    """The result of one request of a batch.

    Args:
        custom_id: which request.
        ending: what became of it.
        status: the HTTP status of its answer.
        body: the body of its answer, as the provider wrote it.
        request_id: the provider's id of the request.
        message: what the service says of one that was not answered.
    """

    custom_id: str
    ending: Ending = "answered"
    status: int = field(default=200, kw_only=True)
    body: bytes = field(default=b"", kw_only=True, repr=False)
    request_id: str | None = field(default=None, kw_only=True)
    message: str | None = field(default=None, kw_only=True)


def custom_id_of(key: str, nth: int = 0, again: int = 0) -> str:
    """Return what a call is called in a batch: "m" and 40 hex digits of the SHA-256 of its key in the journal.

    Args:
        key: the key.
        nth: the how-manieth call with this key, from 0; equal calls have ids of their own.
        again: how often it was asked before, and came to nothing.

    Example:
        >>> custom_id_of("a key")
        'm8fa3aab2faa9b79e0a0398da5b5abd0780142442'
    """
    named = key if not (nth or again) else f"{key}:{nth}:{again}"
    return "m" + hashlib.sha256(named.encode()).hexdigest()[:_DIGITS]


def request_line(format: Format, custom_id: str, *, url: str, body: bytes) -> bytes:
    """Return the line of a request, without a newline.

    Args:
        format: how the service writes lines.
        custom_id: what it is called.
        url: the path that it would be sent to, as in ``/v1/responses``.
        body: its body, as it would be sent if it did not stream.

    Example:
        >>> request_line("mistral", "m1", url="/v1/chat/completions", body=b'{"model": "m", "messages": []}')
        b'{"custom_id":"m1","body":{"messages":[]}}'
    """
    asked: dict[str, Any] = json.loads(body)
    if not asked.get("stream"):
        asked.pop("stream", None)
    if format in ("openai", "azure"):
        line: JsonObject = {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}
    elif format == "mistral":
        asked.pop("model", None)  # the job names it
        line = {"custom_id": custom_id, "body": asked}
    elif format == "anthropic":
        line = {"custom_id": custom_id, "params": asked}
    else:
        line = {"key": custom_id, "request": asked}
    return encoded(line)[0]


# Results. What the model said stays as the bytes that it came as.


class _Failure(msgspec.Struct):
    code: str | int | None = None
    message: str | None = None


class _Response(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"null")
    status_code: int = 200
    request_id: str | None = None


class _OpenAI(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Failure | None = None


class _AnthropicResult(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Anthropic(msgspec.Struct):
    custom_id: str
    result: _AnthropicResult


class _Gemini(msgspec.Struct):
    key: str
    response: msgspec.Raw = msgspec.Raw(b"")
    error: _Failure | None = None
    status: _Failure | None = None


def result_of(format: Format, line: bytes) -> Result:
    """Read a line of results.

    Raises:
        InvalidProviderOutput: if it is none.
    """
    try:
        if format == "anthropic":
            return _of_anthropic(msgspec.json.decode(line, type=_Anthropic))
        if format == "gemini":
            return _of_gemini(msgspec.json.decode(line, type=_Gemini))
        return _of_openai(msgspec.json.decode(line, type=_OpenAI))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        msg = f"a line of the results is not a result of a batch: {error}; it begins with {line[:80]!r}"
        raise InvalidProviderOutput(msg) from error


def _of_openai(line: _OpenAI) -> Result:
    response, error = line.response, line.error
    if response is not None and bytes(response.body) != b"null":
        return Result(
            line.custom_id,
            status=response.status_code,
            body=bytes(response.body),
            request_id=response.request_id,
        )
    code = str(error.code or "") if error is not None else ""
    message = error.message if error is not None else None
    if "expired" in code:
        return Result(line.custom_id, "expired", message=message)
    if "cancel" in code:
        return Result(line.custom_id, "cancelled", message=message)
    status = response.status_code if response is not None else 0
    told = {"message": message or "the service gave neither an answer nor a reason", "type": code or None, "code": code}
    return Result(line.custom_id, status=status if status >= 400 else 500, body=_json({"error": told}))


def _of_anthropic(line: _Anthropic) -> Result:
    result = line.result
    if result.type == "succeeded":
        return Result(line.custom_id, body=bytes(result.message))
    if result.type in ("canceled", "expired"):
        return Result(line.custom_id, "cancelled" if result.type == "canceled" else "expired")
    told: Any = msgspec.json.decode(result.error)
    reason = told.get("error") if isinstance(told, Mapping) else None
    kind = reason.get("type") if isinstance(reason, Mapping) else None
    found = told.get("request_id") if isinstance(told, Mapping) else None
    return Result(
        line.custom_id,
        status=ANTHROPIC_STATUSES.get(kind, 500) if isinstance(kind, str) else 500,
        body=bytes(result.error),
        request_id=found if isinstance(found, str) else None,
    )


def _of_gemini(line: _Gemini) -> Result:
    if bytes(line.response) not in (b"", b"null"):
        return Result(line.key, body=bytes(line.response))
    error = line.error or line.status or _Failure()
    code = error.code if isinstance(error.code, int) else 0
    if code == _GOOGLE_CANCELLED:
        return Result(line.key, "cancelled", message=error.message)
    status = code if code >= _HTTP else {**_GOOGLE, **_GOOGLE_MORE}.get(code, 500)
    told = {"code": status, "message": error.message or "the service gave neither an answer nor a reason"}
    return Result(line.key, status=status, body=_json({"error": told}))


def _json(value: JsonObject) -> bytes:
    return json.dumps(value).encode()
