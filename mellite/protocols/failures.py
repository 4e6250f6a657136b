"""Which error an error answer stands for: one classifier for HTTP status, error body and errors inside a stream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from attrs import frozen

from ..errors import (
    AuthenticationError,
    ContentPolicy,
    ContextOverflow,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    PayloadTooLarge,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
    UnknownProviderError,
)
from ..request import EMPTY
from ..wire.protocol import decode_json

__all__ = ["Trouble", "classify", "failure_of", "rate_limits", "retry_after"]

_LONGEST: Final = 2000  # characters of a provider's message
_LONGEST_WAIT: Final = 7 * 24 * 3600.0  # seconds; whoever asks for more is not to be believed


@frozen(kw_only=True)
class Trouble:
    """What an error answer says, whatever its shape.

    Args:
        message: in the provider's own words; empty if there are none.
        code: its code and its type, in lower case, with a space between them.
        status: the HTTP status, or what the body says it is; None if unknown.
        parameter: the part of the request that it complains about.
        wait: how long to wait, in seconds, where the body says so.
    """

    message: str = ""
    code: str = ""
    status: int | None = None
    parameter: str | None = None
    wait: float | None = None

    @property
    def text(self) -> str:
        """All of it in lower case, to be searched."""
        return f"{self.code} {self.message}".lower()

    @property
    def is_clients(self) -> bool:
        """Whether the request may be at fault: no status, or 4xx."""
        return self.status is None or self.status // 100 == 4


def classify(status: int, headers: Mapping[str, str], body: bytes) -> MelliteError:
    """The error that an HTTP error answer stands for.

    Example:
        >>> classify(429, {"retry-after": "2"}, b'{"error": {"message": "Slow down."}}')
        RateLimited('HTTP 429: Slow down.')
    """
    text = body.decode("utf-8", "replace").strip()
    value: Any = text
    if text[:1] in ("{", "[", '"'):
        try:
            value = decode_json(body)
        except InvalidProviderOutput:
            value = text  # cut short, or only looks like JSON
    return failure_of(value, status=status, headers=headers)


def failure_of(value: Any, *, status: int | None = None, headers: Mapping[str, str] = EMPTY) -> MelliteError:
    """The error that a decoded error object stands for.

    Args:
        value: the body, or the object inside a stream; a str for what is not JSON.
        status: the HTTP status of an error answer; None for an error inside a stream.
        headers: of the answer, names in lower case.
    """
    trouble = _read(value, status)
    kind = next((kind for matches, kind in _RULES if matches(trouble)), UnknownProviderError)
    wait = retry_after(headers)
    if wait is None:
        wait = _wait_in(trouble.message) if trouble.wait is None and kind is RateLimited else trouble.wait
    error = kind(
        _message(trouble, status),
        retry_after=wait,
        provider_message=trouble.message,
        code=trouble.code or None,
    )
    if isinstance(error, AuthenticationError):
        error.kind = _authentication_kind(trouble)
    elif isinstance(error, RateLimited):
        error.rate_limits = rate_limits(headers) or None
    elif isinstance(error, InvalidRequest):
        error.parameter = trouble.parameter
    elif isinstance(error, ProviderInternal):
        error.retryable = trouble.status not in _PERMANENT
    return error


def _message(trouble: Trouble, status: int | None) -> str:
    where = "an error inside the stream" if status is None else f"HTTP {status}"
    details = trouble.message or trouble.code or "no details were given"
    return f"{where}: {details}"


# Reading an error body


def _read(value: Any, status: int | None) -> Trouble:
    """Take in what providers make of an error: an object, an object in an object, a list of them, or bare text."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return Trouble(message=_plain_text(value), status=status)
    if not isinstance(value, Mapping):
        return Trouble(status=status)
    inner = value.get("error")
    if inner is None and isinstance(value.get("errors"), list) and value["errors"]:
        inner = value["errors"][0]
    if isinstance(inner, Mapping):
        value = {**value, **inner}
    elif isinstance(inner, str):
        value = {"code": inner if "message" in value else None, "message": inner, **value}
    code = value.get("code")
    if status is None or status // 100 == 2:
        status = next((number for number in (code, value.get("status_code")) if _is_status(number)), None)
    details = _details(value.get("details"))
    parameter = value.get("param") or details.parameter
    words = [code, value.get("type"), value.get("status"), *details.words]
    return Trouble(
        message=_said(value)[:_LONGEST],
        code=" ".join([str(word) for word in words if isinstance(word, (str, int)) and word != status]).lower(),
        status=status,
        parameter=parameter if isinstance(parameter, str) else None,
        wait=details.wait,
    )


@frozen(kw_only=True)
class _Details:
    words: tuple[str, ...] = ()
    parameter: str | None = None
    wait: float | None = None


def _details(given: Any) -> _Details:
    """What Google says beside the message: a reason, the quota that was hit, the field, how long to wait.

    https://cloud.google.com/apis/design/errors#error_details
    """
    words: list[str] = []
    parameter = wait = None
    for item in given if isinstance(given, list) else ():
        if not isinstance(item, Mapping):
            continue
        delay = item.get("retryDelay")
        if isinstance(delay, str):
            wait = _seconds(delay.removesuffix("s"))
        rows = [item, *[row for name in ("violations", "fieldViolations") for row in _rows(item.get(name))]]
        for row in rows:
            parameter = parameter or row.get("field")
            words += [word for name in ("reason", "quotaId") if isinstance(word := row.get(name), str)]
    return _Details(words=tuple(words[:10]), parameter=parameter, wait=wait)


def _rows(given: Any) -> list[Mapping[str, Any]]:
    return [row for row in given if isinstance(row, Mapping)] if isinstance(given, list) else []


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and value in range(400, 600)


def _said(value: Mapping[str, Any]) -> str:
    """The message; with what a router heard from the provider behind it, where it passes that on."""
    message = value.get("message") or value.get("detail") or value.get("error_description") or ""
    if isinstance(message, list):  # FastAPI: [{"loc": [...], "msg": "field required"}]
        message = "; ".join([str(item.get("msg", item) if isinstance(item, Mapping) else item) for item in message])
    if isinstance(message, Mapping):
        message = message.get("message") or message.get("msg") or str(dict(message))
    metadata = value.get("metadata")
    behind = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(behind, str) and behind and behind not in str(message):
        return f"{message}: {behind}"
    return str(message)


def _plain_text(text: str) -> str:
    """Text that is no JSON, or the title of a web page."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title is not None:
        text = title[1]
    elif text.startswith("<"):
        text = re.sub(r"<[^<>]{0,500}>", " ", text[: 4 * _LONGEST])
    return " ".join(text[: 4 * _LONGEST].split())[:_LONGEST]


# How long to wait


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait, in seconds; None if it does not say, or says nonsense.

    Example:
        >>> retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "soon"})
        (0.25, None)
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _seconds(value)
    if seconds is not None or not _DATE.fullmatch(value):
        return seconds
    until = _timestamp(value)
    if until is None:
        return None
    now = _timestamp(headers.get("date", ""))  # by the server's own clock, where it tells it
    wait = max(0.0, until - (time.time() if now is None else now))
    return wait if wait <= _LONGEST_WAIT else None


def rate_limits(headers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What the headers say of limits, by what is limited: how much in all, how much is left, when it starts anew.

    Example:
        >>> rate_limits({"x-ratelimit-limit-requests": "60", "anthropic-ratelimit-tokens-remaining": "0"})
        {'requests': {'limit': '60'}, 'tokens': {'remaining': '0'}}
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        named = _LIMIT.fullmatch(name)
        if named is not None:
            what = named["first"] or named["last"] or "requests"
            found.setdefault(what, {})[named["kind"]] = value
    return found


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text.strip(), re.ASCII) is None:
        return None
    seconds = float(text)
    return seconds if seconds <= _LONGEST_WAIT * 1000 else None


def _timestamp(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


_LIMIT: Final = re.compile(
    r"(x-|anthropic-)?ratelimit-((?P<first>[a-z-]+)-)?(?P<kind>limit|remaining|reset)(-(?P<last>[a-z-]+))?"
)
_DATE: Final = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (GMT|UTC|\+0000)", re.ASCII
)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _wait_in(message: str) -> float | None:
    """The wait in "Please try again in 1m2.5s."""
    found = re.search(r"(?:try again|retry) in ((?:\d{1,6}(?:\.\d{1,9})?(?:ms|s|m|h))+)", message)
    if found is None:
        return None
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", found[1])
    return sum([float(number) * _UNITS[unit] for number, unit in parts])


# The rules, in order. A word that only occurs somewhere in a text proves little, so phrases are long or bound to codes.

_OVERFLOW: Final = re.compile(
    r"prompt is too long|prompt too long|input is too long for requested model|exceeds the context window"
    r"|input token count.{0,80}exceeds the maximum|maximum prompt length is \d|reduce the length of the messages"
    r"|maximum context length (is |of )?\(?\d|exceeds the limit of \d|exceeds the available context size"
    r"|greater than the context length|context window exceeds limit|exceeded model token limit"
    r"|context[ _]length[ _]exceeded|context length is only \d+ tokens|input length.{0,80}exceeds.{0,80}context length"
    r"|exceeded (max )?context length|too large for model with \d+ maximum context length"
    r"|model_context_window_exceeded|tokens in request more than max tokens allowed"
    r"|exceeds maximum allowed input length|input \(\d+ tokens\) is longer than the model's context length"
    r"|prompt has \d+ tokens, but the configured context size is|too many tokens|token limit exceeded"
    r"|input length and .?max_tokens.? exceed context limit",
    re.DOTALL,
)
_NO_OVERFLOW: Final = re.compile(
    r"^\s*(throttling error:|service unavailable:)|rate[ _-]?limit|too[ _]many[ _]requests|throttl\w*exception"
    r"|please wait before trying again"
)
_TOO_LARGE: Final = re.compile(
    r"request entity too large|payload too large|request_too_large|request too large|payload size exceeds"
)
_POLICY: Final = re.compile(
    r"content[ _-](policy|filter)|content management policy|responsible_?ai_?policy|moderation_blocked"
    r"|(input|prompt|request) (was|has been) flagged"
)
_QUOTA: Final = re.compile(
    r"insufficient[ _-](quota|balance|credits|funds)|quota[ _-]exceeded|usage_not_included|billing_error"
    r"|exceeded your current quota|credit balance is too low|servicequotaexceeded"
)
#: Of Google's quotas, those that are back in a moment.
_BRIEF: Final = re.compile(r"per[ _]?(minute|second)")
_AUTHENTICATION: Final = re.compile(
    r"\b(authentication_error|permission_error|invalid_api_key|api_key_invalid|unauthenticated|accessdeniedexception)\b"
)
_RATE: Final = re.compile(
    r"rate[ _-]?limit|too[ _]many[ _]requests|throttlingexception|rate increased too quickly|throttling error:"
)
_SERVER: Final = re.compile(
    r"\b(api_error|internal_error|internal_server_error|overloaded_error|server_error|server_is_overloaded|slow_down"
    r"|timeout_error|internalserverexception|serviceunavailableexception|modelstreamerrorexception|modeltimeoutexception"
    r"|modelerrorexception)\b"
    r"|exhausted|unavailable|overloaded"
)
_INVALID: Final = re.compile(r"invalid_request|invalid_prompt|invalid_argument|not_found|validation|bad_request")
#: AWS says 403 to keys that are wrong, too.
_AWS_KEY: Final = re.compile(
    r"unrecognizedclient|invalidclienttoken|(invalid|incomplete)signature|missingauthentication"
)
_PERMANENT: Final = frozenset({501, 505, 506, 510})


def _is_overflow(trouble: Trouble) -> bool:
    text = trouble.text
    return trouble.is_clients and _OVERFLOW.search(text) is not None and _NO_OVERFLOW.search(text) is None


def _is_too_large(trouble: Trouble) -> bool:
    return trouble.status == 413 or (trouble.is_clients and _TOO_LARGE.search(trouble.text) is not None)


def _is_policy(trouble: Trouble) -> bool:
    return trouble.is_clients and trouble.status != 429 and _POLICY.search(trouble.text) is not None


def _is_quota(trouble: Trouble) -> bool:
    if trouble.status == 402:
        return True
    return trouble.is_clients and _QUOTA.search(trouble.text) is not None and _BRIEF.search(trouble.text) is None


def _is_authentication(trouble: Trouble) -> bool:
    return trouble.status in (401, 403) or (trouble.is_clients and _AUTHENTICATION.search(trouble.code) is not None)


def _is_rate(trouble: Trouble) -> bool:
    in_code = _RATE.search(trouble.code) is not None
    return in_code or (trouble.status in (None, 429) and _RATE.search(trouble.text) is not None)


def _is_internal(trouble: Trouble) -> bool:
    return trouble.status != 429 and _SERVER.search(trouble.code) is not None


_RULES: Final[tuple[tuple[Callable[[Trouble], bool], type[MelliteError]], ...]] = (
    (_is_overflow, ContextOverflow),
    (_is_too_large, PayloadTooLarge),
    (_is_policy, ContentPolicy),
    (_is_quota, QuotaExceeded),
    (_is_authentication, AuthenticationError),
    (_is_rate, RateLimited),
    (_is_internal, ProviderInternal),
    (lambda trouble: trouble.status == 429, RateLimited),
    (lambda trouble: trouble.status in (408, 409) or (trouble.status or 0) >= 500, ProviderInternal),
    (lambda trouble: _INVALID.search(trouble.code) is not None, InvalidRequest),
    (lambda trouble: trouble.status in (400, 404, 422), InvalidRequest),
    (lambda trouble: trouble.status is None and "overloaded" in trouble.text, ProviderInternal),
)


def _authentication_kind(trouble: Trouble) -> Any:
    if "expired" in trouble.text:
        return "expired"
    if _AWS_KEY.search(trouble.code) is not None:
        return "invalid"
    if trouble.status == 403 or "permission" in trouble.code or "accessdenied" in trouble.code:
        return "insufficient-permissions"
    return "invalid"
