"""Recorders keep the starts and ends of steps: printed, as JSON lines, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from mellite.backends import Scripted
from mellite.errors import InvalidRequest
from mellite.steps import JsonLinesRecorder, LLMCallConfig, PrintRecorder, Recorder, SqliteRecorder, run_llm_call

pytestmark = pytest.mark.anyio

ASK = LLMCallConfig("openai", "m", prompt="Hi.")
TEXT = "Grüße \ud800 \x00\n"


async def steps(recorder: Recorder, number: int) -> None:
    """Run as many steps at once, all of which succeed, and one that does not."""
    backend = Scripted([TEXT] * number)
    async with anyio.create_task_group() as group:
        for each in range(number):
            group.start_soon(lambda step: run_llm_call("flow", f"s{step}", ASK, recorder, client=backend), each)
    await run_llm_call("flow", "none", LLMCallConfig("openai", "m"), recorder)


async def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    await run_llm_call("flow", "one", LLMCallConfig("fake", "toy", prompt="Hi."), PrintRecorder())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "START: flow one {'type': 'ai.llm_call', 'provider': 'fake', 'model': 'toy', 'attempt': 0}"
    assert lines[1].startswith("END: flow one success {'status': 'ok', 'text': '[fake:toy] .iH'")


async def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    await steps(JsonLinesRecorder(path), 8)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["event"] for line in lines].count("start") == 9
    ends = [line for line in lines if line["event"] == "end"]
    assert {line["step_id"]: line["status"] for line in ends} == {
        **{f"s{number}": "success" for number in range(8)},
        "none": "error",
    }
    assert {line["payload"].get("text") for line in ends} == {TEXT, None}
    assert all(line["payload"]["attempt"] == 0 and line["status"] is None for line in lines if line["event"] == "start")


async def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "steps.db"
    await steps(SqliteRecorder(str(path)), 4)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT flow_id, step_id, status, payload FROM steps").fetchall()
        assert database.execute("SELECT count(*) FROM step_records").fetchone() == (10,)
    assert sorted((step, status) for _, step, status, _ in rows) == [
        ("none", "error"),
        *[(f"s{number}", "success") for number in range(4)],
    ]
    assert {json.loads(payload).get("text") for *_, payload in rows} == {TEXT, None}


@pytest.mark.parametrize("kind", [JsonLinesRecorder, SqliteRecorder])
async def test_a_file_that_cannot_be_written_stops_no_step(
    kind: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = kind(tmp_path / "no such folder" / "file")
    for _ in range(2):
        assert (await run_llm_call("f", "s", ASK, recorder, client=Scripted(["Hello!"])))["status"] == "ok"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", [JsonLinesRecorder, SqliteRecorder])
@pytest.mark.parametrize("bad", [None, 1, b"x", "", ":memory:"])
async def test_bad_paths(kind: Any, bad: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        kind(bad)
    assert caught.value.parameter == "path"
