"""Output types over Anthropic Messages: ``output_config.format``, a tool that is called, or words.

Claude cannot be forced to call a tool while it thinks. It is told to, then, and may choose:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...values.errors import InvalidRequest
from ...values.outputs.plan import OutputPlan
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..closed_schema import CLOSED_RULES
from ..output_modes import Form, Ways, held, planned
from ..schema_projection import Unheld, projected
from .dialect import ANTHROPIC, AnthropicDialect
from .models import ClaudeFacts, facts_of

__all__ = ["held_to", "output_format", "plan"]

_FORM: Final = Form(who="Anthropic Messages", rules=CLOSED_RULES)


def held_to(schema: Mapping[str, Json]) -> JsonObject:
    """Return the schema as Anthropic takes it.

    Every object is closed. Limits that answers cannot be held to (``minimum``, ``pattern``, ...) go into the
    description, for the model to read; the answer is checked against them when it is parsed.

    Raises:
        InvalidRequest: for what no answer can be held to, such as an object with open-ended keys.

    Example:
        >>> held_to({"type": "integer", "minimum": 1})
        {'type': 'integer', 'description': '{"minimum":1}'}
    """
    try:
        return projected(schema, CLOSED_RULES)
    except Unheld as error:
        msg = f"this is not a schema that Anthropic Messages can hold an answer to: {error}"
        raise InvalidRequest(msg, parameter="output") from error


def plan(request: Request, *, dialect: AnthropicDialect = ANTHROPIC) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    facts = facts_of(request.model)
    known = facts.json_schema
    forced = not _thinks(request, facts, dialect)
    return planned(request, Ways(form=_FORM, native=known, forced=forced, strict_tools=known))


def output_format(output: Any) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if it cannot be.
    """
    return {"type": "json_schema", "schema": held(output, Ways(form=_FORM)).schema}


def _thinks(request: Request, facts: ClaudeFacts, dialect: AnthropicDialect) -> bool:
    """Tell whether the model is asked to think before it answers."""
    options = request.options
    for namespace in dialect.namespaces:
        own = request.provider_options.get(namespace)
        thinking = own.get("thinking") if isinstance(own, Mapping) else None
        if isinstance(thinking, Mapping):
            return thinking.get("type") != "disabled"
    if options.reasoning_effort == "none" or options.reasoning_budget == 0:
        return False
    if options.reasoning_budget is not None:
        return True
    return options.reasoning_effort is not None and ("adaptive" in facts.thinking or not facts.effort)
