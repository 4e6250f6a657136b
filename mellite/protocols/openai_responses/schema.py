"""Output types over Responses: ``text.format``, a tool that must be called, or words."""

from __future__ import annotations

from typing import Any

from ...values.outputs.plan import OutputPlan
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..openai_schema import OPENAI_FORM, has_schemas, has_tools
from ..output_modes import Ways, held, named, planned
from .dialect import OPENAI, ResponsesDialect

__all__ = ["plan", "text_format"]


def plan(request: Request, *, dialect: ResponsesDialect = OPENAI) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    return planned(request, _ways(request.model, dialect))


def _ways(model: str | None, dialect: ResponsesDialect) -> Ways:
    known = has_schemas(model)
    strict = dialect.strict_tools and known
    return Ways(form=OPENAI_FORM, native=known, tools=has_tools(model), strict_tools=strict)


def text_format(output: Any, *, dialect: ResponsesDialect) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if the type has none.
    """
    form = held(output, _ways(None, dialect))
    return {"type": "json_schema", "name": named(output), "schema": form.schema, "strict": form.strict}
