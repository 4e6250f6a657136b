"""What Google's errors stand for: reasons, quotas, fields and waits in their details."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.errors import AuthenticationError, InvalidRequest, MelliteError, QuotaExceeded, RateLimited
from mellite.protocols.error_answers import classify

QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. "
    "* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10 "
    "Please retry in 34.074824224s."
)


def google(status: int, message: str, word: str, *details: Any) -> MelliteError:
    """The error that Google's answer stands for; it comes as an object, and from streams as a list of one."""
    body = {"error": {"code": status, "message": message, "status": word, "details": list(details)}}
    one, listed = (classify(status, {}, json.dumps(each).encode()) for each in (body, [body]))
    assert (type(one), str(one), one.retry_after) == (type(listed), str(listed), listed.retry_after)
    return one


def hit(quota: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}, 5]}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("status", "message", "word", "kind"),
    [
        (400, "Invalid JSON payload received.", "INVALID_ARGUMENT", "InvalidRequest"),
        (400, "User location is not supported for the API use.", "FAILED_PRECONDITION", "InvalidRequest"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
         "INVALID_ARGUMENT", "ContextOverflow"),
        (400, "Request payload size exceeds the limit: 20971520 bytes.", "INVALID_ARGUMENT", "PayloadTooLarge"),
        (401, "Request had invalid authentication credentials.", "UNAUTHENTICATED", "AuthenticationError"),
        (403, "Permission denied on resource project p.", "PERMISSION_DENIED", "AuthenticationError"),
        (404, "models/x is not found for API version v1beta", "NOT_FOUND", "InvalidRequest"),
        (429, "Resource exhausted. Please try again later.", "RESOURCE_EXHAUSTED", "RateLimited"),
        (429, "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'", "RESOURCE_EXHAUSTED",
         "RateLimited"),
        (429, QUOTA, "RESOURCE_EXHAUSTED", "QuotaExceeded"),
        (500, "An internal error has occurred.", "INTERNAL", "ProviderInternal"),
        (503, "The model is overloaded. Please try again later.", "UNAVAILABLE", "ProviderInternal"),
        (504, "Deadline expired before operation could complete.", "DEADLINE_EXCEEDED", "ProviderInternal"),
    ],
)  # fmt: skip
def test_statuses_and_words(status: int, message: str, word: str, kind: str) -> None:
    """Each of Google's errors has its type, and its message is told."""
    error = google(status, message, word)
    assert type(error).__name__ == kind
    assert message in str(error)


def test_a_quota_per_minute_is_a_rate_and_one_per_day_is_not() -> None:
    """The same words are said of both: the quota that was hit tells them apart; beside it stands how long to wait."""
    brief = google(429, QUOTA, "RESOURCE_EXHAUSTED", hit("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), RETRY)
    assert isinstance(brief, RateLimited)
    assert (brief.retryable, brief.retry_after) == (True, 34.5)
    daily = google(429, QUOTA, "RESOURCE_EXHAUSTED", hit("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY)
    assert isinstance(daily, QuotaExceeded)
    assert (daily.retryable, daily.retry_after) == (False, 34.5)


def test_a_wait_may_stand_in_the_message_only() -> None:
    """Without details the message says how long to wait."""
    assert google(429, "Slow down. Please retry in 1.5s.", "RESOURCE_EXHAUSTED").retry_after == 1.5


def test_a_key_that_is_no_key_is_told_by_the_reason() -> None:
    """A wrong key is HTTP 400 at Google: its reason makes it a matter of who is asking."""
    wrong = google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", INVALID_KEY)
    expired = google(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT", INVALID_KEY)
    forbidden = google(403, "Caller does not have permission", "PERMISSION_DENIED")
    kinds = []
    for error in (wrong, expired, forbidden):
        assert isinstance(error, AuthenticationError)
        kinds.append(error.kind)
    assert kinds == ["invalid", "expired", "insufficient-permissions"]


def test_the_field_that_is_wrong_is_named() -> None:
    """A request that is refused for one field names it."""
    bad = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents[0].parts"}]}
    error = google(400, "Invalid value", "INVALID_ARGUMENT", bad)
    assert isinstance(error, InvalidRequest)
    assert error.parameter == "contents[0].parts"


@pytest.mark.parametrize(
    "details",
    [
        ["x"],
        [{"retryDelay": 5}],
        [{"retryDelay": "soon"}],
        [{"violations": {"a": 1}}],
        [{"fieldViolations": [{"field": 5}]}],
    ],
)
def test_details_may_be_nonsense(details: list[Any]) -> None:
    """Details of other shapes change nothing."""
    error = google(429, "Slow down.", "RESOURCE_EXHAUSTED", *details)
    assert (type(error), error.retry_after) == (RateLimited, None)
