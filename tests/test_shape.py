"""The project keeps its shape: short files and functions, honest names and tests."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import shape_rules as rules

ROOT = Path(__file__).parent.parent
PACKAGE = rules.below(ROOT, "mellite")
TESTS = rules.below(ROOT, "tests")
EVERYTHING = [*PACKAGE, *TESTS, rules.Source.read(ROOT / "noxfile.py", ROOT)]

Rule = Callable[[rules.Source], Iterator[str]]


def source(text: str, name: str = "mellite/made_up.py") -> rules.Source:
    """A made-up file."""
    return rules.Source(name, text, ast.parse(text))


@pytest.mark.parametrize(
    ("rule", "sources"),
    [
        (rules.long_file, PACKAGE),
        (rules.long_functions, PACKAGE),
        (rules.tangled_functions, PACKAGE),
        (rules.grab_bag_name, EVERYTHING),
        (rules.first_line, EVERYTHING),
        (rules.silenced_checkers, EVERYTHING),
        (rules.unfinished, PACKAGE),
        (rules.wide_excepts, PACKAGE),
        (rules.half_imported, PACKAGE),
        (rules.locks_that_forks_break, PACKAGE),
        (rules.pretence, TESTS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rule(rule: Rule, sources: list[rules.Source]) -> None:
    """No file of the project breaks a rule of shape."""
    wrong = [sentence for each in sources for sentence in rule(each)]
    assert not wrong, "\n".join(["", *wrong])


def test_most_functions_and_files_are_short() -> None:
    """Nine of ten functions of the package are a third of a screen, and nine of ten files some six screens."""
    lengths = [rules.body_length(function) for each in PACKAGE for function in rules.functions(each)]
    assert statistics.quantiles(lengths, n=10)[-1] <= rules.FUNCTION_LINES_P90
    files = [each.text.count("\n") for each in PACKAGE]
    assert statistics.quantiles(files, n=10)[-1] <= rules.FILE_LINES_P90


def test_most_things_have_types() -> None:
    """`Any` is rare: the JSON of a provider is named as what it is."""
    tokens = [rules.code_tokens(each) for each in PACKAGE]
    anys = sum(token.string == "Any" for each in tokens for token in each)
    lines = sum(len({token.start[0] for token in each}) for each in tokens)
    assert 1000 * anys <= rules.ANY_PER_THOUSAND_LINES * lines, f"{1000 * anys / lines:.1f} in 1,000 lines"


def test_any_is_counted_in_code_only() -> None:
    """What is counted stands in code, not in comments or docstrings."""
    text = '"""Any."""\n\nx: Any = f(Any)  # Any\ny = "Any"\n'
    tokens = rules.code_tokens(source(text))
    assert [token.start[0] for token in tokens if token.string == "Any"] == [3, 3]
    assert {token.start[0] for token in tokens} == {3, 4}


def test_tests_are_sentences() -> None:
    """Nearly every test says in a sentence which rule it tests."""
    tests = [(each.name, test) for each in TESTS for test in rules.tests_in(each)]
    silent = [f"{name}:{test.lineno} {test.name}" for name, test in tests if not ast.get_docstring(test)]
    assert len(silent) <= (1 - rules.SENTENCES) * len(tests), "\n".join(["no sentence:", *silent])


@pytest.mark.parametrize("place", rules.SEES_MODULES)
def test_a_place_that_sees_modules_is_there(place: str) -> None:
    """Each place that may look into `sys.modules` still does."""
    path, _, name = place.partition("::")
    (there,) = [each for each in PACKAGE if each.name == path]
    assert list(rules.half_imported(there)) == []
    renamed = source(there.text.replace(f"def {name}(", "def another("), path)
    (_sentence,) = rules.half_imported(renamed)


def test_listed_places_are_there() -> None:
    """Every place that is listed as allowed to catch everything still does; a stale row hides the next one."""
    told = "\n".join(sentence for each in PACKAGE for sentence in rules.wide_excepts(each, ()))
    assert [place for place in rules.WIDE_EXCEPTS if f"'{place}'" not in told] == []


# The made-up sources have spaces where Python allows them, so that a plain search for these words finds no test.
@pytest.mark.parametrize(
    ("rule", "text", "told"),
    [
        (rules.long_file, "x = 1\n" * 501, "has 501 lines"),
        (rules.long_functions, "def f():\n" + "    x = 1\n" * 54, "f has 55 lines"),
        (rules.long_functions, "class A:\n  async def f():\n" + "    x = 1\n" * 54, "f has 55 lines"),
        (rules.tangled_functions, "def f():\n" + "    if a and b: pass\n" * 10, "f has 21 ways through it"),
        (rules.first_line, "x = 1\n", "has no docstring"),
        (rules.first_line, '"""What\nis in it."""\n', "goes on in the next"),
        (rules.silenced_checkers, "x = 1  # type: ignore\n", "silences a checker"),
        (rules.silenced_checkers, "x = 1  # pyright:ignore\n", "silences a checker"),
        (rules.silenced_checkers, "x = 1  # noqa\n", "silences a checker"),
        (rules.unfinished, "x = 1  # TODO: more\n", "puts something off"),
        (rules.unfinished, "def f():\n    raise NotImplementedError\n", "is not implemented"),
        (rules.wide_excepts, "try:\n    x = 1\nexcept :\n    pass\n", "is a bare except"),
        (rules.wide_excepts, "try:\n    x = 1\nexcept Exception :\n    pass\n", "catches Exception"),
        (rules.wide_excepts, "def f():\n  try:\n    x = 1\n  except (OSError, BaseException):\n    x = 2\n", "py::f'"),
        (rules.locks_that_forks_break, "import threading\nx = threading.Lock()\n", "makes a lock"),
        (rules.locks_that_forks_break, "x = field(factory=threading.RLock)\n", "makes a lock"),
        (rules.locks_that_forks_break, "from threading import Condition\n", "makes a lock"),
        (rules.half_imported, "import sys\nx = sys.modules.get('trio')\n", "looks into sys.modules"),
        (rules.half_imported, "from sys import modules\n", "looks into sys.modules"),
        (rules.half_imported, "def imported_trio():\n    return 'trio' in sys.modules\n", "looks into sys.modules"),
        (rules.pretence, "from unittest.mock import Mock\n", "uses Mock of unittest.mock"),
        (rules.pretence, "import unittest.mock\n", "uses mock of unittest"),
        (rules.pretence, "from unittest import mock\n", "uses mock of unittest"),
        (rules.pretence, "double = Mock ()\n", "uses Mock of mock"),
        (rules.pretence, "with patch ('a.b'): x = 1\n", "uses patch of mock"),
        (
            rules.pretence,
            "def test_a(monkeypatch):\n    monkeypatch . setattr('a', 1)\n",
            "uses setattr of monkeypatch",
        ),
        (rules.pretence, "import time\ntime . sleep(1)\n", "uses sleep of time"),
        (rules.pretence, "from time import sleep\n", "uses sleep of time"),
        (rules.pretence, "@pytest . mark.skip\ndef test_a(): x = 1\n", "uses skip of pytest.mark"),
        (rules.pretence, "@pytest . mark.xfail(strict=True)\ndef test_a(): x = 1\n", "uses xfail of pytest.mark"),
        (
            rules.pretence,
            "async def f():\n    while x:\n        await anyio.sleep(0.1)\n",
            "sleeps until something works",
        ),
    ],
)
def test_a_broken_rule_is_told(rule: Rule, text: str, told: str) -> None:
    """Each rule says so, once, when a file breaks it."""
    (sentence,) = rule(source(text))
    assert told in sentence


@pytest.mark.parametrize(
    "name", ["mellite/utils.py", "mellite/wire/_base.py", "tests/common/test_a.py", "mellite/core/a.py"]
)
def test_a_grab_bag_is_told(name: str) -> None:
    """A file or folder with a name that says nothing is told."""
    (sentence,) = rules.grab_bag_name(source("", name))
    assert sentence.startswith(name)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (rules.long_file, "x = 1\n" * 500),
        (rules.long_functions, 'def f():\n    """\n' + "    Long.\n" * 90 + '    """\n' + "    x = 1\n" * 53),
        (rules.tangled_functions, "def f():\n" + "    if a and b: pass\n" * 9 + "    x = 1 if a else 2\n"),
        (rules.first_line, '"""What is in it."""\n'),
        (rules.first_line, '"""What is in it.\n\nAnd more."""\n'),
        (rules.first_line, ""),
        (rules.silenced_checkers, "x = 1  # type: ignore[assignment]  # noqa: E501\n"),
        (rules.silenced_checkers, "x = '# type: ignore'\n"),
        (rules.unfinished, "x = 'TODO'\n"),
        (rules.wide_excepts, "try:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise\n"),
        (rules.wide_excepts, "try:\n    x = 1\nexcept Exception as error:\n    raise E from error\n"),
        (rules.wide_excepts, "try:\n    x = 1\nexcept (OSError, ValueError):\n    x = 2\n"),
        (rules.locks_that_forks_break, "x: threading.Lock = forking.lock()\ny = threading.Event()\n"),
        (rules.pretence, "def test_a(monkeypatch):\n    monkeypatch.setenv('OPENAI_API_KEY', 'x')\n"),
        (rules.pretence, "async def f():\n    while x:\n        await anyio.sleep(0)\n"),
        (rules.pretence, "text = 'Mock patch sleep'\nroute . patch(1)\n"),
    ],
)
def test_a_kept_rule_is_quiet(rule: Rule, text: str) -> None:
    """What a rule allows is not told: strings, docstrings, named codes, handlers that raise again."""
    assert list(rule(source(text))) == []
