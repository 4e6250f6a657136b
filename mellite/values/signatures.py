"""Signatures that read well where the default of an argument has no text of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

__all__ = ["write_signature"]


def write_signature(cls: type, defaults: Mapping[str, str], *, types: Mapping[str, str] | None = None) -> None:
    """Write what ``help()`` and editors show for arguments of a class; how the class is called does not change.

    attrs shows ``NOTHING`` for a default that is made when the class is, and Python shows the address of a function.

    Args:
        cls: a class with an ``__init__`` of its own.
        defaults: argument -> the text to show as its default.
        types: argument -> the text to show as its type.

    Raises:
        KeyError: for an argument that the class does not take.

    Example:
        >>> class Vote:
        ...     def __init__(self, n: int, *, most: int = -1): ...
        >>> write_signature(Vote, {"most": "n"})
        >>> print(inspect.signature(Vote))
        (n: 'int', *, most: 'int' = n)
    """
    make = vars(cls)["__init__"]
    signature = inspect.signature(make)
    parameters = dict(signature.parameters)
    for name, text in defaults.items():
        parameters[name] = parameters[name].replace(default=_Shown(text))
    for name, text in (types or {}).items():
        parameters[name] = parameters[name].replace(annotation=text)
    # On the method, not on the class: subclasses would inherit it, whatever they take themselves.
    vars(make)["__signature__"] = signature.replace(parameters=list(parameters.values()))


class _Shown:
    """A text that is printed as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
