"""A request to a model, its options and its tools."""

from .values import request as _room
from .values.request import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
