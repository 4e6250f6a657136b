"""Streams that are validated while they arrive."""

from .strategies import streaming as _room
from .strategies.streaming import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
__path__: list[str] = []  # old pickles name modules below it: see values/former_paths.py
