"""The names of Gemini's enums, which some gateways and clients in front of Vertex AI and AI Studio write as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.provider_json import Json
from ..json_values import wrong

__all__ = ["BLOCK_REASONS", "FINISH_REASONS", "name_of"]

#: google.ai.generativelanguage.v1beta.Candidate.FinishReason
_STUDIO: Final[Mapping[int, str]] = {
    0: "FINISH_REASON_UNSPECIFIED",
    1: "STOP",
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    5: "OTHER",
    6: "LANGUAGE",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    10: "MALFORMED_FUNCTION_CALL",
    11: "IMAGE_SAFETY",
    12: "UNEXPECTED_TOOL_CALL",
    13: "TOO_MANY_TOOL_CALLS",
    14: "IMAGE_PROHIBITED_CONTENT",
    15: "IMAGE_OTHER",
    16: "NO_IMAGE",
    17: "IMAGE_RECITATION",
}

#: google.cloud.aiplatform.v1.Candidate.FinishReason, which counts otherwise from 6 on
_VERTEX: Final[Mapping[int, str]] = {
    **{number: _STUDIO[number] for number in range(6)},
    6: "BLOCKLIST",
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
    10: "MODEL_ARMOR",
    11: "IMAGE_SAFETY",
    12: "IMAGE_PROHIBITED_CONTENT",
    13: "IMAGE_RECITATION",
    14: "IMAGE_OTHER",
    15: "UNEXPECTED_TOOL_CALL",
    16: "NO_IMAGE",
}

#: Of AI Studio and of Vertex AI.
FINISH_REASONS: Final[Mapping[str, Mapping[int, str]]] = {"studio": _STUDIO, "vertex": _VERTEX}

#: PromptFeedback.BlockReason of both; 5 differs, and means that it was blocked in either
BLOCK_REASONS: Final[Mapping[int, str]] = {
    0: "BLOCK_REASON_UNSPECIFIED",
    1: "SAFETY",
    2: "OTHER",
    3: "BLOCKLIST",
    4: "PROHIBITED_CONTENT",
}


def name_of(value: Json, names: Mapping[int, str], what: str) -> str | None:
    """Return the name of a value of an enum; a number without a name as text.

    Raises:
        InvalidProviderOutput: if it is neither a name nor a number; `what` says what it is.

    Example:
        >>> name_of(1, FINISH_REASONS["vertex"], "finishReason"), name_of("STOP", {}, "finishReason")
        ('STOP', 'STOP')
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return names.get(value, str(value)[:20])
    if value is not None and not isinstance(value, str):
        raise wrong(value, what, "a text or a number")
    return value
