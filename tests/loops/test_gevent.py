"""Threads that are greenlets: with everything patched by gevent, sync code works, call after call."""

from __future__ import annotations

import textwrap

import pytest

from tests.thunk.support import run_child

PATCHED = """
    from gevent import monkey

    monkey.patch_all()

    import threading
    import anyio, gevent, mellite
    from mellite.errors import SyncInsideLoop
    from mellite.events import Finish, TextDelta
"""

PROGRAMS = {
    "result": """
        for n in range(3):
            job = gevent.spawn(lambda: mellite.backends.Echo().generate(f"request {n}").result(timeout=20))
            assert job.get(timeout=20) == f"request {n}"
        assert mellite.backends.Echo().generate("here").result(timeout=20) == "here"
    """,
    "iter": """
        for _ in range(2):
            assert "".join(mellite.backends.Echo().generate("one two three").iter()) == "one two three"
    """,
    "at once": """
        backend = mellite.backends.Scripted([["one ", "two"]] * 50, delay=0.01)
        jobs = [gevent.spawn(backend.generate("hi").result) for _ in range(50)]
        assert {job.get(timeout=20) for job in jobs} == {"one two"}
    """,
    "timeout": """
        class Endless(mellite.Backend):
            async def stream(self, request):
                try:
                    yield TextDelta("one ")
                    await anyio.sleep_forever()
                finally:
                    ended.append(True)

        ended = []
        for _ in range(2):
            thunk = Endless().generate("hi")
            try:
                thunk.result(timeout=0.05)
            except TimeoutError:
                pass
            with thunk:
                pass
            assert (thunk.state, thunk.partial) == ("cancelled", "one ")
        assert ended == [True, True]
    """,
    "inside": """
        class Nested(mellite.Backend):
            async def stream(self, request):
                try:
                    mellite.backends.Echo().generate("inner").result(timeout=1)
                except SyncInsideLoop:
                    yield TextDelta("it said so")
                yield Finish("stop")

        assert [Nested().generate("hi").result(timeout=20) for _ in range(2)] == ["it said so"] * 2
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_in_a_patched_process(program):
    """Sync calls wait as a greenlet does, in a process where gevent has patched everything."""
    run_child(textwrap.dedent(PATCHED) + textwrap.dedent(PROGRAMS[program]), "-W", "ignore::DeprecationWarning")
