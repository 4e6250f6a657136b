"""The formats of other tools by name, and which of them a file is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Final, Literal, Protocol, TypeAlias, cast, get_args

from attrs import frozen

from ...cassettes.compression import ENDINGS
from ...cassettes.files.vcr import Imported
from ...values.errors import InvalidCassette
from .source import Source

__all__ = ["FOREIGN", "SourceFormat", "certain", "imported", "is_source", "is_strange", "recognized", "unknown"]

#: What a file to convert is: ``auto`` looks into it. mellite's own cassettes need no name.
SourceFormat: TypeAlias = Literal[
    "auto", "vcr", "cassetter", "har", "go-vcr", "ruby-vcr", "inspect", "llm", "pydantic-ai", "batch"
]


class _Reading(Protocol):
    """The interface of each format's module."""

    def recognizes(self, source: Source) -> bool:
        """Whether a file is of this format."""
        ...

    def read(self, source: Source) -> Imported:
        """Read a file of this format."""
        ...


@frozen
class _Format:
    """The module that reads a format, what the format is called, and how its files end."""

    module: str
    title: str
    endings: tuple[str, ...]


_YAML: Final = (".yaml", ".yml", ".json")

#: Formats that need a module of their own: all but those of VCR.py and cassetter, which are replayed as they are.
FOREIGN: Final[Mapping[str, _Format]] = {
    "har": _Format("har", "HAR", (".har", ".json")),
    "go-vcr": _Format("go_vcr", "go-vcr", _YAML),
    "ruby-vcr": _Format("ruby_vcr", "Ruby's VCR", _YAML),
    "inspect": _Format("inspect_logs", "inspect_ai's", (".eval", ".json")),
    "llm": _Format("llm_logs", "llm's", (".db", ".sqlite", ".sqlite3")),
    "pydantic-ai": _Format("pydantic_histories", "pydantic-ai's", (".json",)),
    "batch": _Format("batch", "results of batches", (".jsonl", ".jsonl.out", ".ndjson", ".json")),
}

#: Endings of files that only one tool has.
_CERTAIN: Final = {".har": "har", ".eval": "inspect"}

#: Endings that say nothing of who made a file.
_ANYBODYS: Final = (".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml")
_CASSETTES: Final = (".json", ".yaml", ".yml", ".toml")
_COMPRESSED: Final = ("", *ENDINGS)


def _reading(name: str) -> _Reading:
    module = import_module(f"{__package__}.{FOREIGN[name].module}")
    return cast("_Reading", module)


def _ends(name: str, endings: Iterable[str]) -> bool:
    return name.endswith(tuple([f"{ending}{more}" for ending in endings for more in _COMPRESSED]))


def certain(path: str) -> str | None:
    """Return the name of the format that a file has by its ending, if only one tool has such files.

    Example:
        >>> certain("a.har.gz"), certain("a.json")
        ('har', None)
    """
    return next((name for ending, name in _CERTAIN.items() if _ends(path, [ending])), None)


def is_strange(path: str) -> bool:
    """Whether a file ends as no cassette of mellite's, VCR.py's or cassetter's does, but as one of another tool's.

    Example:
        >>> is_strange("a.har"), is_strange("results.jsonl"), is_strange("a.json"), is_strange("a.txt")
        (True, True, False, False)
    """
    return _ends(path, {ending for one in FOREIGN.values() for ending in one.endings} - {*_CASSETTES})


def is_source(path: str, source_format: str) -> bool:
    """Whether a file of a folder is to be converted from a format, ``auto`` or one of `FOREIGN`.

    Where its ending does not tell, what is in it does. With ``auto``, files that end as cassettes do are not looked at.

    Raises:
        InvalidCassette: if it may be of several formats.
    """
    if source_format == "auto":
        return is_strange(path) and (certain(path) or recognized(path)) is not None
    if not _ends(path, FOREIGN[source_format].endings):
        return False
    return not _ends(path, _ANYBODYS) or recognized(path) == source_format


def recognized(path: str) -> str | None:
    """Return the name of the format that a file has, by what is in it; None if it is none of another tool's.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it cannot be read, or may be of several formats.
    """
    source = Source(path)
    names = [name for name in FOREIGN if _reading(name).recognizes(source)]
    if len(names) > 1:
        msg = f"{path!r} may be {' or '.join(names)}: say which, with --from or source_format="
        raise InvalidCassette(msg, path=path)
    return names[0] if names else None


def imported(name: str, path: str) -> Imported:
    """Read a file of another tool as an HTTP cassette.

    Raises:
        CassetteMiss: if there is no such file.
        InvalidCassette: if it is damaged or of another format, or there is no call in it that could be replayed.
        MissingExtra: for a format whose package is not installed.
    """
    try:
        return _reading(name).read(Source(path))
    except RecursionError as error:
        msg = f"{path!r} is damaged: it is nested too deeply"
        raise InvalidCassette(msg, path=path) from error


def unknown(path: str) -> InvalidCassette:
    """Return the error for a file of an unknown format."""
    titles = ", ".join(["mellite's own", "VCR.py's", "cassetter's", *[one.title for one in FOREIGN.values()]])
    names = ", ".join([name for name in get_args(SourceFormat) if name != "auto"])
    msg = f"{path!r} is of no format that can be converted ({titles}); if it is, say which: --from {names}"
    return InvalidCassette(msg, path=path)
