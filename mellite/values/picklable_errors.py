"""Errors that are pickled by their own means, whatever else is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final
from weakref import WeakValueDictionary

__all__ = ["by_their_own_means"]


@final
class _Error:
    """Pickles an error without what it was caused by, and is read as that error.

    tblib, which distributed installs as it is imported, has all errors that there are by then take along their causes,
    contexts and tracebacks, and whatever these hold: https://github.com/ionelmc/python-tblib#pickling-exceptions
    """

    __slots__ = ("__weakref__", "error")

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self.error.__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Exception:
        return self.error  # errors are shared by copies


#: By the id of its error, what stands for it in pickles that are being written: an error that is in one twice is read
#: as one. The pickler keeps each, and with it the error, until it is done.
_standing: Final[WeakValueDictionary[int, _Error]] = WeakValueDictionary()


def _standing_for(error: Exception) -> _Error:
    found = _standing.get(id(error))
    if found is None or found.error is not error:
        _standing[id(error)] = found = _Error(error)
    return found


def by_their_own_means(errors: Iterable[Exception]) -> tuple[Any, ...]:
    """Return what stands for errors in a pickle, and is read as these.

    Example:
        >>> import pickle
        >>> pickle.loads(pickle.dumps(by_their_own_means([ValueError("odd")])))
        (ValueError('odd'),)
    """
    return tuple(map(_standing_for, errors))
