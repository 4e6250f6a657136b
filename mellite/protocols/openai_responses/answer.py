"""An answer of OpenAI Responses as a value: its typed shape, what it used, and what its items stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from ...values.provider_json import Json, JsonObject
from ...values.records import RawProviderResponse
from ...values.usage import Usage
from ..json_values import count, inner

__all__ = [
    "APPROVAL",
    "HOSTED",
    "ID",
    "OpenAIResponsesRaw",
    "ResponseObject",
    "ResponseOutputItem",
    "arguments_of_hosted",
    "decode_plain",
    "log_probabilities",
    "refusal_of",
    "usage_of",
    "whole",
]

ID: Final = "openai-responses"


class ResponseOutputItem(TypedDict, total=False):
    """One of the ``output`` items: a message, thinking, a tool call, ...; each type has fields of its own."""

    type: str
    id: str
    status: str
    role: str
    content: list[JsonObject]
    summary: list[JsonObject]
    encrypted_content: str | None
    call_id: str
    name: str
    arguments: str
    phase: str | None


class ResponseObject(TypedDict, total=False):
    """A response as the provider sends it; hosts add fields of their own."""

    id: str
    object: str
    created_at: float
    model: str
    status: str
    output: list[ResponseOutputItem]
    usage: JsonObject | None
    error: JsonObject | None
    incomplete_details: JsonObject | None
    previous_response_id: str | None
    service_tier: NotRequired[str | None]


class OpenAIResponsesRaw(RawProviderResponse, protocol=ID):
    """The raw answer of any host that speaks Responses."""

    __slots__ = ()

    response: ResponseObject | None


def usage_of(raw: Mapping[str, Json]) -> Usage:
    """Return the counts in a usage object."""
    given, made = inner(raw, "input_tokens_details"), inner(raw, "output_tokens_details")
    return Usage.of(
        input_tokens=count(raw, "input_tokens"),
        output_tokens=count(raw, "output_tokens"),
        total_tokens=count(raw, "total_tokens"),
        cache_read_input_tokens=count(given, "cached_tokens"),
        cache_write_input_tokens=count(given, "cache_write_tokens"),
        reasoning_tokens=count(made, "reasoning_tokens"),
        raw=raw,
    )


# Stream events of nothing but more of a text, of thinking or of what goes to a tool


class _PlainDelta(msgspec.Struct, gc=False):
    type: Literal[
        "response.output_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    ]
    delta: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None  # no default of 0: a name that was damaged must not be read as one
    summary_index: int | None = None
    sequence_number: int | None = None
    call_id: None = None  # some hosts name a call by this alone


#: Decodes a stream event that is more of the same; raises ValueError for any other. All that it passes over comes again
#: with the end of the answer.
decode_plain: Final = msgspec.json.Decoder(_PlainDelta).decode


# Tools that the provider runs

#: Types of items whose tool the provider ran itself -> what to call the tool.
HOSTED: Final[Mapping[str, str]] = {
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
    "web_search_call": "web_search",
    "web_search_preview_call": "web_search_preview",
}
#: The type of the items by which the provider asks whether it may run a tool of an MCP server.
APPROVAL: Final = "mcp_approval_request"
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "code_interpreter_call": ("code", "container_id"),
    "file_search_call": ("queries",),
    "mcp_call": ("server_label", "name", "arguments"),
}


def arguments_of_hosted(item: Mapping[str, Json]) -> Json:
    """Return what the model wanted of a tool that the provider ran.

    Example:
        >>> arguments_of_hosted({"type": "file_search_call", "id": "fs_1", "queries": ["rain"]})
        {'queries': ['rain']}
    """
    names = _ARGUMENTS.get(item.get("type", ""))
    if names is None:
        action = item.get("action")
        return action if isinstance(action, Mapping) else {}
    return {name: item[name] for name in names if item.get(name) is not None}


# The whole answer


def whole(response: Mapping[str, Json], items: list[JsonObject]) -> JsonObject:
    """Return the answer as it would have come in one piece.

    Args:
        response: as the last stream event has it; some hosts leave its output empty.
        items: the items that were streamed, in order.
    """
    return dict(response) if response.get("output") or not items else {**response, "output": items}


def log_probabilities(output: list[Json]) -> list[Json] | None:
    """Return the log probabilities of all texts of the output, joined; None if there are none."""
    given = [part.get("logprobs") for part in _said(output)]
    return [each for found in given if isinstance(found, list) for each in found] or None


def refusal_of(output: list[Json]) -> str | None:
    """Return what the model said in place of an answer; None if it did answer."""
    found = [part.get("refusal") for part in _said(output) if part.get("type") == "refusal"]
    return "".join([text for text in found if isinstance(text, str)]) or None


def _said(output: list[Json]) -> Iterator[Mapping[str, Json]]:
    for item in output:
        content = item.get("content") if isinstance(item, Mapping) and item.get("type") == "message" else None
        yield from [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else ()
