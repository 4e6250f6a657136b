"""Logs of the command line tool llm, with tables of three ages, and damaged ones."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.archive.convert import Converted, convert
from mellite.cassettes import load_cassette
from mellite.errors import CassetteError, InvalidCassette
from mellite.messages import Image, Message, ToolResult
from tests.archive.importing.replays import DATA, answers, converted

AGES = {"llm_0_19.sql": 3, "llm_0_27.sql": 7, "llm_0_36.sql": 7}

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a database that llm made, with further statements."""

    def write(name: str, *statements: str) -> Path:
        path = tmp_path / "logs ?#%.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.executescript((DATA / name).read_text())
            for statement in statements:
                database.execute(statement)
            database.commit()
        return path

    return write


@pytest.mark.parametrize(("name", "calls"), AGES.items())
def test_ages(name: str, calls: int, written: Written, tmp_path: Path) -> None:
    """Prompts, options and conversations of every age are answered again as they were."""
    done = converted(written(name), tmp_path / "a.json")
    assert done.calls == calls
    assert answers(tmp_path / "a.json", "Name a lake.", system="Be brief.", temperature=0.5) == ["Lake Como."]
    assert answers(tmp_path / "a.json", "Name a river.") == ["The Loire."]
    turns = [Message.user("Name a lake."), Message.assistant("Lake Como."), Message.user("Name a river.")]
    assert answers(tmp_path / "a.json", turns, system="Be brief.") == ["The Loire."]
    assert any("rewritten, as openai-chat has them" in what for what in done.dropped)


@pytest.mark.parametrize("name", ["llm_0_27.sql", "llm_0_36.sql"])
def test_tools_and_fragments(name: str, written: Written, tmp_path: Path) -> None:
    """Tools, their calls and results, and fragments that a prompt refers to are put back."""
    converted(written(name), tmp_path / "a.json", source_format="llm")
    schema = {"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"}
    tool = mellite.request.ToolDefinition("weather", "The weather in a city.", input_schema=schema)
    backend = mellite.backend(f"cassette:{tmp_path / 'a.json'}")
    asked = [Message.user("How is it in Paris?")]
    first = backend.generate(asked, tools=[tool])
    first.result()
    (call,) = first.tool_calls
    assert (call.name, call.arguments, first.generation.finish_reason) == ("weather", {"city": "Paris"}, "tool-calls")
    result = Message.tool(ToolResult("call_1", "weather", "mild in Paris"))
    again = [request.request.body.text for request in load_cassette(tmp_path / "a.json").http]
    assert sum("mild in Paris" in text for text in again) == 1
    assert sum("Name a lake.\\n" in text for text in again) == 1
    if name == "llm_0_36.sql":  # of calls after tools, the older tables do not say that the tools were offered again
        told = backend.generate([*asked, Message.assistant(call), result], tools=[tool])
        assert told.result() == "It is mild in Paris."


def test_other_models(written: Written, tmp_path: Path) -> None:
    """A model whose messages llm did not keep is asked by its prompt, and written as its maker has it."""
    source = written(
        "llm_0_27.sql",
        "DELETE FROM responses",
        "INSERT INTO responses (id, model, prompt, system, response, datetime_utc)"
        " VALUES ('a', 'claude-haiku-4-5', 'Hi', 'Be brief.', 'Hello!', '2026')",
        "INSERT INTO responses (id, model, prompt, datetime_utc) VALUES ('b', 'claude-haiku-4-5', 'Hi', '2026')",
        "INSERT INTO responses (id, model, prompt, response, datetime_utc) VALUES ('c', 'mine', 'And?', 'So.', '2026')",
        "INSERT INTO prompt_attachments VALUES ('c', 'x', 0)",
    )
    done = converted(source, tmp_path / "a.json")
    assert (done.calls, done.dropped[0]) == (2, "response b: it has no answer")
    assert answers(tmp_path / "a.json", "Hi", system="Be brief.") == ["Hello!"]
    assert {one.request.url for one in load_cassette(tmp_path / "a.json").http} == {
        "https://api.anthropic.com/v1/messages",
        "https://api.openai.com/v1/chat/completions",
    }
    assert "attachments of calls whose messages llm did not keep" in done.dropped


def test_references(written: Written, tmp_path: Path) -> None:
    """Texts that llm stored once are put back where others refer to them, alone or in the middle of a text."""
    told = "INSERT INTO responses (id, model, prompt_json, response) VALUES ('%s', 'mine', '%s', 'So.')"
    sent = '{"messages": [{"role": "user", "content": {"$r": ["Say ", {"$": "r:x"}, {"$": "f%d"}]}}]}'
    source = written(
        "llm_0_27.sql",
        "DELETE FROM responses",
        "INSERT INTO responses (id, model, prompt, response) VALUES ('x', 'mine', 'Hi', 'Hello! ')",
        *[told % (id, sent % fragment) for id, fragment in (("y", 1), ("z", 9))],
    )
    done = converted(source, tmp_path / "a.json")
    assert answers(tmp_path / "a.json", "Say Hello! Name a lake.\n") == ["So."]
    assert done.dropped[0] == "response z: it cannot be asked again: it refers to 'f9', which is not in the log"


def test_attachments(written: Written, tmp_path: Path) -> None:
    """Attachments of the newer tables are parts of the prompt; a file that is not in the log is said to be missing."""
    tip = "'b2:263c2dd160969a69cb480815d9c4f39e'"
    source = written(
        "llm_0_36.sql",
        "INSERT INTO attachments VALUES ('x', 'image/gif', NULL, NULL, CAST('GIF89a' AS BLOB))",
        "INSERT INTO attachments VALUES ('y', 'application/pdf', '/gone.pdf', NULL, NULL)",
        *[
            f"INSERT INTO parts VALUES ({number}, {tip}, {number}, 'attachment', NULL, NULL, "
            f"""'{{"attachment": {{"id": "{id}"}}}}')"""
            for number, id in ((101, "x"), (102, "y"))
        ],
    )
    done = converted(source, tmp_path / "a.json")
    prompt = ["Name a lake.\n", Image(b"GIF89a", media_type="image/gif")]
    assert answers(tmp_path / "a.json", prompt) == ["Hello!"]
    assert any(what.endswith("parts of the type 'attachment'") for what in done.dropped)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE messages SET role = 'robot'", "expected system, user, assistant or tool, found robot"),
        ("UPDATE messages SET parent_hash = hash", "a conversation without end"),
        ("DROP TABLE parts", "no such table: parts"),
        ("ALTER TABLE turns DROP COLUMN datetime_utc", "no such column: datetime_utc"),
        ("UPDATE turns SET parent_message_hash = 'none'", "there is no call in"),
        ("UPDATE parts SET text = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
    ],
)
def test_damaged_tables(statement: str, reason: str, written: Written, tmp_path: Path) -> None:
    """Tables that are not as llm makes them are refused with the place or the reason."""
    with pytest.raises(InvalidCassette, match=reason) as caught:
        converted(written("llm_0_36.sql", "PRAGMA foreign_keys = OFF", statement), tmp_path / "a.json")
    assert "logs ?#%.db" in str(caught.value)


def attempt(source: Path, target: Path) -> tuple[Converted | None, CassetteError | None]:
    """What a conversion did, or the error of ours that it ended with."""
    try:
        return converted(source, target, source_format="llm", replace=True), None
    except CassetteError as error:
        return None, error


def test_every_damaged_page(written: Written, tmp_path: Path) -> None:
    """A database that is cut off or overwritten somewhere is read as far as SQLite does, or refused by its path."""
    source = written("llm_0_36.sql")
    data = source.read_bytes()
    for at in range(0, len(data), 3 * 8192):
        for damaged in (data[:at], data[:at] + bytes([0xFF]) * 512 + data[at + 512 :]):
            source.write_bytes(damaged)
            done, error = attempt(source, tmp_path / "b.json")
            assert error is None or "logs ?#%.db" in str(error)
            assert done is None or done.calls <= 7


def test_other_databases(tmp_path: Path) -> None:
    """A database of somebody else is refused with the tables that it has; in a folder it is passed over."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(InvalidCassette, match="no format that can be converted"):
        converted(tmp_path / "a.db", tmp_path / "b.json")
    with pytest.raises(InvalidCassette, match="expected the table 'responses' or 'turns', found birds"):
        converted(tmp_path / "a.db", tmp_path / "b.json", source_format="llm")
    os.link(DATA / "mitmproxy.har", tmp_path / "c.har")
    done: list[Any] = list(convert(str(tmp_path), str(tmp_path / "out")))
    assert [Path(one.source).name for one in done] == ["c.har"]
