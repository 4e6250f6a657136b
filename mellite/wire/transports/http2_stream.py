"""The received part of one answer over HTTP/2, and the frames of a connection before h2 sees them."""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, final

import h2.errors
import h2.events
import httpcore2

from ..broken import StreamReset

__all__ = ["Frames", "Stream", "error_name"]

_FRAME_HEAD: Final = 9  # https://www.rfc-editor.org/rfc/rfc9113#section-4.1
_LARGEST_FRAME: Final = 16 * 1024
_GOAWAY: Final = 7


@final
class Stream:
    """One request and its answer, as far as it has come."""

    def __init__(self) -> None:
        self.id = 0
        self.sent = False
        self.head: list[tuple[bytes, bytes]] | None = None
        self.pieces: deque[bytes] = deque()
        self.size = 0  # of what has come and was not acknowledged
        self.ended = False
        self.failure: StreamReset | None = None
        self.untouched = False  # whether the server has said that it did nothing about the request

    def take(self, event: h2.events.Event) -> None:
        """Note what has happened to this stream."""
        match event:
            case h2.events.ResponseReceived(headers=list(headers)):
                self.head = [(bytes(name), bytes(value)) for name, value in headers]
            case h2.events.DataReceived(data=bytes(data)):
                self.size += event.flow_controlled_length or 0
                if data:
                    self.pieces.append(data)
            case h2.events.StreamEnded():
                self.ended = True
            case h2.events.StreamReset() if not self.ended:
                self.failure = StreamReset(f"the server reset the stream ({error_name(event.error_code or 0)})")
                self.untouched = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            case _:
                pass

    def is_refused(self) -> bool:
        """Whether the answer, which has begun, makes sending the rest of the request pointless."""
        return self.head is not None and (self.ended or self.status_and_headers()[0] >= 300)

    def status_and_headers(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return the head of the answer.

        Raises:
            RemoteProtocolError: if it has no status.
        """
        head = self.head or []
        status = next((value for name, value in head if name == b":status"), b"")
        if not (len(status) == 3 and status.isdigit()):
            msg = "no status"
            raise httpcore2.RemoteProtocolError(msg)
        return int(status), [(name, value) for name, value in head if not name.startswith(b":")]


@final
class Frames:
    """Takes GOAWAY out of what a server sends: h2 ends all streams with it, also those that are still answered.

    Attributes:
        goaways: the number of the last stream that is answered, and the error code, of each.
        overlong: whether a frame has begun that is longer than allowed. h2 says so only when it has all of it.
    """

    def __init__(self) -> None:
        self.goaways: list[tuple[int, int]] = []
        self.overlong = False
        self._rest = b""

    def without_goaways(self, data: bytes) -> bytes:
        """Return the whole frames among what has come so far, but for GOAWAY."""
        data = self._rest + data
        kept: list[bytes] = []
        at = begin = 0
        while len(data) >= at + _FRAME_HEAD:
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + _FRAME_HEAD + length
            self.overlong = length > _LARGEST_FRAME
            if self.overlong or end > len(data):
                break
            if data[at + 3] == _GOAWAY and length >= 8:  # two numbers
                kept.append(data[begin:at])
                last, code = struct.unpack_from(">II", data, at + _FRAME_HEAD)
                self.goaways.append((last & 0x7FFFFFFF, code))
                begin = end
            at = end
        kept.append(data[begin:at])
        self._rest = data[at:]
        return b"".join(kept)


def error_name(code: int) -> str:
    """Return the name of an error code."""
    try:
        return h2.errors.ErrorCodes(code).name
    except ValueError:
        return f"error {code:#x}"
