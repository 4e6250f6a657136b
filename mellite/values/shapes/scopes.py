"""What the names in an annotation mean: those of its module, of the functions around it, and of generic classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import FrameType
from typing import Any, ForwardRef, Generic, Protocol, get_args, get_origin, get_type_hints

from attrs import evolve, field, frozen

__all__ = ["NoShape", "Scope", "frame_of", "type_arguments"]


class NoShape(Exception):
    """A type has no JSON form; the text says which, and of what."""


@frozen
class Scope:
    """Where an annotation stands.

    Args:
        where: what it is the annotation of, as a message says it: ``parameter 'city'``.
        module: the name of the module; "" for a type that is at home in none, such as a union: what it names is then
            looked for in whoever asks.
        known: what names mean beside those of the module.
        globals: the names of the module, where they are at hand.
        types: what stands for the type variables of a generic class.
    """

    where: str
    module: str = field(default="", kw_only=True)
    known: Mapping[str, Any] = field(factory=dict, kw_only=True)
    globals: dict[str, Any] | None = field(default=None, kw_only=True)
    types: Mapping[Any, Any] = field(factory=dict, kw_only=True)

    def at(self, where: str) -> Scope:
        """Return the same names for another place."""
        return evolve(self, where=where)

    def inside(self, cls: type) -> Scope:
        """Return the names that the annotations in the body of a class see."""
        known = {**_outer_names(cls.__qualname__), **self.known, cls.__name__: cls, **vars(cls)}
        return Scope(self.where, module=cls.__module__, known=known, types=self.types)

    def evaluate(self, annotation: str | ForwardRef) -> Any:
        """Return the type that an annotation in quotes names.

        Raises:
            NoShape: if it names none.
        """
        # A class of its own for each, because get_type_hints reads the annotations of classes in all their forms.
        module = self.module or "builtins"
        holder = type("Holder", (), {"__annotations__": {"it": annotation}, "__module__": module})
        try:
            return get_type_hints(holder, self.globals, dict(self.known), include_extras=True)["it"]
        except Exception as error:
            wider = self._widened(error)
            if wider is not None:
                return wider.evaluate(annotation)
            text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            msg = f"{self.where}: the annotation {text!r} cannot be resolved: {error}"
            raise NoShape(msg) from error

    def _widened(self, error: Exception) -> Scope | None:
        """Return the same names and the one that was missing, if a type without a home was given by who knows it."""
        if self.module or not isinstance(error, NameError) or error.name in self.known:
            return None
        found = _named_by_callers(error.name)
        return None if found is None else evolve(self, known={**self.known, error.name: found})


def frame_of(qualname: str) -> FrameType | None:
    """Return the frame, among those that run now, of the function in which something is defined.

    Args:
        qualname: its qualified name; of something at the top of a module it names no function.
    """
    function, local, _ = qualname.rpartition(".<locals>.")
    frame = inspect.currentframe() if local else None
    while frame is not None and frame.f_code.co_qualname != function:
        frame = frame.f_back
    return frame


def _named_by_callers(name: str) -> Any:
    """Return what a name means to the nearest caller outside mellite that knows it."""
    frame = inspect.currentframe()
    own = __name__.partition(".")[0]
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] != own:
            for names in (frame.f_locals, frame.f_globals):
                if name in names:
                    return names[name]
        frame = frame.f_back
    return None


def _outer_names(qualname: str) -> dict[str, Any]:
    frame = frame_of(qualname)
    return {} if frame is None else dict(frame.f_locals)


def type_arguments(kind: Any) -> dict[Any, dict[Any, Any]]:
    """Return what stands for the type variables of a class, for it and for each of its bases that has any.

    Args:
        kind: the class, or the class with its arguments in brackets.

    Example:
        >>> type_arguments(dict[str, int])
        {<class 'dict'>: {}}
    """
    cls = get_origin(kind) or kind
    own = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))
    found = {cls: own}
    for base in getattr(cls, "__orig_bases__", ()):
        if isinstance(get_origin(base), type) and get_origin(base) not in (Generic, Protocol):
            found = type_arguments(_filled(base, own)) | found
    return found


def _filled(kind: Any, types: Mapping[Any, Any]) -> Any:
    variables = getattr(kind, "__parameters__", ())
    return kind[tuple([types.get(each, each) for each in variables])] if variables else kind
