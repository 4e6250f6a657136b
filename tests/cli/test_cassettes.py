"""`mellite cassette` ls, show, replay, stats, verify, diff, convert and scrub: in pipes and on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.values.usage import Usage
from tests.cli.programs import COMMAND, cassette, command, run, surroundings
from tests.terminal import on_terminal

KEY = "sk-" + "abcdefghijklmnopqrstuvwxyz"
TEXT_KEY = djb2_key("openai", "gpt-4o", "Hi")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an HTTP cassette of two calls and a text cassette."""
    made = tmp_path / "cassettes"
    made.mkdir()
    cassette(made / "a.json", "Name a river.", ["The Nile.", (429, '{"error": {"message": "slow down"}}')])
    usage = Usage.of(input_tokens=1_000_000, output_tokens=100_000)
    TextDirectory(made / "text").record("Hello", Sidecar("openai", "gpt-4o", prompt="Hi", usage=usage))
    return made


# --- ls, show, stats ------------------------------------------------------------------------------


def test_ls(folder: Path) -> None:
    """One line for each cassette, with tabs: file, format, calls, who was asked, bytes, the first question."""
    ran = command("ls", str(folder))
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    size = (folder / "a.json").stat().st_size
    assert rows == [
        [str(folder / "a.json"), "http", "2", "openai:gpt-4o-mini", str(size), "Name a river."],
        [str(folder / "text" / f"{TEXT_KEY}.txt"), "text", "1", "openai:gpt-4o", "6", "Hi"],
    ]


def test_ls_where_nothing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name it is the directory of text cassettes, or else ./cassettes."""
    monkeypatch.chdir(folder.parent)
    assert len(command("ls").out.splitlines()) == 2
    assert len(command("ls", MELLITE_CASSETTE_DIR=str(folder / "text")).out.splitlines()) == 1
    monkeypatch.chdir(folder)
    ran = command("ls")
    assert ran.code == 2
    assert "no folder ./cassettes, and none of that name below ./tests" in ran.err


def test_ls_as_json(folder: Path) -> None:
    """--json has more: protocols, tags, when it was recorded, how many calls are not whole."""
    http, text = command("ls", "--json", str(folder)).rows
    assert (http["calls"], http["asked"], http["protocols"]) == (2, ["openai:gpt-4o-mini"], ["openai-chat"])
    assert (http["unfinished"], http["recorded_at"], http["tags"]) == (0, None, [])
    assert (text["format"], text["question"]) == ("text", "Hi")


def test_ls_of_damage(folder: Path) -> None:
    """A damaged cassette is in the list, as damaged; JSON about something else is not."""
    (folder / "b.json").write_bytes(b"{")
    (folder / "package.json").write_text('{"name": "x"}')
    rows = [line.split("\t") for line in command("ls", str(folder)).out.splitlines()]
    assert [Path(row[0]).name for row in rows] == ["a.json", "b.json", f"{TEXT_KEY}.txt"]
    assert rows[1][2] == "?"
    assert rows[1][5].startswith("damaged: ")


def test_show(folder: Path) -> None:
    """Each call with its request, question, answer, tokens and cost; an error as one."""
    ran = command("show", str(folder / "a.json"))
    first, second = ran.out.strip().split("\n\n")
    assert first.splitlines() == [
        f"{folder / 'a.json'} call 0: openai:gpt-4o-mini (openai-chat)",
        "  POST https://api.openai.com/v1/chat/completions",
        "  content-type: application/json",
        "  status 200",
        "  question:",
        "    Name a river.",
        "  answer:",
        "    The Nile.",
        "  finish stop, tokens 1000+100, cost $0.00021",
    ]
    assert "  status 429" in second
    assert "RateLimited: " in second


def test_joiners_print_as_they_are(tmp_path: Path) -> None:
    """What joins or parts characters, in emoji and in Persian, is kept; what steers the terminal is not."""
    family, word = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    path = cassette(tmp_path / "a.json", f"{family} {word} \u202e\x1b[31m", [f"{word}\x1b[31m"])
    shown = command("show", str(path)).out + command("ls", str(path)).out
    assert shown.count(word) == 3
    assert shown.count(family) == 2
    assert "\x1b" not in shown
    assert "\u202e" not in shown


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "22 degrees"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
SAID = {"content": [{"type": "text", "text": "A cat."}], "stop_reason": "end_turn", "type": "message"}


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ([{"role": "user", "content": [PICTURE]}], "[image]"),
        ([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}], "What is it? [image]"),
        (
            [
                {"role": "user", "content": "How warm is it?"},
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [RESULT]},
            ],
            "How warm is it? [tool result]",
        ),
        ([{"role": "user", "content": [RESULT]}], "[tool result]"),  # which no server takes
        ("nonsense", "nonsense"),
        ([], "POST https://api.anthropic.com/v1/messages"),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_whatever_was_asked(tmp_path: Path, messages: object, question: str, status: int) -> None:
    """The answer is shown as what it is, and so is a refusal, whatever the question was."""
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages: no"}}
    body = {"model": "claude-x", "max_tokens": 9, "messages": messages}
    answer = (status, json.dumps(SAID if status == 200 else refused))
    path = cassette(tmp_path / "a.json", "Hi", [answer], url="https://api.anthropic.com/v1/messages")
    document = json.loads(path.read_text())
    document["interactions"][0]["request"]["body"] = json.dumps(body)
    path.write_text(json.dumps(document))
    (row,) = command("show", "--json", str(path)).rows
    assert (row["question"] or row["request"]["url"])[-len(question) :] == question
    if status == 200:
        assert (row["answer"]["text"], row["answer"]["error"]) == ("A cat.", None)
    else:
        assert row["answer"]["error"] == ["InvalidRequest", row["answer"]["error"][1]]
        assert "messages: no" in row["answer"]["error"][1]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"clock": "first_byte", "seconds": 3.5}, ["FirstByteTimeout", "3.5 s"]),
        ({"clock": "idle", "seconds": 2}, ["IdleTimeout", "2 s"]),
        ({"clock": "total", "seconds": 30}, ["TotalTimeout", "30 s"]),
        ({}, ["IdleTimeout", "1.5 s"]),  # as it was recorded before
    ],
)
def test_which_timeout_it_was(tmp_path: Path, error: dict[str, object], told: list[str]) -> None:
    """A recorded timeout is shown with its clock and its seconds, and not with those of this run."""
    path = cassette(tmp_path / "a.json", "Hi", [(200, "data: {}\n\n")], stream=True)
    document = json.loads(path.read_text())
    times = {"started": "2026-11-21T05:46:15.123456Z", "chunks": "10@20000", "endedUs": 1_521_000, "end": "broken"}
    opened = {} if error.get("clock") == "first_byte" else {"openedUs": 1000}
    fault = {"type": "TimeoutError", "message": "late", **error}
    document["interactions"][0]["mellite"] = {**times, **opened, "error": fault}
    path.write_text(json.dumps(document))
    (row,) = command("show", "--json", str(path)).rows
    assert row["answer"]["error"][0] == told[0]
    assert told[1] in row["answer"]["error"][1]


def test_show_one_with_its_bodies(folder: Path) -> None:
    """A number picks a call, --body adds the bodies; a number that is too high is an error of usage."""
    ran = command("show", str(folder / "a.json"), "1", "--body", "--json")
    (row,) = ran.rows
    assert (row["call"], row["status"], row["body"]) == ("1", 429, '{"error": {"message": "slow down"}}')
    assert row["request"]["body"]["model"] == "gpt-4o-mini"
    ran = command("show", str(folder / "a.json"), "2")
    assert ran.code == 2
    assert "has 2 calls, 0, 1: there is no call 2" in ran.err


def test_no_secrets_are_shown(tmp_path: Path) -> None:
    """What looks like a secret is not shown by any command: in questions, answers, bodies, addresses."""
    url = f"https://api.openai.com/{KEY}/chat/completions"
    path = str(cassette(tmp_path / "a.json", f"Is {KEY} mine?", [f"{KEY} is."], url=url))
    other = str(cassette(tmp_path / "b.json", f"Is {KEY} yours?", [f"{KEY} is not."], url=url))
    show = [["show", path], ["show", "--body", path], ["show", "--json", path], ["show", "--json", "--body", path]]
    lists = [["ls", path], ["ls", "--json", path], ["stats", path]]
    diffs = [["diff", path, other], ["diff", "--json", path, other]]
    for arguments in (*show, *lists, *diffs, ["convert", path, str(tmp_path / "out"), "--to", "text"]):
        ran = command(*arguments)
        assert KEY not in ran.out + ran.err, arguments
        assert ("[REDACTED]" in ran.out) == (arguments[0] in ("show", "ls", "diff"))


def test_nothing_steers_the_terminal(tmp_path: Path) -> None:
    """Codes for the terminal in what was recorded are not printed."""
    path = cassette(tmp_path / "a.json", "red \x9b31m\r", ["also \x1b[31m\x9b31m\x07"])
    for arguments in (["ls", str(path)], ["show", str(path)], ["show", "--body", str(path)]):
        ran = command(*arguments)
        assert (ran.code, set(ran.out) & set("\x1b\x9b\x07\r")) == (0, set())


def test_stats(folder: Path) -> None:
    """Calls, failures, tokens and dollars by model, the dearest first, and all of them in the last line."""
    ran = command("stats", str(folder))
    assert [line.split("\t") for line in ran.out.splitlines()] == [
        ["openai:gpt-4o", "1", "0", "0", "1000000", "-", "100000", "-", "3.5"],
        ["openai:gpt-4o-mini", "2", "1", "0", "1000", "-", "100", "-", "0.00021"],
        ["total", "3", "1", "0", "1001000", "-", "100100", "-", "3.50021"],
    ]
    rows = command("stats", "--json", str(folder)).rows
    assert (rows[-1]["total"], rows[-1]["cost_usd"], rows[-1]["calls"]) == (True, "3.50021", 3)


def test_replay_of_what_is_no_url(corpora: Path) -> None:
    """A recording with {account} in its URL is read like any other."""
    (path,) = sorted((corpora / "opencode" / "recordings" / "cloudflare-workers-ai").glob("*text.json"))
    (row,) = command("replay", "--json", str(path)).rows
    assert (row["error"], row["text"]) == (None, "Hello!")


# --- verify, diff ---------------------------------------------------------------------------------


def test_verify(folder: Path) -> None:
    """Good cassettes: nothing on standard output, a line on standard error, exit code 0."""
    ran = command("verify", str(folder))
    assert (ran.code, ran.out, ran.err) == (0, "", "mellite: 2 cassettes checked, no problems\n")


def test_verify_says_what_is_wrong(folder: Path) -> None:
    """Secrets, damage, unknown versions and what nothing reads: one line each, and exit code 1."""
    cassette(folder / "b.json", "Hi", [f"Use {KEY}."])
    (folder / "c.json").write_bytes(b"{")
    (folder / "d.json").write_text('{"version": 2, "interactions": []}')
    (folder / "text" / "5.json").write_text('{"provider": "", "model": "", "prompt": ""}')
    ran = command("verify", str(folder))
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (1, "mellite: 5 cassettes checked, 4 problems\n")
    assert [(Path(row[0]).name, row[1]) for row in rows] == [
        ("b.json", "secret"),
        ("c.json", "damaged"),
        ("d.json", "version"),
        ("5.json", "unused"),
    ]
    assert KEY not in ran.out
    assert [row["trouble"] for row in command("verify", "--json", str(folder)).rows] == [row[1] for row in rows]


def test_verify_files(folder: Path) -> None:
    """Files are named as pre-commit does; one that is not there is an error of usage; a secret may be allowed."""
    secret = cassette(folder / "b.json", "Hi", [f"Use {KEY}."])
    assert command("verify", str(folder / "a.json")).code == 0
    assert command("verify", str(folder / "a.json"), str(secret)).code == 1
    assert command("verify", "--allow", KEY, str(secret)).code == 0
    assert command("verify", str(folder / "none.json")).code == 2


def test_verify_knows_the_environment(folder: Path) -> None:
    """The value of a variable that is secret by its name is found; the name is told, the value is not."""
    path = cassette(folder / "b.json", "Hi", ["It is quite-harmless-words."])
    ran = command("verify", str(path), ACME_API_KEY="quite-harmless-words")
    assert ran.code == 1
    assert "ACME_API_KEY" in ran.out
    assert "quite-harmless-words" not in ran.out


def test_diff(tmp_path: Path) -> None:
    """The first request that differs, with the place; the answers that changed; tokens and cost; exit code 1."""
    left = cassette(tmp_path / "a.json", "Name a river.", ["The Nile."])
    right = cassette(tmp_path / "b.json", "Name a lake.", ["Como."], temperature=1)
    ran = command("diff", str(left), str(right))
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines() == [
        "the first request that differs: call 0: Name a river.",
        '  $.messages[0].content expected "Name a river.", received "Name a lake."',
        "  $.temperature expected nothing, received 1",
        "",
        "0\trequest\t2 differences\t\t",
        "0\tanswer\ttext\tThe Nile.\tComo.",
        "",
        "calls: 1 with another request, 1 with another answer; input tokens +0, output tokens +0, cost +$0",
    ]
    same = command("diff", str(left), str(left))
    assert (same.code, same.out) == (0, "the same: 1 call\n")


def test_diff_as_json(tmp_path: Path) -> None:
    """--json prints each call that differs, and then the sums; a secret in an answer is not shown."""
    left = cassette(tmp_path / "a.json", "Hi", ["Hello", f"Use {KEY}."])
    right = cassette(tmp_path / "b.json", "Hi", ["Hello"])
    ran = command("diff", "--json", str(left), str(right))
    *pairs, total = ran.rows
    assert ran.code == 1
    assert [(pair["change"], pair["right"]) for pair in pairs] == [("removed", None)]
    assert pairs[0]["left"]["answer"]["text"] == "Use [REDACTED]."
    assert total["counts"] == {"same": 1, "answer": 0, "request": 0, "removed": 1, "added": 0}
    assert (total["input_tokens"], total["output_tokens"], total["cost_usd"]) == (-1000, -100, "-0.00021")


# --- convert, scrub -------------------------------------------------------------------------------


def test_convert(corpora: Path, tmp_path: Path) -> None:
    """What was written is on standard output, what was dropped on standard error; a target that is there stays."""
    source = corpora / "vcr" / "test_no_tools_no_output.yaml"
    target = tmp_path / "out" / "a.json.gz"
    ran = command("convert", str(source), str(target))
    assert (ran.code, ran.out) == (0, f"{target}: 1 call\n")
    assert f"mellite: {source}: dropped request headers: accept-encoding, host" in ran.err
    assert command("show", str(target), "--json").rows[0]["answer"]["text"].startswith("Paris is known")
    again = command("convert", str(source), str(target))
    assert again.code == 2
    assert "is there already; --force" in again.err
    assert command("convert", "--force", "--json", str(source), str(target)).json["calls"] == 1


def test_convert_text(folder: Path, tmp_path: Path) -> None:
    """Text becomes HTTP and HTTP text; compression is chosen by name."""
    assert command("convert", str(folder / "text"), str(tmp_path / "b.json")).code == 0
    ran = command("convert", str(tmp_path / "b.json"), str(tmp_path / "back"), "--to", "text", "--compression", "gzip")
    assert ran.out == f"{tmp_path / 'back'}: 1 call\n"
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [f"{TEXT_KEY}.json.gz", f"{TEXT_KEY}.txt.gz"]
    assert command("diff", str(folder / "text"), str(tmp_path / "back")).code == 0


@pytest.mark.slow
def test_generate_from_compressed(folder: Path) -> None:
    """`mellite generate` finds answers that are compressed."""
    TextDirectory(folder / "text").record("Hello!", Sidecar("openai", "", prompt="Hi"), compression="gzip")
    ran = run("generate", "Hi", "--cassette-dir", str(folder / "text"))
    assert (ran.code, ran.out) == (0, "Hello!\n")


def test_scrub(folder: Path) -> None:
    """What was taken out is told by its place, file by file; afterwards nothing is found; --check only looks."""
    path = cassette(folder / "b.json", "Hi", [f"Use {KEY}."])
    before = path.read_bytes()
    place = f"{path}: {{}} $.interactions[0].response.body\n"
    ran = command("scrub", "--check", str(folder))
    assert (ran.code, ran.out, path.read_bytes()) == (1, place.format("would redact"), before)
    ran = command("scrub", str(folder))
    assert (ran.code, ran.out, ran.err) == (0, place.format("redacted"), "")
    assert command("verify", str(folder)).code == 0
    assert command("show", str(path), "--json").rows[0]["answer"]["text"] == "Use [REDACTED]."
    assert command("scrub", "--check", str(folder)).code == 0


def test_scrub_what_cannot_be(tmp_path: Path) -> None:
    """What remains is told on standard error, with exit code 1, and never shown."""
    key = djb2_key("openai", "", f"Is {KEY} mine?")
    (tmp_path / f"{key}.txt").write_text("yes\n")
    (tmp_path / f"{key}.json").write_text(json.dumps({"provider": "openai", "model": "", "prompt": f"Is {KEY} mine?"}))
    ran = command("scrub", str(tmp_path))
    assert (ran.code, ran.out) == (1, "")
    assert "still there: $.prompt" in ran.err
    assert KEY not in ran.err


# --- everywhere -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ls", "stats", "verify"])
def test_on_a_terminal(folder: Path, name: str) -> None:
    """On a terminal it is a table with a title."""
    (folder / "b.json").write_bytes(b"{") if name == "verify" else None
    seen = on_terminal([*COMMAND, "cassette", name, str(folder)], **surroundings(COLUMNS="200"))
    assert {"ls": "cassettes", "stats": "tokens and cost (USD)", "verify": "problems"}[name] in seen.plain
    assert "\u2503" in seen.plain or "\u2502" in seen.plain
    assert seen.code == (1 if name == "verify" else 0)


@pytest.mark.slow
def test_as_a_process(folder: Path) -> None:
    """The commands are there when `mellite` is started, and its exit codes are theirs."""
    assert run("cassette", "verify", str(folder)).code == 0
    (folder / "b.json").write_bytes(b"{")
    ran = run("cassette", "verify", "--json", str(folder))
    assert (ran.code, [row["trouble"] for row in ran.rows]) == (1, ["damaged"])


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["show"], ["stats"], ["verify"], ["scrub"], ["replay"], ["diff", "x.json"], ["convert", "-", "y.json"]],
    ids=lambda arguments: arguments[0],
)
def test_errors(tmp_path: Path, arguments: list[str]) -> None:
    """A file that is not there is told in one line, with exit code 2, by every command."""
    missing = str(tmp_path / "none.json")
    given = [missing if argument == "-" else argument for argument in arguments]
    ran = command(*given, *([] if missing in given else [missing]))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("mellite: there is no cassette ")
    assert len(ran.err.splitlines()) == 1


def test_stale_fails_where_pytest_cannot_run(tmp_path: Path) -> None:
    """No report is never taken for no difference: pytest may be missing, or refuse what it is given."""
    ran = run("cassette", "stale", "--", "--no-such-option", cwd=tmp_path)
    assert (ran.code, ran.out, "before it could report" in ran.err) == (4, "", True)
    (tmp_path / "pytest.py").write_text("raise SystemExit(1)")  # as Python does without a module pytest
    ran = run("cassette", "stale", "--json", cwd=tmp_path)
    assert (ran.code, ran.out, "no request differs" in ran.err) == (2, "", False)
