"""Classes that describe and check themselves, as pydantic's do: their own schema and their own validation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from ..outputs.optional_nulls import without_added_nulls
from ..provider_json import Json, JsonObject
from ..told_errors import error_text
from .mismatches import Mismatch, segment
from .nodes import Anything, Reading
from .objects import Fields
from .writing import Writer

__all__ = ["Model", "is_model"]


def is_model(cls: type) -> bool:
    """Return whether a class writes its JSON Schema itself."""
    return callable(getattr(cls, "model_json_schema", None))


@define(eq=False)
class Model(Fields):
    """A class that checks what it is made of; its fields are known only to tell it from others in a union."""

    cls: Any = field(default=None, kw_only=True)

    @property
    def kinds(self) -> frozenset[str]:
        """An object, but for a class around another type."""
        return Anything().kinds if getattr(self.cls, "__pydantic_root_model__", False) else frozenset({"object"})

    def schema(self, writer: Writer) -> JsonObject:
        """Return a reference to the definition of the class."""
        return writer.refer(self, self.name, lambda: self.root(writer))

    def root(self, writer: Writer) -> JsonObject:
        """Return what the class says of itself; its root is written out, whatever it says."""
        theirs: JsonObject = dict(self.cls.model_json_schema())
        reference = theirs.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            own = reference.removeprefix("#/$defs/")
            return writer.adopt({**theirs["$defs"][own], "$defs": theirs["$defs"]}, key=self, name=own)
        return writer.adopt(theirs)

    def convert(self, value: Json, reading: Reading) -> Any:
        """Let the class check the value: strictly, and with no fields beside its own, unless it says otherwise."""
        del reading
        whole = _whole(value)
        try:
            return self._validated(whole)
        except Exception as error:
            cleaned = without_added_nulls(whole, self.cls.model_json_schema())
            if cleaned != whole:
                return self.convert(cleaned, Reading())
            raise _told(self.name, error, value) from error

    def _validated(self, value: Json) -> Any:
        text = json.dumps(value)
        return self.cls.model_validate_json(text, **self._strictness())

    def _strictness(self) -> dict[str, Any]:
        if not hasattr(self.cls, "__pydantic_validator__"):
            return {}
        config: Mapping[str, Any] = self.cls.model_config
        strictness: dict[str, Any] = {} if "strict" in config else {"strict": True}
        return strictness if "extra" in config else strictness | {"extra": "forbid"}


def _told(name: str, error: Exception, value: Json) -> Mismatch:
    """Return the first thing that a class says is wrong, where it says so."""
    errors: Any = getattr(error, "errors", None)
    try:
        first: Any = errors()[0]
        message, place, offending = first["msg"], first["loc"], first["input"]
    except (TypeError, LookupError):
        return Mismatch(f"{name} refuses it: {error_text(error) or type(error).__name__}", value)
    path = "$" + "".join([segment(key) for key in place if isinstance(key, (str, int))])
    unknown = first.get("type") == "extra_forbidden"
    return Mismatch(f"there is no field {place[-1]!r}" if unknown else str(message), offending, path)


def _whole(value: Json) -> Json:
    """Return a value whose doubles without a fraction are integers, as some providers send integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, (list, tuple)) else value
