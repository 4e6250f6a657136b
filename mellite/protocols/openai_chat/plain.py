"""The text of a whole Chat answer that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...values.usage import Spent
from ..plain_values import Count, Few, Flat, Nothing, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str
    role: Word = None
    annotations: Nothing | None = None
    audio: None = None
    function_call: None = None
    name: Word = None
    parsed: None = None
    prefix: Word = None
    provider_specific_fields: Flat | None = None
    reasoning: Literal[""] | None = None
    reasoning_content: Literal[""] | None = None
    reasoning_details: Nothing | None = None
    refusal: Literal[""] | None = None
    tool_calls: Nothing | None = None


class _Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _Message
    finish_reason: Literal["stop"]
    index: Word = None
    content_filter_results: dict[str, Flat] | None = None
    logprobs: None = None
    matched_stop: Word = None
    native_finish_reason: Word = None
    seed: Word = None
    stop_reason: Word = None
    token_ids: None = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    choices: tuple[_Choice]
    created: Word = None
    error: None = None
    id: Word = None
    kv_transfer_params: None = None
    model: Word = None
    object: Literal["chat.completion"] | None = None
    prompt: Nothing | None = None
    prompt_filter_results: list[Few] | None = None
    prompt_logprobs: None = None
    prompt_token_ids: None = None
    provider: Word = None
    request_id: Word = None
    service_tier: Word = None
    stats: Flat | None = None
    system_fingerprint: Word = None
    time_info: Flat | None = None
    timings: Flat | None = None
    usage: Few | None = None
    usage_breakdown: Flat | None = None
    x_groq: Flat | None = None


class _Thinking(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class _Report(msgspec.Struct, gc=False):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    completion_tokens_details: _Thinking | None = None
    reasoning_tokens: Count | None = None

    def spent(self) -> Spent | None:
        """Return the tokens; None where thinking may have to be added to them."""
        details = self.completion_tokens_details
        if self.reasoning_tokens or (details is not None and details.reasoning_tokens):
            return None
        return Spent(self.total_tokens, self.completion_tokens)


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usage", usage_of, _Report)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Example:
        >>> plain(b'{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}')
        'Hi!'
        >>> plain(b'{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "length"}]}')
    """
    answer = decoded(_decode, body)
    return None if answer is None else answer.choices[0].message.content or None
