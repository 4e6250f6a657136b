"""Random schedules: crowds of consumers that await, read, poll, leave and cancel one thunk; what must hold then.

``python -m tests.schedules --rounds 2000 --seed 1`` runs them at length; the tests run a few. A seed gives the same
plan of a round each time, on asyncio the same order of steps, too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import time
from collections.abc import Callable
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

import mellite
from mellite.errors import ConnectionLost, GenerationCancelled, IncompleteStream, MelliteError, RequestError
from mellite.events import Finish, TextDelta
from tests.thunk.support import blocked, live_tasks


class Erratic(mellite.Backend):
    """A backend that lets others run for random times, and ends well, with an error, without an end, or never."""

    def __init__(self, chance: random.Random) -> None:
        self.pieces = [f"{n} " for n in range(chance.choice((1, 3, 12, 40, 300, 900)))]
        self.text = "".join(self.pieces)
        self.end = chance.choice(("finish",) * 5 + ("fail", "stop", "stand"))
        self.pauses = [chance.choice((0, 0, 0, 1, 1, 2, 5)) for _ in self.pieces]
        self.calls = self.open = 0

    async def stream(self, request: mellite.Request) -> Any:
        """Send the pieces."""
        self.calls += 1
        self.open += 1
        try:
            for piece, pause in zip(self.pieces, self.pauses, strict=True):
                for _ in range(pause):
                    await checkpoint()
                yield TextDelta(piece)
            await checkpoint()
            if self.end == "fail":
                msg = "gone"
                raise ConnectionLost(msg)
            if self.end == "stand":
                await anyio.sleep_forever()
            if self.end == "finish":
                yield Finish("stop")
        finally:
            self.open -= 1


@define
class Round:
    """One thunk and its crowd.

    Attributes:
        stayed: whether the first consumer wants all of it and is not cancelled.
        asked: whether anybody cancelled the thunk itself.
        got: what each iterator gave, as text, and whether it came to the end of the text.
        raised: what was raised by the thunk, to whomever.
        rings: what keeps iterators alive, as web frameworks do.
    """

    chance: random.Random
    backend: Erratic
    thunk: mellite.ModelOutputThunk[str]
    inner: mellite.ModelOutputThunk[str]
    stayed: bool | None = None
    asked: bool = False
    got: list[tuple[str, bool]] = field(factory=list)
    raised: list[Exception] = field(factory=list)
    rings: list[Any] = field(factory=list)

    def iterator(self) -> Any:
        """One of the iterators that there are."""
        thunk = self.thunk
        kinds: list[Callable[[], Any]] = [
            lambda: aiter(thunk),
            thunk.events,
            thunk.astream,
            lambda: thunk.astream("words"),
        ]
        return self.chance.choice(kinds)()

    async def wait(self) -> None:
        """Await it, one way or another."""
        kind = self.chance.choice((self.thunk.avalue, self.thunk.settle, lambda: mellite.gather(self.thunk)))
        try:
            await kind()
        except MelliteError as error:
            self.raised.append(error)

    async def read(self, iterator: Any, most: int | None = None) -> None:
        """Read an iterator to its end, or some steps of it."""
        text = ""
        try:
            async for item in iterator:
                text += item if isinstance(item, str) else getattr(item, "text", "")
                if most is not None and (most := most - 1) <= 0:
                    self.got.append((text, False))
                    return
                if self.chance.random() < 0.05:
                    await checkpoint()
            self.got.append((text, True))
        except MelliteError as error:
            self.raised.append(error)
            self.got.append((text, True))

    async def read_in_a_ring(self) -> None:
        """Read an iterator that something goes on referring to."""
        ring = [self.iterator()]
        ring.append(ring)
        self.rings.append(ring)
        await self.read(ring[0])

    async def poll(self) -> None:
        """Read one step at a time, giving up again and again."""
        iterator, text = self.iterator(), ""
        for _ in range(self.chance.randrange(1, 60)):
            item: Any = None
            try:
                if self.chance.random() < 0.5 and _on_asyncio():
                    item = await asyncio.wait_for(anext(iterator), 0)
                else:
                    with anyio.move_on_after(0):
                        item = await anext(iterator)
            except TimeoutError:
                pass
            except StopAsyncIteration:
                self.got.append((text, True))
                return
            except MelliteError as error:
                self.raised.append(error)
                self.got.append((text, True))
                return
            text += item if isinstance(item, str) else getattr(item, "text", "")
            await checkpoint()
        self.got.append((text, False))

    async def cancel(self) -> None:
        """Cancel the thunk, after a while, and perhaps wait for that."""
        for _ in range(self.chance.randrange(60)):
            await checkpoint()
        self.asked = True
        asked = self.thunk.cancel("the crowd had enough")
        if self.chance.random() < 0.5:
            await asked


def _on_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _cancelled_after(function: Callable[[], Any], steps: int) -> None:
    """Run it in a task of its own, and cancel the task as a whole."""
    async with anyio.create_task_group() as group:
        group.start_soon(function)
        for _ in range(steps):
            await checkpoint()
        group.cancel_scope.cancel()


async def play(seed: int) -> int:
    """Play one round; give how many consumers there were. Raises AssertionError for what must not happen."""
    chance = random.Random(seed)
    backend = Erratic(chance)
    inner = backend.generate("hi")
    nested = chance.random() < 0.2
    thunk = mellite.backends.Echo().generate([inner]) if nested else inner
    game = Round(chance, backend, thunk, inner)
    del inner, thunk
    before = live_tasks()
    count = chance.randrange(1, 24)
    async with anyio.create_task_group() as group:
        for _ in range(count):
            _send(group, game)
            for _ in range(chance.choice((0, 0, 1, 3, 20))):
                await checkpoint()
        if backend.end == "stand" and not game.asked:
            await blocked()
            game.asked = True
            await game.thunk.cancel("nobody waits for ever")
    if not game.thunk.is_computed() and chance.random() < 0.5 and backend.end != "stand":
        await game.wait()
    _check(game, nested=nested)
    text = game.thunk.partial
    game.rings.clear()
    del game
    gc.collect()
    await blocked()
    assert backend.open == 0, "a stream outlived its thunk"
    assert live_tasks() == before, "a task outlived its thunk"
    assert backend.text.startswith(text) or nested
    return count


def _send(group: Any, game: Round) -> None:
    """Let one more consumer of some kind begin."""
    chance = game.chance
    kind = chance.choice(("wait", "wait", "read", "some", "poll", "cancelled", "cancelled", "cancelled", "cancel"))
    if game.stayed is None:
        game.stayed = kind in ("wait", "read")
    if kind == "wait":
        group.start_soon(game.wait)
    elif kind == "read":
        group.start_soon(game.read, game.iterator())
    elif kind == "some":
        group.start_soon(game.read, game.iterator(), chance.randrange(1, 40))
    elif kind == "poll":
        group.start_soon(game.poll)
    elif kind == "cancelled":
        victim = chance.choice((game.wait, game.poll, game.read_in_a_ring, lambda: game.read(game.iterator())))
        group.start_soon(_cancelled_after, victim, chance.randrange(40))
    elif chance.random() < 0.3:
        group.start_soon(game.cancel)


def _check(game: Round, *, nested: bool) -> None:
    thunk, backend = game.thunk, game.backend
    assert backend.calls <= 1, "generated twice"
    whole = thunk.value if thunk.state == "done" else thunk.partial
    full = backend.text
    assert full.startswith(game.inner.partial), "the text is not what was sent"
    for text, ended in game.got:
        assert full.startswith(text), "a consumer got what was not sent, or not in order"
        if ended and thunk.is_computed():
            assert text == whole, "a consumer came to the end without all of the text"
    settled = {type(error) for error in game.raised}
    assert settled <= {ConnectionLost, IncompleteStream, GenerationCancelled, RequestError}, settled
    assert len({id(error) for error in game.raised}) <= 1, "one thunk raised two errors"
    if thunk.state == "done":
        assert whole == full, "done without all of the text"
        assert not game.raised, "done, and yet it raised"
    if game.stayed and not game.asked:
        expected = {"finish": "done", "fail": "failed", "stop": "failed"}[backend.end]
        assert thunk.state == expected, f"{thunk.state}, although the first stayed and nobody cancelled"
    if nested and thunk.state == "done":
        assert game.inner.value == thunk.value


async def play_many(rounds: int, seed: int) -> int:
    """Play rounds one after the other; give how many consumers there were in all."""
    total = 0
    for number in range(rounds):
        try:
            total += await play(seed + number)
        except AssertionError as error:
            error.add_note(f"in the round with seed {seed + number}")
            raise
    return total


def main() -> None:
    """Play them on both loops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for loop in ("asyncio", "trio"):
        began = time.perf_counter()
        total = anyio.run(play_many, given.rounds, given.seed, backend=loop)
        print(f"{loop}: {given.rounds:,} rounds, {total:,} consumers, {time.perf_counter() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
