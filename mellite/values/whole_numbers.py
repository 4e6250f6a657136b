"""Check arguments that are whole numbers."""

from __future__ import annotations

from .errors import InvalidRequest

__all__ = ["check_count"]


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse a value that is not a whole number of at least `least`.

    Raises:
        InvalidRequest: with the name of the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        msg = f"{name!r} must be a whole number of at least {least}, not {value!r}"
        raise InvalidRequest(msg, parameter=name)
