"""Recorded tool loops of real providers, replayed through a run: same answers, same requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.cassettes.files.read import load_cassette
from mellite.events import StepFinish, ToolResultEvent
from mellite.protocols import gemini, openai_responses
from mellite.protocols.gemini.dialect import GeminiDialect
from mellite.protocols.openai_responses import ResponsesDialect
from mellite.wire.route import Route
from tests.protocols.scenarios import BEDROCK, CHAT, CLAUDE, COLD, IN_PARIS, LOOP, ONCE, SUNNY, UNMARKED, route_to

pytestmark = pytest.mark.anyio

Body = dict[str, Any]


async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
    """Tell the weather that was told then."""
    assert arguments == {"city": "Paris"}
    return SUNNY


WEATHER = mellite.Tool.from_schema(
    "get_weather",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    handler,
    description="Get current weather for a city.",
)


def responses(dialect: ResponsesDialect, url: str, body: Mapping[str, Any]) -> Route:
    """The route over Responses, as its recordings speak it."""
    return route_to(url, body).with_(protocol=openai_responses.protocol(dialect))


EARLY = ResponsesDialect(store=False)
LOOSE = evolve(EARLY, strict_tools=False)


def gemini_with_texts(url: str, body: Mapping[str, Any]) -> Route:
    """The route to Gemini, where results stand as texts under ``content``."""
    return route_to(url, body).with_(protocol=gemini.protocol(GeminiDialect(results="content")))


RECORDINGS: Mapping[str, tuple[Mapping[str, Any], int, Callable[..., Route]]] = {
    f"recordings/{CLAUDE}/claude-opus-4-7-drives-a-tool-loop": (UNMARKED, 864 + 914, route_to),
    "recordings/bedrock-converse/drives-a-tool-loop": (BEDROCK, 470 + 526, route_to),
    "recordings/gemini/drives-a-tool-loop": (COLD, 116 + 163, gemini_with_texts),
    "recordings/openai-chat/drives-a-tool-loop-end-to-end": (COLD, 78 + 111, route_to),
    f"recordings/{CHAT}/groq-llama-3-3-70b-drives-a-tool-loop": (COLD, 251 + 285, route_to),
    f"recordings/{CHAT}/openrouter-claude-opus-4-7-drives-a-tool-loop": (COLD, 868 + 918, route_to),
    f"recordings/{CHAT}/openrouter-gpt-4o-mini-drives-a-tool-loop": (COLD, 80 + 113, route_to),
    f"recordings/{CHAT}/openrouter-gpt-5-5-drives-a-tool-loop": (COLD, 87 + 120, route_to),
    f"recordings/{CHAT}/xai-grok-4-3-drives-a-tool-loop": (COLD, 483 + 605, route_to),
    "recordings/openai-responses/gpt-5-5-drives-a-tool-loop": ({}, 85 + 120, partial(responses, EARLY)),
    "_variants/2026-06/recordings/openai-responses/gpt-5-5-drives-a-tool-loop": ({}, 0, partial(responses, LOOSE)),
}
"""The recording -> its options, the tokens of both steps (0: as reported), and the route."""


def without_gemini_ids(body: Body) -> None:
    """Gemini gave no id, and its client made one; mellite sends only ids that Gemini gave."""
    for content in body["contents"]:
        for part in content["parts"]:
            for kind in ("functionCall", "functionResponse"):
                part.get(kind, {}).pop("id", None)


def without_its_own_spaces(body: Body) -> None:
    """Claude behind OpenRouter wrote a space into its arguments; its client wrote them anew, mellite keeps them."""
    for message in body["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]))


def without_thinking(body: Body) -> None:
    """Grok showed its thinking, which its client forgot; mellite keeps it in the history."""
    for message in body["messages"]:
        message.pop("reasoning_content", None)


MORE: Mapping[str, Callable[[Body], None]] = {
    "recordings/gemini/drives-a-tool-loop": without_gemini_ids,
    f"recordings/{CHAT}/openrouter-claude-opus-4-7-drives-a-tool-loop": without_its_own_spaces,
    f"recordings/{CHAT}/xai-grok-4-3-drives-a-tool-loop": without_thinking,
}
"""Where the second request differs from the recorded one, and what makes them equal."""


def in_order(body: Any) -> str:
    """A body, to be compared."""
    return json.dumps(body, sort_keys=True, indent=1)


@pytest.mark.parametrize("name", RECORDINGS)
async def test_a_recorded_loop(corpora: Path, name: str) -> None:
    """One call, one result, and an answer; both requests are those that were recorded, but for what is kept more."""
    options, tokens, route = RECORDINGS[name]
    interactions = list(load_cassette(corpora / "opencode" / f"{name}.json").http)
    recorded = [json.loads(each.request.body.characters) for each in interactions]
    answers = [(each.response.status, dict(each.response.headers), [each.response.body.data]) for each in interactions]
    transport = ScriptedTransport(answers)
    backend = LiveBackend(route(interactions[0].request.url, recorded[0]), transport=transport)
    system = ONCE if "openrouter" in name else LOOP
    run = mellite.run(backend, IN_PARIS, system=system, tools=[WEATHER], max_tokens=80, **options)

    assert "Paris" in await run
    events = [event async for event in run.events()]
    assert [event.reason for event in events if isinstance(event, StepFinish)] == ["tool-calls", "stop"]
    (told,) = [event.result for event in events if isinstance(event, ToolResultEvent)]
    assert (told.result.type, told.result.value) == ("json", SUNNY)
    assert (run.stop_reason, [len(step.calls) for step in run.steps]) == ("answered", [1, 0])
    assert run.usage is not None
    assert run.usage.total_tokens == (tokens or 205)

    sent = [json.loads(request.body) for request in transport.requests]
    assert in_order(sent[0]) == in_order(recorded[0])
    if name in MORE:
        assert in_order(sent[1]) != in_order(recorded[1]), "not so any more: take it out of the list"
        for body in (sent[1], recorded[1]):
            MORE[name](body)
    assert in_order(sent[1]) == in_order(recorded[1])


def test_every_recorded_loop_is_here(corpora: Path) -> None:
    """All eleven are replayed."""
    folder = corpora / "opencode"
    found = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*tool-loop*.json")}
    assert found == RECORDINGS.keys()
    assert len(found) == 11
