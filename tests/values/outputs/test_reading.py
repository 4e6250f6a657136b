"""Finding the JSON in an answer, and reading it in its type."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from mellite.backends import Constant, Scripted
from mellite.errors import OutputValidationError
from mellite.events import Finish, TextDelta
from mellite.values.outputs.reading import answer_in, read_answer


@attrs.frozen
class City:
    name: str
    people: int


OSLO = '{"name": "Oslo", "people": 7}'


@pytest.mark.parametrize(
    "text",
    [
        OSLO,
        f"\n {OSLO} ",
        f"```json\n{OSLO}\n```",
        f"Here you are:\n\n```json\n{OSLO}\n```\nAnything else?",
        f"First I thought of\n```json\n{{}}\n```\nbut it is\n```\n{OSLO}\n```",
        f"The answer is {OSLO}, as far as I know.",
        f"[1] says so (see {{}}): {OSLO}",
        f"An { {'x'} } for nothing. {OSLO}",
    ],
)
def test_json_in_prose(text: str) -> None:
    """In the text mode the JSON may stand in a fenced block, the last one, or in the middle of prose."""
    assert Constant(text).generate("hi", output=City, output_mode="text").result() == City("Oslo", 7)


@pytest.mark.parametrize("text", [f"It is {OSLO}.", f"Here:\n```json\n{OSLO}\n```", "See [1].", ""])
def test_prose_is_no_json_elsewhere(text: str) -> None:
    """Where nothing was said of prose, a text is JSON as a whole or none."""
    thunk = Constant(text).generate("hi", output=City)
    with pytest.raises(OutputValidationError, match="not JSON" if text else "empty") as caught:
        thunk.result()
    assert (caught.value.path, caught.value.value) == ("$", text)


def test_where_it_does_not_fit() -> None:
    """The error has the path, the value there and the whole text, and so does what is told to the model."""
    text = '[{"name": "Oslo", "people": 7}, {"name": "Bergen", "people": "many"}]'
    with pytest.raises(OutputValidationError) as caught:
        Constant(text).generate("hi", output=list[City]).result()
    error = caught.value
    assert (error.path, error.value, error.partial) == ("$[1].people", "many", text)
    assert "$[1].people" in str(error)


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        (Finish("length"), "was cut, .* max_tokens"),
        (Finish("stop", refusal="No."), "refused to answer: 'No.'"),
        (Finish("content-filter"), "refused to answer"),
    ],
)
def test_why_it_does_not_fit(finish: Finish, words: str) -> None:
    """An answer that was cut or refused says so."""
    with pytest.raises(OutputValidationError, match=words):
        Scripted([[TextDelta('{"name": "Os'), finish]]).generate("hi", output=City).result()


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('{"value": [1]}', "value", [1]),
        ('{"value": [1]}', None, {"value": [1]}),
        ("[1]", "value", [1]),
        ('{"value": 1, "more": 2}', "value", {"value": 1, "more": 2}),
    ],
)
def test_the_wrapping(text: str, key: str | None, value: Any) -> None:
    """What was wrapped is taken out; what a model has not wrapped is read as it is."""
    assert answer_in(text, key=key) == value


def test_a_replayed_wrapping() -> None:
    """A backend that does not tell how the answer was held may replay one that was wrapped."""
    assert Constant('{"value": [1, 2]}').generate("hi", output=list[int]).result() == [1, 2]
    assert Constant('{"value": [1, 2]}').generate("hi", output=dict).result() == {"value": [1, 2]}


def test_many_brackets_end_soon() -> None:
    """A text of brackets is not JSON, and is found to be none in time."""
    with pytest.raises(OutputValidationError):
        read_answer("[" * 200_000, City, mode="text")
