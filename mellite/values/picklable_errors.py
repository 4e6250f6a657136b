"""Errors that are pickled by their own means, whatever else is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

__all__ = ["by_their_own_means"]


@final
class _Error:
    """Pickles an error without what it was caused by, and is read as that error.

    tblib, which distributed installs as it is imported, has all errors that there are by then take along their causes,
    contexts and tracebacks, and whatever these hold: https://github.com/ionelmc/python-tblib#pickling-exceptions
    """

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._error.__reduce__()


def by_their_own_means(errors: Iterable[Exception]) -> tuple[Any, ...]:
    """Return what stands for errors in a pickle, and is read as these.

    Example:
        >>> import pickle
        >>> pickle.loads(pickle.dumps(by_their_own_means([ValueError("odd")])))
        (ValueError('odd'),)
    """
    return tuple(map(_Error, errors))
