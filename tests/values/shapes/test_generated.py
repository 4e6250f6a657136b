"""Types made up by hypothesis: values come back, and what fits a schema is read or told."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mellite.values.shapes import Mismatch, shape_of
from tests.answer_types import written
from tests.generated_types import TYPES, Made

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-5, 5), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)
QUICK = settings(suppress_health_check=list(HealthCheck), max_examples=150)


@pytest.mark.slow
@QUICK
@given(st.data(), TYPES)
def test_values_come_back(data: st.DataObject, made: Made) -> None:
    """A value written out in full, as a JSON text, fits the schema of its type and is read back equal."""
    value = data.draw(made.values)
    shape = shape_of(made.type)
    schema = shape.schema()
    text = json.dumps(written(value))
    assert jsonschema_rs.validator_for(json.loads(json.dumps(schema)), offline=True).is_valid(json.loads(text))
    assert shape.convert(json.loads(text)) == value


def damaged(data: st.DataObject, value: Any) -> Any:
    """The value with one part of it, anywhere, replaced, left out or put in."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(list(value)))
        change = data.draw(st.sampled_from(["inside", "leave out", "put in"]))
        if change == "leave out":
            return {key: each for key, each in value.items() if key != name}
        if change == "put in":
            return {**value, data.draw(st.text(max_size=3)): data.draw(JSON)}
        return {**value, name: damaged(data, value[name])}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], damaged(data, value[index]), *value[index + 1 :]]
    return data.draw(JSON)


@pytest.mark.slow
@QUICK
@given(st.data(), TYPES)
def test_what_fits_is_read_or_told(data: st.DataObject, made: Made) -> None:
    """A value with one part damaged is read, or it is an error that says where; if it fits, a read value does, too."""
    shape = shape_of(made.type)
    value = damaged(data, written(data.draw(made.values)))
    try:
        read = shape.convert(value)
    except Mismatch as error:
        place = error.path
    else:
        assert jsonschema_rs.validator_for(shape.schema(), offline=True).is_valid(written(read))
        place = "$"
    assert place.startswith("$")
