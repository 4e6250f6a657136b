"""Strict JSON for cassette files, and bodies kept as text or as base64."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, NoReturn, TypeAlias

import msgspec
from attrs import field, frozen

from ..values.errors import InvalidCassette
from ..values.provider_json import Json, JsonObject
from ..values.public_names import publish
from .alike import STREAM, Lines

__all__ = ["Body", "Encoding", "decode_json", "decoded", "malformed"]

Encoding: TypeAlias = Literal["text", "base64"]

_BOM: Final = b"\xef\xbb\xbf"
_BYTE: Final = re.compile(r"\(byte (\d+)\)$")
# A \ud800 to \udfff that is not one half of a pair, outside of \\u (an escaped backslash before a plain u).
_SURROGATE: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F])"
)
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:]', re.DOTALL)


class _Duplicate(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Make an object of its pairs, and refuse a duplicate key."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Duplicate(twice)
    return result


def _constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def decode_json(data: bytes, *, path: str | None = None, lone_surrogates: bool = False) -> Json:
    """Decode JSON strictly: refuse duplicate keys, lone surrogates, NaN and a BOM, on which readers disagree.

    Args:
        data: the bytes of the whole file.
        path: the file, for the error.
        lone_surrogates: accept half of a surrogate pair; such a text cannot be encoded.

    Raises:
        InvalidCassette: naming the file and the byte at which reading failed, also for JSON that is nested too deeply.

    Example:
        >>> decode_json(b'{"version": 1}')
        {'version': 1}
    """
    try:
        try:
            # msgspec is the stricter of the two and names the byte of an error, but accepts duplicate keys. None was
            # there if the value is written as it was read, but for white space: of duplicates it has only the last.
            value: Json = msgspec.json.decode(data)
            if msgspec.json.encode(value) == msgspec.json.format(data, indent=-1):
                return value
        except msgspec.DecodeError:
            if not (lone_surrogates and _SURROGATE.search(data)):
                raise
        found: Json = _STRICT.decode(data.decode())
        return found
    except (ValueError, RecursionError) as error:
        raise malformed(data, error, path=path) from error


def decoded(text: str) -> tuple[bool, Json]:
    """Return whether a text is JSON, and its value if it is. NaN and JSON that is nested too deeply are not."""
    if not text:
        return False, None
    try:
        return True, msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass  # not JSON; or a lone surrogate or a huge number, which only msgspec refuses
    try:
        return True, json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError):
        return False, None


def malformed(data: bytes, error: Exception, *, path: str | None = None) -> InvalidCassette:
    """Return the error for a file that is not valid JSON, with the byte at which that shows."""
    name = "the cassette" if path is None else f"cassette {path!r}"
    offset, reason = _place(data, error)
    where = "" if offset is None else f" at byte {offset}"
    return InvalidCassette(f"{name} is damaged{where}: {reason}", path=path, offset=offset)


def _place(data: bytes, error: Exception) -> tuple[int | None, str]:
    """Return the byte at which data are not valid JSON, if it can be told, and the reason."""
    if not data.strip():
        return 0, "it is empty"
    if data.startswith(_BOM):
        return 0, "it begins with a byte order mark; save it as UTF-8 without one"
    if data.startswith(b"\x1f\x8b"):
        return 0, "it is compressed with gzip"
    if isinstance(error, RecursionError):
        return None, "it is nested too deeply"
    if isinstance(error, _Duplicate):
        return _second(data), f"the key {str(error)!r:.80} is there twice in one object"
    try:
        data.decode()
    except UnicodeDecodeError as broken:
        return broken.start, "it is not UTF-8"
    found = _BYTE.search(str(error))
    lone = _SURROGATE.search(data)
    if lone and (found is None or int(found[1]) >= lone.start()):
        return lone.end() - 1, "it has half of a surrogate pair, which no text can hold"
    if found:
        reason = _BYTE.sub("", str(error)).removeprefix("JSON is malformed: ").strip()
        # For trailing characters, msgspec names the byte after the first of them.
        return int(found[1]) - reason.startswith("trailing"), f"{reason}, so it is not JSON"
    if "truncated" in str(error):
        return len(data), "it ends in the middle of the JSON"
    return None, str(error)


def _second(data: bytes) -> int | None:
    """Return the byte at which a key comes for the second time in its object."""
    objects: list[set[str]] = []
    string, start = b"", 0
    for token in _TOKEN.finditer(data):
        kind = token[0][:1]
        if kind == b'"':
            string, start = token[0], token.start()
        elif kind in b"{[":
            objects.append(set())
        elif kind in b"}]":
            objects.pop()
        else:  # a colon: the string before it was a key
            key: str = json.loads(string)
            if key in objects[-1]:
                return start
            objects[-1].add(key)
    return None


@frozen(eq=False)
class Body:
    r"""A body as it is stored in a cassette: text or base64, decoded only when it is read.

    Args:
        stored: the text itself, or its JSON token in the file, quotes included.
        encoding: ``base64`` for bytes that are not text; None if the file does not say, which means text.
        path: the cassette, for errors.
        where: which body of the cassette it is, for errors.
        offset: the byte of the file at which it begins, for errors.

    Example:
        >>> Body.of(b"Hello.").text, Body.of(b"\xff\x00").encoding
        ('Hello.', 'base64')
    """

    stored: str | bytes | memoryview = field(repr=lambda stored: f"<{len(stored)}>")
    encoding: Encoding | None = field(default=None, kw_only=True)
    path: str | None = field(default=None, kw_only=True)
    where: str = field(default="the body", kw_only=True)
    offset: int | None = field(default=None, kw_only=True)
    _lines: Lines | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, content: str | bytes) -> Body:
        """Store a text as it is, and bytes as text if they are UTF-8, else in base64."""
        if isinstance(content, str):
            return cls(content)
        try:
            return cls(content.decode())
        except UnicodeDecodeError:
            return cls(base64.b64encode(content).decode(), encoding="base64")

    @property
    def characters(self) -> str:
        """The characters in the file: the text, or the base64.

        Raises:
            InvalidCassette: if they are not a valid JSON string.
        """
        if isinstance(self.stored, str):
            return self.stored
        try:
            return msgspec.json.decode(self.stored, type=str)
        except (ValueError, RecursionError) as error:
            place, reason = _place(bytes(self.stored), error)
            offset = None if place is None else place + (self.offset or 0)
            msg = f"{self._name()} is damaged at byte {offset}: {reason}"
            raise InvalidCassette(msg, path=self.path, offset=offset) from error

    @property
    def data(self) -> bytes:
        """The bytes that went over the wire.

        Raises:
            InvalidCassette: if the base64 is malformed, or the text cannot be encoded.
        """
        stored = self.stored
        characters = stored if type(stored) is str else self.characters
        try:
            if self.encoding == "base64":
                return base64.b64decode(characters, validate=True)
            return characters.encode()
        except (binascii.Error, ValueError) as error:
            msg = f"{self._name()} is damaged: it is not {self.encoding or 'text'}: {error}"
            raise InvalidCassette(msg, path=self.path, offset=self.offset) from error

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become U+FFFD."""
        return self.data.decode(errors="replace") if self.encoding == "base64" else self.characters

    @property
    def lines(self) -> Lines | None:
        """The lines of a stream, similar ones grouped; None if this is not text, or not a stream.

        Found once if the body was not read from a file.
        """
        lines = self._lines
        if lines is None and self.encoding != "base64":
            text = self.characters
            lines = Lines.of(text) if text.startswith(STREAM) else None
            if text is self.stored:
                object.__setattr__(self, "_lines", lines)
        return lines

    def _name(self) -> str:
        return self.where if self.path is None else f"{self.where} of cassette {self.path!r}"

    def __reduce__(self) -> tuple[Callable[..., Body], tuple[str | bytes]]:
        stored = self.stored if isinstance(self.stored, str) else bytes(self.stored)  # a memoryview has no pickle
        return partial(Body, encoding=self.encoding, path=self.path, where=self.where, offset=self.offset), (stored,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Body):
            return NotImplemented
        return self.data == other.data and (self.encoding == "base64") == (other.encoding == "base64")

    def __hash__(self) -> int:
        return hash(self.data)


publish(globals(), "mellite.cassettes", "Body")
