"""Estimates of tokens: texts, messages, requests, images and tools; measured on recorded answers where they are."""

from __future__ import annotations

import json
import pickle
import struct
from typing import NamedTuple

import pytest

import mellite
from mellite import Audio, Document, Image, Message, Request, ToolCall, ToolDefinition, ToolResult, count_tokens
from mellite.backends import Echo
from mellite.errors import InvalidRequest
from mellite.messages import WholeAnswer

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1000, 750) + b"\x08\x02\0\0\0"
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", 750, 1000)
WEBP = b"RIFF\0\0\0\0WEBP"
SAME = {
    "png": PNG,
    "gif": b"GIF89a" + struct.pack("<HH", 1000, 750),
    "jpeg": JPEG,
    "webp, with features": WEBP + b"VP8X\0\0\0\0\0\0\0\0" + (999).to_bytes(3, "little") + (749).to_bytes(3, "little"),
    "webp, without loss": WEBP + b"VP8L\0\0\0\0\x2f" + (999 | 749 << 14).to_bytes(4, "little") + b"\0" * 8,
    "webp": WEBP + b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 1000, 750),
}


class Defined(NamedTuple):
    """Something with a definition, as what `mellite.tool` makes."""

    definition: ToolDefinition


def look(at: str) -> str:
    """Look at it."""
    return at


def test_a_count_is_an_int_that_says_what_it_is_worth():
    """It adds up, compares and pickles as a number, and is not an exact one."""
    count = count_tokens("The sky is blue.")
    assert count == 5
    assert count + 1 == 6
    assert count.exact is False
    again = pickle.loads(pickle.dumps(mellite.TokenCount(3, exact=True)))
    assert (again, again.exact) == (3, True)


@pytest.mark.parametrize(
    "text", ["", "Hello.", "你好世界", "Привет, мир", "a" * 10_000, "{" * 1000, "\n" * 100, "😀\ud83d"]
)
def test_any_text(text):
    """Every text has a number of tokens that is not above that of its bytes."""
    assert 0 <= count_tokens(text) <= max(len(text.encode("utf-8", "surrogatepass")), 1)


def test_more_has_more():
    """Whatever is added to a request adds to its tokens."""
    tool = ToolDefinition(
        "look", "Look at it.", input_schema={"type": "object", "properties": {"at": {"type": "string"}}}
    )
    assert count_tokens(look) > count_tokens("look Look at it.")
    counts = [
        count_tokens("Look."),
        count_tokens([Message.user("Look.")]),
        count_tokens(Request.of("Look.")),
        count_tokens(Request.of("Look.", system="Be brief.")),
        count_tokens(Request.of("Look.", system="Be brief.", tools=[tool])),
        count_tokens(Request.of(["Look.", Image(PNG)], system="Be brief.", tools=[tool])),
        count_tokens(Request.of(["Look.", Image(PNG)], system="Be brief.", tools=[tool], model="claude-opus-4-8")),
    ]
    assert counts == sorted(set(counts))
    assert count_tokens(tool) == count_tokens(Defined(tool)) == counts[4] - counts[3]


@pytest.mark.parametrize("kind", SAME)
def test_images_count_by_their_area(kind):
    """A picture of 1000 by 750 pixels is about 1,000 tokens, whatever its file; a part of a file has no size."""
    assert count_tokens(Image(SAME[kind])) == 1000
    assert count_tokens(Image(SAME[kind][:9])) == count_tokens(Image(url="https://example.com/cat.png")) == 800


def test_other_parts():
    """Sound, documents, calls, results and settled thunks count."""
    assert count_tokens(Audio(b"\0" * 5000)) == 10
    assert count_tokens(Document(b"The sky is blue.", media_type="text/plain")) == 5
    call = ToolCall("c", "look", {"at": "the sky"})
    assert count_tokens(call) > count_tokens("the sky")
    assert count_tokens(ToolResult("c", "look", {"a": ["b"]})) > 4
    assert count_tokens(ToolResult("c", "look", [Image(PNG)])) > 1000
    thunk = Echo().generate("The sky is blue.")
    with pytest.raises(InvalidRequest, match="pending"):
        count_tokens(["Say: ", thunk])
    thunk.result()
    assert count_tokens(thunk) == 5
    assert count_tokens([WholeAnswer.message(thunk)]) == count_tokens([thunk.message])


@pytest.mark.parametrize(("what", "model"), [(3, None), ([], None), ([("user", "a"), "b"], None), ("hi", 3)])
def test_mistakes(what, model):
    """What is not a prompt has no tokens."""
    with pytest.raises(InvalidRequest):
        count_tokens(what, model=model)


def test_a_large_text_is_counted_in_linear_time():
    """No piece of a megabyte is looked at twice."""
    assert count_tokens("the sky is blue. " * 60_000) == 60_000 * 5 - 6_000


def test_recorded_answers(corpora):
    """For recorded answers of plain text the estimate is off by less than 6 % on average."""
    off = []
    for line in (corpora / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        said, usage = row["expect"], row["expect"].get("usage") or {}
        if any(said.get(key) for key in ("thinking", "tool_calls", "server_tools")) or not said.get("text"):
            continue
        names = ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens")
        tokens = next((usage[name] for name in names if usage.get(name)), 0)
        ratio = count_tokens(said["text"], model=said.get("model")) / max(tokens, 1)
        if tokens >= 30 and ratio > 0.6:  # else it thought, and does not say so
            off.append(abs(ratio - 1))
    assert len(off) > 50
    assert sum(off) / len(off) < 0.06
