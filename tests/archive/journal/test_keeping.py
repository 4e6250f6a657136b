"""A journal: what was asked is not asked again, however a program asks, and comes in the order in which it came."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellite
from mellite.backends import Scripted
from mellite.errors import (
    AuthenticationError,
    GenerationCancelled,
    InvalidRequest,
    JournalDiverged,
    JournalInUse,
    ProviderInternal,
    RateLimited,
)
from mellite.events import Event, Finish, TextDelta
from tests.archive.journal.support import AtRandom, Breaking, Counting, Failing

pytestmark = pytest.mark.anyio


async def test_what_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    """Thunks, copies, samples and gathered calls, with their usage, raw chunks and metadata."""
    seen = []
    for _ in range(2):
        backend = Counting()
        async with mellite.journal(tmp_path / "run") as journal:
            first = backend.generate("one")
            copies = first.resample(3)
            results = await mellite.gather(first, *copies, backend.generate("two"))
            best = await mellite.BestOfN(2, score=lambda thunk: len(thunk.text)).sample(backend.generate("three"))
            texts = [thunk.value for thunk in results]
            seen.append((texts, best.value, first.generation.generation_id, first.usage))
        assert (sum(backend.asked.values()), journal.live, journal.replayed) in ((7, 7, 0), (0, 0, 7))
        assert results[0].generation.replayed is (journal.replayed == 7)
    assert seen[0] == seen[1]
    assert [call.number for call in journal.calls] == [1, 2, 3, 4, 5, 6, 7]


async def test_equal_calls_take_their_answers_in_order(tmp_path: Path) -> None:
    """Also those that were driven and cancelled before they were asked, whose place is kept."""
    seen = []
    for count in (3, 4):
        backend = Counting()
        async with mellite.journal(tmp_path) as journal:
            thunks = [backend.generate("same") for _ in range(count)]
            with anyio.CancelScope() as scope:
                scope.cancel()
                await thunks[1].settle()
            await mellite.gather(*(thunk for thunk in thunks if thunk is not thunks[1]))
            seen.append([thunk.value for thunk in thunks])
    assert seen[1][:3] == seen[0]
    assert seen[0][0] != seen[0][2]
    assert journal.live == 1


async def test_metadata_id_tells_calls_apart(tmp_path: Path) -> None:
    """Equal calls with ids take their own answers, in whatever order they are driven."""
    for order in ("ab", "ba"):
        backend = Counting()
        with mellite.journal(tmp_path):
            thunks = {name: backend.generate("x", metadata={"id": name}) for name in "ab"}
            texts = {name: await thunks[name] for name in order}
        assert texts == {"a": "X 1", "b": "X 2"}


async def test_replayed_calls_settle_in_the_recorded_order(tmp_path: Path) -> None:
    """The slow one comes last again, though nothing makes it slow; one that nobody asks for holds nobody up."""
    orders = []
    for names in ("abc", "abc", "ac"):
        backend = Counting(a="b", b="c")
        with mellite.journal(tmp_path):
            order: list[str] = []

            async def ask(name: str, backend: Counting = backend, order: list[str] = order) -> None:
                await backend.generate(name)
                order.append(name)
                backend.answered(name).set()

            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(ask, name)
        orders.append("".join(order))
    assert orders == ["cba", "cba", "ca"]


async def test_a_failure_that_may_pass_is_asked_again(tmp_path: Path) -> None:
    """Nothing was driven after the failure, so that the program cannot have gone on from it."""
    for attempt in range(2):
        backend = Failing(RateLimited("slow down"))
        with mellite.journal(tmp_path):
            if attempt:
                backend.asked["x"] = 1
                assert await backend.generate("x") == "X 2"
            else:
                with pytest.raises(RateLimited):
                    await backend.generate("x")


async def test_a_failure_replays_where_the_program_had_gone_on(tmp_path: Path) -> None:
    """The error has the facts of the first one, and the second attempt its answer."""
    for attempt in range(2):
        backend = Failing(RateLimited("slow down", retry_after=3.5))
        with mellite.journal(tmp_path) as journal:
            with pytest.raises(RateLimited, match="slow down") as caught:
                await backend.generate("x")
            assert caught.value.retry_after == 3.5
            assert await backend.generate("x") == "X 2"
            assert journal.replayed == 2 * attempt


@pytest.mark.parametrize(
    ("error", "errors"), [(AuthenticationError("no", kind="expired"), "again"), (ProviderInternal("oh"), "replay")]
)
async def test_other_failures_replay(tmp_path: Path, error: Exception, errors: str) -> None:
    """Those that asking again cannot mend, and all with errors="replay"; with type, text and facts."""
    for attempt in range(2):
        backend = Failing(error)
        with mellite.journal(tmp_path, errors=errors) as journal:  # type: ignore[arg-type]
            thunk = await backend.generate("x").settle()
            assert (type(thunk.error), str(thunk.error)) == (type(error), str(error))
            assert getattr(thunk.error, "kind", None) == getattr(error, "kind", None)
            assert journal.replayed == attempt


async def test_a_cancelled_call_is_asked_again_or_waits_to_be_cancelled(tmp_path: Path) -> None:
    """It is asked anew, unless the program had gone on; then what had come by then comes, and no more."""
    for attempt in range(3):
        backend = Counting(slow=30)
        with mellite.journal(tmp_path):
            thunk = backend.generate("slow")
            async with anyio.create_task_group() as group:
                group.start_soon(thunk.avalue)
                with anyio.fail_after(20):
                    while not thunk.partial:
                        await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            await thunk.settle()
            assert (thunk.cancelled, thunk.partial) == (True, "SLOW")
            if attempt:
                await backend.generate("next")
        assert backend.asked["slow"] == (1 if attempt < 2 else 0)
    with mellite.journal(tmp_path), anyio.fail_after(5), pytest.raises(GenerationCancelled):
        await backend.generate("slow")  # nobody cancels it this time


async def test_the_first_divergence_is_named(tmp_path: Path) -> None:
    """With the number of the call that was expected, and a diff; or it fails the call before anything is asked."""
    for name in ("first", "changed"):
        backend = Counting()
        with mellite.journal(tmp_path) as journal:
            await backend.generate("before")
            await backend.generate(f"the {name} prompt")
    assert journal.divergence is not None
    assert journal.divergence.call == 2
    assert journal.divergence.diff is not None
    assert "-" in journal.divergence.diff
    assert '+     "text": "the changed prompt"' in journal.divergence.diff
    with mellite.journal(tmp_path, on_divergence="raise"):
        await backend.generate("before")
        with pytest.raises(JournalDiverged, match="call 2 was expected"):
            await backend.generate("something else")


async def test_calls_that_were_never_made_are_no_divergence(tmp_path: Path) -> None:
    """Tasks at the same time, of which each goes on from where it was; and one that had been asked and not answered."""
    for rounds in (2, 3):
        backend = Counting(a=0.01)

        async def work(name: str, backend: Counting = backend, rounds: int = rounds) -> None:
            for number in range(rounds):
                await backend.generate(f"{name}{number}")

        with mellite.journal(tmp_path, on_divergence="raise") as journal:
            async with anyio.create_task_group() as group:
                for name in "abc":
                    group.start_soon(work, name)
    assert journal.divergence is None


async def test_values_repeat(tmp_path: Path) -> None:
    """The clock, random numbers and UUIDs are those of the first time."""
    seen = []
    for _ in range(2):
        with mellite.journal(tmp_path) as journal:
            seen.append((journal.now(), journal.now(), journal.random(), journal.uuid(), journal.random("other")))
    assert seen[0] == seen[1]
    assert seen[0][0] < seen[0][1] <= datetime.now(UTC)
    with pytest.raises(InvalidRequest, match="not open"):
        journal.now()


async def test_recorded_functions_are_run_once(tmp_path: Path) -> None:
    """Plain data comes back as it was; what would come back as something else is refused."""
    runs: list[object] = []

    @mellite.recorded
    def look(*names: str) -> object:
        runs.append(names)
        return {
            "names": names,
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "price": Decimal("1.10"),
            "raw": b"\0",
            "n": {1},
        }

    @mellite.recorded(name="count")
    async def count() -> int:
        runs.append("count")
        return len(runs)

    def no_data() -> object:
        return object()

    seen = []
    for _ in range(2):
        with mellite.journal(tmp_path):
            seen.append([look("a"), look("a"), look("b"), await count(), await count()])
    assert seen[0] == seen[1]
    assert len(runs) == 5
    assert look("a") == seen[0][0]  # no journal: the plain function
    with mellite.journal(tmp_path / "other"), pytest.raises(InvalidRequest, match="'f' returned has an object"):
        mellite.recorded(no_data, name="f")()


async def test_one_block_at_a_time(tmp_path: Path) -> None:
    """A journal that is open cannot be opened again; a block can be entered again when it is over."""
    with mellite.journal(tmp_path) as journal:
        with pytest.raises(JournalInUse, match="open already"), mellite.journal(tmp_path):
            pass
        with pytest.raises(InvalidRequest, match="open already"), journal:
            pass
    with journal:
        assert await Counting().generate("x") == "X 1"
    assert await Counting().generate("x") == "X 1"


async def test_sync_code_and_threads(tmp_path: Path) -> None:
    """`result()` generates in the loop of mellite's own thread, and goes through the journal all the same."""

    def program() -> tuple[str | None, int, int]:
        backend = Counting()
        with mellite.journal(tmp_path) as journal:
            return backend.generate("x").result(), journal.live, journal.replayed

    assert await anyio.to_thread.run_sync(program) == ("X 1", 1, 0)
    assert await anyio.to_thread.run_sync(program) == ("X 1", 0, 1)


async def test_other_durabilities(tmp_path: Path) -> None:
    """Nothing is lost by the end of the block, whenever it is written."""
    for durability in ("end", "disk"):
        for attempt in range(2):
            backend = Counting()
            with mellite.journal(tmp_path / durability, durability=durability) as journal:  # type: ignore[arg-type]
                await mellite.gather(*(backend.generate(name) for name in "abc"))
                assert journal.replayed == 3 * attempt


async def test_share_inside_and_outside(tmp_path: Path) -> None:
    """What is shared is asked once, and replays, whichever of the two is around the other."""
    for place in ("inside", "outside"):
        seen = []
        for attempt in range(2):
            backend = Counting()
            journal = mellite.journal(tmp_path / place)
            around = (journal, mellite.share()) if place == "inside" else (mellite.share(), journal)
            with around[0], around[1]:
                thunks = [backend.generate("x") for _ in range(3)]
                await mellite.gather(*thunks)
                seen.append([thunk.value for thunk in thunks])
            assert backend.asked["x"] == 1 - attempt
        assert seen[0] == seen[1] == ["X 1"] * 3


async def test_chance_decides_the_same_again(tmp_path: Path) -> None:
    """Which of many samples is accepted, which are cancelled and with what, and who comes first, at random speeds."""
    seen = []
    for _ in range(2):
        backend = AtRandom()
        async with mellite.journal(tmp_path) as journal:
            strategy = mellite.BestOfN(8, score=lambda thunk: float(thunk.text.split()[1]), enough=0.5)
            best = await strategy.sample(backend.generate("best"))
            came = [thunk.text async for thunk in mellite.as_completed(*(backend.generate(name) for name in "abcdef"))]
            inner = backend.generate("inner")
            outer = await mellite.gather(*(backend.generate(["Say ", inner]) for _ in range(4)))
            seen.append((best.value, [sample.status for sample in best.samples], came, [each.value for each in outer]))
            seen[-1][1].extend(sample.thunk.partial for sample in best.samples)
    assert seen[0] == seen[1]
    assert (backend.asked, journal.live) == (0, 0)


async def test_errors_of_others_and_answers_that_break_off(tmp_path: Path) -> None:
    """The same error, with the same text, text so far, and cause in words."""
    seen = []
    for attempt in range(2):
        broken = Breaking() if not attempt else Breaking(asked=True)
        with mellite.journal(tmp_path, errors="replay"):
            thunks = await mellite.gather(broken.generate("raise"), broken.generate("stop"))
        seen.append([(type(each.error), str(each.error), each.partial) for each in thunks])
    assert seen[0] == seen[1]
    assert seen[0][0][:2] == (mellite.errors.BackendError, "backend Breaking raised ValueError: by itself")


def test_lone_surrogates_and_odd_texts(tmp_path: Path) -> None:
    """Text that UTF-8 cannot hold, and what looks like the end of a line, comes back as it was."""
    text = "half \ud83d, line\u2028end, \x00"
    for _ in range(2):
        with mellite.journal(tmp_path):
            assert Scripted([text]).generate("odd \ud83d").result() == text


def test_nothing_of_a_key_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in prompts, nor in what the environment holds, nor in the head; the answer comes as it was."""
    key, own = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "n0tAShapeButASecretAllTheSame"
    monkeypatch.setenv("SOMEBODYS_API_KEY", own)
    with mellite.journal(tmp_path):
        Scripted(["fine"]).generate(
            f"use {key} and {own}", http=mellite.request.HttpOptions(headers={"x-key": own})
        ).result()
    kept = b"".join([path.read_bytes() for path in tmp_path.iterdir()])
    assert key.encode() not in kept
    assert own.encode() not in kept
    with mellite.journal(tmp_path) as journal:
        Scripted(["other"]).generate(
            f"use {key} and {own}", http=mellite.request.HttpOptions(headers={"x-key": "1"})
        ).result()
    assert journal.replayed == 1


def test_a_forked_child_does_not_write(tmp_path: Path) -> None:
    """A call in the child is an error, and the parent goes on."""
    with mellite.journal(tmp_path):
        child = os.fork()
        if not child:
            try:
                asyncio.run(Counting().generate("x").avalue())
            except JournalInUse:
                os._exit(0)
            except BaseException:
                os._exit(2)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert Counting().generate("x").result() == "X 1"


class Shuffled(mellite.Backend):
    """Answers each of many calls at a moment of its own."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        """Answer."""
        await anyio.sleep(Random(request.text).random() / 2)
        yield TextDelta(request.text)
        yield Finish("stop")


@pytest.mark.parametrize("count", [200, pytest.param(4_000, marks=pytest.mark.slow)])
async def test_a_long_queue_keeps_its_order(tmp_path: Path, count: int) -> None:
    """However many calls ran at once, and however long it takes until the last may end, no order is given up."""
    orders: list[list[int]] = []
    for _ in range(2):
        backend, ended = Shuffled(), list[int]()

        async def ask(number: int, backend: Shuffled, ended: list[int]) -> None:
            await backend.generate(f"{number}")
            ended.append(number)

        async with mellite.journal(tmp_path) as journal, anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(ask, number, backend, ended)
        orders.append(ended)
    assert orders[0] != sorted(orders[0])
    assert orders[1] == orders[0]
    assert journal.replayed == count


async def test_a_backend_without_a_stream_is_told_by_name(tmp_path: Path) -> None:
    """Its coroutine is closed: nothing warns that it was never awaited."""

    class NoStream(mellite.Backend):
        async def stream(self, request: mellite.Request) -> Any:
            return 3

    with mellite.journal(tmp_path):
        thunk = await NoStream().generate("x").settle()
    assert str(thunk.error).startswith("NoStream.stream gave a coroutine, not an async iterator of events")
