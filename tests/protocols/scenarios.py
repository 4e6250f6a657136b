"""What was asked when the recordings were made, built anew with mellite's own words; a protocol adds its rows here.

A scenario asks once for each recorded request, in order, and gets the recorded answer as a thunk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from attrs import evolve, frozen

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.cassettes.files.read import load_cassette
from mellite.errors import IncompleteStream, InvalidRequest
from mellite.messages import CacheHint, Image, Text, ToolCall, ToolResult
from mellite.providers.catalog import find
from mellite.providers.recognize import route_of
from mellite.request import Request, ToolDefinition
from mellite.wire.route import Route

CORPORA = Path(os.environ.get("MELLITE_CORPORA") or Path(__file__).parents[3] / "shared" / "corpora")

Thunk: TypeAlias = ModelOutputThunk[str]


class Ask(Protocol):
    """Asks the next recorded request; gives what was answered."""

    def __call__(self, prompt: Any, **options: Any) -> Thunk: ...


Scenario: TypeAlias = Callable[..., None]

# --- scenarios ------------------------------------------------------------------------------------

WEATHER = ToolDefinition(
    "get_weather",
    "Get current weather for a city.",
    input_schema={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
SUNNY = {"temperature": 22, "condition": "sunny"}
IN_PARIS = "What is the weather in Paris?"
LOOP = "Use the get_weather tool, then answer in one short sentence."
ONCE = "Use the get_weather tool exactly once, then answer in one short sentence."


def text(
    ask: Ask, *, system: str = "You are concise.", prompt: str = "Reply with exactly: Hello!", **options: Any
) -> None:
    """A few words."""
    ask(prompt, system=system, **{"max_tokens": 20, **options})


def forced_call(ask: Ask, **options: Any) -> None:
    """A tool call that the model has to make."""
    prompt = "Call get_weather with city exactly Paris."
    options = {"max_tokens": 80, **options}
    ask(prompt, system="Call tools exactly as requested.", tools=[WEATHER], tool_choice="get_weather", **options)


def tool_loop(ask: Ask, *, system: str = LOOP, **options: Any) -> None:
    """A tool call, its result, an answer. What goes back is what was sent back then: no thinking."""
    options = {"max_tokens": 80, "system": system, "tools": [WEATHER], **options}
    first = ask(IN_PARIS, **options)
    (call,) = first.tool_calls
    said = [part for part in first.message.content if isinstance(part, Text)]
    asked = Message.assistant(*said, evolve(call, raw_arguments=None))
    ask([Message.user(IN_PARIS), asked, Message.tool(ToolResult(call.id, call.name, SUNNY))], **options)


def after_a_result(ask: Ask, **options: Any) -> None:
    """A history with a tool's result, and no tools any more."""
    call = ToolCall("call_weather", "get_weather", {"city": "Paris"})
    result = ToolResult(call.id, call.name, {"forecast": "sunny", "temperature_c": 22})
    history = [Message.user(IN_PARIS), Message.assistant(call), Message.tool(result)]
    ask(history, system="Answer using only the provided tool result.", max_tokens=40, **options)


def image_of_a_tool(ask: Ask, **options: Any) -> None:
    """A history with a picture that a tool took."""
    tool = ToolDefinition(
        "read_screenshot",
        "Capture a screenshot of the current screen.",
        input_schema={"type": "object", "properties": {}, "additionalProperties": False},
    )
    call = ToolCall("call_screenshot_1", "read_screenshot", {})
    picture = Image.from_path(CORPORA / "opencode" / "media" / "restroom.png")
    result = Message.tool(ToolResult(call.id, call.name, [Text("Image read successfully"), picture]))
    prompt = "Use the read_screenshot tool, then reply with the words shown."
    system = "Read images carefully. Reply only with the visible text, lowercase, no punctuation."
    history = [Message.user(prompt), Message.assistant(call), result]
    ask(history, system=system, tools=[tool], max_tokens=40, **options)


def image(ask: Ask, **options: Any) -> None:
    """A picture of the user's."""
    prompt = (
        "The image contains exactly three lowercase English words. Read them left to right and reply with only those "
        "words."
    )
    picture = Image.from_path(CORPORA / "opencode" / "media" / "restroom.png")
    ask([prompt, picture], system="Read images carefully. Reply only with the visible text.", max_tokens=160, **options)


def twice_with_a_long_prompt(ask: Ask, *, hint: CacheHint | None = None, **options: Any) -> None:
    """The same question twice under a long system prompt, to see the cache."""
    said = "You are a concise, factual assistant. Answer precisely and avoid filler. Cite numbers when known. "
    for _ in range(2):
        with suppress(IncompleteStream):  # Gemini's answers were recorded without their bodies
            ask("Say hi.", system=Text(said * 250, cache=hint), max_tokens=16, **options)


def odd_order(ask: Ask, *, in_order: bool, **options: Any) -> None:
    """A history in which an assistant speaks behind its tool call, or, put in order, in a message before it."""
    call = ToolCall("call_1", "get_weather", {"city": "Paris"})
    said = "I will check the weather."
    asked = [Message.assistant(said), Message.assistant(call)] if in_order else [Message.assistant(call, said)]
    result = Message.tool(ToolResult(call.id, call.name, {"temperature": "72F"}))
    question = Message.user(Text("Use that result to answer briefly.", **options))
    with suppress(InvalidRequest):  # where it is out of order, the server refused it
        ask(
            [*asked, result, question],
            tools=[ToolDefinition("get_weather", "Get weather")],
            max_tokens=4096,
            **UNMARKED,
        )


# --- which recording is which ---------------------------------------------------------------------

BEDROCK = {"cache": "none", "temperature": 0}  # recorded before prompts were marked for the cache
CHAT = "openai-compatible-chat"
CLAUDE = "anthropic-messages"
COLD = {"temperature": 0}
UNMARKED = {"cache": "none"}

SCENARIOS: Mapping[str, Scenario] = {
    **{
        f"{host}/{host}-{model}": partial(scenario, **COLD, **more)
        for host, prefix in (("cloudflare-ai-gateway", "workers-ai-"), ("cloudflare-workers-ai", ""))
        for model, scenario, more in (
            (f"{prefix}gpt-oss-20b-tools-tool-call", forced_call, {"max_tokens": 120}),
            (f"{prefix}llama-3-1-8b-text", text, {"prompt": "Reply exactly with: Hello!", "max_tokens": 40}),
        )
    },
    f"{CLAUDE}-cache/writes-then-reads-cache-control-on-identical-second-call": partial(
        twice_with_a_long_prompt, hint=CacheHint(), **COLD, **UNMARKED
    ),
    f"{CLAUDE}/accepts-malformed-assistant-tool-order-with-default-patch": partial(
        odd_order, in_order=True, cache=CacheHint()
    ),
    f"{CLAUDE}/anthropic-opus-4-7-image-tool-result": partial(image_of_a_tool, **UNMARKED),
    f"{CLAUDE}/claude-opus-4-7-drives-a-tool-loop": partial(tool_loop, **UNMARKED),
    f"{CLAUDE}/rejects-malformed-assistant-tool-order-without-patch": partial(odd_order, in_order=False),
    f"{CLAUDE}/streams-text": partial(text, **COLD, **UNMARKED),
    f"{CLAUDE}/streams-tool-call": partial(forced_call, **COLD, **UNMARKED),
    "bedrock-converse/drives-a-tool-loop": partial(tool_loop, **BEDROCK),
    "bedrock-converse/streams-a-tool-call": partial(forced_call, **BEDROCK),
    "bedrock-converse/streams-text": partial(
        text, system="Reply with the single word 'Hello'.", prompt="Say hello.", max_tokens=16, **BEDROCK
    ),
    "gemini-cache/reports-cachedcontenttokencount-on-identical-second-call": partial(twice_with_a_long_prompt, **COLD),
    "gemini/drives-a-tool-loop": partial(tool_loop, **COLD),
    "gemini/gemini-2-5-flash-image": partial(image, **COLD),
    "gemini/streams-text": partial(text, max_tokens=80, **COLD),
    "gemini/streams-tool-call": partial(forced_call, **COLD),
    "openai-chat/continues-after-tool-result": partial(after_a_result, **COLD),
    "openai-chat/drives-a-tool-loop-end-to-end": partial(tool_loop, **COLD),
    "openai-chat/streams-text": partial(text, prompt="Say hello in one short sentence.", **COLD),
    "openai-chat/streams-tool-call": partial(forced_call, **COLD),
    **{
        f"{CHAT}/{host}-streams-text": partial(text, **COLD)
        for host in ("deepseek", "groq", "openrouter", "togetherai", "xai")
    },
    **{
        f"{CHAT}/{host}-streams-tool-call": partial(forced_call, **COLD)
        for host in ("groq", "openrouter", "togetherai", "xai")
    },
    f"{CHAT}/groq-llama-3-3-70b-drives-a-tool-loop": partial(tool_loop, **COLD),
    f"{CHAT}/openrouter-claude-opus-4-7-drives-a-tool-loop": partial(tool_loop, system=ONCE, **COLD),
    f"{CHAT}/openrouter-gpt-4o-mini-drives-a-tool-loop": partial(tool_loop, system=ONCE, **COLD),
    f"{CHAT}/openrouter-gpt-5-5-drives-a-tool-loop": partial(tool_loop, system=ONCE, **COLD),
    f"{CHAT}/xai-grok-4-3-drives-a-tool-loop": partial(tool_loop, **COLD),
}
"""The recording below ``recordings/``, without ``.json`` -> what was asked."""

DIFFERENT: Mapping[tuple[str, int], str] = {
    ("gemini/drives-a-tool-loop", 1): "its client sent an id of its own making, mellite only those that Gemini gave",
    (f"{CLAUDE}/rejects-malformed-assistant-tool-order-without-patch", 0): "the history that was refused is mended",
}
"""(recording, number of the request) -> why mellite asks it differently."""

# --- asking again ---------------------------------------------------------------------------------


@frozen
class Asked:
    """A request as it was recorded, and as mellite would send it; bodies as JSON with sorted keys."""

    recorded_url: str
    recorded_body: str
    url: str
    body: str


def canonical(body: str | bytes) -> str:
    """JSON with its keys in order, to be compared."""
    return json.dumps(json.loads(body), sort_keys=True, indent=1)


def ask_again(recordings: Path, name: str) -> list[Asked]:
    """Every request of a recording beside the one that its scenario makes."""
    interactions = list(load_cassette(recordings / f"{name}.json").http)
    asked: list[Asked] = []

    def ask(prompt: Any, **options: Any) -> Thunk:
        recorded, response = interactions[len(asked)].request, interactions[len(asked)].response
        body = recorded.body.characters
        url = recorded.url.replace("{", "").replace("}", "")  # who recorded it put {account} for the account
        route = route_to(url, json.loads(body))
        http = route.prepare(Request.of(prompt, **options))
        asked.append(Asked(url, canonical(body), http.url, canonical(http.body)))
        answer = (response.status, dict(response.headers), [response.body.data])
        thunk = LiveBackend(route, transport=ScriptedTransport([answer])).generate(prompt, **options)
        thunk.result()
        return thunk

    SCENARIOS[name](ask)
    assert len(asked) == len(interactions)
    return asked


def route_to(url: str, body: Mapping[str, Any]) -> Route:
    """The route to where a recorded request went."""
    found = route_of(url, body)
    if found is not None:
        return found
    host = urlsplit(url).hostname or ""
    return next(
        find(f"{name}:{model(url, body)}", api_key="k") for part, (name, model) in ELSEWHERE.items() if part in host
    )


ELSEWHERE: Mapping[str, tuple[str, Callable[[str, Mapping[str, Any]], str]]] = {}
"""A part of the host's name -> the provider, and how to find the model of a recorded request."""
