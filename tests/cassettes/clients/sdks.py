"""The official SDKs and two frameworks, recorded through `mellite.cassettes.patch` and replayed offline.

Not collected with the other tests: `nox -s clients` installs what it needs and runs it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import groq
import openai
import pytest
from botocore.config import Config
from google import genai
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import mellite
from mellite import cassettes
from tests.providers.answers import ANSWERS
from tests.wire.server import CLOSE, LAST, Script, Server, answer, head, piece, serve

KEY = "sk-very-secret-0123456789abcdef"
RUNNER = asyncio.Runner()  # one loop for all: LangChain keeps its client
ASKED: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    with serve() as server:
        yield server


def dumped(value: Any) -> Any:
    """An object of an SDK as plain data, without what says how the answer was framed."""
    found = value.model_dump() if hasattr(value, "model_dump") else value
    if isinstance(found, dict):
        found.pop("sdk_http_response", None)
    return found


# --- the programs ---------------------------------------------------------------------------------


def openai_chat(base: str, stream: bool) -> Any:
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        found = client.chat.completions.create(model="m-1", messages=ASKED, stream=stream)
        return [dumped(each) for each in found] if stream else (dumped(found), found._request_id)


async def openai_chat_async(base: str, stream: bool) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        found = await client.chat.completions.create(model="m-1", messages=ASKED, stream=stream)
        return [dumped(each) async for each in found] if stream else (dumped(found), found._request_id)


def openai_responses(base: str, stream: bool) -> Any:
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        found = client.responses.create(model="m-1", input="Say hello.", stream=stream)
        return [dumped(each) for each in found] if stream else dumped(found)


async def openai_responses_async(base: str, stream: bool) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        found = await client.responses.create(model="m-1", input="Say hello.", stream=stream)
        return [dumped(each) async for each in found] if stream else dumped(found)


def anthropic_messages(base: str, stream: bool) -> Any:
    with anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
        found = client.messages.create(model="m-1", max_tokens=99, messages=ASKED, stream=stream)
        return [dumped(each) for each in found] if stream else dumped(found)


async def anthropic_messages_async(base: str, stream: bool) -> Any:
    async with anthropic.AsyncAnthropic(base_url=base, api_key=KEY, max_retries=0) as client:
        found = await client.messages.create(model="m-1", max_tokens=99, messages=ASKED, stream=stream)
        return [dumped(each) async for each in found] if stream else dumped(found)


def gemini(base: str, stream: bool) -> Any:
    client = genai.Client(api_key=KEY, http_options={"base_url": base})
    if stream:
        return [dumped(each) for each in client.models.generate_content_stream(model="m-1", contents="Say hello.")]
    return dumped(client.models.generate_content(model="m-1", contents="Say hello."))


async def gemini_async(base: str, stream: bool) -> Any:
    client = genai.Client(api_key=KEY, http_options={"base_url": base})
    try:
        if stream:
            found = await client.aio.models.generate_content_stream(model="m-1", contents="Say hello.")
            return [dumped(each) async for each in found]
        return dumped(await client.aio.models.generate_content(model="m-1", contents="Say hello."))
    finally:
        await client.aio.aclose()


def bedrock(base: str, stream: bool) -> Any:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=base,
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up-made-up-made-up",
        config=Config(retries={"total_max_attempts": 1}),
    )
    asked: Any = {"modelId": "m-1", "messages": [{"role": "user", "content": [{"text": "Say hello."}]}]}
    if stream:
        return list(client.converse_stream(**asked)["stream"])
    found = client.converse(**asked)
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def groq_chat(base: str, stream: bool) -> Any:
    with groq.Groq(base_url=base, api_key=KEY, max_retries=0) as client:
        found = client.chat.completions.create(model="m-1", messages=ASKED, stream=stream)
        return [dumped(each) for each in found] if stream else dumped(found)


async def pydantic_ai(base: str, stream: bool) -> Any:
    # A client of its own, to be closed: the one that pydantic-ai makes stays open.
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        agent = Agent(OpenAIChatModel("m-1", provider=OpenAIProvider(openai_client=client)))
        if stream:
            async with agent.run_stream("Say hello.") as run:
                return [text async for text in run.stream_text(delta=True, debounce_by=None)]
        return (await agent.run("Say hello.")).output


def langchain(base: str, stream: bool) -> Any:
    model = ChatOpenAI(model="m-1", base_url=f"{base}/v1", api_key=KEY, max_retries=0)
    if stream:
        return [(each.content, each.usage_metadata) for each in model.stream("Say hello.")]
    found = model.invoke("Say hello.")
    return found.content, found.usage_metadata, found.response_metadata


async def langchain_async(base: str, stream: bool) -> Any:
    model = ChatOpenAI(model="m-1", base_url=f"{base}/v1", api_key=KEY, max_retries=0)
    if stream:
        return [(each.content, each.usage_metadata) async for each in model.astream("Say hello.")]
    found = await model.ainvoke("Say hello.")
    return found.content, found.usage_metadata, found.response_metadata


PROGRAMS: dict[str, tuple[str, Callable[[str, bool], Any]]] = {
    "openai-chat": ("openai-chat", openai_chat),
    "openai-chat-async": ("openai-chat", openai_chat_async),
    "openai-responses": ("openai-responses", openai_responses),
    "openai-responses-async": ("openai-responses", openai_responses_async),
    "anthropic": ("anthropic-messages", anthropic_messages),
    "anthropic-async": ("anthropic-messages", anthropic_messages_async),
    "google": ("gemini", gemini),
    "google-async": ("gemini", gemini_async),
    "boto3": ("bedrock-converse", bedrock),
    "groq": ("openai-chat", groq_chat),
    "pydantic-ai": ("openai-chat", pydantic_ai),
    "langchain": ("openai-chat", langchain),
    "langchain-async": ("openai-chat", langchain_async),
}
"""Name -> what protocol it speaks, and the program."""


def answered(server: Server, protocol: str, stream: bool) -> Script:
    """A script that gives an answer of a protocol."""
    spoken = ANSWERS[protocol]
    also = {"x-request-id": "r-1"}
    if stream:
        headers = {"content-type": spoken.content_type, **also}
        return server.script(head(200, headers), *[piece(each) for each in spoken.pieces], LAST)
    whole = spoken.whole
    if protocol == "openai-chat":  # pydantic-ai insists on what every answer of OpenAI has
        whole = json.dumps({"object": "chat.completion", "created": 1, "id": "c-1", **json.loads(whole)}).encode()
    return server.script(answer(whole, headers={"content-type": "application/json", **also}))


def ran(program: Callable[[str, bool], Any], base: str, stream: bool) -> Any:
    """What a program gives."""
    found = program(base, stream)
    return RUNNER.run(found) if asyncio.iscoroutine(found) else found


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_objects(server: Server, tmp_path: Path, name: str, stream: bool) -> None:
    """A program gives the same without a cassette, while it is recorded, and offline."""
    protocol, program = PROGRAMS[name]
    script = answered(server, protocol, stream)
    without = ran(program, script.url, stream)
    path = tmp_path / "case.json"
    with cassettes.patch(path, mode="once", even_in_ci=True) as cassette:
        recorded = ran(program, script.url, stream)
        assert cassette.recorded == 1
    with cassettes.patch(path, mode="none") as cassette:
        replayed = ran(program, script.url, stream)
        cassette.check_used()
    assert without == recorded == replayed
    assert replayed
    assert len(script.requests(2)) == 2
    assert "very-secret" not in path.read_text()


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [
        ("openai-chat", "openai-chat:m-1", {}),
        ("anthropic", "anthropic:m-1", {"max_tokens": 99}),
        ("google", "google:m-1", {}),
        ("boto3", "bedrock:m-1", {}),
        ("openai-responses", "openai:m-1", {}),
    ],
)
def test_one_cassette_for_both(server: Server, tmp_path: Path, name: str, model: str, options: Any) -> None:
    """The cassette of an SDK answers mellite's own backend, and the other way round."""
    protocol, program = PROGRAMS[name]
    script = answered(server, protocol, stream=True)
    base = {"openai-chat": "/v1", "openai-responses": "/v1", "anthropic": "/v1", "google": "/v1beta"}.get(name, "")

    async def ours(transport: Any) -> Any:
        backend = mellite.backend(model, api_key=KEY, base_url=script.url + base, transport=transport)
        return await backend.generate("Say hello.", **options)

    path = tmp_path / "theirs.json"
    with cassettes.patch(path, mode="once", even_in_ci=True):
        theirs = ran(program, script.url, True)
    with cassettes.use(path, mode="none", match="pool") as transport:
        assert asyncio.run(ours(transport)) == "Hello!"
    path = tmp_path / "ours.json"
    with cassettes.use(path, mode="once", even_in_ci=True) as transport:
        assert asyncio.run(ours(transport)) == "Hello!"
    with cassettes.patch(path, mode="none"):
        assert ran(program, script.url, True) == theirs


def test_all_in_one_program(server: Server, tmp_path: Path) -> None:
    """Groq asks with httpx, anthropic with httpx2, boto3 with urllib3: one block records them all."""
    names = ("groq", "anthropic", "boto3", "google-async")
    scripts = {name: answered(server, PROGRAMS[name][0], stream=True) for name in names}
    found = []
    for mode in ("once", "none"):
        with cassettes.patch(tmp_path / "case.json", mode=mode, even_in_ci=True):
            found.append([ran(PROGRAMS[name][1], script.url, True) for name, script in scripts.items()])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["openai-chat", "openai-chat-async", "anthropic", "google", "boto3"])
def test_cut_but_clean(server: Server, tmp_path: Path, name: str) -> None:
    """An answer that is cut, in good order or not, ends the same way for the SDK offline."""
    protocol, program = PROGRAMS[name]
    spoken = ANSWERS[protocol]
    for number, end in enumerate((LAST, CLOSE)):
        headers = {"content-type": spoken.content_type}
        script = server.script(head(200, headers), *[piece(each) for each in spoken.pieces[:2]], end)
        found = []
        for mode in ("once", "none"):
            with cassettes.patch(tmp_path / f"{number}.json", mode=mode, even_in_ci=True):
                try:
                    found.append(ran(program, script.url, True))
                except Exception as error:
                    found.append(type(error))
        assert found[0] == found[1]
