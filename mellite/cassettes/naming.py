"""Which cassette belongs to which test: one for all event loops and repetitions of the test, valid on every system."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from attrs import Factory, field, frozen

__all__ = ["Place", "alike", "name_of_test"]

_LONGEST: Final = 120

_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.]+(\[[A-Za-z0-9_.-]+\])?")

#: The parameter with which pytest-repeat numbers the repetitions of a test.
_STEP: Final = "__pytest_repeat_step_number"


def _own_folder(place: Place) -> str:
    return os.path.join(place.folder, f"{os.path.splitext(place.file)[0]}/")


@frozen
class Place:
    """Where the cassettes of the tests of one module or class are, worked out once for all of them.

    Args:
        folder: the folder of cassettes, to which the path in a marker is relative.
        file: the tests' file, as shared cassettes name it.
        owner: the names of the classes around the tests, each with a dot behind it.
        alike: names of tests that need a digest to be told from another one's; see the function `alike`.
        is_alike: whether this holds for the name of a class around the tests.
    """

    folder: str
    file: str
    owner: str = field(default="", kw_only=True)
    alike: Collection[str] = field(default=frozenset(), kw_only=True)
    is_alike: bool = field(default=False, kw_only=True)
    _start: str = field(init=False, repr=False, default=Factory(_own_folder, takes_self=True))

    def path(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Return the path of a test's cassette: ``<folder>/<file>/<test>.json``.

        A cassette that was recorded under its plain name, on a system where a name that differs in case is another one,
        stays in use.

        Args:
            name: the test's name, without its classes.
            parameters: the values of its parameters.
        """
        test = f"{self.owner}{name_of_test(name, parameters)}"
        stem, is_plain = _stem(test)
        plain = f"{self._start}{stem}.json"
        is_alike = name in self.alike
        if not (is_plain and (is_alike or self.is_alike)):
            return plain
        apart = f"{self._start}{_digested(stem, test)}.json"
        if is_alike and not _says_all(stem, test):
            return apart
        return plain if not os.path.exists(apart) and _is_there(plain) else apart

    def part(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Return the name that the interactions of a test carry in a cassette that several tests share."""
        return f"{self.file}::{self.owner}{name_of_test(name, parameters)}"


def alike(tests: Iterable[tuple[str, Mapping[str, Any]]]) -> frozenset[str]:
    """Return the names that would have one file with another one, and need a digest.

    These differ in nothing but case, which Windows and macOS ignore, or in points and dashes at the end, which no name
    of a file keeps. One in lower case without them needs none.

    Args:
        tests: the names of the tests, without their classes, and their parameters.

    Example:
        >>> sorted(alike([(f"test[{word}]", {}) for word in ("a", "A", "b", "Cd", "cD", "b.")]))
        ['test[A]', 'test[Cd]', 'test[b.]', 'test[cD]']
    """
    files: dict[str, dict[str, set[str]]] = {}
    for name, parameters in tests:
        test = name_of_test(name, parameters)
        stem, is_plain = _stem(test)
        if is_plain:
            files.setdefault(stem.lower(), {}).setdefault(test, set()).add(name)
    return frozenset(
        [
            name
            for lower, those in files.items()
            if len(those) > 1
            for test, names in those.items()
            if test != test.lower() or not _says_all(lower, test)
            for name in names
        ]
    )


def name_of_test(name: str, parameters: Mapping[str, Any]) -> str:
    """Return a test's name without the parameters that ask the same: event loops, repetitions.

    Args:
        name: the test's name, without its classes.
        parameters: the values of its parameters.

    Example:
        >>> name_of_test("test[asyncio-a]", {"anyio_backend": "asyncio"}), name_of_test("test", {})
        ('test[a]', 'test')
    """
    function, bracket, rest = name.partition("[")
    if not bracket:
        return name
    rest = rest.removesuffix("]")
    loop = parameters.get("anyio_backend")
    loop = loop[0] if isinstance(loop, tuple) else loop
    if loop is not None and loop in (ids := rest.split("-")):
        ids.remove(loop)
        rest = "-".join(ids)
    if (step := parameters.get(_STEP)) is not None:  # pytest-repeat names it as in "1-5"
        rest = re.sub(rf"-?{step + 1}-\d+$", "", rest)
    return f"{function}[{rest}]" if rest else function


def _stem(test: str) -> tuple[str, bool]:
    """Return a file name that is valid everywhere, without its ending, and whether it is without a digest.

    If something is cut off or replaced, a digest tells tests apart.
    """
    plain = _OTHER.sub("-", test).strip("-.")
    if _PLAIN.fullmatch(test) and len(plain) <= _LONGEST:
        return plain, True
    return _digested(plain, test), False


def _says_all(stem: str, test: str) -> bool:
    """Return whether the name of a file lacks nothing of a test's name but the bracket at its end."""
    return len(stem) == len(test.removesuffix("]"))


def _digested(plain: str, test: str) -> str:
    return f"{plain[:_LONGEST]}-{hashlib.sha256(test.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _is_there(path: str) -> bool:
    """Return whether there is a file of this very name: some systems find one that differs in case as well."""
    folder, name = os.path.split(path)
    try:
        return name in os.listdir(folder)
    except OSError:
        return False
