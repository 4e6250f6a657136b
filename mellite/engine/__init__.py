"""Many thunks at once, on this machine or on many: `map` settles them all, in bounded memory, and yields each.

How it is put together, for authors of other engines. Its parts know nothing of each other:

- `mellite.engine.driving` takes items in, begins a limited number at a time, and yields them as they settle.
  An item in progress is one of `mellite.engine.errands`: a thunk that is driven, or one that a strategy samples.
- `mellite.engine.engines` says where the calls are made, and who is called what. On "local" a thunk asks its own
  backend; else an `Interceptor` has another one asked instead, so that a thunk that is generated elsewhere is running,
  can be awaited and cancelled, and is settled in place.
- `mellite.engine.batch` makes calls through providers' batch services, hours later: an engine, and its own functions.
- `mellite.engine.collected` writes settled items to a file: lines by `mellite.engine.whole_rows`, which never leaves
  half of one, and Parquet by `mellite.engine.parquet_files`.

An engine with workers is `mellite.engine.elsewhere` around one of `mellite.engine.crews`, which says what workers there
are and sets up a desk on each (`mellite.engine.on_dask`, `mellite.engine.on_ray`). `mellite.engine.dispatching` deals
calls out and hands back what comes, `mellite.engine.working` is the desk, and `mellite.engine.travelling` says what may
be sent.
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
