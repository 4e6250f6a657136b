"""Pickles of `msgspec.Meta`, the limits in an output type such as ``Annotated[int, msgspec.Meta(ge=1)]``."""

from __future__ import annotations

import copyreg
from functools import partial
from typing import Any

import msgspec

__all__ = ["have_limits_pickled"]


def have_limits_pickled() -> None:
    """Tell `pickle` and `copy` how to take `msgspec.Meta` along; called before the first one is pickled.

    Registered with Python itself, since a type that holds one, such as ``list[Annotated[...]]``, is pickled by Python.
    """
    if msgspec.Meta.__reduce__ is object.__reduce__:  # it has no way of its own
        copyreg.pickle(msgspec.Meta, _reduced)


def _reduced(limits: msgspec.Meta) -> tuple[Any, ...]:
    return partial(msgspec.Meta, **dict(limits.__rich_repr__())), ()
