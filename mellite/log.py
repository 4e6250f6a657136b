"""A log of every thunk, run and step that settles, in a SQLite file; turned on by `to`, or ``MELLITE_LOG_DB=FILE``."""

from .archive.log import keeping as _room
from .archive.log.keeping import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
