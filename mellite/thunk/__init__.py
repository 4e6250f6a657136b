"""One generation, for however many wait for it: the thunk, its backend, its pump.

The rules of this room, named here once:

**Threads.** `Pump.run` and what it calls run in the pump's own loop, in a task. Where a backend pushes, there is none,
or one that ends once it has sent: the loop calls a `Flight` back as bytes arrive, in the context of whatever made the
connection, and that calls `push`, `end`, `end_with_text`, `go_on` and `break_off`. No code of a caller runs there: what
has an output type is left to a task, in the context of the call. `Pump.start` is called once, in the pump's loop. All
other methods may be called from any task, thread or loop; a thread that wants more of what is pushed has the loop of
the generation see to it.

**Wake-ups need no lock.** A consumer adds its waker and then looks at the events again; the pump appends an event and
then looks at the wakers. Whichever comes second sees the other. Single operations on a list, dict or deque are atomic:
https://docs.python.org/3/faq/library.html#what-kinds-of-global-value-mutation-are-thread-safe

**Locks.** There are two: `mellite.thunk.thunk` holds one while a thunk gets its pump, `mellite.thunk.pump` one for the
assignment of an outcome. Neither is held while the other is taken, and no code of a backend or a caller runs under
either. A third one, of `mellite.share`, is taken before the second. Both are reentrant, because a signal handler that
cancels may run while the same thread holds them; all are open again in a forked child (`mellite.loops.forking`).

**Late reading.** An answer of plain text settles with its text alone; the rest is made of its bytes when somebody looks
(`Outcome.of_text`), in whichever thread, without a lock: all who look at once take what the first one made.

**Finalizers.** ``__del__`` runs in whichever thread drops the last reference, in the middle of any code, and so must
take no lock: https://docs.python.org/3/reference/datamodel.html#object.__del__. Those of this room set a flag or two
and leave the rest to the loop of the generation (`Loop.call_soon`).

**Forks.** A forked child has a copy of each generation, but not the loop that runs it. In the child it settles as
cancelled when it is first looked at, and wakes nobody: all who wait for it do so in the parent. Nor does the child go
on with what was pushed: its connection is the parent's. Thread numbers are the same in both, so that `Loop.is_here` may
be true there; `Loop.is_closed` is, too.

**Cycles.** An error that is kept knows, by its traceback, the frames that it went through, and they know their
variables: https://docs.python.org/3/library/inspect.html#the-interpreter-stack. A frame that knows the error, or an
object that keeps it, closes a cycle, and the object is dropped only when the garbage collector comes by, too late for
what its ``__del__`` has to notice. So functions here that let an error pass ``del`` their variables first, `self`
included. Weak references stand where one object only has to tell another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .thunk import ModelOutputThunk as ModelOutputThunk, _restored as _restored
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(__name__, {".thunk": "ModelOutputThunk"}, unlisted={".thunk": "_restored"})
