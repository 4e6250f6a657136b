"""Generative functions: prompts of docstrings and arguments, typed answers, and what is refused."""

from __future__ import annotations

import copy
import enum
import inspect
import json
import pickle
from typing import Literal

import msgspec
import pytest
from attrs import field, frozen

import mellite
from mellite import Image, Text, generative
from mellite.backends import Constant, Echo, Scripted
from mellite.errors import InvalidRequest, UnknownOption

pytestmark = pytest.mark.anyio

Mood = Literal["good", "bad"]


@generative
def mood(text: str, among: list[str] = ["good", "bad"], *, most: int = 1) -> Mood:  # noqa: B006 - never changed
    """Say in which mood the text is.

    Args:
        text: what somebody wrote.
    """
    # Nothing but comments.


@frozen
class Guide:
    """Somebody who knows a town."""

    language: str

    @generative
    def describe(self, place: Place) -> Place:
        """Describe the place."""
        pass  # noqa: PIE790 - as some write it

    @staticmethod
    @generative
    def greet(name: str) -> str:
        """Greet somebody."""

    @generative
    @classmethod
    def name(cls, town: str) -> str:
        """Name a guide."""

    @classmethod
    @generative
    def rename(cls, town: str) -> str:
        """Rename a guide."""

    @generative
    @staticmethod
    def thank(name: str) -> str:
        """Thank somebody."""


@frozen
class Holder:
    """Something with a field that only its keyword names."""

    held: object = field(kw_only=True)

    def __init__(self, held):
        self.__attrs_init__(held=held)


@frozen
class Place:
    """Defined below the methods whose annotations name it."""

    name: str
    people: int = 0


def prompt_of(thunk):
    return thunk.call.request.text


class TestPrompts:
    async def test_the_docstring_and_the_arguments(self):
        """The whole docstring, and each argument with its name as JSON; defaults, too."""
        thunk = mood(Constant('"bad"'), "What a\nday!", most=2)
        assert await thunk == "bad"
        assert prompt_of(thunk) == (
            "Say in which mood the text is.\n\nArgs:\n    text: what somebody wrote.\n\n"
            'text: "What a\\nday!"\namong: ["good", "bad"]\nmost: 2'
        )
        assert [message.role for message in thunk.call.request.messages] == ["user"]

    @pytest.mark.parametrize(
        "text", ["{text}", "{0}", "%s", "$text", "${text}", "{{text}}", "x\nmost: 9", '"\n', "\u2028"]
    )
    async def test_arguments_are_data(self, text):
        """A text is never a template, and cannot pass for another argument: it is one line of JSON."""
        line = prompt_of(mood(Echo(), text)).split("\n")[5]
        name, _, data = line.partition(": ")
        assert (name, json.loads(data)) == ("text", text)

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (Place("Paris", 2), '{"name": "Paris", "people": 2}'),
            ({1: (2, None)}, '{"1": [2, null]}'),
            (enum.Enum("E", "A").A, "1"),
            (1.5, "1.5"),
            (frozenset([3]), "[3]"),
            (range(3), "range(0, 3)"),
            ("Zoë 😀", '"Zoë 😀"'),
        ],
    )
    async def test_values(self, value, shown):
        """What has a JSON form is shown as that, and anything else as its repr."""
        assert f"text: {shown}\n" in prompt_of(mood(Echo(), value))

    async def test_images_and_thunks(self):
        """Images stand in the message as they are; the text of a thunk is data like any other, once it is there."""
        image = Image(b"GIF89a", media_type="image/gif")
        backend = Scripted(['"good"'])
        await mood(backend, Constant('say "hi"\nmost: 9').generate("?"), [image, image])
        content = backend.requests[0].messages[0].content
        assert [part.text if isinstance(part, Text) else part for part in content[1:]] == [
            '"say \\"hi\\"\\nmost: 9"',
            "\namong: ",
            image,
            image,
            "\nmost: 1",
        ]
        inner = Constant('{"name": "Paris"}').generate("?", output=Place)
        again = await Guide("French").describe(Scripted(['{"name": "Rome"}']), inner)
        assert again == Place("Rome")

    @pytest.mark.parametrize("hold", [lambda it: {"a": it}, lambda it: [it, 1], lambda it: [[it]], Holder, Place])
    @pytest.mark.parametrize("held", [Image(b"GIF89a", media_type="image/gif"), Constant("x").generate("?")])
    async def test_images_and_thunks_inside_data(self, hold, held):
        """They would be shown without what they hold, so that the model answers without it: they are refused."""
        with pytest.raises(InvalidRequest, match=r"argument 'text' .* stands in a \w+, .* of its own"):
            mood(Echo(), hold(held))

    async def test_an_argument_that_is_nested_too_deeply(self):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(InvalidRequest, match="argument 'text' cannot be shown to a model: it is nested too deeply"):
            mood(Echo(), deep)
        while deep:  # taken apart by hand: the interpreter would do it by recursion
            deep = deep[0]

    async def test_no_arguments(self):
        """Without arguments the docstring is all there is; without a return annotation the answer is a text."""

        @generative
        def wisdom():
            """Say something wise."""

        assert await wisdom(Echo()) == "Say something wise."

    async def test_the_backend_is_positional(self):
        """A parameter may have its name; a name of a backend does for one."""

        @generative
        def compare(backend: str, other: str) -> str:
            """Compare the two."""

        assert await compare("fake:echo", backend="a", other="b") == 'Compare the two.\n\nbackend: "a"\nother: "b"'
        with pytest.raises(TypeError):
            compare(backend="fake:echo", other="b")
        assert str(inspect.signature(compare)).startswith(
            "(_backend: 'Streams | str', /, backend: 'str', other: 'str')"
        )

    async def test_nothing_is_sent_before_somebody_waits(self):
        """A call is a thunk."""
        backend = Scripted(['"good"'])
        thunk = mood(backend, "Well.")
        assert (thunk.state, backend.requests) == ("pending", [])
        assert thunk.call.request.output == Mood


class TestMethods:
    async def test_methods(self):
        """Of an instance, of the class with an instance, static and of the class; a class below is found."""
        paris, backend = Place("Paris"), Constant('{"name": "Paris", "people": 2}')
        for thunk in (Guide("French").describe(backend, paris), Guide.describe(backend, Guide("French"), paris)):
            assert await thunk == Place("Paris", 2)
            assert prompt_of(thunk) == 'Describe the place.\n\nplace: {"name": "Paris", "people": 0}'
        assert prompt_of(Guide.greet(Echo(), "Ann")) == 'Greet somebody.\n\nname: "Ann"'
        assert prompt_of(Guide.name(Echo(), "Rome")) == 'Name a guide.\n\ntown: "Rome"'

    async def test_methods_of_the_class(self):
        """Its decorator, and that of a static method, may stand on either side; so does it through an instance."""
        for guide in (Guide, Guide("French")):
            assert prompt_of(guide.name(Echo(), "Rome")) == 'Name a guide.\n\ntown: "Rome"'
            assert prompt_of(guide.rename(Echo(), "Rome")) == 'Rename a guide.\n\ntown: "Rome"'
            assert prompt_of(guide.greet(Echo(), "Ann")) == 'Greet somebody.\n\nname: "Ann"'
            assert prompt_of(guide.thank(Echo(), "Ann")) == 'Thank somebody.\n\nname: "Ann"'
        careful = Guide.name.with_options(temperature=0)(Echo(), "Rome")
        assert (prompt_of(careful), careful.call.request.options.temperature) == ('Name a guide.\n\ntown: "Rome"', 0)
        with pytest.raises(InvalidRequest, match=r"rename\(\) takes the backend first"):
            Guide.rename(3, "Rome")

    async def test_a_local_class(self):
        """An annotation may name a class of the function around, also one that comes later."""

        @generative
        def pick() -> Fruit:
            """Pick one."""

        class Fruit(enum.Enum):
            APPLE = "apple"

        assert await pick(Constant('"apple"')) is Fruit.APPLE

    @pytest.mark.parametrize(
        "function",
        [
            mood,
            mood.with_options(temperature=0),
            Guide.describe,
            Guide.greet,
            Guide.name,
            Guide.thank,
            Guide.name.with_options(temperature=0),
            Guide("French").describe,
            Guide("French").describe.with_options(temperature=0),
        ],
        ids=repr,
    )
    async def test_pickles(self, function):
        """It pickles by its qualified name, with its options and its instance; copies are itself."""
        again = pickle.loads(pickle.dumps(function))
        assert (again.__qualname__, again.options) == (function.__qualname__, function.options)
        assert getattr(again.function, "__self__", None) == getattr(function.function, "__self__", None)
        assert copy.deepcopy(function) is copy.copy(function) is function

    async def test_a_local_one_does_not_pickle(self):
        """Nobody would find it by its name."""

        @generative
        def local():
            """Say something."""

        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(local)


class TestOptions:
    async def test_with_options(self):
        """They are added to those that are there, and the function stays as it was."""
        careful = mood.with_options(temperature=0, model="m").with_options(temperature=1)
        request = careful(Echo(), "Well.").call.request
        assert (request.options.temperature, request.model) == (1, "m")
        assert mood(Echo(), "Well.").call.model_options == {}
        assert repr(careful) == "<generative function mood>"
        assert careful.__doc__ == mood.__doc__

    async def test_mistakes(self):
        """A misspelled option is refused at once, a missing backend or argument in the call."""
        with pytest.raises(UnknownOption, match="temperature"):
            mood.with_options(temprature=0)
        with pytest.raises(InvalidRequest, match=r"output type of mood\(\) is its return annotation"):
            mood.with_options(output=int)
        with pytest.raises(InvalidRequest, match=r"mood\(\) takes the backend first"):
            mood(3, "Well.")
        with pytest.raises(TypeError, match="text"):
            mood(Echo())

    async def test_an_annotation_that_cannot_be_resolved(self):
        """It is told when the function is first called, by name."""

        @generative
        def nobody() -> Nowhere:  # noqa: F821 - that is the case
            """Say something."""

        with pytest.raises(InvalidRequest, match=r"nobody\(\).*'Nowhere'"):
            nobody(Echo())


async def asynchronous():
    """Say something."""


async def asynchronous_generator():
    """Say something."""
    yield


def generator():
    """Say something."""
    yield


def returning():
    """Say something."""
    return "something"


def bare_return():
    """Say something."""
    return


def constant():
    """Say something."""
    1  # noqa: B018 - that is the case


def calling(text):
    """Say something."""
    len(text)


def raising():
    """Say something."""
    raise NotImplementedError


def undocumented(): ...


class TestRefused:
    @pytest.mark.parametrize(
        ("function", "said"),
        [
            (asynchronous, r"asynchronous\(\) must not be async"),
            (asynchronous_generator, "must not be async"),
            (generator, r"generator\(\) has a body"),
            (returning, "has a body"),
            (bare_return, "has a body"),
            (constant, "has a body"),
            (calling, "has a body"),
            (raising, "has a body"),
            (undocumented, "has no docstring"),
            (lambda text: ..., "written with def"),
            (print, "written with def"),
            (Place, "written with def"),
            (3, "written with def"),
        ],
    )
    async def test_when_it_is_decorated(self, function, said):
        """Whatever has a body, is async or is not a function is refused at once."""
        with pytest.raises(InvalidRequest, match=said):
            generative(function)

    async def test_without_a_source(self):
        """A body is seen where there is no source to look at."""
        names = {}
        exec("def empty():\n 'Say.'\n ...\ndef full():\n 'Say.'\n return 1", names)
        assert await generative(names["empty"])(Echo()) == "Say."
        with pytest.raises(InvalidRequest, match="has a body"):
            generative(names["full"])

    async def test_every_answer_is_checked(self):
        """An answer that does not fit the annotation fails the thunk."""
        thunk = await mood(Constant('"fair"'), "Well.").settle()
        assert isinstance(thunk.error, mellite.errors.OutputValidationError)


@frozen
class Basket:
    """Has a set in it."""

    fruits: frozenset[str]
    owner: str


class Taste(enum.Enum):
    """Cannot be sorted."""

    SWEET = "sweet"
    SOUR = "sour"


class Crate(msgspec.Struct, rename="camel"):
    """Has a set under another name."""

    in_it: set[Taste]


FRUITS = frozenset(
    ["apple", "banana", "cherry", "date", "fig", "grape", "kiwi", "lemon", "mango", "orange", "pear", "plum"]
)


def test_sets_are_shown_in_the_same_order_in_every_process() -> None:
    """A prompt with a set in it is the same one tomorrow, though the order of the set itself is not."""
    listed = sorted(FRUITS)

    @mellite.generative
    def sort(it: object) -> str:
        """Sort it."""

    for given, shown in (
        (FRUITS, listed),
        ({"z": [set(FRUITS)], "a": 1}, {"z": [listed], "a": 1}),
        (Basket(FRUITS, "me"), {"fruits": listed, "owner": "me"}),
        (Crate({Taste.SWEET, Taste.SOUR}), {"inIt": ["sour", "sweet"]}),
        ({1: "one", "1": "two"}, {"1": "two"}),
        ({frozenset(FRUITS), frozenset("ab")}, [["a", "b"], listed]),
        ({10, 9, 2.5, None, "x"}, ["x", 10, 2.5, 9, None]),
    ):
        text = sort("fake:echo", given).call.request.text
        assert text == f"Sort it.\n\nit: {json.dumps(shown)}"

    @mellite.tool
    def pick(fruits: frozenset[str] = FRUITS) -> None:
        """Pick."""

    assert pick.input_schema["properties"]["fruits"]["default"] == listed
