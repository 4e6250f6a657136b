"""The cassette of a test: kept if the test passes, shared with other tests, replayed in the way it was recorded.

Tests that share a file each have a part of it: the interactions that stand under their name. A test that is recorded
anew replaces its own part.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from attrs import evolve, frozen

from ..values.errors import CassetteMiss
from .files.locks import lock, same_file
from .files.read import load_cassette
from .files.storing import make_directory, unwritable
from .interactions import HttpInteraction, Interaction
from .modes import Mode
from .opening import CassetteTransport, stem_of
from .recording.writer import CassetteWriter, WriteMode
from .replaying.claims import part_of
from .secrets.scan import SecretScan
from .timeline import KEY

__all__ = ["CassetteOfTest", "HeldRecording", "cassette_of_test"]

_LOCK: Final = ".lock"


def cassette_of_test(
    path: str, mode: Mode, *, part: str | None = None, metadata: Mapping[str, Any], **replaying: Any
) -> CassetteOfTest:
    """Open the cassette of a test, as `mellite.cassettes.use` opens any.

    Args:
        path: the file.
        mode: what to do, after a look at ``CI``.
        part: the name of the test, where it shares the file with others.
        metadata: what a new cassette says of itself, beside its name.
        **replaying: how to replay; see `mellite.cassettes.ReplayTransport`. Without ``match`` it is ``pool`` where
            requests ran at the same time when this was recorded, and ``cursor`` elsewhere.

    Raises:
        CassetteMiss: if there is no such file and it may not be recorded.
        InvalidCassette: if it is damaged.
    """
    about = {"name": stem_of(os.path.basename(path)), **metadata}
    return CassetteOfTest(path, mode, about=about, replaying={"match": None, "part": part, **replaying})


class CassetteOfTest(CassetteTransport):
    """What the fixture ``cassette`` gives: a cassette whose recording is kept only if it ends well.

    Made by `cassette_of_test`.
    """

    advice = (
        "to record it, run pytest with --mellite-record, or with --mellite-record=new_episodes to keep what is there "
        "(CI=true forbids both)"
    )

    def _sink(self, metadata: Mapping[str, Any], scan: SecretScan) -> HeldRecording:
        how: WriteMode = "rewrite" if self.mode == "rewrite" else "append"
        return HeldRecording(self.path, how, part=self._part, metadata=metadata, scan=scan)


@frozen
class _Held:
    interaction: Interaction
    started: float
    secrets: Collection[str]


class HeldRecording:
    """A sink that keeps a recording in memory, and writes it to its cassette when it has ended well; else never.

    Several processes may end recordings into one cassette at the same time: they do so one after the other.

    Args:
        path: the cassette's file.
        mode: ``append``, or ``rewrite`` to replace what is there; with a `part`, only that part.
        part: the name under which the interactions are stored.
        metadata: what a new file says of itself.
        scan: looks for secrets in all that is to be stored.

    Raises:
        CassetteError: if nothing can be written there.
        UnsafeCassette: if the metadata have something in them that looks like a secret.
    """

    def __init__(
        self, path: str, mode: WriteMode, *, part: str | None, metadata: Mapping[str, Any], scan: SecretScan
    ) -> None:
        self._path = path
        self._mode: WriteMode = mode
        self._part = part
        self._metadata = metadata
        self._scan = scan
        self._held: list[_Held] = []
        with _alone(path):  # a writer that is open would delay what others write
            CassetteWriter.open(path, metadata=metadata, scan=scan).abandon()  # what cannot be written is told at once

    def append(self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()) -> None:
        """Keep one.

        Raises:
            UnsafeCassette: if it has something in it that looks like a secret.
        """
        self._scan.with_known(secrets).check(interaction, path=self._path)
        self._held.append(_Held(self._named(interaction), started or 0.0, secrets))

    def _named(self, interaction: Interaction) -> Interaction:
        if self._part is None or not isinstance(interaction, HttpInteraction):
            return interaction
        own = {**interaction.extra.get(KEY, {}), "test": self._part}
        return evolve(interaction, extra={**interaction.extra, KEY: own})

    def finish(self) -> None:
        """Write the cassette, if there is something to write.

        Raises:
            InvalidCassette: if what is there is damaged; it is left as it is.
            CassetteError: if it cannot be written.
        """
        held, self._held = sorted(self._held, key=lambda one: one.started), []
        if not held:
            return
        with _alone(self._path):
            if self._mode == "rewrite" and self._part is not None:
                held = self._among_others(held)
            with CassetteWriter.open(
                self._path, self._mode, metadata=self._metadata, scan=self._scan, durable=False
            ) as writer:
                for one in held:
                    writer.append(one.interaction, started=one.started, secrets=one.secrets)

    def _among_others(self, held: list[_Held]) -> list[_Held]:
        """The interactions of the file, with the new ones in the place of those that had their name."""
        try:
            stored = load_cassette(self._path).interactions
        except CassetteMiss:
            return held
        parts = [part_of(one) if isinstance(one, HttpInteraction) else None for one in stored]
        place = parts.index(self._part) if self._part in parts else len(stored)
        others = [_Held(one, 0.0, ()) for one in stored]
        kept = [
            [one for one, part in zip(others[span], parts[span], strict=True) if part not in (None, self._part)]
            for span in (slice(place), slice(place, None))
        ]
        return [evolve(one, started=float(number)) for number, one in enumerate([*kept[0], *held, *kept[1]])]

    def abandon(self) -> None:
        """Keep nothing of the recording."""
        self._held.clear()


@contextmanager
def _alone(path: str) -> Generator[None]:
    """Hold others off who want to change the cassette after reading it.

    Raises:
        CassetteError: if nothing can be written there.
    """
    descriptor = _locked(path)
    try:
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be removed it stays
            os.unlink(path + _LOCK)
        os.close(descriptor)


def _locked(path: str) -> int:
    """Open the cassette's lock file and wait until it is ours; whoever had it before has removed it."""
    name = path + _LOCK
    try:
        make_directory(os.path.dirname(path))
        while True:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                lock(descriptor)
                if same_file(descriptor, name):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    except (OSError, ValueError) as error:
        unwritable(path, error)
