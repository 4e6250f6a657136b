"""Output types over Chat Completions: ``response_format``, a tool that must be called, or words."""

from __future__ import annotations

import re
from typing import Any

from ...values.outputs.plan import OutputPlan
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..openai_schema import OPENAI_FORM, has_schemas, has_tools
from ..output_modes import Ways, held, named, planned
from .dialect import OPENAI, ChatDialect

__all__ = ["plan", "response_format"]


def plan(request: Request, *, dialect: ChatDialect = OPENAI) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    return planned(request, _ways(request.model, dialect))


def _ways(model: str | None, dialect: ChatDialect) -> Ways:
    unforced, only = dialect.unforced_models, dialect.schema_models
    native: bool | None = dialect.json_schema and has_schemas(model)
    if only is not None:
        native = None if re.match(only, model or "") else False
    return Ways(
        form=OPENAI_FORM,
        native=native,
        tools=has_tools(model),
        forced=unforced is None or re.match(unforced, model or "") is None,
        strict_tools=dialect.strict_tools and has_schemas(model),
    )


def response_format(output: Any, *, dialect: ChatDialect) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if the type has none.
    """
    form = held(output, _ways(None, dialect))
    return {
        "type": "json_schema",
        "json_schema": {"name": named(output), "schema": form.schema, "strict": form.strict},
    }
