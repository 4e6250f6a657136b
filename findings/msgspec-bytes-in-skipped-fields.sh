#!/usr/bin/env bash
# msgspec checks that JSON is UTF-8 only where it decodes: into a dict it refuses a byte FF in the name of a field; into a
# Struct the same field, being unknown, is skipped with whatever bytes are in its name and in its value. So a Struct with
# optional fields reads a damaged name as a field that was never there, without an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'msgspec==0.23.0'
"$folder/venv/bin/python" - <<'PY'
import msgspec

class Event(msgspec.Struct):
    text: str = ""
    index: int = 0

class Strict(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""
    index: int = 0

damaged = b'{"text": "Hi", "in\xffdex": 7, "other": "\xff"}'
print("msgspec", msgspec.__version__)

def outcome(type):
    try:
        return repr(msgspec.json.decode(damaged, type=type))
    except msgspec.DecodeError as error:
        return f"{error.__class__.__name__}: {error}"

seen = [outcome(dict), outcome(Event), outcome(Strict)]
print(*seen, sep="\n")
assert seen[0].startswith("DecodeError"), seen[0]
assert seen[1] == "Event(text='Hi', index=0)", seen[1]
assert seen[2].startswith(("DecodeError", "ValidationError")), seen[2]
PY
