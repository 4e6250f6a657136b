"""Answers with another status than 200: the URL that was asked, what is usually wrong with it, and the request's id."""

from __future__ import annotations

import socket
import ssl
from contextlib import aclosing

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    MelliteError,
    RateLimited,
    TransportError,
    UnknownProviderError,
)
from mellite.providers.catalog import find
from mellite.wire.transports.aiohttp import AiohttpTransport
from tests.wire.answers import KEY, shown
from tests.wire.sockets import hang_up, talking
from tests.wire.transports.support import post

CHAT, RESPONSES = "openai-chat:m", "openai:m"
NO_MODEL = '{"error": {"message": "model \'m\' not found, try pulling it first"}}'


async def refused(spec: str, base_url: str, status: int = 404, body: str = "Not Found", **headers: str) -> MelliteError:
    """The error that comes of one refusal."""
    transport = ScriptedTransport([(status, headers, body)])
    with pytest.raises(MelliteError) as caught:
        await LiveBackend(find(spec, api_key=KEY, base_url=base_url), transport=transport).generate("hi")
    assert KEY not in shown(caught.value)
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("spec", "base_url", "url", "advice"),
    [
        (CHAT, "http://localhost:8000", "http://localhost:8000/chat/completions", "want '/v1' at the end"),
        (CHAT, "http://localhost:8000/v1/v1", "/v1/v1/chat/completions", "leave one '/v1' out"),
        (CHAT, "http://localhost:8000/v1/chat/completions", "/completions/chat", "leave '/chat/completions' out"),
        (RESPONSES, "http://localhost:8000/v1/responses", "/responses/responses", "leave '/responses' out"),
        (RESPONSES, "http://localhost:8000/v1", "http://localhost:8000/v1/responses", "with 'openai-chat:'"),
        ("xai:m", "http://localhost:8000/v1", "http://localhost:8000/v1/responses", "with 'xai-chat:'"),
        ("anthropic:m", "http://localhost:8000/v1/v1", "/v1/v1/messages", "leave one '/v1' out"),
    ],
)  # fmt: skip
async def test_a_404_names_the_url_and_what_is_usually_wrong(spec: str, base_url: str, url: str, advice: str) -> None:
    """The URL that was asked is said, and the mistake in it that people make."""
    error = await refused(spec, base_url)
    assert isinstance(error, InvalidRequest)
    assert "HTTP 404: Not Found; the URL was http://localhost:8000" in str(error)
    assert url in str(error)
    assert advice in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize("spec", [CHAT, RESPONSES, "google:m"])
async def test_a_404_about_the_model_gives_no_other_advice(spec: str) -> None:
    """Where the server says that it has no such model, the URL is right."""
    error = await refused(spec, "http://localhost:11434/v1", body=NO_MODEL)
    assert "try pulling it first; the URL was http://localhost:11434/v1" in str(error)
    assert "base URL" not in str(error)
    assert "openai-chat" not in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "phrase"), [(304, "Not Modified"), (300, "Multiple Choices"), (399, "HTTP 399")])
async def test_what_is_no_redirect_is_not_called_one(status: int, phrase: str) -> None:
    """HTTP 304 sends nobody elsewhere: it is said what it is, and who may have said it."""
    error = await refused(CHAT, "http://localhost:8000/v1", status)
    assert isinstance(error, UnknownProviderError)
    assert phrase in str(error)
    assert "elsewhere" not in str(error)
    assert "http://localhost:8000/v1/chat/completions" in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_says_where_to(status: int) -> None:
    """A server that sends the request elsewhere is not followed, and its target is shown."""
    error = await refused(CHAT, "http://localhost:8000/v1", status, location="https://example.com/v2")
    assert "elsewhere" in str(error)
    assert "https://example.com/v2" in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name",
    [
        "x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-ms-request-id", "cf-ray",
        "cf-aig-log-id", "x-litellm-call-id", "llm_provider-x-request-id", "llm_provider-request-id",
        "llm_provider-apim-request-id", "llm_provider-cf-ray", "mistral-correlation-id", "x-ds-trace-id",
    ],
)  # fmt: skip
async def test_the_id_of_the_request(name: str) -> None:
    """It is found under each company's name for it, on answers and on errors, and its header is kept."""
    body = '{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
    answers = [(200, {name: "r-1"}, body), (500, {name: "r-2", "content-type": "text/plain"}, "no")]
    backend = LiveBackend(find(CHAT, api_key=KEY), transport=ScriptedTransport(answers))
    thunk = backend.generate("hi")
    await thunk
    assert thunk.generation.request_id == "r-1"
    assert thunk.raw.headers[name] == "r-1"
    with pytest.raises(MelliteError) as caught:
        await backend.generate("hi")
    assert caught.value.request_id == "r-2"


@pytest.mark.anyio
async def test_whose_id_of_the_request() -> None:
    """The id of the server that was asked comes before that of a server behind it, and before one in the body."""
    headers = {"llm_provider-x-request-id": "behind", "x-litellm-call-id": "asked"}
    said = '{"error": {"message": "x"}, "request_id": "said"}'
    answers = [(400, headers, said), (400, {}, said)]
    backend = LiveBackend(find(CHAT, api_key=KEY), transport=ScriptedTransport(answers))
    found = []
    for _ in answers:
        with pytest.raises(MelliteError) as caught:
            await backend.generate("hi")
        found.append(caught.value.request_id)
    assert found == ["asked", "said"]


@pytest.mark.anyio
async def test_limits_of_the_provider_behind_a_proxy() -> None:
    """How long to wait, and what the limits are, is read where LiteLLM puts the provider's headers."""
    behind = {"retry-after": "7", "x-ratelimit-limit-requests": "60"}
    error = await refused(CHAT, "http://localhost/v1", 429, **{f"llm_provider-{k}": v for k, v in behind.items()})
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7
    assert error.rate_limits == {"requests": {"limit": "60"}}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_nobody_foresaw_keeps_its_text_and_its_cause() -> None:
    """An exception of an unknown kind is told with its words, and is the cause, without what may hold the key."""
    no_context: ssl.SSLContext = "nonsense"  # type: ignore[assignment] - a mistake that the HTTP client notices
    async with aclosing(AiohttpTransport(ssl_context=no_context)) as transport:
        with pytest.raises(TransportError, match=r"unforeseen way: \w+: .*nonsense") as caught:
            await transport.open(post("https://127.0.0.1:9/v1"), timeout=5)
    cause = caught.value.__cause__
    assert cause is not None
    assert str(cause) in str(caught.value)
    assert cause.__traceback__ is None
    assert KEY not in shown(caught.value)


@pytest.mark.anyio
async def test_a_websocket_that_breaks_is_told_in_our_own_words() -> None:
    """Neither a refused connection nor one that is hung up is told in the words of a library."""
    with talking([[[hang_up]]]) as server:
        gone = find("openai-websocket:m", api_key=KEY, base_url=server.url)
        async with LiveBackend(gone) as backend:
            with pytest.raises(ConnectionLost) as lost:
                await backend.generate("hi")
    assert "the server closed it" in str(lost.value) or "it ended without saying so" in str(lost.value)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody = find("openai-websocket:m", api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1")
    async with LiveBackend(nobody) as backend:
        with pytest.raises(ConnectError, match="no connection: Connection refused"):
            await backend.generate("hi")
