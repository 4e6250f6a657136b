"""The text of a whole Responses answer that is nothing but text, read without its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...values.provider_json import JsonObject
from ...values.usage import Spent
from ..plain_values import Count, Few, Flat, Nothing, Word, decoded, spent_reader
from .answer import usage_of

__all__ = ["plain", "plain_spent"]

# These name all that such an answer may hold; any other does not decode.


class _Text(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Literal["output_text"]
    text: str
    annotations: Nothing | None = None
    logprobs: Nothing | None = None


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="message"):
    content: tuple[_Text]
    id: Word = None
    phase: Word = None
    role: Word = None
    status: Word = None


class _HiddenThought(msgspec.Struct, gc=False, forbid_unknown_fields=True, tag="reasoning"):
    summary: Nothing | None = None
    content: Nothing | None = None
    encrypted_content: str | None = None
    id: Word = None
    status: Word = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    output: list[_Message | _HiddenThought]
    status: Literal["completed"]
    background: Word = None
    billing: Flat | None = None
    completed_at: Word = None
    content_filters: list[Few] | None = None
    created_at: Word = None
    error: None = None
    frequency_penalty: Word = None
    id: Word = None
    incomplete_details: None = None
    instructions: Word = None
    max_output_tokens: Word = None
    max_tool_calls: Word = None
    metadata: Flat | None = None
    model: Word = None
    moderation: Word = None
    object: Word = None
    parallel_tool_calls: Word = None
    presence_penalty: Word = None
    previous_response_id: Word = None
    prompt_cache_key: Word = None
    prompt_cache_retention: Word = None
    reasoning: Flat | None = None
    safety_identifier: Word = None
    service_tier: Word = None
    store: Word = None
    temperature: Word = None
    text: Few | None = None
    tool_choice: Word | Flat = None
    tool_usage: Few | None = None
    tools: list[JsonObject] | None = None
    top_logprobs: Word = None
    top_p: Word = None
    truncation: Word = None
    usage: Few | None = None
    user: Word = None


#: The most objects and lists where tools are repeated, whose schemas may be of any depth: it is at most this, then.
_MOST: Final = 300


class _Thinking(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class _Report(msgspec.Struct, gc=False):
    input_tokens: Count
    output_tokens: Count
    total_tokens: Count
    output_tokens_details: _Thinking | None = None

    def spent(self) -> Spent | None:
        """Return the tokens; None where thinking may have to be added to them."""
        details = self.output_tokens_details
        if details is not None and details.reasoning_tokens:
            return None
        return Spent(self.total_tokens, self.output_tokens)


_decode: Final = msgspec.json.Decoder(_Answer).decode

#: Reads the tokens of an answer that `plain` gives the text of.
plain_spent: Final = spent_reader("usage", usage_of, _Report)


def plain(body: bytes) -> str | None:
    """Return the text of an answer that is one text and ended of its own accord; None for any other.

    Thinking of which nothing is shown may come before the text.

    Example:
        >>> said = b'{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}'
        >>> plain(b'{"status": "completed", "output": [' + said + b']}')
        'Hi!'
        >>> plain(b'{"status": "incomplete", "output": [' + said + b']}')
    """
    answer = decoded(_decode, body)
    if answer is None:
        return None
    if answer.tools and body.count(b"{") + body.count(b"[") > _MOST:
        return None
    said = None
    for item in answer.output:
        if type(item) is _Message:
            if said is not None:
                return None
            said = item.content[0].text
    return None if said is None or said.isspace() else said or None
