"""A conversation: immutable, lazy, and going on from answers that need not be there yet."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, Unpack, final, overload

from attrs import field, frozen

from ...backends.asking import generate, named
from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.chat_messages import conversation
from ...values.empty import EMPTY
from ...values.errors import InvalidRequest
from ...values.filling import copier, setters_of
from ...values.messages import Content, Deferred, Message, Text, WholeAnswer
from ...values.options import GenerateOptions
from ...values.prompts import messages_of
from ...values.public_names import publish
from ...values.request import Prompt, Request, System
from ...values.tokens import count_tokens
from ...values.tools import ToolLike
from ...values.whole_numbers import check_count
from ..agent.plan import Approver, Execution
from ..agent.runs import run
from ..agent.stopping import StopWhen
from .history import expanded, going_on
from .trimming import cuts, without_before

__all__ = ["Conversation", "ConversationOptions"]

T = TypeVar("T")


class ConversationOptions(GenerateOptions, total=False):
    """The options of a conversation and its answers: those of every call; with tools, also those of `mellite.run`."""

    stop_when: StopWhen
    execution: Execution
    concurrency: int
    max_calls: int
    approve: Approver | None
    results: Mapping[str, Any] | None


@final
@frozen(init=False, repr=False)
class Conversation:
    """A chat history, the backend to ask, and the options. Immutable: each continuation is a new conversation.

    Nothing is sent until an answer is awaited, and a conversation can continue from an answer not yet awaited.

    Args:
        backend: the backend to ask: an object with ``stream(request)``, or a name as `mellite.generate` takes it.
        system: the system prompt: instructions before the conversation.
        tools: what the model may call. With tools, an answer is a run, which calls them.
        id: a name for the conversation, put into the metadata of each request as ``conversation_id``; never sent.
        **options: the options of every call, as in ``backend.generate``.

    Raises:
        InvalidRequest: for a value of the wrong type.
        UnknownOption: for a misspelled option.

    Example:
        >>> import mellite
        >>> chat = mellite.Conversation(mellite.backends.Scripted(["Blue.", "Black."]), system="Answer in one word.")
        >>> by_day = chat.ask("Which colour is the sky?")
        >>> by_night = chat.after(by_day).ask("And at night?")
        >>> by_night.result(), by_day.text
        ('Black.', 'Blue.')
    """

    backend: Streams
    system: tuple[Text, ...] = field(default=(), kw_only=True)
    tools: tuple[ToolLike, ...] = field(default=(), kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    options: Mapping[str, Any] = field(default=EMPTY, kw_only=True)
    _history: tuple[Message, ...] = field(default=(), kw_only=True)

    def __init__(
        self,
        backend: Streams | str,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] = (),
        id: str | None = None,
        **options: Unpack[ConversationOptions],
    ) -> None:
        if id is not None and not isinstance(id, str):
            msg = f"the id of a conversation must be a str, not {id!r}"
            raise InvalidRequest(msg, parameter="id")
        asked = named(backend) if isinstance(backend, str) else backend
        checked = _answer(asked, "", system=system, tools=tools or (), options=options).call.request
        given = {**options, **checked.options.given()}
        values = (asked, checked.system, tuple(tools or ()), id, given or EMPTY, ())
        for set_field, value in zip(setters_of(Conversation), values, strict=True):
            set_field(self, value)

    @classmethod
    def from_messages(
        cls,
        backend: Streams | str,
        messages: Sequence[Message | Mapping[str, Any] | tuple[str, Any]],
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] = (),
        id: str | None = None,
        **options: Unpack[ConversationOptions],
    ) -> Conversation:
        """Make a conversation that continues a history.

        Args:
            backend: the backend to ask.
            messages: `Message` objects, dicts as Chat Completions has them, or pairs of a role and a content.
            system: the system prompt: instructions before the conversation.
            tools: what the model may call.
            id: a name for the conversation.
            **options: the options of every call.

        Raises:
            InvalidRequest: for an element that is not a message, with its index.
            UnknownOption: for a misspelled option.

        Example:
            >>> history = [("user", "Hello."), {"role": "assistant", "content": "Yes?"}]
            >>> chat = Conversation.from_messages("fake:echo", history)
            >>> [message.role for message in chat.messages]
            ['user', 'assistant']
        """
        if isinstance(messages, (str, Mapping, Message)) or not isinstance(messages, Sequence):
            msg = f"the messages of a conversation are a list of them, not {type(messages).__name__}"
            raise InvalidRequest(msg, parameter="messages")
        made = cls(backend, system=system, tools=tools, id=id, **options)
        return _copied(made, {"_history": conversation(messages)})

    # Going on

    @overload
    def ask(
        self, *content: Content, output: type[T], **options: Unpack[ConversationOptions]
    ) -> ModelOutputThunk[T]: ...

    @overload
    def ask(
        self, *content: Content, output: None = None, **options: Unpack[ConversationOptions]
    ) -> ModelOutputThunk[str]: ...

    @overload
    def ask(
        self, *content: Content, output: object, **options: Unpack[ConversationOptions]
    ) -> ModelOutputThunk[Any]: ...

    def ask(self, *content: Any, output: Any = None, **options: Unpack[ConversationOptions]) -> AnyThunk:
        """Ask the next question; nothing is sent until the answer is awaited. This conversation stays as it is.

        Args:
            *content: the parts of one user message: texts, images, thunks; or `Message` objects. Without any, the
                history must end with a message to answer, or with tool calls.
            output: the type of the parsed answer; str by default.
            **options: override the conversation's.

        Returns:
            A thunk; a run if the conversation has tools.

        Raises:
            InvalidRequest: for an argument that is not content, or if there is nothing to answer.
            UnknownOption: for a misspelled option.
        """
        history = (*self._history, *self._asked(content))
        given: dict[str, Any] = {**self.options, **options}
        if self.id is not None:
            own = given.get("metadata") or EMPTY
            given["metadata"] = {"conversation_id": self.id, **own} if isinstance(own, Mapping) else own
        return _answer(self.backend, history, system=self.system, tools=self.tools, output=output, options=given)

    def _asked(self, content: Sequence[Any]) -> tuple[Message, ...]:
        if content:
            return messages_of(content[0] if len(content) == 1 else content)
        last = self.messages[-1] if self._history else None
        if last is None or (last.role == "assistant" and not (self.tools and last.tool_calls)):
            msg = "there is nothing to answer: give ask() a content, as in ask('And at night?')"
            raise InvalidRequest(msg, parameter="content")
        return ()

    def after(self, pending: Deferred) -> Conversation:
        """Return the conversation that continues from an answer, without waiting for it.

        The history gains the messages that asked for the answer, and once it settles its whole message: thinking, text
        and tool calls; for a run, the messages of all its steps. If it fails or is cancelled, the next answer fails,
        with that error as the cause.

        Args:
            pending: a thunk or run, in any state; usually made by `ask`.

        Raises:
            InvalidRequest: if it is neither.
        """
        thunk = pending.deferred_on() if isinstance(pending, Deferred) else None
        if not isinstance(thunk, ModelOutputThunk):
            msg = f"a conversation goes on from a thunk or a run, not from {type(pending).__name__}"
            raise InvalidRequest(msg, parameter="pending")
        return self._with(going_on(self._history, pending, thunk.call.request.messages))

    def _with(self, history: tuple[Message, ...]) -> Conversation:
        return _copied(self, {"_history": history})

    # What was said

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history, without the `system` prompt; one placeholder message for each answer that is not done."""
        return expanded(self._history)

    def trimmed(self, turns: int | None = None, tokens: int | None = None) -> Conversation:
        """Return a conversation with only the latest turns; a tool call is never separated from its result.

        A turn runs from one user message to the next. System messages are kept.

        Args:
            turns: how many turns to keep at most.
            tokens: the most tokens of history, system prompt and tools together, as `mellite.count_tokens` counts them.

        Raises:
            InvalidRequest: if neither is given, one is not a whole number, the tokens of an unfinished answer are
                needed, or the system prompt and the tools alone have too many tokens.

        Example:
            >>> history = [("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]
            >>> chat = Conversation.from_messages("fake:echo", history)
            >>> [message.text for message in chat.trimmed(turns=1).messages]
            ['Two?', '2']
        """
        if turns is None and tokens is None:
            msg = "say to what a conversation is trimmed: trimmed(turns=10) or trimmed(tokens=8000)"
            raise InvalidRequest(msg, parameter="turns")
        messages = self.messages
        if turns is not None:
            check_count("turns", turns, least=0)
            messages = without_before(messages, _cut_to_turns(messages, turns))
        if tokens is not None:
            check_count("tokens", tokens, least=0)
            messages = self._cut_to_tokens(messages, tokens)
        return self._with(messages)

    def _cut_to_tokens(self, messages: tuple[Message, ...], most: int) -> tuple[Message, ...]:
        for message in messages:
            if WholeAnswer.in_place_of(message) is not None:
                msg = "the tokens of an answer that is not done cannot be counted; await it before trimming to tokens"
                raise InvalidRequest(msg, parameter="tokens")
        model = self.options.get("model") or getattr(self.backend, "model", None)
        fixed = Request((), system=self.system, tools=Request.of("", tools=self.tools or None).tools)
        counted = [count_tokens(message, model=model) for message in messages]
        always: int = sum([count for count, message in zip(counted, messages, strict=True) if message.role == "system"])
        always += count_tokens(fixed, model=model)
        if always > most:
            msg = f"the system prompt and the tools alone have about {always:,} tokens, more than tokens={most:,}"
            raise InvalidRequest(msg, parameter="tokens")
        spoken = [0 if message.role == "system" else count for count, message in zip(counted, messages, strict=True)]
        return without_before(messages, next(cut for cut in cuts(messages) if always + sum(spoken[cut:]) <= most))

    # Kept

    def to_json(self) -> str:
        """Return the conversation as JSON: its id, system prompt, options and complete messages.

        Raises:
            InvalidRequest: if an answer in it is not done, if it has the option ``http``, which may hold a key, or if
                something in it has no JSON form; names the message or option.
        """
        from .saving import Kept, saved

        return saved(Kept(id=self.id, system=self.system, options=self.options, messages=self.messages))

    @classmethod
    def from_json(cls, text: str | bytes, *, backend: Streams | str, tools: Sequence[ToolLike] = ()) -> Conversation:
        """Return the conversation that `to_json` wrote.

        Args:
            text: what `to_json` returned.
            backend: the backend to ask from now on.
            tools: what the model may call from now on; they are not in the text.

        Raises:
            InvalidRequest: if the text is not what `to_json` writes; says where.

        Example:
            >>> chat = Conversation.from_messages("fake:echo", [("user", "Hello.")], temperature=0)
            >>> Conversation.from_json(chat.to_json(), backend=chat.backend) == chat
            True
        """
        from .saving import read

        kept = read(text)
        made = cls(backend, system=kept.system or None, tools=tools, id=kept.id, **kept.options)
        return made._with(kept.messages)

    __hash__ = None  # type: ignore[assignment]  # options are mappings, as those of dict, which has no hash either

    def __deepcopy__(self, memo: dict[int, object]) -> Conversation:
        changes = {name: copy.deepcopy(getattr(self, name), memo) for name in ("options", "_history")}
        return _copied(self, changes)

    def __repr__(self) -> str:
        count = len(self._history)
        name = "" if self.id is None else f" {self.id!r}"
        return f"<Conversation{name} with {count} message{'' if count == 1 else 's'}>"


_copied: Final = copier(Conversation)

#: What has a place of its own: where else it was given, and what to write.
_NO_OPTIONS: Final = {
    "output": "of a conversation: give it to ask(..., output=...)",
    "system": "of an answer: give it to the conversation, Conversation(..., system=...)",
    "tools": "of an answer: give them to the conversation, Conversation(..., tools=[...])",
}


def _answer(
    backend: Streams,
    prompt: Prompt,
    *,
    system: System | None,
    tools: Sequence[ToolLike],
    output: Any = None,
    options: Mapping[str, Any],
) -> AnyThunk:
    """Make the thunk that answers: a run, where there are tools."""
    for name, where in _NO_OPTIONS.items():
        if name in options:
            msg = f"{name!r} is not an option {where}"
            raise InvalidRequest(msg, parameter=name)
    if tools:
        return run(backend, prompt, system=system or None, tools=tools, output=output, **options)
    return generate(backend, prompt, system=system or None, output=output, **options)


def _cut_to_turns(messages: tuple[Message, ...], turns: int) -> int:
    """Return where the last turns begin."""
    allowed = cuts(messages)
    return allowed[max(len(allowed) - 1 - turns, 0)] if allowed else 0


publish(globals(), "mellite", "Conversation")
