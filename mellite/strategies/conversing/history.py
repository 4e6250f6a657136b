"""The messages of a conversation, some of which are those of an answer that has not settled."""

from __future__ import annotations

from ...thunk.thunk import ModelOutputThunk
from ...values.errors import MelliteError
from ...values.messages import Deferred, Message, WholeAnswer

__all__ = ["beyond", "expanded", "going_on"]


def expanded(history: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a history with the messages of each answer that is done in the place of what stands for them."""
    made: list[Message] = []
    for message in history:
        whole = WholeAnswer.in_place_of(message)
        if whole is None:
            made.append(message)
        else:
            made += _messages_of(whole) or (message,)
    return tuple(made)


def _messages_of(whole: WholeAnswer) -> tuple[Message, ...]:
    """Return the messages of an answer; none while it has not settled, or if it failed."""
    thunk = whole.deferred_on()
    if isinstance(thunk, ModelOutputThunk) and not thunk.is_computed():
        return ()  # most of a long conversation that nobody has awaited
    try:
        return whole.deferred_messages()
    except MelliteError:
        return ()


def going_on(history: tuple[Message, ...], thunk: Deferred, asked: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a history with what a thunk was asked beyond it, and the answer.

    Args:
        history: the messages before.
        thunk: the thunk or run.
        asked: the messages of its prompt.
    """
    return expanded((*history, *beyond(history, asked), WholeAnswer.message(thunk)))


def beyond(history: tuple[Message, ...], asked: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return what a prompt says after the last message of a history; all of it if that is not in the prompt.

    A prompt need not begin with the whole history: it may have been trimmed before.
    """
    if asked[: len(history)] == history:
        return asked[len(history) :]
    for index in range(len(asked) - 1, -1, -1):
        if asked[index] == history[-1]:
            return asked[index + 1 :]
    return asked
