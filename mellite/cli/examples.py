"""Command lines to copy, at the end of each command's help."""

from __future__ import annotations

__all__ = ["examples"]


def examples(*lines: str) -> str:
    r"""Return the epilog of a command's help: these command lines, which click leaves as they are.

    Example:
        >>> examples("mellite demo")
        '\x08\nExamples:\n  mellite demo'
    """
    return "\n".join(["\b", "Examples:", *[f"  {line}" for line in lines]])
