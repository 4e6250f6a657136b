"""A file of another tool: its bytes and what they decode to, each read once; and checks that name the place."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Final, NoReturn, cast

from attrs import frozen

from ...cassettes.bodies import decode_json
from ...cassettes.compression import compression_of, expand
from ...cassettes.files.disk import read_file
from ...cassettes.files.vcr import decode_document
from ...values.errors import InvalidCassette, MissingExtra
from ...values.provider_json import Json, JsonObject
from ...values.secrets.shapes import masked

__all__ = ["Places", "Source", "decode"]

#: How many bytes at the beginning of a file tell whether it is a database or an archive.
_HEAD: Final = 4096

_SHOWN: Final[Mapping[type, str]] = {type(None): "nothing", dict: "an object", list: "a list", bytes: "bytes"}

_BOM: Final = b"\xef\xbb\xbf"


class Source:
    """A file that is looked at, and then read.

    Args:
        path: the file.

    Raises:
        CassetteMiss: if there is no such file, when it is read.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def head(self) -> bytes:
        """The first bytes, as they are in the file.

        Raises:
            CassetteMiss: if there is no such file.
            InvalidCassette: if it cannot be read.
        """
        if not os.path.isfile(self.path):
            return read_file(self.path)  # which says what it is
        try:
            with open(self.path, "rb") as file:
                return file.read(_HEAD)
        except OSError as error:
            msg = f"cannot read {self.path!r}: {error.strerror or error}"
            raise InvalidCassette(msg, path=self.path) from error

    @cached_property
    def data(self) -> bytes:
        """All bytes, decompressed as the file's name says, without a byte order mark.

        Raises:
            CassetteMiss: if there is no such file.
            InvalidCassette: if it is damaged or too large.
        """
        return expand(read_file(self.path), compression_of(self.path), path=self.path).removeprefix(_BOM)

    @cached_property
    def document(self) -> Json:
        """The JSON, YAML or TOML in it.

        Raises:
            InvalidCassette: if it is none of them.
            MissingExtra: for YAML without PyYAML.
        """
        if self.data.lstrip()[:1] in (b"{", b"["):
            return decode(self.data, path=self.path)
        return decode_document(self.data, path=self.path)

    @cached_property
    def shape(self) -> Json:
        """What `document` gives; None for a file that has none, to tell formats apart."""
        if self.is_binary:
            return None
        try:
            return self.document
        except (InvalidCassette, MissingExtra):
            return None

    @property
    def is_binary(self) -> bool:
        """Whether it is a database or an archive, by its first bytes."""
        return self.head.startswith((b"SQLite format 3\x00", b"PK\x03\x04"))


def decode(data: bytes, *, path: str, where: str = "") -> Json:
    """Decode JSON as the tools do that write it: NaN, and a key twice, of which the last one counts, are not errors.

    Args:
        data: the JSON.
        path: the file.
        where: the place in it, for the error.

    Raises:
        InvalidCassette: if it is not JSON; names the byte.

    Example:
        >>> decode(b'{"score": NaN, "a": 1, "a": 2}', path="a.json")
        {'score': nan, 'a': 2}
    """
    name = f"{path}, {where}" if where else path
    try:
        return decode_json(data, path=name, lone_surrogates=True)
    except InvalidCassette as error:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            error.path = path
            raise error from None


@frozen
class Places:
    """Checks of the values of one file. A value that is not as expected is an InvalidCassette that names its place.

    Args:
        path: the file.
        kind: what it was taken for, as in ``HAR file``.

    Example:
        >>> Places("a.har", "HAR file").items({}, "$.log.entries")
        Traceback (most recent call last):
        mellite.errors.InvalidCassette: 'a.har' is not a HAR file: at $.log.entries expected a list, found an object
    """

    path: str
    kind: str

    def fields(self, value: object, where: str, *, optional: bool = False) -> JsonObject:
        """Return an object; an empty one for None, if it is optional."""
        if value is None and optional:
            return {}
        if not isinstance(value, dict):
            self.refuse(where, "an object", value)
        return cast("JsonObject", value)

    def items(self, value: object, where: str, *, optional: bool = False) -> list[Json]:
        """Return a list; an empty one for None, if it is optional."""
        if value is None and optional:
            return []
        if not isinstance(value, list):
            self.refuse(where, "a list", value)
        return value

    def text(self, value: object, where: str) -> str:
        """Return a text."""
        if not isinstance(value, str):
            self.refuse(where, "a text", value)
        return value

    def word(self, value: object, where: str) -> str | None:
        """Return a text, or None for None."""
        return None if value is None else self.text(value, where)

    def number(self, value: object, where: str) -> int:
        """Return a whole number."""
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(where, "a whole number", value)
        return value

    def data(self, value: object, where: str) -> bytes:
        """Return the bytes of a text, or of what YAML has as ``!!binary``."""
        return value if isinstance(value, bytes) else self.text(value, where).encode("utf-8", "surrogatepass")

    def base64(self, value: object, where: str) -> bytes:
        """Return the bytes that are in base64, over several lines or not."""
        try:
            return base64.b64decode("".join(self.text(value, where).split()), validate=True)
        except (binascii.Error, ValueError):
            self.refuse(where, "base64", "something else")

    def refuse(self, where: str, wanted: str, found: object) -> NoReturn:
        """Raise the error for a value that is not as expected.

        Raises:
            InvalidCassette: always.
        """
        shown = _SHOWN.get(type(found)) or (found if isinstance(found, str) else f"{found!r}")
        msg = f"{self.path!r} is not a {self.kind}: at {where} expected {wanted}, found {masked(shown):.80}"
        raise InvalidCassette(msg, path=self.path)
