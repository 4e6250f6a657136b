"""TLS of one connection, on the client's side: what came from the network in, what the server said out, and back.

No I/O. asyncio and uvloop have TLS of their own, which may lose data where the end of a connection comes right behind
it: uvloop drops what waits while reading is paused, and both give what there is no room for a turn of the loop later,
unless the end comes first. Here, what has come is given out at once and whole.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final, final

__all__ = ["TlsLayer"]

_RECORD: Final = 16 * 1024  # bytes of the longest piece that TLS gives


@final
class TlsLayer:
    """TLS to one host.

    Args:
        settings: whom to trust, and the rest.
        host: whose certificate the server must have.
        below: the TLS that this one is spoken in, with a proxy; None where this is spoken over the network itself.

    Attributes:
        is_open: whether the handshake is done.
        is_ended: whether nothing more will come.
        error: why, unless the server has said so.
    """

    __slots__ = ("_below", "_from_network", "_object", "_to_network", "error", "is_ended", "is_open")

    def __init__(self, settings: ssl.SSLContext, host: str, below: TlsLayer | None = None) -> None:
        self._from_network = ssl.MemoryBIO()
        self._to_network = ssl.MemoryBIO()
        self._object = settings.wrap_bio(self._from_network, self._to_network, server_hostname=host)
        self._below = below
        self.is_open = False
        self.is_ended = False
        self.error: ssl.SSLError | None = None

    def take_in(self, data: bytes | memoryview) -> None:
        """Take in what came from the network."""
        below = self._below
        if below is None:
            self._from_network.write(data)
            return
        below.take_in(data)
        self._from_network.write(below.read())

    def shake_hands(self) -> None:
        """Go on with the handshake, as far as what has come allows.

        Raises:
            ssl.SSLError: if it fails; there may be something to send all the same, which tells the server why.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            if self._below is not None and self._below.is_ended:
                raise self._below.error or ssl.SSLEOFError from None
            return
        self.is_open = True

    def read(self) -> bytes:
        """Return everything that the server has said so far; empty where nothing is whole yet."""
        source, coming = self._object, self._from_network
        pieces: list[bytes] = []
        try:
            while coming.pending or source.pending():  # so that it is not an error each time that tells the end
                piece = source.read(_RECORD)
                if not piece:
                    self.is_ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # the rest is part of a record, or was for TLS itself
        except ssl.SSLError as error:
            self.is_ended = True
            self.error = error.with_traceback(None)
        if self._below is not None and self._below.is_ended:
            self.is_ended = True
            self.error = self.error or self._below.error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def written(self, data: bytes | memoryview) -> bytes:
        """Return the bytes to send to the network for what is to be said to the server."""
        write = self._object.write
        rest = memoryview(data)
        while rest:
            rest = rest[write(rest) :]
        return self.to_send()

    def farewell(self) -> bytes:
        """Return what to send to the network after the end: TLS has a word for it, and one for an error."""
        if self.error is None:
            with suppress(ssl.SSLError):  # it was cut short below
                self._object.unwrap()
        return b"" if self._below is not None and self._below.is_ended else self.to_send()

    def to_send(self) -> bytes:
        """Return what TLS itself has to send to the network."""
        data = self._to_network.read()
        return data if self._below is None else self._below.written(data)
