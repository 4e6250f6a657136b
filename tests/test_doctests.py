"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

import mellite

MODULES = [
    "mellite",
    *sorted(found.name for found in pkgutil.walk_packages(mellite.__path__, "mellite.") if found.name[-2:] != "__"),
]


class Finder(doctest.DocTestFinder):
    """Finds classes and functions where they are written: public ones carry the path by which they are public."""

    def _from_module(self, module: ModuleType | None, object: object) -> bool:
        if module is not None and inspect.isclass(object):
            tree = ast.parse(inspect.getsource(module))
            return any(isinstance(node, ast.ClassDef) and node.name == object.__name__ for node in tree.body)
        if module is not None and inspect.isfunction(object):
            return inspect.unwrap(object).__globals__ is vars(module)
        return super()._from_module(module, object)  # type: ignore[misc]


def examples(name: str) -> list[doctest.DocTest]:
    """The examples of one module."""
    module = import_module(name)
    return [test for test in Finder().find(module, module.__name__) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ``>>>`` in a module of mellite does what stands below it."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples(name):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0, capsys.readouterr().out


def test_no_example_is_lost() -> None:
    """Every ``>>>`` that stands in a file is found: none is in a docstring that nobody runs."""
    for name in MODULES:
        module = import_module(name)
        written = inspect.getsource(module).count(">>> ")
        assert sum(len(test.examples) for test in examples(name)) == written, name
