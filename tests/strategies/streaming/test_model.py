"""Random streams against a model: what is handed on, and whether it succeeds, does not depend on timing."""

from __future__ import annotations

import random

import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st

from mellite import Requirement, stream
from mellite.events import Event, Finish, TextDelta
from tests.strategies.streaming.support import Turns
from tests.thunk.support import Source, blocked, live_tasks

pytestmark = pytest.mark.anyio

WORDS = [f"w{number} " for number in range(12)]


class Uneven(Source):
    """Sends deltas that are cut anywhere, and lets others run before some of them."""

    def __init__(self, text: str, generator: random.Random) -> None:
        deltas: list[str | Event] = []
        at = 0
        while at < len(text):
            size = generator.randint(1, 9)
            deltas.append(TextDelta(text[at : at + size]))
            at += size
        super().__init__([*deltas, Finish("stop")])
        self.generator = generator

    async def _before(self, index: int) -> None:
        for _ in range(self.generator.choice([0, 0, 1, 2])):
            await anyio.lowlevel.checkpoint()


def random_requirement(generator: random.Random, bad: set[str], **more: object) -> Requirement:
    """A requirement that fails some words, sometimes at once and sometimes later, out of order."""

    async def later(word: str, waits: int) -> bool:
        for _ in range(waits):
            await anyio.lowlevel.checkpoint()
        return word not in bad

    def check(chunk: str, partial: str) -> object:
        assert partial.endswith(chunk)
        assert "".join(WORDS).startswith(partial)
        waits = generator.choice([None, 0, 1, 3, 8])
        return str(chunk) not in bad if waits is None else later(str(chunk), waits)

    return Requirement("random", check_chunk=check, **more)  # type: ignore[arg-type]


bad_words = st.lists(st.sets(st.sampled_from(WORDS), max_size=2), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), attempts=st.lists(bad_words, min_size=1, max_size=3), resting=st.booleans())
async def test_against_the_model(seed: int, attempts: list[list[set[str]]], resting: bool) -> None:
    """The last attempt hands on exactly the chunks before the first that fails; those before it, a part of theirs."""
    generator = random.Random(seed)
    before = live_tasks()
    lanes = len(attempts[0])
    turn = -1
    fails: list[set[str]] = [set() for _ in range(lanes)]
    requirements = [random_requirement(generator, words) for words in fails]
    expected = [words_before(attempt[:lanes]) for attempt in attempts]

    class Next(Turns):
        """Sets what fails in each attempt."""

        async def stream(self, request):  # type: ignore[no-untyped-def]
            nonlocal turn
            turn += 1
            for lane in range(lanes):
                fails[lane].clear()
                fails[lane].update(attempts[turn][lane] if lane < len(attempts[turn]) else ())
            source = super().stream(request)
            try:
                async for event in source:
                    yield event
            finally:
                await source.aclose()

    backend = Next(*[Uneven("".join(WORDS), generator) for _ in attempts])
    got: list[list[str]] = []
    async with stream(backend.generate("x"), requirements=requirements, chunking="words", attempts=len(attempts)) as s:
        async for chunk in s:
            if chunk.start == 0:
                got.append([])
            got[-1].append(str(chunk))
            if resting:
                await anyio.lowlevel.checkpoint()
    first_good = next((index for index, words in enumerate(expected) if words == WORDS), None)
    used = len(attempts) if first_good is None else first_good + 1
    assert (s.success, s.attempts, turn + 1) == (first_good is not None, used, used)
    assert all(words == WORDS[: len(words)] for words in got)
    assert list(s.text.split()) == [word.strip() for word in expected[used - 1]]
    assert {failure.attempt for failure in s.failures} == set(range(1, used + (first_good is None)))
    await blocked()
    assert live_tasks() == before


def words_before(bad: list[set[str]]) -> list[str]:
    """The words before the first that any requirement fails."""
    first = min([WORDS.index(word) for words in bad for word in words], default=len(WORDS))
    return WORDS[:first]


@settings(max_examples=80)
@given(seed=st.integers(0, 2**32), bad=st.sets(st.sampled_from(WORDS), max_size=2), size=st.integers(1, 9))
async def test_chunkings_of_their_own(seed: int, bad: set[str], size: int) -> None:
    """Whatever chunkings requirements have, nothing that failed is handed on, and all of it is if nothing fails."""
    generator = random.Random(seed)
    requirements = [
        random_requirement(generator, bad, chunking="words"),
        Requirement("sees", check_chunk=lambda chunk, partial: None, chunking="sentences"),
    ]
    source = Uneven("".join(WORDS), generator)
    async with stream(source.generate("x"), requirements=requirements, chunking=size) as s:
        got = "".join([chunk async for chunk in s])
    passed = "".join(words_before([bad]))
    assert "".join(WORDS).startswith(got)
    assert len(got) <= len(passed)
    assert s.success is (not bad)
    assert got == passed or bad
