"""Conversations of plain texts are written in fewer steps, and as all others are."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from mellite.messages import Message, Text
from mellite.providers.catalog import find
from mellite.request import CachePolicy, Request
from mellite.wire.http import HttpRequest

SPECS = (
    "openai-chat:m",
    "deepseek:m",
    "openrouter:anthropic/claude-haiku-4.5",
    "openai:m",
    "anthropic:claude-haiku-4-5",
    "anthropic:claude-opus-4-8",
    "google:gemini-2.5-flash",
    "google:gemini-3-pro",
    "cohere:command-a-03-2025",
    "bedrock:us.anthropic.claude-sonnet-4-6",
    "bedrock:us.amazon.nova-micro-v1:0",
    "bedrock:mistral.mistral-large-2407-v1:0",
)

#: What is said in turn, the user first; with texts that say nothing, or that begin or end with what may be cut off.
TALKS = [
    ["Hi."],
    ["Hi.", "Yes?", "Go on."],
    ["Hi.", "Yes?"],
    ["Hi.", "Yes? "],
    [" Hi.\n", "\tYes?", "你好"],
    ["Hi.", "", "Hello?"],
    ["Hi.", " \n", "Hello?"],
    ["\u3000"],
    [""],
]
SYSTEMS: list[list[str]] = [
    [],
    ["Be brief."],
    ["Be brief.", "Be kind."],
    ["Be brief.", "Be kind.", "Be good."],
    [""],
    ["Be brief.", " "],
]


def texts(said: list[str], *, noted: bool) -> list[Text]:
    """The texts; with an empty note each, which says nothing and keeps them from being taken for plain."""
    return [Text(text, provider_metadata={}) if noted else Text(text) for text in said]


def written(spec: str, said: list[str], system: list[str], *, noted: bool, **options: Any) -> list[object]:
    """The body of the request and what was mended, or the error."""
    turns = [(Message.assistant if at % 2 else Message.user)(text) for at, text in enumerate(texts(said, noted=noted))]
    request = Request(tuple(turns), system=tuple(texts(system, noted=noted)), **options)
    try:
        http: HttpRequest = find(spec, api_key="sk-test").prepare(request)
    except Exception as error:
        return [type(error), str(error)]
    return [json.loads(http.body), http.context["repairs"]]


@pytest.mark.parametrize("spec", SPECS)
def test_messages_of_nothing_and_of_more_are_not_plain(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    """A message without parts, or with two, is written as ever: never as the first of its texts, nor as another's."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    route = find(spec, api_key="sk-test")
    two = route.prepare(Request((Message.user("One.", "Two."), Message.assistant("Yes?"), Message.user("Go on."))))
    assert all(word in two.body for word in (b"One.", b"Two.", b"Yes?", b"Go on."))
    nothing = Request((Message.user("One."), Message.assistant(), Message.user("Go on.")))
    assert all(word in route.prepare(nothing).body for word in (b"One.", b"Go on."))


@pytest.mark.parametrize("spec", ["anthropic:claude-haiku-4-5", "bedrock:us.anthropic.claude-sonnet-4-6"])
def test_space_at_the_end_of_a_plain_answer_to_continue_is_left_out(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    """Claude refuses it, and the caller is told."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    http = find(spec, api_key="sk-test").prepare(Request((Message.user("Hi."), Message.assistant("Well, "))))
    assert b'"Well,"' in http.body
    assert http.context["repairs"] == ("space at the end of the text that is to be continued is left out",)


@pytest.mark.parametrize("cache", [None, "auto", "none", CachePolicy(system=True, messages=2)])
@pytest.mark.parametrize("spec", SPECS)
def test_plain_texts_are_written_like_all_others(monkeypatch: pytest.MonkeyPatch, spec: str, cache: Any) -> None:
    """A text with an empty note goes the long way, and comes out as the same text without one."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    bodies = []
    for said, system in itertools.product(TALKS, SYSTEMS):
        plain = written(spec, said, system, noted=False, cache=cache)
        assert plain == written(spec, said, system, noted=True, cache=cache), (said, system)
        bodies.append(plain)
    assert any("Go on." in json.dumps(body, default=str) for body in bodies)
