"""A step asks a model, tries again, and ends in a payload whatever happens; only cancellation goes through."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Scripted
from mellite.cassettes import ReplayTransport, ScriptedTransport
from mellite.cassettes.files.read import load_cassette
from mellite.errors import ConnectionLost, InvalidRequest, ProviderInternal, UnknownProvider
from mellite.steps import (
    AsyncLLMClient,
    LLMCallConfig,
    LLMClientFactory,
    LLMRequest,
    LLMResponse,
    LLMUsage,
    Recorder,
    run_llm_call,
)
from mellite.thunk.observing import Activity, Observer, using
from tests.wire.server import LAST, THEN, head, piece, serve

pytestmark = pytest.mark.anyio

OK = json.dumps(
    {
        "choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}],
        "model": "gpt-4o-mini",
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }
)
BUSY = 503, {"retry-after-ms": "0"}, '{"error": {"message": "busy"}}'


class Kept(Recorder):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def record_step_start(self, flow_id: str, step_id: str, payload: Any = None) -> None:
        self.told.append(("start", flow_id, step_id, payload))

    def record_step_end(self, flow_id: str, step_id: str, status: str, payload: Any = None) -> None:
        self.told.append(("end", flow_id, step_id, status, payload))


def fake(**changes: Any) -> LLMCallConfig:
    return LLMCallConfig(**{"provider": "fake", "model": "toy-1", "prompt": "Hello there.", **changes})


def openai(*answers: Any, **options: Any) -> tuple[mellite.Backend, ScriptedTransport]:
    transport = ScriptedTransport(list(answers))
    return mellite.backend("openai-chat:gpt-4o-mini", api_key="sk-test", transport=transport, **options), transport


async def test_a_step_and_what_its_recorder_is_told() -> None:
    recorder = Kept()
    payload = await run_llm_call(
        "flow", "one", fake(prompt=None, template="Hi {{name}}", vars={"name": "Bo"}), recorder
    )
    duration = payload["duration_ms"]
    assert payload == {
        "status": "ok",
        "text": "[fake:toy-1] oB iH",
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3, "cost_usd": 0.0},
        "provider": "fake",
        "model": "toy-1",
        "attempts": 1,
        "duration_ms": duration,
    }
    assert 10 <= duration < 10_000
    start = {"type": "ai.llm_call", "provider": "fake", "model": "toy-1", "attempt": 0}
    assert recorder.told == [("start", "flow", "one", start), ("end", "flow", "one", "success", payload)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": None}, "requires either 'prompt' or 'template'"),
        ({"prompt": ""}, "requires either 'prompt' or 'template'"),
        ({"provider": "opnai"}, "there is no provider 'opnai'; did you mean 'openai'?"),
        ({"provider": ""}, "there is no provider ''"),
        ({"provider": "openai:x"}, "there is no provider 'openai:x'"),
        ({"prompt": "{x}", "vars": {}}, "a place for 'x'"),
        ({"provider": "openai", "temperature": "hot"}, "'temperature'"),
        ({"provider": "openai", "model": ""}, "openai"),
    ],
)
async def test_mistakes_are_payloads(changes: dict[str, Any], reason: str) -> None:
    recorder = Kept()
    payload = await run_llm_call("f", "s", fake(**changes), recorder)
    assert list(payload) == ["status", "reason", "provider", "model", "attempts", "duration_ms"]
    assert payload["status"] == "error"
    assert reason in payload["reason"]
    assert [each[0] for each in recorder.told] == ["start", "end"]
    assert recorder.told[1][3:] == ("error", payload)


async def test_providers_in_any_case() -> None:
    for name in ("fake", "FAKE", "local", " Local "):
        assert (await run_llm_call("f", "s", fake(provider=name)))["status"] == "ok"
    assert LLMClientFactory.make("OpenAI").provider_name == "openai"
    with pytest.raises(UnknownProvider, match="'fakes'"):
        LLMClientFactory.make("fakes")


async def test_a_provider_is_asked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef0123456789abcdef")
    with serve() as server:
        answers = [[head(503, {"retry-after-ms": "0"}), piece(b"{}"), LAST] for _ in range(3)]
        script = server.script(*answers[0], THEN, *answers[1], THEN, *answers[2])
        monkeypatch.setenv("OPENAI_BASE_URL", script.url)
        payload = await run_llm_call("f", "s", fake(provider="openai-chat", model="m", max_retries=2))
        assert len(script.requests(3)) == 3
    assert (payload["status"], payload["attempts"]) == ("error", 3)
    assert "sk-test" not in str(payload)


async def test_usage_and_cost_of_an_answer_of_openai() -> None:
    backend, transport = openai(OK)
    config = fake(provider="openai", temperature=0.5, top_p=0.9, extra={"seed": 7, "user": "u"})
    payload = await run_llm_call("f", "s", config, client=backend)
    cost = (1000 * 0.15 + 500 * 0.60) / 1_000_000
    assert payload["usage"] == {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "cost_usd": pytest.approx(cost),
    }
    assert type(payload["usage"]["cost_usd"]) is float
    body = json.loads(transport.requests[0].body)
    assert {name: body[name] for name in ("model", "temperature", "top_p", "seed", "user")} == {
        "model": "toy-1",
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "user": "u",
    }


async def test_a_cost_that_nobody_knows_is_none() -> None:
    payload = await run_llm_call("f", "s", fake(), client=Scripted(["Hello!"]))
    assert payload["usage"]["cost_usd"] is None
    assert payload["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("retries", [0, 5])
async def test_the_step_alone_tries_again(retries: int) -> None:
    backend, transport = openai(*[BUSY] * 9, retries=retries)
    payload = await run_llm_call("f", "s", fake(max_retries=2), client=backend)
    assert (payload["status"], payload["attempts"], len(transport.requests)) == ("error", 3, 3)
    assert "busy" in payload["reason"]


async def test_what_passes_ends_well() -> None:
    backend, _ = openai(BUSY, ConnectionLost("reset", retry_after=0), OK)
    payload = await run_llm_call("f", "s", fake(), client=backend)
    assert (payload["status"], payload["text"], payload["attempts"]) == ("ok", "Hello!", 3)


@pytest.mark.parametrize("answer", [(401, {}, "{}"), (501, {}, "{}"), (503, {"retry-after": "61"}, "{}")])
async def test_what_will_not_pass_is_not_tried_again(answer: Any) -> None:
    backend, _ = openai(answer, OK)
    payload = await run_llm_call("f", "s", fake(), client=backend)
    assert (payload["status"], payload["attempts"]) == ("error", 1)
    assert ("61 s" in payload["reason"]) == (answer[0] == 503)


class Slow(AsyncLLMClient):
    """Takes its time, as often as it is told to."""

    provider_name = "slow"

    def __init__(self, times: int) -> None:
        self.times = times
        self.cancelled = 0

    async def complete(self, req: LLMRequest) -> LLMResponse:
        self.times -= 1
        if self.times >= 0:
            try:
                await anyio.sleep(60)
            finally:
                self.cancelled += 1
        return LLMResponse(req.prompt, LLMUsage())


@pytest.mark.slow
async def test_the_timeout_is_that_of_an_attempt() -> None:
    slow = Slow(1)
    payload = await run_llm_call("f", "s", fake(timeout_ms=20, max_retries=1), client=slow)
    assert (payload["status"], payload["text"], payload["attempts"]) == ("ok", "Hello there.", 2)
    slow = Slow(9)
    payload = await run_llm_call("f", "s", fake(timeout_ms=20, max_retries=0), client=slow)
    assert (payload["reason"], payload["attempts"], slow.cancelled) == ("timeout after 0.02s", 1, 1)


async def test_a_generation_that_took_too_long_is_cancelled() -> None:
    slow = Scripted([["a", "b"]], delay=60)
    payload = await run_llm_call("f", "s", fake(timeout_ms=0, max_retries=0), client=slow)
    assert payload["reason"] == "timeout after 0.001s"
    assert slow.calls == 1


async def test_cancellation_goes_through() -> None:
    recorder = Kept()
    with anyio.move_on_after(0.02) as scope:
        await run_llm_call("f", "s", fake(timeout_ms=60_000), recorder, client=Slow(9))
    assert scope.cancelled_caught
    assert [each[0] for each in recorder.told] == ["start"]


class Odd(AsyncLLMClient):
    """Raises what it was given."""

    provider_name = "odd"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def complete(self, req: LLMRequest) -> LLMResponse:
        del req
        raise self.error


async def test_foreign_errors_are_payloads_without_keys() -> None:
    key = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    payload = await run_llm_call("f", "s", fake(), client=Odd(KeyError(key)))
    assert (payload["status"], payload["attempts"]) == ("error", 1)
    assert key not in payload["reason"]
    assert (await run_llm_call("f", "s", fake(), client=Odd(ZeroDivisionError())))["reason"] == (
        "error: ZeroDivisionError"
    )
    late = await run_llm_call("f", "s", fake(max_retries=0), client=Odd(TimeoutError("late")))
    assert late["reason"] == "error: late"


class Passing(Exception):
    """An error of a client of one's own that says that it may pass."""

    retryable = True


async def test_a_foreign_error_that_says_so_is_tried_again() -> None:
    payload = await run_llm_call("f", "s", fake(max_retries=1), client=Odd(Passing("busy")))
    assert (payload["status"], payload["attempts"], payload["reason"]) == ("error", 2, "error: busy")


async def test_a_recorded_failure_stands_where_nothing_follows(tmp_path: Any) -> None:
    busy = 503, {"retry-after": "30"}, BUSY[2]
    path = tmp_path / "busy.json"
    async with mellite.cassettes.use(path, mode="all", even_in_ci=True, live=openai(busy)[1]) as transport:
        backend = mellite.backend("openai-chat:m", api_key="sk-test", transport=transport)
        await run_llm_call("f", "s", fake(model="m", max_retries=0), client=backend)
    replayed = mellite.backend("openai-chat:m", transport=ReplayTransport(load_cassette(str(path))))
    payload = await run_llm_call("f", "s", fake(model="m"), client=replayed)
    assert (payload["status"], payload["attempts"]) == ("error", 1)
    assert "busy" in payload["reason"]
    assert payload["duration_ms"] < 10_000


class Broken(Recorder):
    """Fails."""

    def record_step_start(self, flow_id: str, step_id: str, payload: Any = None) -> None:
        raise OSError(flow_id)

    async def record_step_end(self, flow_id: str, step_id: str, status: str, payload: Any = None) -> None:
        raise RuntimeError(status)


async def test_a_recorder_that_fails_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken()
    for _ in range(2):
        assert (await run_llm_call("f", "s", fake(), broken))["status"] == "ok"
    assert [record.getMessage() for record in caplog.records] == [
        "the recorder Broken failed, and steps go on without it; this is said once: OSError: f"
    ]


class Looks(Observer):
    """Keeps what begins and ends."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []

    def started(self, activity: Activity) -> None:
        self.seen.append(("started", activity.kind, activity.parent and activity.parent.kind))

    def settled(self, activity: Activity) -> None:
        self.seen.append(("settled", activity.kind, (activity.result or {}).get("status")))


async def test_a_step_is_an_activity() -> None:
    looks = Looks()
    with using(looks):
        await run_llm_call("f", "s", fake(), client=Scripted(["Hello!"]))
        await run_llm_call("f", "s", fake(max_retries=0), client=Scripted([ProviderInternal("no")]))
    assert [each for each in looks.seen if each[1] == "step"] == [
        ("started", "step", None),
        ("settled", "step", "ok"),
        ("started", "step", None),
        ("settled", "step", "error"),
    ]
    assert ("started", "generation", "step") in looks.seen


@pytest.mark.parametrize(
    "bad",
    [
        {"provider": None},
        {"model": 1},
        {"prompt": b"x"},
        {"template": 1},
        {"vars": []},
        {"extra": "x"},
        {"timeout_ms": "1"},
        {"timeout_ms": float("nan")},
        {"timeout_ms": True},
        {"timeout_ms": 10**400},
        {"timeout_ms": float("inf")},
        {"max_retries": -1},
        {"max_retries": 1.5},
    ],
)
async def test_bad_configurations_name_their_field(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fake(**bad)
    assert caught.value.parameter == next(iter(bad))


async def test_bad_arguments_are_raised() -> None:
    anything: Any = {}
    with pytest.raises(InvalidRequest, match="'cfg'"):
        await run_llm_call("f", "s", anything)
    with pytest.raises(InvalidRequest, match="'client'"):
        await run_llm_call("f", "s", fake(), client=anything)
