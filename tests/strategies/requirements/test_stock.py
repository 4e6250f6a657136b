"""The stock requirements: what passes, what fails and why, and what they notice while streaming."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import random
import re
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite import requirements as stock
from mellite.backends import Scripted
from mellite.errors import InvalidRequest, MissingExtra
from mellite.events import Finish, TextDelta, ToolCallEvent
from mellite.messages import ToolCall
from mellite.requirements import Requirement, check
from mellite.strategies.requirements.stock.json_prefix import JsonPrefix
from mellite.values.chunking import chunk

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Point:
    """Something to parse."""

    x: int
    y: int


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
    "required": ["name"],
    "$defs": {"tag": {"type": "string", "pattern": "^[a-z]+$"}},
}

CASES: dict[str, tuple[Requirement, list[str], list[str]]] = {
    "length max": (stock.length(max=5), ["", "12345"], ["123456"]),
    "length of nothing": (stock.length(min=0, max=0), [""], ["x"]),
    "length min": (stock.length(min=3), ["123"], ["", "12"]),
    "length words": (stock.length(min=2, max=3, unit="words"), ["a b", " a\n b  c "], ["a", "a b c d", ""]),
    "contains": (stock.contains("a", "bc"), ["xbcxa"], ["a", "bc", "A bc", ""]),
    "contains in any case": (stock.contains("Straße", ignore_case=True), ["STRASSE 1"], ["Strase"]),
    "not contains": (stock.not_contains("bad", "worse"), ["good", "", "b ad"], ["not bad", "worse"]),
    "not contains in any case": (stock.not_contains("ſß", ignore_case=True), ["s"], ["SSS", "xsß"]),
    "regex": (stock.regex(r"\d{3}"), ["a 123"], ["12", ""]),
    "regex full": (stock.regex(re.compile("[a-z]+"), full=True), ["abc"], ["abc1", ""]),
    "regex forbidden": (stock.regex(r"\b[A-Z]{2,}\b", forbid=True), ["Ok A", ""], ["so BAD it is", "BAD"]),
    "regex forbidden at the end": (stock.regex(r"\?$", forbid=True), ["Why? So.", ""], ["Why?"]),
    "regex forbidden in full": (stock.regex(r"no", forbid=True, full=True), ["not"], ["no"]),
    "one of": (stock.one_of(["yes", "no", "not sure"]), ["yes", " no\n", "not sure"], ["yes.", "", "Yes", "yes no"]),
    "one of in any case": (stock.one_of(["Yes"], ignore_case=True), ["YES", "yes "], ["y", "yess"]),
    "json": (
        stock.json(),
        ['{"a": [1, null]}', " 3 ", '"x"', '"\\ud800"', "1" * 5000, '"\ud800"', "[1e400]"],
        ["", "{", "NaN", "[1,]", '{"a": 1} x', "'a'", "```json\n1\n```", '"\n"', "Infinity", "01", "[" * 100_000],
    ),
    "json of a schema": (
        stock.json(schema=PERSON),
        ['{"name": "Ada"}', '{"name": "Ada", "tags": ["a"]}'],
        ["{}", '{"name": 1}', '{"name": "Ada", "tags": ["A"]}', "[]", "{"],
    ),
    "json of no schema": (stock.json(schema=False), [], ["1", "{}"]),
    "json of a type": (stock.json(type=Point), ['{"x": 1, "y": 2}'], ['{"x": 1}', '{"x": "1", "y": 2}', "[]"]),
    "json of a list": (stock.json(type=list[int]), ["[1, 2]"], ['["1"]', "{}"]),
    "python": (
        stock.python_syntax(),
        ["x = 1", "", "  indented = 1", "So:\n```python\nx = 1\n```\n", "```\nx = 1\n```", 'x = "\\d"'],
        [
            "x =",
            "x = '",
            "So:\n```py\nx =\n```",
            "```js\nlet x\n```",
            "x\0",
            "(" * 1000,
            "-" * 100_000 + "1",
            "\ud800=",
        ],
    ),
    "python in two blocks": (
        stock.python_syntax(),
        ["```py\na\n```\n```js\n+\n```\n"],
        ["```py\na\n```\n```py\n+\n```\n"],
    ),
    "similar": (stock.similar("the cat sat", 0.9), ["the cat sat", "the cat  sat"], ["a dog", ""]),
    "similar words": (stock.similar("the cat sat", 1, measure="words"), ["sat the cat"], ["sat the cat on"]),
    "similar set": (stock.similar("a b", 1, measure="word-set"), ["b a a b"], ["c"]),
    "similar by a function": (stock.similar("abc", 1, measure=lambda a, b: float(len(a) == len(b))), ["xyz"], ["xy"]),
}


@pytest.mark.parametrize("name", CASES)
async def test_whole_texts(name: str) -> None:
    """Each stock requirement passes what it should, and says why it fails what it should not."""
    requirement, good, bad = CASES[name]
    for text in good:
        [verdict] = await check(text, [requirement])
        assert (verdict.passed, verdict.error) == (True, None), (text, verdict)
    for text in bad:
        [verdict] = await check(text, [requirement])
        assert (verdict.passed, verdict.error) == (False, None), (text, verdict)
        assert verdict.reason
    assert requirement.description[0].isupper()
    assert requirement.description[-1] == "."


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (requirement, *_) in CASES.items() if requirement.check_chunk])
@pytest.mark.parametrize("counting", [False, True])
async def test_streamed_texts(name: str, counting: bool) -> None:
    """No text that passes fails while streaming, however it is cut; with `fresh` or without, the same is noticed."""
    requirement, good, bad = CASES[name]
    for text in [*good, *bad]:
        for size in (1, 3, max(1, len(text))):
            if len(text) // size > 10_000:
                continue
            function = requirement.checker() if counting else requirement.check_chunk
            partial, failed = "", False
            for piece in chunk(text, size):
                partial += piece
                verdict, result = await Requirement("x", check_chunk=function).validate_chunk(piece, partial)
                failed = failed or verdict == "fail"
                assert result is None or (result.reason and result.error is None)
            assert not (failed and text in good), (text, size)


@pytest.mark.parametrize(
    ("requirement", "pieces", "noticed"),
    [
        (stock.length(max=3), ["ab", "c", "d", "e"], 2),
        (stock.length(max=2, unit="words"), ["one", "more t", "wo ", " three", "four"], 3),
        (stock.not_contains("secret word"), ["a sec", "ret", " wor", "d here"], 3),
        (stock.not_contains("SS", ignore_case=True), ["a", "ß", "b"], 1),
        (stock.regex(r"\d\d", forbid=True), ["a1", "2", "3"], 1),
        (stock.regex(r"\bno\b", forbid=True), ["a no", "t", " no", " b"], 3),
        (stock.regex(r"^x", forbid=True), ["a\n", "x" * 600, "b"], None),
        (stock.one_of(["yes", "no"]), [" ", "\n", "ye", "p", "x"], 3),
        (stock.one_of(["yes", "no"]), ["yes", " ", "and"], 2),
        (stock.one_of(["yes", "no"]), ["y", "es \n"], None),
        (stock.json(), ["{", '"a"', ":", " tr", "ux", "}"], 4),
        (stock.json(), ["Sure", "!"], 0),
        (stock.json(), ["[1]", " ", "x"], 2),
        (stock.json(), ["[1", ":", "2]"], 1),
        (stock.json(), ['{"a"', " ", "1", "}"], 2),
        (stock.json(), ['{"a":', "1", "]"], 2),
        (stock.json(), ["{", "1"], 1),
        (stock.json(), ['{"a":1', ",", "}"], 2),
        (stock.json(), ["[1", ",", "]"], 2),
        (stock.json(), ["[", ","], 1),
        (stock.json(), ["}"], 0),
        (stock.json(), ['"\\', "x"], 1),
        (stock.json(), ['"\\u00', "g"], 1),
        (stock.json(), ['"a', "\n"], 1),
        (stock.json(), ["0", "1"], 1),
        (stock.json(), ["-", "x"], 1),
        (stock.json(), ["1.", "e"], 1),
        (stock.json(), ["1e+", ","], 1),
        (stock.json(), ["1e", "5", " ", "6"], 3),
        (stock.json(), ["nul", "x"], 1),
        (stock.json(), ["\u00a0"], 0),
    ],
)
async def test_noticed_while_streaming(requirement: Requirement, pieces: list[str], noticed: int | None) -> None:
    """What can only get worse is noticed with the chunk that shows it, and not before."""
    checker = requirement.checker()
    assert checker is not None
    verdicts = [checker(piece, "".join(pieces[: index + 1])) for index, piece in enumerate(pieces)]
    failing = [index for index, verdict in enumerate(verdicts) if verdict is not None and not verdict.passed]
    assert failing[:1] == ([] if noticed is None else [noticed])


async def test_the_verdict_says_why() -> None:
    """The reason names what is wrong in words that a model can use."""
    expected = {
        "length max": "it has 6 characters, more than 5",
        "contains": "it does not contain 'bc'",
        "not contains": "it contains 'bad'",
        "regex forbidden": r"it contains 'BAD', which matches '\\b[A-Z]{2,}\\b'",
        "one of": "'yes.' is not 'yes', 'no' or 'not sure'",
        "json of a schema": 'it does not fit the JSON Schema: $: "name" is a required property',
        "json of a type": "it does not fit the type: $: 'y' is missing",
        "python": "it is not valid Python: invalid syntax in line 1",
        "similar": "its similarity is 0.25, less than 0.9",
    }
    for name, reason in expected.items():
        requirement, _, bad = CASES[name]
        [verdict] = await check(bad[0], [requirement])
        assert verdict.reason == reason


async def test_descriptions_are_words() -> None:
    """A requirement says in words what is required, as one would tell a model."""
    assert [
        each.description
        for each in (
            stock.length(min=2, max=3, unit="words"),
            stock.length(min=2),
            stock.contains("a", "b", "c"),
            stock.one_of(["yes", "no"]),
            stock.json(type=Point, schema={"type": "object"}),
            stock.tool_called(),
        )
    ] == [
        "The answer has at least 2 and at most 3 words.",
        "The answer has at least 2 characters.",
        "The answer contains 'a', 'b' and 'c'.",
        "The answer is 'yes' or 'no', and nothing else.",
        'The answer is JSON that fits the JSON Schema {"type": "object"} and Point.',
        "A tool is called.",
    ]


async def test_many_errors_are_told_in_few_words() -> None:
    """Three errors of a schema are told, and how many more there are."""
    [verdict] = await check(json.dumps(["x"] * 500), [stock.json(schema={"items": {"type": "integer"}})])
    assert verdict.reason.endswith("and 497 more")
    assert len(verdict.reason) < 300


async def test_similarity_is_the_score() -> None:
    """The score of a similarity is given, also where it passes; `similarity` is there by itself."""
    [verdict] = await check("the cat", [stock.similar("the cat", 0.5)])
    assert verdict.score == 1.0
    assert stock.similarity("abcd", "abxx") == 0.5
    [verdict] = await check("x", [stock.similar("y", measure=lambda a, b: float("nan"))])
    assert isinstance(verdict.error, InvalidRequest)


CALLS = [
    TextDelta("Let me see."),
    ToolCallEvent(ToolCall("1", "look", {"at": "it", "n": 2})),
    ToolCallEvent(ToolCall("2", "ask", None, raw_arguments="{broken")),
    ToolCallEvent(ToolCall("3", "count", {"n": True, "of": ["a", {"b": None}]})),
    Finish("tool-calls"),
]


@pytest.mark.parametrize(
    ("requirement", "passes"),
    [
        (stock.tool_called(), True),
        (stock.tool_called("look"), True),
        (stock.tool_called("look", arguments={"at": "it"}), True),
        (stock.tool_called("look", arguments={"at": "it", "n": 3}), False),
        (stock.tool_called("look", arguments={"missing": None}), False),
        (stock.tool_called("look", arguments={"n": 2.0}), True),
        (stock.tool_called("count", arguments={"n": 1}), False),
        (stock.tool_called("count", arguments={"n": True, "of": ("a", {"b": None})}), True),
        (stock.tool_called("look", arguments=lambda given: given["n"] == 2), True),
        (stock.tool_called(arguments=lambda given: given is None), True),
        (stock.tool_called("ask", arguments={"a": 1}), False),
        (stock.tool_called("shout"), False),
    ],
)
async def test_tool_calls(requirement: Requirement, passes: bool) -> None:
    """A tool call is found by its name and by what its arguments hold."""
    for subject in (CALLS, Scripted([CALLS]).generate("Look.")):
        [verdict] = await check(subject, [requirement])
        assert (verdict.passed, verdict.error) == (passes, None)
    [verdict] = await check("no call", [requirement])
    assert not verdict


async def test_a_function_of_arguments_that_raises() -> None:
    """A function of the arguments that raises fails the requirement, with the error."""
    [verdict] = await check(CALLS, [stock.tool_called("ask", arguments=lambda given: given["x"])])
    assert isinstance(verdict.error, TypeError)


async def later(*_: Any) -> Any:
    """Return nothing of use: where it is called, nothing awaits it."""


@pytest.mark.parametrize(
    "requirement",
    [
        stock.tool_called("look", arguments=lambda given: given),
        stock.tool_called("look", arguments=later),
        stock.similar("x", measure=lambda one, other: 95),
        stock.similar("x", measure=lambda one, other: float("nan")),
        stock.similar("x", measure=lambda one, other: "1"),
        stock.similar("x", measure=later),
    ],
)
async def test_functions_that_give_no_verdict(requirement: Requirement) -> None:
    """A function of the caller's that gives neither True nor False, or no number from 0 to 1, fails the requirement."""
    [verdict] = await check(CALLS, [requirement])
    assert (verdict.passed, type(verdict.error)) == (False, InvalidRequest)


async def test_measures_that_compute() -> None:
    """A measure may give any real number, as numpy's are, and a little more than 1, as cosines of equal vectors are."""
    for number, passes in ((1.0000001, True), (Fraction(1, 2), False), (Fraction(9, 10), True), (-0.2, False)):
        [verdict] = await check("x", [stock.similar("x", measure=lambda one, other, number=number: number)])
        assert (verdict.passed, type(verdict.score), verdict.error) == (passes, float, None)


# --- JSON that grows ------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(value=values, seed=st.integers(0, 2**32), indent=st.sampled_from([None, 1]), ascii=st.booleans())
def test_prefixes_of_json(value: Any, seed: int, indent: int | None, ascii: bool) -> None:
    """Every prefix of a JSON text may become JSON, however it is cut; two texts behind each other may not."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    generator = random.Random(seed)
    counting, at = JsonPrefix().fresh(), 0
    while at < len(text):
        size = generator.randint(1, 4)
        assert counting(text[at : at + size], text[: at + size]) is None, text[: at + size]
        at += size
    assert counting(" ]", text + " ]") is not None


async def test_json_vectors(corpora: Path) -> None:
    """What must parse is never rejected on the way; what must not parse is rejected on the way, or at the end."""
    requirement = stock.json()
    seen: Counter[str] = Counter()
    for row in map(json.loads, (corpora / "json_vectors.jsonl").read_text(encoding="utf-8").splitlines()):
        text, expect = vector(row)
        if text is None:
            continue
        seen[expect] += 1
        counting = JsonPrefix().fresh()
        on_the_way = [found for at in range(len(text)) if (found := counting(text[at], text[: at + 1]))]
        [verdict] = await check(text, [requirement])
        if expect == "accept":
            assert (on_the_way, verdict.passed) == ([], True), row
        elif expect == "reject":
            assert not verdict.passed, row
        assert not (on_the_way and verdict.passed), row
    assert seen["accept"] > 90
    assert seen["reject"] > 150


def vector(row: dict[str, Any]) -> tuple[str | None, str]:
    """The text of a JSON test vector, if it is text, and whether it must parse."""
    import base64

    try:
        text = base64.b64decode(row["raw_b64"]).decode("utf-8")
    except UnicodeDecodeError:
        return None, ""
    return (text if len(text) < 5_000 else None), row["expect"]


# --- cost, bad input, extras ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "requirement",
    [
        stock.length(max=10**9),
        stock.length(max=10**9, unit="words"),
        stock.not_contains("nothing", ignore_case=True),
        stock.regex("nothing", forbid=True),
        stock.json(),
        stock.one_of(["a" * 10]),
    ],
)
def test_checking_chunks_takes_linear_time(requirement: Requirement) -> None:
    """Ten times the chunks take about ten times the time: no check looks at all of the text for each chunk."""

    def seconds(count: int) -> float:
        checker = requirement.checker()
        assert checker is not None
        pieces = ['"', *["word "] * count]
        if "'aaaaaaaaaa'" in requirement.description:
            pieces = ["  "] * count
        partials = "".join(pieces)
        spent, end = 0.0, 0
        for piece in pieces:
            end += len(piece)
            partial = partials[:end]  # not counted: the stream has its own way
            start = time.process_time()
            checker(piece, partial)
            spent += time.process_time() - start
        return spent

    assert min(seconds(10_000) for _ in range(2)) < 40 * min(seconds(1_000) for _ in range(3))


@pytest.mark.parametrize(
    "make",
    [
        stock.length,
        lambda: stock.length(max=-1),
        lambda: stock.length(min=3, max=2),
        lambda: stock.length(max=True),
        lambda: stock.length(max=1.5),
        lambda: stock.length(max=1, unit="letters"),
        stock.contains,
        lambda: stock.contains(""),
        lambda: stock.contains("a", 3),
        lambda: stock.not_contains(" "),
        lambda: stock.regex("("),
        lambda: stock.regex(b"x"),
        lambda: stock.regex(3),
        lambda: stock.one_of([]),
        lambda: stock.one_of("yes"),
        lambda: stock.one_of(["yes", ""]),
        lambda: stock.one_of({"yes"}),
        lambda: stock.json(schema={"type": "no such type"}),
        lambda: stock.json(schema={"$ref": "https://example.com/schema.json"}),
        lambda: stock.json(schema={"$ref": "file:///etc/passwd"}),
        lambda: stock.json(schema={"pattern": "("}),
        lambda: stock.json(schema="object"),
        lambda: stock.json(dict),  # type: ignore[arg-type]
        lambda: stock.json(list[int]),  # type: ignore[arg-type]
        lambda: stock.similar(3),
        lambda: stock.similar("x", 2),
        lambda: stock.similar("x", "0.5"),
        lambda: stock.similar("x", measure="letters"),
        lambda: stock.similar("x", measure=["words"]),  # type: ignore[arg-type]
        lambda: stock.json(type=3),
        lambda: stock.json(type=lambda given: given),
        lambda: stock.tool_called(3),
        lambda: stock.tool_called("x", arguments=3),
    ],
)
def test_bad_arguments(make: Any) -> None:
    """What cannot work is refused when it is written, with a typed error; a schema fetches nothing."""
    with pytest.raises(InvalidRequest):
        make()


def test_a_type_in_the_place_of_a_schema() -> None:
    """A schema may stand first; a type there is told how it is written."""
    assert stock.json(PERSON).description == stock.json(schema=PERSON).description
    for kind, name in ((Point, "Point"), (list[int], r"list\[int\]"), (int | str, r"int \| str")):
        with pytest.raises(InvalidRequest, match=rf"a JSON Schema is a dict, not {name}; .* write json\(type=\.\.\.\)"):
            stock.json(kind)


@pytest.mark.parametrize("name", CASES)
async def test_copies(name: str) -> None:
    """A stock requirement can be copied and pickled, and judges the same afterwards."""
    requirement, good, bad = CASES[name]
    await check(good[0] if good else bad[0], [requirement])
    twins = [copy.deepcopy(requirement)]
    if name != "similar by a function":  # a lambda is not for pickle
        twins.append(pickle.loads(pickle.dumps(requirement)))
    for twin in twins:
        assert (twin, hash(twin)) == (requirement, hash(requirement))
        for text, passes in [*((text, True) for text in good), *((text, False) for text in bad)]:
            [verdict] = await check(text, [twin])
            assert verdict.passed is passes


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("jsonschema_rs", lambda: stock.json(schema={}), "mellite[schema]"),
        ("rapidfuzz", lambda: stock.similar("x"), "mellite[similarity]"),
        ("rapidfuzz", lambda: stock.similarity("x", "y"), "mellite[similarity]"),
    ],
)
def test_missing_extras(module: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of an extra, the error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=re.escape(extra)):
        make()
