"""T1, lazy: creating, copying, printing or dropping a thunk does no I/O, starts no task, warns about nothing."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import warnings
import weakref
from typing import ClassVar

import pytest

import mellite
from tests.thunk.support import Source, blocked, live_tasks, run_child

READABLE = [
    "state",
    "value",
    "partial",
    "parsed_repr",
    "thinking",
    "tool_calls",
    "message",
    "generation",
    "raw",
    "error",
    "cancelled",
    "generate_log",
]

ACTIONS = {
    "create": lambda thunk: mellite.generate(thunk._call.backend, "another"),
    "create from parts": lambda thunk: mellite.generate(thunk._call.backend, ["say ", thunk]),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thunk: pickle.loads(pickle.dumps(thunk)),
    "resample": lambda thunk: thunk.resample(3, temperature=1),
    "repr": repr,
    "str": str,
    "format": lambda thunk: f"{thunk!s} {thunk!r} %s" % thunk,
    "hash": hash,
    "compare": lambda thunk: thunk == mellite.generate(thunk._call.backend, "another"),
    "is_computed": lambda thunk: thunk.is_computed(),
    "refer weakly": weakref.ref,
    **{f"read {name}": lambda thunk, name=name: getattr(thunk, name) for name in READABLE},
}


class Portable(Source):
    """A source that can be pickled without its records."""

    log: ClassVar[list[str]] = []

    def __reduce__(self):
        return (Portable, ())

    async def stream(self, request):
        self.log.append(request.text)
        async for event in super().stream(request):
            yield event


@pytest.fixture(autouse=True)
def _fresh_log():
    Portable.log.clear()


@pytest.mark.parametrize("action", ACTIONS)
def test_without_a_loop(action):
    """Nothing that one can do to a thunk without driving it calls the backend, and none of it needs a loop."""
    thunk = mellite.generate(Portable(), "hi")
    result = ACTIONS[action](thunk)
    assert Portable.log == []
    assert thunk.state == "pending"
    del thunk, result


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.anyio
async def test_in_a_loop(action):
    """Inside a running loop the same actions start no task and call nothing, then or later."""
    before = live_tasks()
    thunk = mellite.generate(Portable(), "hi")
    result = ACTIONS[action](thunk)
    assert live_tasks() == before
    await blocked()
    assert live_tasks() == before
    del thunk, result
    await blocked()
    assert live_tasks() == before
    assert Portable.log == []


def test_starts_no_thread():
    """Making, copying and dropping thunks starts no thread."""
    before = set(threading.enumerate())
    thunks = [mellite.generate(Source(), "hi") for _ in range(10)]
    thunks += [copy.copy(thunk) for thunk in thunks] + [copy.deepcopy(thunk) for thunk in thunks]
    repr(thunks)
    del thunks
    assert set(threading.enumerate()) == before


@pytest.mark.anyio
async def test_dropping_warns_about_nothing():
    """A thunk that is never driven is dropped in silence, and a copy of it too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thunk = mellite.generate(Source(), ["say ", mellite.generate(Source(), "inner")])
        others = [copy.copy(thunk), copy.deepcopy(thunk), *thunk.resample(2)]
        del thunk, others
        gc.collect()
        await blocked()
    assert caught == []


def test_pending_state():
    """A pending thunk has no outputs and says so."""
    thunk = mellite.generate(Source(), "hi")
    assert thunk.state == "pending"
    assert not thunk.is_computed()
    assert thunk.value is None
    assert thunk.parsed_repr is None
    assert thunk.partial == ""
    assert thunk.thinking is None
    assert thunk.tool_calls == ()
    assert thunk.error is None
    assert thunk.cancelled is False
    assert thunk.generate_log is None
    assert thunk.generation.generation_id is None
    assert thunk.generation.usage is None
    assert thunk.generation.cost_usd is None


def test_no_io_in_a_child():
    """No file, socket or process is touched, as the interpreter's own audit events show."""
    run_child(
        """
        import copy, gc, pickle, sys
        import mellite
        from mellite.backends.fake import Echo

        def everything():
            thunk = mellite.generate(Echo(), "hi", temperature=0.5)
            others = [copy.copy(thunk), copy.deepcopy(thunk), pickle.loads(pickle.dumps(thunk)), *thunk.resample(2)]
            nested = mellite.generate(Echo(), ["say ", thunk])
            repr([thunk, *others, nested]), str(thunk), thunk.partial, thunk.raw, thunk.generation, thunk.message

        everything()  # imports happen once
        seen, watching = [], False

        def watch(event, args):
            if watching and event.startswith(("open", "os.", "socket.", "subprocess.", "_thread.", "import")):
                seen.append((event, args))

        sys.addaudithook(watch)
        watching = True
        everything()
        gc.collect()
        watching = False
        assert not seen, seen
        """
    )


def test_making_a_thunk_imports_no_event_loop() -> None:
    """Asyncio alone takes a third of the time that importing mellite does."""
    run_child("""
        import sys
        import mellite

        class Never:
            def stream(self, request):
                raise AssertionError

        mellite.generate(Never(), "hi").resample(2)
        assert not {"asyncio", "trio", "anyio"} & sys.modules.keys(), "a loop was imported"
    """)
