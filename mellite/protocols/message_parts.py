"""Rules of every protocol for the parts of messages: which kinds a role may have, the system prompt, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..values.errors import InvalidRequest
from ..values.messages import Message, Text
from ..values.provider_json import Json, JsonObject
from ..values.request import Request

__all__ = [
    "as_turns",
    "has_plain_system",
    "noted",
    "only",
    "plain_turns",
    "split_system",
    "system_update",
    "texts_of",
    "unsupported",
]


def unsupported(part: object, role: str, kinds: Iterable[str], *, who: str) -> InvalidRequest:
    """Return the error for a part that a message of its role cannot carry.

    Args:
        part: the part.
        role: the role of its message.
        kinds: the names of the types that such a message takes.
        who: the protocol's name.
    """
    msg = f"{who} {role} messages take parts of the types {', '.join(kinds)}, not {type(part).__name__}"
    return InvalidRequest(msg, parameter="messages")


def only(message: Message, kinds: tuple[type, ...], *, who: str) -> None:
    """Look through the parts of a message.

    Raises:
        InvalidRequest: if one is of another kind.
    """
    for part in message.content:
        if not isinstance(part, kinds):
            raise unsupported(part, message.role, [kind.__name__ for kind in kinds], who=who)


def texts_of(message: Message, *, who: str) -> list[Text]:
    """Return the texts of a system message.

    Raises:
        InvalidRequest: if the message has anything else.
    """
    only(message, (Text,), who=who)
    return [part for part in message.content if isinstance(part, Text)]


def split_system(request: Request, *, who: str) -> tuple[list[list[Text]], list[Message]]:
    """Return the system prompt and the rest of the conversation.

    System messages at the beginning belong to the system prompt; later ones are updates.

    Returns:
        The texts of the system prompt, those of one message together; and the other messages.

    Raises:
        InvalidRequest: if a system message at the beginning has anything but text.
    """
    turns = list(request.messages)
    system = [[part] for part in request.system] if request.system else []
    while turns and turns[0].role == "system":
        system.append(texts_of(turns.pop(0), who=who))
    return system, turns


def plain_turns(request: Request) -> list[str] | None:
    """Return the texts of user and model taking turns, the user first, each with one text that says something.

    Return None for any other conversation, and where something is noted of a message or a text. Most requests are so
    plain that nothing has to be decided about them, and are written in fewer steps.

    Example:
        >>> plain_turns(Request.of([Message.user("Hi."), Message.assistant("Yes?"), Message.user("Go on.")]))
        ['Hi.', 'Yes?', 'Go on.']
        >>> plain_turns(Request.of([Message.user("Hi."), Message.user("Hello?")])) is None
        True
    """
    texts: list[str] = []
    role = "user"
    for message in request.messages:
        content = message.content
        if message.role != role or message.native is not None or not content or content[1:]:
            return None
        part = content[0]
        if type(part) is not Text or part.cache is not None or part.provider_metadata is not None:
            return None
        text = part.text
        if not text or (not " " < text[0] < "\x7f" and not text.strip()):
            return None
        texts += (text,)
        role = "user" if role == "assistant" else "assistant"
    return texts


def has_plain_system(request: Request) -> bool:
    """Return whether all texts of the system prompt say something, and none is marked for the cache."""
    return not request.system or all(part.cache is None and part.text.strip() for part in request.system)


def as_turns(texts: Sequence[str]) -> list[JsonObject]:
    """Write the texts of `plain_turns` as messages, as most protocols have them."""
    turns: list[JsonObject] = []
    role = "user"
    for text in texts:
        turns += ({"role": role, "content": text},)
        role = "user" if role == "assistant" else "assistant"
    return turns


def system_update(text: str) -> str:
    r"""Write instructions in the middle of a conversation as text of the user, which is all that most servers take.

    Example:
        >>> system_update("a < b")
        '<system-update>\na &lt; b\n</system-update>'
    """
    from xml.sax.saxutils import escape  # imports an HTTP client, which most conversations do without

    return f"<system-update>\n{escape(text)}\n</system-update>"


def noted(part: object, namespace: str, name: str) -> Json:
    """Return what an earlier answer noted of a part, to be sent back; None if it noted nothing."""
    metadata = getattr(part, "provider_metadata", None)
    return None if not metadata else (metadata.get(namespace) or {}).get(name)
