"""mochi_llm_generate and mochi_llm_stream: one call, answered from text cassettes or live."""

from .backends import mochi as _room
from .backends.mochi import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
