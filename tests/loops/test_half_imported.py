"""Other threads import what mellite looks for: at no moment of such an import does a thunk notice."""

from __future__ import annotations

import pytest

from tests.thunk.support import run_child

STEPWISE = """
    import asyncio, queue, sys, threading
    import mellite
    from mellite.backends.fake import Echo
    from mellite.errors import SyncInsideLoop

    steps, go_on = queue.Queue(), threading.Semaphore(0)

    def stop(frame, event, arg):
        if event == "call" and frame.f_code.co_name == "<module>" and frame.f_globals["__name__"].startswith("trio"):
            steps.put(True)
            go_on.acquire()

    def import_it():
        sys.setprofile(stop)
        import trio
        sys.setprofile(None)
        steps.put(None)

    importer = threading.Thread(target=import_it, daemon=True)
    backend = Echo()
    live = mellite.backend("openai:gpt-4o-mini", base_url="http://127.0.0.1:1", api_key="sk")

    async def use_thunks():
        assert await backend.generate("await") == "await"
        assert [delta async for delta in backend.generate("iterate")] == ["iterate"]
        assert len([event async for event in backend.generate("events").events()]) > 1
        assert await backend.generate(["a ", backend.generate("part")]) == "a part"
        thunk = backend.generate("inside")
        try:
            thunk.result()
        except SyncInsideLoop:
            await thunk.cancel_generation()
        try:
            await live.generate("hi")
        except mellite.errors.ConnectError:
            pass
        async for _ in backend.generate("drop it"):
            break

    assert "trio" not in sys.modules
    importer.start()
    stopped = 0
    while steps.get():
        asyncio.run(use_thunks())
        assert backend.generate("sync").result() == "sync"
        stopped += 1
        go_on.release()
    importer.join()
    print(stopped, hasattr(sys.modules["trio"], "lowlevel"))
"""


@pytest.mark.slow
def test_while_trio_is_being_imported():
    """Whatever is asked of thunks on asyncio works at every step of another thread's import of trio."""
    stopped, whole = run_child(STEPWISE).stdout.split()
    assert int(stopped) > 20
    assert whole == "True"
