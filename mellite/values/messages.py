"""Messages and their parts: text, images, audio and files, thinking, tool calls and tool results."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, Self, TypeAlias, cast, get_args

from attrs import field, fields, frozen

from .errors import InvalidRequest
from .provider_json import Json
from .public_names import publish
from .telling_fields import fields_that_say_something
from .typed_fields import a_count, a_kind_of, one_of

__all__ = [
    "Audio",
    "CacheHint",
    "Content",
    "Deferred",
    "Document",
    "Image",
    "Media",
    "Message",
    "Part",
    "ProviderMetadata",
    "Reasoning",
    "Role",
    "Text",
    "ToolCall",
    "ToolResult",
    "ToolValue",
    "Video",
    "WholeAnswer",
]

#: Who speaks in a message.
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

#: What one provider wants to see again, by provider name: ``{"anthropic": {"signature": "..."}}``.
ProviderMetadata: TypeAlias = Mapping[str, Mapping[str, Json]]


class Deferred:
    """A part whose text is not known yet; a thunk is one.

    It is settled before the message is sent, and only its text is. `WholeAnswer` stands for the whole of it.
    """

    __slots__ = ()

    def deferred_on(self) -> Deferred:
        """Return the thunk that has to settle first: itself, unless this part only refers to one."""
        return self

    def deferred_text(self) -> str:
        """Return the text of a settled thunk; raise its error if it has none."""
        msg = f"{type(self).__name__} does not say what its text is"
        raise InvalidRequest(msg)

    def deferred_messages(self) -> tuple[Message, ...]:
        """Return the messages that a settled thunk adds to a history; raise its error if it failed."""
        msg = f"{type(self).__name__} does not say what its messages are"
        raise InvalidRequest(msg)


_A_STR: Final = a_kind_of(str, "a str")
_A_STR_OR_NONE: Final = a_kind_of(str, "a str, or None", optional=True)


@frozen
class CacheHint:
    """Ask the provider to cache the prompt up to here.

    Args:
        type: ``ephemeral`` or ``persistent``; providers treat both alike today.
        ttl_seconds: how long, in seconds; from 3600 on the provider's long cache is used where it has one.
    """

    type: Literal["ephemeral", "persistent"] = "ephemeral"
    ttl_seconds: int | None = field(default=None, kw_only=True, validator=a_count("a whole number of seconds, or None"))

    def __attrs_post_init__(self) -> None:
        if self.type not in ("ephemeral", "persistent"):
            msg = f"'type' of CacheHint must be 'ephemeral' or 'persistent', not {_short(self.type)}"
            raise InvalidRequest(msg, parameter="type")


_A_HINT: Final = a_kind_of(CacheHint, "a CacheHint, or None", optional=True)


@frozen
class Text:
    """Plain text.

    Example:
        >>> Text("Hello.").text
        'Hello.'
    """

    text: str
    cache: CacheHint | None = field(default=None, kw_only=True)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)

    __rich_repr__ = fields_that_say_something

    def __attrs_post_init__(self) -> None:
        if type(self.text) is str and self.cache is None:
            return
        if not isinstance(self.text, str):
            msg = f"Text takes a str, not {type(self.text).__name__}: {_short(self.text)}"
            raise InvalidRequest(msg)
        _A_HINT(self, fields(Text).cache, self.cache)


@frozen
class Media:
    """A picture, sound, film or document: its bytes, or a URL that the provider fetches.

    mellite never fetches a URL. Use one of the subclasses.

    Args:
        data: the bytes themselves (not base64); None if `url` is given.
        url: where the provider finds it.
        media_type: the MIME type, as in ``image/png``.
        filename: a name to show the model, where the protocol has a place for it.

    Raises:
        InvalidRequest: if there is neither data nor a URL, or both.

    Example:
        >>> Image(b"GIF89a", media_type="image/gif").media_type
        'image/gif'
    """

    data: bytes | None = field(default=None, repr=lambda data: "None" if data is None else f"<{len(data)} bytes>")
    url: str | None = field(default=None, kw_only=True, validator=_A_STR_OR_NONE)
    media_type: str | None = field(default=None, kw_only=True, validator=_A_STR_OR_NONE)
    filename: str | None = field(default=None, kw_only=True, validator=_A_STR_OR_NONE)
    cache: CacheHint | None = field(default=None, kw_only=True, validator=_A_HINT)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        kind = type(self).__name__
        if (self.data is None) == (self.url is None):
            msg = f"{kind} takes its bytes or a url, one of the two: {kind}(data, media_type=...) or {kind}(url=...)"
            raise InvalidRequest(msg)
        if self.data is not None and not isinstance(self.data, bytes):
            msg = (
                f"{kind} takes bytes, not {type(self.data).__name__}; for a file use {kind}.from_path(...), "
                f"for base64 {kind}.from_base64(...)"
            )
            raise InvalidRequest(msg)

    @classmethod
    def from_path(cls, path: str | PathLike[str], *, media_type: str | None = None) -> Self:
        """Read a file now; the MIME type follows from its name unless given.

        Raises:
            InvalidRequest: if the file cannot be read, or its type is unknown.
        """
        import mimetypes
        from pathlib import Path

        try:
            file = Path(path)
        except TypeError as error:
            msg = f"from_path takes a path, not {type(path).__name__}; for bytes there is {cls.__name__}(data)"
            raise InvalidRequest(msg) from error
        media_type = media_type or mimetypes.guess_type(file.name)[0]
        if media_type is None:
            msg = f"cannot tell the media type of {file.name!r} from its name; say media_type=..."
            raise InvalidRequest(msg)
        try:
            data = file.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            msg = f"cannot read {str(file)!r}: {getattr(error, 'strerror', None) or error}"
            raise InvalidRequest(msg) from error
        return cls(data, media_type=media_type, filename=file.name)

    @classmethod
    def from_base64(cls, text: str, *, media_type: str | None = None, filename: str | None = None) -> Self:
        """Decode base64, or a base64 ``data:`` URL, which brings its own MIME type.

        Raises:
            InvalidRequest: if it is not valid base64, or names another type than `media_type`.
        """
        if not isinstance(text, str):
            msg = f"{cls.__name__}.from_base64 takes a str, not {type(text).__name__}; bytes of ASCII have .decode()"
            raise InvalidRequest(msg)
        if text.startswith("data:"):
            head, comma, text = text.partition(",")
            named, _, rest = head[len("data:") :].partition(";")
            if not comma or "base64" not in rest.split(";"):
                msg = "a data URL for media must be base64: data:image/png;base64,..."
                raise InvalidRequest(msg)
            if media_type is not None and named and named != media_type:
                msg = f"media type {media_type!r} does not match the data URL's {named!r}"
                raise InvalidRequest(msg)
            media_type = media_type or named or None
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            msg = f"{cls.__name__} data is not valid base64: {error}"
            raise InvalidRequest(msg) from error
        return cls(data, media_type=media_type, filename=filename)


class Image(Media):
    """A picture.

    Example:
        >>> Image(url="https://example.com/cat.png").url
        'https://example.com/cat.png'
    """

    __slots__ = ()


class Audio(Media):
    """A sound recording."""

    __slots__ = ()


class Video(Media):
    """A film."""

    __slots__ = ()


class Document(Media):
    """A file to read, such as a PDF."""

    __slots__ = ()


@frozen
class Reasoning:
    """The model's thinking; kept in the history because some providers want it back.

    Args:
        text: the thinking as far as the provider shows it.
        encrypted: the provider's signature or its encrypted thinking, sent back unchanged.
    """

    text: str = field(validator=_A_STR)
    encrypted: str | None = field(default=None, kw_only=True)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)


@frozen
class ToolCall:
    """The model asks for a tool to be run: a part of a message, of an event, and of ``thunk.tool_calls``.

    Args:
        id: the provider's id of this call; the result refers to it.
        name: the tool.
        arguments: the decoded JSON, usually a dict; None if what the model wrote is not JSON.
        raw_arguments: the text that the model wrote, kept beside the decoded object.
        provider_executed: the provider runs it itself (web search and the like); do not run it.

    Example:
        >>> ToolCall("call_1", "get_weather", {"city": "Paris"}).arguments["city"]
        'Paris'
    """

    id: str = field(validator=_A_STR)
    name: str = field(validator=_A_STR)
    arguments: Json = None
    raw_arguments: str | None = field(default=None, kw_only=True)
    provider_executed: bool = field(default=False, kw_only=True)
    cache: CacheHint | None = field(default=None, kw_only=True, validator=_A_HINT)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)

    __rich_repr__ = fields_that_say_something


@frozen
class ToolValue:
    """The value that a tool returned, and how to show it: as JSON, text, an error or parts."""

    type: Literal["json", "text", "error", "content"] = field(validator=one_of(("json", "text", "error", "content")))
    value: Any = None


def _tool_value(value: object) -> ToolValue:
    if isinstance(value, ToolValue):
        return value
    if isinstance(value, str):
        return ToolValue("text", value)
    if isinstance(value, (Text, Media)):
        return ToolValue("content", (value,))
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, (Text, Media)) for part in value):
        return ToolValue("content", tuple(value))
    return ToolValue("json", value)


@frozen
class ToolResult:
    """The result of running a tool, for the model to read.

    Args:
        id: the id of the tool call that it answers.
        name: the tool.
        result: a str is sent as text, Text and Image parts as they are, anything else as JSON;
            ``ToolValue("error", "...")`` tells the model that it failed.

    Example:
        >>> ToolResult("call_1", "get_weather", {"temperature": 22}).result.type
        'json'
    """

    id: str = field(validator=_A_STR)
    name: str = field(validator=_A_STR)
    result: ToolValue = field(converter=_tool_value)
    provider_executed: bool = field(default=False, kw_only=True)
    cache: CacheHint | None = field(default=None, kw_only=True, validator=_A_HINT)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)

    __rich_repr__ = fields_that_say_something


#: A part of a message; a thunk is one, too, as its text.
Part: TypeAlias = Text | Media | Reasoning | ToolCall | ToolResult | Deferred

#: What a message constructor takes: a part, or a str for a Text.
Content: TypeAlias = str | Part

_WHOLE = frozenset({Text, ToolCall, ToolResult})
_PARTS = (Text, Media, Reasoning, ToolCall, ToolResult, Deferred)


def _part(value: object) -> Part:
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, _PARTS):
        return value
    for_files = (
        "; for a file, give Image.from_path(...), or that of another kind" if isinstance(value, PathLike) else ""
    )
    msg = (
        f"a message is made of str, Text, Image, Audio, Video, Document, Reasoning, ToolCall, ToolResult "
        f"or a thunk, not {type(value).__name__}: {_short(value)}{for_files}"
    )
    raise InvalidRequest(msg)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _parts(content: str | Part | Sequence[Content]) -> tuple[Part, ...]:
    if isinstance(content, (list, tuple)):
        if len(content) == 1 and type(content[0]) in _WHOLE:  # nearly all there are
            return (cast("Part", content[0]),)
        return tuple([_part(item) for item in content])
    return (_part(content),)


@frozen
class WholeAnswer(Deferred):
    """All messages of an answer that may not have settled: thinking and tool calls too, of a run those of all steps.

    A message whose only part is one is replaced by these messages before the request is sent.

    Args:
        of: the thunk or run.
    """

    of: Deferred
    _messages: tuple[Message, ...] | None = field(default=None, init=False, eq=False, repr=False)

    @classmethod
    def message(cls, of: Deferred) -> Message:
        """Return the message that stands in a history for those of a thunk or run."""
        return Message("assistant", (cls(of),))

    @staticmethod
    def in_place_of(message: Message) -> WholeAnswer | None:
        """Return the answer whose messages a message stands for; None for any other message."""
        content = message.content
        return content[0] if len(content) == 1 and isinstance(content[0], WholeAnswer) else None

    def deferred_on(self) -> Deferred:
        """Return the thunk that has to settle first."""
        return self.of.deferred_on()

    def deferred_text(self) -> str:
        """Return the text of the answer."""
        return self.of.deferred_text()

    def deferred_messages(self) -> tuple[Message, ...]:
        """Return the messages, always the same objects: later turns of a conversation hold them, too."""
        if self._messages is None:
            object.__setattr__(self, "_messages", self.of.deferred_messages())
        return cast("tuple[Message, ...]", self._messages)


_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_KNOWN_ROLES: Final[Mapping[str, Role]] = {role: role for role in _ROLES}

#: What other libraries call the roles; only ``developer`` is taken for what it means.
_OTHER_ROLES = {
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "developer": "system",
    "function": "tool",
    "human": "user",
    "instructions": "system",
    "model": "assistant",
}


def _role(value: object) -> Role:
    if type(value) is str and (known := _KNOWN_ROLES.get(value)) is not None:
        return known
    for role in _ROLES:
        if value == role:
            return role
    if value == "developer":
        return "system"
    if not isinstance(value, str):
        msg = f"a role is one of {', '.join(map(repr, _ROLES))}, not {_short(value)}"
        raise InvalidRequest(msg, parameter="role")
    from .spelling import did_you_mean

    said = did_you_mean(value, _ROLES, aliases=_OTHER_ROLES, otherwise="the roles are")
    msg = f"there is no role {_short(value)}; {said}"
    raise InvalidRequest(msg, parameter="role")


@frozen
class Message:
    """One turn of a conversation: who speaks, and the parts of what is said.

    Usually made with `Message.system`, `Message.user`, `Message.assistant` or `Message.tool`.

    Args:
        role: ``system``, ``user``, ``assistant`` or ``tool``; ``developer``, as OpenAI says, is ``system``.
        content: the parts; a str stands for a Text, one part for a tuple of one.
        id: the caller's own id, never sent.
        metadata: the caller's own notes, never sent.
        native: what one protocol wants to see again and no part can hold.

    Raises:
        InvalidRequest: for an unknown role, with the nearest one; and for a part of a type that messages are not
            made of.

    Example:
        >>> Message.user("What is this?", Image(url="https://example.com/cat.png")).text
        'What is this?'
    """

    role: Role = field(converter=_role)
    content: tuple[Part, ...] = field(converter=_parts)
    id: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    native: Mapping[str, Any] | None = field(default=None, kw_only=True)

    __rich_repr__ = fields_that_say_something

    @classmethod
    def system(cls, *content: Content) -> Message:
        """Make a message with instructions that apply from this point of the conversation."""
        return cls("system", content)

    @classmethod
    def user(cls, *content: Content) -> Message:
        """Make a message of the user: text, pictures, files, thunks."""
        return cls("user", content)

    @classmethod
    def assistant(cls, *content: Content) -> Message:
        """Make a message of the model; ``thunk.message`` is one."""
        return cls("assistant", content)

    @classmethod
    def tool(cls, *results: ToolResult) -> Message:
        """Make a message with the results of the tools that the message before asked for."""
        return cls("tool", results)

    @property
    def text(self) -> str:
        """The text parts, joined; thinking, tool calls and files are left out."""
        return "".join([part.text for part in self.content if isinstance(part, Text)])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls among the parts, in order."""
        return tuple([part for part in self.content if isinstance(part, ToolCall)])


publish(globals(), "mellite.messages")
