"""An output type that is a JSON Schema: the answer is plain data that fits it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from ..errors import InvalidRequest, MissingExtra, OutputValidationError
from ..provider_json import Json as Data, JsonObject
from ..public_names import publish
from .optional_nulls import without_added_nulls

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

__all__ = ["Json"]

_MASK: Final = "\x00"  # stands for the value in messages: they would hold all of it
_SHOWN: Final = 80
_MOST: Final = 400  # characters of a message


@final
class Json:
    """The output type of answers that are plain data and fit a JSON Schema.

    ``format`` is checked, and ``$schema`` says which draft the schema is written in; without it, it is 2020-12. Nothing
    is fetched: references may point into the schema only.

    Args:
        schema: the JSON Schema. It is copied.

    Raises:
        MissingExtra: unless the extra ``schema`` is installed.
        InvalidRequest: if the schema is none.

    Example:
        >>> from mellite.backends import Constant
        >>> ages = Json({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        >>> Constant('{"Ada": 36}').generate("How old?", output=ages).result()
        {'Ada': 36}
    """

    __slots__ = ("_validator", "schema")

    schema: JsonObject
    _validator: Any

    def __init__(self, schema: Mapping[str, Data]) -> None:
        plain = _plain(schema)
        validator = _validator_of(plain)
        object.__setattr__(self, "schema", plain)
        object.__setattr__(self, "_validator", validator)

    def read(self, value: Data) -> Data:
        """Return a value that fits, without the nulls that stand for what is absent.

        A null is such a one where the schema allows a property to be absent, but not to be null: for providers that
        want every property, its projection made it nullable.

        Raises:
            OutputValidationError: if it does not fit.
        """
        fault = next(self._validator.iter_errors(value), None)
        if fault is None:
            return value
        cleaned = without_added_nulls(value, self.schema)
        if cleaned != value:
            fault = next(self._validator.iter_errors(cleaned), None)
        if fault is None:
            return cleaned
        raise _told(fault)

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


def _plain(schema: object) -> JsonObject:
    """Return a copy of a schema, which is JSON.

    Raises:
        InvalidRequest: if it is not.
    """
    if not isinstance(schema, Mapping):
        msg = f"a JSON Schema is a mapping, not {type(schema).__name__}; for a Python type write output=TheType"
        raise InvalidRequest(msg, parameter="output")
    try:
        plain: JsonObject = json.loads(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"the JSON Schema is not JSON itself: {error}"
        raise InvalidRequest(msg, parameter="output") from error
    return plain


def _validator_of(schema: JsonObject) -> Any:
    try:
        import jsonschema_rs
    except ImportError as error:
        msg = "mellite.Json checks answers with jsonschema-rs: pip install 'mellite[schema]'"
        raise MissingExtra(msg) from error
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=True, mask=_MASK, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        said = _said(error) if isinstance(error, jsonschema_rs.ValidationError) else str(error)
        msg = f"this is not a JSON Schema that can be used: {said[:_MOST]}"
        raise InvalidRequest(msg, parameter="output") from None  # the cause cannot be pickled


def _told(fault: ValidationError) -> OutputValidationError:
    """Return the error for the first thing that does not fit."""
    msg = f"the answer does not fit its JSON Schema at {_said(fault)[:_MOST]}"
    return OutputValidationError(msg, path=_path(fault), value=fault.instance)


def _said(fault: ValidationError) -> str:
    """Return where something does not fit a schema, and why."""
    shown = json.dumps(fault.instance, ensure_ascii=False)
    shown = f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown
    return f"{_path(fault)}: {fault.message.replace(_MASK, shown)}"


def _path(fault: ValidationError) -> str:
    return "$" + "".join([_step(step) for step in fault.instance_path])


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[^\W\d]\w*", step) else f"[{json.dumps(step, ensure_ascii=False)}]"


publish(globals(), "mellite", "Json")
