"""Rejection sampling: ask again until an answer passes its checks."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from .strategy import Strategy

__all__ = ["RejectionSampling"]


@frozen(kw_only=True)
class RejectionSampling(Strategy):
    """Send the same call again until an answer passes.

    The arguments are those of `Strategy`. With ``concurrency`` above 1, that many copies race, and the first answer
    that passes wins.

    Example:
        >>> import asyncio
        >>> from mellite import Requirement
        >>> from mellite.backends import Scripted
        >>> short = Requirement("at most two words", lambda thunk: len(thunk.value.split()) <= 2)
        >>> thunk = Scripted(["far too long", "just right"]).generate("Say something short.")
        >>> result = asyncio.run(RejectionSampling().sample(thunk, [short]))
        >>> result.value, result.attempts, result.stop_reason
        ('just right', 2, 'accepted')
    """

    _needs_requirements: ClassVar[bool] = True
