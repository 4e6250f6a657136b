"""Sampling strategies: ways to get several answers to one request and choose one."""

from .strategies import sampling as _room
from .strategies.sampling import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
__path__: list[str] = []  # old pickles name modules below it: see values/former_paths.py
