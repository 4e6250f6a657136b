"""Public names: listed, sorted, there, ours, and easy to call."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

import attrs
import pytest

import mellite

MODULES = [
    "mellite",
    *sorted(found.name for found in pkgutil.walk_packages(mellite.__path__, "mellite.") if "._" not in found.name),
]


IN_ORDER = {"ToolCall": 3, "ToolResult": 3, "ValidationResult": 4}
"""Values that take more arguments by position, because the design writes them so. This list only ever shrinks."""


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    """Each public module of mellite in turn."""
    return import_module(request.param)


def listed(module: ModuleType) -> list[str]:
    """The names in the ``__all__`` of a module; a folder that holds only modules needs none."""
    if not hasattr(module, "__all__"):
        public = {name for name, thing in vars(module).items() if name[0] != "_" and not inspect.ismodule(thing)}
        assert public <= {"annotations"}, f"{module.__name__} has no __all__"
        return []
    return list(module.__all__)


def place(name: str) -> tuple[int, str]:
    """How names are sorted, as ruff does: constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def own_objects(module: ModuleType) -> list[tuple[str, object]]:
    """The classes and functions that a module lists in its ``__all__``."""
    things = [(name, getattr(module, name)) for name in listed(module) if getattr(module, name) is not Any]
    return [(name, thing) for name, thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]


def is_documented(thing: object) -> bool:
    """Whether a class or function has a docstring that somebody wrote: a dataclass without one gets its signature."""
    return bool(thing.__doc__) and not thing.__doc__.startswith(f"{thing.__name__}(")


def public_methods(cls: type) -> list[str]:
    """The methods and properties that a class itself defines for others."""
    kinds = (classmethod, staticmethod, property)
    return [
        name
        for name, member in vars(cls).items()
        if name[0] != "_" and (inspect.isfunction(member) or isinstance(member, kinds))
    ]


def test_names_are_listed_and_sorted(module: ModuleType) -> None:
    """Each public module lists its names in ``__all__``: sorted, each once."""
    assert listed(module) == sorted(set(listed(module)), key=place)


def test_names_are_there(module: ModuleType) -> None:
    """Each listed name exists, also those that are loaded on first use."""
    assert [name for name in listed(module) if not hasattr(module, name)] == []


def test_names_are_in_dir(module: ModuleType) -> None:
    """Each listed name is offered by ``dir()``, which is what completion in an editor or a shell shows."""
    assert set(listed(module)) - set(dir(module)) == set()


def test_names_are_ours(module: ModuleType) -> None:
    """No class or function of another library is public here: an HTTP client could not be exchanged any more."""
    foreign = [name for name, thing in own_objects(module) if thing.__module__.partition(".")[0] != "mellite"]
    assert foreign == []


def test_public_things_are_documented(module: ModuleType) -> None:
    """Each public class, function and method says what it is or gives; what a method inherits counts."""
    silent = [name for name, thing in own_objects(module) if not is_documented(thing)]
    for name, thing in own_objects(module):
        if inspect.isclass(thing):
            silent += [
                f"{name}.{method}" for method in public_methods(thing) if not inspect.getdoc(getattr(thing, method))
            ]
    assert silent == []


def test_values_are_keyword_only_past_the_second_argument(module: ModuleType) -> None:
    """Nobody has to count arguments, and a field can be added anywhere."""
    wide = {
        name: [field.name for field in attrs.fields(thing) if field.init and not field.kw_only]
        for name, thing in own_objects(module)
        if attrs.has(thing) and not issubclass(thing, BaseException)
    }
    assert {name: fields for name, fields in wide.items() if len(fields) > IN_ORDER.get(name, 2)} == {}
