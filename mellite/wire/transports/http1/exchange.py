"""One exchange: a request sent over a connection, kept or new, and the response while its body arrives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast, final

from .... import loops
from ....loops.places import current_generation
from ....values.errors import ConnectError, ConnectionLost, InvalidProviderOutput, MelliteError
from ...broken import how_it_broke, unforeseen
from ...http import ArrivingResponse, Head, HttpRequest, HttpResponse, received_headers, shown_url
from .connecting import NotConnected
from .incoming import BrokenRules, CutOff, Incoming
from .origins import head_of, split
from .pool import Connection, Pool, PushingConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SentRequest", "exchange", "failure_of", "is_deadline", "send_now", "too_late"]

_PROXY_AUTHENTICATION_REQUIRED: Final = 407  # said by proxies alone


async def exchange(pool: Pool, request: HttpRequest, timeout: float | None) -> HttpResponse:
    """Send a request over a connection, kept or new; return the answer once its head is there.

    Raises:
        TimeoutError: if that takes longer than `timeout`, in seconds.
        NotConnected, BrokenRules, CutOff, OSError: see `failure_of`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    origin, target = split(request.url)
    connection, is_reused = pool.kept(origin), True
    if connection is None:
        connection, is_reused = await _within(deadline, pool.take, origin, within=request.connect_timeout)
        timeout = _left(deadline)
    incoming = await _answered(pool, connection, target, request, timeout=timeout, deadline=deadline)
    return await _ended(pool, connection, incoming, request, is_reused=is_reused, deadline=deadline)


async def _ended(
    pool: Pool,
    connection: Connection,
    incoming: Incoming,
    request: HttpRequest,
    *,
    is_reused: bool,
    deadline: float | None,
) -> HttpResponse:
    """Return the answer whose head is there, or the one to a second try, where a kept connection had been closed."""
    if is_reused and not incoming.received and isinstance(incoming.error, (CutOff, OSError)):
        # It had been closed while it rested, and the request met that: a fresh connection, once.
        pool.drop(connection)
        origin, target = split(request.url)
        connection, _ = await _within(deadline, pool.take, origin, within=request.connect_timeout, fresh=True)
        incoming = await _answered(pool, connection, target, request, timeout=_left(deadline), deadline=deadline)
    if not incoming.has_head:
        pool.drop(connection)
        raise incoming.error or CutOff("it ended before its time")
    if connection.proxy is not None and _is_refused(connection, incoming):
        pool.drop(connection)
        msg = f"the proxy {connection.proxy.shown} refused the request with status {incoming.status}"
        raise NotConnected(msg, retryable=False)
    return (_Response if incoming.is_complete else _Arriving)(pool, connection, incoming, request.url)


def _is_refused(connection: Connection, incoming: Incoming) -> bool:
    """Whether an answer is that of a proxy which wants other credentials."""
    return incoming.status == _PROXY_AUTHENTICATION_REQUIRED and connection.proxy is not None


def send_now(pool: Pool, request: HttpRequest, notify: Callable[[], None]) -> SentRequest | None:
    """Send a request over a kept connection of a pool that pushes, if there is one; see `Transport`."""
    origin, target = split(request.url)
    connection = cast("PushingConnection | None", pool.kept(origin))
    if connection is None:
        return None
    incoming = Incoming(request.method)
    try:
        connection.post(head_of(request, origin, target, connection.proxy), request.body, incoming)
    except BaseException:
        pool.drop(connection)
        raise
    connection.call_back(notify)
    return SentRequest(pool, connection, incoming, request, notify)


async def _within(deadline: float | None, take: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Take a connection before the deadline."""
    # On asyncio, the connection, the race of addresses and timers that were cancelled keep the context. A generation
    # that made a connection is not to live as long as they do.
    made_by = current_generation.set(None)
    try:
        if deadline is None:
            return await take(*args, **kwargs)
        with loops.fail_after(deadline - time.monotonic()):
            return await take(*args, **kwargs)
    finally:
        current_generation.reset(made_by)


async def _answered(
    pool: Pool,
    connection: Connection,
    target: str,
    request: HttpRequest,
    *,
    timeout: float | None,
    deadline: float | None,
) -> Incoming:
    """Send a request and wait for the head of its answer, or for the end.

    Args:
        timeout: how long until the deadline, in seconds.
    """
    incoming = Incoming(request.method)
    try:
        head = head_of(request, connection.origin, target, connection.proxy)
        await connection.send(head, request.body, incoming, timeout)
    except BaseException:
        pool.drop(connection)
        raise
    await _head_of(pool, connection, incoming, timeout=timeout, deadline=deadline)
    return incoming


async def _head_of(
    pool: Pool, connection: Connection, incoming: Incoming, *, timeout: float | None, deadline: float | None
) -> None:
    """Wait until the head of an answer is there, or the end."""
    try:
        while not incoming.has_head and incoming.error is None:
            await connection.wait(timeout)
            if not incoming.has_head:
                timeout = _left(deadline)
    except BaseException:
        pool.drop(connection)
        raise


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class _Response(ArrivingResponse):
    """One wake-up per network read; while data is there to be read, no timer and no suspension."""

    __slots__ = ("_connection", "_headers", "_incoming", "_pool", "_url")

    def __init__(self, pool: Pool, connection: Connection, incoming: Incoming, url: str) -> None:
        self.status = incoming.status
        self._headers: dict[str, str] | None = None
        self._pool: Pool | None = pool  # none where there is no connection: a response may be kept, and the pool not
        self._connection: Connection | None = connection
        self._incoming = incoming
        self._url = url
        if incoming.is_complete:
            self._let_go()

    @property
    def headers(self) -> Mapping[str, str]:  # type: ignore[override]  # decoded when somebody asks
        """The headers by lower-case name."""
        headers = self._headers
        if headers is None:
            headers = self._headers = received_headers(self._incoming.raw_headers)
        return headers

    def head(self) -> Head:
        """Return the status and the headers, decoded when somebody asks."""
        return Head(self.status, self._headers, self._incoming.raw_headers)

    @property
    def is_encoded(self) -> bool:  # type: ignore[override]
        """Whether the body has a ``content-encoding``."""
        return self._incoming.is_encoded

    @property
    def is_complete(self) -> bool:  # type: ignore[override]
        """Whether the whole body is here."""
        return self._incoming.is_complete

    @property
    def is_coming(self) -> bool:  # type: ignore[override]
        """Whether more of the body may come."""
        incoming = self._incoming
        return not incoming.is_complete and incoming.error is None and self._connection is not None

    @property
    def buffered(self) -> int:  # type: ignore[override]
        """The number of bytes that wait to be taken."""
        return self._incoming.buffered

    def arrived(self) -> bytes:
        """Return what has come of the body; see `ArrivingResponse.arrived`."""
        incoming = self._incoming
        data = incoming.take()
        if incoming.is_complete and self._connection is not None:
            self._let_go()
        return data

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece of the body; see `HttpResponse.read`."""
        incoming, limit = self._incoming, timeout
        deadline: float | None = None
        while True:
            data = incoming.take()
            if data:
                return data
            if incoming.is_complete:
                if self._connection is not None:
                    self._let_go()
                return b""
            connection = self._connection
            if connection is None or incoming.error is not None:
                break
            if deadline is not None:
                timeout = _left(deadline)
            elif timeout is not None:
                deadline = time.monotonic() + timeout
            try:
                await connection.wait(timeout)
            except TimeoutError:
                break
        shown = shown_url(self._url)
        if incoming.error is None and self._connection is not None:
            self.close()
            incoming.error = CutOff("given up on this side")
            msg = f"nothing more came from {shown} within {limit} s"
            raise TimeoutError(msg)
        self.close()
        raise _lost(incoming.error or CutOff("it was closed on this side"), shown)

    def whole(self, most: int) -> bytes | None:
        """Return the rest of the body, if all of it is here; see `HttpResponse.whole`."""
        incoming = self._incoming
        if not incoming.is_complete or incoming.buffered > most:
            return None
        if self._connection is not None:
            self._let_go()
        return incoming.take()

    def _let_go(self) -> None:
        """Give the connection back after a whole answer."""
        connection, pool = self._connection, self._pool
        self._connection = self._pool = None
        if connection is not None and pool is not None:
            if self._incoming.is_reusable:
                pool.give_back(connection)
            else:
                pool.drop(connection)

    def close(self) -> None:
        """Close the connection, or give it back where the whole answer has arrived."""
        connection, pool = self._connection, self._pool
        if connection is None or pool is None:
            return
        if self._incoming.is_complete:
            self._let_go()
            return
        self._connection = self._pool = None
        pool.drop(connection)

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> SentRequest | None:
        """Call back from now on, on a connection that does; see `ArrivingResponse.begin`."""
        connection, pool = self._connection, self._pool
        if connection is None or pool is None:
            return None
        connection.call_back(notify)
        return SentRequest(pool, connection, self._incoming, request, notify)

    async def aclose(self) -> None:
        """Give back or close the connection; see `HttpResponse.aclose`."""
        self.close()


@final
class _Arriving(_Response):
    """A response whose body has not arrived yet as it is opened; its connection is closed when it is dropped."""

    __slots__ = ()

    def __del__(self) -> None:
        if self._connection is not None and self._pool is not None:
            self._pool.drop_soon(self._connection)


class SentRequest:
    """A request that is on its way over a connection that calls back; see `mellite.wire.http.Sent`."""

    __slots__ = ("_connection", "_incoming", "_notify", "_pool", "_request")

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        incoming: Incoming,
        request: HttpRequest,
        notify: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._incoming = incoming
        self._request = request
        self._notify = notify

    @property
    def is_broken(self) -> bool:
        """Whether no head of an answer will come: `opened` tells why."""
        return self._incoming.error is not None or _is_refused(self._connection, self._incoming)

    @property
    def is_expired(self) -> bool:
        """Whether the deadline has passed."""
        return self._has_connection() and self._connection.is_expired

    def response(self) -> ArrivingResponse | None:
        """Return the response once its head is there."""
        incoming = self._incoming
        if not incoming.has_head or self.is_broken:
            return None
        return (_Response if incoming.is_complete else _Arriving)(
            self._pool, self._connection, incoming, self._request.url
        )

    async def opened(self, timeout: float | None) -> HttpResponse:
        """Wait for the head, from where the exchange stands; see `Transport.open`."""
        request = self._request
        deadline = None if timeout is None else time.monotonic() + timeout
        connection, incoming = self._connection, self._incoming
        failure: MelliteError | None = None
        try:
            await _head_of(self._pool, connection, incoming, timeout=timeout, deadline=deadline)
            return await _ended(self._pool, connection, incoming, request, is_reused=True, deadline=deadline)
        except Exception as error:
            if not is_deadline(error):
                failure = failure_of(error, request)
        raise failure or too_late(request, timeout)

    # The connection may serve another exchange by now: a whole answer gives it back.

    def _has_connection(self) -> bool:
        return self._connection.incoming is self._incoming

    def watch(self, deadline: float | None) -> None:
        """Set when to call back although nothing came."""
        if self._connection.incoming is self._incoming:
            self._connection.watch(deadline)

    def pause(self) -> None:
        """Read no further."""
        if self._has_connection():
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._has_connection():
            self._connection.resume()

    def again(self) -> None:
        """Call back in the next turn of the loop."""
        self._connection.call_soon(self._notify)

    def left(self) -> SentRequest:
        """Call back no more; return what a task waits with."""
        self._leave()
        if self._incoming.has_head:
            return self
        return _LeftRequest(self._pool, self._connection, self._incoming, self._request, _nobody)

    def close(self, response: ArrivingResponse | None) -> None:
        """Call back no more; close the response, or the connection before there is one."""
        self._leave()
        if response is not None:
            response.close()
        else:
            self._pool.drop(self._connection)

    def _leave(self) -> None:
        if self._has_connection():
            self._connection.leave()


@final
class _LeftRequest(SentRequest):
    """One left to a task; its connection is closed if that task never begins."""

    __slots__ = ("_is_taken_on",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._is_taken_on = False

    async def opened(self, timeout: float | None) -> HttpResponse:
        """Wait for the head."""
        self._is_taken_on = True
        return await super().opened(timeout)

    def __del__(self) -> None:
        if not self._is_taken_on:
            self._pool.drop_soon(self._connection)


def _nobody() -> None:
    pass


def is_deadline(error: Exception) -> bool:
    """Whether an error is that of a time limit of ours, not one of the network's (ETIMEDOUT)."""
    return isinstance(error, TimeoutError) and error.errno is None


def too_late(request: HttpRequest, timeout: float | None) -> TimeoutError:
    """Return the error for an answer that did not begin in time."""
    return TimeoutError(f"no answer from {shown_url(request.url)} within {timeout} s")


def failure_of(error: Exception, request: HttpRequest) -> MelliteError:
    """Return the error of ours for what went wrong before the head was there."""
    url = shown_url(request.url)
    if isinstance(error, MelliteError):
        return error.with_traceback(None)  # its frames know the proxy's password
    if isinstance(error, NotConnected):
        return ConnectError(f"cannot connect to {url}: {error}", retryable=error.retryable)
    if isinstance(error, BrokenRules):
        return InvalidProviderOutput(f"{url} sent an answer that breaks the rules of HTTP: {error}")
    if isinstance(error, (CutOff, OSError)):
        return _lost(error, url)
    return unforeseen(error, request)


def _lost(error: Exception, url: str) -> ConnectionLost:
    """Return the error for an answer that broke off."""
    why = str(error) if isinstance(error, (BrokenRules, CutOff)) else how_it_broke(error)
    msg = f"the connection to {url} broke before the answer was complete: {why}"
    if isinstance(error, BrokenRules):
        return ConnectionLost(msg, ending=None)
    return ConnectionLost(msg, ending="reset" if isinstance(error, OSError) else "cut")
