"""Cassettes for the pytest plugin: written only if the test passes, shared with other tests, replayed as recorded.

If tests share a file, each has a part of it: the interactions that carry its name. Recording a test anew replaces its
own part.
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
        mode: what to do; ``CI`` has been taken into account.
        part: the name of the test, if it shares the file with others.
        metadata: what a new cassette says of itself, beside its name.
        **replaying: how to replay; see `mellite.cassettes.ReplayTransport`. Without ``match`` it is ``pool`` if
            requests ran at the same time when this was recorded, else ``cursor``.

    Raises:
        CassetteMiss: if there is no such file and it may not be recorded.
        InvalidCassette: if it is damaged.
    """
    about = {"name": stem_of(os.path.basename(path)), **metadata}
    return CassetteOfTest(path, mode, about=about, replaying={"match": None, "part": part, **replaying})


class CassetteOfTest(CassetteTransport):
    """The value of the fixture ``cassette``: its recording is written only if it ends well. See `cassette_of_test`."""

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
    """A sink that keeps a recording in memory, and writes it to the cassette only if it ends well.

    Several processes may finish recordings into one cassette at the same time. A lock file beside it lets one in after
    the other; it is taken before the locks of the `CassetteWriter`.

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
        # Fail now rather than after the test if nothing can be written. Close the writer at once: while one is open,
        # the recordings of others stay in the journal.
        with _alone(path):
            CassetteWriter.open(path, metadata=metadata, scan=scan).abandon()

    def append(self, interaction: Interaction, *, started: float | None = None, secrets: Collection[str] = ()) -> None:
        """Keep one interaction.

        Raises:
            UnsafeCassette: if something in it looks like a secret.
        """
        self._scan.with_known(secrets).check(interaction, path=self._path)
        self._held.append(_Held(self._named(interaction), started or 0.0, secrets))

    def _named(self, interaction: Interaction) -> Interaction:
        """Return an interaction that carries the name of the test, if the file is shared."""
        if self._part is None or not isinstance(interaction, HttpInteraction):
            return interaction
        own = {**interaction.extra.get(KEY, {}), "test": self._part}
        return evolve(interaction, extra={**interaction.extra, KEY: own})

    def finish(self) -> None:
        """Write the cassette, if anything was recorded.

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
        """Return the interactions of the file, with the new ones in the place of this test's old ones."""
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
        """Drop the recording."""
        self._held.clear()


@contextmanager
def _alone(path: str) -> Generator[None]:
    """Hold the lock file of a cassette, so that no other process changes the cassette between reading and writing.

    Raises:
        CassetteError: if nothing can be written there.
    """
    descriptor = _locked(path)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file
            os.unlink(path + _LOCK)
        os.close(descriptor)


def _locked(path: str) -> int:
    """Open and lock the cassette's lock file. If the last holder has removed it meanwhile, start again."""
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
