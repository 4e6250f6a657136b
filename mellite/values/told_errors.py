"""What foreign errors say, in messages of ours: also of an error whose own text cannot be made."""

from __future__ import annotations

__all__ = ["error_line", "error_text"]


def error_text(error: BaseException) -> str:
    """Return what an error says. If its ``__str__`` raises, say that instead: the error itself must not get lost.

    Example:
        >>> class Odd(Exception):
        ...     def __str__(self):
        ...         return "no %s" % self.args
        >>> error_text(Odd("luck")), error_text(Odd())
        ('no luck', '(it has no text: its __str__ raised TypeError)')
    """
    try:
        return str(error)
    except Exception as trouble:
        return f"(it has no text: its __str__ raised {type(trouble).__name__})"


def error_line(error: BaseException) -> str:
    """Return the class of an error, and what it says.

    Example:
        >>> error_line(ValueError("too long"))
        'ValueError: too long'
    """
    return f"{type(error).__name__}: {error_text(error)}"
