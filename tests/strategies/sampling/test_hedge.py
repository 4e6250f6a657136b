"""Hedging: a copy starts when the first is late, the first good answer wins, the loser is cancelled."""

from __future__ import annotations

import anyio
import pytest
import trio
import trio.testing

from mellite import Hedge, MajorityVote, RejectionSampling
from mellite.errors import AuthenticationError, ConnectError, SamplingError
from mellite.events import Finish, TextDelta
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked


@pytest.mark.anyio
async def test_no_copy_is_sent_when_the_first_is_in_time():
    """An answer that comes in time costs one call."""
    backend = Calls()
    async with sampling(Hedge(60), backend.generate("hi")) as run:
        (await backend.called(1))[0].answer("in time")
    assert (run.result.value, len(backend.calls), run.result.stop_reason) == ("in time", 1, "accepted")


@pytest.mark.anyio
async def test_the_loser_is_cancelled():
    """When the copy answers first, the late one is cancelled; and the other way round."""
    for winner, ends in ((1, ["cancelled", "answered"]), (0, ["answered", "cancelled"])):
        backend = Calls()
        async with sampling(Hedge(0.01), backend.generate("hi")) as run:
            (await backend.called(2))[winner].answer("won")
        assert (run.result.value, run.result.attempts, backend.ends) == ("won", 2, ends)
        assert run.result.winner._call.lineage == (winner,)


@pytest.mark.anyio
async def test_two_copies_are_all_unless_told_otherwise():
    """There are two copies at most by default, however late they are; `max_samples` says otherwise."""
    backend = Calls()
    async with sampling(Hedge(0.001), backend.generate("hi")) as run:
        await backend.called(2)
        await anyio.sleep(0.05)
        assert len(backend.calls) == 2
        backend.calls[0].answer("x")
    backend = Calls()
    async with sampling(Hedge(0.001, max_samples=4), backend.generate("hi")) as run:
        (await backend.called(4))[2].answer("x")
    assert run.result.winner._call.lineage == (2,)


@pytest.mark.anyio
async def test_a_copy_that_fails_is_replaced_at_once():
    """A copy that fails, or whose answer fails its checks, is followed by the next one without waiting."""
    backend = Calls()
    async with sampling(Hedge(600, max_samples=3), backend.generate("hi"), [short()]) as run:
        (await backend.called(1))[0].fail(ConnectError("down"))
        (await backend.called(2))[1].answer("too long")
        (await backend.called(3))[2].answer("ok")
    assert (run.result.value, [sample.status for sample in run.result.samples]) == (
        "ok",
        ["failed", "rejected", "passed"],
    )


@pytest.mark.anyio
async def test_a_failure_beside_a_copy_that_still_runs():
    """When one of two fails and no more may be sent, the other is waited for."""
    backend = Calls()
    async with sampling(Hedge(0.001), backend.generate("hi")) as run:
        calls = await backend.called(2)
        calls[1].fail(ConnectError("down"))
        await blocked()
        assert not run.over.is_set()
        calls[0].answer("late")
    assert run.result.value == "late"


@pytest.mark.anyio
async def test_the_copy_may_ask_another_backend():
    """With `backends`, later copies ask those in turn; a wrong key at the first does not end it."""
    first, second, third = Calls(), Calls(), Calls()
    async with sampling(Hedge(0.001, backends=[second, third], max_samples=4), first.generate("hi")) as run:
        (await third.called(2))[1].answer("fourth")
    assert [len(backend.calls) for backend in (first, second, third)] == [1, 1, 2]
    assert run.result.winner._call.lineage == (3,)
    async with sampling(Hedge(600, backends=second), first.generate("hi")) as run:
        (await first.called(2))[1].fail(AuthenticationError("wrong key"))
        (await second.called(2))[1].answer("ok")
    assert run.result.value == "ok"


@pytest.mark.anyio
async def test_what_asking_again_does_not_mend_ends_it():
    """On one backend, an error like a wrong key is not followed by another copy."""
    backend = Calls()
    async with sampling(Hedge(600), backend.generate("hi")) as run:
        (await backend.called(1))[0].fail(AuthenticationError("wrong key"))
    assert isinstance(run.error, SamplingError)
    assert len(backend.calls) == 1


@pytest.mark.anyio
async def test_no_more_than_concurrency_run_at_once():
    """A copy that would be one too many waits until another has ended, however late that is."""
    backend = Calls()
    async with sampling(Hedge(0.001, max_samples=3, concurrency=2), backend.generate("hi")) as run:
        calls = await backend.called(2)
        await anyio.sleep(0.02)
        assert len(backend.calls) == 2
        calls[0].fail(ConnectError("down"))
        (await backend.called(3))[2].answer("x")
    assert run.result.winner._call.lineage == (2,)


@pytest.mark.parametrize("inner", [None, RejectionSampling()])
def test_an_answer_in_the_moment_in_which_the_copy_starts(inner):
    """When the first answers at the very moment at which it is late, it wins, and a copy that was sent is cancelled."""
    elapsed = []

    class Sleepy(Calls):
        async def stream(self, request):
            await anyio.sleep(5 if request.metadata["lineage"][0] == 0 else 1000)
            yield TextDelta("ok")
            yield Finish("stop")

    async def main():
        for _ in range(50):
            began = trio.current_time()
            await Hedge(5, inner=inner).sample(Sleepy().generate("hi"), [short()])
            elapsed.append(trio.current_time() - began)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.0))
    assert elapsed == pytest.approx([5] * 50)


def test_the_copy_starts_exactly_when_the_first_is_late():
    """On a clock of its own: the copies start `after` seconds apart, and each attempt of another strategy is hedged."""
    started = []

    async def main():
        backend = Calls()
        async with sampling(Hedge(5, max_samples=3), backend.generate("hi")):
            for count in (1, 2, 3):
                await backend.called(count)
                started.append(trio.current_time())
            backend.calls[0].answer("x")
        backend = Calls()
        strategy = MajorityVote(3, concurrency=1, inner=Hedge(3, inner=RejectionSampling(max_samples=1)))
        began = trio.current_time()
        async with sampling(strategy, backend.generate("hi"), [short()]) as run:
            (await backend.called(2))[1].answer("a")
            (await backend.called(4))[3].answer("a")
        assert trio.current_time() - began == pytest.approx(6)
        assert [sample.lineage for sample in run.result.samples] == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert [round(each - started[0], 6) for each in started] == [0, 5, 10]
