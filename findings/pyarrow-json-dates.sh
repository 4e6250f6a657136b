#!/usr/bin/env bash
# pyarrow.json.read_json: a column whose texts all look like ISO dates or times becomes a timestamp, though they are texts
# in the file. Answers to "When was it signed? YYYY-MM-DD" and keys such as `custom_id: "2026-12-01"` come back as
# datetimes, at midnight, and match no key any more; one answer "unknown", in any block of the file, and the same column
# is text. So its type is a matter of what the model said that day. Numbers and true in quotes stay texts, which hides it.
# Give `ParseOptions(explicit_schema=...)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q pyarrow==26.0.1 2>/dev/null
cat > seen.py <<'PYTHON'
import json
from pathlib import Path

import pyarrow
from pyarrow.json import ParseOptions, read_json


def answers(*texts, **options):
    """The type of the column, its blocks and its first value, for answers one to a line."""
    Path("answers.jsonl").write_text("".join([json.dumps({"answer": text}) + "\n" for text in texts]))
    column = read_json("answers.jsonl", **options).column("answer")
    print(f"{len(texts):,} answers, {texts[0]!r} to {texts[-1]!r}: {column.type}, {column[0].as_py()!r}")
    return str(column.type), column.num_chunks, column[0].as_py()


print("pyarrow", pyarrow.__version__)
DATE = "2026-12-01"
kind, _, first = answers(DATE, "2026-12-02")
assert (kind, str(first)) == ("timestamp[s]", f"{DATE} 00:00:00"), "texts stay texts now"
assert answers("2026-12-01T10:00", DATE)[0] == "timestamp[s]"
kind, blocks, first = answers(*[DATE] * 100_000, "unknown")
assert (kind, first) == ("string", DATE) and blocks > 1
assert [answers(text)[0] for text in ("12", "true", "10:00")] == ["string"] * 3
schema = pyarrow.schema([("answer", pyarrow.string())])
assert answers(DATE, parse_options=ParseOptions(explicit_schema=schema))[::2] == ("string", DATE)
PYTHON
v/bin/python seen.py
