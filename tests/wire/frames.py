"""AWS event streams made by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32


def header(name: str, kind: int, value: bytes) -> bytes:
    """One header of a message; `value` as it stands on the wire."""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text_header(name: str, text: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(text.encode())) + text.encode())


def framed(headers: bytes, payload: bytes) -> bytes:
    """A message with right lengths and checksums, whatever its headers are."""
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return message + struct.pack(">I", crc32(message))


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    return framed(b"".join([text_header(name, value) for name, value in headers.items()]), payload)


def event(name: str, value: Any) -> bytes:
    """One event as Bedrock sends it."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json.dumps(value, separators=(",", ":")).encode())


def exception(name: str, text: str) -> bytes:
    """What stands in the stream where something broke."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": text}).encode())
