"""Fake backends for tests and examples, without network: echo, constant, scripted and failing answers.

As real backends, they stream, report usage, can be cancelled and can fail halfway. One object may be used from several
event loops and threads, on asyncio and on trio. Generation options are accepted without effect, except for
``stream=False``, which sends the text in one piece. Usage counts words, not tokens.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

import anyio
from attrs import define, field

from ..loops import forking
from ..thunk.backend import Backend
from ..values.errors import ConfigurationError
from ..values.events import Event, Finish, ResponseStart, TextDelta, ToolCallEvent
from ..values.messages import Text, ToolCall
from ..values.provider_json import Json, JsonObject
from ..values.public_names import publish
from ..values.request import Request
from ..values.usage import Usage

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = ["Constant", "Echo", "Failing", "Scripted"]

#: One step of a scripted answer: a piece of text, a call of a tool, an event, or an error raised at this point.
Piece: TypeAlias = str | ToolCall | Event | BaseException | type[BaseException]

#: An answer of `Scripted` that does not depend on the request.
Answer: TypeAlias = str | BaseException | type[BaseException] | Sequence[Piece]

#: A function that takes the request and returns an answer.
Answerer: TypeAlias = Callable[[Request], Answer | Awaitable[Answer]]

_EVENTS: Final = get_args(Event)


@define(eq=False)
class Echo(Backend):
    """A backend that answers with the text of the last user message, word by word.

    If the request requires a tool call, it calls the tool: with the text, if that is a JSON object, or else with the
    text as each str argument that the tool requires. It answers tool results like any message.

    Example:
        >>> import mellite
        >>> mellite.generate(Echo(), "Say it again.").result()
        'Say it again.'
    """

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the words of the last user message, or the required call."""
        call = _required_call(request)
        if call is None:
            for event in _text_answer(self, request, _words(request.text)):
                yield event
            return
        yield _start(self, request)
        yield ToolCallEvent(call)
        yield Finish("tool-calls", raw_reason="tool_calls", usage=_usage(request, request.text))


@define(eq=False)
class Constant(Backend):
    """A backend that always answers with the same text, word by word.

    Args:
        text: the answer.

    Example:
        >>> import mellite
        >>> mellite.generate(Constant("Always this."), "Whatever you ask").result()
        'Always this.'
    """

    text: str

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.text, str):
            msg = f"Constant takes the text of its answers, not {type(self.text).__name__}: {_short(self.text)}"
            raise ConfigurationError(msg)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the words of the text."""
        for event in _text_answer(self, request, _words(self.text)):
            yield event


@define(eq=False)
class Failing(Backend):
    """A backend that always raises an error, at once or after a part of the answer.

    Args:
        error: the exception to raise, or its class. As from any backend, an exception other than `MelliteError` reaches
            the caller as the cause of a `BackendError`.
        after: the number of text deltas to send first: the words of the last user message, again and again.

    Example:
        >>> import mellite
        >>> from mellite.errors import ConnectionLost
        >>> thunk = mellite.generate(Failing(ConnectionLost("the line went dead"), after=2), "Tell me a tale.")
        >>> thunk.result()
        Traceback (most recent call last):
        mellite.errors.ConnectionLost: the line went dead
        >>> thunk.partial
        'Tell me '
    """

    error: BaseException | type[BaseException]
    after: int = 0

    def __attrs_post_init__(self) -> None:
        error: object = self.error
        if not _is_error(error):
            msg = f"Failing takes the exception to raise, not {type(error).__name__}: {_short(error)}"
            raise ConfigurationError(msg)
        after: object = self.after
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            msg = f"Failing sends a whole number of deltas first, 0 or more, not after={_short(after)}"
            raise ConfigurationError(msg)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send `after` deltas, then raise the error."""
        words = request.text.split() or ["word"]
        yield _start(self, request)
        for word in islice(cycle(words), self.after):
            yield TextDelta(f"{word} ")
        raise _clean(self.error)


@define(eq=False)
class Scripted(Backend):
    """A backend that answers with the next answer of a list, and keeps the requests in ``requests``.

    An answer is

    - a str: sent word by word;
    - a list of str: sent in these pieces; a `ToolCall` among them asks for a tool;
    - a list with an event: sent as it is, so it should end with a `Finish`; a str in the list becomes a `TextDelta`;
    - an exception, or a list with one: raised in its turn, after the pieces before it;
    - a function, `async` or not, that takes the request and returns one of those.

    A copy or a pickle starts again at the first answer.

    Args:
        answers: one answer for each call, in order.
        delay: seconds to wait before each piece, event or error of an answer, but not before start and finish.

    Raises:
        ConfigurationError: for an answer of another kind; from the thunk, for a call after the last answer.

    Example:
        >>> import mellite
        >>> backend = Scripted(["first", ["sec", "ond"], lambda request: request.text.upper()])
        >>> print(*[mellite.generate(backend, "hi").result() for _ in range(3)])
        first second HI
        >>> backend.calls, backend.requests[0].text
        (3, 'hi')
    """

    answers: Sequence[Answer | Answerer]
    delay: float = 0
    #: The requests so far, in order of arrival.
    requests: list[Request] = field(init=False, factory=list[Request], repr=False)
    _lock: threading.Lock = field(init=False, factory=forking.lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self.answers = _checked(self.answers)
        delay: object = self.delay
        if isinstance(delay, bool) or not isinstance(delay, (int, float)) or not delay >= 0:
            msg = f"Scripted waits a number of seconds before each piece, 0 or more, not delay={_short(delay)}"
            raise ConfigurationError(msg)

    def __getstate__(self) -> tuple[object, ...]:
        return (self.answers, self.delay)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # the only way to make the lock and the list anew

    @property
    def calls(self) -> int:
        """The number of calls so far, including those for which no answer was left."""
        return len(self.requests)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the next answer."""
        with self._lock:
            turn = len(self.requests)
            self.requests.append(request)
        for step in _steps(self, request, await self._answer(turn, request)):
            if self.delay > 0 and not isinstance(step, (ResponseStart, Finish)):
                await anyio.sleep(self.delay)
            if _is_error(step):
                raise _clean(step)
            yield step

    async def _answer(self, turn: int, request: Request) -> Answer:
        if turn >= len(self.answers):
            msg = (
                f"Scripted has {len(self.answers)} answers and was asked for number {turn + 1}, "
                f"with {_short(request.text)}; give it more answers, or ask less often"
            )
            raise ConfigurationError(msg, provider="fake")
        answer: Any = self.answers[turn]
        if _is_answerer(answer):
            given = answer(request)
            answer = await given if inspect.isawaitable(given) else given
            _check(answer)
        return cast("Answer", answer)


def _start(backend: Backend, request: Request) -> ResponseStart:
    return ResponseStart(
        provider="fake",
        protocol="fake",
        model=request.model or type(backend).__name__.lower(),
        streaming=request.options.stream is not False,
    )


def _words(text: str) -> list[str]:
    """Cut text into words, each with the white space after it, so that joining them gives the text."""
    return re.findall(r"^\s+|\S+\s*", text)


def _text_answer(backend: Backend, request: Request, pieces: Sequence[str]) -> Iterator[Event]:
    yield _start(backend, request)
    text = "".join(pieces)
    for piece in pieces if request.options.stream is not False else [text]:
        if piece:
            yield TextDelta(piece)
    yield Finish("stop", raw_reason="stop", usage=_usage(request, text))


def _required_call(request: Request) -> ToolCall | None:
    """Return the call that a request asks for; None if it leaves the choice, or the tool has been called."""
    choice, messages = request.tool_choice, request.messages
    if choice is None or choice.type not in ("required", "tool") or not messages or messages[-1].role == "tool":
        return None
    tool = next((tool for tool in request.tools if choice.name in (None, tool.name)), None)
    if tool is None:
        return None
    return ToolCall(f"call_{len(messages)}", tool.name, _arguments(tool.input_schema, request.text))


#: What stands for a value that a tool requires, by its type; a text is what was said.
_VALUES: Final = {"array": [], "boolean": False, "integer": 0, "null": None, "number": 0, "object": {}}


def _arguments(schema: Mapping[str, Json], text: str) -> JsonObject:
    """Return arguments for a tool: the text, if it is a JSON object, or else what the schema requires."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        return said
    properties, required = schema.get("properties"), schema.get("required")
    found: JsonObject = {}
    for name in required if isinstance(required, (list, tuple)) else ():
        about = properties.get(name) if isinstance(properties, Mapping) else None
        about = about if isinstance(about, Mapping) else {}
        choices, kind = about.get("enum"), about.get("type")
        found[name] = choices[0] if choices else _VALUES.get(kind, text) if isinstance(kind, str) else text
    return found


def _usage(request: Request, text: str) -> Usage:
    """Count words as tokens, as there is no model with a tokenizer."""
    asked = [part.text for part in request.system]
    asked += [part.text for message in request.messages for part in message.content if isinstance(part, Text)]
    return Usage.of(input_tokens=sum(len(words.split()) for words in asked), output_tokens=len(text.split()))


def _steps(backend: Backend, request: Request, answer: Answer) -> Iterator[Event | BaseException | type[BaseException]]:
    """Yield the events and errors of a checked answer, one by one."""
    if isinstance(answer, str):
        yield from _text_answer(backend, request, _words(answer))
        return
    pieces: Sequence[Piece] = answer if isinstance(answer, Sequence) else [answer]
    if any(isinstance(piece, _EVENTS) for piece in pieces):
        yield from map(_event, pieces)
        return
    if any(isinstance(piece, ToolCall) for piece in pieces):
        yield from _asking_answer(backend, request, pieces)
        return
    texts: list[str] = []
    for piece in pieces:
        if not isinstance(piece, str):
            yield from list(_text_answer(backend, request, texts))[:-1]  # the texts before it, without the finish
            yield _event(piece)
            return
        texts.append(piece)
    yield from _text_answer(backend, request, texts)


def _asking_answer(
    backend: Backend, request: Request, pieces: Sequence[Piece]
) -> Iterator[Event | BaseException | type[BaseException]]:
    """Yield the events of an answer that asks for tools, up to the first error in it."""
    yield _start(backend, request)
    for piece in pieces:
        yield _event(piece)
        if _is_error(piece):
            return
    text = "".join([piece for piece in pieces if isinstance(piece, str)])
    yield Finish("tool-calls", raw_reason="tool_calls", usage=_usage(request, text))


def _event(piece: Piece) -> Event | BaseException | type[BaseException]:
    """Return the event that a text or a call stands for; anything else as it is."""
    if isinstance(piece, str):
        return TextDelta(piece)
    return ToolCallEvent(piece) if isinstance(piece, ToolCall) else piece


def _is_error(value: object) -> TypeIs[BaseException | type[BaseException]]:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))


def _is_answerer(value: object) -> TypeIs[Answerer]:
    return callable(value) and not _is_error(value)


def _clean(error: BaseException | type[BaseException]) -> BaseException:
    """Return the error to raise, without the traceback of an earlier time, which would grow each time."""
    return error.with_traceback(None) if isinstance(error, BaseException) else error()


def _checked(answers: object) -> tuple[Answer | Answerer, ...]:
    if not isinstance(answers, (list, tuple)):
        msg = f"Scripted takes a list of answers, not {type(answers).__name__}; for one answer: Scripted([...])"
        raise ConfigurationError(msg)
    given = tuple(cast("Sequence[Answer | Answerer]", answers))
    for answer in given:
        if not _is_answerer(answer):
            _check(answer)
    return given


def _check(answer: object) -> None:
    """Refuse what is not an answer, before the first call rather than in the middle of a test."""
    if isinstance(answer, str) or _is_error(answer):
        return
    listed = isinstance(answer, (list, tuple))
    for piece in cast("Sequence[object]", answer) if listed else [answer]:
        if listed and (isinstance(piece, (str, ToolCall, *_EVENTS)) or _is_error(piece)):
            continue
        msg = (
            f"Scripted cannot answer with {_short(piece)} ({type(piece).__name__}{' in a list' if listed else ''}); "
            "an answer is a str, a list of str, calls and events, an exception, or a function of the request"
        )
        raise ConfigurationError(msg)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


publish(globals(), "mellite.backends", "Constant", "Echo", "Failing", "Scripted")
