"""The text of a whole Anthropic answer that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...values.usage import Spent
from ..plain_values import Count, Few, Nothing, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Block(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str
    citations: Nothing | None = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    content: tuple[_Block]
    stop_reason: Literal["end_turn", "stop_sequence"]
    container: None = None
    context_management: Few | None = None
    id: Word = None
    model: Word = None
    role: Word = None
    stop_details: None = None
    stop_sequence: Word = None
    type: Literal["message"] | None = None
    usage: Few | None = None


class _Report(msgspec.Struct, gc=False):
    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None

    def spent(self) -> Spent:
        """Return the tokens, with what was read from the cache and written to it."""
        cached = (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)
        return Spent(self.input_tokens + cached + self.output_tokens, self.output_tokens)


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usage", usage_of, _Report)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Example:
        >>> plain(b'{"content": [{"type": "text", "text": "Hi!"}], "stop_reason": "end_turn"}')
        'Hi!'
        >>> plain(b'{"content": [{"type": "text", "text": "Hi!"}], "stop_reason": "max_tokens"}')
    """
    answer = decoded(_decode, body)
    return None if answer is None else answer.content[0].text or None
