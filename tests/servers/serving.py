"""The official SDKs against `mellite serve`: `python -m tests.servers.serving`; `nox -s serve` brings the SDKs.

Each is asked whole and streamed, sync and async, three times: by a backend that thinks, speaks and calls a tool while
all is recorded, by the recording, and by a server that refuses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import anthropic
import boto3
import cohere
import ollama
import openai
from botocore.config import Config
from google import genai
from google.genai import types as google

import mellite
from mellite.backends import Scripted
from mellite.events import Finish, TextDelta, Usage
from mellite.messages import ToolCall
from mellite.request import ToolDefinition
from mellite.server.running import RunningServer, Settings

KEY: Final = "sk-made-up"
QUESTION: Final = "What is the weather in Paris?"
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ABOUT: Final = {"name": "get_weather", "description": "Get the weather."}
TEXT: Final = "Let me see, please."
ANSWER: Final = [
    TextDelta("Let me "),
    TextDelta("see, "),
    TextDelta("please."),
    ToolCall("call_1", "get_weather", {"city": "Paris"}),
    Finish("tool-calls", usage=Usage.of(input_tokens=11, output_tokens=7)),
]


class Said(NamedTuple):
    """What an SDK made of an answer."""

    text: str
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    reason: str | None
    used: tuple[int | None, int | None]


Ask = Callable[[str, bool], Said]


def _calls(found: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple([(name, json.loads(given) if isinstance(given, str) else dict(given or {})) for name, given in found])


async def _all(stream: Any) -> list[Any]:
    return [each async for each in stream]


# --- OpenAI ---------------------------------------------------------------------------------------

CHAT: Final[dict[str, Any]] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": QUESTION}],
    "tools": [{"type": "function", "function": {**ABOUT, "parameters": SCHEMA}}],
}
STREAMED: Final[dict[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}


def _chat_streamed(chunks: list[Any]) -> Said:
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    pieces = [call for each in deltas for call in each.delta.tool_calls or ()]
    name = next(call.function.name for call in pieces if call.function.name)
    raw = "".join([call.function.arguments or "" for call in pieces])
    usage = chunks[-1].usage
    return Said(
        "".join([each.delta.content or "" for each in deltas]),
        _calls([(name, raw)]),
        deltas[-1].finish_reason,
        (usage.prompt_tokens, usage.completion_tokens),
    )


def _chat_whole(answer: Any) -> Said:
    choice, usage = answer.choices[0], answer.usage
    calls = _calls((call.function.name, call.function.arguments) for call in choice.message.tool_calls or ())
    return Said(choice.message.content, calls, choice.finish_reason, (usage.prompt_tokens, usage.completion_tokens))


def chat(url: str, stream: bool) -> Said:
    """OpenAI's SDK, Chat Completions."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        if stream:
            return _chat_streamed(list(client.chat.completions.create(**CHAT, **STREAMED)))
        return _chat_whole(client.chat.completions.create(**CHAT))


def chat_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            if stream:
                return _chat_streamed(await _all(await client.chat.completions.create(**CHAT, **STREAMED)))
            return _chat_whole(await client.chat.completions.create(**CHAT))

    return asyncio.run(ask())


RESPONSES: Final[dict[str, Any]] = {
    "model": "gpt-4o",
    "input": QUESTION,
    "tools": [{"type": "function", **ABOUT, "parameters": SCHEMA, "strict": False}],
}


def _response(answer: Any) -> Said:
    calls = _calls((item.name, item.arguments) for item in answer.output if item.type == "function_call")
    return Said(answer.output_text, calls, answer.status, (answer.usage.input_tokens, answer.usage.output_tokens))


def responses(url: str, stream: bool) -> Said:
    """OpenAI's SDK, Responses, with its helper for streams."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        if stream:
            with client.responses.stream(**RESPONSES) as events:
                return _response(events.get_final_response())
        return _response(client.responses.create(**RESPONSES))


def responses_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            if stream:
                async with client.responses.stream(**RESPONSES) as events:
                    return _response(await events.get_final_response())
            return _response(await client.responses.create(**RESPONSES))

    return asyncio.run(ask())


# --- Anthropic ------------------------------------------------------------------------------------

MESSAGES: Final[dict[str, Any]] = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": QUESTION}],
    "tools": [{**ABOUT, "input_schema": SCHEMA}],
}


def _message(answer: Any) -> Said:
    text = "".join([block.text for block in answer.content if block.type == "text"])
    calls = _calls((block.name, block.input) for block in answer.content if block.type == "tool_use")
    return Said(text, calls, answer.stop_reason, (answer.usage.input_tokens, answer.usage.output_tokens))


def messages(url: str, stream: bool) -> Said:
    """Anthropic's SDK, with its helper for streams."""
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        if stream:
            with client.messages.stream(**MESSAGES) as events:
                return _message(events.get_final_message())
        return _message(client.messages.create(**MESSAGES))


def messages_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            if stream:
                async with client.messages.stream(**MESSAGES) as events:
                    return _message(await events.get_final_message())
            return _message(await client.messages.create(**MESSAGES))

    return asyncio.run(ask())


# --- Google ---------------------------------------------------------------------------------------


def _google(url: str) -> genai.Client:
    return genai.Client(api_key=KEY, http_options=google.HttpOptions(base_url=url))


def _asked_google() -> dict[str, Any]:
    function = google.FunctionDeclaration(**ABOUT, parameters=google.Schema.model_validate(SCHEMA))
    config = google.GenerateContentConfig(tools=[google.Tool(function_declarations=[function])])
    return {"model": "gemini-2.5-flash", "contents": QUESTION, "config": config}


def _google_said(answers: list[Any]) -> Said:
    parts = [part for each in answers for part in each.candidates[0].content.parts or ()]
    usage, reason = answers[-1].usage_metadata, answers[-1].candidates[0].finish_reason
    calls = _calls((part.function_call.name, part.function_call.args) for part in parts if part.function_call)
    text = "".join([part.text or "" for part in parts])
    return Said(text, calls, reason.name, (usage.prompt_token_count, usage.candidates_token_count))


def gemini(url: str, stream: bool) -> Said:
    """Google's SDK."""
    client = _google(url)  # it closes its connections when it is dropped
    if stream:
        return _google_said(list(client.models.generate_content_stream(**_asked_google())))
    return _google_said([client.models.generate_content(**_asked_google())])


def gemini_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        client = _google(url)
        try:
            if stream:
                return _google_said(await _all(await client.aio.models.generate_content_stream(**_asked_google())))
            return _google_said([await client.aio.models.generate_content(**_asked_google())])
        finally:
            await client.aio.aclose()

    return asyncio.run(ask())


# --- Amazon ---------------------------------------------------------------------------------------

CONVERSE: Final[dict[str, Any]] = {
    "modelId": "us.amazon.nova-micro-v1:0",
    "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
    "toolConfig": {"tools": [{"toolSpec": {**ABOUT, "inputSchema": {"json": SCHEMA}}}]},
}


def converse(url: str, stream: bool) -> Said:
    """Amazon's SDK."""
    config = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", "region_name": "us-east-1"}
    client = boto3.client("bedrock-runtime", endpoint_url=url, config=config, **keys)
    if not stream:
        answer = client.converse(**CONVERSE)
        blocks = answer["output"]["message"]["content"]
        text = "".join([block.get("text", "") for block in blocks])
        calls = _calls((use["name"], use["input"]) for block in blocks if (use := block.get("toolUse")))
        used = answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]
        return Said(text, calls, answer["stopReason"], used)
    events = list(client.converse_stream(**CONVERSE)["stream"])
    deltas = [each["contentBlockDelta"]["delta"] for each in events if "contentBlockDelta" in each]
    raw = "".join([delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta])
    name = next(each["contentBlockStart"]["start"]["toolUse"]["name"] for each in events if "contentBlockStart" in each)
    reason = next(each["messageStop"]["stopReason"] for each in events if "messageStop" in each)
    usage = next(each["metadata"]["usage"] for each in events if "metadata" in each)
    text = "".join([delta.get("text", "") for delta in deltas])
    return Said(text, _calls([(name, raw)]), reason, (usage["inputTokens"], usage["outputTokens"]))


# --- Cohere and Ollama ----------------------------------------------------------------------------

COHERE: Final[dict[str, Any]] = {
    "model": "command-a-03-2025",
    "messages": [{"role": "user", "content": QUESTION}],
    "tools": [{"type": "function", "function": {**ABOUT, "parameters": SCHEMA}}],
}


def _cohere_whole(answer: Any) -> Said:
    text = "".join([part.text for part in answer.message.content or () if part.type == "text"])
    calls = _calls((call.function.name, call.function.arguments) for call in answer.message.tool_calls or ())
    tokens = answer.usage.tokens
    return Said(text, calls, str(answer.finish_reason), (int(tokens.input_tokens), int(tokens.output_tokens)))


def _cohere_streamed(events: list[Any]) -> Said:
    text = "".join([each.delta.message.content.text for each in events if each.type == "content-delta"])
    name = next(each.delta.message.tool_calls.function.name for each in events if each.type == "tool-call-start")
    deltas = [each.delta.message.tool_calls.function.arguments for each in events if each.type == "tool-call-delta"]
    end = events[-1].delta
    tokens = end.usage.tokens
    used = int(tokens.input_tokens), int(tokens.output_tokens)
    return Said(text, _calls([(name, "".join(deltas))]), str(end.finish_reason), used)


def cohere_chat(url: str, stream: bool) -> Said:
    """Cohere's SDK."""
    client = cohere.ClientV2(api_key=KEY, base_url=url)
    return _cohere_streamed(list(client.chat_stream(**COHERE))) if stream else _cohere_whole(client.chat(**COHERE))


def cohere_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        client = cohere.AsyncClientV2(api_key=KEY, base_url=url)
        if stream:
            return _cohere_streamed(await _all(client.chat_stream(**COHERE)))
        return _cohere_whole(await client.chat(**COHERE))

    return asyncio.run(ask())


OLLAMA: Final[dict[str, Any]] = {**COHERE, "model": "llama3.2"}


def _ollama_said(parts: list[Any]) -> Said:
    text = "".join([part.message.content or "" for part in parts])
    calls = _calls(
        (call.function.name, call.function.arguments) for part in parts for call in part.message.tool_calls or ()
    )
    return Said(text, calls, parts[-1].done_reason, (parts[-1].prompt_eval_count, parts[-1].eval_count))


def ollama_chat(url: str, stream: bool) -> Said:
    """Ollama's SDK."""
    client = ollama.Client(host=url)
    return _ollama_said(list(client.chat(**OLLAMA, stream=True)) if stream else [client.chat(**OLLAMA)])


def ollama_async(url: str, stream: bool) -> Said:
    """The same, async."""

    async def ask() -> Said:
        client = ollama.AsyncClient(host=url)
        if stream:
            return _ollama_said(await _all(await client.chat(**OLLAMA, stream=True)))
        return _ollama_said([await client.chat(**OLLAMA)])

    return asyncio.run(ask())


#: Who asks -> how, and the word for the end of an answer that asks for a tool.
SDKS: Final[dict[str, tuple[Ask, str]]] = {
    "openai, chat": (chat, "tool_calls"),
    "openai, chat, async": (chat_async, "tool_calls"),
    "openai, responses": (responses, "completed"),
    "openai, responses, async": (responses_async, "completed"),
    "anthropic": (messages, "tool_use"),
    "anthropic, async": (messages_async, "tool_use"),
    "google-genai": (gemini, "STOP"),
    "google-genai, async": (gemini_async, "STOP"),
    "boto3": (converse, "tool_use"),
    "cohere": (cohere_chat, "TOOL_CALL"),
    "cohere, async": (cohere_async, "TOOL_CALL"),
    "ollama": (ollama_chat, "stop"),
    "ollama, async": (ollama_async, "stop"),
}


def troubles(name: str, folder: Path, *, stream: bool) -> list[str]:
    """What is wrong with what one SDK reads."""
    ask, reason = SDKS[name]
    expected = Said(TEXT, (("get_weather", {"city": "Paris"}),), reason, (11, 7))
    file = folder / f"{name}-{stream}.json"
    found: list[str] = []
    with RunningServer(Settings(source=Scripted([ANSWER]), record=file, even_in_ci=True)) as server:
        live = ask(server.url, stream)
    if live != expected:
        found.append(f"from a backend: {live}")
    with RunningServer(Settings(source=file)) as server:
        again = ask(server.url, stream)
    if again != live:
        found.append(f"from the recording: {again}")
    with RunningServer(Settings(source="fake:echo", faults=["429:1"])) as server:
        try:
            found.append(f"not refused: {ask(server.url, stream)}")
        except Exception as error:  # each SDK has errors of its own
            code = next((getattr(error, each) for each in ("status_code", "code") if hasattr(error, each)), None)
            if code is None and "ThrottlingException" in str(error):
                code = 429
            if code != 429:
                found.append(f"refused with {error!r}")
    return found


#: What is asked of a backend of mellite's as the SDKs ask it, by the name of the SDK; the tool is the same.
OURS: Final = {
    "openai, chat": "openai-chat:gpt-4o",
    "openai, responses": "openai:gpt-4o",
    "anthropic": "anthropic:claude-opus-4-8",
    "google-genai": "google:gemini-2.5-flash",
    "boto3": "bedrock:us.amazon.nova-micro-v1:0",
    "cohere": "cohere:command-a-03-2025",
}
_BEHIND: Final = {"boto3": "", "cohere": "/v2", "google-genai": "/v1beta"}


def shared(name: str, folder: Path, *, stream: bool) -> list[str]:
    """What is wrong where one cassette answers a backend of mellite's and an SDK, whoever has recorded it."""
    tool = ToolDefinition("get_weather", "Get the weather.", input_schema=SCHEMA)
    options: dict[str, Any] = {"max_tokens": 100} if name == "anthropic" else {}

    def ours(url: str) -> tuple[str | None, int]:
        base = f"{url}{_BEHIND.get(name, '/v1')}"
        backend = mellite.backend(OURS[name], api_key=KEY, base_url=base, retries=0)
        thunk = backend.generate(QUESTION, tools=[tool], stream=stream, **options)
        thunk.result()
        return thunk.partial, len(thunk.tool_calls)

    def theirs(url: str) -> tuple[str | None, int]:
        said = SDKS[name][0](url, stream)
        return said.text, len(said.calls)

    found: list[str] = []
    for who, (first, second) in {"mellite's": (ours, theirs), "the SDK's": (theirs, ours)}.items():
        file = folder / f"shared-{name}-{stream}-{who[:3]}.json"
        with RunningServer(Settings(source=Scripted([ANSWER]), record=file, even_in_ci=True)) as server:
            recorded = first(server.url)
        with RunningServer(Settings(source=file)) as server:
            try:
                again = second(server.url)
            except Exception as error:  # each SDK has errors of its own
                found.append(f"{who} recording did not answer the other: {error}")
                continue
        if recorded != again:
            found.append(f"{who} recording gave the other {again}, not {recorded}")
    return found


def retried() -> list[str]:
    """What is wrong where faults are drawn for half of the requests, and the SDKs try again."""
    asked = 8
    clients: dict[str, Callable[[str], str | None]] = {
        "openai": lambda url: (
            openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=9)
            .chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
            .choices[0]
            .message.content
        ),
        "anthropic": lambda url: getattr(
            anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=9)
            .messages.create(model="m", max_tokens=99, messages=[{"role": "user", "content": QUESTION}])
            .content[0],
            "text",
            None,
        ),
    }
    found: list[str] = []
    for name, ask in clients.items():
        with RunningServer(
            Settings(source="fake:echo", faults=["429:0.25", "503:0.25", "reset:0.1"], seed=3)
        ) as server:
            said = [ask(server.url) for _ in range(asked)]
            statuses = [request.status for request in server.requests]
        if said != [QUESTION] * asked or statuses.count(200) < asked or len(statuses) == asked:
            found.append(f"{name}: {said} after {statuses}")
    return found


def main() -> int:
    """Ask with every SDK; print what is wrong, and return how much that is."""
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY"):
        os.environ.pop(name, None)
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in SDKS:
            for stream in (False, True):
                found = troubles(name, Path(folder), stream=stream)
                found += shared(name, Path(folder), stream=stream) if name in OURS else []
                count += len(found)
                print(f"{name}, {'streamed' if stream else 'whole'}: {'; '.join(found) or 'as it should be'}")
    found = retried()
    print(f"faults that are tried again: {'; '.join(found) or 'as it should be'}")
    return count + len(found)


if __name__ == "__main__":
    sys.exit(main())
