"""JSON Schemas that somebody else wrote: whether they are one, and whether a value fits them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ..json_texts import equal_json
from ..outputs.optional_nulls import without_added_nulls
from ..provider_json import Json, JsonObject
from .mismatches import Mismatch, kinds_of, listed, said, segment
from .soundness import check_sound

__all__ = ["SchemaCheck"]

#: Stands for a value in the messages of jsonschema-rs, which would show all of it.
_MASK: Final = "\x00"

_KINDS: Final = ("null", "boolean", "integer", "number", "string", "array", "object")


class SchemaCheck:
    """Checks values against a JSON Schema.

    With the extra `schema` all of JSON Schema is checked, in the draft that ``$schema`` names, else 2020-12; `format`
    only says something, unless `formats` is set, and keywords that nobody knows are passed over. Without the extra,
    what stands at the top is checked: `type`, `enum`, `const`, `required`, `additionalProperties: false`, and `type`,
    `enum` and `const` of each property; other keywords are passed over.

    Args:
        schema: the schema. A reference may only point into the schema itself.
        formats: whether `format` is checked, too, with the extra.

    Raises:
        ValueError: if it is not a schema, or refers to another one.

    Example:
        >>> SchemaCheck({"type": "object", "required": ["city"]}).read({"city": "Paris"})
        {'city': 'Paris'}
    """

    def __init__(self, schema: Mapping[str, Json], *, formats: bool = False) -> None:
        self.schema = _plain(schema)
        self._validator: Any = _validator(self.schema, formats=formats)

    def read(self, value: Json) -> Json:
        """Return a value that fits, without the nulls that stand for what is absent.

        A null is such a one where a property may be absent, but not null: some providers want every property, so that
        a projection of the schema made it nullable.

        Raises:
            Mismatch: if the value does not fit, with the first place where.
        """
        check_sound(value)
        error = self._wrong(value)
        if error is None:
            return value
        cleaned = without_added_nulls(value, self.schema)
        if cleaned != value:
            error = self._wrong(cleaned)
            if error is None:
                return cleaned
        raise error

    def _wrong(self, value: Json) -> Mismatch | None:
        if self._validator is None:
            try:
                _check_top(self.schema, value)
            except Mismatch as wrong:
                return wrong
            return None
        error = next(self._validator.iter_errors(value), None)
        if error is None:
            return None
        # Without its own text, which holds the whole value, and not as the cause: it cannot be pickled.
        path = "$" + "".join([segment(key) for key in error.instance_path])
        return Mismatch(error.message.replace(_MASK, said(error.instance)), error.instance, path)


def _plain(schema: Mapping[str, Json]) -> JsonObject:
    if not isinstance(schema, Mapping):
        msg = f"a JSON Schema is a mapping, not {said(schema)}"
        raise ValueError(msg)  # noqa: TRY004 - whoever wrote the schema wrote this
    try:
        check_sound(schema)
    except Mismatch as error:
        msg = f"the JSON Schema is not JSON: {error}"
        raise ValueError(msg) from None
    plain: JsonObject = json.loads(json.dumps(schema))
    return plain


def _validator(schema: JsonObject, *, formats: bool) -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        _check_keywords(schema)
        return None
    try:
        jsonschema_rs.meta.validate(schema)
        return jsonschema_rs.validator_for(
            schema, mask=_MASK, offline=True, validate_formats=formats, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        path = "$" + "".join([segment(key) for key in error.instance_path])
        msg = f"it is not a JSON Schema: {path}: {error.message}"
        raise ValueError(msg) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        msg = f"it is not a JSON Schema: {error}"
        raise ValueError(msg) from None


def _check_keywords(schema: JsonObject) -> None:
    """Raise ValueError unless the keywords that are looked at without the extra are what they must be."""
    for place, part in _parts(schema):
        kinds = part.get("type", [])
        known = all(kind in _KINDS for kind in (kinds if isinstance(kinds, list) else [kinds]))
        required = part.get("required", [])
        names = isinstance(required, list) and all(isinstance(name, str) for name in required)
        if not (known and names and isinstance(part.get("enum", []), list)):
            keyword = "type" if not known else "required" if not names else "enum"
            msg = f"it is not a JSON Schema: {place}.{keyword}: {json.dumps(part[keyword])[:80]}"
            raise ValueError(msg)


def _parts(schema: JsonObject) -> list[tuple[str, JsonObject]]:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(each, (dict, bool)) for each in properties.values()):
        msg = "it is not a JSON Schema: $.properties is not an object of schemas"
        raise ValueError(msg)
    parts = [(f"$.properties{segment(name)}", each) for name, each in properties.items() if isinstance(each, dict)]
    return [("$", schema), *parts]


def _check_top(schema: JsonObject, value: Json) -> None:
    """Check a value, and each property of an object, by the keywords that need no library."""
    _check_plain(schema, value)
    if not isinstance(value, Mapping):
        return
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        msg = f"{' and '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} missing"
        raise Mismatch(msg, value)
    for name, each in value.items():
        try:
            _check_property(schema, properties, name, each)
        except Mismatch as error:
            error.under(name)
            raise


def _check_property(schema: JsonObject, properties: JsonObject, name: str, value: Json) -> None:
    own = properties.get(name)
    patterns = schema.get("patternProperties")
    if own is False or (own is None and schema.get("additionalProperties") is False and not patterns):
        msg = f"there is no property {name!r}; the properties are {', '.join(properties)}"
        raise Mismatch(msg, value)
    if isinstance(own, dict):
        _check_plain(own, value)


def _check_plain(schema: JsonObject, value: Json) -> None:
    """Check `type`, `enum` and `const`."""
    kinds = schema.get("type", _KINDS)
    wanted = [kinds] if isinstance(kinds, str) else kinds
    if not set(wanted).intersection(kinds_of(value)):
        msg = f"expected {' or '.join(wanted)}, not {said(value)}"
        raise Mismatch(msg, value)
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and not any(equal_json(each, value) for each in allowed):
        msg = f"expected one of {listed(allowed)}, not {said(value)}"
        raise Mismatch(msg, value)
