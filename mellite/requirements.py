"""Requirements on an answer, checked at the end or while it streams."""

from .strategies import requirements as _room
from .strategies.requirements import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
__path__: list[str] = []  # old pickles name modules below it: see values/former_paths.py
