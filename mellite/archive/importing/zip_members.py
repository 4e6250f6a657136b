"""Read the members of a zip file one by one, in bounded memory, Zstandard among them, which zipfile cannot read."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import BinaryIO, Final, NoReturn, Self

from ...cassettes.files.disk import MAX_BYTES
from ...values.errors import InvalidCassette, InvalidProviderOutput, OutputTooLarge
from ...wire.content_encoding import BodyDecoder

__all__ = ["ZipMembers"]

_ZSTANDARD: Final = 93
_KNOWN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTANDARD)

#: What reading a member raises if it is damaged.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    InvalidProviderOutput,
)

#: What stands before a member: 30 bytes, of which the last four are the lengths of its name and of its extra field.
_LOCAL: Final = struct.Struct("<26xHH")
_ENCRYPTED: Final = 0x1


class ZipMembers:
    """A zip file that is open for reading.

    Args:
        path: the file.
        limit: the most bytes of one member.

    Raises:
        InvalidCassette: if it is not a zip file, or cut off.
    """

    def __init__(self, path: str, *, limit: int = MAX_BYTES) -> None:
        self.path = path
        self.limit = limit
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror or error}", error)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
            self._file.close()
            msg = "its list of members is missing or damaged: it was cut off, or is still being written"
            self._refuse(f"{msg} ({error})", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of the members, in the order in which they were written."""
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """Return the bytes of a member.

        Raises:
            InvalidCassette: if it is damaged, encrypted, compressed in an unknown way, or larger than the limit.
            MissingExtra: for Zstandard, before Python 3.14 without the package backports.zstd.
        """
        member = self._zip.getinfo(name)
        if member.flag_bits & _ENCRYPTED:
            self._refuse(f"its member {name!r} is encrypted")
        if member.compress_type not in _KNOWN:
            self._refuse(f"its member {name!r} is compressed by method {member.compress_type}, which is not read")
        if member.file_size > self.limit:
            self._too_large(name)
        try:
            data = self._inflated(member) if member.compress_type == _ZSTANDARD else self._read(member)
        except OutputTooLarge:
            self._too_large(name)
        except _BROKEN as error:
            self._refuse(f"its member {name!r}: {error}", error)
        if len(data) > self.limit:
            self._too_large(name)
        if zlib.crc32(data) != member.CRC:
            self._refuse(f"its member {name!r} does not have the checksum that it should have")
        return data

    def _read(self, member: zipfile.ZipInfo) -> bytes:
        with self._zip.open(member) as opened:
            return opened.read(self.limit + 1)

    def _inflated(self, member: zipfile.ZipInfo) -> bytes:
        self._file.seek(member.header_offset)
        name, extra = _LOCAL.unpack(self._file.read(_LOCAL.size))
        self._file.seek(name + extra, 1)
        decoder = BodyDecoder("zstd", limit=self.limit)
        data = b"".join(decoder.feed(self._file.read(member.compress_size)))
        decoder.end()
        return data

    def _too_large(self, name: str) -> NoReturn:
        self._refuse(f"its member {name!r} is larger than {self.limit:,} bytes")

    def _refuse(self, reason: str, cause: Exception | None = None) -> NoReturn:
        msg = f"{self.path!r} is damaged, or too large to read: {reason}"
        raise InvalidCassette(msg, path=self.path) from cause
