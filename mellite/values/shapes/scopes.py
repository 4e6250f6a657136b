"""Resolve names in annotations: those of the module, of the functions around, and of generic classes."""

from __future__ import annotations

import builtins
import inspect
from collections import ChainMap
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final, ForwardRef, Generic, Protocol, cast, get_args, get_origin, get_type_hints

from attrs import evolve, field, frozen

from ..told_errors import error_text

__all__ = ["NoShape", "Scope", "filled", "frame_of", "type_arguments"]


class NoShape(Exception):
    """A type has no JSON form; the text says which, and of what."""


@frozen
class Scope:
    """The place of an annotation, and the meaning of its names there.

    Args:
        where: what it is the annotation of, as a message says it: ``parameter 'city'``.
        place: the module, and the function in which the class or function stands, if it stands in one.
        local: what names mean in that function.
        module: what names mean in that module; None for a type that is at home in none, such as a union: what it
            names is then looked for in whoever asks.
        body: what names mean in the body of the class, where no other meaning is found.
        types: what stands for the type variables of a generic class.
    """

    where: str
    place: str = field(default="", kw_only=True)
    local: Mapping[str, Any] = field(factory=dict, kw_only=True)
    module: Mapping[str, Any] | None = field(default=None, kw_only=True)
    body: Mapping[str, Any] = field(factory=dict, kw_only=True)
    types: Mapping[Any, Any] = field(factory=dict, kw_only=True)

    @classmethod
    def of(cls, function: Any, local: Mapping[str, Any], *, where: str = "") -> Scope:
        """Return the names that the annotations of a function see.

        Args:
            function: the function.
            local: the local variables of the function in which it stands.
            where: what messages say of an annotation.
        """
        return cls(
            where,
            place=_place(function),
            local={**local, **_closure(function)},
            module=getattr(function, "__globals__", None) or vars(inspect.getmodule(function) or builtins),
            body=_type_parameters(function),
        )

    def at(self, where: str) -> Scope:
        """Return the same names for another place."""
        return evolve(self, where=where)

    def inside(self, cls: type, where: str, types: Mapping[Any, Any]) -> Scope:
        """Return the names that the annotations in the body of a class see.

        What is known of a function holds for the classes that stand in the same function, and for no others: theirs
        may mean something else by the same name.

        Args:
            cls: the class.
            where: what messages say of it.
            types: what stands for its type variables.
        """
        place = _place(cls)
        local = dict(self.local if place == self.place else _outer_names(cls))
        if _LOCAL in place:
            local[cls.__name__] = cls
        home = inspect.getmodule(cls)
        module = self.module if home is None else vars(home)
        body = {cls.__name__: cls, **_type_parameters(cls), **vars(cls)}
        return Scope(where, place=place, local=local, module=module or {}, body=body, types={**self.types, **types})

    def evaluate(self, annotation: str | ForwardRef) -> Any:
        """Return the type that an annotation in quotes names.

        Raises:
            NoShape: if it names none.
        """
        # A class of its own for each, because get_type_hints reads the annotations of classes in all their forms.
        holder = type("Holder", (), {"__annotations__": {"it": annotation}})
        names = ChainMap(dict(self.local), cast("dict[str, Any]", self.module or {}))
        try:
            return get_type_hints(holder, dict(self.body), names, include_extras=True)["it"]
        except Exception as error:
            wider = self._widened(error)
            if wider is not None:
                return wider.evaluate(annotation)
            text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            msg = f"{self.where}: the annotation {text!r} cannot be resolved: {error_text(error)}"
            raise NoShape(msg) from error

    def _widened(self, error: Exception) -> Scope | None:
        """Return the same names and the one that was missing, if a type without a home was given by who knows it."""
        name = error.name if isinstance(error, NameError) and self.module is None else None
        if name is None or name in self.local:
            return None
        found = _named_by_callers(name)
        return None if found is None else evolve(self, local={**self.local, name: found})


#: What stands in a qualified name between a function and what is defined in it.
_LOCAL: Final = ".<locals>."


def _place(thing: Any) -> str:
    function, local, _ = getattr(thing, "__qualname__", "").rpartition(_LOCAL)
    return f"{getattr(thing, '__module__', None)}:{function}{local}"


def _type_parameters(thing: Any) -> dict[str, Any]:
    """Return the type variables that a class or function brings along, as Python 3.12 writes them."""
    return {each.__name__: each for each in getattr(thing, "__type_params__", ())}


def _closure(function: Any) -> dict[str, Any]:
    """Return the variables of outer functions that a function uses, as far as they have a value."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    known: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    return known


def frame_of(qualname: str, module: str | None = None) -> FrameType | None:
    """Return the frame, among those that run now, of the function in which something is defined.

    Args:
        qualname: its qualified name; of something at the top of a module it names no function.
        module: the name of its module, which another function of the same name is not in.
    """
    function, local, _ = qualname.rpartition(_LOCAL)
    frame = inspect.currentframe() if local else None
    while frame is not None:
        if frame.f_code.co_qualname == function and module in (None, frame.f_globals.get("__name__")):
            break
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


def _outer_names(cls: type) -> dict[str, Any]:
    frame = frame_of(cls.__qualname__, cls.__module__)
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
            found = type_arguments(filled(base, own)) | found
    return found


def filled(kind: Any, types: Mapping[Any, Any]) -> Any:
    """Return a type with the type variables in its brackets replaced; a class without brackets as it is."""
    variables = getattr(kind, "__parameters__", ()) if get_origin(kind) is not None else ()
    return kind[tuple([types.get(each, each) for each in variables])] if variables else kind
