"""The text of a whole Cohere answer that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..plain_values import Few, Nothing, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Block(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: tuple[_Block]
    role: Word = None
    citations: Nothing | None = None
    tool_calls: Nothing | None = None
    tool_plan: Literal[""] | None = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    message: _Message
    finish_reason: Literal["COMPLETE", "STOP_SEQUENCE"]
    id: Word = None
    logprobs: None = None
    usage: Few | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usage", usage_of)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Example:
        >>> plain(b'{"message": {"content": [{"type": "text", "text": "Hi!"}]}, "finish_reason": "COMPLETE"}')
        'Hi!'
        >>> plain(b'{"message": {"content": [{"type": "text", "text": "Hi!"}]}, "finish_reason": "MAX_TOKENS"}')
    """
    answer = decoded(_decode, body)
    return None if answer is None else answer.message.content[0].text or None
