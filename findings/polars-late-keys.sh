#!/usr/bin/env bash
# polars: a key that comes first in row 101 or later is dropped with all its values, without an error: by `DataFrame` and
# `from_dicts` of dicts, `read_ndjson` and `scan_ndjson`. `infer_schema_length=100` sounds like the types of columns, but
# decides which columns there are. So the results of a batch (one JSON line for each call) whose first call to fail is
# the 101st have no column `error`, and the count of failures is nought. DuckDB ends with an error at a key behind its
# sample, pyarrow makes the column. Give `schema=` or `infer_schema_length=None`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q polars==2.1.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
from pathlib import Path

import polars


def lines(number):
    """The results of a batch in which one call fails, behind `number` that do not."""
    rows = [{"custom_id": f"call-{place}", "response": {"status_code": 200}} for place in range(number)]
    return [*rows, {"custom_id": "last", "error": {"code": "server_error"}}]


def readers(rows, **options):
    """The columns, by the ways to read rows."""
    Path("results.jsonl").write_text("".join([json.dumps(row) + "\n" for row in rows]))
    return {
        "DataFrame": polars.DataFrame(rows, **options),
        "from_dicts": polars.from_dicts(rows, **options),
        "read_ndjson": polars.read_ndjson("results.jsonl", **options),
        "scan_ndjson": polars.scan_ndjson("results.jsonl", **options).collect(),
    }


print("polars", polars.__version__)
for number, options, known in ((99, {}, True), (100, {}, False), (100, {"infer_schema_length": None}, True)):
    for name, frame in readers(lines(number), **options).items():
        print(f"first error in row {number + 1}, {name}{options or ''}: {frame.height} rows, columns {frame.columns}")
        assert frame.height == number + 1
        assert ("error" in frame.columns) is known, "late keys are treated in another way now"
PYTHON
v/bin/python seen.py
