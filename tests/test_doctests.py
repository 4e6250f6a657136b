"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import mellite

MODULES = ["mellite", *sorted(found.name for found in pkgutil.walk_packages(mellite.__path__, "mellite."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ``>>>`` in a module of mellite does what stands below it."""
    failures, _ = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failures == 0, capsys.readouterr().out
