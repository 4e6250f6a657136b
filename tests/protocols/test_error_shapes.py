"""Errors that come where an answer belongs, in all the shapes that servers give them, in each protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ContextOverflow,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
    UnknownProviderError,
)
from mellite.providers.catalog import find
from tests.protocols.test_damaged_names import MODELS
from tests.providers.answers import AMAZON, ANSWERS, SSE
from tests.wire.frames import message

TOO_LONG = "The input (5003 tokens) is longer than the model's context length (4096 tokens)."
LITELLM = {"message": "litellm.ServiceUnavailableError: upstream", "type": "None", "param": "None", "code": "503"}

NO_KEY = {"message": "no such key", "type": "auth_error", "code": "401"}
BARE = {"object": "error", "message": TOO_LONG, "type": "BadRequestError", "code": 400}
WINDOW = {"code": 5021, "message": "exceeded this model context window limit"}
BUSY = {"error": {"type": "overloaded_error", "message": "Busy"}}

# Name -> the object, the class of the error, a word of it.
SHAPES: dict[str, tuple[Any, type[MelliteError], str]] = {
    "the common one": ({"error": {"message": "Slow down", "code": 429}}, RateLimited, "Slow down"),
    "a text": ({"error": "Model is overloaded"}, ProviderInternal, "Model is overloaded"),
    "vLLM, SGLang": (BARE, ContextOverflow, "5003"),
    "Dynamo": ({"message": "no workers", "type": "Service Unavailable", "code": 503}, ProviderInternal, "no workers"),
    "LiteLLM": ({"error": LITELLM}, ProviderInternal, "upstream"),
    "LiteLLM, a key": ({"error": NO_KEY}, AuthenticationError, "no such"),
    "LiteLLM, a class": ({"error": {"message": "litellm.RateLimitError: x", "code": None}}, RateLimited, "litellm"),
    "MiniMax": ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, QuotaExceeded, "balance"),
    "Z.ai": ({"error": {"code": "1302", "message": "High concurrency usage"}}, RateLimited, "concurrency"),
    "FastAPI": ({"detail": "Rate limit exceeded"}, RateLimited, "Rate limit exceeded"),
    "FastAPI, a list": ({"detail": [{"loc": ["x"], "msg": "is required"}]}, UnknownProviderError, "is required"),
    "Cloudflare": ({"success": False, "errors": [WINDOW]}, ContextOverflow, "window"),
    "a gateway": ({"code": 400, "details": "logprobs of 21 is more than 20"}, InvalidRequest, "more than 20"),
    "numbers as text": ({"status_code": "500", "msg": "went wrong"}, ProviderInternal, "went wrong"),
    "an error in an error": ({"error": BUSY}, ProviderInternal, "Busy"),
    "Vertex AI, a list": ([{"error": {"code": 503, "message": "no room"}}], ProviderInternal, "no room"),
    "a list in an object": ({"error": [{"message": "no such key", "code": 401}]}, AuthenticationError, "no such"),
    "JSON in a text": ({"error": '{"error": {"message": "Slow", "code": 429}}'}, RateLimited, "Slow"),
    "JSON in a message": (
        {"error": {"message": '{"error": {"message": "No", "code": 401}}'}},
        AuthenticationError,
        "No",
    ),
    "a status in words": ({"error": {"message": "x", "code": "HTTP 429"}}, RateLimited, "x"),
    "a status and its name": ({"error": {"message": "x", "status": "503 Service Unavailable"}}, ProviderInternal, "x"),
    "a status with a point": ({"error": {"message": "x", "code": 429.0}}, RateLimited, "x"),
    "TGI": ({"error": {"message": "CUDA ran out", "http_status_code": 500}}, ProviderInternal, "CUDA"),
    "TGI, a type": ({"error": "Incomplete", "error_type": "incomplete_generation"}, ProviderInternal, "Incomplete"),
    "Mistral": (
        {"object": "error", "message": "Slow down", "code": "1300", "raw_status_code": 429},
        RateLimited,
        "Slow",
    ),
    "SiliconFlow": ({"code": 50505, "message": "Model service overloaded", "data": None}, ProviderInternal, "Model"),
    "Kong": ({"message": "API rate limit exceeded"}, RateLimited, "API rate"),
    "Bedrock, of a rate": ({"message": "Too many tokens, please wait before trying again."}, RateLimited, "Too many"),
    "xAI": ({"code": "Some resource", "error": "used all available credits"}, QuotaExceeded, "used all"),
    "of unknown shape": ({"error": {"why": ["nobody knows"]}}, UnknownProviderError, "nobody knows"),
}


async def raised(protocol: str, said: bytes, *, stream: bool) -> MelliteError:
    """The error that comes of an answer that says this."""
    content_type = ANSWERS[protocol].content_type if stream else "application/json"
    transport = ScriptedTransport([(200, {"content-type": content_type, "x-request-id": "r1"}, [said])])
    backend = LiveBackend(find(MODELS[protocol], api_key="k"), transport=transport, stream=stream)
    with pytest.raises(MelliteError) as caught:
        await backend.generate("hi")
    return caught.value


def framed(protocol: str, value: Any) -> bytes:
    """A stream that holds nothing but this value."""
    data = json.dumps(value).encode()
    if ANSWERS[protocol].content_type == SSE:
        return b"data: " + data + b"\n\n"
    assert ANSWERS[protocol].content_type == AMAZON
    return message({":message-type": "event"}, data)  # without a name, the payload is all there is


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_an_error_in_the_place_of_an_answer(protocol: str, shape: str, stream: bool) -> None:
    """It has the class that it stands for and the server's words, and says truly whether it came in a stream."""
    value, kind, words = SHAPES[shape]
    said = framed(protocol, value) if stream else json.dumps(value).encode()
    error = await raised(protocol, said, stream=stream)
    assert type(error) is kind
    assert words in str(error)
    assert ("inside the stream" in str(error)) is stream
    assert error.retryable is (kind in (RateLimited, ProviderInternal))
    assert error.request_id == "r1"


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_plain_text_in_the_place_of_an_answer(protocol: str) -> None:
    """A proxy's own words with HTTP 200, and no JSON."""
    error = await raised(protocol, b"upstream connect error or disconnect/reset before headers", stream=False)
    assert type(error) is ProviderInternal
    assert "upstream connect error" in str(error)
    error = await raised(protocol, b"hm", stream=False)
    assert type(error) is InvalidProviderOutput


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_bare_text_in_a_stream(protocol: str) -> None:
    """Transformers serve sends the text of an exception as a JSON string."""
    error = await raised(protocol, framed(protocol, "CUDA ran out of memory"), stream=True)
    assert type(error) is UnknownProviderError
    assert "CUDA ran out of memory" in str(error)


STREAMED = [protocol for protocol, spoken in ANSWERS.items() if spoken.content_type == SSE]
NO_ROOM = '{"error": {"code": 400, "message": "request (5003 tokens) exceeds the available context size"}}'
FORMLESS = [
    f"error: {NO_ROOM}\n\ndata: [DONE]\n\n",
    f"error: {NO_ROOM}\n",
    f": ping\n\n{NO_ROOM}",
    f": ping\n\n{NO_ROOM}\n\ndata: [DONE]\n\n",
    f"event: error\ndata: {NO_ROOM}\n\n",
    "event: error\ndata: prompt is too long: 5003 tokens > 4096 maximum\n\n",
    "data: prompt is too long: 5003 tokens > 4096 maximum\n\n",
]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("before", "said"),
    [*[(0, said) for said in (*FORMLESS, "The prompt is too long: 5003 tokens\n")], *[(1, said) for said in FORMLESS]],
)
@pytest.mark.parametrize("protocol", STREAMED)
async def test_an_error_without_the_form_of_an_event(protocol: str, before: int, said: str) -> None:
    """Fields called error, JSON without data, and plain words are read, whether an event came before or not."""
    begun = b"".join(ANSWERS[protocol].pieces[:before])
    error = await raised(protocol, begun + said.encode(), stream=True)
    assert type(error) is ContextOverflow
    assert "5003" in str(error)


@pytest.mark.anyio
async def test_what_is_no_error_beside_a_whole_answer_does_no_harm() -> None:
    """A line that is not a field of a stream is passed over where the answer is whole."""
    pieces = [
        *ANSWERS["openai-chat"].pieces[:-1],
        b'{"error": {"message": "late"}}\n',
        ANSWERS["openai-chat"].pieces[-1],
    ]
    backend = LiveBackend(find("openai-chat:m", api_key="k"), transport=ScriptedTransport([pieces]))
    assert await backend.generate("hi") == "Hello!"


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_the_error_of_a_choice(stream: bool) -> None:
    """OpenRouter's error of a choice is what it says, and the text before it is kept."""
    error = {"code": 429, "message": "the upstream is over its rate"}
    choice = {"index": 0, "finish_reason": "error", "error": error}
    text = {"role": "assistant", "content": "Half"}
    value = {"id": "c", "choices": [{**choice, "delta" if stream else "message": text}]}
    said = f"data: {json.dumps(value)}\n\ndata: [DONE]\n\n".encode() if stream else json.dumps(value).encode()
    got = await raised("openai-chat", said, stream=stream)
    assert type(got) is RateLimited
    assert (got.partial, got.retryable) == ("Half", True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "event",
    [
        {"type": "status", "message": "Loading"},
        {"message": "queued"},
        {"code": 200, "message": "ok"},
        {"title": "A"},
        {},
    ],
)
async def test_an_event_that_only_says_something_is_no_error(event: dict[str, Any]) -> None:
    """A message without a code may be news; the answer goes on."""
    pieces = [framed("openai-chat", event), *ANSWERS["openai-chat"].pieces]
    backend = LiveBackend(find("openai-chat:m", api_key="k"), transport=ScriptedTransport([pieces]))
    assert await backend.generate("hi") == "Hello!"


@pytest.mark.anyio
@pytest.mark.parametrize("said", [b"data: {nonsense\n\n", b"data: [1, 2]\n\n", b"data: hm\n\n"])
async def test_what_says_nothing_stays_what_it_is(said: bytes) -> None:
    """Bytes that are not JSON and no words of an error are InvalidProviderOutput."""
    assert type(await raised("openai-chat", said, stream=True)) is InvalidProviderOutput


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "body",
    [
        b'event: error\ndata: {"error": {"message": "the pool is empty", "code": 503}}\n\n',
        b'data: {"error": {"message": "the pool is empty"}}\n\ndata: [DONE]\n\n',
        b": ping\n\ndata: [DONE]\n\nevent: error\ndata: the pool is empty\n\n",
        b'error: {"message": "the pool is empty"}\n\n',
    ],
)
@pytest.mark.parametrize("protocol", ANSWERS)
async def test_an_error_body_that_is_a_stream(protocol: str, body: bytes, status: int) -> None:
    """The body of an HTTP error is read as the stream that it is."""
    transport = ScriptedTransport([(status, {"content-type": SSE}, body)])
    backend = LiveBackend(find(MODELS[protocol], api_key="k"), transport=transport)
    with pytest.raises(MelliteError, match="the pool is empty") as caught:
        await backend.generate("hi")
    assert caught.value.status == status
    assert f"HTTP {status}: the pool is empty" in str(caught.value)


@pytest.mark.anyio
async def test_an_event_of_responses_is_judged_by_its_type() -> None:
    """What an event of the protocol says by the way is not an error, whatever words are in it."""
    news = {"type": "response.limit.exceeded", "reason": "of the search", "code": "search_limit"}
    pieces = [framed("openai-responses", news), *ANSWERS["openai-responses"].pieces]
    backend = LiveBackend(find("openai:m", api_key="k"), transport=ScriptedTransport([pieces]))
    assert await backend.generate("hi") == "Hello!"
