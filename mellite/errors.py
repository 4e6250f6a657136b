"""Every error that mellite raises."""

from .values import errors as _room
from .values.errors import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
