"""Files of rows in trouble: a disk that is full, a name that cannot be, halves of surrogate pairs, a second end."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from mellite import engine
from mellite.backends import Constant, Echo
from mellite.engine.collected import RowsFile
from mellite.errors import InvalidRequest

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

#: Writes rows until the system takes no more of a file, as of one on a disk that is full.
FULL = """
import base64, os, resource, sys
from mellite import engine
from mellite.backends import Echo

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for kind in sys.argv[1:]:
    noise = (base64.b64encode(os.urandom(600)).decode() for _ in range(4_000))
    try:
        engine.map((Echo().generate(f'a "quote", {each}') for each in noise), collect=f"out.{kind}").result()
    except OSError as error:
        print(kind, error.filename, len(os.listdir()))
"""


def test_a_file_on_a_full_disk_keeps_its_whole_rows(tmp_path):
    """What was paid for is there up to the last whole row, and the error names the file."""
    command = [sys.executable, "-c", FULL, "jsonl", "csv", "parquet"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == ["jsonl out.jsonl 1", "csv out.csv 2", "parquet out.parquet 3"]
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    groups = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for kept in ([json.loads(line) for line in lines], rows, groups):
        assert len(kept) > 30
        assert all(row["text"] == row["prompt"] for row in kept)
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert 70_000 < (tmp_path / name).stat().st_size <= 100_000
    assert lines[-1].endswith(b"}\n")


async def test_a_file_that_cannot_be_made_is_told_before_anything_is_asked(tmp_path):
    thunk = Echo().generate("a")
    with pytest.raises(InvalidRequest, match="cannot be written: File name too long"):
        await engine.map([thunk], collect=tmp_path / ("x" * 300 + ".jsonl"), progress=False)
    assert thunk.state == "pending"


async def test_csv_holds_whatever_models_write(tmp_path):
    """Half of a surrogate pair, which no encoding has, does not end the map."""
    await engine.map([Constant("a\ud83d, b").generate("?")], collect=tmp_path / "a.csv", progress=False)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["a?, b"]


def test_the_end_of_a_file_comes_once(tmp_path):
    file = RowsFile(str(tmp_path / "a.jsonl"))
    file.write({"prompt": "a"}, failed=True)
    ends = [file.finish() for _ in range(2)]
    assert [(each.rows, each.failed) for each in ends] == [(1, 1), (1, 1)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


async def test_a_name_that_was_taken_meanwhile(tmp_path):
    """Where a folder has the name in the end, the rows are where the error says; if they were removed, it says so."""
    for is_removed in (False, True):
        path = tmp_path / f"{is_removed}.jsonl"
        file = RowsFile(str(path))
        file.write({"a": 1}, failed=False)
        (part,) = tmp_path.glob("*.part")
        if is_removed:
            part.unlink()
        else:
            path.mkdir()
        said = "the rows were removed while they were written" if is_removed else f"the rows are in {part}"
        with pytest.raises(OSError, match=re.escape(said)) as caught:
            file.finish()
        assert caught.value.filename == str(path)
        again = file.finish()
        assert (again.path, again.rows) == ((str(path), 0) if is_removed else (str(part), 1))
        if not is_removed:
            assert part.read_bytes() == b'{"a": 1}\n'
            part.unlink()
