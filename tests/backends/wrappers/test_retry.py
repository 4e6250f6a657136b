"""Failed attempts are tried again, until something of the answer has been passed on, and never too long."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import anyio
import anyio.to_thread
import pytest

import mellite
from mellite.backends import Failing, LiveBackend, Scripted
from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    ReplayTransport,
    ScriptedTransport,
)
from mellite.errors import (
    BackendError,
    ConnectError,
    ConnectionLost,
    FirstByteTimeout,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
    TotalTimeout,
)
from mellite.events import Finish, ResponseStart, StepFinish, StepStart, TextDelta, Usage
from mellite.providers.catalog import find
from mellite.request import Timeouts
from tests.backends.wrappers.clocks import START, FakeClock
from tests.wire.server import CLOSE, LAST, RESET, THEN, Script, Server, Step, answer, gate, head, piece, serve

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": choices}).encode() + b"\n\n"


END = chunk(finish="stop") + b"data: [DONE]\n\n"
OK = chunk("Hello") + chunk("!") + END
WHOLE = '{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'


def scripted(*answers: Any, retries: int = 0, **options: Any) -> mellite.Backend:
    return mellite.backend(
        "openai-chat:m", api_key="sk-test", transport=ScriptedTransport(list(answers)), retries=retries, **options
    )


def retried(*answers: Any, clock: FakeClock | None = None, **rule: Any) -> mellite.Backend:
    return mellite.Retry(scripted(*answers), clock=clock or FakeClock(), **rule)


def error(status: int, **headers: str) -> tuple[int, dict[str, str], str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, '{"error": {"message": "no"}}'


# --- what is tried again --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    thunk = retried(error(status), error(status), OK).generate("Hi.")
    assert await thunk == "Hello!"
    assert thunk.generation.attempts == 3
    assert [each.status for each in thunk.generation.failures if isinstance(each, MelliteError)] == [status] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
async def test_what_will_not_pass_is_not(status: int) -> None:
    thunk = await retried(error(status), OK).generate("Hi.").settle()
    assert isinstance(thunk.error, MelliteError)
    assert (thunk.error.status, thunk.generation.attempts, thunk.generation.failures) == (status, 1, ())


async def test_an_exhausted_quota_is_not_whatever_the_server_says() -> None:
    quota = 429, {"x-should-retry": "true"}, '{"error": {"message": "x", "code": "insufficient_quota"}}'
    thunk = await retried(quota, OK).generate("Hi.").settle()
    assert isinstance(thunk.error, QuotaExceeded)
    assert not thunk.error.retryable


async def test_the_server_may_say_whether_to_try_again() -> None:
    assert await retried(error(400, x_should_retry="true"), OK).generate("Hi.") == "Hello!"
    thunk = await retried(error(503, x_should_retry="false"), OK).generate("Hi.").settle()
    assert isinstance(thunk.error, ProviderInternal)


@pytest.mark.parametrize("failure", [ConnectError("refused"), ConnectionLost("reset"), FirstByteTimeout("late")])
async def test_a_connection_that_fails_is_tried_again(failure: MelliteError) -> None:
    thunk = retried(failure, OK).generate("Hi.")
    assert await thunk == "Hello!"
    assert [type(each) for each in thunk.generation.failures] == [type(failure)]


async def test_foreign_errors_are_where_the_caller_says_so() -> None:
    def backend() -> Scripted:
        return Scripted([KeyError("x"), "Hello!"])

    for on in (KeyError, (ValueError, KeyError), lambda error: isinstance(error, LookupError)):
        thunk = mellite.Retry(backend(), on=on, clock=FakeClock()).generate("Hi.")
        assert await thunk == "Hello!"
        assert [type(each) for each in thunk.generation.failures] == [BackendError]
    for on in (None, ValueError):
        thunk = await mellite.Retry(backend(), on=on, clock=FakeClock()).generate("Hi.").settle()
        assert isinstance(thunk.error, BackendError)


# --- how long it waits ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0"}, None),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": formatdate(START + 30, usegmt=True)}, 30.0),
        ({"retry_after": formatdate(START - 30, usegmt=True)}, None),
        # By the server's own clock, which is an hour ahead.
        ({"retry_after": formatdate(START + 3610, usegmt=True), "date": formatdate(START + 3600, usegmt=True)}, 10.0),
    ],
)
async def test_it_waits_as_long_as_was_asked(headers: dict[str, str], expected: float | None) -> None:
    clock = FakeClock()
    assert await retried(error(429, **headers), OK, clock=clock).generate("Hi.") == "Hello!"
    assert clock.slept == ([] if expected is None else [pytest.approx(expected)])


@pytest.mark.parametrize(
    "value", ["-1", "soon", "nan", "inf", "1e400", "", "0x10", "1, 2", "Tue, 99 Foo 2026 00:00:00 GMT", "9" * 400]
)
async def test_nonsense_is_no_wait_that_was_asked_for(value: str) -> None:
    clock = FakeClock()
    assert await retried(error(429, retry_after=value), OK, clock=clock).generate("Hi.") == "Hello!"
    assert len(clock.slept) == 1
    assert 0 <= clock.slept[0] <= 0.5


@pytest.mark.slow
async def test_else_it_waits_anything_up_to_a_bound_that_doubles() -> None:
    clock = FakeClock()
    backend = mellite.Retry(Failing(ProviderInternal("x")), attempts=8, budget=None, clock=clock)
    bounds = [0.5, 1, 2, 4, 8, 8, 8]
    for _ in range(1430):
        await backend.generate("Hi.").settle()
    assert len(clock.slept) >= 10_000
    for index, bound in enumerate(bounds):
        waits = clock.slept[index :: len(bounds)]
        assert 0 <= min(waits) < 0.02 * bound
        assert 0.98 * bound < max(waits) <= bound
        assert sum(waits) / len(waits) == pytest.approx(bound / 2, rel=0.1)


async def test_a_wait_that_nobody_asked_for_is_never_beyond_the_longest() -> None:
    clock = FakeClock()
    backend = mellite.Retry(Failing(ProviderInternal("x")), attempts=8, budget=None, max_wait=0.125, clock=clock)
    for _ in range(20):
        await backend.generate("Hi.").settle()
    assert len(clock.slept) == 20 * 7
    assert max(clock.slept) == 0.125


async def test_a_wait_beyond_the_longest_fails_at_once_and_says_what_was_asked() -> None:
    clock = FakeClock()
    thunk = await retried(error(429, retry_after="120"), OK, clock=clock).generate("Hi.").settle()
    assert isinstance(thunk.error, RateLimited)
    assert "it asked to wait 120 s, longer than max_wait=60 s" in str(thunk.error)
    assert (thunk.error.retry_after, clock.slept) == (120, [])


async def test_the_total_timeout_includes_attempts_and_waits() -> None:
    clock = FakeClock()
    thunk = retried(error(429, retry_after="7"), error(429, retry_after="7"), OK, clock=clock).generate(
        "Hi.", timeouts=Timeouts(total=10)
    )
    await thunk.settle()
    assert isinstance(thunk.error, RateLimited)
    assert clock.slept == [7]
    assert "it asked to wait 7 s, and 3 s of the total timeout are left" in str(thunk.error)
    assert thunk.generation.attempts == 2


async def test_the_next_attempt_has_the_time_that_is_left() -> None:
    never = anyio.Event().wait
    thunk = retried(error(429, retry_after="9.9"), [never, OK]).generate("Hi.", timeouts=Timeouts(total=10))
    with anyio.fail_after(5):
        await thunk.settle()
    assert isinstance(thunk.error, TotalTimeout)


async def test_cancelling_while_it_waits_returns_at_once() -> None:
    backend = mellite.Retry(scripted(error(429, retry_after="50"), OK))
    thunk = backend.generate("Hi.")
    with anyio.move_on_after(0.1):
        await thunk
    assert thunk.cancelled
    with anyio.fail_after(20):  # of 50 s
        running = backend.generate("Hi.")
        await running.cancel_generation()


async def test_retries_are_a_part_of_the_calls_of_the_last_minute_and_ten() -> None:
    clock = FakeClock()
    backend = mellite.Retry(Failing(ProviderInternal("x", retry_after=0)), attempts=2, clock=clock)
    made = [(await backend.generate("Hi.").settle()).generation.attempts for _ in range(50)]
    assert made.count(2) == 10 + 50 // 5
    thunk = await backend.generate("Hi.").settle()
    assert "retries were over 0.2 of the last minute's calls" in str(thunk.error)
    clock.time += 61
    assert (await backend.generate("Hi.").settle()).generation.attempts == 2


async def test_what_was_counted_a_minute_ago_is_forgotten() -> None:
    clock = FakeClock()
    backend = mellite.Retry(Failing(ProviderInternal("x", retry_after=0)), attempts=2, budget=0, clock=clock)
    for _ in range(3):  # each in the same second of its minute
        made = [(await backend.generate("Hi.").settle()).generation.attempts for _ in range(12)]
        assert made == [2] * 10 + [1] * 2
        clock.time += 120


# --- before anything was said ---------------------------------------------------------------------


async def test_what_a_failed_attempt_gave_before_it_said_anything_is_dropped() -> None:
    lost = ConnectionLost("reset")
    first = [ResponseStart(provider="p", response_id="one"), StepStart(), StepFinish(usage=Usage(input_tokens=7)), lost]
    quiet = [ResponseStart(provider="p", response_id="one"), StepStart(), TextDelta(""), lost]
    second = [ResponseStart(provider="p"), TextDelta("Hello!"), Finish("stop")]
    thunk = mellite.Retry(Scripted([quiet, second]), clock=FakeClock()).generate("Hi.")
    assert await thunk == "Hello!"
    assert thunk.generation.response_id is None
    assert [type(event) for event in [each async for each in thunk.events()]] == [ResponseStart, TextDelta, Finish]
    thunk = mellite.Retry(Scripted([first, second]), clock=FakeClock()).generate("Hi.")
    assert await thunk.settle() is thunk
    assert isinstance(thunk.error, ConnectionLost)  # the end of a step is not quiet


@pytest.mark.parametrize(
    "said",
    [
        TextDelta("H"),
        mellite.events.ReasoningDelta("H"),
        mellite.events.ToolInputStart("1", "look_up"),
        mellite.events.ToolCallEvent(mellite.ToolCall("1", "look_up", {})),
    ],
)
async def test_nothing_is_tried_again_once_something_was_said(said: Any) -> None:
    backend = Scripted([[said, ConnectionLost("reset")], "Hello!"])
    thunk = await mellite.Retry(backend, clock=FakeClock()).generate("Hi.").settle()
    assert isinstance(thunk.error, ConnectionLost)
    assert thunk.generation.attempts == 1


async def test_the_usage_of_failed_attempts_is_told() -> None:
    lost = ConnectionLost("reset", usage=Usage(input_tokens=9))
    thunk = mellite.Retry(Scripted([lost, "Hello!"]), clock=FakeClock()).generate("Hi.")
    await thunk
    (failure,) = thunk.generation.failures
    assert isinstance(failure, MelliteError)
    assert failure.usage == Usage(input_tokens=9)
    assert failure.__traceback__ is None


# --- pushed, over a real connection ---------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def in_turn(*answers: list[Step]) -> list[Step]:
    """Give one answer after the other."""
    return [step for answer in answers for step in [THEN, *answer]][1:]


def live(script: Script, **options: Any) -> LiveBackend:
    return LiveBackend(find("openai-chat:m", api_key="sk-test", base_url=f"{script.url}/v1"), **options)


STREAMED = [head(headers=SSE), piece(chunk("Hello")), piece(chunk("!")), piece(END), LAST]
FAILURES: dict[str, list[Step]] = {
    "refused": answer(b'{"error": {"message": "busy"}}', 503),
    "reset": [RESET],
    "headless": [head(headers=SSE), gate("broken"), RESET],
    "quiet": [head(headers=SSE), piece(chunk("")), gate("broken"), RESET],
    "cut": [head(headers=SSE), CLOSE],
    "error in the stream": [head(headers=SSE), piece(b'data: {"error": {"message": "x", "code": 503}}\n\n'), LAST],
}


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_live_attempt_that_says_nothing_is_tried_again(server: Server, failure: str, *, warm: bool) -> None:
    script = server.script(*in_turn(*[STREAMED] * warm, FAILURES[failure], STREAMED))
    async with mellite.Retry(live(script), clock=FakeClock()) as backend:
        if warm:
            assert await backend.generate("Hi.") == "Hello!"
        thunk = backend.generate("Hi.")
        if ["gate", "broken"] in FAILURES[failure]:
            async with anyio.create_task_group() as group:
                group.start_soon(thunk.settle)
                await anyio.to_thread.run_sync(script.waiting, 1)
                await anyio.sleep(0.02)  # so that what was sent before has arrived
                script.release("broken")
        assert [delta async for delta in thunk] == ["Hello", "!"]
        resent = warm and failure == "reset"  # a kept connection may end before a byte: that is not a failed attempt
        assert thunk.generation.attempts == (1 if resent else 2)
        assert len(thunk.generation.failures) == (0 if resent else 1)
        assert thunk.raw.status == 200
        assert len([event async for event in thunk.events() if type(event) is ResponseStart and event.status]) == 1
        assert thunk.generation.ttfb_ms is not None
        assert thunk.generation.duration_ms is not None
        assert thunk.generation.ttfb_ms <= thunk.generation.duration_ms


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_a_live_attempt_that_said_something_is_not(server: Server, *, warm: bool) -> None:
    broken = [head(headers=SSE), piece(chunk("Hel")), gate("on"), RESET]
    script = server.script(*in_turn(*[STREAMED] * warm, broken, STREAMED))
    async with live(script, retries=2) as backend:
        if warm:
            await backend.generate("Hi.")
        thunk = backend.generate("Hi.")
        deltas = aiter(thunk)
        assert await anext(deltas) == "Hel"
        script.release("on")
        with pytest.raises(ConnectionLost) as caught:
            await anext(deltas)
        assert caught.value.partial == "Hel"
        assert thunk.generation.attempts == 1


async def test_a_cancelled_attempt_keeps_what_it_knows(server: Server) -> None:
    silent = [head(headers={**SSE, "x-request-id": "req_1"}), gate("never"), LAST]
    script = server.script(*in_turn(STREAMED, silent))
    async with live(script, retries=2) as backend:
        await backend.generate("Hi.")
        thunk = backend.generate("Hi.")
        async with anyio.create_task_group() as group:
            group.start_soon(thunk.settle)
            await anyio.to_thread.run_sync(script.waiting, 1)
            await anyio.sleep(0.05)  # so that the head has arrived
            await thunk.cancel_generation()
        assert thunk.cancelled
        assert thunk.generation.request_id == "req_1"


# --- by default -----------------------------------------------------------------------------------


async def test_live_backends_try_twice_again_unless_told_otherwise() -> None:
    now = error(503, retry_after="0")
    thunk = mellite.backend(
        "openai-chat:m", api_key="sk-test", transport=ScriptedTransport([now, now, WHOLE])
    ).generate("Hi.", stream=False)
    assert await thunk == "Hello!"
    assert thunk.generation.attempts == 3
    thunk = await scripted(now, OK, retries=0).generate("Hi.").settle()
    assert isinstance(thunk.error, ProviderInternal)


async def test_a_rule_of_its_own_stands_in_for_that_of_the_backend() -> None:
    now = error(503, retry_after="0")
    for retries in (0, 1, 5):
        thunk = mellite.Retry(scripted(now, now, now, now, now, OK, retries=retries), attempts=2).generate("Hi.")
        await thunk.settle()
        assert thunk.generation.attempts == 2


async def test_a_script_that_is_used_up_ends_the_attempts() -> None:
    thunk = await scripted(error(429, retry_after="30"), retries=2).generate("Hi.").settle()
    assert isinstance(thunk.error, RateLimited)


@pytest.mark.parametrize("retries", [-1, True, 1.5, "2", None])
def test_a_number_of_retries_that_makes_no_sense_is_refused(retries: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mellite.backend("openai:gpt-4o", retries=retries)
    assert caught.value.parameter == "retries"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", 1.5),
        ("budget", -0.1),
        ("budget", float("nan")),
        ("max_wait", -1),
        ("max_wait", None),
        ("on", "x"),
        ("on", BaseException),
        ("clock", 5),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mellite.Retry(Scripted(["x"]), **{name: value})
    assert caught.value.parameter == name
    with pytest.raises(mellite.errors.ConfigurationError):
        mellite.Retry("openai:gpt-4o")


# --- cassettes ------------------------------------------------------------------------------------


def recorded(*answers: tuple[int, dict[str, str], bytes]) -> ReplayTransport:
    asked = mellite.backend("openai-chat:m", api_key="x").prepare(mellite.Request.of("Hi."))  # type: ignore[attr-defined]
    request = RecordedRequest("POST", asked.url, headers={"content-type": "application/json"}, body=Body.of(asked.body))
    return ReplayTransport(
        Cassette(
            tuple(
                HttpInteraction(request, RecordedResponse(status, headers=headers, body=Body.of(body)))
                for status, headers, body in answers
            )
        )
    )


BUSY = 429, {"retry-after": "50", "content-type": "application/json"}, b'{"error": {"message": "busy"}}'


async def test_what_comes_from_a_cassette_waits_for_nothing() -> None:
    transport = recorded(BUSY, BUSY, (200, SSE, OK))
    with anyio.fail_after(20):  # of 50 s
        thunk = mellite.backend("openai-chat:m", transport=transport).generate("Hi.")
        assert await thunk == "Hello!"
    assert thunk.generation.attempts == 3
    assert thunk.generation.replayed


async def test_what_says_that_it_is_replayed_waits_for_nothing_either() -> None:
    clock = FakeClock()
    failed = [ResponseStart(replayed=True), ProviderInternal("busy", retry_after=50)]
    assert await mellite.Retry(Scripted([failed, "Hello!"]), clock=clock).generate("Hi.") == "Hello!"
    assert clock.slept == []


@pytest.mark.parametrize("failures", [1, 2])
async def test_where_the_cassette_has_no_further_attempt_the_recorded_error_stands(failures: int) -> None:
    with anyio.fail_after(20):  # of 50 s
        thunk = mellite.backend("openai-chat:m", transport=recorded(*[BUSY] * failures)).generate("Hi.")
        await thunk.settle()
    assert isinstance(thunk.error, RateLimited)
    assert (thunk.generation.attempts, len(thunk.generation.failures)) == (failures, failures - 1)
    assert thunk.raw.status == 429


# --- it is a backend ------------------------------------------------------------------------------


async def test_it_hands_on_what_is_not_its_own() -> None:
    inside = scripted(OK)
    backend = mellite.Retry(inside)
    assert backend.route.provider == "openai"
    assert backend.prepare(mellite.Request.of("Hi.")).url.endswith("/chat/completions")
    assert backend.describe() == inside.describe()
    async with backend:
        assert await backend.generate("Hi.") == "Hello!"


def test_it_is_pickled_by_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")  # one that is given in code is never pickled
    backend = mellite.Retry(scripted(OK), attempts=5, budget=None, on=KeyError, max_wait=3)
    again = pickle.loads(pickle.dumps(backend))
    assert repr(again) == repr(backend)
    assert "attempts=5, budget=None, on=<class 'KeyError'>, max_wait=3" in repr(again)
    live = mellite.backend("openai-chat:m", transport=ScriptedTransport([error(503, retry_after="0"), OK]))
    assert pickle.loads(pickle.dumps(live)).generate("Hi.").result() == "Hello!"


async def test_copies_and_pickles_keep_the_failures() -> None:
    thunk = retried(error(503), OK).generate("Hi.")
    await thunk
    deep = copy.deepcopy(thunk)
    assert deep.generation.failures[0] is thunk.generation.failures[0]
    kept = pickle.loads(pickle.dumps(thunk.generation))
    assert [type(each) for each in kept.failures] == [ProviderInternal]
    assert kept.attempts == 2
    assert await copy.copy(retried(error(503), OK).generate("Hi.")) == "Hello!"


async def test_wrapped_in_one_another_they_count_every_request() -> None:
    inner = mellite.Retry(scripted(error(503), error(503), error(503), OK), attempts=2, clock=FakeClock())
    thunk = mellite.Retry(inner, attempts=2, clock=FakeClock()).generate("Hi.")
    assert await thunk == "Hello!"
    assert thunk.generation.attempts == 4
    assert len(thunk.generation.failures) == 3
