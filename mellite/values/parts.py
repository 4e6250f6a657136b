"""The parts of messages: text, images, audio and files, thinking, tool calls and tool results."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, Final, Literal, Self, TypeAlias

from attrs import field, fields, frozen

from .errors import InvalidRequest
from .provider_json import Json
from .public_names import publish
from .shortened import shortened
from .telling_fields import fields_that_say_something
from .typed_fields import a_count, a_kind_of, one_of

__all__ = [
    "Audio",
    "CacheHint",
    "Document",
    "Image",
    "Media",
    "ProviderMetadata",
    "Reasoning",
    "Text",
    "ToolCall",
    "ToolResult",
    "ToolValue",
    "Video",
]

#: Data that one provider must get back, by provider name: ``{"anthropic": {"signature": "..."}}``.
ProviderMetadata: TypeAlias = Mapping[str, Mapping[str, Json]]

_A_CACHE_KIND: Final[Callable[[Any, Any, Literal["ephemeral", "persistent"]], None]] = one_of(
    ("ephemeral", "persistent")
)
_A_STR: Final = a_kind_of(str, "a str")
_A_STR_OR_NONE: Final = a_kind_of(str, "a str, or None", optional=True)


@frozen
class CacheHint:
    """Ask the provider to cache the prompt up to here.

    Args:
        type: ``ephemeral`` or ``persistent``; providers treat both alike today.
        ttl_seconds: how long, in seconds; from 3600 on, the provider's long cache is used if it has one.
    """

    type: Literal["ephemeral", "persistent"] = field(default="ephemeral", validator=_A_CACHE_KIND)
    ttl_seconds: int | None = field(default=None, kw_only=True, validator=a_count("a whole number of seconds, or None"))


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
            msg = f"Text takes a str, not {type(self.text).__name__}: {shortened(repr(self.text))}"
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
        filename: a name to show the model, if the protocol has a field for it.

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
        text: the thinking, as far as the provider shows it.
        encrypted: the provider's signature or its encrypted thinking, sent back unchanged.
    """

    text: str = field(validator=_A_STR)
    encrypted: str | None = field(default=None, kw_only=True)
    provider_metadata: ProviderMetadata | None = field(default=None, kw_only=True)


@frozen
class ToolCall:
    """A model's request to run a tool: a part of a message, of an event, and of ``thunk.tool_calls``.

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


publish(globals(), "mellite.messages")
