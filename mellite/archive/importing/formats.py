"""The formats of other tools by name, and which of them a file is."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, Literal, Protocol, TypeAlias, cast, get_args

from attrs import frozen

from ...cassettes.files.vcr import Imported
from ...values.errors import InvalidCassette
from .source import Source

__all__ = ["FOREIGN", "SourceFormat", "foreign_ending", "imported", "recognized", "unknown"]

#: What a file to convert is: ``auto`` looks into it. mellite's own cassettes need no name.
SourceFormat: TypeAlias = Literal["auto", "vcr", "cassetter", "har", "go-vcr", "ruby-vcr"]


class _Reading(Protocol):
    """What the module of each format has."""

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
}

#: Endings of files that no cassette of mellite's, VCR.py's or cassetter's has.
_OWN: Final = (".json", ".yaml", ".yml", ".toml")
_COMPRESSED: Final = ("", ".gz", ".lz4")


def _reading(name: str) -> _Reading:
    module = import_module(f"{__package__}.{FOREIGN[name].module}")
    return cast("_Reading", module)


def foreign_ending(name: str, format_name: str) -> bool:
    """Whether the file of this name may be of a format; with ``auto``, whether only another tool has such files.

    Example:
        >>> foreign_ending("a.har.gz", "auto"), foreign_ending("a.json", "auto"), foreign_ending("a.json", "har")
        (True, False, True)
    """
    if format_name == "auto":
        endings = {ending for one in FOREIGN.values() for ending in one.endings} - {*_OWN}
    else:
        endings = {*FOREIGN[format_name].endings}
    return name.endswith(tuple([f"{ending}{more}" for ending in endings for more in _COMPRESSED]))


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
    return _reading(name).read(Source(path))


def unknown(path: str) -> InvalidCassette:
    """Return the error for a file of a format that nobody knows."""
    titles = ", ".join(["mellite's own", "VCR.py's", "cassetter's", *[one.title for one in FOREIGN.values()]])
    names = ", ".join([name for name in get_args(SourceFormat) if name != "auto"])
    msg = f"{path!r} is of no format that can be converted ({titles}); if it is, say which: --from {names}"
    return InvalidCassette(msg, path=path)
