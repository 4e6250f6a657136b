"""Answers in a given shape: parsing them, and the JSON Schema that they are asked for by."""

from __future__ import annotations

# The shapes of types are imported inside functions: most answers are texts, and need none of them.
from typing import Any

from .errors import InvalidRequest, OutputValidationError
from .json_texts import BOM, strict_json
from .outputs.by_schema import Json as BySchema
from .provider_json import Json, JsonObject
from .told_errors import error_text
from .type_names import type_name

__all__ = ["check_output", "converted", "parse", "schema_of"]


def parse(text: str, output: Any) -> Any:
    """Parse the text into the output type that was asked for.

    Raises:
        OutputValidationError: if it does not fit, with the path to the place, the value there and the text.

    Example:
        >>> parse("[1, 2.0]", list[int])
        [1, 2]
    """
    if output is str:
        return text
    validate = getattr(output, "model_validate_json", None)
    if callable(validate) and not hasattr(output, "__pydantic_validator__"):  # a class that reads texts itself
        try:
            return validate(text)
        except Exception as error:
            raise _misfit(text, output, error_text(error), path="$", value=text) from error
    try:
        value = strict_json(text.removeprefix(BOM))
    except (ValueError, RecursionError) as error:
        raise _misfit(text, output, f"it is not JSON: {error}", path="$", value=text) from error
    try:
        return converted(value, output)
    except OutputValidationError as error:
        error.partial = text
        raise


def converted(value: Json, output: Any) -> Any:
    """Return plain JSON data in the output type that was asked for.

    Raises:
        OutputValidationError: if it does not fit, with the path to the place and the value there.
    """
    if isinstance(output, BySchema):
        return output.read(value)
    from .shapes import Mismatch, shape_of

    try:
        return shape_of(output).convert(value)
    except Mismatch as error:
        raise _misfit(None, output, str(error), path=error.path, value=error.value) from error
    except InvalidRequest as error:
        raise _misfit(None, output, str(error), path="$", value=value) from error


def check_output(output: Any) -> None:
    """Check that answers can be read as a type.

    Raises:
        InvalidRequest: if the type, or a type inside it, has no JSON form, or two classes of a union have the same
            fields and nothing tells them apart.
    """
    if isinstance(output, BySchema) or callable(getattr(output, "model_validate_json", None)):
        return
    from .shapes import shape_of

    shape_of(output)


def _misfit(text: str | None, output: Any, why: str, *, path: str, value: Json) -> OutputValidationError:
    name = type_name(output)
    msg = f"the answer does not fit the output type {name}: {why}"
    return OutputValidationError(msg, path=path, value=value, partial=text)


def schema_of(kind: Any) -> JsonObject:
    """Return the JSON Schema of a type: properties, enums and literals in the order of the source.

    Types are attrs classes, dataclasses, msgspec Structs, TypedDicts, NamedTuples, pydantic models, enums, literals,
    lists, mappings, unions, and what is made of them; or a `mellite.Json`. The root is written out, never a reference,
    because providers want to see the object there.

    Raises:
        InvalidRequest: if the type has no JSON Schema.

    Example:
        >>> schema_of(dict[str, int])
        {'type': 'object', 'additionalProperties': {'type': 'integer'}}
    """
    if isinstance(kind, BySchema):
        return kind.schema
    from .shapes import shape_of

    return shape_of(kind).schema()
