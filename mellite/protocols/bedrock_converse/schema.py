"""Output types over Converse: ``outputConfig.textFormat``, a tool that is called, or words.

https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from __future__ import annotations

from typing import Any, Final

from ...values.outputs.plan import OutputPlan
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..closed_schema import CLOSED_RULES
from ..json_values import json_text
from ..output_modes import Form, Ways, held, named, planned
from .models import family_of, has_schemas

__all__ = ["plan", "text_format"]

_FORM: Final = Form(who="Bedrock Converse", rules=CLOSED_RULES)


def plan(request: Request) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    family = family_of(request.model)
    known = has_schemas(request.model)
    thinks = family.thinking and bool(request.options.reasoning_budget)
    forced = family.forced and not thinks
    return planned(request, Ways(form=_FORM, native=known, tools=family.tools, forced=forced, strict_tools=known))


def text_format(output: Any) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if it cannot be.
    """
    text = json_text(held(output, Ways(form=_FORM)).schema, what="the schema of the output type")
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": named(output), "schema": text}}}
