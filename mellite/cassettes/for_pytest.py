"""Cassettes for the pytest plugin: written only if the test passes, shared with other tests, replayed as recorded.

If tests share a file, each has a part of it: the interactions that carry its name. Recording a test anew replaces its
own part.

While stale cassettes are looked for, a request that differs gets the answer of the nearest call. When only what is
stale is recorded anew, such a request is sent, and its recording takes the place of that call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen

from ..values.errors import CassetteMiss
from ..wire.http import HttpRequest, HttpResponse
from .files.locks import lock, same_file
from .files.read import load_cassette
from .files.storing import make_directory, unwritable
from .interactions import Cassette, HttpInteraction, Interaction
from .modes import Mode
from .opening import CassetteTransport, stem_of
from .recording.writer import CassetteWriter, WriteMode
from .replaying.answer import RecordedAnswer
from .replaying.claims import part_of
from .replaying.nearest import NearestTransport, Substitute
from .replaying.transport import ReplayTransport
from .secrets.scan import SecretScan
from .timeline import KEY

__all__ = ["CassetteOfTest", "HeldRecording", "Stale", "cassette_of_test"]

#: What to do about a request that differs from what is recorded: answer and ``report`` it, or ``record`` it anew.
Stale: TypeAlias = Literal["report", "record"]

_LOCK: Final = ".lock"

_NOTHING: Final = (
    "nothing was recorded: no request of this test went through its cassette {path!r}. A backend that was given a "
    "transport= of its own, or a fake, does not use it; nor any backend that is not given it, with install=False; nor "
    "the client of another library, unless the marker says clients='all'. A test that asks no model needs no cassette"
)


def cassette_of_test(
    path: str,
    mode: Mode,
    *,
    part: str | None = None,
    metadata: Mapping[str, Any],
    stale: Stale | None = None,
    **replaying: Any,
) -> CassetteOfTest:
    """Open the cassette of a test, as `mellite.cassettes.use` opens any.

    Args:
        path: the file.
        mode: what to do; ``CI`` has been taken into account.
        part: the name of the test, if it shares the file with others.
        metadata: what a new cassette says of itself, beside its name.
        stale: what to do about requests that differ: ``report`` with the mode ``none``, ``record`` with the mode
            ``new_episodes``; by default what the mode says.
        **replaying: how to replay; see `mellite.cassettes.ReplayTransport`. Without ``match`` it is ``pool`` if
            requests ran at the same time when this was recorded, else ``cursor``.

    Raises:
        CassetteMiss: if there is no such file and it may not be recorded.
        InvalidCassette: if it is damaged.
    """
    about = {"name": stem_of(os.path.basename(path)), **metadata}
    how = {"match": None, "part": part, **replaying}
    return CassetteOfTest(path, mode, about=about, replaying=how, stale=stale)


class CassetteOfTest(CassetteTransport):
    """The value of the fixture ``cassette``: its recording is written only if it ends well. See `cassette_of_test`."""

    advice = (
        "to record it, run pytest with --mellite-record, or with --mellite-record=new_episodes to keep what is there "
        "(CI=true forbids both)"
    )

    def __init__(self, path: str, mode: Mode, *, stale: Stale | None = None, **how: Any) -> None:
        self._stale = stale
        self._nearest: NearestTransport | None = None
        self._is_sink_open = False
        super().__init__(path, mode, **how)
        self._remade = partial(type(self), path, mode, stale=stale, **how)

    @property
    def substitutes(self) -> tuple[Substitute, ...]:
        """The requests that differ from what is recorded, while stale cassettes are looked for."""
        return () if self._nearest is None else self._nearest.substitutes

    @property
    def nothing(self) -> str | None:
        """What to say of a recording through which no request went; None if one did."""
        return None if self.recorded + self.used else _NOTHING.format(path=self.path)

    @property
    def idle(self) -> str | None:
        """What to say of recorded interactions that were not asked for; None if all were."""
        if not (unused := self.unused):
            return None
        return f"{len(unused)} of {len(unused) + self.used} interactions of {self.path!r} were not asked for"

    def _replaying(self, cassette: Cassette, **how: Any) -> ReplayTransport:
        if self._stale is None:
            return super()._replaying(cassette, **how)
        self._nearest = NearestTransport(cassette, **how)
        return self._nearest

    async def _instead(self, request: HttpRequest, timeout: float | None) -> HttpResponse | None:
        if self._nearest is None:
            return None
        place = self._place(await self._nearest.nearest(request))
        return None if place is None else await self._nearest.answer_at(place, request, timeout)

    def _instead_blocking(self, request: HttpRequest, timeout: float | None) -> RecordedAnswer | None:
        if self._nearest is None:
            return None
        place = self._place(self._nearest.nearest_blocking(request))
        return None if place is None else self._nearest.answer_at_blocking(place, request, timeout)

    def _place(self, found: int | Substitute | None) -> int | None:
        """Return the place of the answer for a request; None if it is to be asked anew."""
        if isinstance(found, Substitute):
            return found.place if self._stale == "report" or found.kind == "moved" else None
        return found

    def _sink(self, metadata: Mapping[str, Any], scan: SecretScan) -> HeldRecording:
        self._is_sink_open = True
        if self._nearest is None:
            how: WriteMode = "rewrite" if self.mode == "rewrite" else "append"
            return HeldRecording(self.path, how, part=self._part, metadata=metadata, scan=scan)
        about = {**(self._nearest.cassette.metadata or {}), **metadata}
        merged = partial(_merged, self._nearest)
        return HeldRecording(self.path, "rewrite", part=self._part, metadata=about, scan=scan, merged=merged)

    def finish(self) -> None:
        """End a recording that went well; see `CassetteTransport.finish`."""
        super().finish()
        moved = any(one.kind == "moved" for one in self.substitutes)
        if self._stale == "record" and moved and not self._is_sink_open:
            self._sink({}, SecretScan(allowed=self._allowed)).finish()


def _merged(replay: NearestTransport, held: Sequence[_Held]) -> list[_Held]:
    """Return the new cassette: in the order of the requests, what fitted as it was, and what was recorded anew.

    A new recording has the time of the call in whose place it is: what ran at the same time still did, and in the same
    order.
    """
    replay.settle()
    waiting = list(held)
    merged: list[Interaction] = [one for one in replay.cassette.interactions if not isinstance(one, HttpInteraction)]
    own = frozenset(replay.own)
    secrets = [secret for one in held for secret in one.secrets]
    for one in replay.history:
        if isinstance(one, int) or one.kind == "moved":
            place = one if isinstance(one, int) else one.place
            if place in own:
                merged.append(replay.interaction(place))
            continue
        found = next((each for each in waiting if replay.is_of(one, each.interaction)), None)
        if found is not None:  # else it was never sent
            waiting.remove(found)
            merged.append(_in_the_place(found.interaction, one))
    merged += [one.interaction for one in waiting]
    return [_Held(one, float(number), secrets) for number, one in enumerate(merged)]


def _in_the_place(made: Interaction, of: Substitute) -> Interaction:
    """Return a recording that began when the one began that it replaces."""
    new, old = made.extra.get(KEY), of.interaction.extra.get(KEY)
    if of.kind != "changed" or not isinstance(new, dict) or not isinstance(old, dict) or "started" not in old:
        return made
    return evolve(made, extra={**made.extra, KEY: {**new, "started": old["started"]}})


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
        merged: takes what was recorded, and returns what is to be written in the place of the old recording.

    Raises:
        CassetteError: if nothing can be written there.
        UnsafeCassette: if the metadata have something in them that looks like a secret.
    """

    def __init__(
        self,
        path: str,
        mode: WriteMode,
        *,
        part: str | None,
        metadata: Mapping[str, Any],
        scan: SecretScan,
        merged: Callable[[Sequence[_Held]], list[_Held]] | None = None,
    ) -> None:
        self._path = path
        self._merged = merged
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
        if self._merged is not None:
            held = [evolve(one, interaction=self._named(one.interaction)) for one in self._merged(held)]
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
