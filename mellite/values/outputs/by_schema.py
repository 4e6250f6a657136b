"""An output type that is a JSON Schema: the answer is plain data that fits it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Final, NoReturn, final

from ..errors import InvalidRequest, MissingExtra, OutputValidationError
from ..provider_json import Json as Data, JsonObject
from ..public_names import publish
from ..shapes.json_schemas import SchemaCheck
from ..shapes.mismatches import Mismatch

__all__ = ["Json"]

_SHOWN: Final = 80
_MOST: Final = 400  # characters of a message


@final
class Json:
    """The output type for answers that are plain data and match a JSON Schema.

    ``format`` is checked. ``$schema`` names the draft of the schema; the default is 2020-12. Nothing is fetched:
    references may only point into the schema.

    Args:
        schema: the JSON Schema. It is copied.

    Raises:
        MissingExtra: unless the extra ``schema`` is installed.
        InvalidRequest: if the schema is not a schema.

    Example:
        >>> from mellite.backends import Constant
        >>> ages = Json({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        >>> Constant('{"Ada": 36}').generate("How old?", output=ages).result()
        {'Ada': 36}
    """

    __slots__ = ("_check", "schema")

    schema: JsonObject
    _check: SchemaCheck

    def __init__(self, schema: Mapping[str, Data]) -> None:
        check = _check_of(schema)
        object.__setattr__(self, "schema", check.schema)
        object.__setattr__(self, "_check", check)

    def read(self, value: Data) -> Data:
        """Return a value that matches, without the nulls that stand for absent properties.

        A null stands for absence if the schema lets the property be absent, but not null: it was made nullable for
        providers that require every property.

        Raises:
            OutputValidationError: if it does not match.
        """
        try:
            return self._check.read(value)
        except Mismatch as fault:
            msg = f"the answer does not fit its JSON Schema at {str(fault)[:_MOST]}"
            raise OutputValidationError(msg, path=fault.path, value=fault.value) from None

    @property
    def __name__(self) -> str:
        """The title of the schema, for messages and providers."""
        title = self.schema.get("title")
        return title if isinstance(title, str) and title else "Json"

    def __repr__(self) -> str:
        shown = repr(self.schema)
        return f"Json({shown[:_SHOWN]}...)" if len(shown) > _SHOWN else f"Json({shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and json.dumps(other.schema) == json.dumps(self.schema)

    def __hash__(self) -> int:
        return hash(json.dumps(self.schema))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"a Json does not change; make another one in place of setting {name!r}"
        raise AttributeError(msg)

    def __reduce__(self) -> tuple[type[Json], tuple[JsonObject]]:
        # Also what copies are made by: a validator can neither be copied nor pickled.
        return Json, (self.schema,)


def _check_of(schema: Mapping[str, Data]) -> SchemaCheck:
    """Return what checks answers against a schema.

    Raises:
        InvalidRequest: if it is not one.
        MissingExtra: without the extra `schema`.
    """
    if not isinstance(schema, Mapping):
        msg = f"a JSON Schema is a mapping, not {type(schema).__name__}; for a Python type write output=TheType"
        raise InvalidRequest(msg, parameter="output")
    try:
        import_module("jsonschema_rs")
    except ImportError as error:
        msg = "mellite.Json checks answers with jsonschema-rs: pip install 'mellite[schema]'"
        raise MissingExtra(msg) from error
    try:
        return SchemaCheck(schema, formats=True)
    except ValueError as error:
        msg = f"this schema cannot be used: {str(error)[:_MOST]}"
        raise InvalidRequest(msg, parameter="output") from None  # the cause cannot be pickled


publish(globals(), "mellite", "Json")
