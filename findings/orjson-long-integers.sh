#!/usr/bin/env bash
# orjson: an integer of 20 digits or more (from 2^64 on) is read as a float, without an error: the arguments of a tool call
# `{"order": 123456789012345678901}` name another order when they are sent on, and `int()` of it hides that it was rounded.
# `json.loads` and jiter are exact; one would expect the same, or an error as orjson
# raises it for such a number when it writes. So the faster parser is no replacement where models copy numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q orjson==3.13.0 jiter==0.19.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
from importlib.metadata import version

import jiter
import orjson

print("orjson", version("orjson"), "jiter", version("jiter"))
seen = {}
for order in (2**64 - 1, 2**64, 123456789012345678901):
    text = json.dumps({"order": order})
    read = {name: loads(text.encode())["order"] for name, loads in (("orjson", orjson.loads), ("jiter", jiter.from_json))}
    try:
        orjson.dumps(order)
        written = "no error"
    except TypeError as error:
        written = str(error)
    seen[order] = read, written
    print(f"{text}: {read}; int() of orjson's: {int(read['orjson'])}; orjson.dumps: {written}")
    assert json.loads(text)["order"] == read["jiter"] == order
(small, fits), (large, _), (longer, refused) = seen.values()
assert type(small["orjson"]) is int and fits == "no error"
assert type(large["orjson"]) is type(longer["orjson"]) is float, "long integers are exact now"
assert int(longer["orjson"]) != 123456789012345678901 and refused != "no error"
PYTHON
v/bin/python seen.py
