"""What all calls of a map may do together: how many at once, how many in a minute, and what they may cost."""

from __future__ import annotations

import shutil
from decimal import Decimal

import anyio
import pytest

import mellite
from mellite import engine
from mellite.backends import Constant, Echo
from mellite.errors import BudgetSpent, ConfigurationError
from mellite.events import Finish, ResponseStart, TextDelta
from mellite.loops.rates import asked_ago
from tests.backends.wrappers.clocks import FakeClock
from tests.engine.test_map import Crowd, _read, words

pytestmark = pytest.mark.anyio


class Priced(mellite.Backend):
    """Answers as a model with a price does: 1,000 tokens in and 100,000 out each, which are 0.06015 USD."""

    def __init__(self, model: str = "gpt-4o-mini") -> None:
        self.model = model
        self.begun = 0

    async def stream(self, request):
        """Answer."""
        self.begun += 1
        await anyio.sleep(0.001)
        yield ResponseStart(provider="openai", protocol="openai-chat", model=self.model)
        yield TextDelta(request.text)
        yield Finish("stop", usage=mellite.Usage.of(input_tokens=1_000, output_tokens=100_000))


async def test_a_concurrency_holds_over_maps_and_steps_of_runs():
    crowd = Crowd()
    shared = mellite.Concurrency(3)
    runs = [mellite.run(crowd, str(number)) for number in range(10)]
    async with anyio.create_task_group() as tasks:
        for items in (runs, list(words(crowd, 10))):
            tasks.start_soon(_settle, engine.map(items, limits=[shared]))
    assert (crowd.begun, crowd.most) == (20, 3)


async def _settle(mapped):
    await mapped


async def test_a_rate_holds():
    clock = FakeClock()
    rate = mellite.Rate(requests_per_minute=5, clock=clock)
    began = clock.now()
    await engine.map([Constant("yes").generate("?") for _ in range(11)], limits=[rate])
    assert 120 <= clock.now() - began < 123


async def test_a_budget_ends_the_map_when_what_was_in_flight_has_settled():
    backend = Priced()
    thunks = list(words(backend, 20))
    mapped = engine.map(thunks, concurrency=2, limits=[mellite.Budget(usd="0.2")])
    seen = []
    with pytest.raises(BudgetSpent, match=r"of the budget of 0\.2 USD") as caught:
        await _read(mapped, seen)
    assert caught.value.limit == Decimal("0.2")
    assert Decimal("0.2") <= caught.value.spent <= Decimal("0.2") + 2 * Decimal("0.06015")
    assert len(seen) == backend.begun <= 5
    assert [thunk.state for thunk in thunks].count("pending") == 20 - len(seen)
    assert mapped.cost_usd == len(seen) * Decimal("0.06015")
    assert mapped.usage.input_tokens == 1_000 * len(seen)


async def test_a_budget_of_tokens_counts_each_thunk_once(tmp_path):
    backend = Priced()
    one = backend.generate("one")
    path = tmp_path / "answers.jsonl"
    with pytest.raises(BudgetSpent) as caught:
        await engine.map(
            [one, one, one, *words(backend, 5)], concurrency=1, limits=[mellite.Budget(tokens=150_000)], collect=path
        )
    assert caught.value.spent == 202_000
    assert len(path.read_text().splitlines()) == 4  # what had settled is kept


async def test_a_budget_in_usd_is_refused_where_the_price_is_unknown():
    local = mellite.backend("ollama:llama3.2").generate("Hello.")
    with pytest.raises(ConfigurationError, match="has no known price"):
        await engine.map([local], limits=[mellite.Budget(usd=1)])
    assert local.state == "pending"
    unknown = Priced("a-model-of-nobody")
    with pytest.raises(ConfigurationError, match="has no known price"):
        await engine.map(words(unknown, 50), limits=[mellite.Budget(usd=1)], concurrency=4)
    assert unknown.begun <= 5


async def test_its_concurrency_stands_in_for_that_of_the_backends():
    async def most(expected, **given):
        async with _server(expected) as (url, seen):
            backend = mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", base_url=url, **given)
            await engine.map(words(backend, 12), concurrency=6)
            await backend.aclose()
            return max(seen)

    assert await most(6, max_concurrency=2) == 6
    assert await most(2, max_concurrency=mellite.Concurrency(2)) == 2  # which others share


class _server:  # noqa: N801 - used as a function
    """A server in this loop that counts how many requests it has at once, and answers once there were so many."""

    def __init__(self, expected):
        self.expected = expected
        self.reached = anyio.Event()

    async def __aenter__(self):
        self.now, self.seen = 0, []
        self.listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.tasks = anyio.create_task_group()
        await self.tasks.__aenter__()
        self.tasks.start_soon(self.listener.serve, self.answer)
        port = self.listener.extra(anyio.abc.SocketAttribute.local_port)
        return f"http://127.0.0.1:{port}/v1", self.seen

    async def __aexit__(self, *_):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(None, None, None)
        await self.listener.aclose()

    async def work(self):
        """Take a moment, in which others may come, and wait for those that must."""
        self.now += 1
        self.seen.append(self.now)
        if self.now == self.expected:
            self.reached.set()
        await anyio.sleep(0.03)
        with anyio.fail_after(20):
            await self.reached.wait()
        self.now -= 1

    async def answer(self, stream):
        """Answer requests until the client has gone."""
        body = b'{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
        async with stream:
            data = b""
            while True:
                try:
                    data += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                head, found, rest = data.partition(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                if not found or len(rest) < length:
                    continue
                data = rest[length:]
                await self.work()
                await stream.send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(body), body)
                )


def test_limits_hold_in_code_without_await():
    crowd = Crowd()
    engine.map(words(crowd, 12), limits=[mellite.Concurrency(2)]).result()
    assert crowd.most == 2
    assert [thunk.text for thunk in engine.map([Echo().generate("a")], limits=mellite.Budget(tokens=10))] == ["a"]


async def test_a_journal_gives_again_what_it_has_before_any_limit(tmp_path):
    backend = Priced()
    clock = FakeClock()
    began = clock.now()
    for count, asked in ((3, 3), (5, 5)):
        limits = [mellite.Rate(requests_per_minute=5, clock=clock), mellite.Concurrency(2), mellite.Budget(usd=5)]
        mapped = engine.map(words(backend, count), journal=tmp_path / "kept", limits=limits)
        assert sorted([thunk.text async for thunk in mapped]) == [str(number) for number in range(count)]
        assert backend.begun == asked
        assert mapped.cost_usd == (3 if count == 3 else 2) * Decimal("0.06015")
    assert clock.now() - began < 60
    await engine.map([backend.generate("0")], collect=list)  # nothing is kept behind the map
    assert backend.begun == 6


async def test_limits_hold_inside_a_journal_of_the_caller(tmp_path):
    crowd = Crowd()
    with mellite.journal(tmp_path / "kept"):
        given = await engine.map(words(crowd, 9), limits=[mellite.Concurrency(2)], collect=list)
    assert [thunk.text for thunk in given] == [str(number) for number in range(9)]
    assert crowd.most == 2


async def test_a_map_that_is_started_again_counts_what_went_in_the_last_minute(tmp_path):
    """The journal knows when calls were made, so a limit holds over a restart as well."""
    backend = Constant("yes")
    await engine.map(words(backend, 4), journal=tmp_path / "kept")
    clock = FakeClock()
    began = clock.now()
    rate = mellite.Rate(requests_per_minute=5, clock=clock)
    await engine.map(words(backend, 6), journal=tmp_path / "kept", limits=[rate])
    assert 50 < clock.now() - began < 62


async def test_a_map_that_is_started_again_counts_the_tokens_of_the_last_minute(tmp_path):
    """The journal knows what calls used, so a limit of tokens holds over a restart; what used none leaves room."""
    backend, kept = Priced(), tmp_path / "kept"  # of 101,000 tokens each
    await engine.map(words(backend, 3), journal=kept)
    for limit, least, most in ((350_000, 50, 62), (1_000_000, 0, 1)):
        clock = FakeClock()
        began = clock.now()
        rate = mellite.Rate(tokens_per_minute=limit, clock=clock)
        items = [backend.generate(f"{limit} {number}", max_tokens=100_000) for number in range(1)]
        await engine.map([*words(backend, 3), *items], journal=kept, limits=[rate])
        assert least <= clock.now() - began < most
    assert backend.begun == 5


async def test_a_call_of_which_nothing_came_counts_as_many_tokens_as_the_others(tmp_path):
    """A process was killed with a call in flight: it is taken to be as long as those that had settled."""
    backend, kept = Priced(), tmp_path / "kept"
    await engine.map(words(backend, 2), journal=kept)
    records = kept / "records"
    lines = records.read_bytes()
    cut = lines.rindex(b"\n", 0, lines.rindex(b"settled"))
    records.write_bytes(lines[: cut + 1])
    for limit, least, most in ((290_000, 50, 62), (310_000, 0, 1)):
        clock = FakeClock()
        began = clock.now()
        rate = mellite.Rate(tokens_per_minute=limit, clock=clock)
        shutil.copytree(kept, tmp_path / str(limit))
        await engine.map([backend.generate("new", max_tokens=100_000)], journal=tmp_path / str(limit), limits=[rate])
        assert least <= clock.now() - began < most


async def test_a_call_that_was_sent_later_than_it_was_booked_counts_from_then():
    """A worker that begins late must not let the limit be passed a minute after the booking."""
    clock = FakeClock()
    meter = mellite.Rate(requests_per_minute=1, clock=clock).meter
    booking = meter.take_if_free(1.0, None)
    await clock.sleep(5.0)
    token = asked_ago.set(2.0)
    meter.note_head(booking, {})
    asked_ago.reset(token)
    await clock.sleep(56.0)
    assert meter.take_if_free(1.0, None) is None  # 61 s behind the booking
    await clock.sleep(3.0)
    assert meter.take_if_free(1.0, None) is not None
