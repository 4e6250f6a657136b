"""Output types over Cohere's Chat: ``response_format``, a tool that must be called, or words.

https://docs.cohere.com/docs/structured-outputs. It cannot be held to a schema beside tools.
"""

from __future__ import annotations

from typing import Any, Final

from ...values.outputs.plan import OutputPlan
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..output_modes import Form, Ways, held, planned
from ..schema_projection import SchemaRules

__all__ = ["plan", "response_format"]

_RULES: Final = SchemaRules(
    keywords=frozenset({"const"}),
    formats=frozenset({"date", "date-time", "time", "uuid"}),
    some_required=True,
    cycles="never",
    min_items=frozenset(),
)
_WAYS: Final = Ways(form=Form(who="Cohere Chat", rules=_RULES), native=None)


def plan(request: Request) -> tuple[Request, OutputPlan]:
    """Return the request as it has its answer held to the output type, and how that is done.

    Raises:
        InvalidRequest: if the type cannot be asked for.
        UnsupportedOption: for a way that the model does not have.
    """
    return planned(request, _WAYS)


def response_format(output: Any) -> JsonObject:
    """Write the schema that the answer is held to.

    Raises:
        InvalidRequest: if it cannot be.
    """
    return {"type": "json_object", "json_schema": held(output, _WAYS).schema}
