"""A key that a cassette or a server has in it leaves mellite through no door: errors, misses, differences, commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import mellite
from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    RecordTransport,
    ReplayTransport,
    ScriptedTransport,
)
from mellite.cassettes.scrub import scrub_cassette
from mellite.cassettes.secrets.scan import SecretScan
from mellite.errors import CassetteMiss, InvalidRequest
from mellite.wire.transports.default import HttpRequest
from tests.cli.programs import command, run
from tests.values.secrets.made_up import KEYS

KEY = "".join(KEYS["GitLab token"])
PASSWORD = "correct horse battery"
URL = "https://api.openai.com/v1/chat/completions"


def answered(message: dict[str, Any]) -> bytes:
    """An answer of Chat Completions."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice]}).encode()


def tool_call(**arguments: str) -> dict[str, Any]:
    """A message that calls a tool."""
    function = {"name": "login", "arguments": json.dumps(arguments)}
    return {"content": "Logging in.", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", [f"{URL}?auth={PASSWORD[:7]}", f"{URL}?q={KEY}", f"https://me:{PASSWORD[:7]}@example.com/"]
)
async def test_a_miss(url: str) -> None:
    """A miss names the request that came, without what is secret in its URL."""
    with pytest.raises(CassetteMiss) as caught:
        await ReplayTransport(Cassette()).open(HttpRequest("GET", url))
    assert "REDACTED" in str(caught.value)
    assert KEY not in str(caught.value)
    assert PASSWORD[:7] not in str(caught.value)


@pytest.mark.anyio
async def test_what_a_server_echoes() -> None:
    """No attribute of an error keeps the key that was sent, nor one of somebody else's that has the look of a key."""
    error = {"message": f"no: {KEY}, sk-test-key", "param": f"headers[{KEY}]=sk-test-key", "code": f"bad_{KEY}"}
    body = json.dumps({"error": error}).encode()
    transport = ScriptedTransport([(400, {"content-type": "application/json"}, [body])])
    backend = mellite.backend("openai-chat:m", api_key="sk-test-key", transport=transport)
    with pytest.raises(InvalidRequest) as caught:
        await backend.generate("Hi.", stream=False)
    for shown in (str(caught.value), repr(vars(caught.value))):
        assert KEY not in shown
        assert "sk-test-key" not in shown
    assert caught.value.parameter == "headers[[REDACTED]]=[REDACTED]"


@pytest.mark.anyio
async def test_the_arguments_of_tools() -> None:
    """Secret fields in arguments and results of tools, JSON in strings, are not recorded; the request replays."""
    body = answered(tool_call(user="me", passwd=PASSWORD))
    result = {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"id_token": PASSWORD})}
    history = [{"role": "assistant", **tool_call(passwd=PASSWORD)}, result]
    asked = json.dumps({"model": "m", "messages": history}).encode()
    live = ScriptedTransport([(200, {"content-type": "application/json"}, [body])])
    recorder = RecordTransport(live)
    request = HttpRequest("POST", URL, headers={"content-type": "application/json"}, body=asked)
    response = await recorder.open(request)
    while await response.read():
        pass
    (one,) = recorder.cassette.http
    assert PASSWORD not in one.request.body.text
    assert PASSWORD not in one.response.body.text
    assert "Logging in." in one.response.body.text
    again = await ReplayTransport(recorder.cassette).open(request)
    assert again.status == 200


def leaking(folder: Path) -> Path:
    """A cassette that somebody recorded with secrets in it."""
    message = {**tool_call(password=PASSWORD), "content": f"Use {KEY} for it."}
    asked = {"model": "m", "messages": [{"role": "user", "content": f"Is {KEY} good?"}]}
    one = {
        "transport": "http",
        "request": {"method": "POST", "url": f"{URL}?auth={PASSWORD}", "headers": {}, "body": json.dumps(asked)},
        "response": {
            "status": 200,
            "headers": {"content-type": "application/json"},
            "body": answered(message).decode(),
        },
    }
    path = folder / "leaking.json"
    path.write_text(json.dumps({"version": 1, "interactions": [one]}))
    return path


QUOTED = "".join(KEYS["Google refresh token"])


def test_keys_that_are_quoted_in_a_url(tmp_path: Path) -> None:
    """A key with punctuation, which URLs quote, is neither shown nor left by scrub; the rest of the URL stays."""
    url = f"{URL}?page=a%20b&next={quote(QUOTED, safe='')}&again={quote(quote(QUOTED, safe=''), safe='')}"
    one = HttpInteraction(RecordedRequest("GET", url), RecordedResponse(200))
    scrubbed = scrub_cassette(Cassette((one,)))
    assert scrubbed.cassette.http[0].request.url == f"{URL}?page=a%20b&next=[REDACTED]&again=[REDACTED]"
    assert scrubbed.remaining == ()
    path = leaking(tmp_path)
    path.write_text(path.read_text().replace(f"{URL}?auth={PASSWORD}", url))
    assert QUOTED[5:] not in command("show", "--body", str(path)).out


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["lines", "json"])
def test_check(words: list[str], tmp_path: Path) -> None:
    """`mellite check` shows neither in the answers nor in the reasons what looks like a key."""
    ran = run("check", str(leaking(tmp_path)), "--require", r"not-regex=glpat\S+", "--require", "max-words=1", *words)
    assert ran.code == 1
    assert KEY not in ran.out + ran.err
    assert "max-words" in ran.out or "at most 1 words" in ran.out


@pytest.mark.parametrize(
    "words",
    [["replay"], ["replay", "--json"], ["show"], ["show", "--body"], ["show", "--json", "--body"], ["ls"], ["verify"]],
)
def test_commands(words: list[str], tmp_path: Path) -> None:
    """Commands that print what is in a cassette print neither keys nor the values of secret fields."""
    ran = command(*words, str(leaking(tmp_path)))
    assert KEY not in ran.out + ran.err
    assert PASSWORD not in ran.out + ran.err
    assert ran.out


def test_diff(tmp_path: Path) -> None:
    """So does the comparison of two cassettes."""
    path = leaking(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(path.read_text().replace("for it", "for that").replace("good?", "bad?"))
    ran = command("diff", str(path), str(other))
    assert ran.code == 1
    assert KEY not in ran.out + ran.err
    assert PASSWORD not in ran.out + ran.err


def test_scrub_reaches_into_strings() -> None:
    """Scrubbing takes out the fields of JSON in strings, and keys behind colours and escapes."""
    body = answered({**tool_call(passwd=PASSWORD), "content": f"a\n{KEY}\x1b[31m{KEY}\x1b[0m\t{KEY}"}).decode()
    recorded = HttpInteraction(RecordedRequest("POST", URL), RecordedResponse(200, body=Body(body)))
    scrubbed = scrub_cassette(Cassette((recorded,)), scan=SecretScan({}))
    clean = scrubbed.cassette.http[0].response.body.text
    assert KEY not in clean
    assert PASSWORD not in clean
    assert scrubbed.remaining == ()
    assert json.loads(clean)["choices"][0]["message"]["content"].count("[REDACTED]") == 3
