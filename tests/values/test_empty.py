"""The mapping of nothing that requests share: read like any mapping, never written to."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mellite.request import EMPTY

WRITES: dict[str, Callable[[Any], object]] = {
    "item": lambda empty: empty.__setitem__("a", 1),
    "delete": lambda empty: empty.__delitem__("a"),
    "update": lambda empty: empty.update(a=1),
    "or": lambda empty: empty.__ior__({"a": 1}),
    "setdefault": lambda empty: empty.setdefault("a", 1),
    "pop": lambda empty: empty.pop("a", None),
    "popitem": lambda empty: empty.popitem(),
    "clear": lambda empty: empty.clear(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_empty_refuses_to_be_written_to(write: Callable[[Any], object]) -> None:
    """One caller that wrote into it would change the requests of all others."""
    with pytest.raises(TypeError, match="cannot be written to"):
        write(EMPTY)
    assert EMPTY == {}


def test_empty_is_one_object_also_copied_and_pickled() -> None:
    assert isinstance(EMPTY, Mapping)
    assert repr(EMPTY) == "{}"
    assert copy.copy(EMPTY) is copy.deepcopy(EMPTY) is pickle.loads(pickle.dumps(EMPTY)) is EMPTY
