"""Install the hooks of other packages that the environment variable MELLITE_HOOKS names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ...values.spelling import did_you_mean
from ...values.telling import log
from ...values.told_errors import error_line
from ...values.type_names import a_type_name
from .hook import Hook
from .hook_calls import AnyHook
from .hooks import install

__all__ = ["install_named"]

_GROUP: Final = "mellite.hooks"


def install_named(names: str) -> None:
    """Install the hooks of entry points; those that are not there, or broken, are warned of and left out.

    Args:
        names: the names of entry points of the group ``mellite.hooks``, with commas between them.
    """
    there = entry_points(group=_GROUP)
    known = {point.name: point for point in there}
    for name in dict.fromkeys(word.strip() for word in names.split(",")):
        if not name:
            continue
        if name not in known:
            said = did_you_mean(name, known, otherwise="there are") if known else "no package has any"
            _warn(f"names {name!r}, but there is no such entry point of the group {_GROUP}; {said}")
            continue
        try:
            install(*_loaded(known[name]))
        except Exception as error:
            _warn(f"names {name!r} ({known[name].value}), which cannot be used: {error_line(error)}")


def _loaded(point: EntryPoint) -> list[AnyHook]:
    """Return the hooks of an entry point.

    Raises:
        TypeError: if it is neither a hook nor a list of them.
    """
    found = point.load()
    hooks = [found] if isinstance(found, Hook) or not isinstance(found, Iterable) else list(found)
    for each in hooks:
        if not isinstance(each, Hook):
            msg = f"it is {a_type_name(type(each))}, and not a hook of mellite.hooks, or a list of them"
            raise TypeError(msg)
    return hooks


def _warn(said: str) -> None:
    log.warning("hooks.setting", "MELLITE_HOOKS %s", said)
