"""A transport for tests that answers requests from a list, without network or files."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, cast

import anyio
from anyio.lowlevel import checkpoint

from ...loops import forking
from ...values.errors import ConfigurationError, ConnectionLost
from ...values.public_names import publish
from ..http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = ["PieceResponse", "ScriptedTransport"]

#: An error to raise, or its class.
Error: TypeAlias = BaseException | type[BaseException]

#: A part of a body: bytes to return from one read, an error to raise at this point, or a function to call (and to
#: await, if it is async) before the parts that follow.
Piece: TypeAlias = bytes | str | Error | Callable[[], object]

#: A body in one piece, or as the list of its pieces.
ScriptedBody: TypeAlias = bytes | str | Sequence[Piece]

#: A body, for an answer with status 200; an answer with status, headers and body; or an error to raise instead.
ScriptedAnswer: TypeAlias = ScriptedBody | tuple[int, Mapping[str, str], ScriptedBody] | Error

#: A function that takes the request and returns an answer.
ScriptedAnswerer: TypeAlias = Callable[[HttpRequest], ScriptedAnswer | Awaitable[ScriptedAnswer]]


class PieceResponse(HttpResponse):
    """A response whose body is known in advance and read piece by piece.

    Args:
        status: the HTTP status.
        headers: the headers by name, in any case.
        pieces: the result of each `read`; an error among them is raised in its turn, a function is called.
        replayed: whether the response comes from a cassette.
    """

    __slots__ = ("_pieces", "_started", "closed", "replayed")

    def __init__(
        self, status: int, headers: Mapping[str, str], pieces: Iterable[Piece], *, replayed: bool = False
    ) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.replayed = replayed
        self.closed = False
        self._started = False
        self._pieces = iter(pieces)

    async def read(self, timeout: float | None = None) -> bytes:
        """Return the next piece; ``b""`` at the end.

        Raises:
            TimeoutError: if an async function among the pieces took longer than *timeout* seconds.
            ConnectionLost: if the response was closed before.
        """
        if self.closed:
            msg = "the response was read after it was closed"
            raise ConnectionLost(msg)
        if self._started:  # the first piece came with the headers; before the others, let other tasks run
            await checkpoint()
        for piece in self._pieces:
            if _is_error(piece):
                raise _fresh(piece)
            if callable(piece):
                await _call(piece, timeout)
            elif piece:
                self._started = True
                return piece.encode() if isinstance(piece, str) else piece
        return b""

    async def aclose(self) -> None:
        """Close the response; nothing more can be read."""
        self.closed = True
        self._pieces = iter(())


async def _call(function: Callable[..., Any], timeout: float | None, *args: object) -> Any:
    result = function(*args)
    if inspect.isawaitable(result):
        with anyio.fail_after(timeout):
            return await result
    return result


class ScriptedTransport:
    """A transport that answers each request with the next of a list, and keeps the requests in ``requests``.

    An answer is

    - bytes or a str: the body of an answer with status 200;
    - a list: the pieces of such a body, each returned by one read; an error in the list is raised in its turn, and a
      function is called (and awaited, if it is async) before the pieces that follow;
    - ``(status, headers, body)``, with a body as above;
    - an error, raised instead of an answer;
    - a function, async or not, that takes the `HttpRequest` and returns one of those.

    Without a content type, a body that begins like JSON is ``application/json``, any other ``text/event-stream``. One
    transport may be used from several event loops and threads. A copy or a pickle starts again at the first answer.

    Args:
        answers: one answer for each request, in order of arrival.

    Raises:
        ConfigurationError: for an answer of another kind; from `open`, for a request after the last answer.

    Example:
        >>> import anyio
        >>> from mellite.wire.transports.default import HttpRequest
        >>> transport = ScriptedTransport(['{"ok": true}', (429, {"retry-after": "1"}, "slow down")])
        >>> async def statuses():
        ...     request = HttpRequest("GET", "https://example.com/")
        ...     return [(await transport.open(request)).status for _ in range(2)]
        >>> anyio.run(statuses), len(transport.requests)
        ([200, 429], 2)
    """

    def __init__(self, answers: Sequence[ScriptedAnswer | ScriptedAnswerer]) -> None:
        given = cast("object", answers)
        if isinstance(given, (bytes, str)) or not isinstance(given, Sequence):
            msg = f"ScriptedTransport takes a list of answers, not {type(given).__name__}"
            raise ConfigurationError(msg)
        self._answers = tuple(
            [answer if callable(answer) and not _is_error(answer) else _checked(answer) for answer in answers]
        )
        self._given = answers
        self._lock = forking.lock()
        self.requests: list[HttpRequest] = []

    def __reduce__(self) -> tuple[type[ScriptedTransport], tuple[Sequence[ScriptedAnswer | ScriptedAnswerer]]]:
        return ScriptedTransport, (self._given,)

    @property
    def remaining(self) -> int:
        """The number of answers that are left."""
        return max(0, len(self._answers) - len(self.requests))

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Return the next answer; see `Transport.open`.

        Raises:
            ConfigurationError: if no answer is left.
            TimeoutError: if an async function for the answer took longer than *timeout* seconds.
        """
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        if index >= len(self._answers):
            given = f"{len(self._answers)} answer{'' if len(self._answers) == 1 else 's'}"
            msg = f"the script has {given}, and this is request {index + 1}: {request!r}; add an answer for it"
            raise ConfigurationError(msg)
        await checkpoint()
        answer = self._answers[index]
        if callable(answer) and not _is_error(answer):
            answer = _checked(await _call(answer, timeout, request))
        if isinstance(answer, _Answer):
            return PieceResponse(answer.status, answer.headers, answer.pieces)
        raise _fresh(answer)


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    pieces: Sequence[Piece]


def _checked(answer: object) -> _Answer | Error:
    if _is_error(answer):
        return answer
    body: object = answer
    status: object = 200
    headers: object = {}
    if isinstance(answer, tuple) and len(parts := cast("tuple[object, ...]", answer)) == 3:
        status, headers, body = parts
    if isinstance(status, int) and isinstance(headers, Mapping) and _is_body(body):
        pieces = [body] if isinstance(body, (bytes, str)) else body
        return _Answer(status, _with_type(cast("Mapping[str, str]", headers), pieces), pieces)
    msg = (
        "a scripted answer is bytes, a str, a list of pieces, (status, headers, body), an error, or a function "
        f"of the request, not {answer!r:.100}"
    )
    raise ConfigurationError(msg)


def _with_type(headers: Mapping[str, str], pieces: Sequence[Piece]) -> Mapping[str, str]:
    if any(name.lower() == "content-type" for name in headers):
        return headers
    start = next((piece for piece in pieces if isinstance(piece, (bytes, str)) and piece), "")
    text = start.decode("latin-1") if isinstance(start, bytes) else start
    json = text.lstrip()[:1] in {"{", "["}
    return {**headers, "content-type": "application/json" if json else "text/event-stream"}


def _is_body(body: object) -> TypeGuard[bytes | str | list[Piece]]:
    if isinstance(body, (bytes, str)):
        return True
    return isinstance(body, list) and all(
        isinstance(piece, (bytes, str)) or _is_error(piece) or callable(piece) for piece in cast("list[object]", body)
    )


def _is_error(value: object) -> TypeIs[Error]:
    return isinstance(value, BaseException) or (
        isinstance(value, type) and issubclass(cast("type[object]", value), BaseException)
    )


def _fresh(error: Error) -> BaseException:
    """Return an error to raise, without the traceback of an earlier time."""
    return error() if isinstance(error, type) else error.with_traceback(None)


publish(globals(), "mellite.cassettes", "ScriptedTransport")
