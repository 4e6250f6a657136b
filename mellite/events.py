"""The events of a generation, as they arrive."""

from .values import events as _room
from .values.events import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
