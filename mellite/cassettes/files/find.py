"""Find the cassettes below a folder, and tell their kind by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from ...values.errors import CassetteMiss, InvalidCassette, MelliteError
from ..compression import ENDINGS
from .journal_lines import JOURNAL, REWRITE
from .storing import TEMPORARY

__all__ = ["Failed", "Found", "Kind", "cassette_folders", "find_cassettes"]

#: Called for a file or folder that cannot be read, so that the others still are.
Failed: TypeAlias = Callable[[str, MelliteError], object]

#: ``http``: a file of interactions, also VCR's and cassetter's. ``text``: one answer. ``sidecar``: the file beside an
#: answer. ``left``: a file beside a cassette of a recording that was killed, or still runs.
Kind: TypeAlias = Literal["http", "text", "sidecar", "left"]

_COMPRESSED: Final = "|".join([re.escape(ending) for ending in ENDINGS])
_TEXT: Final = re.compile(rf"(?:0|[1-9][0-9]{{0,19}})\.txt(?:{_COMPRESSED})?")
_SIDECAR: Final = re.compile(rf"(?:0|[1-9][0-9]{{0,19}})\.json(?:{_COMPRESSED})?")
_HTTP: Final = re.compile(rf".+\.(?:json|ya?ml|toml)(?:{_COMPRESSED})?", re.DOTALL)
_LEFT: Final = (JOURNAL, REWRITE, TEMPORARY)

#: Folders that hold no cassettes.
_PASSED_OVER: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


@frozen
class Found:
    """A file that is a cassette or belongs to one, by its name.

    Args:
        path: the file.
        kind: the kind of file.
        named: whether the file itself was named, and not only a folder above it.
    """

    path: str
    kind: Kind
    named: bool = field(default=False, kw_only=True)


def find_cassettes(paths: Iterable[str], *, failed: Failed | None = None) -> Iterator[Found]:
    """Yield the cassettes among files and below folders, in the order of their names.

    A file of another kind is passed over in a folder, but counts as an HTTP cassette if it is named itself. Hidden
    folders are passed over.

    Args:
        paths: files and folders.
        failed: called for a folder that cannot be read, and for one of several paths that does not exist; without it,
            the error is raised.

    Raises:
        CassetteMiss: if there is no such file or folder, and it is the only one or `failed` is None.
        InvalidCassette: if a folder cannot be read.

    Example:
        >>> [found.kind for found in find_cassettes(["mellite/demo_cassettes/chat.json"])]
        ['http']
    """
    named = list(paths)
    for path in named:
        if os.path.isdir(path):
            yield from _below(path, failed)
        elif os.path.lexists(path):
            yield Found(path, _kind(path) or "http", named=True)
        elif any(os.path.lexists(path + ending) for ending in (JOURNAL, REWRITE)):
            yield Found(path, "http", named=True)  # all of it is still in its journal
        else:
            missing = CassetteMiss(f"there is no cassette {path!r}", path=path)
            if failed is None or len(named) == 1:
                raise missing
            failed(path, missing)


def cassette_folders(where: str = ".") -> list[str]:
    """Return the default folders of a project: ./cassettes, and every ``cassettes`` below ./tests, if they exist.

    Args:
        where: the folder of the project.
    """
    found = [os.path.normpath(os.path.join(where, "cassettes"))]
    for folder, names, _ in os.walk(os.path.normpath(os.path.join(where, "tests"))):
        names[:] = sorted([name for name in names if not _is_passed_over(name)])
        if "cassettes" in names:
            found.append(os.path.join(folder, "cassettes"))
            names.remove("cassettes")  # a search of this folder includes those below it
    return [folder for folder in found if os.path.isdir(folder)]


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in _PASSED_OVER


def _below(folder: str, failed: Failed | None) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        msg = f"cannot list the folder {folder!r}: {error.strerror or error}"
        problem = InvalidCassette(msg, path=folder)
        if failed is None:
            raise problem from error
        failed(folder, problem)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not _is_passed_over(entry.name):
                yield from _below(entry.path, failed)
        else:
            kind = _kind(entry.path)
            if kind is not None:
                yield Found(entry.path, kind)


def _kind(path: str) -> Kind | None:
    name = os.path.basename(path)
    ending = next((ending for ending in _LEFT if name.endswith(ending)), None)
    if ending is not None:
        return None if _kind(path.removesuffix(ending)) is None else "left"
    if _TEXT.fullmatch(name):
        return "text"
    if _SIDECAR.fullmatch(name):
        return "sidecar"
    return "http" if _HTTP.fullmatch(name) else None
