"""What help() and an editor show of public classes, functions and methods can be read, and is what one may write."""

from __future__ import annotations

import importlib
import inspect
import pydoc
import re
from collections.abc import Iterator

import pytest

from mellite.values.signatures import write_signature
from tests.reference_page import PUBLIC

LONGEST = 80
"""Characters of one default that still say something."""

UNREADABLE = re.compile(r"NOTHING|Factory|<(?!class ')| at 0x|\b_[A-Za-z]\w*")
"""What attrs puts where there is no default, how Python prints what has no text of its own, and private names."""


def public_things() -> dict[str, object]:
    """Each public class and function once, by its shortest path."""
    found: dict[int, tuple[str, object]] = {}
    for name in PUBLIC:
        module = importlib.import_module(name)
        things = [(f"{name}.{each}", getattr(module, each)) for each in module.__all__]
        for path, thing in things:
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(id(thing), (path, thing))
    return dict(found.values())


THINGS = public_things()


def callables(path: str, thing: object) -> Iterator[tuple[str, object]]:
    """A class or function, and the public methods of a class."""
    yield path, thing
    if inspect.isclass(thing):
        found = [(name, getattr(thing, name)) for name in dir(thing) if name[0] != "_"]
        # A cached property is a routine to inspect, and cannot be called.
        yield from ((f"{path}.{name}", each) for name, each in found if inspect.isroutine(each) and callable(each))


def unreadable(path: str, function: object) -> Iterator[str]:
    """What cannot be read in the signature of one function, or in what help() says of it."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # an exception or a list of Python's own
        return
    yield from (f"{path}: {found} in {signature}" for found in UNREADABLE.findall(str(signature)))
    for parameter in signature.parameters.values():
        if parameter.default is not parameter.empty and len(repr(parameter.default)) > LONGEST:
            yield f"{path}: the default of {parameter.name} is {len(repr(parameter.default))} characters long"


@pytest.mark.parametrize("path", THINGS)
def test_signature_reads_well(path: str) -> None:
    """No signature shows a placeholder, an address, a private name, or a default of several lines."""
    assert [line for each, thing in callables(path, THINGS[path]) for line in unreadable(each, thing)] == []


@pytest.mark.parametrize("path", ["mellite.BestOfN", "mellite.ToolDefinition", "mellite.gather"])
def test_help_shows_the_signature(path: str) -> None:
    """What is tested is what help() prints, from Python 3.13 on with a line for each parameter of a long one."""
    thing = THINGS[path]
    lines = re.compile(r"[\s,|]+")
    shown = pydoc.plain(pydoc.render_doc(thing))
    assert lines.sub("", f"{thing.__name__}{inspect.signature(thing)}") in lines.sub("", shown)


def test_many_things_are_public() -> None:
    """The classes and functions are found."""
    assert len(THINGS) > 150


class Made:
    """A class whose default Python shows as an object."""

    def __init__(self, n: int, *, most: int | None = None) -> None:
        self.most = n if most is None else most


def test_what_is_written_is_shown() -> None:
    """A text stands in the place of a default, and of a type; the class is called as before."""
    write_signature(Made, {"most": "n"}, types={"most": "int"})
    assert str(inspect.signature(Made)) == "(n: 'int', *, most: 'int' = n) -> 'None'"
    assert (Made(3).most, Made(3, most=2).most) == (3, 2)


def test_a_subclass_with_arguments_of_its_own_shows_them() -> None:
    """What is written for a class is not shown for a subclass that is made differently."""
    write_signature(Made, {"most": "n"})

    class Other(Made):
        def __init__(self) -> None:
            super().__init__(1)

    assert str(inspect.signature(Other)) == "() -> 'None'"


def test_a_parameter_that_is_not_there_is_noticed() -> None:
    """Writing a default for a parameter that was renamed is an error."""
    with pytest.raises(KeyError, match="mots"):
        write_signature(Made, {"mots": "n"})
