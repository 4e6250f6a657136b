"""Ask a cassette on behalf of a client without await, in whichever thread it runs; the twin of `asking`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from attrs import define

from ...values.errors import CassetteError
from ...wire.http import HttpRequest
from ...wire.transports.default import UNCAUGHT
from ..opening import CassetteTransport
from ..recording.take import Take
from ..recording.transport import RecordTransport
from ..replaying.answer import RecordedAnswer
from .asking import BROKEN, Failures

__all__ = ["BlockingAnswer", "BlockingLive", "BlockingSend", "ask_blocking"]


@define(eq=False, kw_only=True)
class BlockingLive:
    """A response of a client's own blocking transport; see `mellite.cassettes.clients.asking.Live`."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]
    close: Callable[[], object]
    response: Any


BlockingSend: TypeAlias = Callable[[], BlockingLive]


class BlockingAnswer(Protocol):
    """An answer for a client, recorded or replayed; see `mellite.cassettes.clients.asking.Answer`."""

    status: int
    headers: Mapping[str, str]
    response: Any

    def read(self) -> bytes:
        """Return the next piece; ``b""`` at the end."""
        ...

    def close(self) -> None:
        """Close the answer. What was not read is recorded as not read."""
        ...


def ask_blocking(
    cassette: CassetteTransport,
    request: HttpRequest,
    send: BlockingSend,
    failures: Failures,
    *,
    reading: Failures | None = None,
    timeout: float | None = None,
) -> BlockingAnswer:
    """Answer a client's request from the cassette, or send it and record the answer; see `asking.ask`.

    Args:
        cassette: what answers, or records.
        request: what is asked.
        send: sends the request over the client's own transport.
        failures: the errors of the client.
        reading: those of reading a body, if they are others.
        timeout: how long a replay may take until the headers, and between two pieces, in recorded seconds.

    Raises:
        CassetteMiss: if the request is not recorded, and may not be.
        CassetteError: if it cannot be recorded.
        Exception: what the client's own transport raises, or raised when this was recorded.
    """
    failure: Exception
    try:
        answer = cassette.answer_blocking(request, timeout=timeout)
    except BROKEN as error:
        failure = failures.theirs(error)
    else:
        if answer is not None:
            return _Replayed(answer, reading or failures, timeout)
        return _recorded(cassette.recorder, request, send, (failures, reading or failures))
    raise failure


def _recorded(
    recorder: RecordTransport | None, request: HttpRequest, send: BlockingSend, failures: tuple[Failures, Failures]
) -> BlockingAnswer:
    """Send a request, and record its answer."""
    if recorder is None:
        msg = "this cassette only replays, and has no answer"
        raise CassetteError(msg)
    take = recorder.begin_blocking(request)
    uncaught = UNCAUGHT.set(True)
    try:
        live = send()
    except Exception as error:
        ours = failures[0].ours(error)
        if ours is None:
            recorder.withdraw(take)
        else:
            recorder.end_blocking(take, ours)
        raise
    except BaseException:  # KeyboardInterrupt while waiting for the headers
        recorder.stop_blocking(take)
        raise
    finally:
        UNCAUGHT.reset(uncaught)
    take.opens(live)
    return _Recorded(live, take, recorder, failures[1])


class _Recorded:
    """An answer that is handed on as it arrives, and stored when it is over, before its end is handed on."""

    __slots__ = ("_failures", "_live", "_recorder", "_take", "headers", "response", "status")

    def __init__(self, live: BlockingLive, take: Take, recorder: RecordTransport, failures: Failures) -> None:
        self.status = live.status
        self.headers = live.headers
        self.response = live.response
        self._live = live
        self._take = take
        self._recorder = recorder
        self._failures = failures

    def read(self) -> bytes:
        try:
            for piece in self._live.pieces:
                if piece:
                    self._take.gets(piece)
                    return piece
        except Exception as error:
            ours = self._failures.ours(error)
            if ours is not None:
                self._recorder.end_blocking(self._take, ours)
            raise
        self._recorder.end_blocking(self._take)
        return b""

    def close(self) -> None:
        try:
            self._live.close()
        finally:
            self._recorder.stop_blocking(self._take)


class _Replayed:
    """An answer from the cassette."""

    __slots__ = ("_answer", "_failures", "_timeout", "headers", "response", "status")

    def __init__(self, answer: RecordedAnswer, failures: Failures, timeout: float | None) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.response: Any = None
        self._answer = answer
        self._failures = failures
        self._timeout = timeout

    def read(self) -> bytes:
        failure: Exception
        try:
            return self._answer.read_blocking(self._timeout)
        except BROKEN as error:
            failure = self._failures.theirs(error)
        raise failure

    def close(self) -> None:
        self._answer.close()
