"""Take secrets out of cassette files, in place. Whatever happens, each file is the old one or the clean one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from attrs import evolve, field, frozen

from ..values.errors import CassetteError, MissingExtra
from .audit import is_to_be_told
from .compression import compress, compression_of
from .files.find import Failed, find_cassettes
from .files.journal_lines import JOURNAL, REWRITE
from .files.read import load_cassette
from .files.storing import store_file
from .files.vcr import is_foreign
from .files.write import encode_cassette
from .recording.journal import recover
from .scrub import scrub_cassette, scrub_text
from .secrets.scan import Finding, SecretScan
from .text.directory import TextCassette, TextDirectory
from .text.sidecar import Sidecar

__all__ = ["ScrubbedFile", "scrub_files"]


@frozen
class ScrubbedFile:
    """The findings in one file.

    Args:
        path: the file.
        changed: the JSON paths of what was taken out, or would be.
        remaining: what still looks like a secret.
    """

    path: str
    changed: tuple[str, ...] = field(default=(), kw_only=True)
    remaining: tuple[Finding, ...] = field(default=(), kw_only=True)


def scrub_files(
    paths: Iterable[str], scan: SecretScan | None = None, *, write: bool = True, failed: Failed | None = None
) -> Iterator[ScrubbedFile]:
    """Take the secrets out of cassettes, file by file.

    Args:
        paths: files and folders.
        scan: what counts as a secret.
        write: whether to change the files; if not, only what would be done is returned.
        failed: called for a cassette that cannot be read or written, and the others are done; without it, the error
            is raised. JSON, YAML and TOML in folders that is not a cassette is passed over.

    Yields:
        Each file in which a secret was, or still is.

    Raises:
        CassetteMiss: if there is no such file or folder.
        InvalidCassette: if a cassette is damaged; it is left as it is.
        CassetteError: if a file cannot be written, or a recording into it is going on.
        MissingExtra: for a format whose package is not installed.

    Example:
        >>> list(scrub_files(["mellite/demo_cassettes"], write=False))
        []
    """
    scan = scan or SecretScan()
    for found in find_cassettes(paths, failed=failed):
        if found.kind not in ("http", "text"):
            continue
        clean = _http if found.kind == "http" else _text
        try:
            done = clean(found.path, scan, write=write)
        except (CassetteError, MissingExtra) as error:
            if is_to_be_told(found):
                if failed is None:
                    raise
                failed(found.path, error)
        else:
            if done.changed or done.remaining:
                yield done


def _http(path: str, scan: SecretScan, *, write: bool) -> ScrubbedFile:
    if write:
        recover(path)
    scrubbed = scrub_cassette(load_cassette(path), scan=scan)
    done = ScrubbedFile(path, changed=scrubbed.changed, remaining=scrubbed.remaining)
    if not scrubbed.changed or not write:
        return done
    if any(os.path.lexists(path + journal) for journal in (JOURNAL, REWRITE)):
        msg = f"somebody is recording into cassette {path!r}; scrub it when that is over"
        raise CassetteError(msg, path=path)
    if is_foreign(path):
        msg = f"cassette {path!r} is another recorder's, and only read; convert it, which takes its secrets out"
        raise CassetteError(msg, path=path)
    store_file(path, compress(encode_cassette(scrubbed.cassette), compression_of(path)))
    return done


def _text(path: str, scan: SecretScan, *, write: bool) -> ScrubbedFile:
    key = int(os.path.basename(path).partition(".")[0])
    directory = TextDirectory(os.path.dirname(path))
    answer = directory.answer(key)
    if answer is None or os.path.basename(answer.path) != os.path.basename(path):
        return ScrubbedFile(path)
    text, sidecar = scrub_text(answer.text, scan), _clean(answer, scan)
    changed = ["$.text"] if text != answer.text else []
    changed += ["$"] if sidecar != answer.sidecar else []
    remaining = [*scan.text(text, "$.text")]
    if sidecar is not None:
        remaining += scan.text(sidecar.prompt, "$.prompt")
    if changed and write and not remaining:
        if sidecar is not None:
            directory.record(text, sidecar, compression=compression_of(path), replace=True)
        else:
            store_file(path, compress(f"{text}\n".encode(), compression_of(path)))
    return ScrubbedFile(path, changed=tuple(changed), remaining=tuple(remaining))


def _clean(answer: TextCassette, scan: SecretScan) -> Sidecar | None:
    """Return the clean sidecar. If a secret was spread over several chunks, the chunks are dropped."""
    sidecar = answer.sidecar
    if sidecar is None:
        return None
    chunks = sidecar.chunks
    if chunks is not None:
        clean = tuple([scrub_text(chunk, scan) for chunk in chunks])
        chunks = clean if "".join(clean) == scrub_text("".join(chunks), scan) else None
    calls = [
        evolve(call, arguments=json.loads(scrub_text(json.dumps(call.arguments), scan)), raw_arguments=raw)
        for call in sidecar.tool_calls
        for raw in [None if call.raw_arguments is None else scrub_text(call.raw_arguments, scan)]
    ]
    refusal = None if sidecar.refusal is None else scrub_text(sidecar.refusal, scan)
    return evolve(sidecar, chunks=chunks, tool_calls=tuple(calls), refusal=refusal)
