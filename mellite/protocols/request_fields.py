"""Read the JSON of a request that a client has sent: fields by type, options, media; what is odd is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from ..values.errors import InvalidProviderOutput, InvalidRequest
from ..values.messages import Audio, CacheHint, Document, Image, Media, Message, Part, Text, ToolCall, Video
from ..values.options import Options
from ..values.provider_json import Json, JsonObject
from ..values.tools import ToolDefinition
from .json_values import shown
from .tool_calls import parse_arguments

__all__ = [
    "CallNames",
    "Fields",
    "call_written",
    "joined_turns",
    "media_of",
    "media_of_url",
    "options_read",
    "schema_read",
    "texts_read",
    "tools_named",
]

T = TypeVar("T")

#: The first half of a MIME type -> the part that holds such a file.
_KINDS: Final[Mapping[str, type[Media]]] = {"image": Image, "audio": Audio, "video": Video}


class Fields:
    """The fields of one JSON object, which are taken out one by one.

    Args:
        value: what should be an object.
        where: how to call it in errors, as in ``messages[0]``.

    Raises:
        InvalidRequest: if it is not an object.

    Example:
        >>> asked = Fields({"model": "m", "n": 1}, "")
        >>> asked.text("model"), asked.rest()
        ('m', {'n': 1})
    """

    __slots__ = ("_left", "where")

    def __init__(self, value: Json, where: str) -> None:
        self.where = where
        if not isinstance(value, Mapping):
            raise self.wrong(value, "", "an object")
        self._left: JsonObject = dict(value)

    def wrong(self, value: object, name: str, wanted: str) -> InvalidRequest:
        """Return the error for a field that is not `wanted`."""
        place = ".".join(filter(None, (self.where, name))) or "the body"
        msg = f"{place} must be {wanted}, not {shown(value)}"
        return InvalidRequest(msg, parameter=place)

    def unknown(self, kind: Json, known: Sequence[str]) -> InvalidRequest:
        """Return the error for an object of a type that no request of mellite's can hold."""
        msg = f"{self.where} is of the type {shown(kind)}, which cannot be read; known are {', '.join(known)}"
        return InvalidRequest(msg, parameter=self.where)

    def place(self, name: str) -> str:
        """Return how to call a field in errors."""
        return ".".join(filter(None, (self.where, name)))

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Json:
        """Take a field of any type; None if it is missing."""
        return self._left.pop(name, None)

    def _taken(self, name: str, kind: type[T], wanted: str) -> T | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, kind):
            raise self.wrong(value, name, wanted)
        return value

    def text(self, name: str) -> str | None:
        """Take a text; None if it is missing."""
        return self._taken(name, str, "a text")

    def needed(self, name: str) -> str:
        """Take a text that has to be there."""
        text = self.text(name)
        if text is None:
            raise self.wrong(None, name, "a text")
        return text

    def flag(self, name: str) -> bool | None:
        """Take a truth value; None if it is missing."""
        return self._taken(name, bool, "true or false")

    def inner(self, name: str) -> Fields | None:
        """Take an object; None if it is missing."""
        value = self._left.pop(name, None)
        return None if value is None else Fields(value, self.place(name))

    def items(self, name: str) -> list[Json]:
        """Take a list; an empty one if it is missing."""
        value = self._left.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(value, name, "a list")
        return value

    def objects(self, name: str) -> list[Fields]:
        """Take a list of objects; an empty one if it is missing."""
        return [Fields(value, f"{self.place(name)}[{number}]") for number, value in enumerate(self.items(name))]

    def put(self, name: str, value: Json) -> None:
        """Put back a field that turned out to be no business of the one who took it."""
        self._left[name] = value

    def rest(self) -> JsonObject:
        """Return the fields that were not taken."""
        return {name: value for name, value in self._left.items() if value is not None}


def options_read(fields: Fields, names: Mapping[str, str], **others: object) -> Options:
    """Return the generation options that a client gave.

    Args:
        fields: where they stand; they are taken out.
        names: our options -> the fields of the protocol.
        **others: options that were read already; None for those that were not given.

    Raises:
        InvalidRequest: for a value of the wrong type.
    """
    found: dict[str, object] = {ours: fields.take(theirs) for ours, theirs in names.items()}
    found |= others
    return Options.of({name: value for name, value in found.items() if value is not None})


class CallNames:
    """The names of the tools that were called, by the ids of the calls: results often say only the id."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def note(self, call: ToolCall) -> ToolCall:
        """Remember a call, and return it."""
        self._known[call.id] = call.name
        return call

    def of(self, id: str) -> str:
        """Return the name of the tool whose call has this id; the id itself, if there was no such call."""
        return self._known.get(id, id)


def call_written(id: str, name: str, raw: str) -> ToolCall:
    """Return a call whose arguments are the text that a model wrote, which may be no JSON.

    Example:
        >>> call_written("call_1", "f", '{"a": 1}').arguments
        {'a': 1}
    """
    try:
        arguments: Json = parse_arguments(raw)
    except InvalidProviderOutput:
        arguments = None
    return ToolCall(id, name, arguments, raw_arguments=raw)


def media_of(
    fields: Fields, data: str, media_type: str | None, *, filename: str | None = None, cache: CacheHint | None = None
) -> Media:
    """Return the part for a file in base64; text stays bytes.

    Raises:
        InvalidRequest: if it is not base64.
    """
    kind = _KINDS.get((media_type or "").partition("/")[0], Document)
    try:
        found = kind.from_base64(data, media_type=media_type, filename=filename)
    except InvalidRequest as error:
        msg = f"{fields.where}: {error}"
        raise InvalidRequest(msg, parameter=fields.where) from error
    return kind(found.data, media_type=found.media_type, filename=filename, cache=cache)


def media_of_url(fields: Fields, url: str, kind: type[Media] = Image, *, filename: str | None = None) -> Media:
    """Return the part for a file that is given by a URL, which may hold its bytes.

    Raises:
        InvalidRequest: if it holds bytes, and they are not base64.
    """
    if not url.startswith("data:"):
        return kind(url=url, filename=filename)
    try:
        return kind.from_base64(url, filename=filename)
    except InvalidRequest as error:
        msg = f"{fields.where}: {error}"
        raise InvalidRequest(msg, parameter=fields.where) from error


def texts_read(fields: Fields, name: str) -> list[Text]:
    """Take a text, or a list of parts of the type ``text``.

    Raises:
        InvalidRequest: for parts of other types.
    """
    value = fields.take(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise fields.wrong(value, name, "a text, or a list of texts")
    texts = []
    for number, item in enumerate(value):
        part = Fields(item, f"{fields.place(name)}[{number}]")
        kind = part.take("type")
        if kind not in ("text", "input_text", "output_text"):
            raise part.unknown(kind, ("text",))
        texts.append(Text(part.needed("text")))
    return texts


def joined_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages with the results of tools that follow each other as one message.

    Clients send the results of calls that ran at once as one message each.
    """
    turns: list[Message] = []
    for message in messages:
        if message.role == "tool" and turns and turns[-1].role == "tool":
            parts: tuple[Part, ...] = (*turns[-1].content, *message.content)
            turns[-1] = Message("tool", parts)
        else:
            turns.append(message)
    return tuple(turns)


def schema_read(fields: Fields, name: str) -> dict[str, Json]:
    """Return the JSON Schema of a tool's arguments; without one, that of a tool that takes none.

    Example:
        >>> schema_read(Fields({}, "tools[0]"), "parameters")
        {'type': 'object', 'properties': {}}
    """
    schema = fields.inner(name)
    return {"type": "object", "properties": {}} if schema is None else schema.rest()


def tools_named(tools: Sequence[ToolDefinition]) -> tuple[ToolDefinition, ...]:
    """Return the tools, if each has a name of its own.

    Raises:
        InvalidRequest: if two have the same.
    """
    names: set[str] = set()
    for tool in tools:
        if tool.name in names:
            msg = f"two tools are called {tool.name!r}; give each a name of its own"
            raise InvalidRequest(msg, parameter="tools")
        names.add(tool.name)
    return tuple(tools)
