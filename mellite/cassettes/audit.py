"""Check cassettes before they are committed: secrets, damage, unknown versions, and files that nothing reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

from attrs import define, field, frozen

from ..values.errors import CassetteError, CassetteMiss, InvalidCassette, MelliteError, MissingExtra
from .bodies import decode_json
from .compression import ENDINGS, compression_of, expand
from .files.disk import read_file
from .files.find import Found, find_cassettes
from .files.journal_lines import JOURNAL, REWRITE
from .files.read import VERSION, load_cassette
from .files.vcr import decode_document, is_foreign
from .interactions import Cassette, HttpInteraction
from .secrets.scan import SecretScan
from .text.directory import TextDirectory, djb2_key
from .text.sidecar import Sidecar, read_sidecar
from .timeline import Timeline

__all__ = ["Audit", "Problem", "Trouble", "is_to_be_told"]

#: What can be wrong: a possible secret; a damaged file; a version that mellite does not read; a file or an interaction
#: that no request ever gets; a recording that was not ended; a package that is missing to read it.
Trouble: TypeAlias = Literal["secret", "damaged", "version", "unused", "unfinished", "extra"]

#: How the pytest plugin names cassettes: the classes and the name of the test, then its parameters.
_OF_TEST: Final = re.compile(r"(?:(?:\w+\.)*(?P<owner>\w+)\.)?(?P<test>test\w*)")
_TEST_FILE: Final = re.compile(r"test_\w+|\w+_test")


@frozen
class Problem:
    """Something wrong with a cassette: the file, the kind of trouble, and a message. No secret is shown."""

    path: str
    trouble: Trouble
    message: str = field(kw_only=True)

    def __str__(self) -> str:
        return f"{self.path}: {self.trouble}: {self.message}"


@define
class Audit:
    """A check of many cassettes.

    Args:
        scan: looks for secrets.
        cassettes: how many have been checked so far.

    Example:
        >>> audit = Audit()
        >>> list(audit.problems(["mellite/demo_cassettes"]))
        []
    """

    scan: SecretScan = field(factory=SecretScan)
    cassettes: int = field(default=0, init=False)

    def problems(self, paths: Iterable[str]) -> Iterator[Problem]:
        """Check the cassettes among files and in folders, and yield what is wrong with them.

        Args:
            paths: files and folders.

        Raises:
            CassetteMiss: if there is no such file or folder, and it is the only one.
        """
        unlisted: list[Problem] = []
        for found in find_cassettes(paths, failed=lambda path, error: unlisted.append(_damaged(path, error))):
            try:
                yield from self._looked_at(found)
            except MissingExtra as error:
                self.cassettes += 1
                yield Problem(found.path, "extra", message=str(error))
            except CassetteError as error:
                yield _damaged(found.path, error)
        yield from unlisted

    def _looked_at(self, found: Found) -> Iterator[Problem]:
        if found.kind == "http":
            yield from self._http(found)
        elif found.kind == "text":
            self.cassettes += 1
            yield from self._text(found.path)
        elif found.kind == "sidecar":
            yield from self._sidecar(found)
        else:
            yield from _left(found.path)

    def _http(self, found: Found) -> Iterator[Problem]:
        try:
            cassette = load_cassette(found.path)
        except InvalidCassette as error:
            if is_to_be_told(found):
                self.cassettes += 1
                yield _versioned(found.path, _about(found.path)) or _damaged(found.path, error)
            return
        self.cassettes += 1
        if not cassette.interactions:
            yield Problem(found.path, "unused", message="it holds no interactions")
        yield from _without_test(found.path)
        damage = list(_damaged_inside(cassette, found.path))
        yield from damage
        if not damage:
            yield from [Problem(found.path, "secret", message=str(one)) for one in self.scan.cassette(cassette)]

    def _text(self, path: str) -> Iterator[Problem]:
        key = _key(path)
        directory = TextDirectory(os.path.dirname(path))
        first = next((ending for ending in ("", *ENDINGS) if os.path.exists(directory.file(key) + ending)), "")
        if os.path.basename(path) != os.path.basename(directory.file(key) + first):
            yield Problem(path, "unused", message=f"'{key}.txt{first}' lies beside it and is read instead")
            return
        try:
            answer = directory.answer(key)
        except InvalidCassette as error:
            if error.path == path:  # otherwise the sidecar is damaged, which is checked on its own
                yield _damaged(path, error)
            return
        if answer is None:
            return
        yield from self._secrets(path, "$", answer.text)
        if answer.sidecar is not None:
            yield from _misnamed(path, key, answer.sidecar)

    def _sidecar(self, found: Found) -> Iterator[Problem]:
        path, key = found.path, _key(found.path)
        try:
            sidecar = _read_sidecar(path)
        except InvalidCassette as error:
            yield _damaged(path, error)
            return
        yield from self._secrets(path, "$.prompt", sidecar.prompt)
        yield from self._secrets(path, "$.chunks", "".join(sidecar.chunks or ()))
        plain = os.path.join(os.path.dirname(path), f"{key}.txt")
        if not any(os.path.exists(plain + ending) for ending in ("", *ENDINGS)):
            yield Problem(path, "unused", message=f"there is no '{key}.txt' that it belongs to")

    def _secrets(self, path: str, where: str, text: str) -> Iterator[Problem]:
        yield from [Problem(path, "secret", message=str(one)) for one in self.scan.text(text, where)]


def _key(path: str) -> int:
    return int(os.path.basename(path).partition(".")[0])


def _read_sidecar(path: str) -> Sidecar:
    data = expand(read_file(path), compression_of(path), path=path)
    return read_sidecar(data, path)


def _misnamed(path: str, key: int, sidecar: Sidecar) -> Iterator[Problem]:
    right = djb2_key(*sidecar.call)
    if right != key:
        msg = f"the call that it answers has the key {right}, so nothing finds it under this name"
        yield Problem(path, "unused", message=msg)


def _without_test(path: str) -> Iterator[Problem]:
    """Check that the test of a cassette ``cassettes/<file>/<test>.json``, which the pytest plugin made, still exists.

    A test counts as existing if its name stands anywhere in the text of the test file.
    """
    folder, name = os.path.split(os.path.abspath(path))
    above, module = os.path.split(folder)
    named = _OF_TEST.match(name)
    if os.path.basename(above) != "cassettes" or not _TEST_FILE.fullmatch(module) or named is None:
        return
    file = os.path.join(os.path.dirname(above), f"{module}.py")
    try:
        source = read_file(file).decode(errors="replace")
    except CassetteMiss:
        yield Problem(path, "unused", message=f"there is no test file {os.path.relpath(file)!r}")
        return
    wanted = named["owner"] or named["test"]
    if re.search(rf"\b{wanted}\b", source) is None:
        yield Problem(path, "unused", message=f"there is no {wanted} in {os.path.relpath(file)!r}")


def _damaged_inside(cassette: Cassette, path: str) -> Iterator[Problem]:
    """Check what is only decoded when it is asked for: the bodies and the times."""
    for one in cassette.interactions:
        try:
            if isinstance(one, HttpInteraction):
                bodies = [one.request.body, one.response.body]
                timeline = Timeline.of(one.extra, path=path)
                if timeline is not None:
                    timeline.pieces(path=path)
            else:
                bodies = [event.body for event in one.events]
            for body in bodies:
                _ = body.data
        except InvalidCassette as error:
            yield _damaged(path, error)


def is_to_be_told(found: Found) -> bool:
    """Whether to report a file that cannot be read; other JSON, YAML and TOML in a folder is passed over.

    Example:
        >>> is_to_be_told(Found("mellite/demo_cassettes/chat.json", "http"))
        True
    """
    if found.named or found.kind != "http":
        return True
    about = _about(found.path)
    return about is None or "interactions" in about


def _damaged(path: str, error: MelliteError) -> Problem:
    return Problem(path, "damaged", message=str(error))


def _about(path: str) -> dict[str, object] | None:
    """Decode the object in a file; an empty one for other content, None if the file cannot be read."""
    try:
        data = expand(read_file(path), compression_of(path), path=path)
        if is_foreign(path):
            document: object = decode_document(data, path=path)
        else:
            document = decode_json(data, path=path, lone_surrogates=True)
    except (CassetteError, MissingExtra):
        return None
    return document if isinstance(document, dict) else {}


def _versioned(path: str, about: dict[str, object] | None) -> Problem | None:
    version = (about or {}).get("version", VERSION)
    if isinstance(version, bool) or version != VERSION:
        msg = f"it has version {version!r:.40} of the format, and only {VERSION} is read; a newer mellite may read it"
        return Problem(path, "version", message=msg)
    return None


def _left(path: str) -> Iterator[Problem]:
    """Report a file that a recording left behind."""
    if path.endswith((JOURNAL, REWRITE)):
        cassette = path.removesuffix(JOURNAL).removesuffix(REWRITE)
        msg = f"a recording into {os.path.basename(cassette)!r} runs, or was killed; the next one folds it in"
        yield Problem(path, "unfinished", message=msg)
    else:
        yield Problem(path, "unused", message="left by a recording that was killed; the next one takes it away")
