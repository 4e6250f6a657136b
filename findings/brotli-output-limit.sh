#!/usr/bin/env bash
# brotli's Decompressor: `output_buffer_limit` is not an upper bound (a step gives up to twice as much), and
# `can_accept_more_data()` says True while decompressed data is still held back. A loop that drains "until more can be
# accepted", as the name suggests, loses the end of the body without an error; only a step that gives nothing is the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q brotli==1.2.1 2>/dev/null
cat > seen.py <<'PYTHON'
import brotli

TEXT = bytes(10_000_000)
LIMIT = 256 * 1024
decompressor = brotli.Decompressor()
pieces = [decompressor.process(brotli.compress(TEXT), output_buffer_limit=LIMIT)]
while not decompressor.can_accept_more_data():
    pieces.append(decompressor.process(b"", output_buffer_limit=LIMIT))
so_far = sum(map(len, pieces))
rest = b""
while piece := decompressor.process(b"", output_buffer_limit=LIMIT):
    rest += piece
print("brotli", brotli.__version__)
print(f"limit {LIMIT:,}, largest step {max(map(len, pieces)):,}")
print(f"{so_far:,} of {len(TEXT):,} bytes when it could accept more data; {len(rest):,} were still inside")
assert max(map(len, pieces)) > LIMIT, "the limit has become a bound"
assert rest and so_far + len(rest) == len(TEXT), "nothing is held back any more"
PYTHON
v/bin/python seen.py
