"""Read columns of llm's tables, old and new: JSON, options, tools, ends of answers."""

from __future__ import annotations

from collections.abc import Mapping

from ...cassettes.bodies import decoded
from ...values.messages import ToolCall
from ...values.options import Options
from ...values.provider_json import Json, JsonObject
from ...values.tools import ToolDefinition
from .calls import tool_call

__all__ = ["answering_model", "call_read", "column", "end_word", "options_read", "tool_read"]


def column(row: Mapping[str, Json], name: str) -> Json:
    """Return the JSON in a column; None if there is none."""
    text = row.get(name)
    is_json, value = decoded(text) if isinstance(text, str) else (False, None)
    return value if is_json else None


def options_read(value: Json) -> Options:
    """Return the options of a call that mellite knows too, out of those that llm kept.

    Example:
        >>> options_read({"temperature": 0.5, "json_object": True}).temperature
        0.5
    """
    known = ("temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "stop")
    given = value if isinstance(value, dict) else {}
    return Options.of({name: given[name] for name in known if given.get(name) is not None})


def tool_read(row: Mapping[str, Json]) -> ToolDefinition:
    """Return the tool in a row of ``tools``."""
    schema = column(row, "input_schema")
    parameters = schema if isinstance(schema, dict) else {"type": "object", "properties": {}}
    return ToolDefinition(str(row.get("name")), str(row.get("description") or ""), input_schema=parameters)


def call_read(fields: Mapping[str, Json], number: int) -> ToolCall:
    """Return a call of a tool; one that came without an id is named by its number."""
    arguments = fields.get("arguments")
    return tool_call(str(fields.get("tool_call_id") or f"call_{number}"), str(fields.get("name")), arguments)


def answering_model(answer: JsonObject, row: Mapping[str, Json]) -> str:
    """Return the model that answered: as the provider says, or else as llm calls it."""
    said = answer.get("model")
    if isinstance(said, str) and said:
        return said
    return str(row.get("resolved_model") or row.get("model") or "unknown")


def end_word(answer: JsonObject) -> str | None:
    """Return the word for why an answer ended, where it is of OpenAI's Chat Completions.

    Example:
        >>> end_word({"choices": [{"finish_reason": "length"}]}), end_word({"finish_reason": "stop"}), end_word({})
        ('length', 'stop', None)
    """
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else answer
    word = first.get("finish_reason")
    return word if isinstance(word, str) else None
