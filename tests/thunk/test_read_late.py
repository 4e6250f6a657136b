"""An answer of plain text is read in full when somebody looks: then it is what the events say, in every field."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import threading
import weakref
from contextlib import suppress
from datetime import UTC, datetime

import attrs
import pytest
from mellite.records import GenerateLog

import mellite
from mellite.events import Event, Finish, ResponseStart
from mellite.protocols.openai_chat import protocol
from mellite.thunk.call import CallInfo
from mellite.thunk.outcome import Clock, Outcome, conclude

pytestmark = pytest.mark.anyio

BODY = b"""{"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "service_tier": "default",
"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}"""
REQUEST = mellite.Request.of("Say hello.", temperature=0.5)
BACKEND = mellite.backends.Echo()
FIELDS = [name for name in attrs.fields_dict(Outcome) if name != "_unread"]


class Source:
    """The events of the answer, made each time they are asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> list[Event]:
        self.asked += 1
        start = ResponseStart(provider="openai", protocol="openai-chat", model="gpt-4o-mini", attempts=1, status=200)
        return [start, *protocol().unary(BODY)]


def clock() -> Clock:
    """The same times, whenever it is asked."""
    return Clock(
        started_at=datetime(2026, 1, 2, tzinfo=UTC), ttfb_ms=1.5, duration_ms=2.5, extra={"closing_error": "none"}
    )


def late(events: Source | None = None, *, at: Clock | None = None) -> Outcome:
    """An outcome that nobody has looked at."""
    return Outcome.of_text(
        "Hello.", events or Source(), request=REQUEST, backend=BACKEND, generation_id="0a", clock=at or clock()
    )


def at_once() -> Outcome:
    """The same, made of the events."""
    return conclude(Source()(), request=REQUEST, backend=BACKEND, generation_id="0a", clock=clock())


def thunk(outcome: Outcome) -> mellite.ModelOutputThunk[str]:
    """A settled thunk."""
    return mellite.ModelOutputThunk(CallInfo(REQUEST, BACKEND), outcome=outcome)


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes are equal in every field; the raw answers with their logs, which `==` leaves out."""
    assert one.raw.log == one.compact
    return [getattr(one, name) for name in FIELDS] == [getattr(other, name) for name in FIELDS]


TOLD = ("state", "text", "thinking", "tool_calls", "parsed", "error", "traceback", "prompt", "extra", "log", "is_final")


@pytest.mark.parametrize("name", FIELDS)
def test_equal_in_every_field(name: str) -> None:
    """Whichever field is looked at first, it is what the events give; only some need the events at all."""
    source = Source()
    outcome = late(source)
    assert getattr(outcome, name) == getattr(at_once(), name)
    assert source.asked == (name not in TOLD)
    assert same(outcome, at_once())
    assert source.asked == (2 if name == "generation" else 1)  # the metadata are made without the rest


LOOKS = {
    "raw": lambda it: it.raw.response,
    "streamed chunks": lambda it: it.raw.streamed_chunks,
    "generation": lambda it: it.generation,
    "usage": lambda it: it.usage,
    "cost": lambda it: it.cost_usd,
    "finish reason": lambda it: it.finish_reason,
    "model": lambda it: it.model,
    "message": lambda it: it.message,
    "log": lambda it: it.generate_log,
    "repr": repr,
    "format": format,
    "value": lambda it: it.value,
    "partial": lambda it: it.partial,
    "parsed": lambda it: it.parsed_repr,
    "thinking": lambda it: it.thinking,
    "tool calls": lambda it: it.tool_calls,
    "error": lambda it: (it.error, it.cancelled, it.state),
    "deltas": lambda it: list(it.iter()),
    "result": lambda it: it.result(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_every_way_to_look(look) -> None:
    """Every reading of a thunk is that of one whose events were read at once."""
    assert look(thunk(late())) == look(thunk(at_once()))


async def test_iterators() -> None:
    """Both iterators give what the events hold, also twice, and `await` gives the text."""
    ours, theirs = thunk(late()), thunk(at_once())
    for _ in range(2):
        assert [event async for event in ours.events()] == [event async for event in theirs.events()]
        assert [delta async for delta in ours] == ["Hello."]
    assert await ours == await ours.avalue() == "Hello."


async def test_text_costs_no_look() -> None:
    """Awaiting, reading the text and putting the thunk in a prompt read nothing else."""
    source = Source()
    settled = thunk(late(source))
    assert [await settled, await settled.avalue(), settled.text, f"{settled}", str(settled.value)] == ["Hello."] * 5
    assert await BACKEND.generate(["say: ", settled]) == "say: Hello."
    assert copy.copy(settled).text == "Hello."
    assert source.asked == 0


WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda outcome: pickle.loads(pickle.dumps(outcome))}


@pytest.mark.parametrize("looked_before", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_copies(way, looked_before: bool) -> None:
    """A copy is whole, and so is a copy of a thunk."""
    outcome = late()
    if looked_before:
        assert outcome.raw.status == 200
    copied = way(outcome)
    assert same(copied, at_once())
    assert copied._unread is outcome._unread is None
    assert "_unread" not in copied.__getstate__()
    assert same(way(thunk(late())).outcome, at_once())


def test_the_clock_stands() -> None:
    """The times are those of the moment it settled, not those of the look."""
    running = clock()
    outcome = late(at=running)
    running.duration_ms, running.ttfb_ms, running.started_at = 99.0, 98.0, None
    assert outcome.generation == at_once().generation


def test_a_log_put_in_place_stays() -> None:
    """A log that a strategy put there is kept when the rest is read."""
    settled = thunk(late())
    log = GenerateLog(is_final_result=True)
    settled.generate_log = log
    assert settled.raw.status == 200
    assert settled.generate_log is log


def test_what_it_was_made_of_is_dropped() -> None:
    """After the look nothing of the source is kept, without the collector's help."""
    source = Source()
    alive = weakref.ref(source)
    outcome = late(source)
    del source
    assert alive() is not None
    gc.disable()
    try:
        assert outcome.compact.text == "Hello."
        assert alive() is None
    finally:
        gc.enable()


def test_one_text() -> None:
    """The outcome and its log share one text, so that looking does not keep two."""
    outcome = late()
    assert outcome.compact.text is outcome.text is outcome.parsed


def test_unknown_names_read_nothing() -> None:
    """Asking for what no outcome has, as libraries do, is an AttributeError and no look."""
    source = Source()
    outcome = late(source)
    assert not hasattr(outcome, "__array__")
    with pytest.raises(AttributeError, match="nonsense"):
        outcome.nonsense  # noqa: B018
    assert source.asked == 0


@pytest.mark.parametrize("firsts", [("raw", "raw"), ("generation", "generation"), ("generation", "raw")])
def test_two_threads_look_at_once(firsts: tuple[str, str]) -> None:
    """Threads that look in the same moment get the same objects, whatever each looks at first."""
    meeting = threading.Barrier(2, timeout=10)

    def look(outcome: Outcome, first: str, found: list[tuple[object, object]]) -> None:
        getattr(outcome, first)
        generation = outcome.generation
        meeting.abort()
        found.append((outcome.raw, generation))

    class Slow(Source):
        def __call__(self) -> list[Event]:
            with suppress(threading.BrokenBarrierError):  # only the first two look in the same moment
                meeting.wait()
            return super().__call__()

    for _ in range(20):
        meeting.reset()
        outcome, found = late(Slow()), []
        threads = [threading.Thread(target=look, args=(outcome, first, found)) for first in firsts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0][0] is found[1][0] is outcome.raw
        assert found[0][1] is found[1][1] is outcome.generation
        assert outcome.raw.log is outcome.compact


def test_looking_while_it_is_read() -> None:
    """A finalizer that looks while the same outcome is being read gets it, and so does who looked first."""
    found = []

    class Again(Source):
        def __call__(self) -> list[Event]:
            events = super().__call__()
            if self.asked == 1:
                found.append(outcome.raw)
            return events

    outcome = late(Again())
    assert outcome.raw is found[0]


def test_looking_in_a_finalizer() -> None:
    """An object that is dropped may look."""
    seen = []

    class Holder:
        outcome = late()

        def __del__(self) -> None:
            seen.append(self.outcome.generation.usage)

    Holder()
    gc.collect()
    assert seen == [at_once().generation.usage]


def test_a_source_that_fails_may_be_asked_again() -> None:
    """What went wrong while looking is raised to who looked; the next one may have more luck."""

    class Unlucky(Source):
        def __call__(self) -> list[Event]:
            if not self.asked:
                self.asked = 1
                raise MemoryError
            return super().__call__()

    outcome = late(Unlucky())
    with pytest.raises(MemoryError):
        outcome.raw  # noqa: B018
    assert same(outcome, at_once())


def test_forks() -> None:
    """A forked child may look at what its parent has not looked at."""
    outcome = late()
    child = os.fork()
    if not child:
        os._exit(0 if same(outcome, at_once()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(outcome, at_once())


def test_finish_is_the_providers() -> None:
    """The finish event that is read late holds the whole answer."""
    [finish] = [event for event in late().compact.events() if type(event) is Finish]
    assert finish.response["choices"][0]["message"]["content"] == "Hello."


def test_few_bytes() -> None:
    """What is kept until somebody looks is one object beside the outcome."""
    assert sys.getsizeof(late()._unread) < 200
