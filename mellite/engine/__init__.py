"""Many thunks at once, on this machine or on many: `map` settles them all, in bounded memory, and gives each back.

How it is put together, for whoever writes another engine. Its parts know nothing of each other:

- `mellite.engine.driving` takes items in, begins them, at most so many at a time, and gives them back as they settle.
  An item in progress is one of `mellite.engine.errands`: a thunk that is driven, or one that a strategy samples.
- `mellite.engine.engines` says where the calls are made. An `Engine` is what stands between a thunk and its backend: it
  has a thunk driven here, as any other, and answers for its backend. So a thunk that is generated elsewhere is running,
  can be awaited and cancelled, and is settled in place, without another word about it. On "local" nothing stands there.
- `mellite.engine.batch` has calls made by the batch services of providers, hours later: an engine, and functions of its
  own.
- `mellite.engine.collected` writes what has settled to a file; `mellite.engine.parquet_files` is one kind of them.

An engine that makes the calls elsewhere gives an `Interceptor` whose ``wrap`` returns a backend that stands in: its
``stream(request)`` sends the call off with others, waits for the outcome, calls ``foretell(count, outcome)`` of the
generation, so that the thunk settles with that very outcome, and yields the events of it, or raises its error. Where
that stream is closed before, the call is cancelled where it is made. `Engine.close` says that nothing is wanted any
more. The engine's name goes into the table of `mellite.engine.engines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import batch as batch
    from .collected import Collected as Collected
    from .mapping import Map as Map, map as map  # noqa: A004 - that is its public name
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(__name__, {"": "batch", ".collected": "Collected", ".mapping": "Map map"})
