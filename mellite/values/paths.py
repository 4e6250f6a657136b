"""Paths as people give them: a str or an object that stands for one, checked before anything is opened."""

from __future__ import annotations

import os

from .errors import InvalidRequest

__all__ = ["path_of"]


def path_of(path: object, *, parameter: str = "path", what: str = "a file") -> str:
    """Return a path as a str.

    Args:
        path: what was given.
        parameter: its name, for the error.
        what: what there is or will be, for the error.

    Raises:
        InvalidRequest: for anything but a str that is not empty, or an object of ``os.PathLike`` that gives one.

    Example:
        >>> path_of(5)
        Traceback (most recent call last):
        mellite.errors.InvalidRequest: 'path' must be the path of a file, a str or a pathlib.Path, not 5
    """
    named = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(named, str) or not named or "\0" in named:
        msg = f"{parameter!r} must be the path of {what}, a str or a pathlib.Path, not {path!r:.100}"
        raise InvalidRequest(msg, parameter=parameter)
    return named
