"""Make the pickles of this folder: one of everything that a user may have kept, in protocols 2 to 5.

    python tests/pickles/make.py

Run it with the version whose pickles are to be kept (put a checkout of that version first on PYTHONPATH). Those that
lie here were made by the last version before the modules of mellite moved into rooms; nobody can make them again with
a later one, and none of them may be left out when files are added.

Beside each ``KIND.pickle.xz``, which holds the pickles of one kind in protocols 2 to 5, one after the other, lies
``KIND.json``: what was in the objects then, as `facts` tells it.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import os
import pickle
import re
import struct
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from facts import KEYS, PROTOCOLS, facts  # noqa: E402 - it lies beside this file

os.environ.update(KEYS)

import mellite  # noqa: E402 - the environment comes first
from mellite import (  # noqa: E402
    Message,
    backends,
    cassettes,
    chunk,
    errors,
    events,
    messages,
    request as requests,
    requirements,
    sampling,
    streaming,
)
from mellite.cassettes import ScriptedTransport  # noqa: E402
from mellite.providers.catalog import find, names  # noqa: E402

Objects = dict[str, Any]

# --- values ---------------------------------------------------------------------------------------


def messages_made() -> Objects:
    """Messages with every kind of part."""
    hint = messages.CacheHint("persistent", ttl_seconds=300)
    call = messages.ToolCall("call_1", "weather", {"city": "Rome"}, cache=hint, provider_metadata={"openai": {"a": 1}})
    content = messages.ToolValue("content", [messages.Text("seen"), messages.Image(b"\x89PNG", media_type="image/png")])
    return {
        "system": Message.system("Be brief."),
        "user": Message.user(
            messages.Text("Look.", cache=hint),
            messages.Image(b"\x89PNG", media_type="image/png"),
            messages.Image(url="https://example.com/cat.png"),
            messages.Document(b"%PDF-1.7", media_type="application/pdf", filename="a.pdf"),
            messages.Audio(b"RIFF", media_type="audio/wav"),
            messages.Video(url="https://example.com/a.mp4"),
        ),
        "assistant": Message(
            "assistant",
            [
                messages.Reasoning("Hm.", encrypted="abc", provider_metadata={"anthropic": {"signature": "s"}}),
                "Yes.",
                call,
            ],
            id="msg_1",
            metadata={"seen": True},
            native={"openai": {"x": [1]}},
        ),
        "tool": Message.tool(
            messages.ToolResult("call_1", "weather", {"sky": "blue"}),
            messages.ToolResult("call_2", "camera", content),
            messages.ToolResult("call_3", "clock", messages.ToolValue("error", "broken")),
        ),
    }


def requests_made() -> Objects:
    """A request with everything in it, and what is in it alone."""
    timeouts = mellite.Timeouts(first_byte=1, idle=None, total=9.5)
    tool = mellite.ToolDefinition(
        "weather",
        "The weather in a city.",
        input_schema={"type": "object", "properties": {"city": {"type": "string"}}},
        strict=True,
        cache=messages.CacheHint(),
    )
    return {
        "request": mellite.Request.of(
            [Message.user("Hello."), Message.assistant("Hi."), Message.user("And now?")],
            model="gpt-4o",
            system="Be brief.",
            tools=[tool],
            tool_choice="weather",
            http=mellite.HttpOptions(body={"a": 1}, headers={"x-a": "b"}, query={"q": "1"}),
            provider_options={"openai": {"store": False}},
            cache=mellite.CachePolicy(system=True, messages=2, ttl_seconds=60),
            temperature=0.5,
            max_tokens=100,
            stop=["\n"],
            timeouts=timeouts,
        ),
        "empty request": mellite.Request.of("Hello."),
        "options": mellite.Options(temperature=0.0, seed=7, reasoning_effort="low", drop_unsupported=True),
        "timeouts": timeouts,
        "tool": tool,
        "tool choice": mellite.ToolChoice("tool", "weather"),
        "cache policy": mellite.CachePolicy(tools=True),
        "http options": mellite.HttpOptions(headers={"x-a": "b"}),
        "empty mapping": mellite.HttpOptions().body,
    }


def classes_made() -> Objects:
    """Every public class and function of the pages that users import from, by reference."""
    pages = [mellite, errors, events, messages, requirements, sampling, streaming, cassettes, backends]
    made = {}
    for page in [*pages, requests]:
        for name in page.__all__:
            thing = getattr(page, name)
            if isinstance(thing, type) or type(thing).__name__ == "function":
                made[f"{page.__name__}.{name}"] = thing
    return made


def records_made() -> Objects:
    """What is known about a generation."""
    usage = mellite.Usage(input_tokens=3, output_tokens=4, total_tokens=7, cache_read_input_tokens=1, raw={"a": 1})
    date = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = mellite.RawProviderResponse
    return {
        "usage": usage,
        "metadata": mellite.GenerationMetadata(
            generation_id="g1",
            model="gpt-4o-mini",
            provider="openai",
            response_model="gpt-4o-mini-2024-07-18",
            finish_reason="stop",
            usage=usage,
            started_at=date,
            ttfb_ms=1.5,
            attempts=2,
            repairs=("put in order",),
        ),
        "metadata with a cost": mellite.GenerationMetadata(cost_usd=Decimal("0.25")),
        "raw": found(provider="own", response={"a": [1]}, status=200, headers={"x": "y"}, request_body={"m": 1}),
        "log": mellite.GenerateLog(
            date=date, prompt=(Message.user("a"),), backend="b", model_options={"seed": 1}, extra={"k": "v"}
        ),
    }


def events_made() -> Objects:
    """One of each event."""
    usage = mellite.Usage(input_tokens=1, output_tokens=2)
    found = {"anthropic": {"signature": "s"}}
    made = [
        events.ResponseStart(provider="openai", model="m", status=200, headers={"a": "b"}, repairs=("x",)),
        events.StepStart(1),
        events.TextStart("t", provider_metadata=found),
        events.TextDelta("Hi", "t"),
        events.TextEnd("t"),
        events.ReasoningStart("r"),
        events.ReasoningDelta("Hm", "r"),
        events.ReasoningEnd("r", provider_metadata=found),
        events.ToolInputStart("c", "weather"),
        events.ToolInputDelta("c", "weather", '{"a"'),
        events.ToolInputEnd("c", "weather", provider_executed=True),
        events.ToolInputError("c", "weather", raw="{"),
        events.ToolCallEvent(messages.ToolCall("c", "weather", {"a": 1})),
        events.ToolResultEvent(messages.ToolResult("c", "weather", "sunny")),
        events.ToolErrorEvent("c", "weather", message="no", error=errors.ToolFailure("no")),
        events.StepFinish(1, reason="tool-calls", usage=usage),
        events.RawChunk(b'{"a": 1}'),
        events.Finish("stop", raw_reason="end_turn", usage=usage, response={"id": 1}, refusal="no"),
    ]
    return {type(event).__name__: event for event in made}


SAID: Mapping[str, Mapping[str, Any]] = {
    "AuthenticationError": {"kind": "expired"},
    "CassetteMiss": {"path": "a.json"},
    "ConnectionLost": {"partial": "so f"},
    "GenerationCancelled": {"reason": "time is up"},
    "InvalidCassette": {"path": "a.json", "offset": 12},
    "InvalidRequest": {"parameter": "n"},
    "RateLimited": {"retry_after": 2.5, "status": 429, "provider": "openai", "request_id": "req_1"},
    "SamplingError": {"errors": (ValueError("a"),)},
    "UnknownOption": {"option": "temprature", "nearest": "temperature"},
    "UnsafeCassette": {"findings": ("a key",)},
}


def errors_made() -> Objects:
    """One of each error, some with all that they may know."""
    return {name: getattr(errors, name)(f"this is a {name}", **SAID.get(name, {})) for name in errors.__all__}


# --- thunks ---------------------------------------------------------------------------------------


async def thunks_made() -> Objects:
    """Thunks of fake backends in every state, copies, thunks inside prompts."""
    usage = mellite.Usage(input_tokens=3, output_tokens=2)
    call = messages.ToolCall("call_1", "weather", {"city": "Rome"})
    pieces = [
        events.ReasoningDelta("Hm."),
        "One ",
        "two.",
        events.ToolCallEvent(call),
        events.Finish("tool-calls", usage=usage),
    ]
    scripted = backends.Scripted(["Hello, you.", pieces, errors.RateLimited("slow down", retry_after=2.0)])
    pending = mellite.generate(backends.Echo(), "Say this.", temperature=0.5, system="Be brief.")
    done = await scripted.generate("One.").settle()
    parts = await scripted.generate("Two.", output=str).settle()
    failed = await scripted.generate("Three.").settle()
    whole = await mellite.generate(backends.Constant("All at once."), "Four.", stream=False).settle()
    broken = await mellite.generate(backends.Failing(ValueError("no")), "Five.").settle()
    cut = await mellite.generate(backends.Failing(errors.ConnectionLost("cut"), after=2), "Six of them.").settle()
    cancelled = mellite.generate(backends.Echo(), "Never.")
    await cancelled.cancel_generation("time is up")
    inner = [*done.resample(2), done]
    outer = mellite.generate(backends.Echo(), ["Join: ", *inner])
    nested = await mellite.generate(backends.Echo(), [Message.user("What of this: ", whole)]).settle()
    with TemporaryDirectory() as folder:
        recording = backends.TextCassetteBackend(
            folder, provider="openai", model="gpt-4o", live=backends.Echo(), mode="once", even_in_ci=True
        )
        await recording.generate("Record this.").settle()
        replaying = backends.TextCassetteBackend(folder, provider="openai", model="gpt-4o")
        replayed = await replaying.generate("Record this.").settle()
        missed = await replaying.generate("Never recorded.").settle()
    (*_, third) = pending.resample(3, temperature=1.0)
    return {
        "pending": pending,
        "copied": third.resample(1)[0],
        "done": done,
        "parts": parts,
        "failed": failed,
        "whole": whole,
        "broken": broken,
        "cut": cut,
        "cancelled": cancelled,
        "outer": outer,
        "nested": nested,
        "replayed": without_path(replayed),
        "missed": without_path(missed),
        "gathered": await mellite.gather(done, failed),
    }


def without_path(thunk: Any) -> Any:
    """A thunk of the text cassettes, without the folder that was there for a moment."""
    thunk._call.backend.directory = "cassettes/text"
    if thunk.error is not None:
        thunk.error.args = (re.sub(r"/tmp/\w+", "cassettes/text", str(thunk.error)),)
        thunk.error.__dict__.pop("path", None)
    return thunk


# --- live backends --------------------------------------------------------------------------------


def sse(*found: Mapping[str, Any]) -> str:
    """Server-sent events."""
    return "".join(
        (f"event: {each['type']}\n" if "type" in each else "") + f"data: {json.dumps(each)}\n\n" for each in found
    )


def frame(name: str, value: object) -> bytes:
    """One event of an AWS event stream."""
    said = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    head = b"".join(
        [
            bytes([len(key)]) + key.encode() + b"\7" + struct.pack(">H", len(text)) + text.encode()
            for key, text in said.items()
        ]
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", len(head) + len(payload) + 16, len(head))
    whole = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return whole + struct.pack(">I", crc32(whole))


MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi there.", "annotations": []}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o",
    "output": [MESSAGE],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi there."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
CHAT = {"id": "chatcmpl-1", "model": "gpt-4o"}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi there."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gemini-2.5-flash",
}
COHERE_USAGE = {"tokens": {"input_tokens": 3, "output_tokens": 2}}

WHOLE: Mapping[str, Any] = {
    "openai-chat": {
        **CHAT,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi there."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    },
    "openai-responses": RESPONSE,
    "anthropic-messages": CLAUDE,
    "gemini": GEMINI,
    "bedrock-converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi there."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    },
    "cohere-chat": {
        "id": "c1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi there."}]},
        "usage": COHERE_USAGE,
    },
}

STREAMED: Mapping[str, Any] = {
    "openai-chat": sse(
        {**CHAT, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi "}}]},
        {**CHAT, "choices": [{"index": 0, "delta": {"content": "there."}, "finish_reason": "stop"}]},
        {**CHAT, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    )
    + "data: [DONE]\n\n",
    "openai-responses": sse(
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
        {
            "type": "response.output_text.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "Hi there.",
        },
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.completed", "response": RESPONSE},
    ),
    "anthropic-messages": sse(
        {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi there."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ),
    "gemini": sse(GEMINI),
    "bedrock-converse": [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi there."}}),
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
    ],
    "cohere-chat": sse(
        {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi there."}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
    ),
}

MODELS: Mapping[str, str] = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "us.amazon.nova-lite-v1:0",
    "google": "gemini-2.5-flash",
    "vertex": "gemini-2.5-flash",
    "vertex-anthropic": "claude-sonnet-4-5",
    "cohere": "command-a-03-2025",
}

SPECS = [
    *[f"{name}:{MODELS.get(name, 'some-model')}" for name in names() if name != "openai-compatible"],
    "bedrock:us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "google:gemini-3-pro-preview",
    "openrouter:anthropic/claude-sonnet-4",
    "anthropic:claude-3-haiku-20240307",
]


def backends_made() -> Objects:
    """A live backend of every provider, with keys from the environment, from elsewhere, and with none."""
    made: Objects = {spec: mellite.backend(spec) for spec in SPECS}
    keyed: Mapping[str, Callable[[], Any]] = {
        "a key in code": lambda: mellite.backend("openai:gpt-4o", api_key="made-up"),
        "another server": lambda: mellite.backend("openai-compatible:m", base_url="http://localhost:1/v1"),
        "another server, with a key": lambda: mellite.backend("anthropic:m", base_url="https://a.example", api_key="k"),
        "defaults": lambda: mellite.backend(
            "openai-chat:gpt-4o", temperature=0.5, http=mellite.HttpOptions(headers={"x-a": "b"}), max_concurrency=3
        ),
        "unlimited": lambda: mellite.backend("groq:m", max_concurrency=None),
        "text cassettes": lambda: mellite.backend("cassette:cassettes/text"),
    }
    return {**made, **{name: make() for name, make in keyed.items()}}


def auths_made() -> Objects:
    """Ways to say who is asking."""
    from mellite.wire.auth import Environment, Given, bearer, header, none, remove

    made: Objects = {
        "bearer": bearer(Environment("OPENAI_API_KEY")),
        "header": header("x-api-key", Environment("NO_SUCH_KEY", "ANTHROPIC_API_KEY")),
        "both": bearer(Environment("OPENAI_API_KEY")).and_then(remove("x-a")),
        "either": header("a", Environment("NO_SUCH_KEY")).or_else(bearer(Environment("GROQ_API_KEY"))),
        "none": none("there is none"),
        "given": bearer(Given("made-up")),
    }
    return made


async def live_made() -> Objects:
    """Thunks of live backends over every protocol: pending, done, failed."""
    made: Objects = {}
    for spec in (
        "openai-chat:gpt-4o",
        "openai:gpt-4o",
        "anthropic:claude-sonnet-4-5",
        "google:gemini-2.5-flash",
        "bedrock:us.amazon.nova-lite-v1:0",
        "cohere:command-a-03-2025",
    ):
        route = find(spec)
        protocol = route.protocol.id
        kind = "application/vnd.amazon.eventstream" if protocol == "bedrock-converse" else "text/event-stream"
        streamed = (200, {"content-type": kind, "x-request-id": "req_1"}, STREAMED[protocol])
        transport = ScriptedTransport(
            [streamed, json.dumps(WHOLE[protocol]), (429, {"retry-after": "2"}, "{}"), streamed]
        )
        backend = backends.LiveBackend(route, transport=transport)
        tools = [mellite.ToolDefinition("weather", "The weather.", input_schema={"type": "object", "properties": {}})]
        made[f"{protocol} streamed"] = await backend.generate("Hello.", system="Be brief.", tools=tools).settle()
        made[f"{protocol} whole"] = await backend.generate("Hello.", stream=False, max_tokens=9).settle()
        made[f"{protocol} failed"] = await backend.generate("Hello.").settle()
        made[f"{protocol} pending"] = backend.generate("Hello.", temperature=0.5)
    return made


# --- strategies, cassettes ------------------------------------------------------------------------


def requirements_made() -> Objects:
    """Requirements of the stock, as functions, and their verdicts."""
    schema = {"type": "object", "required": ["a"]}
    return {
        "contains": requirements.contains("a", "b", ignore_case=True),
        "not contains": requirements.not_contains("a"),
        "regex": requirements.regex(r"\d+", full=True),
        "length": requirements.length(min=1, max=3, unit="words"),
        "one of": requirements.one_of(["yes", "no"]),
        "json": requirements.json(schema=schema),
        "json of a type": requirements.json(type=list[int]),
        "python": requirements.python_syntax(),
        "similar": requirements.similar("abc", 0.5, measure="words"),
        "tool": requirements.tool_called("weather", arguments={"city": "Rome"}),
        "judge": requirements.judge(backends.Constant('{"reason": "r", "passed": true}'), "is polite"),
        "custom": requirements.custom(bool, "is true"),
        "own": mellite.Requirement("is a word", str.isalpha, timeout=2.0, chunking="words"),
        "passed": mellite.ValidationResult(True, "good", 0.5),
        "failed": mellite.ValidationResult(False, error=ValueError("a")),
        "judgement": requirements.Judgement("r", True, 1.0),
    }


async def strategies_made() -> Objects:
    """Strategies, and what they gave."""
    needs = [requirements.contains("yes")]
    answers = ["no", [errors.ConnectionLost("cut")], "yes", "yes", "yes"]
    asked = backends.Scripted(answers).generate("Say yes.")
    rejected = await mellite.RejectionSampling(max_samples=2).sample(
        backends.Constant("no").generate("Say yes."), needs
    )
    return {
        "rejection": mellite.RejectionSampling(max_samples=5, max_usd="0.5", deadline=9),
        "repair": mellite.RepairSampling(max_tokens=100),
        "multi-turn repair": mellite.MultiTurnRepair(),
        "model-friendly repair": mellite.ModelFriendlyRepair(inner=mellite.RejectionSampling()),
        "best of n": mellite.BestOfN(3, score=len, enough=2.0),
        "majority": mellite.MajorityVote(3, key="exact"),
        "majority by a function": mellite.MajorityVote(3, key=str.lower),
        "least risk": mellite.MinimumBayesRisk(3, similarity="words"),
        "hedge": mellite.Hedge(0.5),
        "fallback": mellite.Fallback([backends.Echo(), mellite.backend("openai:gpt-4o")]),
        "escalate": mellite.Escalate([backends.Echo(), backends.Constant("a")]),
        "forcing": mellite.BudgetForcing(100, least=10),
        "result": await mellite.RejectionSampling().sample(asked, needs),
        "rejected": rejected,
        "voted": await mellite.MajorityVote(3).sample(backends.Constant("yes").generate("Say yes."), needs),
    }


async def streaming_made() -> Objects:
    """The events of a stream that is checked while it comes."""
    stream = mellite.stream(
        backends.Scripted(["It is no. Not at all.", "It is yes. Quite so."]).generate("Say yes."),
        requirements=[requirements.not_contains("no"), requirements.contains("yes")],
        chunking="sentences",
        attempts=2,
    )
    made: Objects = {}
    async with stream:
        async for event in stream.events():
            made.setdefault(type(event).__name__, event)
    made["ErrorEvent"] = streaming.ErrorEvent(errors.ConnectionLost("cut"))
    made["ThinkingEvent"] = streaming.ThinkingEvent("Hm.")
    made["ToolInputEvent"] = streaming.ToolInputEvent("weather", "{", id="c")
    return made


def cassettes_made() -> Objects:
    """Cassettes and all that is in them."""
    body = cassettes.Body('{"a": 1}')
    request = cassettes.RecordedRequest("POST", "https://a.example/v1", headers={"a": "b"}, body=body)
    response = cassettes.RecordedResponse(
        200, headers={"content-type": "application/json"}, body=cassettes.Body("/w==", encoding="base64")
    )
    http = cassettes.HttpInteraction(request, response)
    socket = cassettes.WebSocketInteraction(
        (cassettes.WebSocketEvent("client", "text", body=body),),
        open=cassettes.WebSocketOpen("wss://a.example", headers={"a": "b"}),
        connection=cassettes.WebSocketConnection(1, "wss://a.example", close=cassettes.WebSocketClose(1000, "bye")),
    )
    cassette = cassettes.Cassette((http, socket), metadata={"name": "a"}, path="a.json", extra={"x": 1})
    return {
        "body": body,
        "http": http,
        "socket": socket,
        "cassette": cassette,
        "redaction": cassettes.Redaction(request_headers={"x-a"}, json_fields={"name"}),
        "selection": cassettes.Selection(prefixes=("a",), tags=("b",)),
        "difference": cassettes.Difference("body", "$.a", expected="1", received="2"),
        "imported": cassettes.Imported(cassette, ("a cookie",)),
        "sidecar": cassettes.Sidecar("openai", "m", prompt="p", chunks=("a", "b"), usage=mellite.Usage(input_tokens=1)),
        "text cassette": cassettes.TextCassette("a.txt", "text", key=5),
        "directory": cassettes.TextDirectory("cassettes/text"),
        "replaying": cassettes.ReplayTransport(cassettes.Cassette((http,)), match="pool", deadline=1.0),
        "scripted": ScriptedTransport(["a", (429, {}, "b")]),
    }


def chunks_made() -> Objects:
    """Ways to cut a text, and the pieces of one."""
    from mellite.chunking import Chunk, chunker_for

    found = {name: chunker_for(name) for name in ("words", "sentences", "paragraphs", "lines", "json")}
    assert chunk("a b", "words") == ["a ", "b"]
    return {**found, "pattern": chunker_for(re.compile(r"\s+")), "chunk": Chunk("ab", 3, kind="text")}


# --- files ----------------------------------------------------------------------------------------


async def everything() -> dict[str, Objects]:
    """Kind -> name -> object."""
    return {
        "messages": messages_made(),
        "requests": requests_made(),
        "classes": classes_made(),
        "records": records_made(),
        "events": events_made(),
        "errors": errors_made(),
        "thunks": await thunks_made(),
        "backends": backends_made(),
        "auths": auths_made(),
        "live": await live_made(),
        "requirements": requirements_made(),
        "strategies": await strategies_made(),
        "streaming": await streaming_made(),
        "cassettes": cassettes_made(),
        "chunks": chunks_made(),
    }


def main() -> None:
    """Write the files."""
    for kind, objects in asyncio.run(everything()).items():
        pickles = b"".join([pickle.dumps(objects, protocol) for protocol in PROTOCOLS])
        (HERE / f"{kind}.pickle.xz").write_bytes(lzma.compress(pickles))
        read = pickle.loads(pickle.dumps(objects))
        told = json.dumps(facts(read), indent=1, ensure_ascii=False, sort_keys=True)
        (HERE / f"{kind}.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
