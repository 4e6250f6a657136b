"""`mellite cassette diff` as a check and for pull requests: --fail-on, --markdown, calls of tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.programs import COMMAND, cassette, chat_answer, command, surroundings
from tests.terminal import on_terminal

CALL = '{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": %s}}'


def calling(path: Path, city: str) -> Path:
    """A cassette in which the model calls a tool."""
    arguments = json.dumps(json.dumps({"city": city}))
    said = chat_answer("").replace('"content": ""', '"tool_calls": [' + CALL % arguments + "]")
    return cassette(path, "Weather?", [(200, said.replace('"stop"', '"tool_calls"'))])


def sized(path: Path, *tokens: int, prompt: str = "Hi") -> Path:
    """A cassette of answers with so many tokens each."""
    return cassette(path, prompt, [(200, chat_answer("Hello", completion_tokens=each)) for each in tokens])


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 1),
        (["request"], 1),
        (["answer"], 0),
        (["calls"], 0),
        (["answer", "request"], 1),
        (["answer,calls"], 0),
        (["cost+0%"], 0),
    ],
)
def test_fail_on_a_changed_request(tmp_path: Path, kinds: list[str], code: int) -> None:
    """A changed request is one change of the kind request, and no call lost or added."""
    left, right = sized(tmp_path / "a.json", 10), sized(tmp_path / "b.json", 10, prompt="Hi!")
    ran = command("diff", str(left), str(right), *[part for kind in kinds for part in ("--fail-on", kind)])
    assert ran.code == code
    assert ran.err == ("mellite: fails on request\n" if code and kinds else "")


def test_fail_on_answers_and_calls(tmp_path: Path) -> None:
    """An answer that changed and a call that was added fail where they are named."""
    left = cassette(tmp_path / "a.json", "Hi", ["Hello", "Hello again"])
    right = cassette(tmp_path / "b.json", "Hi", ["Hallo", "Hello again", "And again"])
    for kind, code in {"request": 0, "answer": 1, "calls": 1}.items():
        assert command("diff", str(left), str(right), "--fail-on", kind).code == code, kind


def test_fail_on_cost(tmp_path: Path) -> None:
    """The cost may grow by so many percent of what all calls of the first cost; less is never too much."""
    left, right = sized(tmp_path / "a.json", 1000, 1000), sized(tmp_path / "b.json", 1000, 1200)
    # 2 * (1000 * $0.15 + 1000 * $0.60) / 1e6 = $0.0015, and 200 * $0.60 / 1e6 = $0.00012 more: 8 %
    for kind, code in {"cost+7.9%": 1, "cost+8%": 0, "cost+10%": 0}.items():
        assert command("diff", str(left), str(right), "--fail-on", kind).code == code, kind
        assert command("diff", str(right), str(left), "--fail-on", kind).code == 0, kind


def test_fail_on_a_cost_that_is_not_known(tmp_path: Path) -> None:
    """Where the cost of a call is not known it may have grown, and that is said."""
    left = sized(tmp_path / "a.json", 10)
    right = cassette(tmp_path / "b.json", "Hi", [(200, chat_answer("Hello").replace("gpt-4o-mini", "nobody-knows"))])
    right.write_text(right.read_text().replace("gpt-4o-mini", "nobody-knows"))
    ran = command("diff", str(left), str(right), "--fail-on", "cost+10%")
    assert (ran.code, ran.err) == (1, "mellite: fails on cost+10%; the cost of some calls is not known\n")


@pytest.mark.parametrize("kind", ["requests", "cost", "cost+%", "cost-3%", "cost+3", ""])
def test_fail_on_nonsense(tmp_path: Path, kind: str) -> None:
    """Another word is an error of usage that says what there is."""
    ran = command("diff", str(tmp_path), str(tmp_path), "--fail-on", kind)
    assert ran.code == 2
    assert "request, answer, calls and cost+N%" in " ".join(ran.err.split())


def test_tool_calls(tmp_path: Path) -> None:
    """A call of a tool that differs is shown as a program would write it."""
    left, right = calling(tmp_path / "a.json", "Paris"), calling(tmp_path / "b.json", "Rome")
    ran = command("diff", str(left), str(right))
    assert ran.out.splitlines()[0] == '0\tanswer\ttool call 0\tweather({"city": "Paris"})\tweather({"city": "Rome"})'
    lost = command("diff", "--json", str(left), str(cassette(tmp_path / "c.json", "Weather?", ["Fine."])))
    assert {"what": "tool call 0", "left": 'weather({"city": "Paris"})', "right": None} in lost.rows[0]["answer"]


def test_markdown(tmp_path: Path) -> None:
    """What was recorded stands in code: it is neither a table nor markup, and calls nobody."""
    left = cassette(tmp_path / "a.json", "Ask @you | me", ["The `Nile`.\n<img src=x>"])
    right = cassette(tmp_path / "b.json", "Ask @you | us", ["Como"])
    ran = command("diff", "--markdown", "--fail-on", "calls", str(left), str(right))
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"### Recorded calls: `{left}` and `{right}`",
        "",
        "calls: 1 with another request, 1 with another answer; input tokens +0, output tokens +0, cost +$0",
        "",
        "The first request that differs: call `0`, `Ask @you | me`",
        "",
        '- `$.messages[0].content expected "Ask @you | me", received "Ask @you | us"`',
        "",
        "| call | change | what | left | right |",
        "|---|---|---|---|---|",
        "| `0` | request | 1 difference |  |  |",
        "| `0` | answer | text | ``The `Nile`. <img src=x>`` | `Como` |",
    ]
    assert command("diff", "--markdown", str(left), str(left)).out.endswith("\n\nthe same: 1 call\n")
    assert command("diff", "--markdown", "--json", str(left), str(left)).code == 2


def test_pipes_in_a_table(tmp_path: Path) -> None:
    """A pipe in an answer ends no cell."""
    left, right = cassette(tmp_path / "a.json", "Hi", ["a | b"]), cassette(tmp_path / "b.json", "Hi", ["c"])
    ran = command("diff", "--markdown", str(left), str(right))
    assert ran.out.splitlines()[-1] == "| `0` | answer | text | `a \\| b` | `c` |"


def test_json_totals(tmp_path: Path) -> None:
    """The last line names the first call that diverges and the kinds that it fails on."""
    left, right = sized(tmp_path / "a.json", 10), sized(tmp_path / "b.json", 10, 10)
    *_, total = command("diff", "--json", "--fail-on", "calls", str(left), str(right)).rows
    assert (total["first"], total["failed_on"], total["output_tokens"]) == ("1", ["calls"], 10)


@pytest.mark.slow
def test_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the changes are a table."""
    left, right = sized(tmp_path / "a.json", 10), cassette(tmp_path / "b.json", "Hi", ["Hallo"])
    shown = on_terminal([*COMMAND, "cassette", "diff", str(left), str(right)], **surroundings())
    assert "changes" in str(shown)
    assert "Hallo" in str(shown)
