"""Comparing cassettes: what is aligned with what, what counts as a change, and the sums."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from mellite.archive.compare import Comparison, compare
from mellite.archive.entries import entries_below
from mellite.archive.tally import tally
from mellite.cassettes import Sidecar, TextDirectory
from mellite.errors import CassetteMiss, InvalidCassette
from mellite.values.usage import Usage
from tests.cli.programs import cassette, chat_answer


def several(path: Path, *calls: tuple[str, str], **tokens: int) -> Path:
    """A cassette of chat calls: a prompt and its answer each."""
    interactions = []
    for prompt, answer in calls:
        body = answer if answer.startswith("data:") else chat_answer(answer, **tokens)
        one = json.loads(cassette(path, prompt, [(200, body)]).read_text())["interactions"][0]
        interactions.append({**one, "response": {**one["response"], "headers": {"content-type": "text/event-stream"}}})
    path.write_text(json.dumps({"version": 1, "interactions": interactions}), encoding="utf-8")
    return path


def compared(left: Path, right: Path) -> Comparison:
    """Two cassettes beside each other."""
    return compare(str(left), str(right))


def changes(found: Comparison) -> list[tuple[str, str | None, str | None]]:
    """How each pair differs, and which calls it is made of."""
    return [(pair.change, pair.left and pair.left.name, pair.right and pair.right.name) for pair in found.pairs]


def test_same(corpora: Path) -> None:
    """A folder is the same as itself, whatever protocols are in it."""
    found = compared(corpora / "opencode", corpora / "opencode")
    assert (found.same, found.first, found.input_tokens, found.cost_usd) == (True, None, 0, 0)
    assert len(found.pairs) > 60


def test_aligned_by_requests(tmp_path: Path) -> None:
    """A call that is added or removed in the middle moves nothing; a changed request is paired with its successor."""
    left = several(tmp_path / "a.json", ("one", "1"), ("two", "2"), ("three", "3"), ("four", "4"))
    right = several(tmp_path / "b.json", ("zero", "0"), ("one", "1"), ("two!", "2"), ("four", "4"))
    assert changes(compared(left, right)) == [
        ("added", None, "0"),
        ("same", "0", "1"),
        ("request", "1", "2"),
        ("removed", "2", None),
        ("same", "3", "3"),
    ]


def test_the_first_request_that_differs(tmp_path: Path) -> None:
    """The first difference in the requests is at hand, with its JSON path; an answer that differs is not it."""
    left = several(tmp_path / "a.json", ("one", "1"), ("two", "2"))
    right = several(tmp_path / "b.json", ("one", "uno"), ("two!", "2"))
    found = compared(left, right)
    assert found.first is not None
    assert found.first.left is not None
    assert found.first.left.question == "two"
    assert [str(one) for one in found.first.request] == ['$.messages[0].content expected "two", received "two!"']
    assert [pair.answer for pair in found.pairs] == [(("text", "1", "uno"),), ()]


def test_answers_through_their_protocol(tmp_path: Path) -> None:
    """Answers are compared by what they say, not by their bytes: cuts, ids and layout do not count."""
    left = several(tmp_path / "a.json", ("one", chat_answer("Hello there")))
    body = chat_answer("Hello").replace("data: [DONE]\n\n", "").replace("chatcmpl-1", "chatcmpl-2")
    more = body.replace('"Hello"', '" there"', 1).partition("\n\n")[0]
    first, rest = body.split("\n\n", 1)
    right = several(tmp_path / "b.json", ("one", f"{first}\n\n{more}\n\n{rest}data: [DONE]\n\n"))
    assert compared(left, right).same


def test_failures_and_ends(tmp_path: Path) -> None:
    """An answer that became an error, or was broken off, differs in status, error and end."""
    left = cassette(tmp_path / "a.json", "one", ["1"])
    right = cassette(tmp_path / "b.json", "one", [(429, '{"error": {"message": "slow down"}}')])
    (pair,) = compared(left, right).pairs
    assert ("status", 200, 429) in pair.answer
    assert [what for what, _, _ in pair.answer] == ["status", "text", "finish_reason", "error"]
    document = json.loads(left.read_text())
    timing = {"started": "2026-01-01T00:00:00.000000Z", "openedUs": 5, "endedUs": 90, "end": "interrupted"}
    document["interactions"][0]["mellite"] = {**timing, "chunks": ""}
    right.write_text(json.dumps(document))
    begin = monotonic()
    (pair,) = compared(left, right).pairs
    assert monotonic() - begin < 4, "it waited for somebody to go away"
    assert ("end", "complete", "interrupted") in pair.answer


def test_unknown_protocols(tmp_path: Path) -> None:
    """What no protocol reads is compared by its bytes."""
    one = {
        "request": {"method": "GET", "url": "https://example.com/", "headers": {}, "body": ""},
        "response": {"status": 200, "headers": {}, "body": "a"},
    }
    left, right = tmp_path / "a.json", tmp_path / "b.json"
    left.write_text(json.dumps({"version": 1, "interactions": [one]}))
    right.write_text(
        json.dumps({"version": 1, "interactions": [{**one, "response": {**one["response"], "body": "bc"}}]})
    )
    (pair,) = compared(left, right).pairs
    assert (pair.change, pair.answer) == ("answer", (("body", "1 bytes", "2 bytes"),))


def test_what_is_no_url(tmp_path: Path) -> None:
    """An address that cannot be one belongs to nobody, and is no other error."""
    path = cassette(tmp_path / "a.json", "Hi", ["Hello"], url="https://[::1/chat/completions")
    (entry,) = entries_below([str(path)])
    assert (entry.provider, entry.answer, entry.question) == (None, None, "Hi")
    assert compared(path, path).same


def test_sums(tmp_path: Path) -> None:
    """The differences in tokens and in dollars are those of all answers; unknown where a changed one does not say."""
    left = several(tmp_path / "a.json", ("one", "1"), prompt_tokens=1000, completion_tokens=100)
    right = several(tmp_path / "b.json", ("one", "1"), ("two", "2"), prompt_tokens=2000, completion_tokens=50)
    found = compared(left, right)
    assert (found.input_tokens, found.output_tokens) == (3000, 0)
    assert found.cost_usd == Decimal("0.00045")
    TextDirectory(tmp_path / "t").record("x", Sidecar("", "", prompt="x"))
    found = compared(tmp_path / "t", tmp_path / "t")
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == (0, 0, 0)
    TextDirectory(tmp_path / "u").record("y", Sidecar("", "", prompt="y"))
    found = compared(tmp_path / "t", tmp_path / "u")
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == (None, None, None)


def test_a_cost_that_one_side_does_not_know(tmp_path: Path) -> None:
    """Where the cost of a call that differs is unknown on one side, whichever it is, so is the difference."""
    for folder, provider, model in (("known", "openai", "gpt-4o"), ("unknown", "acme", "m")):
        usage = Usage.of(input_tokens=1000, output_tokens=10)
        TextDirectory(tmp_path / folder).record(folder, Sidecar(provider, model, prompt=folder, usage=usage))
    for left, right in (("known", "unknown"), ("unknown", "known")):
        found = compared(tmp_path / left, tmp_path / right)
        assert (found.input_tokens, found.output_tokens, found.cost_usd) == (0, 0, None)


def test_text_cassettes(tmp_path: Path) -> None:
    """Text cassettes belong together by their keys, and never one to another's."""
    for name, answers in {"a": {"one": "1", "two": "2"}, "b": {"one": "uno", "three": "3"}}.items():
        for prompt, text in answers.items():
            TextDirectory(tmp_path / name).record(text, Sidecar("openai", "", prompt=prompt))
    found = compared(tmp_path / "a", tmp_path / "b")
    assert {(pair.change, (pair.left or pair.right).question) for pair in found.pairs} == {  # type: ignore[union-attr]
        ("answer", "one"),
        ("removed", "two"),
        ("added", "three"),
    }


def test_other_prompts_are_other_calls(tmp_path: Path) -> None:
    """A text cassette that is gone and one that is new are never taken for one that has changed."""
    for name, prompt in (("a", "one"), ("b", "two")):
        TextDirectory(tmp_path / name).record("x", Sidecar("openai", "", prompt=prompt))
    found = compared(tmp_path / "a", tmp_path / "b")
    assert sorted([pair.change for pair in found.pairs]) == ["added", "removed"]


def test_many_calls_that_are_alike(tmp_path: Path) -> None:
    """However often a request comes, one that is added before it moves none of them."""

    def polled(name: str, *paths: str) -> Path:
        interactions = [
            {
                "request": {"method": "GET", "url": f"https://example.com{path}", "headers": {}, "body": ""},
                "response": {"status": 200, "headers": {}, "body": str(number)},
            }
            for number, path in enumerate(paths)
        ]
        (tmp_path / name).write_text(json.dumps({"version": 1, "interactions": interactions}))
        return tmp_path / name

    many = ["/poll"] * 250
    found = compared(polled("a.json", *many), polled("b.json", "/begin", *many))
    assert [pair.change for pair in found.pairs][:2] == ["added", "answer"]
    assert (found.count("added"), found.count("request")) == (1, 0)


def test_folders(tmp_path: Path) -> None:
    """In folders files of the same name are compared; those that one side does not have are added or removed."""
    for name, answer in {"a/x.json": "1", "b/x.json": "1", "a/y.json": "2", "b/z.json": "3"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        several(tmp_path / name, ("one", answer))
    assert [change for change, _, _ in changes(compared(tmp_path / "a", tmp_path / "b"))] == [
        "same",
        "removed",
        "added",
    ]


def overlapping(path: Path, *calls: tuple[str, str], apart: bool = False) -> Path:
    """A cassette whose calls were sent in this order, one after the other or while the others ran."""
    several(path, *calls)
    document = json.loads(path.read_text())
    for number, one in enumerate(document["interactions"]):
        started = f"2026-11-21T05:46:{number:02d}.000000Z"
        one["mellite"] = {"started": started, "openedUs": 1, "endedUs": 500_000 if apart else 30_000_000}
    path.write_text(json.dumps(document))
    return path


def test_the_order_of_concurrent_calls_is_chance(tmp_path: Path) -> None:
    """Calls that ran at the same time are the same in any order, and equal ones are told apart by their answers."""
    calls = [("Count.", "1"), ("Count.", "2"), ("Name a river.", "Nile"), ("Name a lake.", "Como")]
    left = overlapping(tmp_path / "a.json", *calls)
    right = overlapping(tmp_path / "b.json", *reversed(calls))
    assert compared(left, right).same
    right = overlapping(tmp_path / "b.json", ("Name a lake.", "Garda"), *calls[2::-1])
    assert changes(compared(left, right)) == [
        ("same", "0", "3"),
        ("same", "1", "2"),
        ("same", "2", "1"),
        ("answer", "3", "0"),
    ]
    right = overlapping(tmp_path / "b.json", ("Name a hill.", "?"), *calls[2::-1])
    assert changes(compared(left, right))[-1] == ("request", "3", "0")


def test_the_order_of_calls_that_waited_for_each_other_counts(tmp_path: Path) -> None:
    """Calls that ran one after the other are not the same in another order."""
    calls = [("Name a river.", "Nile"), ("Name a lake.", "Como")]
    left = overlapping(tmp_path / "a.json", *calls, apart=True)
    right = overlapping(tmp_path / "b.json", *reversed(calls), apart=True)
    assert not compared(left, right).same


def test_damaged_and_missing(tmp_path: Path) -> None:
    """A damaged side and a missing one are typed errors."""
    good = several(tmp_path / "a.json", ("one", "1"))
    (tmp_path / "b.json").write_bytes(b"{")
    with pytest.raises(InvalidCassette):
        compared(good, tmp_path / "b.json")
    with pytest.raises(CassetteMiss):
        compared(good, tmp_path / "c.json")


def test_tally(tmp_path: Path) -> None:
    """Calls, failures, tokens and dollars add up by model, the dearest first, and all together."""
    cassette(tmp_path / "a.json", "one", ["1", "2", (500, "oops")])
    usage = Usage.of(input_tokens=1_000_000, output_tokens=0)
    TextDirectory(tmp_path).record("x", Sidecar("openai", "gpt-4o", prompt="x", usage=usage))
    TextDirectory(tmp_path).record("y", Sidecar("acme", "m", prompt="y", usage=usage))
    TextDirectory(tmp_path).record("z", Sidecar("acme", "m", prompt="z"))
    rows, total = tally(entries_below([str(tmp_path)]))
    assert [(row.provider, row.calls, row.failed, row.totals.known_cost_usd) for row in rows] == [
        ("openai", 1, 0, Decimal("2.5")),
        ("openai", 3, 1, Decimal("0.00042")),
        ("acme", 2, 0, None),
    ]
    assert [(row.totals.unpriced, row.totals.unmetered) for row in rows] == [(0, 0), (0, 0), (2, 1)]
    assert [row.totals.cost_usd for row in rows] == [Decimal("2.5"), Decimal("0.00042"), None]
    assert (total.calls, total.failed) == (6, 1)
    assert (total.totals.cost_usd, total.totals.known_cost_usd) == (None, Decimal("2.50042"))
    assert total.totals.usage is not None
    assert (total.totals.usage.input_tokens, total.totals.usage.output_tokens) == (2_002_000, 200)


def test_calls_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    """Those of a protocol that is not known are counted as such, and used what nobody knows."""
    cassette(tmp_path / "a.json", "Hi", ["1", "2"], url="https://[::1/chat/completions")
    (row,), total = tally(entries_below([str(tmp_path)]))
    assert (row.calls, row.unread, total.unread, row.failed) == (2, 2, 2, 0)


def test_entries(tmp_path: Path) -> None:
    """Without answers nothing is replayed; a WebSocket is an entry of its own, by its address without secrets."""
    cassette(tmp_path / "a.json", "one", ["1"])
    events: list[Any] = [{"direction": "server", "kind": "text", "body": "x"}]
    opened = {"url": "wss://example.com/?token=abc", "headers": {}}
    socket = {"transport": "websocket", "open": opened, "events": events}
    (tmp_path / "b.json").write_text(json.dumps({"version": 1, "interactions": [socket]}))
    chat, other = entries_below([str(tmp_path)], answers=False)
    assert (chat.provider, chat.model, chat.question, chat.answer) == ("openai", "gpt-4o-mini", "one", None)
    assert (other.format, other.question, other.body) == ("websocket", "wss://example.com/?token=%5BREDACTED%5D", b"x")


def test_calls_over_a_websocket(corpora: Path) -> None:
    """What went over a WebSocket is read call by call, an error as one."""
    folder = corpora / "opencode" / "_successor-ai" / "recordings" / "openai-responses-websocket"
    entries = list(entries_below([str(folder)]))
    assert {(entry.format, entry.provider, entry.model) for entry in entries} == {
        ("websocket", "openai", "gpt-4.1-mini")
    }
    read = {(Path(entry.path).stem, entry.name): entry.answer for entry in entries}
    tools = read["continues-a-tool-call-over-one-socket", "0.0"]
    assert tools is not None
    assert (tools.tool_calls, tools.error) == ((("get_weather", {"city": "Paris"}),), None)
    answers = [read["recovers-from-explicit-continuation-rejection", name] for name in ("0", "1.0", "1.1")]
    assert [answer and (answer.text, answer.error is not None) for answer in answers] == [
        ("Ready.", False),
        ("", True),
        ("Recovered.", False),
    ]
    assert compared(folder, folder).same
