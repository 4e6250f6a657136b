"""`mellite.Json`: an output type that is a JSON Schema."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest

import mellite
from mellite.backends import Constant
from mellite.errors import InvalidRequest, OutputValidationError

AGES = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}


def answered(text: str, schema: Any) -> Any:
    return Constant(text).generate("hi", output=mellite.Json(schema)).result()


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ('{"Ada": 36}', AGES, {"Ada": 36}),
        ("[1, 2.5]", {"type": "array", "items": {"type": "number"}}, [1, 2.5]),
        ('"red"', {"enum": ["red", "green"]}, "red"),
        ("null", {}, None),
        ('{"a": null}', {"type": "object", "properties": {"a": {"type": "integer"}}}, {}),
        ('{"a": null}', {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}, {"a": None}),
        ("2", {"type": "integer", "$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1,
               "exclusiveMinimum": True}, 2),
        ('{"value": 3}', {"type": "integer"}, 3),
        ('{"value": 3}', {}, {"value": 3}),
    ],
)  # fmt: skip
def test_what_fits(text: str, schema: Any, value: Any) -> None:
    """The answer is plain data."""
    assert answered(text, schema) == value


@pytest.mark.parametrize(
    ("text", "schema", "path", "value", "words"),
    [
        ('{"Ada": -1}', AGES, "$.Ada", -1, "-1 is less than the minimum of 0"),
        ('{"a b": [1]}', {"additionalProperties": {"items": {"type": "string"}}}, '$["a b"][0]', 1, "string"),
        ('"blue"', {"enum": ["red", "green"]}, "$", "blue", '"blue" is not one of "red" or "green"'),
        ('"2026-13-01"', {"type": "string", "format": "date"}, "$", "2026-13-01", 'not a "date"'),
        ('"x"', {"type": "string", "format": "email", "$schema": "http://json-schema.org/draft-07/schema#"}, "$", "x",
         "email"),
        ("1", {"type": "integer", "$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1,
               "exclusiveMinimum": True}, "$", 1, "1"),
        ('{"a": null, "b": "x"}', {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}, "$.b", "x",
         "integer"),
    ],
)  # fmt: skip
def test_what_does_not(text: str, schema: Any, path: str, value: Any, words: str) -> None:
    """The error says where, what stands there and what was expected; formats are checked by every draft."""
    with pytest.raises(OutputValidationError) as caught:
        answered(text, schema)
    error = caught.value
    assert (error.path, error.value, error.partial) == (path, value, text)
    assert words in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_long_value_is_not_in_the_message() -> None:
    """A message holds only the beginning of the value."""
    with pytest.raises(OutputValidationError) as caught:
        answered(f'"{"x" * 10_000}"', {"type": "integer"})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"$schema": "http://example.com/mine"},
        {"$ref": "http://127.0.0.1:9/x"},
        {"$ref": "#/nowhere"},
        {"$defs": {"x": {"$ref": "file:///etc/hostname"}}, "$ref": "#/$defs/x"},
        {"enum": {1, 2}},
        {"minimum": float("nan")},
        int,
        "object",
        None,
    ],
)
def test_what_is_no_schema(schema: Any) -> None:
    """A schema that is none is refused when it is made, and nothing is fetched for it."""
    with pytest.raises(InvalidRequest) as caught:
        mellite.Json(schema)
    assert caught.value.parameter == "output"
    pickle.dumps(caught.value)


def test_where_it_is_none() -> None:
    """The error says which part of it is wrong, and what stands there."""
    with pytest.raises(InvalidRequest, match=r'\$\.properties\.a\.type: "strin" is not valid under any') as caught:
        mellite.Json({"type": "object", "properties": {"a": {"type": "strin"}}})
    assert str(caught.value).isprintable()


def test_it_is_a_value() -> None:
    """It does not change with what it was made of; it is copied, pickled, compared and hashed."""
    given: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = mellite.Json(given)
    given["properties"]["a"]["type"] = "string"
    assert form.schema["properties"] == {"a": {"type": "integer"}}
    for other in (copy.copy(form), copy.deepcopy(form), pickle.loads(pickle.dumps(form))):
        assert (other, hash(other)) == (form, hash(form))
        assert other.read({"a": 1}) == {"a": 1}
    assert form != mellite.Json({})
    with pytest.raises(AttributeError, match="does not change"):
        form.schema = {}  # type: ignore[misc]
    thunk = Constant('{"a": 1}').generate("hi", output=form)
    assert copy.deepcopy(thunk).result() == thunk.result() == {"a": 1}


@pytest.mark.slow
def test_without_the_extra() -> None:
    """Without the extra it says when it is made what to install."""
    code = (
        "import sys; sys.modules['jsonschema_rs'] = None\n"
        "import mellite\n"
        "try: mellite.Json({})\n"
        "except mellite.errors.MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mellite[schema]'" in done.stdout
