"""Turn cassettes of one format into another: other tools' into HTTP, text into HTTP and back, compressed or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from os import PathLike
from typing import Final, Literal, TypeAlias, get_args

from attrs import evolve

from ..cassettes.audit import is_to_be_told
from ..cassettes.compression import ENDINGS, Compression
from ..cassettes.files.find import Failed, Found, find_cassettes
from ..values.errors import ConfigurationError, InvalidCassette
from ..values.paths import path_of
from ..values.spelling import nearest
from .convert_to_http import http_again, http_imported, http_of_texts, http_of_vcr
from .convert_to_text import texts_again, texts_of_http
from .converted import Converted, ending_of, stem_of, unless_it_fails
from .importing.formats import FOREIGN, SourceFormat, certain, is_source, is_strange, recognized, unknown
from .importing.source import Source

__all__ = ["Converted", "Format", "SourceFormat", "convert"]

#: What to make: a file of interactions, or a directory of answers by their keys.
Format: TypeAlias = Literal["http", "text"]

_HTTP_ENDINGS: Final = (".json", *[f".json{ending}" for ending in ENDINGS])


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str] | None = None,
    *,
    to: Format | None = None,
    source_format: SourceFormat = "auto",
    compression: Compression | None = None,
    replace: bool = False,
    failed: Failed | None = None,
) -> Iterator[Converted]:
    """Convert a cassette, or all in a folder.

    A target that ends in ``.json`` (``.json.gz``, ``.json.lz4``) is one HTTP cassette; any other is a folder, which is
    made: for HTTP cassettes of the same names, or for text cassettes.

    Args:
        source: a file or a folder: of HTTP cassettes, of text cassettes, or of other tools' files.
        target: a file or a folder; by default the folder of the source. Text cassettes are compressed there where they
            are; HTTP cassettes get another ending, and the source stays.
        to: what to make; by default of text cassettes ``http`` for a file and else ``text``, and of others ``http``.
        source_format: what the source is, if it is another tool's: ``vcr``, ``cassetter``, ``har``, ``go-vcr``,
            ``ruby-vcr``, ``inspect`` (logs of inspect_ai), ``llm`` (its ``logs.db``), ``pydantic-ai`` (histories) or
            ``batch`` (results, with the requests beside them). ``auto`` looks into each file.
        compression: of the files in a folder; a file's ending says it for itself.
        replace: whether to replace what is there.
        failed: told of what cannot be converted, while the rest is; without it, that is raised. JSON, YAML and TOML in
            folders that is about something else is passed over.

    Raises:
        CassetteMiss: if there is no such source.
        InvalidCassette: if it is damaged; what was converted before it stays.
        UnsafeCassette: if it holds something that looks like a secret; scrub it first.
        CassetteError: if the target is there and is not to be replaced, or cannot be written.
        MissingExtra: for a format whose package is not installed.
        ConfigurationError: if source and target do not go together, or for an unknown `source_format`.

    Example:
        >>> import tempfile
        >>> target = os.path.join(tempfile.mkdtemp(), "a.json")
        >>> har = "tests/archive/importing/data/mitmproxy.har"
        >>> [done.calls for done in convert(har, target, source_format="har")]
        [4]
    """
    _check(source_format)
    source, target = path_of(source), None if target is None else path_of(target)
    if target is None:
        target = source if os.path.isdir(source) else os.path.dirname(source) or "."
    texts, others = _found(source, target, to, source_format, failed)
    if texts:
        into = to or ("http" if _is_file(target) else "text")
        if into == "text":
            yield texts_again(source, texts, target, compression, replace=replace, failed=failed)
        else:
            path = target if _is_file(target) else _below(target, source, compression)
            yield http_of_texts(source, texts, path, replace=replace, failed=failed)
    for one in others:
        make: Callable[[], Converted | None]
        if to == "text":
            make = partial(texts_of_http, one.path, target, compression, replace=replace)
        else:
            path = _place(one, source, target, compression)
            make = partial(_http, one, source, path, source_format, replace=replace)
        done = unless_it_fails(one, make, failed)
        if done is not None:
            yield done


def _check(source_format: str) -> None:
    names = get_args(SourceFormat)
    if source_format not in names:
        near = nearest(source_format, names)
        meant = f"; did you mean {near!r}?" if near else ""
        msg = f"there is no format {source_format!r} to convert from, but {', '.join(names)}{meant}"
        raise ConfigurationError(msg)


def _http(one: Found, source: str, path: str, source_format: SourceFormat, *, replace: bool) -> Converted | None:
    """Convert one file to HTTP; None if it is one of a folder and already what it is to become."""
    if source_format in FOREIGN:
        return http_imported(one.path, path, source_format, replace=replace)
    if source_format != "auto":
        return http_of_vcr(one.path, path, source_format, replace=replace)
    if os.path.isdir(source) and path == os.path.normpath(one.path):
        return None
    if is_strange(one.path):
        refused: Exception | None = None
    else:
        try:
            return http_again(one.path, path, replace=replace)
        except InvalidCassette as error:
            refused = error
    name = recognized(one.path) or certain(one.path)
    if name is not None:
        return http_imported(one.path, path, name, replace=replace)
    if refused is not None and not Source(one.path).is_binary and is_to_be_told(evolve(one, named=False)):
        raise refused  # it was one of ours, and is damaged
    raise unknown(one.path) from refused


def _found(
    source: str, target: str, to: Format | None, source_format: SourceFormat, failed: Failed | None
) -> tuple[list[Found], list[Found]]:
    """Find the text cassettes and the others, and make sure that they fit into the target.

    Raises:
        CassetteMiss: if there is no such source.
        ConfigurationError: if there is nothing to convert, or it does not fit.
    """
    found = list(find_cassettes([source], failed=failed))
    texts = [one for one in found if one.kind == "text" and source_format == "auto"]
    others = [one for one in found if one.kind == "http"]
    if os.path.isdir(source):
        if source_format in FOREIGN:
            others = []
        others += [Found(path, "http", named=True) for path in _foreign_below(source, source_format)]
    if not texts and not others:
        msg = f"there are no cassettes in {source!r}"
        raise ConfigurationError(msg)
    if others and _is_file(target) and (len(others) > 1 or texts or to == "text"):
        msg = f"{source!r} does not fit into the one file {target!r}; name a folder as the target"
        raise ConfigurationError(msg)
    return texts, others


def _foreign_below(folder: str, source_format: SourceFormat) -> Iterator[str]:
    """Yield another tool's files below a folder: those of one format, or all that do not end as cassettes do."""
    if source_format not in FOREIGN and source_format != "auto":
        return
    for below, folders, names in os.walk(folder):
        folders[:] = sorted([name for name in folders if not name.startswith(".")])
        for name in sorted(names):
            path = os.path.join(below, name)
            if os.path.isfile(path) and is_source(path, source_format):
                yield path


def _is_file(target: str) -> bool:
    return target.endswith(_HTTP_ENDINGS)


def _below(folder: str, source: str, compression: Compression | None) -> str:
    """Return the path of the HTTP cassette in a folder that is named like a source."""
    return os.path.join(folder, f"{stem_of(source)}.json{ending_of(compression)}")


def _place(one: Found, source: str, target: str, compression: Compression | None) -> str:
    """Return where an HTTP cassette goes: to the target, or below it as it was below the source."""
    if _is_file(target):
        return target
    folder = os.path.dirname(os.path.relpath(one.path, source)) if os.path.isdir(source) else ""
    return os.path.normpath(_below(os.path.join(target, folder), one.path, compression))
