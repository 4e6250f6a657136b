"""Pickles of earlier versions are read, wherever the modules are that they name."""

from __future__ import annotations

import json
import lzma
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import mellite
from tests.pickles.facts import KEYS

PICKLES = Path(__file__).parent / "pickles"


def run(*arguments: str) -> str:
    """What a fresh process prints, in an environment with no keys but those that nobody has."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "SYSTEMROOT")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**kept, **KEYS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("kind", [file.name.partition(".")[0] for file in sorted(PICKLES.glob("*.pickle.xz"))])
def test_an_old_pickle_has_everything(kind: str) -> None:
    """A process that has nothing of mellite loaded reads old pickles of each protocol; in them is what was then."""
    told = json.loads(run(str(PICKLES / "facts.py"), str(PICKLES / f"{kind}.pickle.xz")))
    expected = json.loads((PICKLES / f"{kind}.json").read_text(encoding="utf-8"))
    assert told
    for each in told:
        assert each == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "passing", "failing"),
    [("contains", "A and b", "a"), ("not contains", "b", "a"), ("one of", "yes", "yes and no"), ("judge", "Hi.", None)],
)
async def test_old_requirements_judge(name: str, passing: str, failing: str | None) -> None:
    """Requirements of earlier versions, whose checks were methods, judge answers, also while they stream."""
    with lzma.open(PICKLES / "requirements.pickle.xz") as file:
        old = pickle.load(file)[name]
    assert [bool(verdict) for verdict in await mellite.check(passing, [old])] == [True]
    if failing is not None:
        assert [bool(verdict) for verdict in await mellite.check(failing, [old])] == [False]
    if failing is not None and old.check_chunk is not None:
        assert (old.check_chunk(passing, passing), bool(old.check_chunk(failing, failing))) == (None, False)


class Method:
    """A method of an object, as its pickle names it."""

    def __init__(self, of: object, name: str) -> None:
        self.named = (of, name)

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, self.named


BACKEND = mellite.backends.Constant("x")
FORMER = {
    "absent": (mellite.requirements.regex("a"), mellite.requirements.regex("a", forbid=True).check),
    "appears": (mellite.requirements.regex("a"), mellite.requirements.regex("a", forbid=True).check_chunk),
    "chunk": (
        mellite.requirements.judge(BACKEND, "is polite", at_least=0.5),
        mellite.requirements.judge(BACKEND, "is polite", at_least=0.5, streaming=True).check_chunk,
    ),
}


@pytest.mark.parametrize("name", FORMER)
def test_a_check_that_was_a_method(name: str) -> None:
    """A pickle that names a method which a check had is read as the check that stands in its place."""
    requirement, expected = FORMER[name]
    found = pickle.loads(pickle.dumps(Method(requirement.check, name)))
    assert type(found) is type(expected)
    if name != "chunk":  # a backend that was pickled is another one
        assert found == expected


def test_an_old_pickle_gives_the_very_classes() -> None:
    """Classes and functions that were pickled under former paths are those that users import now."""
    with lzma.open(PICKLES / "classes.pickle.xz") as file:
        found = pickle.load(file)
    assert found
    for path, thing in found.items():
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name) is thing, path


def test_former_paths_hide_nothing() -> None:
    """A module that is imported by a former path, for a pickle, covers no name that users import."""
    code = """
import mellite.requirements
before = mellite.requirements.similarity
from mellite.requirements.similarity import similarity
import mellite.usage
mellite.usage.Usage
print(similarity is before is mellite.requirements.similarity, hasattr(mellite, "usage"))
"""
    assert run("-c", code) == "True False\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("mellite.recorded", "replay_all"),
        ("mellite.conformance", "check_backend"),
        ("mellite.cassettes.rendering", "MARK"),
    ],
)
def test_paths_that_pages_told(path: str, name: str) -> None:
    """What earlier pages told people to import is found where they told it."""
    assert getattr(import_module(path), name) is not None


def test_paths_that_never_were_are_not_found() -> None:
    """No module is made up, and no name in a former module."""
    for path in ("mellite.nothing", "mellite.wire.nothing", "mellite.usage.nothing"):
        with pytest.raises(ModuleNotFoundError, match=path):
            import_module(path)
    former = import_module("mellite.usage")
    assert former.Usage is mellite.Usage
    with pytest.raises(AttributeError, match=r"'mellite\.usage' has no attribute 'Nothing'"):
        _ = former.Nothing
