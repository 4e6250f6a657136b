"""Make a connection to an origin: name look-up, TCP, the proxy on the way, TLS; and say what failed."""

from __future__ import annotations

import socket
import ssl
from typing import Protocol

from .... import loops
from ...broken import causes, how_it_broke
from ...tls import tls_context
from .incoming import BrokenRules, CutOff, Incoming
from .origins import Origin, Proxy, proxy_of
from .pool import Connection

__all__ = ["NotConnected", "ask_for_tunnel", "check_tunnel", "connect", "why_not"]


class NotConnected(Exception):
    """No connection could be made; the text says why.

    Attributes:
        retryable: whether another try may go better.
    """

    def __init__(self, why: str, *, retryable: bool | None = None) -> None:
        super().__init__(why)
        self.retryable = retryable


async def connect(origin: Origin, *, tls: ssl.SSLContext | None, proxy: str | None) -> Connection:
    """Open a connection to an origin, over a proxy where there is one.

    Args:
        tls: the TLS settings, for origin and proxy; None for those of the system.
        proxy: as `proxy_of` takes it.

    Raises:
        NotConnected: if that fails.
        ConfigurationError: if the proxy cannot be used.
    """
    way = proxy_of(origin, proxy)
    try:
        if way is None:
            settings = (tls or tls_context()) if origin.is_tls else None
            return await _rim().connect(origin, origin.host, origin.port, settings)
        return await _over(way, origin, tls)
    except (OSError, ExceptionGroup) as error:
        raise why_not(error, way) from None


class _Rim(Protocol):
    """A class of connections."""

    async def connect(self, origin: Origin, host: str, port: int, tls: ssl.SSLContext | None) -> Tunnelled:
        """Open a connection to a host."""
        ...


class Tunnelled(Connection, Protocol):
    """A connection that can go on in TLS, behind a proxy."""

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on."""
        ...


def _rim() -> _Rim:
    """Return the class of connections for the running loop."""
    if loops.in_trio_task():
        from .trio_rim import TrioConnection

        return TrioConnection
    from .asyncio_rim import AsyncioConnection

    return AsyncioConnection


async def _over(proxy: Proxy, origin: Origin, tls: ssl.SSLContext | None) -> Connection:
    """Open a connection to a proxy, and have it lead to the origin where that is spoken to in TLS."""
    own = (tls or tls_context()) if proxy.scheme == "https" else None
    connection = await _rim().connect(origin, proxy.host, proxy.port, own)
    if not origin.is_tls:
        connection.proxy = proxy
        return connection
    try:
        await _tunnel(connection, proxy, origin)
        await connection.start_tls(tls or tls_context(), origin.host)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _tunnel(connection: Tunnelled, proxy: Proxy, origin: Origin) -> None:
    """Have a proxy make its connection a tunnel to an origin."""
    incoming = Incoming("CONNECT")
    await connection.send(ask_for_tunnel(proxy, origin), b"", incoming, None)
    while not incoming.has_head and incoming.error is None:
        await connection.wait(None)
    check_tunnel(incoming, proxy)
    connection.incoming = None


def ask_for_tunnel(proxy: Proxy, origin: Origin) -> bytes:
    """Write the request for a tunnel to an origin, as RFC 9110, section 9.3.6, has it."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    head = f"CONNECT {host}:{origin.port} HTTP/1.1\r\nhost: {host}:{origin.port}\r\n"
    if proxy.authorization is not None:
        head += f"proxy-authorization: {proxy.authorization}\r\n"
    return f"{head}\r\n".encode("ascii")


def check_tunnel(incoming: Incoming, proxy: Proxy) -> None:
    """Make sure that a proxy gave a tunnel.

    Raises:
        NotConnected: unless it did.
    """
    if not incoming.has_head:
        why = incoming.error if isinstance(incoming.error, (BrokenRules, CutOff)) else how_it_broke(incoming.error)
        msg = f"the proxy {proxy.shown} gave no tunnel: {why}"
        raise NotConnected(msg)
    if not 200 <= incoming.status < 300:
        msg = f"the proxy {proxy.shown} refused a tunnel with status {incoming.status}"
        raise NotConnected(msg, retryable=incoming.status >= 500)


def why_not(error: BaseException, proxy: Proxy | None) -> NotConnected:
    """Return what says why no connection was made, over a proxy or without one."""
    where = "" if proxy is None else f"over the proxy {proxy.shown}: "
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotConnected(f"{where}the certificate is not trusted: {cause.verify_message}", retryable=False)
        if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return NotConnected(f"{where}no connection: the server closed it")
        if isinstance(cause, ssl.SSLError):
            return NotConnected(f"{where}{how_it_broke(cause)}", retryable=False)
        if isinstance(cause, socket.gaierror):
            return NotConnected(f"{where}the host was not found: {cause.strerror}")
    return NotConnected(f"{where}no connection: {how_it_broke(error)}")
