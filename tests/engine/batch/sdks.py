"""Lines of batches held against the types of the official SDKs, and the local services against them; `nox -s batch`.

The types are those of the SDKs that the session pins. A request that mellite writes has to fit them, with no key that
they do not know; so has each answer of the services that the tests of this folder ask, so that these are what they
stand for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from anthropic.types.messages.batch_create_params import Request as AnthropicRequest
from google.genai import types as google
from mistralai.client import models as mistral
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

import mellite
from mellite import engine
from mellite.engine import batch
from tests.engine.batch.service import services
from tests.engine.batch.test_services import backend_at

pytestmark = pytest.mark.anyio


@attrs.frozen
class River:
    """What is asked for."""

    name: str
    kilometres: float | None = None


@mellite.tool
def length_of(river: str) -> float:
    """Look up how long a river is.

    Args:
        river: its name.
    """
    return float(len(river))


def requests(backend: Any) -> Iterator[Any]:
    """Requests of many kinds."""
    yield backend.generate("größe \n \U0001f30a", max_tokens=50)
    yield backend.generate("Describe it.", system="Be brief.", max_tokens=50)
    yield backend.generate("How long is it?", tools=[length_of], max_tokens=50)
    yield backend.generate("A river.", output=River, max_tokens=50)
    if backend.route.protocol.id == "openai-responses":
        return  # its types want what the API does not: an id of each earlier answer, a detail of each image
    yield backend.generate([("user", "Hello."), ("assistant", "Hi."), ("user", "A river?")], max_tokens=50)
    image = mellite.Image(b"\x89PNG\r\n\x1a\n", media_type="image/png")
    yield backend.generate(["What is this?", image], max_tokens=50)


async def lines_of(kind: str, path: Any) -> list[dict[str, Any]]:
    """The lines that are sent."""
    with services(path) as served:
        backend = backend_at(kind, served.url)
        await batch.submit(requests(backend), journal=path / "runs")
        await backend.aclose()
    files = sorted((path / "runs" / "batches").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def known(value: dict[str, Any], kind: Any) -> None:
    """Hold an object against a TypedDict: the types of its values, and no key that it does not have."""
    assert value.keys() <= kind.__annotations__.keys(), value.keys() - kind.__annotations__.keys()
    TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "url", "body"),
    [
        ("openai", "/v1/responses", ResponseCreateParamsNonStreaming),
        ("openai-chat", "/v1/chat/completions", CompletionCreateParamsNonStreaming),
        ("azure", "/v1/responses", ResponseCreateParamsNonStreaming),
        ("azure-chat", "/v1/chat/completions", CompletionCreateParamsNonStreaming),
    ],
)
async def test_lines_of_openai(kind, url, body, tmp_path):
    """A line has a method and a URL, and its body is what the SDK would send without a stream."""
    lines = await lines_of(kind, tmp_path)
    assert len(lines) == (6 if kind.endswith("-chat") else 4)
    for line in lines:
        assert {name: value for name, value in line.items() if name not in ("custom_id", "body")} == {
            "method": "POST",
            "url": url,
        }
        known(line["body"], body)


async def test_lines_of_anthropic(tmp_path):
    """A request is one of the SDK's, whose parameters are those of a message without a stream."""
    lines = await lines_of("anthropic", tmp_path)
    assert len(lines) == 6
    for line in lines:
        known(line, AnthropicRequest)
        known(line["params"], MessageCreateParamsNonStreaming)


async def test_lines_of_google(tmp_path):
    """Each part of a request is one of the SDK's own, under the names of the REST API."""
    parts = {
        "contents": list[google.Content],
        "systemInstruction": google.Content,
        "generationConfig": google.GenerationConfig,
        "tools": list[google.Tool],
        "toolConfig": google.ToolConfig,
    }
    lines = await lines_of("google", tmp_path)
    assert len(lines) == 6
    for line in lines:
        assert line.keys() == {"key", "request"}
        assert line["request"].keys() <= parts.keys(), line["request"].keys() - parts.keys()
        for name, value in line["request"].items():
            TypeAdapter(parts[name]).validate_json(json.dumps(value))


async def test_lines_of_mistral(tmp_path):
    """A line is a request of the SDK's, whose body is one of a chat, without the model that the job names."""
    lines = await lines_of("mistral", tmp_path)
    assert len(lines) == 6
    for line in lines:
        mistral.BatchRequest.model_validate_json(json.dumps(line))
        fields = {field.alias or name for name, field in mistral.ChatCompletionRequest.model_fields.items()}
        assert line["body"].keys() <= fields, line["body"].keys() - fields
        mistral.ChatCompletionRequest.model_validate_json(json.dumps({"model": "m", **line["body"]}))


class Overheard(mellite.cassettes.ScriptedTransport):
    """Passes on to another transport, and keeps each answer."""

    def __init__(self, inner: Any) -> None:
        super().__init__([])
        self.inner, self.heard = inner, []

    async def open(self, request, *, timeout=None):
        """Pass on, and read all of the answer first."""
        response = await self.inner.open(request, timeout=timeout)
        body = b""
        while piece := await response.read():
            body += piece
        await response.aclose()
        self.heard.append((request.method, request.url, body))
        given = [(response.status, response.headers, body)]
        return await mellite.cassettes.ScriptedTransport(given).open(request, timeout=timeout)


async def heard(kind: str, path: Any) -> list[tuple[str, str, bytes]]:
    """What the local services answer to a batch of all kinds."""
    from mellite.wire.transports.default import default_transport

    with services(path) as served:
        overheard = Overheard(default_transport())
        route = backend_at(kind, served.url).route
        backend = mellite.backends.LiveBackend(route, transport=overheard)
        words = ("good", "refuse", "expire")
        await engine.map([backend.generate(word, max_tokens=9) for word in words], on="batch", progress=False)
        await overheard.inner.aclose()
    return overheard.heard


def lines_in(body: bytes) -> list[dict[str, Any]]:
    """The lines of results."""
    return [json.loads(line) for line in body.splitlines()]


async def test_the_local_service_is_like_openais(tmp_path):
    """Files, batches and answers are what the SDK reads."""
    answers = await heard("openai", tmp_path)
    for _, url, body in answers:
        if url.endswith("/content"):
            for line in lines_in(body):
                assert line.keys() == {"id", "custom_id", "response", "error"}
                if (line["response"] or {}).get("status_code") == 200:
                    Response.model_validate_json(json.dumps(line["response"]["body"]), strict=False)
        else:
            (FileObject if url.endswith("/files") else Batch).model_validate_json(body)
    chat = await heard("openai-chat", tmp_path)
    results = [line for _, url, body in chat if url.endswith("/content") for line in lines_in(body)]
    good = [line["response"]["body"] for line in results if (line["response"] or {}).get("status_code") == 200]
    assert [ChatCompletion.model_validate(each).choices[0].message.content for each in good] == ["doog"]


async def test_the_local_service_is_like_anthropics(tmp_path):
    """Batches and results are what the SDK reads."""
    kinds = set()
    for _, url, body in await heard("anthropic", tmp_path):
        if url.endswith("/results"):
            kinds |= {MessageBatchIndividualResponse.model_validate(line).result.type for line in lines_in(body)}
        else:
            MessageBatch.model_validate_json(body)
    assert kinds == {"succeeded", "errored", "expired"}


async def test_the_local_service_is_like_mistrals(tmp_path):
    """Jobs are what the SDK reads."""
    jobs = [body for _, url, body in await heard("mistral", tmp_path) if "/batch/jobs" in url]
    assert {mistral.BatchJob.model_validate_json(body).status for body in jobs} == {"RUNNING", "SUCCESS"}


async def test_the_local_service_is_like_googles(tmp_path):
    """Answers and states of an operation are what the SDK knows."""
    for _, url, body in await heard("google", tmp_path):
        if ":download" in url:
            for line in lines_in(body):
                if "response" in line:
                    google.GenerateContentResponse.model_validate_json(json.dumps(line["response"]))
        elif "/batches/" in url:
            state = json.loads(body)["metadata"]["state"].replace("BATCH_", "JOB_")
            assert state in google.JobState.__members__
