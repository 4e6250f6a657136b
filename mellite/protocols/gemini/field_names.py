"""The field names of Gemini's JSON in lowerCamelCase, also for callers who write snake_case."""

from __future__ import annotations

import re
from typing import Final

from ...values.provider_json import Json, JsonObject

__all__ = ["in_camel_case", "with_known_names"]

#: What holds names of the caller's or of a schema, which are nobody's to change.
_OPAQUE: Final = frozenset(
    {
        "args",
        "labels",
        "partMetadata",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
        "responseSchema",
    }
)

#: Objects inside each other that have Google's names; what lies deeper is left as it is.
_DEEPEST: Final = 16

#: The outer fields whose original names tell how all are written; gateways' own fields in an answer of Google's do not.
_ORIGINAL: Final = frozenset(
    {
        "code_execution_result",
        "executable_code",
        "file_data",
        "finish_message",
        "finish_reason",
        "function_call",
        "function_response",
        "grounding_metadata",
        "inline_data",
        "model_version",
        "prompt_feedback",
        "response_id",
        "thought_signature",
        "tool_call",
        "tool_response",
        "usage_metadata",
    }
)

_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_NEXT_WORD: Final = re.compile(r"_([a-z0-9])")


def in_camel_case(value: Json, depth: int = _DEEPEST) -> Json:
    """Return a value of Google's JSON in which all fields are named in lowerCamelCase.

    Protobuf's JSON has two names for each field, and readers take both; writers that keep the original ones give
    ``finish_reason``. The arguments and results of functions, and schemas, stay as they are.

    Example:
        >>> in_camel_case({"usage_metadata": {}, "function_call": {"args": {"user_id": 1}}})
        {'usageMetadata': {}, 'functionCall': {'args': {'user_id': 1}}}
    """
    if depth == 0:
        return value
    if isinstance(value, list):
        return [in_camel_case(each, depth - 1) for each in value]
    if not isinstance(value, dict):
        return value
    named: JsonObject = {}
    for name, inner in value.items():
        own = _NEXT_WORD.sub(_capital, name) if _SNAKE.fullmatch(name) else name
        named[own] = inner if own in _OPAQUE else in_camel_case(inner, depth - 1)
    return named


def with_known_names(answer: JsonObject) -> JsonObject:
    """Return an answer, or a chunk of one, as `in_camel_case` does; at once where its outer names show no need.

    Example:
        >>> with_known_names({"candidates": [{"finish_reason": "STOP"}]})
        {'candidates': [{'finishReason': 'STOP'}]}
    """
    if all(_ORIGINAL.isdisjoint(names) for names in _outer(answer)):
        return answer
    named = in_camel_case(answer)
    return named if isinstance(named, dict) else answer


def _outer(answer: JsonObject) -> list[JsonObject]:
    """Return the objects whose names show how all are written: an answer, its candidates, and their parts."""
    objects = [answer]
    candidates = answer.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, dict):
            objects.append(candidate)
            content = candidate.get("content")
            parts = content.get("parts") if isinstance(content, dict) else None
            objects += [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else ()
    return objects


def _capital(found: re.Match[str]) -> str:
    return found[1].upper()
