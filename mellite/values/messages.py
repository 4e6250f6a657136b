"""Messages: who speaks, and what is said, of which some may not be known yet. `mellite.values.parts` has the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from attrs import field, frozen

from .errors import InvalidRequest
from .parts import (
    Audio,
    CacheHint,
    Document,
    Image,
    Media,
    ProviderMetadata,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolValue,
    Video,
)
from .public_names import publish
from .shortened import shortened
from .telling_fields import fields_that_say_something

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


class Deferred:
    """A part whose text is not known yet; a thunk is one.

    It is settled before the message is sent, and only its text is sent. `WholeAnswer` stands for all of it.
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


#: A part of a message; a thunk is one, too, as its text.
Part: TypeAlias = Text | Media | Reasoning | ToolCall | ToolResult | Deferred

#: The arguments of a message constructor: a part, or a str for a Text.
Content: TypeAlias = str | Part

_WHOLE = frozenset({Text, ToolCall, ToolResult})


def _part(value: object) -> Part:
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, Part):
        return value
    for_files = (
        "; for a file, give Image.from_path(...), or that of another kind" if isinstance(value, PathLike) else ""
    )
    msg = (
        f"a message is made of str, Text, Image, Audio, Video, Document, Reasoning, ToolCall, ToolResult "
        f"or a thunk, not {type(value).__name__}: {shortened(repr(value))}{for_files}"
    )
    raise InvalidRequest(msg)


def _parts(content: str | Part | Sequence[Content]) -> tuple[Part, ...]:
    if isinstance(content, (list, tuple)):
        if len(content) == 1 and type(content[0]) in _WHOLE:  # nearly all there are
            return (cast("Part", content[0]),)
        return tuple([_part(item) for item in content])
    return (_part(content),)


@frozen
class WholeAnswer(Deferred):
    """All messages of an answer that may not have settled, with thinking and tool calls; for a run, those of all steps.

    A message whose only part is a `WholeAnswer` is replaced by these messages before the request is sent.

    Args:
        of: the thunk or run.
    """

    of: Deferred
    _messages: tuple[Message, ...] | None = field(default=None, init=False, eq=False, repr=False)

    @classmethod
    def message(cls, of: Deferred) -> Message:
        """Return a placeholder message for those of a thunk or run, to put into a history."""
        return Message("assistant", (cls(of),))

    @staticmethod
    def in_place_of(message: Message) -> WholeAnswer | None:
        """Return the answer that a placeholder message stands for; None for any other message."""
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
        msg = f"a role is one of {', '.join(map(repr, _ROLES))}, not {shortened(repr(value))}"
        raise InvalidRequest(msg, parameter="role")
    from .spelling import did_you_mean

    said = did_you_mean(value, _ROLES, aliases=_OTHER_ROLES, otherwise="the roles are")
    msg = f"there is no role {shortened(repr(value))}; {said}"
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
        native: data that one protocol must get back, and that no part can hold.

    Raises:
        InvalidRequest: for an unknown role, with the nearest one; and for a part of another type.

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
        """Make a user message from text, pictures, files and thunks."""
        return cls("user", content)

    @classmethod
    def assistant(cls, *content: Content) -> Message:
        """Make an assistant message, such as ``thunk.message``."""
        return cls("assistant", content)

    @classmethod
    def tool(cls, *results: ToolResult) -> Message:
        """Make a message with the results of the tools that the previous message called."""
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
