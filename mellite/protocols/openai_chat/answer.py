"""A chat completion as a value: its typed shape, what it used, and how one is put together from stream chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, NotRequired, TypedDict

import msgspec

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count, inner, shown

__all__ = [
    "ID",
    "REASONING_FIELDS",
    "ChatChoice",
    "ChatCompletion",
    "ChatDelta",
    "ChatMessage",
    "Merged",
    "OpenAIChatRaw",
    "PlainDelta",
    "decode_plain",
    "filtered_for",
    "usage_of",
]

ID: Final = "openai-chat"


class ChatMessage(TypedDict, total=False):
    """The ``message`` of a choice."""

    role: str
    content: str | list[JsonObject] | None
    refusal: str | None
    reasoning_content: str
    tool_calls: list[JsonObject]


class ChatChoice(TypedDict):
    """One of the ``choices`` of a chat completion."""

    index: int
    message: ChatMessage
    finish_reason: str | None
    logprobs: NotRequired[JsonObject | None]


class ChatCompletion(TypedDict, total=False):
    """A chat completion as the provider sends it; hosts add fields of their own."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: JsonObject | None
    service_tier: str | None
    system_fingerprint: str | None


class OpenAIChatRaw(RawProviderResponse, protocol=ID):
    """The raw answer of any host that speaks Chat Completions."""

    __slots__ = ()

    response: ChatCompletion | None


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a usage object, whose names differ from host to host."""
    prompt, completion = inner(raw, "prompt_tokens_details"), inner(raw, "completion_tokens_details")
    reasoning = count(completion, "reasoning_tokens") if completion else None
    cached = count(prompt, "cached_tokens") if prompt else None
    if cached is None:  # DeepSeek; Together and Z.ai; Mistral
        cached = count(raw, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    return Usage.of(
        input_tokens=count(raw, "prompt_tokens"),
        output_tokens=count(raw, "completion_tokens"),
        total_tokens=count(raw, "total_tokens"),
        cache_read_input_tokens=cached,
        cache_write_input_tokens=count(prompt, "cache_write_tokens") if prompt else None,
        reasoning_tokens=count(raw, "reasoning_tokens") if reasoning is None else reasoning,  # Perplexity
        raw=raw,
    )


def filtered_for(choice: Mapping[str, Json]) -> str | None:
    """Return what a choice was filtered for, by Azure's notes on it.

    https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter

    Example:
        >>> filtered_for({"content_filter_results": {"hate": {"filtered": True, "severity": "high"}, "violence": {}}})
        'filtered: hate (high)'
    """
    found = []
    for name, result in inner(choice, "content_filter_results").items():
        if isinstance(result, Mapping) and result.get("filtered") is True:
            severity = result.get("severity")
            found.append(f"{name} ({severity})" if isinstance(severity, str) else name)
    return f"filtered: {', '.join(found)}" if found else None


# Chunks of nothing but text, thinking or arguments. These name all that one may hold; any other does not decode.


class _PlainFunction(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    arguments: str
    name: Literal[""] | None = None


class _PlainCall(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    index: int
    function: _PlainFunction
    id: Literal[""] | None = None
    type: str | None = None


class PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The delta of such a chunk."""

    content: str | None = None
    reasoning_content: str | None = None
    role: Json = None
    refusal: None = None
    tool_calls: tuple[_PlainCall] | None = None
    function_call: None = None
    annotations: None = None
    reasoning: str | None = None


class _PlainChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    delta: PlainDelta
    index: Literal[0] = 0
    finish_reason: None = None
    logprobs: None = None
    native_finish_reason: None = None
    stop_reason: None = None
    token_ids: None = None


class _PlainChunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    choices: tuple[_PlainChoice]
    usage: None = None
    id: Json = None
    object: Json = None
    created: Json = None
    model: Json = None
    provider: Json = None
    service_tier: Json = None
    system_fingerprint: Json = None
    obfuscation: Json = None


#: Decodes a chunk of nothing but more of one thing, in half the time of any chunk; raises ValueError for any other.
decode_plain: Final = msgspec.json.Decoder(_PlainChunk).decode


# Putting one together

#: Where hosts put the thinking; the first that says something counts.
REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_text")

#: In a delta these say the same each time; every other text there is the next piece.
_SAID_AGAIN: Final = frozenset({"format", "id", "name", "role", "type"})

#: Padding and what is merged by other rules.
_TOP_APART: Final = frozenset({"choices", "error", "obfuscation", "usage"})
_CHOICE_APART: Final = frozenset({"delta", "index", "message", "usage"})

#: What an answer is made of, as opposed to what is said about it.
_SPOKEN: Final = ("content", "refusal", "tool_calls", "function_call", *REASONING_FIELDS)


class _Pieces(list[Json]):
    """A text while it grows, joined at the end, so that n pieces cost n; some providers mix other parts in."""


class ChatDelta(NamedTuple):
    """The addition of one chunk to one choice.

    Args:
        choice: the choice in the chunk.
        delta: what is new of its message.
        whole: whether the chunk has the whole message, so that each of its tool calls is all of one.
    """

    choice: Mapping[str, Json]
    delta: Mapping[str, Json]
    whole: bool


class Merged:
    """A chat completion that grows by chunks; keeps every field, also unknown ones.

    Attributes:
        content: the pieces of the first choice's text; the fast path adds to it directly.
        reasoning: likewise for ``reasoning_content``.
    """

    __slots__ = ("_choices", "_top", "content", "reasoning")

    def __init__(self) -> None:
        self._top: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}
        self.content: list[str] = _Pieces()
        self.reasoning: list[str] = _Pieces()

    def add(self, chunk: Mapping[str, Json]) -> list[ChatDelta]:
        """Merge one chunk; return what it adds to each choice that it has.

        Its ``choices``, if any, must be a list of objects whose deltas and messages are objects or null.

        Raises:
            InvalidProviderOutput: if a whole message says something else than what came before it.
        """
        top = self._top
        for name, value in chunk.items():
            if value is None:
                top.setdefault(name, None)
            elif name not in _TOP_APART:
                known = top.get(name)
                top[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        return [self._add_choice(choice) for choice in chunk.get("choices") or ()]

    def _add_choice(self, choice: Mapping[str, Json]) -> ChatDelta:
        index = choice.get("index") or 0
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = {"index": index, "message": {}, "finish_reason": None}
            if index == 0:
                known["message"] = {"content": self.content, "reasoning_content": self.reasoning}
        for name, value in choice.items():
            if name in _CHOICE_APART:
                continue
            if value is None:
                known.setdefault(name, None)
            else:
                _add_fact(known, name, value)
        delta, message = choice.get("delta") or {}, choice.get("message")
        if "delta" not in choice and "message" not in choice and isinstance(choice.get("text"), str):
            delta = {"content": choice["text"]}  # as the older Completions say it
        whole = bool(message) and not any(delta.get(name) for name in _SPOKEN)
        if whole:
            delta = _rest_of(message or {}, known["message"])
        _add_delta(known["message"], delta)
        return ChatDelta(choice, delta, whole)

    def pieces(self, name: str) -> list[str]:
        """Return the pieces of a text in the message of the first choice that has come by this name."""
        pieces: list[str] = self._choices[0]["message"][name]
        return pieces

    def first(self) -> JsonObject:
        """Return what is known of the first choice, but for its text."""
        choice = self._choices.get(0, {"message": {}})
        message = {name: value for name, value in choice["message"].items() if not isinstance(value, _Pieces)}
        known: JsonObject = _finished({**choice, "message": message})
        return known

    def finished(self, *, usage: Mapping[str, Json] | None, tool_calls: list[JsonObject]) -> JsonObject:
        """Return the whole answer.

        Args:
            usage: the usage that counts.
            tool_calls: those of the first choice, put together with more care than here.
        """
        answer = {**self._top, "choices": []}
        if "object" in answer:
            answer["object"] = "chat.completion"
        if usage is not None:
            answer["usage"] = dict(usage)
        for index in sorted(self._choices):
            choice = {**self._choices[index]}
            message = choice["message"] = {"role": "assistant", **_finished(choice["message"])}
            if index == 0:
                if not self.content:
                    message["content"] = None
                if not self.reasoning:
                    del message["reasoning_content"]
                if tool_calls:
                    message["tool_calls"] = tool_calls
            answer["choices"].append(_finished(choice))
        return answer


def _add_fact(known: JsonObject, name: str, value: Json) -> None:
    """Merge what a chunk says of a choice beside its message."""
    held = known.get(name)
    if name == "logprobs" and isinstance(value, Mapping):
        merged = known[name] = held or {}
        _add_delta(merged, value)
    elif name == "text" and isinstance(value, str):
        _add_delta(known, {name: value})
    elif isinstance(value, list) and isinstance(held, list):
        held.extend(value)
    else:
        known[name] = value


def _rest_of(message: Mapping[str, Json], known: Mapping[str, Json]) -> JsonObject:
    """Return what of a whole message has not come in deltas.

    That is all of it, where a server streams an answer in one piece; the end or nothing, where one tells with every
    delta, or at the end, what the message has come to (Perplexity).

    Raises:
        InvalidProviderOutput: if it says something else than what came.
    """
    rest: JsonObject = {}
    thought = max([_joined(known.get(name)) for name in REASONING_FIELDS], key=len)
    for name, value in message.items():
        held = known.get(name)
        came = thought if name in REASONING_FIELDS else _joined(held)
        if name == "function_call" and isinstance(value, Mapping) and isinstance(held, Mapping):
            rest[name] = _rest_of(value, held)
        elif name == "tool_calls" or not (came or held):
            rest[name] = value
        elif isinstance(value, str) and name not in _SAID_AGAIN:
            if not value.startswith(came) and not came.startswith(value):
                raise _contradiction(name, came, value)
            rest[name] = value[len(came) :]
        elif isinstance(value, list) and name == "content" and _text_in(value) != came:
            raise _contradiction(name, came, value)
    return rest


def _contradiction(name: str, came: str, value: Json) -> InvalidProviderOutput:
    msg = f"{name} came as {shown(came)}, and then, in a whole message, as {shown(value)}"
    return InvalidProviderOutput(msg)


def _joined(value: Json) -> str:
    return "".join([piece for piece in value if isinstance(piece, str)]) if isinstance(value, _Pieces) else ""


def _text_in(parts: list[Json]) -> str:
    """Join the texts among the parts of a content."""
    found = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "".join([text for text in found if isinstance(text, str)])


def _add_delta(known: JsonObject, delta: Mapping[str, Json]) -> None:
    for name, value in delta.items():
        held = known.get(name)
        if value is None:
            known.setdefault(name, None)
        elif isinstance(value, str) and name not in _SAID_AGAIN:
            if isinstance(held, _Pieces):
                held.append(value)
            else:
                known[name] = _Pieces([value] if held is None else [*([held] if isinstance(held, str) else []), value])
        elif isinstance(value, Mapping):
            below = known[name] = held if isinstance(held, dict) else {}
            _add_delta(below, value)
        elif isinstance(value, list):
            if not isinstance(held, list):
                held = known[name] = []
            _add_items(held, value)
        else:
            known[name] = value


def _add_items(known: list[Json], items: list[Json]) -> None:
    """Items that bear an index belong to the item of that index and type; others are further items.

    OpenRouter counts the summary and the encrypted form of one thought alike.
    """
    for item in items:
        index = item.get("index") if isinstance(item, Mapping) else None
        if index is None:
            known.append(item)
            continue
        held = next((other for other in known if _is_same(other, item)), None)
        if held is None:
            held = {}
            known.append(held)
        _add_delta(held, item)


def _is_same(known: Json, item: Mapping[str, Json]) -> bool:
    if not isinstance(known, dict) or known.get("index") != item["index"]:
        return False
    kind = item.get("type")
    return kind is None or known.get("type") in (None, kind)


def _finished(value: Json) -> Json:
    if isinstance(value, _Pieces):
        return _text(value)
    if isinstance(value, list):
        return [_finished(item) for item in value]
    if isinstance(value, dict):
        return {name: _finished(item) for name, item in value.items()}
    return value


def _text(pieces: _Pieces) -> Json:
    """Join pieces to one text; to a list of parts, where there are parts among them."""
    try:
        return "".join(pieces)
    except TypeError:
        parts: list[Json] = []
    for piece in pieces:
        if not isinstance(piece, str):
            parts.append(piece)
        elif parts and isinstance(parts[-1], _Pieces):
            parts[-1].append(piece)
        elif piece:
            parts.append(_Pieces([piece]))
    return [{"type": "text", "text": "".join(part)} if isinstance(part, _Pieces) else part for part in parts]
