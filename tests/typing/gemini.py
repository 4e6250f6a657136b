"""The raw answer of Gemini as type checkers see it; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

import mellite
from mellite.protocols.gemini import GeminiRaw, GeminiResponse
from mellite.protocols.gemini.answer import GeminiCandidate, GeminiContent
from mellite.protocols.openai_chat import OpenAIChatRaw
from mellite.values.records import RawProviderResponse


async def narrowing() -> None:
    """`isinstance` and `match` narrow what came back to what Google sends."""
    thunk = mellite.backend("google:gemini-2.5-flash").generate("Hello.")
    await thunk
    assert_type(thunk.raw, RawProviderResponse)
    if isinstance(thunk.raw, GeminiRaw):
        assert_type(thunk.raw.response, GeminiResponse | None)
        answer = thunk.raw.response or {}
        assert_type(answer.get("candidates", []), list[GeminiCandidate])
    match thunk.raw:
        case GeminiRaw(response=said) if said is not None:
            assert_type(said, GeminiResponse)
            first = said.get("candidates", [])[0]
            assert_type(first.get("content"), GeminiContent | None)
            assert_type(first.get("groundingMetadata", {}), dict[str, Any])
        case OpenAIChatRaw() as chat:
            assert_type(chat, OpenAIChatRaw)
        case _:
            pass


def mistakes(raw: GeminiRaw) -> None:
    """What Google does not send is an error before it runs."""
    if raw.response is not None:
        raw.response["choices"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
