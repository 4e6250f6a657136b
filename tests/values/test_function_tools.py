"""Tools made of functions: what a model is told of them, how a call is bound, and what stays of the function."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from functools import partial
from typing import Annotated, Any, Literal, TypedDict, cast

import pytest

import mellite
from mellite import Tool, tool
from mellite.errors import InvalidRequest
from mellite.values.function_tools import MAX_RESULT_CHARS, tool_of
from mellite.values.shapes import Mismatch


@tool
def weather(city: str, days: int = 1, *, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Tell the weather.

    It is always fine.

    Args:
        city: where.
        days: how many,
            from today.
        unit: of the temperature.

    Raises:
        OSError: never.
    """
    return f"{city} {days} {unit}"


@tool(name="count_words", timeout=2.5, once=True, max_result_chars=10)
async def count(text: str) -> int:
    """Count."""
    return len(text.split())


def plain(n: int) -> int:
    """Double a number."""
    return 2 * n


class Shelf:
    """Something with methods that models may call."""

    def __init__(self, *books: str) -> None:
        self.books = list(books)

    @tool
    def find(self, title: str) -> bool:
        """Look for a book."""
        return title in self.books

    @tool
    @staticmethod
    def size(titles: list[str]) -> int:
        """Count books."""
        return len(titles)

    @classmethod
    def kind(cls, long: bool) -> str:
        """Tell what it is."""
        return f"{cls.__name__} {long}"


def test_what_the_model_is_told() -> None:
    """The name, the docstring without its Args, and the parameters in the order of the source."""
    assert weather.definition == mellite.ToolDefinition(
        "weather",
        "Tell the weather.\n\nIt is always fine.\n\nRaises:\n    OSError: never.",
        input_schema={
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "where."},
                "days": {"type": "integer", "description": "how many,\nfrom today.", "default": 1},
                "unit": {
                    "type": "string",
                    "enum": ["celsius", "fahrenheit"],
                    "description": "of the temperature.",
                    "default": "celsius",
                },
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    )
    assert list(weather.input_schema["properties"]) == ["city", "days", "unit"]


def test_it_is_called_as_before() -> None:
    """A tool is the function still: called, looked at and documented like it."""
    assert weather("Paris", unit="fahrenheit") == "Paris 1 fahrenheit"
    assert list(inspect.signature(weather).parameters) == ["city", "days", "unit"]
    assert inspect.getdoc(weather).startswith("Tell the weather.")
    assert weather.__name__ == "weather"


def test_settings() -> None:
    """The decorator takes arguments; what they say stands on the tool."""
    assert (count.name, count.timeout, count.once, count.max_result_chars, count.approve) == (
        "count_words",
        2.5,
        True,
        10,
        None,
    )
    assert (weather.timeout, weather.once, weather.max_result_chars) == (None, False, 100_000)
    assert (weather.is_async, count.is_async, tool(partial(count.function)).is_async) == (False, True, True)


def test_arguments_are_bound() -> None:
    """Arguments are converted strictly; a null for a parameter with a default is nothing given."""
    assert weather.bind({"city": "Paris", "days": 2.0, "unit": None}) == ((), {"city": "Paris", "days": 2})

    def add(a: int, /, b: int) -> int:
        return a + b

    assert tool(add).bind({"b": 2, "a": 1}) == ((1,), {"b": 2})

    def search(place: str = "here", most: int = 10, /, page: int = 1) -> tuple[str, int, int]:
        return place, most, page

    # One that is left out keeps its default: what is given for another one does not take its place.
    assert tool(search).bind({"most": 3, "page": 2}) == (("here", 3), {"page": 2})
    assert tool(search).bind({"place": "there"}) == (("there",), {})
    assert tool(search).bind({"page": 2}) == ((), {"page": 2})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "$: 'city' is missing"),
        ({"city": 3}, "$.city: expected a string, not the number 3"),
        ({"city": "x", "days": "3"}, '$.days: expected an integer, not the string "3"'),
        ({"city": "x", "unit": "kelvin"}, '$.unit: expected one of "celsius", "fahrenheit", not the string "kelvin"'),
        ({"city": "x", "town": 1}, "$.town: there is no field 'town'; the fields are city, days, unit"),
        ({"city": "x", "dyas": 1}, "$.dyas: there is no field 'dyas'; did you mean 'days'?"),
        ({"city": "x", "days": float("nan")}, "$.days: NaN is not a JSON number"),
        ({"city": "x", "days": 10**400}, "$.days: a number of too many digits: no double can hold it"),
        ({"city": None}, "$.city: expected a string, not null"),
        (None, "$: expected an object, not null"),
        ([], "$: expected an object, not an array"),
    ],
)
def test_arguments_that_do_not_fit(arguments: Any, says: str) -> None:
    """The message says where, what was expected and what stands there."""
    with pytest.raises(Mismatch) as caught:
        weather.bind(arguments)
    assert str(caught.value) == says


def test_methods() -> None:
    """A tool in a class is bound to its instance; self is not a parameter."""
    shelf = Shelf("Emma")
    assert list(shelf.find.input_schema["properties"]) == ["title"]
    assert shelf.find("Emma")
    assert shelf.find.function(**shelf.find.bind({"title": "Emma"})[1])
    assert list(tool(shelf.kind).input_schema["properties"]) == ["long"]
    assert Shelf.size(["a"]) == shelf.size(["a"]) == 1
    with pytest.raises(InvalidRequest, match=r"take it from an instance, Shelf\(\.\.\.\)\.find"):
        _ = Shelf.find.input_schema


def test_partials() -> None:
    """What a partial has given is neither asked for nor shown."""
    made = tool(partial(weather.function, unit="fahrenheit"), name="american_weather")
    assert list(made.input_schema["properties"]) == ["city", "days"]
    assert made("Boston") == "Boston 1 fahrenheit"
    assert tool(partial(weather.function, "Oslo")).bind({"days": 2}) == ((), {"days": 2})


def test_plain_functions_are_tools() -> None:
    """A function among the tools of a call stands for tool(function)."""
    thunk = mellite.backends.Echo().generate("Hi.", tools=[plain, weather, Shelf("Emma").find])
    assert [each.name for each in thunk._call.request.tools] == ["plain", "weather", "find"]
    assert thunk._call.request.tools[0].description == "Double a number."
    with pytest.raises(InvalidRequest, match="a tool is a function, a Tool, a ToolDefinition"):
        tool_of(object())


def test_annotated_wins() -> None:
    """What an annotation says of a parameter wins over the docstring."""

    def find(city: Annotated[str, "the town"]) -> None:
        """Find.

        Args:
            city: the city.
        """

    assert tool(find).input_schema["properties"]["city"]["description"] == "the town"


def test_a_class_below_the_tool_is_found() -> None:
    """Annotations are resolved when the schema is asked for: a class further down is there by then."""

    @tool
    def place(where: Point) -> None:
        """Place."""

    class Point(TypedDict):
        x: int
        y: int

    assert list(place.input_schema["$defs"]["Point"]["properties"]) == ["x", "y"]
    assert place.bind({"where": {"x": 1, "y": 2}}) == ((), {"where": {"x": 1, "y": 2}})


def test_annotations_that_name_nothing() -> None:
    """What cannot be resolved is an error that names the tool and the parameter, when the schema is asked for."""

    @tool
    def lost(x: Nowhere) -> None:  # noqa: F821
        """Lose."""

    with pytest.raises(InvalidRequest, match="tool 'lost': parameter 'x': the annotation 'Nowhere' cannot be resolved"):
        _ = lost.definition


@pytest.mark.parametrize("function", [lambda *rows: None, lambda **rows: None])
def test_stars_are_refused(function: Any) -> None:
    """A model cannot be asked for *args and **kwargs; the error names them."""
    with pytest.raises(InvalidRequest, match=r"tool 'f': a model cannot be asked for \*{1,2}rows"):
        _ = tool(function, name="f").input_schema


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"max_result_chars": 0}, "max_result_chars"),
        ({"approve": "yes"}, "approve"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], parameter: str) -> None:
    """A name that a provider refuses, and numbers that mean nothing, are told when the tool is made."""
    with pytest.raises(InvalidRequest) as caught:
        tool(plain, **settings)
    assert caught.value.parameter == parameter


def test_other_settings() -> None:
    """A tool of a tool has the settings that are given, and otherwise those of the first."""
    other = tool(count, name="count_all", timeout=9)
    assert (other.name, other.timeout, other.once, other.max_result_chars) == ("count_all", 9, True, 10)
    assert (other.description, other.input_schema) == ("Count.", count.input_schema)
    usual = tool(count, once=False, max_result_chars=MAX_RESULT_CHARS)
    assert (usual.once, usual.max_result_chars) == (False, 100_000)
    with pytest.raises(InvalidRequest, match="a tool is called by 1 to 64 letters"):
        tool(count, name="")
    made = tool(Tool.from_schema("n", SCHEMA, handler, description="Say it."), approve=print)
    assert (made.approve, made.description, made.bind({"n": 1})) == (print, "Say it.", (({"n": 1},), {}))


def test_a_key_is_not_shown() -> None:
    """A default that looks like a key is not in the schema, which is sent to a provider."""
    key = "sk-proj-" + "a1B2c3D4" * 5

    def send(text: str, key: str = key, place: str = "by the river, behind the mill") -> None:
        """Send."""

    assert key not in str(tool(send).definition)
    assert tool(send).input_schema["properties"]["place"]["default"] == "by the river, behind the mill"


def test_builtins_and_wrapped_functions() -> None:
    """What has a signature is a tool: written in C, or around another function."""

    @functools.wraps(plain)
    def around(*args: Any, **kwargs: Any) -> int:
        return plain(*args, **kwargs)

    assert list(tool(len).input_schema["properties"]) == ["obj"]
    assert tool(around).bind({"n": 2.0}) == ((), {"n": 2})
    assert list(tool(dict.get, name="get").input_schema["properties"]) == ["self", "key", "default"]
    with pytest.raises(InvalidRequest, match="has no signature to read"):
        _ = tool(type, name="kind").input_schema


INJECTIONS = [
    "; rm -rf /",
    "../../etc/passwd",
    "{{config}}",
    "{0.__class__}",
    "\r\nX-A: b",
    "$(id)",
    "__import__('os')",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_arguments_are_plain_data(text: str) -> None:
    """Whatever stands in a text, a list or a key is handed on as it is: nothing is evaluated, nothing expanded."""

    @tool
    def keep(text: str, texts: list[str], by_name: dict[str, str], anything: Any) -> None:
        """Keep."""

    given = {"text": text, "texts": [text], "by_name": {text: text}, "anything": {text: [text]}}
    assert keep.bind(given) == ((), given)


@pytest.mark.parametrize(
    "made", [weather, Tool.from_schema("any", {"type": "object"}, dict)], ids=lambda made: made.name
)
def test_deep_and_wide_arguments(made: Tool[..., Any]) -> None:
    """1,000 levels are an error of the model, never a RecursionError; 10,000 keys are just many."""
    deep: Any = "x"
    for _ in range(1_000):
        deep = {"city": deep}
    with pytest.raises(Mismatch, match="nested more than 128 levels deep"):
        made.bind(deep)
    with pytest.raises(Mismatch, match="nested more than 128 levels deep"):
        made.bind({"city": [deep]})
    wide = {f"key{number}": number for number in range(10_000)}
    if made is weather:
        with pytest.raises(Mismatch, match=r"^\$\.key0: there is no field 'key0'"):
            made.bind(wide)
    else:
        assert made.bind(wide) == ((wide,), {})


def test_copies_and_pickles() -> None:
    """A tool is copied as itself, and pickles by the name of its function."""
    assert copy.deepcopy(weather) is copy.copy(weather) is weather
    assert pickle.loads(pickle.dumps(weather)) is weather
    assert pickle.loads(pickle.dumps(count)) is count
    again = pickle.loads(pickle.dumps(tool(plain, name="double", timeout=3)))
    assert (again.name, again.timeout, again(4)) == ("double", 3, 8)
    assert pickle.loads(pickle.dumps(Shelf("Emma").find))("Emma")
    assert pickle.loads(pickle.dumps(Shelf.size)) is Shelf.size


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
    "required": ["n"],
    "additionalProperties": False,
}


def handler(arguments: dict[str, Any]) -> int:
    """Hand on what it gets."""
    return arguments["n"]


def test_from_schema() -> None:
    """A tool from a schema: the handler takes the arguments as one dict, checked."""
    made = Tool.from_schema("number", SCHEMA, handler, description="Say it.", timeout=1)
    assert made.definition == mellite.ToolDefinition("number", "Say it.", input_schema=SCHEMA)
    args, kwargs = made.bind({"n": 3})
    assert made(*args, **kwargs) == 3
    for arguments, path in (({}, "$"), ({"n": "3"}, "$.n"), ({"n": 1, "kind": "c"}, "$.kind"), ({"n": 1, "m": 2}, "$")):
        with pytest.raises(Mismatch) as caught:
            made.bind(arguments)
        assert caught.value.path == path
    again = pickle.loads(pickle.dumps(made))
    assert (again == made, again.definition) == (True, made.definition)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"type": "array"},
        {"properties": []},
        {"required": "n"},
        [],
        {"$ref": "https://example.com/schema.json"},
        {"default": float("nan")},
    ],
)
def test_a_schema_that_is_none(schema: Any) -> None:
    """A schema that is not a schema, or none of an object, is told when the tool is made."""
    with pytest.raises(InvalidRequest) as caught:
        Tool.from_schema("bad", schema, handler)
    assert caught.value.parameter == "schema"
    assert "tool 'bad'" in str(caught.value)


def test_a_handler_that_is_none() -> None:
    """What cannot be called is told when the tool is made, not when a model calls it."""
    with pytest.raises(InvalidRequest, match="tool 'bad': the handler is a function of the arguments, not None"):
        Tool.from_schema("bad", {"type": "object"}, None)  # type: ignore[arg-type]


def test_tool_failure_is_at_hand() -> None:
    """Tools raise it for the model to read; it is one of the errors."""
    assert mellite.ToolFailure is mellite.errors.ToolFailure


@pytest.mark.parametrize(("name", "value"), [("description", 3), ("once", 3), ("once", "")])
def test_settings_of_a_wrong_type(name: str, value: Any) -> None:
    """A setting of the wrong type is an error that names the parameter."""
    options = {name: value}
    with pytest.raises(InvalidRequest, match=rf"tool 'f': {name} is .*, not {value}") as caught:
        tool(lambda: 1, name="f", **options)
    assert caught.value.__dict__["parameter"] == name


def test_no_schema_at_all() -> None:
    """Without a schema there is no tool from a schema."""
    with pytest.raises(InvalidRequest, match="tool 'f': schema is the JSON Schema of the arguments") as caught:
        Tool.from_schema("f", cast("Any", None), lambda _: 1)
    assert caught.value.__dict__["parameter"] == "schema"
