"""Write calls of which only the messages were kept as the HTTP that would have carried them.

The request is what mellite sends for those messages, so that the same messages are answered again. The answer is
written as the provider of the model would, whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, field, frozen

from ...cassettes.bodies import Body, decoded
from ...cassettes.interactions import HttpInteraction, RecordedRequest, RecordedResponse
from ...protocols.answer_blocks import AnswerWriter, json_line
from ...protocols.anthropic_messages.answer_writing import AnthropicWriter
from ...protocols.cohere_chat.answer_writing import CohereWriter
from ...protocols.gemini.answer_writing import GeminiWriter
from ...protocols.openai_chat.answer_writing import ChatWriter
from ...providers import anthropic, cohere, google, openai
from ...providers.catalog import find, providers_of, split
from ...providers.compatible import HOSTS
from ...values.errors import ConfigurationError, InvalidRequest
from ...values.events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCallEvent,
)
from ...values.messages import Part, Reasoning, Text, ToolCall
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.usage import Usage
from .exchanges import Exchanges

__all__ = ["Call", "add_call", "add_exchange", "base_url_of", "finish_reason", "provider_of", "tool_call", "usage_of"]

_WRITERS: Final[Mapping[str, Callable[..., AnswerWriter]]] = {
    "anthropic-messages": AnthropicWriter,
    "cohere-chat": CohereWriter,
    "gemini": GeminiWriter,
    "openai-chat": ChatWriter,
}

#: Provider -> who is asked in its place, and where: the environment has no say in what a file says.
_ASKED: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("anthropic", anthropic.BASE_URL),
    "cohere": ("cohere", cohere.BASE_URL),
    "google": ("google", google.BASE_URL),
    "openai": ("openai-chat", openai.BASE_URL),
}
_NAMES: Final = {"google-gla": "google", "gemini": "google", "claude": "anthropic"}

#: What tools call the reasons for which an answer ended.
_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_call": "tool-calls",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
    "content_filter": "content-filter",
    "error": "error",
}


@frozen(kw_only=True)
class Call:
    """One call of a model, as far as a tool has kept it.

    Args:
        provider: who was asked, by the tool's name; empty if it does not say.
        model: the model.
        request: what was asked.
        answer: the parts of the answer.
        reason: why it ended.
        usage: the tokens used, if they are known.
        unknown: parts that could not be read, as they stand in the file; they are kept beside the call.
    """

    provider: str
    model: str
    request: Request
    answer: Sequence[Part]
    reason: FinishReason = "stop"
    usage: Usage | None = None
    unknown: Sequence[Json] = field(default=())


def finish_reason(word: object) -> FinishReason:
    """Return mellite's word for the reason of another tool.

    Example:
        >>> finish_reason("tool_call"), finish_reason(None)
        ('tool-calls', 'unknown')
    """
    return _REASONS.get(word, "unknown") if isinstance(word, str) else "unknown"


def usage_of(value: Json, *, cached: str, written: str, thought: str) -> Usage | None:
    """Return the usage in an object with ``input_tokens`` and ``output_tokens``, and what it calls the parts of them.

    Example:
        >>> names = {"cached": "read", "written": "write", "thought": "reasoning"}
        >>> usage_of({"input_tokens": 3, "output_tokens": 2, "read": 1}, **names).total_tokens
        5
    """
    if not isinstance(value, dict):
        return None

    def count(name: str) -> int | None:
        found = value.get(name)
        return found if isinstance(found, int) and found > 0 else None

    return Usage.of(
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        cache_read_input_tokens=count(cached),
        cache_write_input_tokens=count(written),
        reasoning_tokens=count(thought),
    )


def tool_call(id: str, name: str, arguments: Json) -> ToolCall:
    """Return a call of a tool, whose arguments are an object, or the text that the model wrote."""
    if not isinstance(arguments, str):
        return ToolCall(id, name, arguments or {})
    is_json, value = decoded(arguments)
    return ToolCall(id, name, value if is_json else None, raw_arguments=arguments)


def provider_of(name: str, model: str) -> str:
    """Return whose API a call is written for: that of the provider, or else the maker of the model, or else OpenAI.

    Example:
        >>> provider_of("openai", "gpt-4o"), provider_of("bedrock", "claude-haiku-4-5"), provider_of("", "mine")
        ('openai', 'anthropic', 'openai')
        >>> provider_of("", "mistral-small-latest")
        'mistral'
    """
    known = _NAMES.get(name, name)
    if known in _ASKED or known in HOSTS:
        return known
    maker = split(model)[0]
    makers = [_NAMES.get(maker, maker), *providers_of(model)]
    hosts = [one for one in makers if one in HOSTS]
    return next((one for one in makers if one in _ASKED), hosts[0] if len(hosts) == 1 else "openai")


def base_url_of(provider: str) -> str:
    """Return where a provider's API is, given a name that `provider_of` has returned."""
    return _ASKED[provider][1] if provider in _ASKED else HOSTS[provider].base_url


def add_call(found: Exchanges, call: Call, where: str) -> None:
    """Add a call to what was found in a file; one that cannot be asked in HTTP is left out, and named."""
    provider = provider_of(call.provider, call.model)
    name, url = _ASKED.get(provider, (provider, ""))
    try:
        route = find(f"{name}:{call.model}", api_key="not-sent", base_url=url or HOSTS[provider].base_url)
        asked = evolve(call.request, model=None, options=evolve(call.request.options, stream=False))
        prepared = route.prepare(asked)
    except (ConfigurationError, InvalidRequest) as error:
        found.skip(where, f"it cannot be asked again: {error}")
        return
    writer = _WRITERS[route.protocol.id](model=call.model, id="imported", created=0)
    for event in _events(call):
        writer.write(event)
    data = json_line(writer.whole())
    found.say(f"what went over the network: requests and answers are rewritten, as {route.protocol.id} has them")
    if provider != _NAMES.get(call.provider, call.provider):
        found.say(f"who was asked for {call.model}: {call.provider or 'unknown'}; it is written as if {provider} was")
    interaction = HttpInteraction(
        RecordedRequest(
            prepared.method,
            prepared.url,
            headers={"content-type": "application/json"},
            body=Body.of(prepared.body),
        ),
        RecordedResponse(200, headers={"content-type": "application/json"}, body=Body.of(data)),
        extra={"unknown_parts": list(call.unknown)} if call.unknown else {},
    )
    found.add(interaction, len(prepared.body) + len(data))


def add_exchange(found: Exchanges, url: str, asked: JsonObject, status: int, answer: Json) -> None:
    """Add a call of which the JSON of both sides was kept."""
    sides = [json.dumps(side, separators=(",", ":"), ensure_ascii=True) for side in (asked, answer)]
    headers = {"content-type": "application/json"}
    request = RecordedRequest("POST", url, headers=headers, body=Body(sides[0]))
    response = RecordedResponse(status, headers=headers, body=Body(sides[1]))
    found.add(HttpInteraction(request, response), sum(map(len, sides)))


def _events(call: Call) -> Iterator[Event]:
    for number, part in enumerate(call.answer):
        if isinstance(part, Text):
            yield TextDelta(part.text, f"text-{number}")
            yield TextEnd(f"text-{number}")
        elif isinstance(part, Reasoning):
            yield ReasoningDelta(part.text, f"reasoning-{number}")
            noted = part.provider_metadata or {}
            if part.encrypted is not None:
                noted = {**noted, "anthropic": {"signature": part.encrypted}}
            yield ReasoningEnd(f"reasoning-{number}", provider_metadata=noted or None)
        elif isinstance(part, ToolCall):
            yield ToolCallEvent(part)
    yield Finish(call.reason, usage=call.usage)
