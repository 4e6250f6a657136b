"""The path by which users know a class or function, whatever module it is defined in."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from importlib import import_module
from types import FunctionType
from typing import Any, Final, ForwardRef

from .empty import EMPTY

__all__ = ["publish"]


def publish(defined: Mapping[str, Any], path: str, *names: str, elsewhere: Mapping[str, str] = EMPTY) -> None:
    """Give what a module offers the path by which it is public, so that tracebacks, docs and pickles say that.

    `typing.get_type_hints` looks the annotations of a class up in the module that the class names, so those of a
    class are told where they were written when they are first looked at.

    Args:
        defined: the ``globals()`` of the module.
        path: the public module, such as "mellite.errors".
        names: which names; without any, the classes and functions of mellite in its ``__all__``.
        elsewhere: attribute -> the module that has the names in its annotation, without ``mellite.``, where this
            module imports them for type checkers only.

    Example:
        At the end of mellite/values/errors.py: ``publish(globals(), "mellite.errors")``.
    """
    for name in names or defined["__all__"]:
        thing = defined[name]
        if not isinstance(thing, (type, FunctionType)) or not thing.__module__.startswith(f"{_ROOT}."):
            continue
        if thing.__module__ == path:  # handed on from another module of the room, which has done this
            continue
        if isinstance(thing, type) and "__annotations__" in vars(thing):
            thing.__annotations__ = _Annotations(thing.__annotations__, thing.__module__, elsewhere)
        thing.__module__ = path


_ROOT: Final = __name__.partition(".")[0]


class _Annotations(dict[str, Any]):
    """The annotations of a class, which know where they were written; most are never looked at."""

    __slots__ = ("_elsewhere", "_module")

    def __init__(self, found: Mapping[str, Any], module: str, elsewhere: Mapping[str, str]) -> None:
        super().__init__(found)
        self._module: str | None = module
        self._elsewhere = elsewhere

    def _tie(self) -> None:
        """Say in each annotation, once, in which module it stands."""
        module, self._module = self._module, None
        if module is None:
            return
        for name, text in super().items():
            if isinstance(text, str):
                home = f"{_ROOT}.{self._elsewhere[name]}" if name in self._elsewhere else module
                import_module(home)
                super().__setitem__(name, ForwardRef(text, is_argument=False, module=home, is_class=True))

    def __getitem__(self, name: str) -> Any:
        self._tie()
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self._tie()
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        self._tie()
        return super().get(name, default)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._tie()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._tie()
        return super().values()
