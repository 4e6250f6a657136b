#!/usr/bin/env bash
# json_repair: of several JSON values in one text it keeps all or only the last, by their shape. A value with the same keys
# and types as the one before replaces it; another shape is added to a list. So of two calls of one tool, in a text as models
# of open weights write them, the first is gone, and of calls of two tools both are there; JSON lines are one dict, the last
# line, until a line has an `error` or a string where the others have a number. Nothing is logged or raised. One would expect
# a list, the first value, or an error as from `json.loads` ("Extra data"). Take the values apart before they are mended.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q json-repair==0.64.6 2>/dev/null
cat > seen.py <<'PYTHON'
import json
from importlib.metadata import version

import json_repair


def call(name, **arguments):
    return {"name": name, "arguments": arguments}


oslo, rome, pay = call("weather", city="Oslo"), call("weather", city="Rome"), call("pay", amount=15)
rows = {"one": [oslo], "two calls of a tool": [oslo, rome], "calls of two tools": [oslo, pay]}
rows |= {"scores": [{"score": 1}, {"score": 2}, {"score": 3}], "one as text": [{"score": 1}, {"score": "2"}]}
rows |= {"an error behind": [{"score": 1}, {"score": 2}, {"error": "no"}]}

print("json_repair", version("json-repair"))
seen = {}
for name, values in rows.items():
    written = [json.dumps(value) for value in values]
    lines, blocks = "\n".join(written), "\n".join([f"```json\n{one}\n```" for one in written])
    seen[name] = json_repair.loads(lines)
    print(f"{name}: {seen[name]}")
    assert json_repair.loads(blocks) == seen[name], "lines and blocks are read in two ways now"
assert seen["two calls of a tool"] == rome and seen["scores"] == {"score": 3}, "the first ones are kept now"
assert seen["calls of two tools"] == [oslo, pay] and seen["one as text"] == [{"score": 1}, {"score": "2"}]
assert seen["an error behind"] == [{"score": 2}, {"error": "no"}]
PYTHON
v/bin/python seen.py
