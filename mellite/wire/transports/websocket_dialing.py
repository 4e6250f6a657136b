"""Open the byte stream below a WebSocket: name look-up, TCP, the proxy on the way, TLS; as for HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import anyio
from anyio.streams.tls import TLSStream
from attrs import field, frozen

from ...values.errors import ConfigurationError, ConnectError, MelliteError
from ..broken import too_slow
from ..http import HttpRequest, shown_url
from ..tls import tls_context
from .http1.connecting import NotConnected, ask_for_tunnel, check_tunnel, why_not
from .http1.incoming import Incoming
from .http1.origins import FROM_ENVIRONMENT, Origin, Proxy, proxy_of, split, without_password

if TYPE_CHECKING:
    import ssl

    from anyio.abc import ByteStream

__all__ = ["Dialing"]


@final
@frozen
class Dialing:
    """The settings for reaching servers.

    Args:
        proxy: the URL of a proxy, None for none; by default what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.
    """

    proxy: str | None = field(default=FROM_ENVIRONMENT, repr=False)  # may hold a password

    def __deepcopy__(self, memo: object) -> Dialing:
        return self  # nobody changes it

    def __reduce__(self) -> tuple[object, ...]:
        return Dialing, (without_password(self.proxy),)

    async def __call__(self, asked: HttpRequest, ssl_context: ssl.SSLContext | None) -> ByteStream:
        """Open a stream to the server of a request, within the request's time for connecting.

        Raises:
            ConnectError: if that fails.
            ConfigurationError: if the proxy cannot be used.
        """
        shown = shown_url(asked.url)
        failure: MelliteError
        try:
            with anyio.move_on_after(asked.connect_timeout):
                return await self._connected(asked.url, ssl_context)
            failure = ConnectError(f"cannot connect to {shown}: {too_slow(asked.connect_timeout)}")
        except NotConnected as error:
            failure = ConnectError(f"cannot connect to {shown}: {error}", retryable=error.retryable)
        except ConfigurationError as error:
            failure = error.with_traceback(None)  # its frames know the proxy's password
        # Raised here, not above: what the network raises is not to be kept, with its frames and what they hold.
        raise failure

    async def _connected(self, url: str, ssl_context: ssl.SSLContext | None) -> ByteStream:
        origin, _ = split(url)
        proxy = proxy_of(origin, self.proxy)
        way = origin if proxy is None else proxy
        tls = None
        if origin.is_tls or way.scheme == "https":
            tls = ssl_context or tls_context()
        try:
            stream: ByteStream = await anyio.connect_tcp(way.host, way.port)
            try:
                if tls is not None and way.scheme == "https":
                    stream = await _in_tls(stream, tls, way.host)
                if proxy is not None:
                    await _tunnel(stream, proxy, origin)
                    if tls is not None and origin.is_tls:
                        stream = await _in_tls(stream, tls, origin.host)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.aclose_forcefully(stream)
                raise
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise why_not(error, proxy) from None
        return stream


async def _in_tls(stream: ByteStream, tls: ssl.SSLContext, host: str) -> ByteStream:
    return await TLSStream.wrap(stream, hostname=host, ssl_context=tls, standard_compatible=False)


async def _tunnel(stream: ByteStream, proxy: Proxy, origin: Origin) -> None:
    """Have a proxy make a stream a tunnel to an origin; also for a WebSocket in the clear, see RFC 6455, section 4.1.

    Raises:
        NotConnected: if it does not.
    """
    await stream.send(ask_for_tunnel(proxy, origin))
    incoming = Incoming("CONNECT")
    while not incoming.has_head and incoming.error is None:
        try:
            incoming.feed(await stream.receive())
        except anyio.EndOfStream:
            incoming.end()
        except (OSError, anyio.BrokenResourceError) as error:
            incoming.end(error)
    check_tunnel(incoming, proxy)
