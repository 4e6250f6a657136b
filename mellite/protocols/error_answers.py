"""Tell which error an error answer is: one classifier for HTTP status, error body and errors inside a stream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..values.empty import EMPTY
from ..values.errors import (
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
from ..values.provider_json import Json
from . import error_words as words
from .error_bodies import Trouble, read, seconds
from .error_words import Finder, found
from .json_values import decode_json

__all__ = [
    "classify",
    "failure_of",
    "rate_limits",
    "retry_after",
]

_BEHIND: Final = "llm_provider-"  # LiteLLM puts this before the headers of the provider behind it
_LONGEST_WAIT: Final = 7 * 24 * 3600.0  # seconds; more is not to be believed


def classify(status: int, headers: Mapping[str, str], body: bytes) -> MelliteError:
    """Return the error that an HTTP error answer stands for.

    Example:
        >>> classify(429, {"retry-after": "2"}, b'{"error": {"message": "Slow down."}}')
        RateLimited('HTTP 429: Slow down.')
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    value: Json = text
    if text[:1] in ("{", "[", '"'):
        try:
            value = decode_json(text)
        except InvalidProviderOutput:
            value = text  # cut short, or only looks like JSON
    return failure_of(value, status=status, headers=headers)


def failure_of(
    value: Json, *, status: int | None = None, headers: Mapping[str, str] = EMPTY, whole: bool = False
) -> MelliteError:
    """Return the error that a decoded error object stands for.

    Args:
        value: the body, or the object inside a stream; a str for what is not JSON.
        status: the HTTP status of an error answer; None for an error in an answer with HTTP 200.
        headers: of the answer, names in lower case.
        whole: whether an error with HTTP 200 came in one piece, and not inside a stream.
    """
    trouble = read(value, status)
    kind = _kind(trouble)
    wait = retry_after(headers)
    if wait is None:
        wait = _wait_in(trouble.message) if trouble.wait is None and kind is RateLimited else trouble.wait
    error = kind(
        _message(trouble, status, whole=whole),
        retry_after=wait,
        request_id=trouble.request_id,
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
    should = _header(headers, "x-should-retry").strip().lower()
    if should in ("true", "false") and not isinstance(error, QuotaExceeded):
        error.retryable = should == "true"
    return error


def _message(trouble: Trouble, status: int | None, *, whole: bool) -> str:
    where = "an error instead of an answer" if whole else "an error inside the stream"
    where = where if status is None else f"HTTP {status}"
    said = trouble.message or (f"no message, but {trouble.excerpt}" if trouble.excerpt else trouble.code)
    return f"{where}: {said or 'no details were given'}"


# How long to wait


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return how long the server asks to wait, in seconds; None if it does not say, or says nonsense.

    Args:
        headers: of the answer, names in lower case.
        now: the seconds since 1970, where the server does not tell its own time; by the clock of this machine.

    Example:
        >>> retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "soon"})
        (0.25, None)
    """
    milliseconds = seconds(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after").strip()
    found = seconds(value)
    if found is not None or not _DATE.fullmatch(value):
        return found
    until = _timestamp(value)
    if until is None:
        return None
    told = _timestamp(headers.get("date", ""))  # by the server's own clock, where it tells it
    here = time.time() if now is None else now
    wait = max(0.0, until - (here if told is None else told))
    return wait if wait <= _LONGEST_WAIT else None


def _header(headers: Mapping[str, str], name: str) -> str:
    """Return a header of the answer, or of the provider behind LiteLLM; empty if there is none."""
    return headers.get(name) or headers.get(_BEHIND + name, "")


def rate_limits(headers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the limits that headers tell, by what is limited: how much in all, how much is left, when it starts anew.

    Example:
        >>> rate_limits({"x-ratelimit-limit-requests": "60", "anthropic-ratelimit-tokens-remaining": "0"})
        {'requests': {'limit': '60'}, 'tokens': {'remaining': '0'}}
    """
    limits: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        named = _LIMIT.fullmatch(name.removeprefix(_BEHIND))
        if named is not None:
            what = named["first"] or named["last"] or "requests"
            limits.setdefault(what, {})[named["kind"]] = value
    return limits


def _timestamp(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # with half of the library behind it

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
    """Return the wait in "Please try again in 1m2.5s."""
    found = re.search(r"(?:try again|retry) in ((?:\d{1,6}(?:\.\d{1,9})?(?:ms|s|m|h))+)", message)
    if found is None:
        return None
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", found[1])
    return sum([float(number) * _UNITS[unit] for number, unit in parts])


# The rules, in order

_OVERFLOW: Final = found(words.OVERFLOW)
_NO_OVERFLOW: Final = found(words.NO_OVERFLOW)
_TOO_LARGE: Final = found(words.TOO_LARGE)
_POLICY: Final = found(words.POLICY)
_QUOTA: Final = found(words.QUOTA)
_NO_QUOTA: Final = found(words.NO_QUOTA)
_AUTHENTICATION: Final = found(words.AUTHENTICATION)
_AUTHENTICATION_CODES: Final = found(words.AUTHENTICATION_CODES)
_AWS_KEY: Final = found(words.AWS_KEY)
_RATE: Final = found(words.RATE)
_SERVER: Final = found(words.SERVER_CODES)
_BUSY: Final = found(words.BUSY)
_INVALID: Final = found(words.INVALID_CODES)
_NUMBERS: Final[Mapping[str, words.Numbers]] = {"minimax": words.MINIMAX, "zai": words.ZAI}
_PERMANENT: Final = frozenset({501, 505, 506, 510})


def _kind(trouble: Trouble) -> type[MelliteError]:
    for whose, number in trouble.numbers:
        kind = _NUMBERS[whose].get(number)
        if kind is not None:
            return kind
    return next((kind for matches, kind in _RULES if matches(trouble)), UnknownProviderError)


def _says(trouble: Trouble, pattern: Finder) -> bool:
    """Tell whether the code or the server's own words match; a quotation is the user's."""

    def quoted(found: re.Match[str]) -> str:
        before = message[max(0, found.start() - _NEAR) : found.start()]
        return "''" if pattern.search(found[0]) is not None and _PASSED_ON.search(before) is None else found[0]

    message = trouble.message.lower()
    return pattern.search(f"{trouble.code} {_QUOTATION.sub(quoted, message)}") is not None


#: A quotation: a name or a text that a server found in the request. JSON, which gateways quote, is none.
_QUOTATION: Final = re.compile(r"(?<!\w)(['\"`])(?![\s{\[]).{1,1000}?\1(?!\w)", re.DOTALL)
_NEAR: Final = 40  # characters before a quotation
#: What stands before the words of another server; nothing, where they are all that there is.
_PASSED_ON: Final = re.compile(
    r"(^|['\"](message|msg|details?|description|error|status_msg|code|type)['\"]\s*:\s*|(error|exception|returned)\s*[:-]\s*)\Z"
)


def _is_overflow(trouble: Trouble) -> bool:
    return trouble.is_clients and _says(trouble, _OVERFLOW) and _NO_OVERFLOW.search(trouble.text) is None


def _is_too_large(trouble: Trouble) -> bool:
    return trouble.status == 413 or (trouble.is_clients and _says(trouble, _TOO_LARGE))


def _is_policy(trouble: Trouble) -> bool:
    return trouble.is_clients and trouble.status != 429 and _says(trouble, _POLICY)


def _is_quota(trouble: Trouble) -> bool:
    if trouble.status == 402:
        return True
    if trouble.status in (401, 404):  # a key or a model may have any name
        return _QUOTA.search(trouble.code) is not None
    return trouble.is_clients and _says(trouble, _QUOTA) and _NO_QUOTA.search(trouble.text) is None


def _is_authentication(trouble: Trouble) -> bool:
    if trouble.status in (401, 403) or (trouble.is_clients and _AUTHENTICATION_CODES.search(trouble.code) is not None):
        return True
    return trouble.status in (None, 400) and _says(trouble, _AUTHENTICATION)


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
    (lambda trouble: trouble.status is None and _BUSY.search(trouble.text) is not None, ProviderInternal),
)


def _authentication_kind(trouble: Trouble) -> Json:
    if "expired" in trouble.text:
        return "expired"
    if _AWS_KEY.search(trouble.code) is not None:
        return "invalid"
    if trouble.status == 403 or "permission" in trouble.code or "accessdenied" in trouble.code:
        return "insufficient-permissions"
    return "invalid"
