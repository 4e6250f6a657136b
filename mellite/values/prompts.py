"""Turn what a caller may write as a prompt or a system prompt into messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .errors import InvalidRequest
from .filling import setters_of
from .messages import Message, Part, Text

__all__ = ["messages_of", "system_of"]

#: What a thunk and a run print as; compiled when something like it is seen.
_THUNK: Final = "<ModelOutputThunk "
_RUN: Final = "<Run "
_PRINTED: Final = (
    f"(?:{_THUNK}|{_RUN})(?:pending|running|done|failed|cancelled)"
    r"(?:(?: [a-z-]+| so far)? after \d+ steps?)? (?:prompt|text|error)="
)


def messages_of(prompt: object) -> tuple[Message, ...]:
    """Return the messages that a prompt stands for; see `mellite.request.Request.of`.

    Raises:
        InvalidRequest: for what is not a prompt.

    Example:
        >>> messages_of("Hello.")[0].role
        'user'
        >>> [message.role for message in messages_of([("user", "Hello."), ("assistant", "Yes?")])]
        ['user', 'assistant']
    """
    if type(prompt) is str and _THUNK not in prompt and _RUN not in prompt:
        return (_user_text(prompt),)
    if isinstance(prompt, str):
        _check_text(prompt)
        return (Message("user", (Text(prompt),)),)
    if isinstance(prompt, Message):
        return (prompt,)
    if isinstance(prompt, Part):
        return (Message("user", (prompt,)),)
    if isinstance(prompt, Mapping):
        return _written_by_hand((prompt,))
    if not isinstance(prompt, (list, tuple)):
        msg = (
            "a prompt is a str, a Message, a dict with a role and a content, a Request, or a sequence of messages or "
            f"parts, not {type(prompt).__name__}"
        )
        raise InvalidRequest(msg, parameter="prompt")
    if not prompt:
        msg = "the prompt is an empty sequence; give at least one message or part"
        raise InvalidRequest(msg, parameter="prompt")
    return _of_sequence(prompt)


# Nearly every prompt is one text: there is nothing to convert or check.
_set_text, _set_text_cache, _set_text_metadata = setters_of(Text)
_set_role, _set_content, _set_id, _set_metadata, _set_native = setters_of(Message)


def _user_text(text: str) -> Message:
    """Return a message of the user with one text."""
    part: Text = Text.__new__(Text)
    _set_text(part, text)
    _set_text_cache(part, None)
    _set_text_metadata(part, None)
    message: Message = Message.__new__(Message)
    _set_role(message, "user")
    _set_content(message, (part,))
    _set_id(message, None)
    _set_metadata(message, None)
    _set_native(message, None)
    return message


def _written_by_hand(prompt: Sequence[Any]) -> tuple[Message, ...]:
    """Return the messages that dicts and pairs stand for."""
    from .chat_messages import conversation  # most programs write none: this is a part of every import otherwise

    return conversation(prompt)


def _of_sequence(prompt: Sequence[Any]) -> tuple[Message, ...]:
    """Read a sequence: a history, or the parts of one user message."""
    if all(isinstance(item, Message) for item in prompt):
        return tuple(prompt)
    # In a tuple a pair would be a tuple in a tuple; a bare ("user", "Hello.") is two parts.
    spelled = (Message, Mapping, tuple) if isinstance(prompt, list) else (Message, Mapping)
    are_messages = [isinstance(item, spelled) for item in prompt]
    if all(are_messages):
        return _written_by_hand(prompt)
    if any(are_messages):
        index = are_messages.index(not are_messages[0])
        msg = (
            "a prompt is either a history of messages or the parts of one user message; this sequence mixes both: "
            f"element {index} is {'a message' if are_messages[index] else 'none'}, the ones before it are "
            f"{'not' if are_messages[index] else 'messages'}"
        )
        raise InvalidRequest(msg, parameter="prompt")
    for index, item in enumerate(prompt):
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, list):
            msg = f"element {index} of the prompt is a list; a message in short is a pair, a tuple: ('user', 'Hello.')"
            raise InvalidRequest(msg, parameter="prompt")
    return (Message("user", tuple(prompt)),)


def system_of(system: object) -> tuple[Text, ...]:
    """Return the texts of a system prompt.

    Raises:
        InvalidRequest: for anything but a str, a Text or a sequence of them.

    Example:
        >>> system_of("Be brief.")[0].text
        'Be brief.'
    """
    items = system if isinstance(system, (list, tuple)) else (system,)
    texts: list[Text] = []
    for item in items:
        if isinstance(item, str):
            _check_text(item)
            texts.append(Text(item))
        elif isinstance(item, Text):
            texts.append(item)
        else:
            msg = f"option 'system' must be a str, a Text or a sequence of them, not {item!r}"
            raise InvalidRequest(msg, parameter="system")
    return tuple(texts)


def _check_text(text: str) -> None:
    """Raise InvalidRequest for a text with a printed thunk in it, which no model is meant to read."""
    if (_THUNK in text or _RUN in text) and re.search(_PRINTED, text) is not None:
        msg = (
            "the text holds a printed thunk instead of its answer: give the thunk itself as a part, as in "
            "generate(['Summarise: ', thunk]), or await it first; if the text is really meant, write it as Text(...)"
        )
        raise InvalidRequest(msg, parameter="prompt")
