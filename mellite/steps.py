"""The step ``ai.llm_call`` of a flow: one call of a model, with templates, timeouts, retries, cost and a recorder."""

from .strategies import steps as _room
from .strategies.steps import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
