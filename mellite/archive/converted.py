"""The result of converting one cassette, and what all formats share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from attrs import field, frozen

from ..cassettes.audit import is_to_be_told
from ..cassettes.compression import ENDINGS, Compression, compress, compression_of
from ..cassettes.files.find import Failed, Found
from ..cassettes.files.storing import store_file
from ..values.errors import CassetteError, MissingExtra

__all__ = ["Converted", "ending_of", "stem_of", "unless_it_fails", "write"]

T = TypeVar("T")

#: Endings of the names of files that can be converted, compressed or not.
_ENDINGS: Final = (".out", ".json", ".yaml", ".yml", ".toml", ".txt", ".har", ".jsonl", ".eval", ".db", ".sqlite")


@frozen
class Converted:
    """One file, or one directory of answers, that was written.

    Args:
        source: the file or folder that was read.
        path: the file or folder that was written; None if there was nothing to write.
        calls: how many calls are in it.
        dropped: what could not be kept, one sentence each.
    """

    source: str
    path: str | None
    calls: int = field(default=0, kw_only=True)
    dropped: tuple[str, ...] = field(default=(), kw_only=True)


def unless_it_fails(one: Found, make: Callable[[], T], failed: Failed | None) -> T | None:
    """Convert one file; return None if that fails, after reporting it unless the file is about something else.

    Raises:
        CassetteError: if it fails, and `failed` is None.
        MissingExtra: likewise.
    """
    try:
        return make()
    except (CassetteError, MissingExtra) as error:
        if is_to_be_told(one):
            if failed is None:
                raise
            failed(one.path, error)
        return None


def stem_of(path: str) -> str:
    """Return the name of a file or folder without its endings."""
    name = os.path.basename(os.path.normpath(path))
    for ending in (*ENDINGS, *_ENDINGS):
        name = name.removesuffix(ending)
    return name


def ending_of(compression: Compression | None) -> str:
    """Return the ending of a file with a compression; empty without one."""
    return next((ending for ending, name in ENDINGS.items() if name == compression), "")


def write(path: str, data: bytes, *, replace: bool) -> None:
    """Write a whole file, compressed as its ending says.

    Raises:
        CassetteError: if it is there and `replace` is false, or it cannot be written.
    """
    if not store_file(path, compress(data, compression_of(path)), replace=replace):
        msg = f"{path!r} is there already; --force, or replace=True, replaces it"
        raise CassetteError(msg, path=path)
