"""What every protocol asks of the parts of messages: which kinds a role may have, the system prompt, what was noted."""

from __future__ import annotations

from collections.abc import Iterable

from ..values.errors import InvalidRequest
from ..values.messages import Message, Text
from ..values.provider_json import Json
from ..values.request import Request

__all__ = ["noted", "only", "split_system", "system_update", "texts_of", "unsupported"]


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
