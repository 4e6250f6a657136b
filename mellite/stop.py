"""Conditions that stop a run before the model has answered, for ``stop_when``; joined by ``|`` and ``&``."""

from .strategies.agent import stopping as _room
from .strategies.agent.stopping import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
