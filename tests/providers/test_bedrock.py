"""Bedrock's route: regions, keys, signatures as a server checks them, event streams over the wire, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    IncompleteStream,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    OutputTooLarge,
    RateLimited,
    UnsupportedOption,
)
from mellite.protocols.bedrock_converse import BedrockConverseRaw
from mellite.providers.bedrock import converse_route
from mellite.providers.catalog import find
from mellite.request import HttpOptions, Request
from mellite.wire.auth.sigv4 import GivenKeys
from tests.protocols.bedrock_converse.converse import CLAUDE, SAYS_A, answer, called, end, more, stop, text
from tests.wire.answers import shown
from tests.wire.frames import event, exception
from tests.wire.server import LAST, Received, Server, answer as served, head, piece, serve

KEY = "bedrock-api-key-sentinel-4711"
ID, SECRET, TOKEN = "AKIASENTINEL", "secret/sentinel+0815=", "token-sentinel/2342=="
KEYS = GivenKeys(ID, SECRET, TOKEN)
AMAZON = {"content-type": "application/vnd.amazon.eventstream", "x-amzn-requestid": "req-1"}
VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment reaches a test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere/at/all")


def frames(*values: dict[str, Any]) -> list[bytes]:
    """Events as they stand on the wire."""
    return [event(*next(iter(value.items()))) for value in values]


STREAM = frames(*SAYS_A, *end())


def asked(body: Any, *, status: int = 200, headers: dict[str, str] = AMAZON, **options: Any) -> ModelOutputThunk[str]:
    """A thunk that gets this answer."""
    transport = ScriptedTransport([(status, headers, body)])
    backend = LiveBackend(converse_route(keys=KEYS, model=CLAUDE), transport=transport)
    return backend.generate("hi", **options)


async def failed(thunk: ModelOutputThunk[str], kind: type[MelliteError]) -> MelliteError:
    """The error of a thunk, which shows nothing of any key."""
    with pytest.raises(kind) as caught:
        await thunk
    for secret in (KEY, SECRET, TOKEN):
        assert secret not in shown(caught.value)
    return caught.value


# --- what is sent ---------------------------------------------------------------------------------


def test_a_request_with_a_key_of_bedrock() -> None:
    """The model stands in the path and the body, the region in the host; streams have a path of their own."""
    route = find("bedrock:us.amazon.nova-micro-v1:0", api_key=KEY)
    host = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-micro-v1%3A0"
    http = route.prepare(Request.of("hi"))
    assert http.url == f"{host}/converse-stream"
    assert dict(http.headers) == {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    assert json.loads(http.body)["modelId"] == "us.amazon.nova-micro-v1:0"
    assert route.prepare(Request.of("hi", stream=False)).url == f"{host}/converse"
    assert find("amazon-bedrock/m", api_key=KEY).provider == "bedrock"


def test_arns_stay_inside_their_place_in_the_path() -> None:
    """An ARN is one step of the path; what could lead elsewhere is refused."""
    route = converse_route(api_key=KEY)
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x.y-v1:0"
    url = route.prepare(Request.of("hi", model=arn)).url
    assert url.endswith(
        "/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.x.y-v1%3A0/converse-stream"
    )
    with pytest.raises(InvalidRequest):
        route.prepare(Request.of("hi", model=".."))


def test_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The region is that given, else of AWS_REGION or AWS_DEFAULT_REGION, else us-east-1, or the host's."""

    def region(**options: Any) -> str:
        http = converse_route(keys=KEYS, model="m", **options).prepare(Request.of("hi"))
        found = re.search(r"/(\w+-\w+-\d)/bedrock/", http.headers["authorization"])
        assert found is not None
        assert found[1] in http.url or "base_url" in options
        return found[1]

    assert region() == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert region() == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert region() == "eu-west-2"
    assert region(region="ap-south-1") == "ap-south-1"
    for host in ("bedrock-runtime.ca-west-1.amazonaws.com", "bedrock-runtime-fips.ca-west-1.amazonaws.com",
                 "vpce-1-x.bedrock-runtime.ca-west-1.vpce.amazonaws.com"):  # fmt: skip
        assert region(base_url=f"https://{host}") == "ca-west-1"
    assert region(base_url="https://example.com", region="sa-east-1") == "sa-east-1"
    with pytest.raises(ConfigurationError, match="region"):
        region(region="evil.com/")


def test_who_is_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of Bedrock comes before an access key; what is given in code before the environment; else it is missing."""
    route = converse_route(model="m")
    with pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID") as caught:
        route.prepare(Request.of("hi"))
    assert caught.value.kind == "missing"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    headers = route.prepare(Request.of("hi")).headers
    assert headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={ID}/")
    assert SECRET not in str(dict(headers))
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    assert route.prepare(Request.of("hi")).headers["authorization"] == f"Bearer {KEY}"
    given = converse_route(model="m", keys=GivenKeys("AKIAGIVEN", "x")).prepare(Request.of("hi"))
    assert "AKIAGIVEN" in given.headers["authorization"]
    assert "x-amz-security-token" not in given.headers


@pytest.mark.anyio
async def test_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile of AWS's own tools is named in code, and looked up when a call is made; keys in code come before it."""
    config = tmp_path / "config"
    config.write_text(f"[profile work]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for keys, id in ((None, ID), (GivenKeys("AKIAGIVEN", "x"), "AKIAGIVEN")):
        transport = ScriptedTransport([(200, AMAZON, STREAM)])
        backend = LiveBackend(converse_route(profile="work", keys=keys, model="m"), transport=transport)
        assert await backend.generate("hi") == "a"
        assert f"Credential={id}/" in transport.requests[0].headers["authorization"]


@pytest.mark.anyio
async def test_without_any_key_nothing_is_sent() -> None:
    """A call without a key is an AuthenticationError that names the variables; the transport is not asked."""
    transport = ScriptedTransport([])
    thunk = LiveBackend(converse_route(model="m"), transport=transport).generate("hi")
    error = await failed(thunk, AuthenticationError)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(error)
    assert transport.requests == []


@pytest.mark.parametrize(
    ("base_url", "ours"),
    [
        ("https://vpce-1-x.bedrock-runtime.us-east-1.vpce.amazonaws.com", True),
        ("https://vpce-1-x-us-east-1a.bedrock-runtime.us-east-1.vpce.amazonaws.com", True),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", True),
        ("https://BEDROCK-RUNTIME.us-east-1.amazonaws.com:443", True),
        ("https://bedrock-runtime.us-east-1.api.aws", True),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", True),
        ("http://bedrock-runtime.us-east-1.amazonaws.com", False),
        ("https://gateway.example.com/bedrock", False),
        ("https://bedrock-runtime.us-east-1.amazonaws.com.example.com", False),
        ("https://notamazonaws.com", False),
        # hosts of AWS's behind which a customer stands
        ("https://a1b2c3.execute-api.us-east-1.amazonaws.com/prod", False),
        ("https://a1b2c3.lambda-url.us-east-1.on.aws", False),
        ("https://mine.s3.us-east-1.amazonaws.com", False),
        ("https://bedrock-runtime.s3.us-east-1.amazonaws.com", False),
        ("https://bedrock-runtime.us-east-1.s3.amazonaws.com", False),
        ("https://mine-1.us-east-1.elb.amazonaws.com", False),
        ("https://evil.bedrock-runtime.us-east-1.amazonaws.com", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_keys_of_the_environment_are_for_amazon(monkeypatch: pytest.MonkeyPatch, base_url: str, ours: bool) -> None:
    """With a base URL, keys of the environment go to hosts of Bedrock, and not to what others run at AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    signed = converse_route(base_url=base_url, model="m").prepare(Request.of("hi"))
    assert ("authorization" in signed.headers) is ours
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    http = converse_route(base_url=base_url, model="m").prepare(Request.of("hi"))
    assert (KEY in str(dict(http.headers))) is ours
    assert http.url == f"{base_url}/model/m/converse-stream"


def test_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own variables for an endpoint move it, the one of this service first."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example.com")
    route = converse_route(api_key=KEY, model="m")
    assert route.prepare(Request.of("hi")).url.startswith("https://all.example.com/model/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://one.example.com")
    assert route.prepare(Request.of("hi")).url.startswith("https://one.example.com/model/")


@pytest.mark.parametrize("name", ["frequency_penalty", "presence_penalty", "seed"])
def test_options_that_converse_does_not_know(name: str) -> None:
    """What the protocol has no field for is refused by name, and left out where that is allowed."""
    route = converse_route(api_key=KEY, model="m")
    with pytest.raises(UnsupportedOption, match=f"bedrock-converse.*{name}"):
        route.prepare(Request.of("hi", **{name: 1}))
    assert name not in json.loads(route.prepare(Request.of("hi", drop_unsupported=True, **{name: 1})).body)


# --- over the wire --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def check_signature(received: Received, port: str) -> None:
    """What AWS does with a request: make the signature again of what came, with the secret that belongs to the id."""
    said = {name.lower(): value for name, value in received.headers}
    assert said["host"] == port
    signed = re.search(r"SignedHeaders=([^,]*)", said["authorization"])
    assert signed is not None
    headers = {name: said[name] for name in signed[1].split(";") if not name.startswith("x-amz-")}
    again = AWSRequest(
        method=received.method, url=f"http://{port}{received.target}", headers=headers, data=received.body
    )
    signer = SigV4Auth(Credentials(ID, SECRET, TOKEN), "bedrock", "us-east-1")
    again.context["timestamp"] = said["x-amz-date"]
    again.headers["X-Amz-Date"] = said["x-amz-date"]
    again.headers["X-Amz-Security-Token"] = said["x-amz-security-token"]
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert said["authorization"].endswith(f"Signature={signature}")
    made = datetime.strptime(said["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((made - datetime.now(UTC)).total_seconds()) < 60
    assert SECRET not in str(received.headers)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_signed_call(server: Server, stream: bool) -> None:
    """What leaves the socket has the signature that AWS makes of it; the thunk is filled, streamed and whole."""
    steps = [head(200, AMAZON), *map(piece, STREAM), LAST]
    whole = served(json.dumps(answer({"text": "a"})).encode(), 200, {**AMAZON, "content-type": "application/json"})
    script = server.script(steps if stream else whole)
    route = converse_route(keys=KEYS, base_url=script.url, model="eu.amazon.nova-micro-v1:0", region="us-east-1")
    http = HttpOptions(headers={"x-amzn-bedrock-trace": "ENABLED"}, query={"q": "a b/c"})
    async with LiveBackend(route) as backend:
        thunk = backend.generate("hi é", cache="none", http=http, stream=stream)
        assert await thunk == "a"
    (received,) = script.requests(1)
    check_signature(received, script.url.split("/")[2])
    known = thunk.generation
    assert (known.provider, known.protocol, known.request_id) == ("bedrock", "bedrock-converse", "req-1")
    assert (known.finish_reason, known.raw_finish_reason, known.streaming) == ("stop", "end_turn", stream)
    assert known.usage is not None
    assert (known.usage.input_tokens, known.usage.output_tokens) == (3, 5)
    assert isinstance(thunk.raw, BedrockConverseRaw)
    assert thunk.raw.response == answer({"text": "a"})
    assert thunk.raw.request_body["messages"] == [{"role": "user", "content": [{"text": "hi é"}]}]


@pytest.mark.anyio
async def test_deltas_are_handed_on_as_they_come(server: Server) -> None:
    """A delta is there while the rest of the stream is still to come, wherever the bytes were cut."""
    first, rest = b"".join(STREAM[:2]), b"".join(STREAM[2:])
    script = server.script(
        [head(200, AMAZON), piece(first[:50]), piece(first[50:] + rest[:9]), ["gate", "go"], piece(rest[9:]), LAST]
    )
    async with LiveBackend(converse_route(api_key=KEY, base_url=script.url, model="m")) as backend:
        deltas = aiter(backend.generate("hi"))
        assert await anext(deltas) == "a"
        script.release("go")
        assert [delta async for delta in deltas] == []


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_answer_of_the_other_form() -> None:
    """A stream where an answer in one piece was asked for is read, and the reverse."""
    thunk = asked(b"".join(STREAM), stream=False)
    assert await thunk == "a"
    assert thunk.generation.streaming
    whole = asked(json.dumps(answer({"text": "a"})), headers={"content-type": "application/json"})
    assert await whole == "a"
    assert not whole.generation.streaming


@pytest.mark.anyio
async def test_how_it_was_served() -> None:
    """The tier that Bedrock says it served the answer with is known, streamed and whole."""
    tier = {"serviceTier": {"type": "flex"}}
    streamed = asked(frames(*SAYS_A, *end(**tier)))
    whole = asked(json.dumps(answer({"text": "a"}, **tier)), stream=False, headers={"content-type": "application/json"})
    for thunk in (streamed, whole):
        assert await thunk == "a"
        assert thunk.generation.service_tier == "flex"


@pytest.mark.anyio
async def test_an_exception_in_the_stream() -> None:
    """What came before an exception is kept: the text, the calls, the metadata of the answer."""
    before = frames(SAYS_A[0], *called(1, "t1", "f", "{}"), *SAYS_A[1:])
    thunk = asked([*before, exception("throttlingException", "Too many tokens, please wait before trying again.")])
    error = await failed(thunk, RateLimited)
    assert (error.partial, error.status, error.request_id, error.model) == ("a", 200, "req-1", CLAUDE)
    assert error.provider == "bedrock"
    assert error.retryable
    assert [call.name for call in thunk.tool_calls] == ["f"]
    assert str(error).startswith("bedrock: an error inside the stream: Too many tokens")


@pytest.mark.anyio
@pytest.mark.parametrize("count", range(3))
async def test_a_clean_end_before_the_stop_reason(count: int) -> None:
    """A body that ends well, but too soon, is an IncompleteStream with the text that came."""
    error = await failed(asked(STREAM[:count]), IncompleteStream)
    assert error.partial == ("a" if count == 2 else "")
    assert error.retryable


@pytest.mark.anyio
async def test_damage_is_told_behind_what_came_before() -> None:
    """A damaged message is InvalidProviderOutput at once, though no more bytes come; text before it is kept."""
    broken = bytearray(STREAM[2])
    broken[20] ^= 1
    waiting = [STREAM[0] + STREAM[1] + bytes(broken), lambda: pytest.fail("more was read")]
    error = await failed(asked(waiting), InvalidProviderOutput)
    assert type(error) is InvalidProviderOutput
    assert error.partial == "a"
    assert "checksum" in str(error)


@pytest.mark.anyio
async def test_a_message_that_says_it_is_huge() -> None:
    """A length beyond the limit is refused before the bytes come."""
    huge = bytes.fromhex("7fffffff00000000")
    error = await failed(asked([*STREAM[:2], huge + crc32(huge).to_bytes(4, "big")]), OutputTooLarge)
    assert error.partial == "a"


@pytest.mark.anyio
async def test_trouble_behind_the_stop_reason_does_not_matter() -> None:
    """When the stop reason has come, a connection that breaks loses nothing but the usage."""
    thunk = asked([*STREAM[:-1], ConnectionLost("gone")])
    assert await thunk == "a"
    assert thunk.generation.usage is None
    assert await asked([*STREAM, ConnectionLost("gone")]) == "a"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body", [b"<html>Sign in</html>", b'data: {"x": 1}\n\n', b"[]", b'{"Output": {"__type": "x"}}', b"\x00" * 40]
)
async def test_something_else_with_status_200(body: bytes) -> None:
    """A web page, server-sent events, other JSON, zeros: InvalidProviderOutput, never an empty answer."""
    await failed(asked(body), InvalidProviderOutput)


@pytest.mark.anyio
async def test_an_error_answer_shows_no_key() -> None:
    """AWS repeats headers of a request that it refuses: the session token in them is taken out."""
    said = {"message": f"The canonical string was\nx-amz-security-token:{TOKEN}\n"}
    headers = {
        "content-type": "application/json",
        "x-amzn-errortype": "InvalidSignatureException",
        "x-amzn-requestid": "r2",
    }
    error = await failed(asked(json.dumps(said), status=403, headers=headers), AuthenticationError)
    assert (error.status, error.request_id) == (403, "r2")
    assert "x-amz-security-token:[REDACTED]" in str(error)
    assert error.kind == "invalid"  # type: ignore[attr-defined]


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_answer_goes_back_as_history() -> None:
    """Signed thinking, hidden thinking, text and a call come out of an answer and go back as they came."""
    hidden = {"redactedContent": "aGlkZGVu"}
    values = [
        SAYS_A[0],
        more(0, reasoningContent={"text": "Hm."}), more(0, reasoningContent={"signature": "s1g"}), stop(0),
        more(1, reasoningContent=hidden), stop(1),
        text(2, "Let me look."), stop(2),
        *called(3, "tooluse_1", "get_weather", '{"city": "Paris"}'),
        *end("tool_use"),
    ]  # fmt: skip
    thunk = asked(frames(*values))
    await thunk
    route = converse_route(api_key=KEY, model=CLAUDE)
    body = json.loads(route.prepare(Request.of([Message.user("hi"), thunk.message], cache="none")).body)
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s1g"}}},
        {"reasoningContent": hidden},
        {"text": "Let me look."},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Paris"}}},
    ]
    assert thunk.raw.response["output"]["message"] == body["messages"][1]
