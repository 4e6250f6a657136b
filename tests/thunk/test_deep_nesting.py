"""Thunks inside of thunks, ten thousand deep: awaiting, failing, cancelling, copying, pickling."""

from __future__ import annotations

import copy
import io
import pickle
import tracemalloc

import anyio
import pytest

import mellite
from mellite.backends.fake import Echo, Failing
from mellite.errors import GenerationCancelled, InvalidRequest, RequestError
from mellite.events import Finish, TextDelta
from tests.thunk.support import Gate, Source, blocked, run_child

DEPTH = 10_000


class Short(mellite.Backend):
    """A backend whose answers do not grow with their prompts."""

    async def stream(self, request):
        yield TextDelta(f"{len(request.text)}")
        yield Finish("stop")


def nested(first, depth=DEPTH, backend=None):
    """A thunk around a thunk around ... the first."""
    backend = Short() if backend is None else backend
    for _ in range(depth):
        first = backend.generate(["in ", first])
    return first


def chain(thunk):
    """A thunk and the first thunk in its prompt, and in its prompt, and so on."""
    while thunk is not None:
        yield thunk
        parts = [part for message in thunk._call.request.messages for part in message.content]
        thunk = next((part for part in parts if isinstance(part, mellite.ModelOutputThunk)), None)


@pytest.mark.anyio
class TestDriving:
    @pytest.mark.slow
    async def test_awaiting(self):
        """The outermost one is awaited, and all of them are generated."""
        source = Source()
        outer = nested(source.generate("hi"))
        assert await outer == "4"
        assert {thunk.state for thunk in chain(outer)} == {"done"}
        assert source.calls == 1

    @pytest.mark.slow
    async def test_failing(self):
        """A failure is the cause of the one around it, and so on; no message repeats what is below it."""
        outer = nested(mellite.generate(Failing(ValueError("the reason " * 500)), "hi"), 1_000)
        tracemalloc.start()
        try:
            await outer.settle()
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown < 1_000 * 30_000
        error, length = outer.error, 0
        while isinstance(error, RequestError):
            assert len(str(error)) < 1_500
            assert "the reason" in str(error)
            error, length = error.__cause__, length + 1
        assert length == 1_000
        assert isinstance(error.__cause__, ValueError)
        assert "1,000 thunks" in str(outer.error)
        assert len(repr(outer)) < 500

    async def test_cancelling(self):
        """Cancelling the outermost one cancels all of them, and closes the source of the innermost."""
        gate = Gate()
        source = Source(gate=gate)
        outer = nested(source.generate("hi"), 300)
        async with anyio.create_task_group() as group:
            group.start_soon(outer.settle)
            await gate.reached(0)
            await outer.cancel("enough")
        await blocked()
        assert {thunk.state for thunk in chain(outer)} == {"cancelled"}
        assert source.open == 0

    async def test_cancelled_inside(self):
        """One that is cancelled inside fails all around it, and is the cause at the end."""
        inner = mellite.generate(Source(), "hi")
        inner.cancel("not needed")
        outer = nested(inner, 5)
        await outer.settle()
        causes = [type(outer.error)]
        error = outer.error
        while error.__cause__ is not None:
            error = error.__cause__
            causes.append(type(error))
        assert causes == [RequestError] * 5 + [GenerationCancelled]
        assert "not needed" in str(outer.error)


@pytest.mark.slow
def test_eager_tasks():
    """Where tasks are eager, from Python 3.12 on, each one is started by the one around it; that is no deeper."""
    run_child(
        """
        import asyncio, mellite
        from tests.thunk.test_deep_nesting import Short, nested

        async def main():
            if hasattr(asyncio, "eager_task_factory"):
                asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            assert await nested(Short().generate("hi"), 2_000) == "4"

        asyncio.run(main())
        """
    )


def settled(thunk):
    anyio.run(thunk.settle)
    return thunk


STATES = {
    "pending": lambda: nested(Echo().generate("hi"), 2_000, Echo()),
    "done": lambda: settled(nested(Echo().generate("hi"), 200, Echo())),  # Echo's answers grow with the depth
    "failed": lambda: settled(nested(Failing(ValueError("odd")).generate("hi"), 2_000, Echo())),
}


def by_c_pickle(thunk):
    return pickle.loads(pickle.dumps(thunk))


def by_python_pickle(thunk):
    stream = io.BytesIO()
    pickle._Pickler(stream).dump(thunk)
    return pickle.loads(stream.getvalue())


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("again", [copy.deepcopy, by_c_pickle, by_python_pickle])
class TestCopying:
    @pytest.mark.slow
    def test_all_of_them(self, again, state):
        """Every level is copied, in its order, in the state that it has."""
        original = STATES[state]()
        levels, originals = list(chain(again(original))), list(chain(original))
        assert len(levels) == len(originals)
        assert not set(levels) & set(originals)
        assert {each.state for each in levels[:-1]} == {each.state for each in originals[:-1]} == {state}
        assert levels[-1]._call.request.text == "hi"


@pytest.mark.slow
@pytest.mark.parametrize("again", [copy.deepcopy, by_c_pickle])
def test_ten_thousand(again):
    """Ten thousand levels are copied."""
    assert sum(1 for _ in chain(again(nested(Echo().generate("hi"), DEPTH, Echo())))) == DEPTH + 1


@pytest.mark.parametrize("again", [copy.deepcopy, by_c_pickle, by_python_pickle])
class TestSharing:
    @pytest.mark.slow
    def test_one_in_two(self, again):
        """A thunk that is in several others, at several depths, is still one after copying all of them together."""
        echo = Echo()
        layer = [echo.generate("a"), echo.generate("b")]
        for _ in range(2_000):
            layer = [echo.generate([*layer, "x"]), echo.generate(["y", *layer])]
        one, other = again(layer)
        for _ in range(2_000):
            inside = [
                [part for part in thunk._call.request.messages[0].content if isinstance(part, mellite.ModelOutputThunk)]
                for thunk in (one, other)
            ]
            assert inside[0] == inside[1]
            one, other = inside[0]
        assert (one._call.request.text, other._call.request.text) == ("a", "b")

    @pytest.mark.slow
    def test_trees(self, again):
        """Wide trees and combs of thunks are copied whole."""
        echo = Echo()

        def tree(depth):
            return echo.generate([tree(depth - 1), tree(depth - 1)]) if depth else echo.generate("leaf")

        comb = tree(6)
        for _ in range(300):
            comb = echo.generate([tree(1), comb, tree(2)])
        twin = again(comb)
        assert sum(1 for _ in walk(twin)) == sum(1 for _ in walk(comb))


def walk(thunk):
    """All thunks in a thunk."""
    waiting = [thunk]
    while waiting:
        each = waiting.pop()
        yield each
        parts = each._call.request.messages[0].content
        waiting += [part for part in parts if isinstance(part, mellite.ModelOutputThunk)]


def test_what_cannot_be_copied():
    """Something else that is too deep to be copied raises a typed error, with what Python said as the cause."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    thunk = mellite.generate(Echo(), mellite.Request.of("hi", metadata={"deep": deep}))
    with pytest.raises(InvalidRequest, match="nested too deep") as raised:
        copy.deepcopy(thunk)
    assert isinstance(raised.value.__cause__, RecursionError)
    del raised, thunk
    while deep:
        deep = deep.pop()
