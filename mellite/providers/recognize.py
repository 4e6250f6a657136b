"""Recognize recorded requests by URL and body: the provider, the route that they took, and the question in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import evolve

from ..protocols import anthropic_messages, gemini, openai_responses
from ..protocols.openai_chat import OPENAI, ChatDialect, protocol
from ..values.options import Options
from ..values.provider_json import Json
from ..wire.auth.keys import none
from ..wire.endpoint import Endpoint
from ..wire.route import Route
from . import anthropic, bedrock, cohere, compatible, google, openai, vertex

__all__ = ["question_of", "route_of", "shown_question"]

_CHAT: Final = "/chat/completions"
_RESPONSES: Final = "/responses"
_MESSAGES: Final = "/messages"
_GEMINI: Final = re.compile(
    r"(https?://[^/?#]+[^?#]*?)/(publishers/[^/?#]+/models/|models/|tunedModels/|endpoints/)([^/?#:]+)"
    r":(g|streamG)enerateContent"
)
_COHERE: Final = re.compile(r"(https?://[^/?#]+(?:/[^?#]*)?/v2)/chat(?:[?#]|$)")
_CONVERSE: Final = re.compile(r"(https?://[^/?#]+[^?#]*)/model/([^/?#]+)/converse(-stream)?")


def route_of(url: str, body: Mapping[str, Json]) -> Route | None:
    """Return the route that a recorded request took, without a key; None if the protocol is unknown.

    The route writes requests as the recorded one was written, where there are several ways (the field for the most
    tokens, whether ``store`` is sent), so that the same question gives the same body again. It streams by default if
    the recorded request did.

    Args:
        url: the URL of the request.
        body: the JSON body of the request.

    Example:
        >>> route = route_of("https://api.groq.com/openai/v1/chat/completions", {"model": "llama-3.3-70b-versatile"})
        >>> route.provider, route.model
        ('groq', 'llama-3.3-70b-versatile')
        >>> route_of("https://example.com/weather", {}) is None
        True
    """
    base, found, _query = url.partition(_CHAT)
    if found:
        return _chat(base, body)
    base, found, _query = url.partition(_RESPONSES)
    if found:
        return _responses(base, body)
    base, found, _query = url.partition(_MESSAGES)
    if found and "messages" in body:
        return _messages(base, body)
    asked = _COHERE.match(url)
    if asked is not None and "messages" in body:
        return _cohere(asked[1], body)
    asked = _CONVERSE.match(url)
    if asked is not None:
        return _converse(*asked.groups())
    asked = _GEMINI.match(url)
    return None if asked is None else _gemini(asked, body)


def _chat(base: str, body: Mapping[str, Json]) -> Route:
    provider, dialect = _host(base)
    streams = body.get("stream") is True
    dialect = evolve(
        dialect,
        namespaces=("openai", provider),
        max_tokens="max_tokens" if "max_tokens" in body else dialect.max_tokens,
        store="store" in body,
        strict_tools=_says_strict(body),
        stream_usage="stream_options" in body if streams else dialect.stream_usage,
        cache_models=dialect.cache_models if _marks_caches(body) else None,
    )
    if "max_completion_tokens" in body:
        dialect = evolve(dialect, max_tokens="max_completion_tokens")
    model = body.get("model")
    return Route(
        id=f"{provider}-chat",
        provider=provider,
        protocol=protocol(dialect),
        endpoint=Endpoint(base, _CHAT),
        auth=none(),
        model=model if isinstance(model, str) else None,
        options=Options(stream=streams),
    )


def _responses(base: str, body: Mapping[str, Json]) -> Route:
    provider, _ = _host(base)
    model, include = body.get("model"), body.get("include")
    encrypted = isinstance(include, list) and "reasoning.encrypted_content" in include
    dialect = openai_responses.ResponsesDialect(
        namespaces=("openai", provider),
        store="store" in body,
        strict_tools=_says_strict(body),
        reasoning_models="" if encrypted else None,
    )
    return Route(
        id=f"{provider}-responses",
        provider=provider,
        protocol=openai_responses.protocol(dialect),
        endpoint=Endpoint(base, _RESPONSES),
        auth=none(),
        model=model if isinstance(model, str) else None,
        options=Options(stream=body.get("stream") is True),
    )


def _messages(base: str, body: Mapping[str, Json]) -> Route:
    host, model = urlsplit(base).hostname, body.get("model")
    ours = host == urlsplit(anthropic.BASE_URL).hostname
    dialect = anthropic_messages.AnthropicDialect(cache=_marks_caches(body))
    return Route(
        id="anthropic-messages",
        provider="anthropic" if ours else host or "unknown",
        protocol=anthropic_messages.protocol(dialect),
        endpoint=Endpoint(base, _MESSAGES),
        auth=none(),
        model=model if isinstance(model, str) else None,
        versions=anthropic.VERSIONS,
        options=Options(stream=body.get("stream") is True),
    )


def _converse(base: str, model: str, streams: str | None) -> Route:
    route = bedrock.converse_route(base_url=base, model=unquote(model))
    return route.with_(auth=none(), options=Options(stream=streams is not None))


def _cohere(base: str, body: Mapping[str, Json]) -> Route:
    model = body.get("model")
    route = cohere.chat_route(base_url=base, model=model if isinstance(model, str) else None)
    return route.with_(auth=none(), options=Options(stream=body.get("stream") is True))


def _gemini(asked: re.Match[str], body: Mapping[str, Json]) -> Route:
    base, collection, name, operation = asked.groups()
    make = google.gemini_route if collection in ("models/", "tunedModels/") else vertex.gemini_route
    route = make(base_url=base, model=unquote(name) if collection.endswith("models/") else collection + unquote(name))
    older = '"response": {"name":' in json.dumps(body.get("contents"))
    dialect = gemini.GeminiDialect(results="content" if older else "output")
    return route.with_(auth=none(), protocol=gemini.protocol(dialect), options=Options(stream=operation == "streamG"))


def _host(base: str) -> tuple[str, ChatDialect]:
    """Return the provider at a base URL and its dialect; for an unknown host, the host's name and OpenAI's protocol."""
    host = urlsplit(base).hostname
    for row in compatible.HOSTS.values():
        if row.key_required and urlsplit(row.base_url).hostname == host:
            return row.name, row.dialect
    if host == urlsplit(openai.BASE_URL).hostname:
        return "openai", OPENAI
    return host or "unknown", ChatDialect()


def _says_strict(body: Mapping[str, Json]) -> bool:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return False
    functions = [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
    return any("strict" in function for function in functions if isinstance(function, dict))


def question_of(body: Mapping[str, Json]) -> str:
    """Return the text of the user's last turn in a recorded request of any protocol; empty if there is none.

    Example:
        >>> question_of({"messages": [{"role": "user", "content": "Name three rivers."}]})
        'Name three rivers.'
        >>> question_of({"contents": [{"role": "user", "parts": [{"text": "Name "}, {"text": "one."}]}]})
        'Name one.'
    """
    for name in ("messages", "input", "contents"):
        turns = body.get(name)
        if isinstance(turns, str):
            return turns
        for turn in reversed(turns) if isinstance(turns, list) else ():
            if isinstance(turn, dict) and turn.get("role", "user") == "user":
                text = _text_of(turn.get("content", turn.get("parts")))
                if text:
                    return text
    return ""


def shown_question(body: Mapping[str, Json]) -> str:
    """Return the question of a recorded request for display: its text, and a word in brackets for each other part.

    Example:
        >>> picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}
        >>> text = {"type": "text", "text": "What is this?"}
        >>> shown_question({"messages": [{"role": "user", "content": [text, picture]}]})
        'What is this? [image]'
    """
    marks = [f"[{word}]" for turn in _asking_turns(body) for word in _words_of(turn)]
    return " ".join([text for text in (question_of(body), *dict.fromkeys(marks)) if text])


def _asking_turns(body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Return the turns after the last answer of the model."""
    turns = next((found for name in ("messages", "input", "contents") if isinstance(found := body.get(name), list)), [])
    asking: list[Mapping[str, Json]] = []
    for turn in reversed(turns):
        if not isinstance(turn, dict) or turn.get("role") in ("assistant", "model"):
            break
        if turn.get("type") in ("function_call", "reasoning", "custom_tool_call"):
            break
        asking.insert(0, turn)
    return asking


def _words_of(turn: Mapping[str, Json]) -> list[str]:
    """Return a word for each part of a turn that is not text."""
    content = turn.get("content", turn.get("parts"))
    kind = turn.get("type")
    if turn.get("role") in ("tool", "function") or (isinstance(kind, str) and kind.endswith("_output")):
        return ["tool result"]
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return [word for part in parts if (word := _word_of(part))]


#: A piece of a part's type, key or MIME type -> the word for the part. The first that is found counts.
_WORDS: Final = (
    ("result", "tool result"),
    ("functionresponse", "tool result"),
    ("image", "image"),
    ("audio", "audio"),
    ("video", "video"),
    ("document", "document"),
    ("file", "document"),
    ("pdf", "document"),
)


def _word_of(part: Mapping[str, Json]) -> str | None:
    kind = part.get("type")
    names = [kind] if isinstance(kind, str) else [*part]
    blob = part.get("inlineData", part.get("fileData"))
    mime = blob.get("mimeType") if isinstance(blob, dict) else None
    said = " ".join([*names, mime if isinstance(mime, str) else ""]).lower()
    return next((word for needle, word in _WORDS if needle in said.replace("filedata", "")), None)


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join([text for text in texts if isinstance(text, str)])


def _marks_caches(value: Json) -> bool:
    """Return whether something in a request says what to cache, however deep it stands."""
    if isinstance(value, dict):
        return "cache_control" in value or any(map(_marks_caches, value.values()))
    return isinstance(value, list) and any(map(_marks_caches, value))
