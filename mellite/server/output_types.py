"""The form of an answer that a client asks for, as an output type: for a backend that does not speak its protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, cast

from attrs import evolve

from ..values.errors import InvalidRequest
from ..values.outputs.by_schema import Json as BySchema
from ..values.provider_json import Json, JsonObject
from ..values.request import Request

__all__ = ["with_output_type"]

#: Any JSON object, for clients that ask for JSON and have no schema.
_ANY: Final[JsonObject] = {"type": "object"}

#: What is left of a vendor's own fields, and the schema in them; None where they ask for a text.
_Found: TypeAlias = tuple[JsonObject, JsonObject | None]


def with_output_type(protocol: str, request: Request) -> Request:
    """Return a request with the output type that a client has asked for in the words of its vendor.

    Args:
        protocol: what the client speaks.
        request: what it asks, with the vendor's own words among its ``provider_options``.

    Raises:
        InvalidRequest: for a form of answer that no other vendor has, or a schema that is none.
        MissingExtra: if the package that checks schemas is not installed.

    Example:
        >>> asked = Request.of("Where?", provider_options={"ollama": {"format": {"type": "object"}}})
        >>> with_output_type("ollama-chat", asked).output
        Json({'type': 'object'})
    """
    take = _FORMS.get(protocol)
    if take is None or len(request.provider_options) != 1:
        return request
    ((vendor, own),) = request.provider_options.items()
    rest, schema = take(dict(own))
    options = {vendor: rest} if rest else {}
    if schema is None:
        return evolve(request, provider_options=options)
    return evolve(request, provider_options=options, output=BySchema(schema))


def _chat(own: JsonObject) -> _Found:
    return own, _format(own.pop("response_format", None), "response_format", inside="json_schema")


def _responses(own: JsonObject) -> _Found:
    text = _object(own.pop("text", None), "text")
    schema = _format(text.pop("format", None), "text.format")
    return ({**own, "text": text} if text else own), schema


def _anthropic(own: JsonObject) -> _Found:
    config = _object(own.pop("output_config", None), "output_config")
    older = own.pop("output_format", None)
    schema = _format(config.pop("format", older), "output_config.format")
    return ({**own, "output_config": config} if config else own), schema


def _cohere(own: JsonObject) -> _Found:
    said = _object(own.pop("response_format", None), "response_format")
    schema = said.get("json_schema", said.get("schema"))
    if schema is not None:
        return own, _object(schema, "response_format.json_schema")
    return own, _format(said or None, "response_format")


def _bedrock(own: JsonObject) -> _Found:
    config = _object(own.pop("outputConfig", None), "outputConfig")
    form = _object(config.pop("textFormat", None), "outputConfig.textFormat")
    rest = {**own, "outputConfig": config} if config else own
    if not form:
        return rest, None
    written = _object(_object(form.get("structure"), "structure").get("jsonSchema"), "jsonSchema").get("schema")
    try:
        return rest, _object(json.loads(written) if isinstance(written, str) else written, "jsonSchema.schema")
    except (ValueError, RecursionError) as error:
        msg = f"outputConfig.textFormat.structure.jsonSchema.schema is not JSON: {error}"
        raise InvalidRequest(msg, parameter="outputConfig") from None


def _gemini(own: JsonObject) -> _Found:
    kind = own.pop("responseMimeType", None)
    schema, theirs = own.pop("responseJsonSchema", None), own.pop("responseSchema", None)
    if kind not in (None, "text/plain", "application/json"):
        msg = f"responseMimeType {kind!r:.80} is known to Gemini alone; the backend knows text and application/json"
        raise InvalidRequest(msg, parameter="responseMimeType")
    if schema is None and theirs is not None:
        schema = _plain(_object(theirs, "responseSchema"))
    if schema is None:
        return own, _ANY if kind == "application/json" else None
    return own, _object(schema, "responseJsonSchema")


def _ollama(own: JsonObject) -> _Found:
    said = own.pop("format", None)
    if said in (None, ""):
        return own, None
    return own, _ANY if said == "json" else _object(said, "format")


def _format(said: Json, name: str, *, inside: str | None = None) -> JsonObject | None:
    """Return the schema of a format with a ``type``; None for a text.

    Raises:
        InvalidRequest: for another type.
    """
    form = _object(said, name)
    kind = form.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return _ANY
    if kind != "json_schema":
        msg = f"{name} is of the type {kind!r:.80}; the backend knows text, json_object and json_schema"
        raise InvalidRequest(msg, parameter=name)
    return _object((form if inside is None else _object(form.get(inside), name)).get("schema"), f"{name}.schema")


def _object(value: Json, name: str) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        msg = f"{name} must be an object, not {type(value).__name__}"
        raise InvalidRequest(msg, parameter=name)
    return dict(cast("JsonObject", value))


#: Numbers in a schema of Google's, which stand in strings.
_NUMBERS: Final = frozenset({"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"})
_THEIRS: Final = frozenset({"nullable", "propertyOrdering"})


def _plain(schema: JsonObject) -> JsonObject:
    """Return a schema as JSON Schema has it: Google writes types in capitals, and ``nullable``."""
    found: JsonObject = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            found[name] = [value.lower(), "null"] if schema.get("nullable") is True else value.lower()
        elif name == "properties" and isinstance(value, dict):
            found[name] = {field: _plain(_object(each, field)) for field, each in value.items()}
        elif name in _NUMBERS and isinstance(value, str) and value.isdecimal():
            found[name] = int(value)
        elif name == "items":
            found[name] = _plain(_object(value, name))
        elif name == "anyOf" and isinstance(value, list):
            found[name] = [_plain(_object(each, name)) for each in value]
        elif name not in _THEIRS:
            found[name] = value
    return found


_FORMS: Final[Mapping[str, Callable[[JsonObject], _Found]]] = {
    "anthropic-messages": _anthropic,
    "bedrock-converse": _bedrock,
    "cohere-chat": _cohere,
    "gemini": _gemini,
    "ollama-chat": _ollama,
    "openai-chat": _chat,
    "openai-responses": _responses,
}
