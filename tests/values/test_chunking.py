"""Chunks: exact, with offsets, the same at every cut of the text, in linear time."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

import mellite
from mellite.backends import Scripted
from mellite.errors import InvalidRequest
from mellite.values.chunking import Chunk, chunk, chunker_for
from mellite.wire.framing import SseDecoder


def by_lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


class Pairs:
    """A chunker of one's own: two characters at a time."""

    def __init__(self) -> None:
        self.rest = ""

    def feed(self, text: str) -> list[str]:
        text = self.rest + text
        even = len(text) - len(text) % 2
        self.rest = text[even:]
        return [text[at : at + 2] for at in range(0, even, 2)]

    def end(self) -> list[str]:
        return [self.rest]


CHUNKINGS: dict[str, Any] = {
    "words": "words",
    "sentences": "sentences",
    "paragraphs": "paragraphs",
    "lines": "lines",
    "code-fences": "code-fences",
    "json": "json",
    "one character": 1,
    "three characters": 3,
    "pattern": re.compile(r"[,;]\s*"),
    "empty matches": re.compile(r"(?<=[a-z])(?=[A-Z])|x*"),
    "pattern with a look around": re.compile(r"(?<=[.!?])\s+(?=[A-Z])"),
    "function": by_lines,
    "object": Pairs(),
    "class": Pairs,
}


def cut(chunking: Any, pieces: list[str]) -> list[tuple[str, int, int, str, str]]:
    """All that is to be known of the chunks of a text that comes in pieces."""
    chunker = chunker_for(chunking)
    chunks = [each for piece in pieces for each in chunker.feed(piece)]
    chunks += chunker.end()
    assert all(isinstance(each, Chunk) for each in chunks)
    return [(str(each), each.start, each.end, each.kind, each.content) for each in chunks]


def assert_sound(chunking: Any, text: str, *cuts: list[str]) -> None:
    """The chunks add up, stand where they say, are not empty, and are the same for all cuts."""
    whole = cut(chunking, [text])
    assert "".join(found[0] for found in whole) == text
    at = 0
    for found, start, end, _, content in whole:
        assert found
        assert (start, text[start:end]) == (at, found)
        assert content in found
        at = end
    for pieces in cuts:
        assert cut(chunking, pieces) == whole


def pairs_of(text: str) -> list[list[str]]:
    """The text in two pieces, at every place."""
    return [[text[:at], text[at:]] for at in range(len(text) + 1)]


# --- the same at every cut ------------------------------------------------------------------------

MARKS = [".", "!", "?", "...", "…", "。", "！", "」", '"', "'", ")", "*"]
SPACES = [" ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", " " * 8]
WORDS = ["a", "B", "Dr", "e.g", "U.S", "etc", "no", "3", "3.14", "12", "é", "漢字", "\ud800", "🎉", "I", "x" * 40]
CODE = ["```", "````", "~~~", "```py\n", "`", "#", "- ", "1. ", "> ", "|", "\\"]
JSON = ["[", "]", "{", "}", ":", ",", '"a"', '"', "true", "nul", "1", "-0.5e3", '\\"', "[1,", '{"k": ']
texts = st.lists(st.sampled_from(MARKS + SPACES + WORDS + CODE + JSON) | st.characters(), max_size=25).map("".join)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHUNKINGS)
@settings(max_examples=60)
@given(text=texts)
@example(text="")
@example(text="A.\r\n\r\n1.\n\n2) B! c")
@example(text="Hi.\r\nYou!\r\n\r\nx")
@example(text='Say:\n```json\n[{"a": [1, "]\\""]}, tru, -1 ]\n```\n[no] {"k" : {}}')
def test_every_cut_gives_the_same(name: str, text: str) -> None:
    """Chunks add up to the text, know their place, and do not depend on how the text was cut."""
    assert_sound(CHUNKINGS[name], text, list(text), *pairs_of(text))


@pytest.fixture(scope="session")
def recorded(corpora: Path) -> list[list[str]]:
    """The text deltas of every recorded stream that has some, as the provider sent them."""
    found = []
    with gzip.open(corpora / "interactions.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            body = base64.b64decode(row["body_b64"] or "")
            frames = SseDecoder().feed(body) if b"data:" in body[:2000] else []
            deltas = [delta for frame in frames for delta in text_deltas(frame.data)]
            if deltas:
                found.append(deltas)
    return found


def text_deltas(data: str) -> list[str]:
    """The text that one stream event of the usual vendors adds."""
    try:
        event = json.loads(data)
    except ValueError:
        return []
    if not isinstance(event, dict):
        return []
    delta = event.get("delta")
    candidates = [delta if isinstance(delta, str) else (delta or {}).get("text")]
    candidates += [(choice.get("delta") or {}).get("content") for choice in event.get("choices") or []]
    for candidate in event.get("candidates") or []:
        candidates += [part.get("text") for part in (candidate.get("content") or {}).get("parts") or []]
    return [text for text in candidates if isinstance(text, str) and text]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHUNKINGS)
def test_recorded_streams(name: str, recorded: list[list[str]]) -> None:
    """Recorded answers of real providers give the same chunks as sent, by character, and at every single cut."""
    assert len(recorded) > 50
    for deltas in recorded:
        text = "".join(deltas)
        everywhere = pairs_of(text) if len(text) <= 120 else [[text[:7], text[7:-5], text[-5:]]]
        assert_sound(CHUNKINGS[name], text, deltas, list(text) if len(text) < 3000 else deltas, *everywhere)


def test_as_sent() -> None:
    """As sent keeps the deltas, with their offsets; a whole text is one chunk."""
    for chunking in (None, "as-sent"):
        assert [found[:3] for found in cut(chunking, ["ab", "", "c"])] == [("ab", 0, 2), ("c", 2, 3)]
        assert chunk("one two", chunking) == ["one two"]
        assert chunk("", chunking) == []


# --- where chunks end -----------------------------------------------------------------------------


def sentences(*pieces: str) -> Any:
    """A row of the table below: the sentences that a text has."""
    return pytest.param(list(pieces), id=pieces[0].strip())


@pytest.mark.parametrize(
    "pieces",
    [
        sentences("One. ", "Two! ", "Three? ", "Four"),
        sentences("Pi is 3.14 or so. ", "Version 1.2.3 of example.com/a.b is out."),
        sentences("Ask Dr. Smith, e.g. tomorrow. ", "Or Prof. Doe, i.e. never."),
        sentences("See Fig. 2 and No. 5. ", "He said no. ", "Go."),
        sentences("It ends at 5 p.m. ", "Bring pens, ink, etc. and paper. ", "Bring ink, etc. ", "Go."),
        sentences("J. R. R. Tolkien lived in the U.K. for long. ", "A Ph.D. thesis. ", "So did I. ", "Yes."),
        sentences("Wait... what? ", "Wait... ", "What? ", "Well… maybe. ", "End."),
        sentences('"Why?" he asked. ', '"Because." ', "She left (at once.) ", "End."),
        sentences("**Bold.** ", "Then plain. ", "_So._ ", "End."),
        sentences("Really?! ", "No!!! ", "Yes."),
        sentences("one. ", "two. ", "three."),
        sentences("今天很好。", "你呢？", "「很好！」", "他说。"),
        sentences("これは。\n", "次です！ ", "終わり"),
        sentences("यह एक है। ", "दूसरा।"),
        sentences("Soft\nwrapped line. ", "Next."),
        sentences("A heading\n\n", "Text.\n", "\nMore."),
        sentences("List:\n", "- one\n", "- two\n", "1. First thing. ", "Still first.\n", "2. Second\n", "# Head"),
        sentences("Then\n", "> a quote\n", "| a | table |\n", "```\ncode\n", "```"),
        sentences("...\n\n", "low, and behind a blank line"),
        sentences("CRLF.\r\n", "Next.\r\n", "\r\nEnd."),
        sentences("Two.  ".removesuffix(" "), " Spaces."),
    ],
)  # fmt: skip
def test_sentences(pieces: list[str]) -> None:
    """Sentences end where a reader ends them: not in numbers, names, abbreviations, initials and list numbers."""
    assert chunk("".join(pieces), "sentences") == pieces


@pytest.mark.parametrize(
    ("chunking", "pieces"),
    [
        ("words", ["one ", "two\n", "  three ", "four"]),
        ("words", ["  one ", "two"]),
        ("words", ["a\u00a0", "b\u3000", "c"]),
        ("lines", ["a\n", "\n", "b\r\n", "c\r", "d\u2028e\x0bf\x85g"]),
        ("paragraphs", ["a\nb\n\n", "c\n \t\n", "\nd\r\n\r\n", "e"]),
        ("paragraphs", ["\n\na\n\n", "b"]),
        (2, ["ab", "cd", "e"]),
        (2, ["a\ud800", "🎉é"]),
        (re.compile(r"[,;] ?"), ["a, ", "b;", "c"]),
        (re.compile(r"$^"), ["never matches"]),
        (re.compile(r"(?<=a)b"), ["ab", "bab", "b"]),
        (re.compile(r"(?=[A-Z])"), ["a", "Bc", "D"]),
        (by_lines, ["a\n", "b"]),
        (Pairs, ["ab", "cd", "e"]),
    ],
)
def test_where_chunks_end(chunking: Any, pieces: list[str]) -> None:
    """Each way to cut ends its chunks where its documentation says."""
    assert chunk("".join(pieces), chunking) == pieces


@pytest.mark.parametrize(
    ("pieces", "kinds", "codes"),
    [
        (["Look:\n", "```py\nx = 1\n```\n", "End."], ["text", "code", "text"], ["x = 1\n"]),
        (["```\na\n```\n", "```\nb\n```"], ["code", "code"], ["a\n", "b\n"]),
        (["~~~~\n```\n~~~\n~~~~\n"], ["code"], ["```\n~~~\n"]),
        (["````\n```\n````\n", "x"], ["code", "text"], ["```\n"]),
        (["- a\n", "   ```\n   x\n   ```\n"], ["text", "code"], ["   x\n"]),
        (["Use ```a``` here, or `b`\n```c``` there"], ["text"], []),
        (["```\n``` not the end\n```\n"], ["code"], ["``` not the end\n"]),
        (["a\n", "```js\nnever closed"], ["text", "code"], ["never closed"]),
    ],
)
def test_code_fences(pieces: list[str], kinds: list[str], codes: list[str]) -> None:
    """Fenced blocks are chunks of their own, with the code in `content`; what stands between them too."""
    chunks = chunk("".join(pieces), "code-fences")
    assert chunks == pieces
    assert [each.kind for each in chunks] == kinds
    assert [each.content for each in chunks if each.kind == "code"] == codes


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("[1, 2.5, -3e1]", ["1", "2.5", "-3e1"]),
        ('[{"a": [1, 2]}, [[]], "x, ]", null]', ['{"a": [1, 2]}', "[[]]", '"x, ]"', "null"]),
        (r'["\"", "\\", "\\\"]"]', [r'"\""', r'"\\"', r'"\\\"]"']),
        ('{"a": 1, "b": {"c": "}"}, "d": []}', ['"a": 1', '"b": {"c": "}"}', '"d": []']),
        ('Here:\n```json\n[\n  {"a": 1},\n  {"a": 2}\n]\n```\nDone.', ['{"a": 1}', '{"a": 2}']),
        ("[see the note], {name} and [x](y): [true]", ["true"]),
        ("[]{} [ ]", []),
        ('[1, {"cut": "off', ["1"]),
        ("[1, 2", ["1"]),
        ('{"a": 1}\n{"a": 2}\n', ['"a": 1', '"a": 2']),
        ("no JSON at all", []),
        ("{unquoted: 1}", []),
    ],
)
def test_json_elements(text: str, elements: list[str]) -> None:
    """The elements of the outermost array or object are chunks, with their JSON in `content`; prose is tolerated."""
    chunks = chunk(text, "json")
    assert "".join(chunks) == text
    assert [each.content for each in chunks if each.kind != "text"] == elements
    for each in chunks:
        if each.kind == "value":
            json.loads(each.content)
        elif each.kind == "member":
            json.loads("{" + each.content + "}")


@pytest.mark.parametrize(
    ("chunking", "delta", "complete"),
    [
        ("words", "one ", "one "),
        ("sentences", "One. ", "One. "),
        ("sentences", "「好。」a", "「好。」"),
        ("lines", "one\n", "one\n"),
        ("paragraphs", "one\n\n", "one\n\n"),
        ("code-fences", "```\nx\n```\n", "```\nx\n```\n"),
        ("json", '[{"a": 1}', '[{"a": 1}'),
        ("json", '["a"', '["a"'),
        ("json", "[1,", "[1"),
        (3, "abc", "abc"),
        (by_lines, "one\nt", "one\n"),
        (re.compile(", "), "one, t", "one, "),
        (re.compile("x"), "a" * 5_000 + "x" + "b" * 400, "a" * 5_000 + "x"),
        (Pairs, "ab", "ab"),
    ],
)
def test_complete_at_the_first_character_that_decides(chunking: Any, delta: str, complete: str) -> None:
    """A chunk is given out as soon as it is certain where it ends: what follows costs money."""
    chunker = chunker_for(chunking)
    long = len(delta) > 1_000  # then it is looked at again only now and then, at most a sixteenth later
    fed = [each for character in delta[: -400 if long else -1] for each in chunker.feed(character)]
    assert fed == []
    assert [each for character in delta[-400 if long else -1 :] for each in chunker.feed(character)] == [complete]


# --- a chunk is a str -----------------------------------------------------------------------------


def test_only_the_last_line_break_waits() -> None:
    """A line before one that ends with CR is given out at once: only that one may go on with LF."""
    assert chunker_for("lines").feed("one\ntwo\r") == ["one\n"]


def test_an_object_is_fed_no_empty_text() -> None:
    """A chunker of the caller's is never fed an empty text, which providers do send."""
    fed: list[str] = []

    class Notes(Pairs):
        def feed(self, text: str) -> list[str]:
            fed.append(text)
            return [text]

    chunker = chunker_for(Notes)
    assert [*chunker.feed(""), *chunker.feed("a"), *chunker.feed("")] == ["a"]
    assert fed == ["a"]


class Threes(Pairs):
    """Gives three characters at a time, wherever the deltas were cut."""

    def feed(self, text: str) -> list[str]:
        self.rest += text
        cut = len(self.rest) - len(self.rest) % 3
        done, self.rest = self.rest[:cut], self.rest[cut:]
        return [done[at : at + 3] for at in range(0, cut, 3)]


def test_chunks_of_an_object_across_deltas() -> None:
    """A chunk may begin in one delta and end in the middle of another one; it knows where it stands."""
    chunker = chunker_for(Threes)
    chunks = [*chunker.feed("ab"), *chunker.feed("cdefgh"), *chunker.feed("i"), *chunker.feed("j"), *chunker.end()]
    assert [(str(each), getattr(each, "start", None)) for each in chunks] == [
        ("abc", 0),
        ("def", 3),
        ("ghi", 6),
        ("j", 9),
    ]


def test_a_broken_object_is_not_asked_again() -> None:
    """After its error, the end of the text is no second one."""
    chunker = chunker_for(Fails)
    with pytest.raises(InvalidRequest, match="raised ValueError: substring not found"):
        chunker.feed("ab")
    assert list(chunker.end()) == []


def test_a_chunk_is_a_str() -> None:
    """A chunk is a str in every respect, and pickle and copy keep what it knows."""
    [_, code] = chunk("a\n```\nx\n```", "code-fences")
    assert isinstance(code, str)
    assert {code: 1}["```\nx\n```"] == 1
    assert repr(code) == repr(str(code))
    for twin in (pickle.loads(pickle.dumps(code)), copy.copy(code), copy.deepcopy(code)):
        assert (twin, twin.start, twin.end, twin.kind, twin.content) == (code, 2, 11, "code", "x\n")
    assert Chunk("abc").content == "abc"


def test_an_object_serves_many_texts() -> None:
    """An object with feed and end is copied for each text, so that two streams do not mix."""
    mine = Pairs()
    first, second = chunker_for(mine), chunker_for(mine)
    assert (first.feed("a"), second.feed("bc"), first.feed("d")) == ([], ["bc"], ["ad"])
    assert mine.rest == ""


# --- bad input ------------------------------------------------------------------------------------


class Loses(Pairs):
    """Gives nothing back at the end."""

    def end(self) -> list[str]:
        return []


class Adds(Pairs):
    """Gives more back than it got."""

    def end(self) -> list[str]:
        return [self.rest, "more"]


class Shouts(Pairs):
    """Changes the text."""

    def feed(self, text: str) -> list[str]:
        return [each.upper() for each in super().feed(text)]


class Fails(Pairs):
    """Has a mistake in it."""

    def feed(self, text: str) -> list[str]:
        return [text[1:].index("?")]  # type: ignore[list-item]


class Numbers(Pairs):
    """Gives what is not text."""

    def feed(self, text: str) -> list[str]:
        return [1]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "chunking",
    [Loses, Adds, Shouts, Fails, Numbers, str.split, lambda text: [text, text], lambda text: 1 / 0, lambda text: 3],
)
def test_a_chunker_that_changes_the_text_is_an_error(chunking: Any) -> None:
    """A chunker that loses, adds or changes text, or fails, is a typed error that says what is wrong with it."""
    with pytest.raises(InvalidRequest, match="chunk") as caught:
        chunk("one two three", chunking)
    assert caught.value.parameter == "chunking"


@pytest.mark.anyio
@pytest.mark.parametrize("chunking", [Loses, Shouts, str.split])
async def test_astream_with_a_broken_chunker(chunking: Any) -> None:
    """Out of a thunk, a chunker that loses text is the same typed error, and the text itself is not lost."""
    thunk = Scripted(["one two three"]).generate("Count.")
    with pytest.raises(InvalidRequest):
        _ = [each async for each in thunk.astream(chunking)]
    assert await thunk == "one two three"


class Locked:
    """Neither a class without arguments, nor something to copy."""

    def __init__(self, lock: object) -> None:
        self.lock = lock

    def __deepcopy__(self, memo: object) -> Locked:
        raise TypeError("cannot be copied")

    feed = end = lambda *_: []


@pytest.mark.parametrize(
    "chunking", [0, -1, True, 1.5, "", "sentence", "Words", re.compile(b"x"), b"words", object(), Locked(1), Locked, {}]
)
def test_no_such_chunking(chunking: Any) -> None:
    """What is not a chunking is refused with a typed error before anything is cut."""
    with pytest.raises(InvalidRequest) as caught:
        chunk("text", chunking)
    assert caught.value.parameter == "chunking"


def test_nearest_name() -> None:
    """A misspelled name is answered with the nearest one."""
    with pytest.raises(InvalidRequest, match="did you mean 'sentences'"):
        chunk("text", "sentence")
    with pytest.raises(InvalidRequest, match="cuts a str, not bytes"):
        mellite.chunk(b"text", "words")  # type: ignore[arg-type]


# --- in a thunk -----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("name", CHUNKINGS)
async def test_astream_takes_every_chunking(name: str) -> None:
    """`astream` takes every chunking, live and afterwards, and gives the same chunks as `mellite.chunk`."""
    text = 'One. Two, 3.14!\n\n```\nx\n```\n[1, {"a": 2}]\nEnd'
    thunk = Scripted([[text[at : at + 2] for at in range(0, len(text), 2)]]).generate("Go.")
    for _ in range(2):
        assert [each async for each in thunk.astream(CHUNKINGS[name])] == mellite.chunk(text, CHUNKINGS[name])


# --- linear ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["aaaa", "    ", "....", "\n\n\n\n", '""""', "[ [ ", "````", '"\\\\"', "One. "])
@pytest.mark.parametrize("name", CHUNKINGS)
def test_linear(name: str, piece: str) -> None:
    """Ten times the text takes about ten times the time, also where no chunk ever ends."""

    def seconds(count: int) -> float:
        chunker = chunker_for(CHUNKINGS[name])
        start = time.process_time()
        for _ in range(count):
            chunker.feed(piece)
        chunker.end()
        return time.process_time() - start

    assert min(seconds(20_000) for _ in range(2)) < 40 * max(min(seconds(2_000) for _ in range(3)), 0.001)
