#!/usr/bin/env bash
# outlines-core: a regular expression made of a JSON Schema has no `minimum`, `maximum`, `multipleOf` and `uniqueItems` in
# it, and nothing says so: what is generated under the constraint "an integer from 1 to 5" may be 99 or -7. One would expect
# that constrained output fits its schema, or an error, since `minLength`, `pattern` and `enum` do work. So pydantic's
# `Field(ge=1, le=5)` is a ValidationError at times even so: check the answer, or write scores as an `enum`. llguidance
# keeps the bounds. And `pattern` is anchored at both ends, where JSON Schema searches: "ab" allows "ab" alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q outlines-core==0.2.14 llguidance==1.9.1 jsonschema==4.26.0 2>/dev/null
cat > seen.py <<'PYTHON'
import json
import re
from importlib.metadata import version

import jsonschema
import llguidance
from outlines_core.json_schema import build_regex_from_schema

CASES = (
    ({"type": "integer", "minimum": 1, "maximum": 5}, 99),
    ({"type": "integer", "minimum": 1, "maximum": 5}, -7),
    ({"type": "number", "exclusiveMinimum": 0}, -0.5),
    ({"type": "integer", "multipleOf": 5}, 7),
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 1]),
    ({"type": "string", "minLength": 2}, "a"),
    ({"enum": [1, 2, 3, 4, 5]}, 99),
    ({"type": "string", "pattern": "ab"}, "cab"),
)


def by_bytes():
    """A tokenizer in which each byte is a token, as llguidance needs one."""

    class Bytes:
        eos_token_id = 256
        bos_token_id = None
        tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
        special_token_ids = [256]

        def __call__(self, text):
            return list(text if isinstance(text, bytes) else text.encode())

    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def llguidance_allows(schema, text):
    """Whether llguidance lets this text through; None where it refuses the schema."""
    matcher = llguidance.LLMatcher(by_bytes(), llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    if matcher.is_error():
        return None
    return matcher.consume_tokens(list(text.encode())) and matcher.is_accepting()


print("outlines-core", version("outlines-core"), "llguidance", version("llguidance"))
seen = []
for schema, value in CASES:
    text = json.dumps(value, separators=(",", ":"))
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    allowed = re.fullmatch(build_regex_from_schema(json.dumps(schema)), text) is not None
    seen.append((valid, allowed))
    print(f"{schema}: {text} is valid {valid}, allowed {allowed}, by llguidance {llguidance_allows(schema, text)}")
assert seen[:5] == [(False, True)] * 5, "bounds are kept now"
assert seen[5:7] == [(False, False)] * 2
assert seen[7] == (True, False), "patterns are searched now"
assert llguidance_allows(*CASES[0][:1], "99") is False
PYTHON
v/bin/python seen.py
