"""Public names that load the module they live in when they are first used, from one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["attach"]


def attach(
    package: str, table: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Make the ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load when they are first used.

    Args:
        package: its ``__name__``.
        table: name of a module, relative to the package -> the names that it gives, separated by white space. The
            names of modules that are public themselves stand under "".

    Example:
        >>> _, _, names = attach("mellite", {"": "errors", ".values.messages": "Message Text"})
        >>> names
        ['Message', 'Text', 'errors']
    """
    home = {name: module for module, names in table.items() for name in names.split()}

    def get(name: str) -> object:
        """Load a public name, and keep it in the package: this is called once for each."""
        module = home.get(name)
        if module is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        loaded = import_module(module or f".{name}", package)
        value = getattr(loaded, name) if module else loaded
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(home)
    return get, lambda: sorted(names), names
