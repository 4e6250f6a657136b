"""Messages of parts that need no looking at, made without the checks that one which a caller writes needs."""

from __future__ import annotations

from .filling import setters_of
from .messages import Message, Part, Role

__all__ = ["message_of"]

_set_role, _set_content, _set_id, _set_metadata, _set_native = setters_of(Message)


def message_of(role: Role, content: tuple[Part, ...]) -> Message:
    """Return the message with a role and parts that are what they should be.

    Example:
        >>> from .messages import Text
        >>> message_of("user", (Text("Hello."),)) == Message.user("Hello.")
        True
    """
    made = Message.__new__(Message)
    _set_role(made, role)
    _set_content(made, content)
    _set_id(made, None)
    _set_metadata(made, None)
    _set_native(made, None)
    return made
