"""Which error an error answer stands for, by status, by body, and how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite import errors
from mellite.errors import AuthenticationError, InvalidRequest, MelliteError
from mellite.protocols.error_answers import classify, failure_of, retry_after


def body(message: str = "", **fields: Any) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "InvalidRequest"), (401, "AuthenticationError"), (402, "QuotaExceeded"), (403, "AuthenticationError"),
        (404, "InvalidRequest"), (405, "UnknownProviderError"), (408, "ProviderInternal"), (409, "ProviderInternal"),
        (413, "PayloadTooLarge"), (418, "UnknownProviderError"), (422, "InvalidRequest"), (429, "RateLimited"),
        (500, "ProviderInternal"), (502, "ProviderInternal"), (503, "ProviderInternal"), (504, "ProviderInternal"),
        (529, "ProviderInternal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "content", [b"", b'{"error": {"message": "boom", "type": "t", "code": "c"}}', b"boom", b"\xff\xfe{"]
)
def test_every_status_has_its_type(status: int, kind: str, content: bytes) -> None:
    """Where the body says nothing better, the status decides; and what is broken there may be tried again."""
    error = classify(status, {}, content)
    assert type(error).__name__ == kind
    assert error.retryable is (kind in {"RateLimited", "ProviderInternal"})


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, body(code="context_length_exceeded"), "ContextOverflow"),
        (400, body("This model's maximum context length is 8192 tokens. However, ..."), "ContextOverflow"),
        (400, body("prompt is too long: 210000 tokens > 200000 maximum"), "ContextOverflow"),
        (400, body("Input length 9000 exceeds the maximum context length of 8000 tokens."), "ContextOverflow"),
        (413, body("Prompt too long"), "ContextOverflow"),
        (429, body("Rate limit reached: too many tokens per minute"), "RateLimited"),
        (500, body("maximum context length is 5"), "ProviderInternal"),
        (400, body("request entity too large"), "PayloadTooLarge"),
        (400, body(code="content_policy_violation"), "ContentPolicy"),
        (400, body("filtered because the prompt triggers our content management policy."), "ContentPolicy"),
        (500, body("our safety content_filter crashed"), "ProviderInternal"),
        (429, body("the safety of your content policy"), "RateLimited"),
        (400, body("a word about safety", type="invalid_request_error"), "InvalidRequest"),
        (429, body("You exceeded your current quota", code="insufficient_quota"), "QuotaExceeded"),
        (402, body("Insufficient Balance"), "QuotaExceeded"),
        (400, body("Your credit balance is too low", type="invalid_request_error"), "QuotaExceeded"),
        (400, body("x", code="invalid_api_key"), "AuthenticationError"),
        (400, body("x", type="authentication_error"), "AuthenticationError"),
        (403, body("x", type="permission_error"), "AuthenticationError"),
        (400, body("x", code="rate_limit_exceeded"), "RateLimited"),
        (503, body("x", type="too_many_requests"), "RateLimited"),
        (400, body("rate_limit must be a number of requests per minute"), "InvalidRequest"),
        (404, body("no such page: /v1/rate_limits"), "InvalidRequest"),
        (500, body("the rate limit service is down"), "ProviderInternal"),
        (400, body("x", type="server_error"), "ProviderInternal"),
        (400, body("x", code="model_unavailable"), "ProviderInternal"),
        (429, body("Quota per minute", status="RESOURCE_EXHAUSTED"), "RateLimited"),
        (405, body("x", type="invalid_request_error"), "InvalidRequest"),
    ],
)  # fmt: skip
def test_the_body_knows_better_than_the_status(status: int, content: bytes, kind: str) -> None:
    """Codes and long phrases in the body decide; single words, and what a server says of itself, do not."""
    assert type(classify(status, {}, content)).__name__ == kind


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m", "code": 5}, "m"),
        ({"object": "error", "message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["x"], "msg": "is required"}, {"msg": "too short"}]}, "is required; too short"),
        ([{"error": {"message": "m", "status": "INVALID_ARGUMENT"}}], "m"),
        ({"errors": [{"message": "m", "code": 7}]}, "m"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "it said no"}}},
         "Provider returned error: it said no"),
        ({"error": {"message": {"message": "m"}}}, "m"),
        ("plain text", "plain text"),
        ("<html><head><title>Bad\n Gateway</title></head><body>x</body></html>", "Bad Gateway"),
        ("<html><body><h1>Bad</h1> Gateway</body></html>", "Bad Gateway"),
        ({"error": {}}, ""),
        (None, ""),
        ({"error": None}, ""),
        ([], ""),
        ({"error": {"message": None, "type": 5}}, ""),
    ],
)  # fmt: skip
def test_error_bodies_have_many_shapes(value: Any, message: str) -> None:
    """The provider's own message is found in every shape that hosts use; none is not a trouble."""
    error = failure_of(value, status=400)
    assert getattr(error, "provider_message", None) == message
    assert str(error).startswith("HTTP 400: ")


def test_a_very_long_message_is_cut() -> None:
    """An error with a page of text keeps the beginning of it."""
    assert len(str(classify(500, {}, b"x" * 1_000_000))) < 2100
    assert len(str(classify(500, {}, body("x" * 1_000_000)))) < 2100
    assert len(str(classify(500, {}, b"<" * 1_000_000))) < 2100


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ({"error": {"message": "m", "code": 429}}, "RateLimited", "an error inside the stream: m"),
        ({"error": {"message": "m", "code": 529, "type": "overloaded_error"}}, "ProviderInternal", "m"),
        ({"error": {"message": "m", "code": 401}}, "AuthenticationError", "m"),
        ({"error": {"message": "Overloaded"}}, "ProviderInternal", "Overloaded"),
        ({"error": {"message": "m", "status_code": 500}}, "ProviderInternal", "m"),
        ({"error": {"message": "Rate limit reached"}}, "RateLimited", "m"),
        ({"error": {"message": "m", "type": "invalid_request_error"}}, "InvalidRequest", "m"),
        ({"error": "m"}, "UnknownProviderError", "m"),
    ],
)
def test_errors_inside_a_stream_bring_their_own_status(value: Any, kind: str, message: str) -> None:
    """An error inside a stream is told apart by its code, which may be an HTTP status, and its words."""
    error = failure_of(value)
    assert (type(error).__name__, error.status) == (kind, None)
    assert message in str(error)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, body(), "invalid"),
        (403, body(), "insufficient-permissions"),
        (401, body("Your key has expired."), "expired"),
        (400, body(type="permission_error"), "insufficient-permissions"),
    ],
)
def test_what_is_wrong_with_a_key(status: int, content: bytes, kind: str) -> None:
    """An AuthenticationError says as much about the key as is known."""
    error = classify(status, {}, content)
    assert isinstance(error, AuthenticationError)
    assert error.kind == kind


def test_the_parameter_that_is_wrong_is_named() -> None:
    """InvalidRequest carries the parameter that the provider complains about."""
    error = classify(400, {}, body("m", param="temperature"))
    assert isinstance(error, InvalidRequest)
    assert error.parameter == "temperature"


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (503, True), (501, False), (505, False)])
def test_not_every_server_error_passes(status: int, retryable: bool) -> None:
    """A server that does not know how (501, 505) will not know it in a second either."""
    assert classify(status, {}, b"").retryable is retryable


DATE = "Fri, 20 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:07 GMT", "date": DATE}, 7),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Fri, 20 Nov 2020 11:00:00 GMT"}, 0),
        *[({"retry-after": bad}, None) for bad in (
            "", "-10", "nan", "inf", "1e400", "soon", "9" * 40, "1, 2", "Fri, 29 Sep 100000 16:26:57 GMT", "GMT",
            "Zun, 29 Sep 2023 16:26:27 GMT",
            "99, 99 Zzz 9999 99:99:99 GMT", "\u0663", "1_0", "Fri, 20 Nov 2099 12:00:00 GMT",
        )],
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds and dates are understood, by the server's own clock; nonsense is None."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 7.66s.", 7.66),
        ("try again in 20ms", 0.02),
        ("try again in 1m2.5s.", 62.5),
        ("again soon", None),
    ],
)
def test_the_wait_may_stand_in_the_message(message: str, seconds: float | None) -> None:
    """Some hosts say how long to wait only in words."""
    assert failure_of({"error": {"message": message}}, status=429).retry_after == pytest.approx(seconds)


def test_the_wait_is_on_every_error_that_names_one() -> None:
    """A retry-after header counts whatever the error."""
    assert classify(503, {"retry-after": "3"}, b"").retry_after == 3


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, None),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "1s",
            },
            {"requests": {"limit": "60", "remaining": "0"}, "tokens": {"reset": "1s"}},
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "5",
                "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
            },
            {"input-tokens": {"limit": "5"}, "requests": {"reset": "2026-01-01T00:00:00Z"}},
        ),
        ({"x-ratelimit-limit": "9", "ratelimit-remaining": "1"}, {"requests": {"limit": "9", "remaining": "1"}}),
        ({"x-ratelimit-": "9", "my-ratelimit-limit": "1", "ratelimit-policy": "x"}, None),
    ],
)
def test_the_limits_are_on_the_error(headers: dict[str, str], limits: Any) -> None:
    """A RateLimited has what the headers say of limits, in the spellings of all hosts."""
    error = classify(429, headers, b"")
    assert isinstance(error, errors.RateLimited)
    assert error.rate_limits == limits


def test_all_kinds_are_reached() -> None:
    """Every class of the tree that an HTTP answer can stand for comes out of the classifier."""
    answers = [(400, b""), (401, b""), (402, b""), (413, b""), (418, b""), (429, b""), (500, b""),
               (400, body(code="content_filter")), (400, body(code="context_length_exceeded"))]  # fmt: skip
    made: set[type[MelliteError]] = {type(classify(status, {}, content)) for status, content in answers}
    assert made == {
        errors.InvalidRequest, errors.AuthenticationError, errors.QuotaExceeded, errors.PayloadTooLarge,
        errors.UnknownProviderError, errors.RateLimited, errors.ProviderInternal, errors.ContentPolicy,
        errors.ContextOverflow,
    }  # fmt: skip
