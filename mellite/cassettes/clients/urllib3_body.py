"""The body of an answer as requests and botocore want it: a response of urllib3 that streams what comes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from http.client import responses
from typing import Any, Final, cast

from ...values.errors import MissingExtra
from ...wire.content_encoding import BodyDecoder
from .asking_blocking import BlockingAnswer
from .failures import ClientFailures, Kind

try:
    import urllib3
except ModuleNotFoundError as error:
    msg = "this client needs urllib3: pip install urllib3"
    raise MissingExtra(msg) from error

__all__ = ["READING", "StreamedBody", "pieces_of"]

#: How much is read from a connection at once, at most.
_READ: Final = 64 * 1024


def pieces_of(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the pieces of a response as they arrive, still compressed."""
    if raw.chunked and raw.supports_chunked_reads():  # type: ignore[attr-defined]
        yield from raw.read_chunked(decode_content=False)
        return
    while piece := raw.read1(_READ, decode_content=False):
        yield piece


class _File(io.RawIOBase):
    """An answer as a file, for those who read it as one."""

    def __init__(self, answer: BlockingAnswer) -> None:
        self._answer = answer
        self._left = b""

    def readable(self) -> bool:
        return True

    def next(self) -> bytes:
        """Return what is left of the last piece, or the next one; ``b""`` at the end."""
        piece, self._left = self._left or self._answer.read(), b""
        return piece

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(self.next, b""))
        piece = self.next()
        piece, self._left = piece[:size], piece[size:]
        return piece

    def read1(self, size: int = -1) -> bytes:
        return self.next() if size < 0 else self.read(size)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._answer.close()


class StreamedBody(urllib3.HTTPResponse):
    """A response of urllib3 whose ``stream`` gives each piece as it comes.

    Args:
        answer: where the pieces come from.
        decode: whether ``stream`` decompresses unless it is told otherwise.
        live: the response that arrives, if it is recorded.
        method: of the request.
        url: of the request, as urllib3 was asked for it.
    """

    def __init__(
        self,
        answer: BlockingAnswer,
        *,
        decode: bool,
        live: urllib3.HTTPResponse | None = None,
        method: str | None,
        url: str | None = None,
    ) -> None:
        self._file = _File(answer)
        headers: Any = {name: value for name, value in answer.headers.items() if name != "transfer-encoding"}
        super().__init__(
            body=self._file,
            headers=headers if live is None else live.headers,
            status=answer.status,
            version=11,
            version_string="HTTP/1.1",
            reason=responses.get(answer.status) if live is None else live.reason,
            preload_content=False,
            decode_content=decode,
            original_response=None if live is None else getattr(live, "_original_response", None),
            enforce_content_length=False,
            request_method=method,
            request_url=url,
        )
        self.chunked = False

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]  # noqa: FBT001 - as urllib3 has it
        """Yield each piece as it comes, in parts of at most *amt* bytes."""
        decoder = None
        encoding = self.headers.get("content-encoding")
        if encoding and (self.decode_content if decode_content is None else decode_content):
            decoder = BodyDecoder(encoding)
        while piece := self._file.next():
            for part in [piece] if decoder is None else decoder.feed(piece):
                step = amt or len(part) or 1
                for start in range(0, len(part), step):
                    yield part[start : start + step]
        if decoder is not None:
            decoder.end()
        self._file.close()


def _made(kind: type[Exception], message: str) -> Exception:
    if issubclass(kind, urllib3.exceptions.ReadTimeoutError):
        make: Any = kind  # the pool that failed is none of ours
        return cast("Exception", make(None, "", message))
    return kind(message)


_KINDS: Final[Mapping[type[Exception], Kind]] = {
    urllib3.exceptions.ReadTimeoutError: "slow",
    urllib3.exceptions.ProtocolError: "cut",
    OSError: "reset",
}

#: The errors of reading a body.
READING: Final = ClientFailures(
    kinds=_KINDS,
    again={
        "connect": urllib3.exceptions.ProtocolError,
        "slow": urllib3.exceptions.ReadTimeoutError,
        "cut": urllib3.exceptions.ProtocolError,
        "broken": urllib3.exceptions.ProtocolError,
        "reset": urllib3.exceptions.ProtocolError,
    },
    modules=(),
    make=_made,
    kind=lambda error: "reset" if "ConnectionReset" in f"{error!r}" else None,
)
