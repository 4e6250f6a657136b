"""The text of a whole answer of Converse that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..plain_values import Few, Flat, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Block(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: tuple[_Block]
    role: Word = None


class _Output(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _Message


class _Answer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    output: _Output
    stop_reason: Literal["end_turn", "stop_sequence"]
    additional_model_response_fields: Few | None = None
    metrics: Flat | None = None
    performance_config: Flat | None = None
    service_tier: Flat | None = None
    trace: None = None
    usage: Few | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usage", usage_of)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Example:
        >>> plain(b'{"output": {"message": {"content": [{"text": "Hi!"}]}}, "stopReason": "end_turn"}')
        'Hi!'
        >>> plain(b'{"output": {"message": {"content": [{"text": "Hi!"}]}}, "stopReason": "max_tokens"}')
    """
    answer = decoded(_decode, body)
    return None if answer is None else answer.output.message.content[0].text or None
