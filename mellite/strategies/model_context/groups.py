"""Take apart the exception groups that the task groups of the mcp package raise."""

from __future__ import annotations

from collections.abc import Iterator

import anyio

__all__ = ["decisive", "leaves", "without_group"]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group of groups; an error that is not a group as it is."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def without_group(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error that a group is about; the group itself if there are several."""
    found = [each for each in leaves(group) if not isinstance(each, anyio.get_cancelled_exc_class())]
    return found[0] if len(found) == 1 else group


def decisive(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the part of a group that a task must not swallow."""
    cancelled, others = group.split(anyio.get_cancelled_exc_class())
    return others if others is not None and not isinstance(others, Exception) else (cancelled or group)
