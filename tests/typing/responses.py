"""The raw answers of Responses as type checkers see them; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from mellite import ModelOutputThunk
from mellite.protocols.openai_chat import OpenAIChatRaw
from mellite.protocols.openai_responses import OpenAIResponsesRaw, ResponseObject, ResponseOutputItem
from mellite.values.records import RawProviderResponse


def narrowed_by_match(thunk: ModelOutputThunk[str]) -> str:
    """Each protocol's class narrows the response to its own shape."""
    match thunk.raw:
        case OpenAIResponsesRaw(response=response) if response is not None:
            assert_type(response, ResponseObject)
            assert_type(response.get("output", []), list[ResponseOutputItem])
            return response.get("status", "")
        case OpenAIChatRaw(response=response) if response is not None:
            return response.get("id", "")
        case other:
            assert_type(other, RawProviderResponse)
            return ""


def narrowed_by_isinstance(thunk: ModelOutputThunk[str]) -> dict[str, Any] | None:
    """So does isinstance."""
    raw = thunk.raw
    if isinstance(raw, OpenAIResponsesRaw) and raw.response is not None:
        assert_type(raw.response, ResponseObject)
        return raw.response.get("usage")
    return None
