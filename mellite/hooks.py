"""Hooks: functions called before, after and around generations, tools, runs, samplings, validations and steps."""

from .backends.wrappers import hooks as _room
from .backends.wrappers.hooks import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
