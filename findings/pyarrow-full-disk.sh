#!/usr/bin/env bash
# pyarrow: a Parquet file on a disk that becomes full cannot be read, though whole row groups are in it. One would expect
# `close()` to write the end for the groups that were written, or to say that it did not, or that one could cut the file
# behind them and go on: after a write that failed, close() writes no end and raises nothing, and a second writer refuses
# to append ("Appending to file not implemented"). So take the room for a group and for the end behind it before its rows
# are given to the writer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q pyarrow==26.0.1 2>/dev/null
cat > seen.py <<'PYTHON'
import resource

import pyarrow as pa
from pyarrow import parquet

resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, resource.RLIM_INFINITY))
groups = [pa.table({"text": [f"{number * 7919 % 10007:05}" * 4 for number in range(at, at + 1000)]}) for at in (0, 1000, 2000)]
file = open("a.parquet", "wb", buffering=0)
writer = parquet.ParquetWriter(file, groups[0].schema)
written = 0
try:
    for group in groups:
        writer.write_table(group)
        written += 1
except OSError as error:
    print(f"pyarrow {pa.__version__}: group {written + 1}: {error}")
try:
    writer.close()
    print("close: no error")
except OSError as error:
    print(f"close: {error}")
file.close()
try:
    print(parquet.read_table("a.parquet").num_rows, "rows can be read")
    readable = True
except pa.ArrowInvalid as error:
    print(f"{written} whole groups were written, and none can be read: {str(error)[:60]}")
    readable = False
assert written and not readable, "it can be read now"
with pa.OSFile("a.parquet", "ab") as more:
    try:
        parquet.ParquetWriter(more, groups[0].schema)
    except OSError as error:
        print(f"a second writer: {error}")
        refused = True
assert refused, "it appends now"
PYTHON
v/bin/python seen.py
