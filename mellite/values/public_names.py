"""The path by which users know a class or function, whatever module it is defined in."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, Final, ForwardRef

__all__ = ["publish"]


def publish(defined: Mapping[str, Any], path: str, *names: str) -> None:
    """Give what a module offers the path by which it is public, so that tracebacks, docs and pickles say that.

    `typing.get_type_hints` looks the annotations of a class up in the module that the class names. They are tied to
    the module that they were written in before the class is renamed.

    Args:
        defined: the ``globals()`` of the module.
        path: the public module, such as "mellite.errors".
        names: which names; without any, the classes and functions of mellite in its ``__all__``.

    Example:
        At the end of mellite/values/errors.py: ``publish(globals(), "mellite.errors")``.
    """
    for name in names or defined["__all__"]:
        thing = defined[name]
        if not isinstance(thing, (type, FunctionType)) or not thing.__module__.startswith(f"{_ROOT}."):
            continue
        if isinstance(thing, type):
            _tie(thing)
        thing.__module__ = path


_ROOT: Final = __name__.partition(".")[0]


def _tie(cls: type) -> None:
    """Tie the annotations of a class to the module that they stand in."""
    annotations: dict[str, Any] = vars(cls).get("__annotations__", {})
    for name, text in annotations.items():
        if isinstance(text, str):
            annotations[name] = ForwardRef(text, is_argument=False, module=cls.__module__, is_class=True)
