"""Requests of other people's clients: what differs between equal runs is not compared, and everything else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from mellite.cassettes import Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport, snapshot
from mellite.cassettes.bodies import Body
from mellite.cassettes.replaying.varying import steady_body
from mellite.cassettes.secrets.redaction import Redaction
from mellite.errors import CassetteMismatch, CassetteMiss
from mellite.wire.http import HttpRequest

pytestmark = pytest.mark.anyio

URL = "https://api.example.com/v1/responses"

#: A request as a coding agent sends it, and the same one of its next run.
ONE: dict[str, Any] = {
    "model": "m",
    "input": [
        {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "List it."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_7", "name": "ls", "arguments": "{}"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_7", "output": "a b"},
    ],
    "prompt_cache_key": "0193",
    "client_metadata": {"x-codex-installation-id": "1"},
    "metadata": {"user_id": "session-1", "task": "list"},
    "stream": True,
}
OTHER = json.loads(json.dumps(ONE).replace("_1", "_2").replace("0193", "0194").replace("session-1", "session-2"))


def replay(*bodies: Any, headers: dict[str, str] | None = None, url: str = URL, **options: Any) -> ReplayTransport:
    """A replay of requests with these bodies, the answers to which are their numbers."""
    interactions = [
        HttpInteraction(
            RecordedRequest("POST", url, headers=headers or {}, body=Body(text(body))),
            RecordedResponse(200, body=Body(str(number))),
        )
        for number, body in enumerate(bodies)
    ]
    return ReplayTransport(Cassette(tuple(interactions)), match="pool", **{"lenient": True, **options})


def text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


async def ask(transport: ReplayTransport, body: Any, *, url: str = URL, **headers: str) -> bytes:
    """The answer to a request."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await transport.open(HttpRequest("POST", url, headers=names, body=text(body).encode()))
    return await response.read()


async def test_two_runs_of_a_coding_agent() -> None:
    """Session ids, cache keys and the ids of items differ between two equal runs, in headers and in the body."""
    transport = replay(ONE, headers={"content-type": "application/json", "session_id": "1", "originator": "a"})
    told = {"content_type": "application/json; charset=utf-8", "x_session": "2", "anthropic_version": "2026"}
    assert await ask(transport, OTHER, **told, authorization="Bearer made-up") == b"0"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "n"}, '$.model expected "m", received "n"'),
        ({"metadata": {"task": "other"}}, '$.metadata.task expected "list", received "other"'),
        ({"input": [{"type": "item_reference", "id": "msg_9"}]}, "$.input[0]"),
        ({"stream": False}, "$.stream expected true, received nothing"),
    ],
)
async def test_what_is_asked_still_counts(change: dict[str, Any], told: str) -> None:
    """A request that asks something else is refused, and the error says what kept it from matching, and only that."""
    with pytest.raises(CassetteMiss) as raised:
        await ask(replay(ONE), {**OTHER, **change})
    assert told in str(raised.value)
    assert not any(name in str(raised.value) for name in ("prompt_cache_key", "user_id", "client_metadata", "msg_2"))


async def test_references_to_items_count() -> None:
    """The id of an ``item_reference`` says what is meant, so that it is compared."""
    first, second = ({"input": [{"type": "item_reference", "id": name}]} for name in ("msg_1", "msg_2"))
    transport = replay(first, second)
    assert [await ask(transport, body) for body in (second, first)] == [b"1", b"0"]


async def test_by_content_not_by_order() -> None:
    """Requests that come in another order, with other ids, find their own answers; equal ones take turns."""
    bodies = [{"messages": [{"role": "user", "content": word}], "prompt_cache_key": "old"} for word in "abab"]
    transport = replay(*bodies)
    asked = [{**bodies[place], "prompt_cache_key": f"new{place}"} for place in (1, 0, 3, 2)]
    assert [await ask(transport, body) for body in asked] == [b"1", b"0", b"3", b"2"]


async def test_the_same_request_in_another_spelling() -> None:
    """Clients write a message of one text as a string or as a part, and a key in the URL or in a header."""
    sent = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "system": "Be brief."}
    part = {"type": "text", "text": "Hi"}
    also = {**sent, "messages": [{"role": "user", "content": [part]}], "stream": False}
    also["system"] = [{"type": "text", "text": "Be brief."}]
    assert await ask(replay(sent), also) == b"0"
    assert await ask(replay({"input": "Hi"}), {"input": [{"role": "user", "content": "Hi"}]}) == b"0"
    assert await ask(replay(sent, url=f"{URL}?key=abc&alt=sse"), sent, url=f"{URL}?alt=sse", x_goog_api_key="d") == b"0"
    cached = {**part, "cache_control": {"type": "ephemeral"}}
    assert await ask(replay(sent), {**also, "messages": [{"role": "user", "content": [cached]}]}) == b"0"


async def test_boundaries_of_forms() -> None:
    """The boundary of an upload is made up anew each time; what stands between is compared."""
    form = "--5f2a\r\nContent-Disposition: form-data; name=file\r\n\r\nhi\r\n--5f2a--\r\n"
    other = form.replace("5f2a", "99aa")
    headers = {"content-type": "multipart/form-data; boundary=5f2a"}
    assert await ask(replay(form, headers=headers), other, content_type="multipart/form-data; boundary=99aa") == b"0"
    with pytest.raises(CassetteMiss):
        await ask(replay(form, headers=headers), other.replace("hi", "ho"), content_type="multipart/form-data")


async def test_headers_that_somebody_wants() -> None:
    """A header that the redaction was told to keep is compared, also one that differs between runs."""
    redaction = Redaction(request_headers=["session-id"])
    transport = replay(ONE, headers={"session-id": "1"}, redaction=redaction)
    with pytest.raises(CassetteMiss, match='header \'session-id\' expected "1", received "2"'):
        await ask(transport, ONE, session_id="2")
    unlike = replay(ONE, headers={"x-tenant": "1"})
    with pytest.raises(CassetteMiss, match="x-tenant"):
        await ask(unlike, ONE, x_tenant="2")


async def test_the_cassette_says_so() -> None:
    """A cassette that other people's clients wrote is compared leniently, unless that is asked otherwise."""
    one = HttpInteraction(RecordedRequest("POST", URL, body=Body(text(ONE))), RecordedResponse(200))
    written = Cassette((one,), metadata={"client": "httpx2"})
    assert await ask(ReplayTransport(written), OTHER) == b""
    for strict in (ReplayTransport(written, lenient=False), ReplayTransport(Cassette((one,)))):
        with pytest.raises(CassetteMismatch, match="prompt_cache_key"):
            await ask(strict, OTHER)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "input", "messages", "content", "metadata", "text", "role", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json(value: Any) -> None:
    """Nothing is changed in place, and a steady body is steady."""
    before = json.dumps(value)
    steady = steady_body(value)
    assert json.dumps(value) == before
    assert steady_body(steady) == steady
    taken = [
        snapshot("POST", URL, headers={}, body=json.dumps(each), redaction=Redaction(), lenient=True)
        for each in (value, steady)
    ]
    assert taken[0] == taken[1]


async def test_what_two_clients_write_of_their_own_accord() -> None:
    """Marks for a cache, whether the answer is kept and defaults of tools do not keep a request from matching."""
    text = {"type": "text", "text": "Hi."}
    tool = {"name": "look", "input_schema": {"type": "object"}}
    plain = {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi."}], "tools": [tool]}
    marked = {
        "model": "m",
        "store": False,
        "user": "u-1",
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{**text, "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{**tool, "strict": False, "cache_control": {"type": "ephemeral"}}],
    }
    assert steady_body(plain) == steady_body(marked)
    strict = {**plain, "tools": [{**tool, "strict": True}]}
    assert steady_body(plain) != steady_body(strict)


def codex(chunk: str, seconds: str, day: str, said: str) -> Any:
    """What Codex sends behind a command: as a text, and as parts."""
    told = f"Chunk ID: {chunk}\nWall time: {seconds} seconds\nProcess exited with code 0\nOutput:\n{said}"
    where = f"<environment_context>\n  <current_date>{day}</current_date>\n</environment_context>"
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": where}] * 2}
    output = {"type": "function_call_output", "call_id": "call_1", "output": told}
    parts = {**output, "output": [{"type": "input_text", "text": told}]}
    return {"model": "m", "input": [message, output, parts]}


async def test_what_codex_tells_of_a_command() -> None:
    """The number of an output, the time that a command took and the day differ from run to run; what it said counts."""
    transport = replay(codex("e42af5", "0.0000", "2026-11-30", "blue"), codex("e42af5", "0.0000", "2026-11-30", "red"))
    assert await ask(transport, codex("3ddc5f", "12.51", "2027-01-02", "blue")) == b"0"
    assert await ask(transport, codex("3ddc5f", "12.51", "2027-01-02", "red")) == b"1"
    with pytest.raises(CassetteMiss, match="exited with code"):
        await ask(transport, codex("3ddc5f", "12.51", "2027-01-02", "green"))
    said = "Output:\nWall time: 1 seconds\nOutput:\n"  # a command may say so itself
    kept = steady_body({"input": [{"type": "function_call_output", "call_id": "c", "output": said}]})
    assert kept == {"input": [{"type": "function_call_output", "call_id": "c", "output": said}]}


async def test_the_day_in_the_prompt_of_an_agent() -> None:
    """Opencode and Claude Code tell the day at the end of what they tell of the machine; anywhere else it counts."""

    def asked(day: str, *, end: str = "\n</env>\nBe brief.") -> Any:
        told = f"<env>\n  Platform: linux\n  Today's date: {day}{end}"
        turn = {"role": "user", "content": [{"type": "text", "text": told}, {"type": "text", "text": "Hi."}]}
        return {"model": "m", "system": told, "messages": [{"role": "system", "content": told}, turn]}

    transport = replay(asked("Mon Nov 30 2026"), asked("2026-11-30"), asked("2026-11-30", end="."))
    assert await ask(transport, asked("Tue Jan 05 2027")) == b"0"
    assert await ask(transport, asked("2027-01-05")) == b"1"
    with pytest.raises(CassetteMiss, match="2027-01-05"):
        await ask(transport, asked("2027-01-05", end="."))
    newer = "# Environment\n - Platform: linux\n\nToday's date is {}."
    kept = [
        steady_body({"messages": [{"role": "system", "content": newer.format(day)}]})
        for day in ("2026-11-30", "2027-01-05")
    ]
    assert kept[0] == kept[1]
    assert steady_body({"system": f"Hi. {newer.format('2026-11-30')}"}) == {
        "system": f"Hi. {newer.format('2026-11-30')}"
    }


async def test_the_repository_in_the_prompt_of_an_agent() -> None:
    """Claude Code tells branch, changes and commits; a run leaves others behind, and what stands around them counts."""
    mark = "# gitStatus\nThis is the git status at the start of the conversation. It is a snapshot.\n\n"

    def asked(branch: str, changes: str, commits: str, *, rest: str = "\n\nBe brief.\n</system-reminder>") -> Any:
        told = f"Hi.\n{mark}Current branch: {branch}\n\nStatus:\n{changes}\n\nRecent commits:\n{commits}{rest}"
        return {
            "model": "m",
            "system": told,
            "messages": [{"role": "user", "content": [{"type": "text", "text": told}]}],
        }

    transport = replay(asked("main", "(clean)", "1a2b3c Begin", rest=""), asked("main", "(clean)", "1a2b3c Begin"))
    assert await ask(transport, asked("next", " M a.py\n?? calls.json", "4d5e6f Go on\n1a2b3c Begin", rest="")) == b"0"
    assert await ask(transport, asked("next", " M a.py\n?? calls.json", "4d5e6f Go on\n1a2b3c Begin")) == b"1"
    with pytest.raises(CassetteMiss, match="Be loud"):
        await ask(transport, asked("main", "(clean)", "1a2b3c Begin", rest="\n\nBe loud."))
    assert steady_body({"system": f"{mark}Hi."}) == {"system": f"{mark}Hi."}
