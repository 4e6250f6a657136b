"""The messages, tools and settings of inspect_ai, read as a request and its answer."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from ...values.errors import InvalidRequest
from ...values.messages import (
    Audio,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolResult,
    ToolValue,
    Video,
)
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ...values.tools import ToolDefinition
from ...values.usage import Usage
from .calls import Call, finish_reason, tool_call, usage_of
from .exchanges import Exchanges
from .source import Places

__all__ = ["call_of"]

#: Setting of inspect_ai -> option of a call.
_OPTIONS: Final = {
    "frequency_penalty": "frequency_penalty",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop_seqs": "stop",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
_MEDIA: Final[dict[str, type[Media]]] = {"audio": Audio, "document": Document, "image": Image, "video": Video}
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant"}


def call_of(event: JsonObject, found: Exchanges, where: str) -> Call | None:
    """Return the call that an event of a model stands for; None if it has no answer, which is noted.

    Raises:
        InvalidCassette: for a value that is not as expected.
    """
    places = found.places
    reader = _Reader(places)
    system, messages = reader.conversation(event.get("input"), f"{where}.input")
    output = places.fields(event.get("output"), f"{where}.output", optional=True)
    choices = places.items(output.get("choices"), f"{where}.output.choices", optional=True)
    if not choices:
        found.skip(where, "the call has no answer")
        return None
    if len(choices) > 1:
        found.say("answers after the first of several to one call")
    choice = places.fields(choices[0], f"{where}.output.choices[0]")
    at = f"{where}.output.choices[0].message"
    answer = reader.assistant(places.fields(choice.get("message"), at), at)
    provider, _, model = str(event.get("model") or "unknown").partition("/")
    tools = places.items(event.get("tools"), f"{where}.tools", optional=True)
    for kind in sorted({str(part.get("type")) for part in reader.unknown}):
        found.say(f"content of the type {kind!r}, which is kept as it is beside the calls that have it")
    try:
        request = Request.of(
            messages,
            system=system or None,
            tools=[_tool(tool, places, f"{where}.tools") for tool in tools] or None,
            **_options(event, places, where),
        )
    except InvalidRequest as error:
        found.skip(where, f"it cannot be asked again: {error}")
        return None
    return Call(
        provider=provider if model else "",
        model=model or provider,
        request=request,
        answer=answer,
        reason=finish_reason(choice.get("stop_reason")),
        usage=_usage(output.get("usage")),
        unknown=tuple(reader.unknown),
    )


def _options(event: JsonObject, places: Places, where: str) -> JsonObject:
    config = places.fields(event.get("config"), f"{where}.config", optional=True)
    options = {ours: config[name] for name, ours in _OPTIONS.items() if config.get(name) is not None}
    choice = event.get("tool_choice")
    if event.get("tools") and choice not in (None, "auto"):
        where = f"{where}.tool_choice"
        name = choice.get("name") if isinstance(choice, dict) else choice
        options["tool_choice"] = "required" if choice == "any" else places.text(name, where)
    return options


def _tool(tool: Json, places: Places, where: str) -> ToolDefinition:
    fields = places.fields(tool, where)
    name = places.text(fields.get("name"), f"{where}.name")
    parameters = places.fields(fields.get("parameters"), f"{where}.parameters", optional=True)
    return ToolDefinition(name, str(fields.get("description") or ""), input_schema=parameters)


def _usage(value: Json) -> Usage | None:
    """Return the usage; what inspect_ai calls input is without the cached part of it."""
    if not isinstance(value, dict):
        return None
    names = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")
    whole = {**value, "input_tokens": sum([count for name in names if isinstance(count := value.get(name), int)])}
    return usage_of(
        whole, cached="input_tokens_cache_read", written="input_tokens_cache_write", thought="reasoning_tokens"
    )


@define
class _Reader:
    """Reads messages, and keeps the content that no message can hold."""

    places: Places
    unknown: list[JsonObject] = field(factory=list)

    def conversation(self, value: Json, where: str) -> tuple[list[Text], list[Message]]:
        """Return the instructions at the beginning, and the messages after them."""
        system: list[Text] = []
        messages: list[Message] = []
        for number, item in enumerate(self.places.items(value, where)):
            place = f"{where}[{number}]"
            fields = self.places.fields(item, place)
            role = str(fields.get("role"))
            if role == "system":
                texts = [part for part in self.content(fields.get("content"), place) if isinstance(part, Text)]
                if messages:
                    messages.append(Message("system", texts))
                else:
                    system += texts
            elif role == "tool":
                self._add(messages, "tool", [self._result(fields, place)])
            elif role == "assistant":
                messages.append(Message("assistant", self.assistant(fields, place)))
            elif role in _ROLES:
                messages.append(Message(_ROLES[role], self.content(fields.get("content"), f"{place}.content")))
            else:
                self.places.refuse(f"{place}.role", "system, user, assistant or tool", role)
        return system, messages

    def _add(self, messages: list[Message], role: Role, parts: list[Part]) -> None:
        """Add results of tools to those before, which one message has together."""
        if messages and messages[-1].role == role:
            parts = [*messages.pop().content, *parts]
        messages.append(Message(role, parts))

    def assistant(self, fields: JsonObject, where: str) -> list[Part]:
        """Return the parts of an answer: content, then calls of tools."""
        parts = self.content(fields.get("content"), f"{where}.content")
        for number, item in enumerate(
            self.places.items(fields.get("tool_calls"), f"{where}.tool_calls", optional=True)
        ):
            place = f"{where}.tool_calls[{number}]"
            call = self.places.fields(item, place)
            name = self.places.text(call.get("function"), f"{place}.function")
            parts.append(tool_call(self.places.text(call.get("id"), f"{place}.id"), name, call.get("arguments")))
        return parts

    def _result(self, fields: JsonObject, where: str) -> ToolResult:
        id, name = str(fields.get("tool_call_id") or ""), str(fields.get("function") or "")
        error = fields.get("error")
        if isinstance(error, dict):
            return ToolResult(id, name, ToolValue("error", str(error.get("message") or fields.get("content"))))
        parts = [part for part in self.content(fields.get("content"), where) if isinstance(part, (Text, Media))]
        texts = [part.text for part in parts if isinstance(part, Text)]
        return ToolResult(id, name, "\n".join(texts) if len(texts) == len(parts) else parts)

    def content(self, value: Json, where: str) -> list[Part]:
        """Return the parts of a message's content."""
        if isinstance(value, str):
            return [Text(value)] if value else []
        parts: list[Part] = []
        for number, item in enumerate(self.places.items(value, where)):
            fields = self.places.fields(item, f"{where}[{number}]")
            part = self._part(fields, f"{where}[{number}]")
            if part is None:
                self.unknown.append(fields)
            else:
                parts.append(part)
        return parts

    def _part(self, fields: JsonObject, where: str) -> Part | None:
        kind = str(fields.get("type"))
        if kind == "text":
            return Text(self.places.text(fields.get("text"), f"{where}.text"))
        if kind == "reasoning":
            return _thinking(fields, self.places.text(fields.get("reasoning"), f"{where}.reasoning"))
        if kind not in _MEDIA:
            return None
        where = f"{where}.{kind}"
        url = self.places.text(fields.get(kind), where)
        if url.startswith("data:"):
            try:
                return _MEDIA[kind].from_base64(url)
            except InvalidRequest:
                self.places.refuse(where, "base64", "something else")
        return _MEDIA[kind](url=url) if url.startswith("http") else None  # a file that is not in the log


def _thinking(fields: JsonObject, text: str) -> Reasoning:
    if fields.get("redacted"):
        return Reasoning("", provider_metadata={"anthropic": {"redacted_data": text}})
    signature = fields.get("signature")
    return Reasoning(text, encrypted=signature if isinstance(signature, str) else None)
