"""Find out what a path is, a cassette, a folder of them, a journal or a log, and open it to be looked at."""

from __future__ import annotations

import os

from ..archive.journal.file import is_journal
from ..archive.log.schema import is_database
from ..values.errors import CassetteMiss, ConfigurationError, InvalidCassette, InvalidRequest
from .rows import Source

__all__ = ["VARIABLE", "named_or_default", "path_of", "source_at"]

#: The variable that names the log where no source is named.
VARIABLE = "MELLITE_LOG_DB"

_FOLDER = "cassettes"


def named_or_default(source: str | None) -> str:
    """Return the path that is named, else the log that `VARIABLE` names, else ./cassettes.

    Raises:
        ConfigurationError: if there is none of them.
    """
    path = source or os.environ.get(VARIABLE) or (_FOLDER if os.path.isdir(_FOLDER) else "")
    if not path:
        msg = f"there is nothing to show: give a cassette, a journal, a log or a folder, or set {VARIABLE}"
        raise ConfigurationError(msg)
    return path


def path_of(source: object) -> str:
    """Return the path of a source: of a path itself, and of a cassette or journal that has one.

    Raises:
        InvalidRequest: for anything else.
    """
    named = source if isinstance(source, (str, os.PathLike)) else getattr(source, "path", None)
    path = os.fspath(named) if isinstance(named, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        msg = f"'source' is the path of a cassette, a journal, a log or a folder, not {source!r:.100}"
        raise InvalidRequest(msg, parameter="source")
    return path


def source_at(path: str) -> Source:
    """Open what is to be looked at.

    Raises:
        CassetteMiss: if nothing is there.
        MelliteError: if it is damaged, or cannot be read.
    """
    if os.path.isdir(path):
        if is_journal(path):
            from .from_journal import JournalSource

            return JournalSource(path)
    elif not os.path.lexists(path) and not any(os.path.lexists(path + end) for end in (".journal", ".rewrite")):
        msg = f"there is nothing at {path!r}: name a cassette, a journal, a log or a folder"
        raise CassetteMiss(msg, path=path)
    elif is_database(path):
        from .from_log import LogSource

        return LogSource(path)
    from .from_cassettes import CassetteSource

    try:
        return CassetteSource(path)
    except InvalidCassette as error:
        msg = f"{error}; a cassette, a journal, a log or a folder of cassettes can be shown"
        raise InvalidCassette(msg, path=error.path, offset=error.offset) from error
