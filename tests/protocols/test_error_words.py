"""The tables of words by which errors are told apart: each row is found, and nothing near it is taken for it."""

from __future__ import annotations

import json
import re

import pytest

from mellite.protocols import error_words as failure_words
from mellite.protocols.error_answers import classify, failure_of
from mellite.protocols.error_words import MINIMAX, ZAI, Words

TABLES = {name: rows for name, rows in vars(failure_words).items() if name.isupper() and isinstance(rows, tuple)}

MOONSHOT = "exceeded_current_quota_error"

# What servers say -> HTTP status, code or type, class of the error.
SAID: list[tuple[int, str, str | None, str]] = [
    # Longer than the model can read.
    (400, "Your input exceeds the context window of this model.", None, "ContextOverflow"),
    (400, "Your input exceeds the model's context window.", None, "ContextOverflow"),
    (400, "Input tokens exceed the configured limit of 272000 tokens.", None, "ContextOverflow"),
    (400, "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000", None, "ContextOverflow"),
    (400, "Too many input tokens. Max input tokens: 8192", None, "ContextOverflow"),
    (400, "the input token count is 1100000 but the model only supports up to 1048576.", None, "ContextOverflow"),
    (400, "This model's maximum prompt length is 131072.", None, "ContextOverflow"),
    (400, "prompt token count of 140000 exceeds the limit of 128000", None, "ContextOverflow"),
    (400, "the request exceeds the available context size", "exceed_context_size_error", "ContextOverflow"),
    (400, "Range of input length should be [1, 98304]", "invalid_parameter_error", "ContextOverflow"),
    (400, "The decoder prompt (length 5003) is longer than the maximum model length of 4096.", None, "ContextOverflow"),
    (400, "Prompt length (5003) exceeds maximum input length (4096)", None, "ContextOverflow"),
    (422, "Input validation error: `inputs` must have less than 4096 tokens. Given: 5003", None, "ContextOverflow"),
    (400, "invalid params, context window exceeds limit", None, "ContextOverflow"),
    (400, "Prompt exceeds max length", "1261", "ContextOverflow"),
    (400, "the number of input tokens 5003 cannot exceed the total tokens limit 4096", None, "ContextOverflow"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", None, "ContextOverflow"),
    (413, "prompt is too long", None, "ContextOverflow"),
    (400, "Total tokens of image and text exceed max message tokens", None, "ContextOverflow"),
    (400, "BedrockException - b'{\"message\":\"Input is too long for requested model.\"}'", None, "ContextOverflow"),
    (400, "Error code: 400 - {'error': {'message': 'prompt is too long: 5003 tokens'}}", None, "ContextOverflow"),
    (400, "Error code: 400 - {'error': {'code': 'context_length_exceeded'}}", None, "ContextOverflow"),
    (400, "'prompt is too long'", None, "ContextOverflow"),
    # What the server quotes is the user's.
    (400, "Invalid value for messages[0].content: 'Why is my prompt is too long?'", None, "InvalidRequest"),
    (400, "Could not parse 'You exceeded your current quota, what is that?'", None, "InvalidRequest"),
    (400, 'input_value={"content": "You exceeded your current quota"} is not text', None, "InvalidRequest"),
    (400, "Invalid content: string 'Incorrect API key provided' is not allowed", None, "InvalidRequest"),
    (400, "Unknown parameter: 'content_policy'.", None, "InvalidRequest"),
    (404, "The model `insufficient_quota` does not exist", "model_not_found", "InvalidRequest"),
    (404, "The model quota_exceeded-7b does not exist", None, "InvalidRequest"),
    (401, "Incorrect API key provided: sk-quota_exceeded", None, "AuthenticationError"),
    # Limits that are none of the prompt's.
    (400, "The number of images exceeds the limit of 8", None, "InvalidRequest"),
    (400, "The number of tools exceeds the limit of 128", None, "InvalidRequest"),
    (400, "max_tokens (9000) exceeds the limit of 8192", None, "InvalidRequest"),
    (400, "stop sequences exceeds the limit of 4", None, "InvalidRequest"),
    (400, "The image is too large for this model", None, "InvalidRequest"),
    (400, "The length of messages[0].name exceeds the limit of 64", None, "InvalidRequest"),
    # Rates.
    (429, "This request exceeds the limit of 30000 tokens per minute", None, "RateLimited"),
    (429, "Too many tokens per minute", None, "RateLimited"),
    (429, "Too many tokens per day, please wait before trying again.", None, "RateLimited"),
    (429, "Daily token limit exceeded", None, "RateLimited"),
    (429, "Allocated quota exceeded, please increase your quota limit.", "Throttling.AllocationQuota", "RateLimited"),
    (400, "Rate limit reached", "rate_limit_exceeded", "RateLimited"),
    (429, "Number of requests is over the limit", None, "RateLimited"),
    # Quotas.
    (403, "Your account is not active: the organization exceeded current quota", MOONSHOT, "QuotaExceeded"),
    (429, "You exceeded your current token quota, please check your account balance", MOONSHOT, "QuotaExceeded"),
    (429, "You exceeded your current quota, please check your plan.", "insufficient_quota", "QuotaExceeded"),
    (403, "Sorry, your account balance is insufficient", None, "QuotaExceeded"),
    (429, "Your team has used all available credits or reached its spending limit.", None, "QuotaExceeded"),
    (429, "You have used up your daily free allocation of 10,000 neurons.", None, "QuotaExceeded"),
    (400, "You have reached your specified API usage limits.", None, "QuotaExceeded"),
    (400, "Access denied, please make sure your account is in good standing.", "Arrearage", "QuotaExceeded"),
    (403, "Key limit exceeded (total limit). Manage it in the settings", None, "QuotaExceeded"),
    (429, "ExceededBudget: User=x over budget. Spend=1, Budget=0", "budget_exceeded", "QuotaExceeded"),
    (400, "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", None, "QuotaExceeded"),
    (403, "user quota is not enough", "insufficient_user_quota", "QuotaExceeded"),
    (429, "You have exceeded your monthly included credits for Inference Providers.", None, "QuotaExceeded"),
    (429, "Your account balance is negative. Please add credits.", None, "QuotaExceeded"),
    (429, "Credit limit exceeded, please upgrade your plan.", "credit_limit", "QuotaExceeded"),
    (400, "Your account is in arrears", None, "QuotaExceeded"),
    (400, "The quota field is unknown", None, "InvalidRequest"),
    # Keys.
    (400, "Incorrect API key provided. You can get one from the console.", None, "AuthenticationError"),
    (400, "API key not valid. Please pass a valid API key.", None, "AuthenticationError"),
    (400, "Invalid API-key provided.", "InvalidApiKey", "AuthenticationError"),
    (400, "Authentication error", None, "AuthenticationError"),
    (400, "No API key found in request", None, "AuthenticationError"),
    (400, "The api_key of a tool is not text", None, "InvalidRequest"),
    # Content.
    (400, "Input data may contain inappropriate content.", "data_inspection_failed", "ContentPolicy"),
    (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", None, "ContentPolicy"),
    (400, "the policy of this content type is unknown", None, "InvalidRequest"),
    # Servers.
    (429, "The engine is currently overloaded", "engine_overloaded_error", "RateLimited"),
    (400, "x", "InternalServerError", "ProviderInternal"),
    (400, "x", "BadRequestError", "InvalidRequest"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "text", "code", "kind"), SAID)
def test_what_servers_say(status: int, text: str, code: str | None, kind: str) -> None:
    """Each is the class that an agent has to act upon, with the server's words kept."""
    error = classify(status, {}, json.dumps({"error": {"message": text, "type": code}}).encode())
    assert type(error).__name__ == kind
    assert text in str(error)
    assert error.retryable is (kind in {"RateLimited", "ProviderInternal"})


@pytest.mark.parametrize("table", TABLES)
def test_each_row_has_a_source(table: str) -> None:
    """Each row of each table is a pattern that compiles, in lower case, and says where it was seen."""
    for row in TABLES[table]:
        assert isinstance(row, Words)
        re.compile(row.pattern)
        assert row.pattern == row.pattern.lower() or "\\" in row.pattern
        assert len(row.source) > 2
    assert len({row.pattern for row in TABLES[table]}) == len(TABLES[table])


@pytest.mark.parametrize(("number", "kind"), ZAI.items())
def test_numbers_of_zai(number: str, kind: type[Exception]) -> None:
    """A number sent as text is what Z.ai's table says; the same number sent as a number is somebody else's."""
    assert type(failure_of({"error": {"code": number, "message": "x"}})) is kind
    assert type(failure_of({"error": {"code": int(number), "message": "x"}})).__name__ == "UnknownProviderError"


@pytest.mark.parametrize(("number", "kind"), MINIMAX.items())
def test_numbers_of_minimax(number: str, kind: type[Exception]) -> None:
    """A number in a base_resp is what MiniMax's table says."""
    assert type(failure_of({"base_resp": {"status_code": int(number), "status_msg": "x"}}, whole=True)) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("503", "ProviderInternal"), ("429", "RateLimited"), ("4290", "UnknownProviderError"),
        ("99", "UnknownProviderError"), ("1302", "RateLimited"),
    ],
)  # fmt: skip
def test_a_status_written_as_text(code: str, kind: str) -> None:
    """Three digits of an error status are a status; others are not."""
    assert type(failure_of({"error": {"message": "x", "code": code}})).__name__ == kind
