"""Messages to and from a model, and their parts."""

from .values import messages as _room
from .values.messages import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
