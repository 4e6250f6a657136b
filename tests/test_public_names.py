"""What mellite offers: one table for people at run time and for type checkers, and nothing private in completion."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import rlcompleter
import subprocess
import sys
from collections.abc import Iterator

import pytest

import mellite
from tests.layer_rules import FACES, called
from tests.pages import ROOT
from tests.reference_page import PUBLIC, ROOMS

TABLES = {
    path.parent.name: text
    for path in sorted((ROOT / "mellite").rglob("__init__.py"))
    if "attach(" in (text := path.read_text(encoding="utf-8"))
}
"""The ``__init__.py`` of each package whose names load when they are first used."""

EVERYTHING = [
    found.name for found in pkgutil.walk_packages(mellite.__path__, "mellite.") if found.name != "mellite.__main__"
]


def told_to_checkers(block: ast.If) -> Iterator[tuple[str, str, str]]:
    """(module, name, what it is called) of each import in an ``if TYPE_CHECKING``."""
    for node in block.body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        module = "." * (node.level if node.module else 0) + (node.module or "")
        yield from ((module, alias.name, alias.asname or "not handed on") for alias in node.names)


def loaded_at_run_time(block: ast.If) -> Iterator[tuple[str, str, str]]:
    """The same of each name in the tables that are handed to `attach`."""
    call = next(node for line in block.orelse for node in ast.walk(line) if isinstance(node, ast.Call))
    assert called(call) == "attach"
    tables = [call.args[1], *(each.value for each in call.keywords if each.arg == "unlisted")]
    for table in tables:
        for module, names in ast.literal_eval(table).items():
            yield from ((module, name, name) for name in names.split())


@pytest.mark.parametrize("package", TABLES)
def test_type_checkers_are_told_the_same_as_is_loaded(package: str) -> None:
    """The imports for type checkers and the table for run time name the same things of the same modules."""
    tree = ast.parse(TABLES[package])
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    assert sorted(told_to_checkers(block)) == sorted(loaded_at_run_time(block))


def test_there_are_tables() -> None:
    """The packages with tables are found."""
    assert TABLES.keys() >= {"mellite", "backends", "cassettes", "engine"}


@pytest.fixture(params=PUBLIC)
def name(request: pytest.FixtureRequest) -> str:
    """Each public module in turn, when everything below mellite/ has been imported."""
    for module in EVERYTHING:
        importlib.import_module(module)
    return request.param


def test_only_public_names_are_offered(name: str) -> None:
    """A module lists what is in its ``__all__``, and what every module has; no room, and nothing it imported."""
    module = importlib.import_module(name)
    own = {each for each in dir(module) if each.isidentifier() and not (each.startswith("__") and each.endswith("__"))}
    assert own == set(module.__all__) - {"__version__"}


def test_completion_offers_public_names(name: str) -> None:
    """What a prompt offers behind the dot is what is in ``__all__``."""
    module = importlib.import_module(name)
    offered = rlcompleter.Completer({"it": module}).attr_matches("it.")
    names = {each.removeprefix("it.").rstrip("()") for each in offered}
    assert {each for each in names if each.isidentifier()} == set(module.__all__) - {"__version__"}


def test_public_modules_are_offered() -> None:
    """Beside its classes and functions, mellite offers the modules that users import."""
    offered = {name for name in mellite.__all__ if isinstance(getattr(mellite, name), type(mellite))}
    assert offered == {*ROOMS, *FACES}


def test_mochi_is_at_home_in_its_module() -> None:
    """The names of mellite.mochi can be imported from mellite, as ever, and are not offered there."""
    assert mellite.mochi_llm_generate is mellite.mochi.mochi_llm_generate
    assert mellite.mochi_llm_stream is mellite.mochi.mochi_llm_stream
    assert not {each for each in dir(mellite) if each.startswith("mochi_")}


@pytest.mark.parametrize("order", ["sorted", "reversed"])
def test_no_module_hides_a_public_name(order: str) -> None:
    """Importing every module, first to last or last to first, leaves each public name what the table says it is."""
    code = f"""
import importlib, inspect
for name in list({order}({EVERYTHING!r})):
    importlib.import_module(name)
for module in map(importlib.import_module, {PUBLIC!r}):
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.ismodule(thing) and thing.__name__ not in {PUBLIC!r}:
            print(module.__name__, name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("", "")
