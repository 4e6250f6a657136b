"""The scan for secrets: what it finds wherever it is, what it leaves alone, and that it never shows what it found."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from hypothesis import given, settings, strategies as st

from mellite.cassettes import (
    Body,
    Cassette,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    WebSocketClose,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketInteraction,
    WebSocketOpen,
    load_cassette,
    use,
)
from mellite.cassettes.interactions import Interaction
from mellite.cassettes.secrets.scan import Finding, SecretScan, credentials
from mellite.errors import ConfigurationError, UnsafeCassette
from mellite.values.secrets.names import named_secrets
from mellite.values.secrets.shapes import looks_secret, masked, shapes_in
from tests.values.secrets.made_up import KEYS, kind

PLAIN = SecretScan({})
KEY = "".join(KEYS["key of OpenAI's form"])


def reasons(findings: tuple[Finding, ...]) -> set[str]:
    """Why something was found."""
    return {one.reason for one in findings}


def sse(*texts: str) -> str:
    """A stream of events, each with a piece of text."""
    events = [
        {"id": "chatcmpl-0123456789012345", "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts
    ]
    return "".join([f"data: {json.dumps(event)}\n\n" for event in events]) + "data: [DONE]\n\n"


def exchange(body: str | Body = "", **response: object) -> HttpInteraction:
    """An interaction with this answer."""
    return HttpInteraction(
        RecordedRequest("POST", "https://example.com/v1"),
        RecordedResponse(200, body=Body(body) if isinstance(body, str) else body, **response),
    )


# --- shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "around", ["%s", "It is %s.", '{"key": "%s"}', "a=%s&b", "line\n%s\nline", "<%s>", "(%s)", "`%s`"]
)
def test_every_shape_is_found(around: str) -> None:
    """A key is found by its look, whatever stands around it."""
    assert [name for name in KEYS if kind(name) not in reasons(PLAIN.text(around % "".join(KEYS[name])))] == []


def test_every_shape_is_found_behind_an_escape() -> None:
    """A key is found in JSON, also where an escape stands before it, and in JSON that is a text in JSON."""
    for name, key in KEYS.items():
        once = json.dumps({"text": f"here:\n{''.join(key)}\tand"})
        twice = json.dumps({"arguments": once})
        assert kind(name) in reasons(PLAIN.text(once)), name
        assert kind(name) in reasons(PLAIN.text(twice)), name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Say hello.",
        "skip-this-one-because-it-is-only-long-text",
        "sk-short and sk-",
        "risk-assessments-are-not-secrets-at-all",
        "Bearer of good news, and Bearer YOUR_API_KEY_GOES_HERE",
        "Authorization: Bearer $OPENAI_API_KEY",
        "Authorization: Bearer [REDACTED]",
        "https://example.com/a?b=c@d and mail me@example.com: now",
        "chatcmpl-9Yz0123456789abcdefghijklmnop gen-1234567890-abcdefghij",
        "toolu_01AbCdEfGhIjKlMnOpQrStUvWxYz msg_01AbCdEfGhIjKlMnOpQrStUvWxYz call_abcdefghijklmnopqrstuvwxyz",
        "The AKIAN language; ASIAGO is a cheese; ghosts_and_ghouls_and_other_things",
        "-----BEGIN PUBLIC KEY-----",
        "https://%5BREDACTED%5D@example.com/",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    """Texts, ids of answers, placeholders and what was redacted are let through."""
    assert PLAIN.text(text) == ()
    assert PLAIN.text(json.dumps({"text": text})) == ()


def test_nothing_is_found_in_the_recordings(corpora: Path) -> None:
    """Recordings of others, which were published, hold nothing that looks like a secret."""
    count = 0
    for path in sorted((corpora / "opencode").rglob("*.json")):
        if b'"interactions"' in path.read_bytes():
            assert PLAIN.cassette(load_cassette(path)) == (), path
            count += 1
    assert count >= 60


# --- places -----------------------------------------------------------------------------------------


FRAMES = (WebSocketEvent("client", "text", body=Body("{}")),)


def asked(url: str = "u", **request: object) -> HttpInteraction:
    """An interaction with this request."""
    return HttpInteraction(RecordedRequest("POST", url, **request), RecordedResponse(200))


PLACES: dict[str, Callable[[str], Interaction]] = {
    "$.request.url": lambda key: HttpInteraction(
        RecordedRequest("GET", f"https://e.com/?x={key}"), RecordedResponse(200)
    ),
    "$.request.headers.x-id": lambda key: asked(headers={"x-id": key}),
    "$.request.body.messages[0].content": lambda key: asked(body=Body(json.dumps({"messages": [{"content": key}]}))),
    "$.request.more": lambda key: HttpInteraction(
        RecordedRequest("GET", "u", extra={"more": key}), RecordedResponse(200)
    ),
    "$.response.headers.x-id": lambda key: exchange(headers={"x-id": key}),
    "$.response.body": exchange,
    "$.response.body[0].a": lambda key: exchange(json.dumps([{"a": key}])),
    "$.mellite.key": lambda key: HttpInteraction(
        RecordedRequest("GET", "u"), RecordedResponse(200), extra={"mellite": {"key": key}}
    ),
    "$.open.url": lambda key: WebSocketInteraction(FRAMES, open=WebSocketOpen(f"wss://e.com/?x={key}")),
    "$.open.headers.x": lambda key: WebSocketInteraction(FRAMES, open=WebSocketOpen("u", headers={"x": key})),
    "$.connection.url": lambda key: WebSocketInteraction(FRAMES, connection=WebSocketConnection(0, key)),
    "$.connection.protocols[0]": lambda key: WebSocketInteraction(
        FRAMES, connection=WebSocketConnection(0, "u", protocols=(f"openai-insecure-api-key.{key}",))
    ),
    "$.connection.close.reason": lambda key: WebSocketInteraction(
        FRAMES, connection=WebSocketConnection(0, "u", close=WebSocketClose(1000, key))
    ),
    "$.events[1].body.text": lambda key: WebSocketInteraction(
        (*FRAMES, WebSocketEvent("server", "text", body=Body(json.dumps({"text": key}))))
    ),
    "$.events[0].x": lambda key: WebSocketInteraction((evolve(FRAMES[0], extra={"x": key}),)),
}


@pytest.mark.parametrize("where", PLACES)
def test_every_place_of_an_interaction(where: str) -> None:
    """A key is found in every part of an interaction, and the finding says in which."""
    assert PLAIN.interaction(PLACES[where]("nothing here")) == ()
    found = PLAIN.interaction(PLACES[where](KEY))
    assert Finding(where, "key of OpenAI's form") in found
    assert {one.path for one in found} == {where}


def test_places_in_a_cassette() -> None:
    """A cassette is looked at with its metadata, its own keys and each of its interactions."""
    cassette = Cassette((exchange("x"), exchange(KEY)), metadata={"name": KEY}, extra={"tool": [KEY]})
    assert [one.path for one in PLAIN.cassette(cassette)] == [
        "$.metadata.name",
        "$.tool[0]",
        "$.interactions[1].response.body",
    ]


def test_names_of_fields() -> None:
    """A key that is the name of a field is found, too."""
    assert PLAIN.text(json.dumps({"a": {KEY: 1}})) == (Finding("$", "key of OpenAI's form"),)


# --- forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "u:", "ab:"])
def test_base64(before: str) -> None:
    """A key is found in base64, on any of its borders, in the alphabet of URLs and without padding."""
    for name, key in KEYS.items():
        data = f"{before}{''.join(key)}\n".encode()
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.b64encode(data).rstrip(b"=")):
            assert f"{kind(name)} in base64" in reasons(PLAIN.text(f'{{"x": "{encoded.decode()}"}}')), name
            assert f"{kind(name)} in base64" in reasons(PLAIN.text(f"https://example.com/x/{encoded.decode()}")), name


def test_split_over_two_events() -> None:
    """A key whose pieces come in two events of a stream, or one in each of many, is found."""
    for name, (one, other) in KEYS.items():
        assert reasons(PLAIN.interaction(exchange(sse("It is ", one, other, ".")))) >= {kind(name)}, name
        assert reasons(PLAIN.interaction(exchange(sse("It is ", *one, *other, ".")))) >= {kind(name)}, name
        found = PLAIN.interaction(exchange(sse("It is ", one, other, ".")))
        assert found[-1].path.startswith("$.response.body[*].choices[0].delta.content")


def test_split_over_events_that_are_interleaved() -> None:
    """The pieces of two texts that come in turn are put together each for itself, by their index."""
    one, other = KEYS["key of OpenAI's form"]
    events = [(0, one), (1, "x y"), (0, other), (1, " z")]
    body = "".join([f"data: {json.dumps({'index': index, 'delta': {'text': text}})}\r\n\r\n" for index, text in events])
    assert reasons(PLAIN.text(body)) == {"key of OpenAI's form"}


def test_split_over_frames() -> None:
    """A key whose pieces come in two frames of a WebSocket is found."""
    frames = [WebSocketEvent("server", "text", body=Body(json.dumps({"delta": piece}))) for piece in (KEY[:9], KEY[9:])]
    found = PLAIN.interaction(WebSocketInteraction(tuple(frames)))
    assert found == (Finding("$.events[*].body[*].delta", "key of OpenAI's form"),)


def aws_message(payload: bytes) -> bytes:
    """One message of an AWS event stream; nobody looks at its checksums here."""
    headers = b"\x0b:event-type\x07\x00\x11contentBlockDelta"
    total = 16 + len(headers) + len(payload)
    return total.to_bytes(4, "big") + len(headers).to_bytes(4, "big") + bytes(4) + headers + payload + bytes(4)


def test_binary_streams() -> None:
    """A key in a binary body is found: as it stands, compressed, and cut over the messages of an AWS event stream."""
    payloads = [json.dumps({"delta": {"text": piece}}).encode() for piece in ("a ", KEY[:11], KEY[11:])]
    cut = b"".join(map(aws_message, payloads))
    for data in (b"\xff" + KEY.encode() + b"\xff", gzip.compress(f'{{"a": "{KEY}"}}'.encode()), cut):
        body = Body(base64.b64encode(data).decode(), encoding="base64")
        assert reasons(PLAIN.interaction(exchange(body))) == {"key of OpenAI's form"}


def test_urls_are_looked_at_without_their_escapes() -> None:
    """A key in a URL is found though some of it is escaped."""
    url = f"https://example.com/?x=%73{KEY[1:]}"
    found = PLAIN.interaction(HttpInteraction(RecordedRequest("GET", url), RecordedResponse(200)))
    assert reasons(found) == {"key of OpenAI's form"}


# --- known values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["0123456789abcdef", "correct horse battery", 'a "quoted"\nline', "p\\w/d=ü&?% and more"]
)
def test_values_of_variables(value: str) -> None:
    """The value of a secret variable is found though it has no form: plain, in JSON, a URL, base64, over events."""
    scan = SecretScan(named_secrets({"MY_SECRET": value}))
    half = len(value) // 2
    forms = [
        f"x{value}y",
        json.dumps({"a": value}),
        json.dumps({"a": json.dumps(value, ensure_ascii=False)}),
        f"?a={quote(value, safe='')}",
        base64.b64encode(f"user:{value}\n".encode()).decode(),
        sse("a", value[:half], value[half:], "b"),
    ]
    for form in forms:
        found = {reason.removesuffix(" in base64") for reason in reasons(scan.text(form))}
        assert found == {"the value of MY_SECRET"}, form
    assert scan.text("nothing of it") == ()


def test_which_variables_are_secret() -> None:
    """A variable is secret by its name; short values, places and what tests use are not looked for."""
    environment = {
        "OPENAI_API_KEY": "0123456789ab",
        "SHORT_TOKEN": "0123456789a",
        "FIXTURE_KEY": "fixture",
        "SSH_AUTH_SOCK": "/run/user/1000/ssh-agent.socket",
        "API_BASE_URL": "https://api.example.com/v1/chat",
        "TOKEN_URL": "https://me:password@example.com/token",
        "HOME": "/home/someone",
        "EDITOR": "something-long-enough",
    }
    assert named_secrets(environment) == {
        "0123456789ab": "OPENAI_API_KEY",
        "https://me:password@example.com/token": "TOKEN_URL",
    }


def test_the_environment_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the values are those of the environment."""
    monkeypatch.setenv("SOME_PASSWORD", "correct horse battery")
    found = SecretScan().text("It is correct horse battery.")
    assert found == (Finding("$", "the value of SOME_PASSWORD"),)


def test_credentials_of_a_request() -> None:
    """What a request proves with who sends it: secret headers without their scheme, parameters, a password."""
    headers = {
        "Authorization": "Bearer 0123456789",
        "X-Api-Key": "abcdefghij",
        "api-key": "azure-key-1",
        "cf-aig-authorization": "Bearer gateway-1",
        "x-goog-api-key": "short",
        "content-type": "application/json",
        "idempotency-key": "11112222333344445555",
        "cookie": "[REDACTED]",
    }
    url = "https://me:pass%20word@example.com/?key=parameter1&alt=streaming"
    assert set(credentials(headers, url)) == {
        "0123456789",
        "abcdefghij",
        "azure-key-1",
        "gateway-1",
        "parameter1",
        "pass word",
    }
    assert credentials({}, "https://[::1/") == ()


def test_more_known_values() -> None:
    """Values can be added, and what is known stays known."""
    scan = SecretScan({"one and only": "A"}).with_known(["two and more", "one and only"])
    found = reasons(scan.text("one and only, two and more"))
    assert found == {"the value of A", "the value of a credential of the request"}
    assert PLAIN.with_known([]) is PLAIN


def test_what_is_allowed() -> None:
    """A text that looks like a secret and is none can be allowed, and only that one."""
    scan = SecretScan({"documented value": "A"}, allowed=[KEY, "documented value"])
    assert scan.text(f"{KEY} and documented value") == ()
    assert reasons(scan.text(KEY + KEY)) == set()
    assert reasons(scan.text("".join(KEYS["Groq key"]))) == {"Groq key"}


@pytest.mark.parametrize("allowed", [["sk-"], ["s"], [KEY[: len(KEY) // 3]]])
def test_the_beginning_of_a_key_allows_none(allowed: list[str]) -> None:
    """What all keys of a form begin with, or have in them, does not allow these."""
    scan = SecretScan({}, allowed=allowed)
    assert reasons(scan.text(KEY)) == {kind("key of OpenAI's form")}
    assert masked(f"{KEY} it is", allowed=allowed) == "[REDACTED] it is"


@pytest.mark.parametrize(
    ("allowed", "words"), [(KEY, "not a str"), ([""], "is empty"), ([3], "not a str"), (3, "not a int")]
)
def test_what_cannot_be_allowed(allowed: Any, words: str, tmp_path: Path) -> None:
    """A str, whose every letter would allow something, and an empty text, which is in all, are refused at all doors."""
    for door in (
        lambda: SecretScan({}, allowed=allowed),
        lambda: use(tmp_path / "case.json", mode="all", allowed=allowed, even_in_ci=True),
    ):
        with pytest.raises(ConfigurationError, match=f"'allowed' is a list of texts.*{words}"):
            door()


def test_looking_and_masking_by_what_is_known() -> None:
    """Known secrets are found and masked whatever they look like, those that are allowed excepted."""
    assert looks_secret("it is correct horse", ["correct horse"])
    assert not looks_secret("it is correct horse", ["battery"])
    assert masked("horse and staple", ["horse", "staple", ""], allowed=["staple"]) == "[REDACTED] and staple"


def test_keys_in_lines_of_base64_that_stand_apart() -> None:
    """Each piece of base64 is put together of its own lines: a key across a line break of the first is found."""
    first, second = (
        base64.b64encode(f"{'a b ' * 20}{text}{' c d' * 20}".encode()).decode() for text in (KEY, "nothing")
    )
    lines = ["\n".join([piece[at : at + 64] for at in range(0, len(piece), 64)]) for piece in (first, second)]
    assert reasons(PLAIN.text(f"{lines[0]}\n\nand {'this is another one, ' * 2}\n\n{lines[1]}")) != set()
    assert reasons(PLAIN.text(f"{lines[1]}\n\nand {'this is another one, ' * 2}\n\n{lines[1]}")) == set()


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(KEYS)[::9])
def test_the_error_names_path_and_reason_and_shows_nothing(name: str) -> None:
    """The error says in which cassette, where and why; no form of it has the secret in it, also in a pickle."""
    secret = "".join(KEYS[name])
    with pytest.raises(UnsafeCassette) as caught:
        PLAIN.check(exchange(json.dumps({"a": [secret]})), path="cassettes/case.json")
    error = caught.value
    assert "cassettes/case.json" in str(error)
    assert f"$.response.body.a[0] ({kind(name)})" in str(error)
    assert error.path == "cassettes/case.json"
    tail = secret[len(KEYS[name][0]) :]
    for form in (str(error), repr(error), repr(error.__dict__), pickle.dumps(error).decode("latin-1"), repr(PLAIN)):
        assert tail not in form
    assert copy.deepcopy(error.findings) == error.findings == pickle.loads(pickle.dumps(error)).findings
    assert (error.__cause__, error.__context__) == (None, None)


def test_many_findings() -> None:
    """The message has some of many, and says how many there are; the error has all."""
    body = json.dumps([KEY] * 20)
    with pytest.raises(UnsafeCassette, match=r"and 12 more") as caught:
        PLAIN.check(exchange(body))
    assert len(caught.value.findings) == 20


def test_a_scan_shows_no_values() -> None:
    """The repr of a scan does not have the values in it that it looks for."""
    assert "hunter2" not in repr(SecretScan({"hunter2hunter2": "A"}))


# --- anything ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.text() | st.text(alphabet=st.sampled_from('{}[]":,\\ud8a0data: \n=-_AZ09')))
def test_any_text(text: str) -> None:
    """Whatever the text is, looking at it works, and a key after it is found."""
    PLAIN.text(text)
    assert "key of OpenAI's form" in reasons(PLAIN.text(f"{text} {KEY}"))
    assert "key of OpenAI's form" in {shape.name for shape, _ in shapes_in(f"{text} {KEY}")}


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever the bytes of a body are, looking at them works."""
    for content in (data, b"\x1f\x8b" + data, bytes(4) + data, aws_message(data)[:-1]):
        PLAIN.interaction(exchange(Body(base64.b64encode(content).decode(), encoding="base64")))


def test_nested_too_deeply() -> None:
    """JSON that is nested deeper than it can be decoded is looked at as a text."""
    deep = "[" * 100_000 + f'"{KEY}"' + "]" * 100_000
    assert reasons(PLAIN.text(deep)) == {"key of OpenAI's form"}
    assert reasons(PLAIN.text(f"data: {deep}\n\n")) == {"key of OpenAI's form"}
