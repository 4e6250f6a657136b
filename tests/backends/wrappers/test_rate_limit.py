"""Only so many requests and tokens go in any minute; the others wait in line, and nobody is refused."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import mellite
from mellite.backends import Constant, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConnectError, InvalidRequest, RateLimited, TotalTimeout
from mellite.events import Event, Finish, ResponseStart, TextDelta, Usage
from mellite.loops.rates import Booking
from mellite.request import Request, Timeouts
from tests.backends.wrappers.clocks import FakeClock

pytestmark = pytest.mark.anyio


class Counter:
    """A provider's limits: a sliding minute and a fixed one, in requests and in tokens."""

    def __init__(self, clock: Any, *, requests: int = 60, tokens: int = 10_000) -> None:
        self.clock = clock
        self.requests = requests
        self.tokens = tokens
        self.sent: deque[tuple[float, int]] = deque()
        self.fixed: dict[int, list[int]] = {}
        self.refused = 0
        self.answered = 0
        self.used = 0

    def take(self, tokens: int) -> bool:
        """Count a request of so many tokens; tell whether it is within the limits."""
        now = self.clock.now()
        while self.sent and self.sent[0][0] <= now - 60:
            self.sent.popleft()
        fixed = self.fixed.setdefault(int(now // 60), [0, 0])
        both = [(len(self.sent), sum([each for _, each in self.sent])), (fixed[0], fixed[1])]
        if any(count + 1 > self.requests or total + tokens > self.tokens for count, total in both):
            self.refused += 1
            return False
        self.sent.append((now, tokens))
        fixed[0] += 1
        fixed[1] += tokens
        self.answered += 1
        self.used += tokens
        return True

    def headers(self) -> dict[str, str]:
        """What it says of its limits."""
        return {
            "x-ratelimit-limit-requests": str(self.requests),
            "x-ratelimit-remaining-requests": str(self.requests - len(self.sent)),
            "x-ratelimit-reset-requests": "1m0s",
            "x-ratelimit-limit-tokens": str(self.tokens),
            "x-ratelimit-remaining-tokens": str(self.tokens - sum([each for _, each in self.sent])),
            "x-ratelimit-reset-tokens": "1m0s",
        }


@asynccontextmanager
async def serving(counter: Counter) -> AsyncGenerator[str]:
    """A real local server that counts: four characters of a prompt are a token, and an answer is five."""

    async def serve(stream: Any) -> None:
        buffered = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in buffered:
                    try:
                        buffered += await stream.receive()
                    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                        return
                head, _, buffered = buffered.partition(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                while len(buffered) < length:
                    buffered += await stream.receive()
                body, buffered = json.loads(buffered[:length]), buffered[length:]
                tokens = len(body["messages"][-1]["content"]) // 4 + 5
                fits = counter.take(tokens)
                usage = {"prompt_tokens": tokens - 5, "completion_tokens": 5, "total_tokens": tokens}
                answer = {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "usage": usage}
                said = json.dumps(answer if fits else {"error": {"message": "too many"}}).encode()
                told = {**counter.headers(), "content-type": "application/json", "content-length": str(len(said))}
                lines = "".join([f"{name}: {value}\r\n" for name, value in told.items()])
                await stream.send(f"HTTP/1.1 {200 if fits else 429} X\r\n{lines}\r\n".encode() + said)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}/v1"
        group.cancel_scope.cancel()
    await listener.aclose()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "tokens", "most"),
    [
        ({"requests_per_minute": 60, "tokens_per_minute": 10_000}, 40, None),
        ({"requests_per_minute": 60, "tokens_per_minute": 10_000}, 400, 5),
        ({}, 40, None),
        ({}, 400, 5),
    ],
    ids=["requests", "tokens", "requests from headers", "tokens from headers"],
)
async def test_a_thousand_use_the_limit_and_none_is_refused(
    given: Mapping[str, Any], tokens: int, most: int | None
) -> None:
    clock = FakeClock()
    counter, start = Counter(clock), clock.now()
    async with serving(counter) as url:
        live = mellite.backend("openai-compatible:m", base_url=url, retries=0, stream=False)
        async with mellite.RateLimit(live, clock=clock, **given) as backend:
            prompt = "four" * (tokens - 5)
            results = await mellite.gather([backend.generate(prompt, max_tokens=most) for _ in range(1000)])
        assert [thunk.error for thunk in results if thunk.error is not None] == []
    assert counter.refused == 0
    assert counter.answered == 1000
    last = counter.sent[-1][0]
    before = 1000 - len([at for at, _ in counter.sent if at == last])  # the last ones had a minute to themselves
    minutes = (last - start) / 60
    assert max(before / 60, before * tokens / 10_000) / minutes >= 0.97


# --- in line --------------------------------------------------------------------------------------


class Held(mellite.Backend):
    """Answers once it is told to, and knows in which order it was asked."""

    def __init__(self, *starts: Event) -> None:
        self.asked: list[str] = []
        self.go = anyio.Event()
        self.starts = starts

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.asked.append(request.text)
        for event in self.starts:
            yield event
        await self.go.wait()
        yield TextDelta(request.text)
        yield Finish("stop", usage=Usage.of(input_tokens=1, output_tokens=1))


async def until(holds: Any) -> None:
    """Let other tasks run until a condition holds."""
    with anyio.fail_after(5):
        while not holds():
            await anyio.lowlevel.checkpoint()


async def test_first_come_first_served() -> None:
    clock = FakeClock()
    inside = Held()
    rate = mellite.Rate(requests_per_minute=1, clock=clock)
    backend = mellite.RateLimit(inside, rate)
    async with anyio.create_task_group() as group:
        for number in range(9):
            group.start_soon(backend.generate(str(number)).settle)
            await until(lambda number=number: rate.waiting == number and inside.asked)
        inside.go.set()
    assert inside.asked == [str(number) for number in range(9)]
    assert clock.slept == pytest.approx([60.25] * 8)


async def test_a_request_larger_than_the_limit_goes_alone() -> None:
    clock = FakeClock()
    inside = Held()
    inside.go.set()
    backend = mellite.RateLimit(inside, tokens_per_minute=100, clock=clock)
    assert await backend.generate("small", max_tokens=10) == "small"
    assert await backend.generate("large", max_tokens=500) == "large"
    assert len(clock.slept) == 1


async def test_waiting_is_cancelled_at_once_and_the_next_goes_on() -> None:
    inside = Held(ResponseStart(headers={}))
    rate = mellite.Rate(requests_per_minute=1)
    backend = mellite.RateLimit(inside, rate)
    running = backend.generate("one")
    async with anyio.create_task_group() as group:
        group.start_soon(running.settle)
        while not inside.asked:
            await anyio.lowlevel.checkpoint()
        waiting = backend.generate("two")
        with anyio.move_on_after(0.05):
            await waiting
        assert waiting.cancelled
        assert rate.waiting == 0
        inside.go.set()
    assert running.value == "one"
    assert inside.asked == ["one"]


async def test_the_total_timeout_includes_the_wait() -> None:
    clock = FakeClock()
    backend = mellite.RateLimit(Constant("x"), requests_per_minute=1, clock=clock)
    await backend.generate("one")
    late = await backend.generate("two", timeouts=Timeouts(total=30)).settle()
    assert isinstance(late.error, TotalTimeout)
    assert "the rate limit did not let it go" in str(late.error)
    assert clock.slept == []
    backend = mellite.RateLimit(Constant("x"), requests_per_minute=1)
    await backend.generate("one")
    with anyio.fail_after(20):  # of a minute
        late = await backend.generate("two", timeouts=Timeouts(total=0.05)).settle()
    assert isinstance(late.error, TotalTimeout)


# --- what the answers tell ------------------------------------------------------------------------


def told(limit: int, left: int) -> ResponseStart:
    headers = {"anthropic-ratelimit-requests-limit": str(limit), "anthropic-ratelimit-requests-remaining": str(left)}
    return ResponseStart(headers=headers)


async def test_one_request_goes_until_the_first_headers_tell_more() -> None:
    inside = Held()
    backend = mellite.RateLimit(inside, clock=FakeClock())
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(backend.generate(str(number)).settle)
        await anyio.wait_all_tasks_blocked()
        assert len(inside.asked) == 1
        inside.go.set()
    assert len(inside.asked) == 3
    inside = Held(told(50, 49))
    backend = mellite.RateLimit(inside, clock=FakeClock())
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(backend.generate(str(number)).settle)
        await anyio.wait_all_tasks_blocked()
        assert len(inside.asked) == 3  # the head came, the answers did not
        inside.go.set()


async def test_what_others_have_used_of_the_limit_counts() -> None:
    clock = FakeClock()
    inside = Held(told(50, 0))
    inside.go.set()
    backend = mellite.RateLimit(inside, clock=clock)
    for number in range(2):
        await backend.generate(str(number))
    assert len(clock.slept) == 1


async def test_a_refusal_holds_everybody_up_for_as_long_as_was_asked() -> None:
    clock = FakeClock()
    inside = Scripted([RateLimited("slow down", retry_after=7), "one", "two"])
    backend = mellite.RateLimit(inside, requests_per_minute=100, clock=clock)
    await backend.generate("x").settle()
    assert await backend.generate("x") == "one"
    assert clock.slept == pytest.approx([7])
    clock = FakeClock()
    inside = Scripted([RateLimited("slow down", retry_after=7), "one"])
    both = mellite.Retry(mellite.RateLimit(inside, requests_per_minute=100, clock=clock), clock=clock)
    assert await both.generate("x") == "one"
    assert clock.slept == pytest.approx([7])


async def test_what_was_never_sent_takes_nothing() -> None:
    clock = FakeClock()
    inside = Scripted([ConnectError("refused"), "one", "two"])
    backend = mellite.RateLimit(inside, requests_per_minute=1, clock=clock)
    await backend.generate("x").settle()
    assert await backend.generate("x") == "one"
    assert clock.slept == []


async def test_what_was_tried_again_inside_counts() -> None:
    clock = FakeClock()
    script = ScriptedTransport([(503, {"retry-after": "0"}, "busy"), ANSWER, ANSWER])
    live = mellite.backend("openai-chat:m", api_key="sk-test", transport=script)
    backend = mellite.RateLimit(live, requests_per_minute=2, clock=clock)
    await backend.generate("x")
    await backend.generate("x")
    assert len(clock.slept) == 1


ANSWER = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'


# --- shared ---------------------------------------------------------------------------------------


def test_one_limit_holds_over_threads_and_loops() -> None:
    rate = mellite.Rate(requests_per_minute=20)
    backends = [mellite.RateLimit(Constant("x"), rate) for _ in range(4)]
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    enough = threading.Event()

    def run(backend: mellite.Backend, loop: str) -> None:
        async def calls() -> None:
            for _ in range(20):
                done.put(await backend.generate("x"))

        async def until_enough() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(calls)
                await anyio.to_thread.run_sync(enough.wait, 20)
                group.cancel_scope.cancel()

        anyio.run(until_enough, backend=loop)

    threads = [
        threading.Thread(target=run, args=(backend, loop))
        for backend, loop in zip(backends, ("asyncio", "trio") * 2, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert done.get(timeout=20) == "x"
        with pytest.raises(queue.Empty):
            done.get(timeout=0.2)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert done.empty()


def test_a_loop_that_is_closed_under_a_wait_holds_nobody_up() -> None:
    clock = FakeClock()
    rate = mellite.Rate(requests_per_minute=1, clock=clock)
    held = Held()
    backend = mellite.RateLimit(held, rate)
    loop = asyncio.new_event_loop()
    running, waiting = backend.generate("one"), backend.generate("two")

    async def drive() -> None:
        tasks[:] = [asyncio.ensure_future(each.settle()) for each in (running, waiting)]
        await until(lambda: rate.waiting)

    tasks: list[Any] = []
    loop.run_until_complete(drive())
    loop.close()
    clock.time += 61
    assert mellite.RateLimit(Constant("x"), rate).generate("three").result(timeout=5) == "x"


async def test_what_comes_from_a_cassette_waits_for_nothing() -> None:
    clock = FakeClock()

    class Offline(ScriptedTransport):
        offline = True

    live = mellite.backend("openai-chat:m", transport=Offline([ANSWER] * 5))
    backend = mellite.RateLimit(live, requests_per_minute=1, clock=clock)
    assert (await mellite.gather([backend.generate("x") for _ in range(5)])).texts == ["Hello!"] * 5
    assert clock.slept == []


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "60"])
@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_rate_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    for make in (mellite.Rate, lambda **given: mellite.RateLimit(Constant("x"), **given)):
        with pytest.raises(InvalidRequest) as caught:
            make(**{name: value})
        assert caught.value.parameter == name


def test_a_shared_rate_stands_alone() -> None:
    rate: Any
    wrong: Any = (60, {}), (mellite.Rate(), {"requests_per_minute": 5}), (mellite.Rate(), {"clock": FakeClock()})
    for rate, more in wrong:
        with pytest.raises(InvalidRequest):
            mellite.RateLimit(Constant("x"), rate, **more)


def test_pickles_share_what_was_shared() -> None:
    rate = mellite.Rate(requests_per_minute=60)
    one, two = pickle.loads(
        pickle.dumps([mellite.RateLimit(Constant("x"), rate), mellite.RateLimit(Constant("y"), rate)])
    )
    assert one.rate is two.rate
    assert one.rate.requests_per_minute == 60
    assert one.generate("Hi.").result() == "x"


@pytest.mark.parametrize("given", [{"usd": -1}, {"usd": "much"}, {"usd": True}, {"tokens": -1}, {"tokens": 1.5}])
def test_a_budget_that_makes_no_sense_is_refused(given: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        mellite.Budget(**given)
    assert mellite.Budget(usd="0.10") == pickle.loads(pickle.dumps(mellite.Budget(usd=0.1)))


async def test_backends_may_share_a_concurrency() -> None:
    shared = mellite.Concurrency(1)
    running = most = 0

    async def answer(_: object) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return ANSWER

    scripts = [ScriptedTransport([answer] * 3) for _ in range(2)]
    options: dict[str, Any] = {"api_key": "x", "max_concurrency": shared, "stream": False}
    backends = [mellite.backend("openai-chat:m", transport=script, **options) for script in scripts]
    await mellite.gather([backend.generate("x") for backend in backends for _ in range(3)])
    assert most == 1
    with pytest.raises(InvalidRequest):
        mellite.Concurrency(0)


async def test_what_is_older_than_a_minute_is_forgotten_under_a_wide_limit() -> None:
    """Nobody waits there, and nothing is kept of what no longer counts."""
    clock = FakeClock()
    backend = mellite.RateLimit(Constant("x"), requests_per_minute=10**9, clock=clock)
    before = bookings()
    for _ in range(4):
        for number in range(50):
            await backend.generate(f"{number}")
        clock.time += 61
    assert bookings() - before <= 50


def bookings() -> int:
    """How many requests the limits of this process know of."""
    return sum(type(each) is Booking for each in gc.get_objects())
