"""The text of a whole Gemini answer that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...values.usage import Spent
from ..plain_values import Count, Few, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Part(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    text: str
    thought: bool | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    parts: tuple[_Part]
    role: Word = None


class _Candidate(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    content: _Content
    finish_reason: Literal["STOP"]
    avg_logprobs: Word = None
    finish_message: Word = None
    index: Literal[0] | None = None
    safety_ratings: list[Few] | None = None
    token_count: Word = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    candidates: tuple[_Candidate]
    create_time: Word = None
    model_version: Word = None
    prompt_feedback: None = None
    response_id: Word = None
    usage_metadata: Few | None = None


class _Report(msgspec.Struct, gc=False, rename="camel"):
    total_token_count: Count
    candidates_token_count: Count
    thoughts_token_count: Count | None = None

    def spent(self) -> Spent | None:
        """Return the tokens; None where thinking has to be added to those of the answer."""
        return None if self.thoughts_token_count else Spent(self.total_token_count, self.candidates_token_count)


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usageMetadata", usage_of, _Report)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Example:
        >>> plain(b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}]}, "finishReason": "STOP"}]}')
        'Hi!'
        >>> plain(b'{"candidates": [{"content": {"parts": [{"text": "Hi!"}]}, "finishReason": "SAFETY"}]}')
    """
    answer = decoded(_decode, body)
    if answer is None:
        return None
    part = answer.candidates[0].content.parts[0]
    return None if part.thought else part.text or None
