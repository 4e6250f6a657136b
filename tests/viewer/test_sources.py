"""Cassettes, journals and logs give the viewer the same: rows, whole calls, timelines, runs, costs, differences."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

import mellite
from mellite.archive.log.choosing import Wanted
from mellite.errors import CassetteMiss, MelliteError
from mellite.events import Finish, TextDelta, ToolInputDelta, ToolInputStart
from mellite.viewer.rows import Changes, Source
from mellite.viewer.sources import source_at
from tests.archive.journal.support import ByStep
from tests.viewer.viewing import COLUMNS, Growing, journaled, logged, recorded


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """A source of each kind."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "cassette": source_at(str(recorded(folder / "chat.json", "One two.", "Three."))),
        "journal": source_at(str(journaled(folder / "journal"))),
        "log": source_at(str(logged(folder / "log.db"))),
    }


def ids(source: Source, **wanted: Any) -> list[str]:
    """The ids of the calls that are wanted."""
    found = source.calls(Wanted(**wanted), 0, 100)
    assert found.total == len(found.calls)
    return [row.id for row in found.calls]


def soon(look: Callable[[], Changes]) -> Changes:
    """What has changed, as soon as something has: a source does not look for it all the time."""
    until = time.monotonic() + 30
    while not (found := look()).calls:
        assert time.monotonic() < until  # it is asked again at once
    return found


@pytest.mark.parametrize("kind", ["cassette", "journal", "log"])
def test_rows_have_the_columns_of_a_log(sources: dict[str, Source], kind: str) -> None:
    """Each kind of source gives rows with the columns of the view ``calls``, the newest first."""
    source = sources[kind]
    assert source.kind == kind
    found = source.calls(Wanted(), 0, 100)
    assert list(found.calls[0].as_json()) == COLUMNS
    moments = [row.started_at or "" for row in found.calls]
    assert moments == sorted(moments, reverse=True)
    assert ids(source, order="oldest") == ids(source)[::-1]
    assert [row.id for row in source.calls(Wanted(), 1, 1).calls] == ids(source)[1:2]
    assert source.call("no such id") is source.run("no such id") is source.timeline("no such id") is None
    assert source.difference("no such id", ids(source)[0]) is None


def test_calls_of_a_cassette(sources: dict[str, Source]) -> None:
    """A recorded call is read as what was asked and answered, with its request, its answer and its tokens."""
    row = sources["cassette"].calls(Wanted(), 0, 1).calls[0]
    assert (row.id, row.provider, row.model, row.state) == ("1", "openai", "gpt-4o-mini", "done")
    assert (row.prompt, row.text, row.lineage) == ("Say <i>it</i>.", "Three.", (1,))
    assert (row.input_tokens, row.output_tokens, row.duration_ms) == (1000, 100, 45.0)
    call = sources["cassette"].call("1")
    assert call is not None
    assert call["messages"][0]["content"] == [{"type": "text", "text": "Say <i>it</i>."}]
    assert call["message"]["content"] == [{"type": "text", "text": "Three."}]
    assert call["request"]["body"]["model"] == "gpt-4o-mini"
    assert call["response"]["status"] == 200


def test_timeline_of_a_cassette(sources: dict[str, Source]) -> None:
    """Each part of a recorded answer stands at the time at which its piece had come."""
    timeline = sources["cassette"].timeline("0")
    assert timeline is not None
    assert [(step["at_ms"], step["kind"], step["text"]) for step in timeline["steps"]] == [
        (15.0, "text", "One two."),
        (45.0, "finish", "stop"),
    ]
    assert (timeline["first_token_ms"], timeline["opened_ms"], timeline["duration_ms"]) == (15.0, 5.0, 45.0)
    assert [at for at, _ in timeline["arrivals"]] == [15.0, 25.0, 35.0, 45.0]


def test_timeline_of_a_journal(sources: dict[str, Source]) -> None:
    """A journal knows when each part of an answer came, and who went away."""
    source = sources["journal"]
    done = next(row for row in source.calls(Wanted(word="Which weather", state="done"), 0, 9).calls)
    timeline = source.timeline(done.id)
    assert timeline is not None
    assert [step["kind"] for step in timeline["steps"]] == ["thinking", "text", "text", "text", "finish"]
    assert timeline["end"] == "done"
    assert timeline["steps"][0]["at_ms"] < timeline["steps"][-1]["at_ms"]


def test_checks_in_a_timeline(sources: dict[str, Source]) -> None:
    """What was judged of an answer stands on its timeline, when it was."""
    source = sources["journal"]
    (row,) = source.calls(Wanted(word="Short?"), 0, 9).calls
    timeline = source.timeline(row.id)
    assert timeline is not None
    (verdict,) = timeline["verdicts"]
    assert (verdict["passed"], verdict["reason"]) == (True, "so short")
    assert verdict["at_ms"] >= timeline["steps"][-1]["at_ms"] - 1


def test_runs_of_a_journal(sources: dict[str, Source]) -> None:
    """A run is a tree of steps with calls and tools; of samples it is known which won."""
    source = sources["journal"]
    outside, inside = sorted(source.runs(), key=lambda run: str(run["id"]) != "outside")
    run = source.run(inside["id"])
    assert run is not None
    first, second = run["parts"]
    assert [(part["kind"], part["state"]) for part in first["parts"]] == [("call", "done")] + [("tool", "done")] * 2
    assert [part["name"] for part in first["parts"]][1:] == [
        'get_weather({"city": "Paris"})',
        'get_weather({"city": "Rome"})',
    ]
    assert [part["text"] for part in second["parts"]] == ["It is **sunny**."]
    loose = source.run(outside["id"])
    assert loose is not None
    assert [part["facts"].get("won") for part in loose["parts"]].count(True) == 2
    assert [choice["strategy"] for choice in loose["samplings"]] == ["RejectionSampling", "MajorityVote"]
    tool = source.call(first["parts"][1]["call"])
    assert tool is not None
    assert tool["tool"]["arguments"] == {"city": "Paris"}


@mellite.tool
async def ask(question: str) -> str:
    """Ask another model."""
    return await mellite.run(ByStep("Sunny."), question)


@pytest.mark.anyio
async def test_runs_of_a_log(tmp_path: Path) -> None:
    """A run in a log is a tree of its calls and of the runs in its tools, and is compared with another one."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        for answer in ("It is sunny.", "It rains."):
            call = mellite.ToolCall("c1", "ask", {"question": "How is it?"})
            await mellite.run(ByStep([call], answer), "What is the weather?", tools=[ask])
    await anyio.to_thread.run_sync(mellite.log.flush)
    source = source_at(str(path))
    outer = [str(run["id"]) for run in source.runs() if run["parent"] is None]
    assert (len(source.runs()), len(outer)) == (4, 2)
    newest = source.run(outer[0])
    assert newest is not None
    assert [(part["kind"], part["text"]) for part in newest["parts"]] == [
        ("call", ""),
        ("run", "answered"),
        ("call", "It rains."),
    ]
    (inner,) = newest["parts"][1]["parts"]
    assert inner["text"] == "Sunny."
    call_ = source.call(inner["call"])
    assert call_ is not None
    assert call_["run"] == newest["parts"][1]["id"]
    found = source.difference(*outer)
    assert found is not None
    assert [pair["change"] for pair in found["pairs"]] == ["same", "answer"]


def test_calls_of_a_log_are_chosen(sources: dict[str, Source]) -> None:
    """Calls are chosen by state, model, tag, words, times and cost, all of them together."""
    source = sources["log"]
    newest, middle, oldest = ids(source)
    assert ids(source, state="failed") == [newest]
    assert ids(source, tag="odd") == [middle]
    assert ids(source, word="ANSWER 0 OF") == [oldest]
    assert ids(source, word="slow down") == [newest]
    assert ids(source, word="100%") == []
    assert ids(source, model="fake:scripted") == ids(source, model="scripted") == ids(source)
    assert ids(source, model="other") == ids(source, min_usd=1.0) == ids(source, parent="none") == []
    assert ids(source, since="2020") == ids(source, until="2999") == ids(source)
    assert ids(source, until="2020") == ids(source, since="2999") == []
    assert ids(source, tag="even", state="done", word="question") == [oldest]
    assert set(ids(source, order="slowest")) == set(ids(source, order="tokens")) == {newest, middle, oldest}
    assert source.facets() == {"models": ["scripted"], "states": ["done", "failed"], "tags": ["even", "odd"]}


@pytest.mark.parametrize("kind", ["cassette", "journal"])
def test_calls_in_memory_are_chosen(sources: dict[str, Source], kind: str) -> None:
    """Other sources choose as a log does."""
    source = sources[kind]
    everything = ids(source)
    model = source.calls(Wanted(), 0, 1).calls[0].model
    assert model is not None
    assert ids(source, state="failed") == ids(source, word="no such word") == ids(source, tag="none") == []
    assert set(ids(source, order="slowest")) == set(ids(source, order="cost", state="")) == set(everything)
    assert everything[0] in ids(source, model=model)
    assert ids(source, since="2020", until="2999") == everything
    assert ids(source, since="2999") == ids(source, min_ms=1e9) == []


@pytest.mark.anyio
async def test_tags_of_a_journal(tmp_path: Path) -> None:
    """A journal keeps the tags of calls, and they are filtered and added up by them; they make no other call of it."""
    path = tmp_path / "journal"
    for tags in (["nightly", "slow"], "hourly"):
        with mellite.journal(path):
            backend = mellite.backends.Scripted(["One.", "Two."])
            assert await backend.generate("Tagged?", metadata={"tags": tags}) == "One."
            await backend.generate("Not tagged?")
    source = source_at(str(path))
    untagged, tagged = source.calls(Wanted(), 0, 9).calls  # the second time they are replayed
    assert (tagged.tags, untagged.tags) == (("nightly", "slow"), ())
    assert ids(source, tag="slow") == [tagged.id]
    assert ids(source, tag="hourly") == []
    assert source.facets()["tags"] == ["nightly", "slow"]
    assert [tag["name"] for tag in source.costs()["tags"]] == ["nightly", "slow"]
    call = source.call(tagged.id)
    assert call is not None
    assert call["tags"] == ["nightly", "slow"]


def test_differences(sources: dict[str, Source]) -> None:
    """Two calls are compared as `mellite cassette diff` compares them."""
    found = sources["cassette"].difference("0", "1")
    assert found is not None
    (pair,) = found["pairs"]
    assert (pair["change"], pair["request"]) == ("answer", [])
    assert {"place": "text", "left": "One two.", "right": "Three."} in pair["answer"]
    log = sources["log"]
    newest, middle, _ = ids(log)
    found = log.difference(newest, middle)
    assert found is not None
    assert found["pairs"][0]["change"] == "request"
    journal = sources["journal"]
    run = next(run["id"] for run in journal.runs() if run["id"] != "outside")
    found = journal.difference(str(run), str(run))
    assert found is not None
    assert [pair["change"] for pair in found["pairs"]] == ["same"] * 4


def test_costs(sources: dict[str, Source]) -> None:
    """What calls used and cost is added up by day, model and tag."""
    costs = sources["cassette"].costs()
    assert (costs["all"]["calls"], costs["all"]["input_tokens"]) == (2, 2000)
    assert [day["name"] for day in costs["days"]] == ["2026-11-01", "2026-11-02"]
    assert costs["models"][0]["name"] == "openai:gpt-4o-mini-2024-07-18"
    assert costs["all"]["cost_usd"] == pytest.approx(sum(day["cost_usd"] for day in costs["days"]))
    assert [tag["name"] for tag in sources["log"].costs()["tags"]] == ["even", "odd"]


def test_a_log_tells_what_is_new(tmp_path: Path) -> None:
    """What was logged since a mark is told once."""
    path = logged(tmp_path / "log.db")
    source = source_at(str(path))
    first = source.changes("")
    assert first.calls == ()
    assert source.changes(first.mark).calls == ()
    logged(path, 2)
    new = source.changes(first.mark)
    assert [row.text for row in new.calls] == ["Answer 0 of <b>many</b>.", ""]
    assert source.changes(new.mark).calls == ()


def test_a_journal_tells_what_is_new(tmp_path: Path) -> None:
    """What was kept in a journal since a mark is told once."""
    path = str(journaled(tmp_path / "journal"))
    source = source_at(path)
    assert {file.name for file in Path(path).iterdir()} == {"journal.json", "records"}  # before anybody looks
    mark = source.changes("").mark
    with mellite.journal(path):
        mellite.backends.Scripted(["And more."]).generate("More?").result()
    new = soon(lambda: source.changes(mark))
    assert [(row.prompt, row.text) for row in new.calls] == [("More?", "And more.")]
    assert source.changes(new.mark).calls == ()


def test_a_folder_of_cassettes(tmp_path: Path) -> None:
    """Calls of a folder are named by file and number; what is damaged is passed over, and what is new appears."""
    recorded(tmp_path / "sub" / "one.json", "One.")
    (tmp_path / "broken.json").write_text('{"version": 1, "interactions": [', encoding="utf-8")
    source = source_at(str(tmp_path))
    mark = source.changes("").mark
    assert ids(source) == ["sub/one.json:0"]
    (problem,) = source.problems
    assert "broken.json' is damaged at byte 32" in problem
    call = source.call("sub/one.json:0")
    assert call is not None
    assert call["text"] == "One."
    recorded(tmp_path / "two.json", "Two.")
    (tmp_path / "broken.json").unlink()
    new = soon(lambda: source.changes(mark))
    assert source.problems == []
    assert [row.id for row in new.calls] == ["two.json:0"]
    assert source.changes(new.mark).calls == ()


def test_a_cassette_that_is_being_written(tmp_path: Path) -> None:
    """What was read before is shown, and that it is not all, until the whole file can be read."""
    path = recorded(tmp_path / "chat.json", "One.")
    source = source_at(str(path))
    mark = source.changes("").mark
    recorded(path, "One.", "Two.")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    until = time.monotonic() + 30
    while not source.problems:
        assert source.changes(mark).calls == ()
        assert time.monotonic() < until  # it is asked again at once
    assert (ids(source), "damaged at byte" in source.problems[0]) == (["0"], True)
    path.write_bytes(whole)
    assert [row.id for row in soon(lambda: source.changes(mark)).calls] == ["1"]
    assert source.problems == []


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """What looks like a key is not shown, whatever it stands in."""
    key = "sk-" + "abcdefghijklmnop" * 2
    source = source_at(str(recorded(tmp_path / "chat.json", f"Your key is {key}.")))
    shown = repr((source.calls(Wanted(), 0, 9), source.call("0"), source.timeline("0")))
    assert key not in shown
    assert "[REDACTED]" in shown


def test_recorded_traffic_of_others(corpora: Path) -> None:
    """Recorded calls of real providers are listed and shown whole, with conversations and pictures."""
    source = source_at(str(corpora / "opencode" / "recordings"))
    found = source.calls(Wanted(), 0, 1000)
    assert found.total > 50
    calls = [source.call(row.id) for row in found.calls]
    assert all(calls)
    kinds = {part["type"] for call in calls if call for message in call["messages"] for part in message["content"]}
    assert kinds >= {"text", "image", "tool_call", "tool_result"}


def test_nothing_there(tmp_path: Path) -> None:
    """What is not there is said, and so is a SQLite file of another program."""
    with pytest.raises(CassetteMiss, match=r"there is nothing at"):
        source_at(str(tmp_path / "none"))
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    with pytest.raises(MelliteError):
        source_at(str(tmp_path / "other.db"))


def test_looking_is_not_logged(tmp_path: Path) -> None:
    """Whoever looks at a recording generates nothing, so nothing of it stands in the program's own log."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        source = source_at(str(recorded(tmp_path / "chat.json", "One.")))
        assert source.call("0") is not None
        mellite.backends.Scripted(["Mine."]).generate("My own?").result()
    mellite.log.flush()
    assert [row.prompt for row in source_at(str(path)).calls(Wanted(), 0, 9).calls] == ["My own?"]


@pytest.mark.anyio
async def test_what_grows_before_its_call_is_read(tmp_path: Path) -> None:
    """What has arrived of a call is kept while the line that began it is being written; other lines are none of it."""
    path, backend = tmp_path / "journal", Growing()
    with mellite.journal(path):
        thunk = backend.generate("Grow.")
        assert await anext(aiter(thunk)) == "One "
        shutil.copytree(path, tmp_path / "copy")
        backend.ended.set()
        await thunk
    records, growing = tmp_path / "copy" / "records", tmp_path / "copy" / "growing"
    whole = records.read_bytes()
    begun = whole.rindex(b"\nmj1 ")
    records.write_bytes(whole[:begun])
    source = source_at(str(tmp_path / "copy"))
    mark = source.changes("").mark
    for text in ("One ", "two "):
        records.write_bytes(whole[: begun + 20])
        with growing.open("a") as file:
            file.write('{"broken\n[]\n["1", 2]\n' + json.dumps([1, text]) + "\n")
        assert source.changes(mark).growing == {}
    records.write_bytes(whole)
    found = await anyio.to_thread.run_sync(soon, lambda: source.changes(mark))
    told = {id: grown.since(None) for id, grown in found.growing.items()}
    assert ([row.state for row in found.calls], told) == (["unsettled"], {"1": {"text": "One two "}})


def test_a_journal_that_is_replaced(tmp_path: Path) -> None:
    """Another journal at the same path is shown as it is, though its calls have the same numbers and states."""
    path = tmp_path / "journal"
    for name, answer in (("first", "One."), ("second", "Two.")):
        with mellite.journal(tmp_path / name):
            mellite.backends.Constant(answer).generate("Say it.").result()
    (tmp_path / "first").rename(path)
    source = source_at(str(path))
    mark = source.changes("").mark
    path.rename(tmp_path / "gone")
    (tmp_path / "second").rename(path)
    assert [row.text for row in soon(lambda: source.changes(mark)).calls] == ["Two."]
    assert [row.text for row in source.calls(Wanted(), 0, 9).calls] == ["Two."]


class LoggingIn(mellite.Backend):
    """Calls a tool with arguments that are secret by the names of their fields, in small pieces."""

    ARGUMENTS = (
        r'{"user": "eva", "password": "hunter2, \"really\"", '
        '"api_key": {"value": ["old"]}, "n": 5, "token": "opense'
    )

    async def stream(self, request: mellite.Request) -> Any:
        yield ToolInputStart("c1", "log_in")
        for at in range(0, len(self.ARGUMENTS), 4):
            await anyio.sleep(0.002)
            yield ToolInputDelta("c1", "log_in", self.ARGUMENTS[at : at + 4])
        yield TextDelta("That was it.")
        yield Finish("stop")


@pytest.mark.anyio
async def test_timeline_of_secret_arguments(tmp_path: Path) -> None:
    """Arguments that are secret only by the name of their field are masked in the timeline, also when cut off."""
    with mellite.journal(tmp_path / "journal"):
        await LoggingIn().generate("Log in.").settle()
    source = await anyio.to_thread.run_sync(source_at, str(tmp_path / "journal"))
    timeline = source.timeline("1")
    assert timeline is not None
    told = "".join([step["text"] for step in timeline["steps"] if step["kind"] == "tool"])
    shown = '{"user": "eva", "password": [REDACTED], "api_key": [REDACTED], "n": 5, "token": [REDACTED]'
    assert told == f"log_in({shown}"
    assert not any(word in json.dumps(timeline) for word in ("hunt", "old", "open"))
