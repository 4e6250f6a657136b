"""Blocks with a limited time: the same on asyncio, with anyio loaded and without it, and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from mellite import loops
from tests.thunk.support import run_child

pytestmark = pytest.mark.anyio

SOON = 0.01


async def _for_ever() -> None:
    await loops.waiter().wait()


async def is_left() -> None:
    """The block is left, and the task goes on."""
    with loops.move_on_after(SOON) as limit:
        await _for_ever()
    assert limit.cancelled_caught
    await loops.checkpoint()


async def fails() -> None:
    """TimeoutError where the time is over, and not before."""
    with pytest.raises(TimeoutError), loops.fail_after(SOON):
        await _for_ever()
    with loops.fail_after(60):
        await loops.checkpoint()


async def passes_errors_on() -> None:
    """An error of the block is not the limit's, even a TimeoutError."""
    mine = TimeoutError("mine")
    with pytest.raises(TimeoutError) as caught, loops.fail_after(60):
        raise mine
    assert caught.value is mine


async def has_no_limit() -> None:
    """None is no limit."""
    with loops.move_on_after(None) as limit:
        await loops.checkpoint()
    assert not limit.cancelled_caught


async def has_no_time_left() -> None:
    """Without any time left, the block runs up to its first wait."""
    begun = False
    with loops.move_on_after(-1) as limit:
        begun = True
        await _for_ever()
    assert begun
    assert limit.cancelled_caught


async def never_waits() -> None:
    """A block that ends without a wait is done, however late."""
    with loops.move_on_after(0) as limit:
        pass
    assert not limit.cancelled_caught
    await loops.checkpoint()
    await loops.checkpoint()


async def is_left_from_within_another() -> None:
    """Of two blocks, the one is left whose time is over."""
    with loops.move_on_after(60) as outer:
        with loops.move_on_after(SOON) as inner:
            await _for_ever()
        await loops.checkpoint()
    assert (outer.cancelled_caught, inner.cancelled_caught) == (False, True)
    with loops.move_on_after(SOON) as outer, loops.move_on_after(60) as inner:
        await _for_ever()
    assert (outer.cancelled_caught, inner.cancelled_caught) == (True, False)
    with loops.move_on_after(0) as outer, loops.move_on_after(0) as inner:
        await _for_ever()
    assert outer.cancelled_caught
    await loops.checkpoint()


async def is_left_again() -> None:
    """A clean-up that waits is cut short, too."""
    with loops.move_on_after(SOON) as limit:
        try:
            await _for_ever()
        finally:
            await _for_ever()
    assert limit.cancelled_caught
    await loops.checkpoint()


async def ends_with_an_error_of_its_own() -> None:
    """What a clean-up raises is not lost."""

    async def cleaned_up() -> None:
        with loops.move_on_after(SOON):
            try:
                await _for_ever()
            finally:
                msg = "mine"
                raise ValueError(msg)

    with pytest.raises(ValueError, match="mine"):
        await cleaned_up()
    await loops.checkpoint()


ANYWHERE = (
    is_left,
    fails,
    passes_errors_on,
    has_no_limit,
    has_no_time_left,
    never_waits,
    is_left_from_within_another,
    is_left_again,
    ends_with_an_error_of_its_own,
)


def _asked_to_cancel() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def cancelled_by_others() -> None:
    """A cancellation from outside goes on, and is still known as one."""

    async def limited() -> None:
        with loops.move_on_after(60):
            await _for_ever()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancelled_by_both() -> None:
    """A cancellation from outside in the very turn in which the time is over goes on as well."""
    counts = []

    async def limited() -> None:
        try:
            with loops.move_on_after(0):
                await _for_ever()
        except asyncio.CancelledError:
            counts.append(_asked_to_cancel())
            raise

    for limit_first in (True, False):
        task = asyncio.create_task(limited())
        if not limit_first:
            asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.sleep(0)
        if limit_first:
            asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
    assert counts == [1, 1]


async def cancelled_before() -> None:
    """In the clean-up of a cancelled task, the limit holds, and the cancellation stays known."""

    async def limited() -> tuple[bool, int]:
        try:
            await _for_ever()
        except asyncio.CancelledError:
            with loops.move_on_after(SOON) as limit:
                await _for_ever()
            return limit.cancelled_caught, _asked_to_cancel()
        return False, 0

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == (True, 1)


async def waited_for_what_has_come() -> None:
    """What comes in the turn in which the time is over is not lost."""
    loop = asyncio.get_running_loop()
    connection: asyncio.Future[str] = loop.create_future()
    loop.call_soon(connection.set_result, "made")
    with loops.move_on_after(0):
        made = await connection
    assert made == "made"
    await loops.checkpoint()


ON_ASYNCIO = (cancelled_by_others, cancelled_by_both, cancelled_before, waited_for_what_has_come)


@pytest.mark.parametrize("scenario", ANYWHERE)
async def test_a_limit_holds_on_both_loops(scenario: Callable[[], Awaitable[None]]) -> None:
    """Where anyio is loaded, as it is in every test here, and on trio."""
    await scenario()


@pytest.mark.parametrize("scenario", ON_ASYNCIO)
def test_a_limit_tells_its_cancellation_from_others(scenario: Callable[[], Awaitable[None]]) -> None:
    """On asyncio, where any task may cancel any other."""

    async def main() -> None:
        await scenario()

    asyncio.run(main())


async def test_a_shield_holds_in_a_cancelled_scope() -> None:
    """A caller's cancelled scope waits until a shielded block is over, and ends one that is not shielded."""
    reached = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        with loops.move_on_after(60, shield=True):
            await loops.checkpoint()
            reached.append("shielded")
        with loops.move_on_after(60) as limit:
            await _for_ever()
        reached.append("too far")
    assert reached == ["shielded"]
    assert scope.cancelled_caught
    assert not limit.cancelled_caught


def test_a_limit_holds_where_nobody_has_loaded_anyio_for_asyncio() -> None:
    """All of these with asyncio alone; and anyio may be loaded inside of such a block."""
    done = run_child("""
        import asyncio, sys
        from mellite import loops
        from tests.loops import test_time_limits as limits

        def on_asyncio_alone():
            return "anyio._backends._asyncio" not in sys.modules

        for scenario in limits.ANYWHERE + limits.ON_ASYNCIO:
            asyncio.run(scenario())
            assert on_asyncio_alone()
            print(scenario.__name__)

        async def loaded_meanwhile():
            import anyio
            with loops.move_on_after(0.01) as outer, anyio.CancelScope() as inner:
                await anyio.sleep_forever()
            assert outer.cancelled_caught and not inner.cancelled_caught
            await anyio.lowlevel.checkpoint()

        asyncio.run(loaded_meanwhile())
        assert not on_asyncio_alone()
    """)
    assert done.stdout.split() == [scenario.__name__ for scenario in ANYWHERE + ON_ASYNCIO]


SERVED = """
    import asyncio, sys, threading
    import mellite
    from mellite.errors import ConnectError, FirstByteTimeout

    async def serve(reader, writer):
        await reader.readuntil(b"\\r\\n\\r\\n")
        body = b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi."}}]}'
        head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    def run(ready, over):
        async def main():
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            ready.append(server.sockets[0].getsockname()[1])
            begun.set()
            async with server:
                await asyncio.to_thread(over.wait)
        asyncio.run(main())

    ports, begun, over = [], threading.Event(), threading.Event()
    server = threading.Thread(target=run, args=(ports, over))
    server.start()
    begun.wait()

    async def main():
        base = f"http://127.0.0.1:{ports[0]}/v1"
        async with mellite.backend("openai-chat:m", base_url=base, api_key="x", stream=False) as backend:
            assert await backend.generate("Hi.") == "Hi."
            refused = mellite.backend("openai-chat:m", base_url="http://127.0.0.1:1/v1", api_key="x")
            try:
                await refused.generate("Hi.")
            except ConnectError:
                print("called, refused")
"""


@pytest.mark.parametrize("run", ["import asyncio; asyncio.run(main())", "import trio; trio.run(main)"])
def test_a_first_call_loads_nothing_of_anyio_for_its_loop(run: str) -> None:
    """A tenth of the first call of a process went there."""
    ended = "over.set(); server.join(); print([name for name in sys.modules if name.startswith('anyio._backends.')])"
    done = run_child(SERVED + f"\n    {run}\n    {ended}\n")
    assert done.stdout.splitlines() == ["called, refused", "[]"]
