"""Parquet: what `collect=` and `mellite map` write, and what `mellite map` reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import mellite
from mellite import engine
from mellite.backends import Echo, Failing
from mellite.cli.app import app
from mellite.engine.parquet_files import ParquetRows
from mellite.errors import InvalidRequest
from tests.engine.test_map import words

TYPES = {
    "index": "int64",
    "prompt": "string",
    "text": "string",
    "error_type": "string",
    "error": "string",
    "model": "string",
    "finish_reason": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "cost_usd": "double",
    "duration_ms": "double",
    "metadata": "string",
}


def types_of(path):
    """The columns of a file with their types."""
    return {field.name: str(field.type) for field in parquet.read_schema(path)}


@pytest.mark.anyio
async def test_a_file_has_the_same_types_whatever_is_in_it(tmp_path):
    """The types of columns depend on no value, and the file is there at the end."""
    path = tmp_path / "answers.parquet"

    def items():
        yield Failing(ConnectionError("no")).generate("größe \ud800")
        yield Echo().generate("two", metadata={"id": 7})
        assert not path.exists()

    collected = await engine.map(items(), collect=path, concurrency=1)
    assert collected == engine.Collected(str(path), rows=2, failed=1)
    assert types_of(path) == TYPES
    rows = parquet.read_table(path).to_pylist()
    assert [(row["prompt"], row["text"], row["error_type"]) for row in rows] == [
        ("größe ?", None, "BackendError"),
        ("two", "two", None),
    ]
    assert json.loads(rows[1]["metadata"]) == {"id": 7}
    assert [each.name for each in tmp_path.iterdir()] == ["answers.parquet"]


@pytest.mark.anyio
async def test_rows_are_written_in_groups_as_they_come(tmp_path):
    """Rows do not pile up in memory: each thousand is written as a group."""
    path = tmp_path / "answers.parquet"
    sizes = []

    def items():
        for number, thunk in enumerate(words(Echo(), 2_500)):
            if number in (500, 2_000):
                sizes.extend(each.stat().st_size for each in tmp_path.iterdir())
            yield thunk

    await engine.map(items(), collect=path, concurrency=8)
    assert parquet.read_metadata(path).num_row_groups == 3
    assert sorted(parquet.read_table(path)["index"].to_pylist()) == list(range(2_500))
    assert sizes[0] == 0 < sizes[1]


@pytest.mark.anyio
async def test_samplings_have_columns_of_their_own(tmp_path):
    """Rows of samplings have three columns more."""
    path = tmp_path / "answers.parquet"
    await engine.map(words(Echo(), 2), requirements=[lambda thunk: thunk.text == "1"], collect=path)
    added = {"success": "bool", "attempts": "int64", "stop_reason": "string"}
    assert types_of(path) == {**TYPES, **added}
    assert sorted(parquet.read_table(path)["success"].to_pylist()) == [False, True]


def test_nothing_gives_a_file_without_rows(tmp_path):
    """A map of nothing writes a file that can be read."""
    path = tmp_path / "answers.parquet"
    assert engine.map([], collect=path).result().rows == 0
    assert parquet.read_table(path).num_rows == 0


def test_a_column_that_comes_late_is_refused_by_name(tmp_path):
    """Behind the first group, a new column is an error; a value of another type is JSON."""
    with (tmp_path / "x").open("wb") as file:
        rows = ParquetRows(file, {}, "x.parquet")
        for _ in range(1_000):
            rows.write({"a": "1"})
        rows.write({"a": [1]})
        with pytest.raises(InvalidRequest, match="and one has b, too"):
            rows.write({"a": "1", "b": "2"})
        rows.finish()
    assert parquet.read_table(tmp_path / "x")["a"].to_pylist()[-1] == "[1]"


#: Writes the same rows under ever larger limits; prints of each limit what was told of the rows that are kept.
LIMITED = """
import os, resource, sys
from mellite.engine.collected import RowsFile

for limit in map(int, sys.argv[1:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    file = RowsFile(f"{limit}.parquet", {"index": "int64"})
    try:
        for number in range(2_500):
            file.write({"index": number, "text": f"{number * 7919 % 10007:05}" * 4, "more": None}, failed=False)
        print(limit, file.finish().rows)
    except OSError as error:
        assert error.filename == f"{limit}.parquet", error.filename
        print(limit, file.finish().rows if file.rows else file.abandon() or 0)
"""


def test_a_full_disk_leaves_a_file_that_can_be_read(tmp_path):
    """Wherever there is no more room, the file has an end, and the rows up to there: whole groups and parts of one."""
    limits = [0, 3, 200, 1_000, 2_000, 3_000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 200_000]
    command = [sys.executable, "-c", LIMITED, *map(str, limits)]
    environment = {"PYTHONPATH": str(Path(mellite.__file__).parents[1])}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    told = {int(limit): int(rows) for limit, rows in (line.split() for line in ran.stdout.splitlines())}
    assert list(told) == limits
    counts = list(told.values())
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert any(0 < count < 1_000 for count in counts)
    assert any(1_000 < count < 2_500 and count % 1_000 for count in counts)
    assert counts[-1] == 2_500
    for limit, rows in told.items():
        path = tmp_path / f"{limit}.parquet"
        if not rows:
            assert not path.exists() or parquet.read_table(path).num_rows == 0
            continue
        assert path.stat().st_size <= limit
        assert parquet.read_table(path)["index"].to_pylist() == list(range(rows))
    assert not list(tmp_path.glob("*.part"))


def test_mellite_map_reads_and_writes_parquet(tmp_path, monkeypatch):
    """Columns of the file that is read keep their types beside those of the answers."""
    monkeypatch.chdir(tmp_path)
    given = pa.table(
        {"id": [1, 2], "question": ["one", "two"], "text": ["x", None], "tags": [["a"], []], "index": ["i", "j"]}
    )
    parquet.write_table(given, "in.parquet")
    words = ["map", "in.parquet", "-m", "fake:echo", "--template", "Say {question}", "--out", "out.parquet", "--json"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["done"], told["total"], told["failures"], told["limits"]) == (2, 2, {}, "at most 256 at once")
    types = types_of("out.parquet")
    assert (types["id"], types["tags"], types["input_text"], types["text"], types["index"]) == (
        "int64",
        "list<element: string>",
        "string",
        "string",
        "string",
    )
    rows = sorted(parquet.read_table("out.parquet").to_pylist(), key=lambda row: row["id"])
    assert [(row["text"], row["input_text"], row["tags"]) for row in rows] == [
        ("Say one", "x", ["a"]),
        ("Say two", None, []),
    ]


def test_what_is_no_parquet_file_is_refused(tmp_path):
    """A file that is something else ends the command with 2."""
    (tmp_path / "in.parquet").write_bytes(b"no")
    words = ["map", str(tmp_path / "in.parquet"), "-m", "fake:echo", "--out", str(tmp_path / "out.csv")]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 2
    assert "cannot read" in ran.output


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    """Without pyarrow, the error says what to install, before anything is sent."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(mellite.errors.MissingExtra, match=r"mellite\[parquet\]"):
        engine.map([], collect=tmp_path / "x.parquet")
