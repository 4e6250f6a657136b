"""What a log keeps of thunks, runs and steps: its views, what is masked, and what is not counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite import Message, Request, Usage
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidRequest, RateLimited
from mellite.events import Event, Finish, ReasoningDelta, ResponseStart, TextDelta
from mellite.steps import LLMCallConfig, SqliteRecorder, TelemetryRecorder, run_llm_call
from tests.archive.log.logs import CALLS, columns, everything_in, rows, told

pytestmark = pytest.mark.anyio

KEY = "sk-abcdefghijklmnopqrstuvwxyz"


class Says(mellite.Backend):
    """Answers with events of the test's."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        for event in self.events:
            yield event


class Waits(mellite.Backend):
    """Says something, and waits until it is cancelled."""

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        yield TextDelta("so far")
        await anyio.sleep_forever()


def openai(*answers: str, key: str = "sk-test", **options: Any) -> mellite.Backend:
    return mellite.backend("openai-chat:gpt-4o", api_key=key, transport=ScriptedTransport([*answers]), **options)


ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }
)


async def test_the_views_have_the_columns_that_are_promised(tmp_path: Path) -> None:
    """Exactly those that are documented, in this order."""
    with mellite.log.to(tmp_path / "log.db"):
        await Echo().generate("Hello.")
    path = tmp_path / "log.db"
    assert columns(path, "calls") == CALLS
    assert columns(path, "runs") == ["id", "started_at", "state", "stop_reason"]
    assert columns(path, "steps") == ["flow_id", "step_id", "status", "payload"]
    assert [columns(path, view)[0] for view in ("cost_by_day", "slowest", "errors")] == ["day", "id", "id"]


async def test_a_live_answer(tmp_path: Path) -> None:
    """Everything that the thunk knows: models, text, tokens, cost, times; and the provider's own answer."""
    path = tmp_path / "log.db"
    before = datetime.now(UTC)
    with mellite.log.to(str(path)) as log:
        thunk = openai(ANSWER).generate("Hello.", system="Be brief.", metadata={"tags": ["a", "b"]})
        await thunk
        assert log.lost == 0
    (call,) = told(path, "calls")
    facts = thunk.generation
    assert {name: call[name] for name in ("id", "provider", "model", "response_model", "state", "text")} == {
        "id": facts.generation_id,
        "provider": "openai",
        "model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "state": "done",
        "text": "Hi.",
    }
    assert call["prompt"] == "system: Be brief.\n\nuser: Hello."
    assert (call["input_tokens"], call["output_tokens"]) == (1000, 200)
    assert facts.cost_usd is not None
    assert call["cost_usd"] == pytest.approx(float(facts.cost_usd))
    assert call["duration_ms"] == facts.duration_ms
    assert before <= datetime.fromisoformat(call["started_at"]) <= datetime.now(UTC)
    assert (json.loads(call["tags"]), json.loads(call["lineage"]), call["replayed"]) == (["a", "b"], [], 0)
    assert [call[name] for name in ("parent", "thinking", "error_type", "error")] == [None] * 4
    ((status, response),) = rows(path, "SELECT status, response FROM raw_answers")
    assert (status, json.loads(response)) == (200, json.loads(ANSWER))
    (day,) = told(path, "cost_by_day")
    assert (day["day"], day["calls"], day["unpriced"]) == (before.date().isoformat(), 1, 0)
    assert day["cost_usd"] == pytest.approx(call["cost_usd"])


async def test_raw_answers_may_be_left_out(tmp_path: Path) -> None:
    """With ``raw=False`` no provider's own answer is in the file."""
    with mellite.log.to(tmp_path / "log.db", raw=False):
        await openai(ANSWER).generate("Hello.")
    assert rows(tmp_path / "log.db", "SELECT count(*) FROM raw_answers") == [(0,)]


async def test_failures_cancellations_and_thinking(tmp_path: Path) -> None:
    """Each has its state; only a failure is an error, and what came before it is kept."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        await Failing(RateLimited("too many", provider="acme"), after=1).generate("x").settle()
        thunk = Waits().generate("wait")
        with anyio.move_on_after(0.05):
            await thunk
        await Says(ReasoningDelta("hm"), TextDelta("so"), Finish("stop")).generate("think")
    failed, cancelled, done = told(path, "calls")
    assert (failed["state"], failed["error_type"], failed["provider"]) == ("failed", "RateLimited", "fake")
    assert "too many" in failed["error"]
    assert (cancelled["state"], cancelled["text"], cancelled["error"]) == ("cancelled", "so far", None)
    assert rows(path, "SELECT cancel_reason FROM call_records WHERE state = 'cancelled'") != [(None,)]
    assert (done["thinking"], done["text"]) == ("hm", "so")
    assert [error["id"] for error in told(path, "errors")] == [failed["id"]]
    assert {row["id"] for row in told(path, "slowest")} == {failed["id"], cancelled["id"], done["id"]}


async def test_failed_attempts_and_what_they_cost(tmp_path: Path) -> None:
    """An answer at the second attempt says why the first one failed, without a key."""
    path = tmp_path / "log.db"
    busy = '{"error": {"message": "busy ' + KEY + '", "type": "server_error"}}'
    transport = ScriptedTransport([(503, {"content-type": "application/json", "retry-after-ms": "1"}, busy), ANSWER])
    with mellite.log.to(path):
        await mellite.backend("openai-chat:gpt-4o", api_key="sk-test", transport=transport).generate("Hello.")
    ((attempts, failures),) = rows(path, "SELECT attempts, failures FROM call_records")
    assert attempts == 2
    (failure,) = json.loads(failures)
    assert failure["error_type"] == "ProviderInternal"
    assert KEY not in failures


async def test_lineage_of_samples(tmp_path: Path) -> None:
    """Copies say which copy they are."""
    with mellite.log.to(tmp_path / "log.db"):
        await mellite.gather(*Scripted(["a", "b"]).generate("x").resample(2))
    assert sorted(call["lineage"] for call in told(tmp_path / "log.db", "calls")) == ["[0]", "[1]"]


async def test_a_run_is_the_parent_of_its_steps_and_of_what_its_tools_ask(tmp_path: Path) -> None:
    """Its id is that of its thunk, and the calls below it name it."""
    path = tmp_path / "log.db"
    inner = Constant("inner")

    @mellite.tool
    async def ask() -> str:
        """Ask another model."""
        return await inner.generate("from the tool")

    backend = Scripted([[mellite.ToolCall("1", "ask", {})], "done"])
    with mellite.log.to(path):
        run = mellite.run(backend, "go", tools=[ask])
        await run
    (kept,) = told(path, "runs")
    assert kept["id"] == run.generation.generation_id
    assert (kept["state"], kept["stop_reason"]) == ("done", "answered")
    assert {call["parent"] for call in told(path, "calls")} == {kept["id"]}
    prompts = [call["prompt"] for call in told(path, "calls")]
    assert "from the tool" in prompts
    assert "tool: inner" in prompts[-1]


async def test_steps_with_their_payload(tmp_path: Path) -> None:
    """Steps that went well, that failed, and of a flow of one's own; masked as all else is."""
    path = tmp_path / "log.db"
    recorder = TelemetryRecorder()
    with mellite.log.to(path):
        await run_llm_call("flow", "ok", LLMCallConfig("openai", "m", prompt=f"Hi. {KEY}"), client=Echo())
        await run_llm_call("flow", "bad", LLMCallConfig("nobody", "m", prompt="Hi."))
        recorder.record_step_start("flow", "own")
        recorder.record_step_end("flow", "own", "success", {"status": "ok", "api_key": "hunter2hunter2"})
    kept = {step["step_id"]: step for step in told(path, "steps")}
    assert {name: step["status"] for name, step in kept.items()} == {"ok": "success", "bad": "error", "own": "success"}
    assert "no provider 'nobody'" in json.loads(kept["bad"]["payload"])["reason"]
    assert json.loads(kept["ok"]["payload"])["text"] == "Hi. [REDACTED]"
    assert "hunter2" not in kept["own"]["payload"]
    ((parent,),) = rows(path, "SELECT parent FROM call_records")
    assert rows(path, "SELECT step_id FROM step_records WHERE activity = ?", parent) == [("ok",)]


async def test_a_recorder_may_write_into_the_file_of_a_log_and_a_log_into_that_of_a_recorder(tmp_path: Path) -> None:
    """Both write into one table, whoever made it."""
    path = tmp_path / "both.db"
    step = LLMCallConfig("fake", "m", prompt="Hi.")
    await run_llm_call("flow", "before", step, SqliteRecorder(path))
    with mellite.log.to(path) as log:
        await run_llm_call("flow", "logged", step)
        log.flush()
        await run_llm_call("flow", "beside", step, SqliteRecorder(path))
    assert [each["step_id"] for each in told(path, "steps")].count("before") == 1
    assert {each["step_id"] for each in told(path, "steps")} == {"before", "logged", "beside"}
    assert columns(path, "steps") == ["flow_id", "step_id", "status", "payload"]


async def test_no_secret_reaches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys by their look, values of secret variables, secret fields of JSON: in prompts, answers, thinking, errors."""
    path = tmp_path / "log.db"
    monkeypatch.setenv("ACME_API_KEY", "correcthorsebatterystaple")
    own = "correcthorsebatterystaple"
    hidden = '{"password": "hunter2hunter2"}'
    text = f"{KEY} {own}"
    answer = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "secret": own})
    with mellite.log.to(path):
        await Echo().generate([Message.system(text), Message.user(text), Message.assistant(hidden), Message.user("x")])
        await Says(ReasoningDelta(text), TextDelta(hidden), Finish("stop")).generate(hidden, metadata={"tags": [text]})
        await Failing(ValueError(text)).generate("x").settle()
        await openai(answer, key=own).generate("Hello.")
        await run_llm_call("flow", text, LLMCallConfig("fake", "m", prompt=text))
    data = everything_in(tmp_path)
    for secret in (KEY, own, "hunter2hunter2"):
        assert secret.encode() not in data
    assert len(told(path, "calls")) == 4  # the fake client of a step asks no backend


async def test_replayed_work_is_marked_and_costs_nothing(tmp_path: Path) -> None:
    """It keeps its cost, which no sum has in it."""
    path = tmp_path / "log.db"
    cassette = tmp_path / "c.json"
    with mellite.cassettes.use(cassette, mode="all", live=ScriptedTransport([ANSWER])) as transport:
        await mellite.backend("openai-chat:gpt-4o", api_key="sk-test", transport=transport).generate("Hello.")
    with mellite.log.to(path), mellite.cassettes.use(cassette) as transport:
        thunk = mellite.backend("openai-chat:gpt-4o", transport=transport).generate("Hello.")
        await thunk
    (call,) = told(path, "calls")
    assert (call["replayed"], call["input_tokens"]) == (1, 1000)
    assert call["cost_usd"] == pytest.approx(float(thunk.cost_usd or 0))
    assert (told(path, "cost_by_day"), told(path, "slowest")) == ([], [])


async def test_an_unknown_price_makes_no_cost_of_zero(tmp_path: Path) -> None:
    """The sum is unknown, and says for how many calls."""
    with mellite.log.to(tmp_path / "log.db"):
        await Echo().generate("Hello.")
    (day,) = told(tmp_path / "log.db", "cost_by_day")
    assert (day["cost_usd"], day["unpriced"]) == (None, 1)


async def test_thunks_that_share_a_generation_are_all_there_and_it_is_counted_once(tmp_path: Path) -> None:
    """Three rows, one id, one cost."""
    path = tmp_path / "log.db"
    usage = Finish("stop", usage=Usage.of(input_tokens=5, output_tokens=7))
    backend = Says(TextDelta("a"), usage)
    with mellite.log.to(path), mellite.share():
        await mellite.gather(*[backend.generate("same") for _ in range(3)])
    calls = told(path, "calls")
    assert ([call["text"] for call in calls], len({call["id"] for call in calls})) == (["a"] * 3, 1)
    (day,) = told(path, "cost_by_day")
    assert (day["calls"], day["output_tokens"]) == (1, 7)


async def test_a_history_of_fifty_turns_is_stored_once(tmp_path: Path) -> None:
    """Each message is in the file once, and each prompt can be read whole."""
    path = tmp_path / "log.db"
    history: list[Message] = []
    backend = Scripted([f"answer {number:03} " + "x" * 2000 for number in range(50)])
    with mellite.log.to(path):
        for number in range(50):
            history.append(Message.user(f"question {number:03} " + "y" * 2000))
            thunk = backend.generate(history)
            await thunk
            history.append(thunk.message)
    assert path.stat().st_size < 4 * 50 * 4000
    data = path.read_bytes()
    assert (data.count(b"question 017 "), data.count(b"answer 017 ")) == (1, 1)
    calls = told(path, "calls")
    assert [call["text"][:10] for call in calls] == [f"answer {number:03}" for number in range(50)]
    last = calls[-1]["prompt"].split("\n\n")
    assert [turn[:16] for turn in last[:2]] == ["user: question 0", "assistant: answe"]
    assert len(last) == 99


async def test_odd_texts(tmp_path: Path) -> None:
    """Halves of surrogate pairs, NUL, huge answers, pictures, and values that are not JSON: all are kept."""
    path = tmp_path / "log.db"
    picture = mellite.Image(data=b"\x89PNG" + bytes(100), media_type="image/png")
    big = "word " * 2_000_000
    loop: list[Any] = []
    loop.append(loop)
    with mellite.log.to(path) as log:
        await Constant("\ud800 \x00 ü").generate("half \udfff")
        await Constant(big).generate("big")
        await Constant("a cat").generate(["What is it?", picture])
        await Says(ResponseStart(status=200), TextDelta("x"), Finish("stop", response=loop)).generate("x")
        await Constant("y").generate("y", metadata={"tags": "alone"})
        assert log.lost == 0
    half, large, cat, _, tagged = told(path, "calls")
    assert (half["prompt"], half["text"]) == ("half \\udfff", "\\ud800 \x00 ü")
    assert large["text"] == big
    assert cat["prompt"] == "What is it?[image]"
    assert tagged["tags"] == '["alone"]'
    assert rows(path, "SELECT count(*) FROM messages WHERE content LIKE '%image/png%'") == [(1,)]


async def test_what_a_row_cannot_hold_is_counted_and_costs_no_other_row(tmp_path: Path) -> None:
    """Rows before and behind it are there, and the log says what was wrong."""

    class Broken(list[str]):
        def __iter__(self) -> Any:
            raise RuntimeError("no tags here")

    with mellite.log.to(tmp_path / "log.db") as log:
        await Echo().generate("one")
        for _ in range(2):
            assert await Echo().generate("two", metadata={"tags": Broken()}) == "two"
        await Echo().generate("three")
    assert (log.written, log.lost) == (2, 2)
    assert [call["text"] for call in told(tmp_path / "log.db", "calls")] == ["one", "three"]
    assert "no tags here" in (log.problem or "")


@pytest.mark.parametrize("path", ["", ":memory:", 5, b"log.db", "a\0b"])
async def test_paths_that_are_none(path: Any) -> None:
    """They are refused at once, by name."""
    with pytest.raises(InvalidRequest, match="'path' must be the path of a file") as caught:
        mellite.log.to(path)
    assert caught.value.parameter == "path"


@pytest.mark.parametrize("retention", [0, -1, True, "30d", float("nan"), float("inf"), 1e300])
async def test_retentions_that_are_none(retention: Any, tmp_path: Path) -> None:
    """They are refused at once, by name."""
    with pytest.raises(InvalidRequest, match="retention"):
        mellite.log.to(tmp_path / "log.db", retention=retention)
