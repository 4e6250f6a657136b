#!/usr/bin/env bash
# diskcache: `@cache.memoize()` finds a call by the bytes of its pickled arguments, not by equality. A pickle refers back to
# an object that it has seen before, and writes an equal one that is another object once more. In messages written in the
# program the two "user" are one object; in those that came from JSON they are two. So a conversation with two turns of the
# user misses the cache when it was loaded from a file, and is asked and paid again, while one with a single turn (any first
# test of the cache) is found. The order of keys in a dict counts, too. Give it text: `json.dumps(messages, sort_keys=True)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q diskcache==5.6.3 2>/dev/null
cat > seen.py <<'PYTHON'
import json
from importlib.metadata import version

import diskcache

cache = diskcache.Cache("answers")
asked = []


@cache.memoize()
def by_messages(messages):
    asked.append(messages)
    return "an answer"


@cache.memoize()
def by_text(text):
    asked.append(text)
    return "an answer"


def text(messages):
    return json.dumps(messages, sort_keys=True)


def found(messages, again):
    """Whether the cache finds `again` when `messages` were asked before: as they are, and as text."""
    assert messages == again
    hits = []
    for ask, make in ((by_messages, list), (by_text, text)):
        ask(make(messages))
        before = len(asked)
        ask(make(again))
        hits.append(len(asked) == before)
    return tuple(hits)


one_turn = [{"role": "user", "content": "Hi."}]
two_turns = [*one_turn, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Bye."}]
seen = {
    "one turn, loaded": found(one_turn, json.loads(json.dumps(one_turn))),
    "two turns, the same": found(two_turns, two_turns),
    "two turns, loaded": found(two_turns, json.loads(json.dumps(two_turns))),
    "other order of keys": found([{"role": "user", "content": "Ho."}], [{"content": "Ho.", "role": "user"}]),
}
print("diskcache", version("diskcache"))
for name, (as_messages, as_text) in seen.items():
    print(f"{name}: found as messages {as_messages}, as text {as_text}")
assert seen["one turn, loaded"] == seen["two turns, the same"] == (True, True)
assert seen["two turns, loaded"] == seen["other order of keys"] == (False, True), "equal messages are found now"
PYTHON
v/bin/python seen.py
