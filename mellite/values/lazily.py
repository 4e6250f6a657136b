"""Public names that load the module they live in when they are first used, from one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["attach"]


def attach(
    package: str, table: Mapping[str, str], *, own: str = "", unlisted: Mapping[str, str] | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Make the ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load when they are first used.

    Args:
        package: its ``__name__``.
        table: name of a module, relative to the package -> the names that it gives, separated by white space. The
            names of modules that are public themselves stand under "".
        own: names that the package defines itself.
        unlisted: the same as `table`, for names that can be imported and are offered nowhere.

    Example:
        >>> _, _, names = attach("mellite", {"": "errors", ".values.messages": "Message Text"})
        >>> names
        ['Message', 'Text', 'errors']
    """
    names = sorted(" ".join([own, *table.values()]).split())
    home = {name: module for module, row in [*table.items(), *(unlisted or {}).items()] for name in row.split()}

    def get(name: str) -> object:
        """Load a public name, and keep it in the package: this is called once for each."""
        module = home.get(name)
        if module is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        loaded = import_module(module or f".{name}", package)
        value = getattr(loaded, name) if module else loaded
        setattr(import_module(package), name, value)
        return value

    return get, lambda: sorted(names), names
