"""The transport that replays a cassette file, records it, or does both, as its mode says."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

from ..values.errors import CassetteError, CassetteMismatch, CassetteMiss, ConfigurationError
from ..values.paths import path_of
from ..values.public_names import publish
from ..wire.http import HttpRequest, HttpResponse, Sent, Transport
from .files.disk import cassette_path
from .files.journal_lines import JOURNAL
from .files.read import load_cassette, load_file
from .interactions import Cassette, HttpInteraction
from .modes import Mode, Selection, mode_of, permitted
from .recording.journal import recover
from .recording.transport import RecordTransport, Sink
from .recording.writer import CassetteWriter, WriteMode
from .replaying.answer import RecordedAnswer
from .replaying.claims import Match, part_of
from .replaying.cutting import Cut
from .replaying.transport import DEADLINE, ReplayTransport
from .secrets.redaction import Redaction
from .secrets.scan import SecretScan, allowed_texts

if TYPE_CHECKING:
    from os import PathLike
    from typing import Self

__all__ = ["CassetteTransport", "Durability", "stem_of", "use"]

#: What a recorded call survives as soon as it is done.
Durability: TypeAlias = Literal["process", "power"]

_DURABILITIES: Final = ("process", "power")


def use(
    path: str | PathLike[str],
    *,
    mode: Mode | None = None,
    match: Match = "cursor",
    live: Transport | None = None,
    directory: str | PathLike[str] | None = None,
    cut: Cut = "recorded",
    speed: float | None = None,
    deadline: float = DEADLINE,
    redaction: Redaction | None = None,
    allowed: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    durability: Durability = "process",
    even_in_ci: bool = False,
    environment: Mapping[str, str] | None = None,
    lenient: bool | None = None,
) -> CassetteTransport:
    """Open a cassette file as a transport, for ``mellite.backend(..., transport=...)``.

    Use it in a block, ``async with`` or, in code without await, ``with``. Leaving the block ends a recording.

    A call that is done is recorded: it survives the death of the process at once, and a power cut once the recording
    has ended, or at once with ``durability="power"``. Nothing that looks like a secret is written: a call whose answer
    contains one is not recorded, and leaving the block raises the reason.

    Args:
        path: the file; or with `directory` a name as in ``group/case``, which cannot lead out of that directory.
        mode: ``none``, ``once``, ``new_episodes``, ``all`` or ``rewrite``, see `mellite.cassettes.modes`. None means
            what RECORD or MOCHI_LLM_CASSETTE_RECORD say, for the cassettes that the variables RECORDED_PREFIX,
            RECORDED_PROVIDER, RECORDED_TAGS and RECORDED_TEST select, and ``none`` for others.
        match: how requests find their answers: ``cursor``, ``pool`` or ``keyed``, see `ReplayTransport`.
        live: the transport that sends requests when recording; by default one over the network.
        directory: where cassettes are kept.
        cut: how answers are cut into pieces, see `ReplayTransport`; likewise `speed` and `deadline`.
        redaction: which parts of requests and responses are kept and compared.
        allowed: texts that look like secrets but are not, and may be recorded.
        metadata: further metadata of a new cassette, beside its name and when, from whom and how it was recorded.
        durability: what a recorded call survives as soon as it is done: the death of the ``process``, or also a
            ``power`` cut, for which every call waits for the disk.
        even_in_ci: whether to record even with ``CI=true``.
        environment: the environment variables; ``os.environ`` by default.
        lenient: whether to ignore what differs between equal runs of other clients; by default if such a client was
            recorded, see `ReplayTransport`.

    Raises:
        CassetteMiss: if there is no such file and it may not be recorded.
        InvalidCassette: if it is damaged; it is left as it is.
        InvalidCassetteName: for a name that leads out of `directory`.
        RecordingForbidden: for ``all`` and ``rewrite`` with ``CI=true``.
        ConfigurationError: for an argument that makes no sense.

    Example:
        >>> import asyncio, mellite
        >>> async def main():
        ...     async with use("mellite/demo_cassettes/chat.json", match="pool") as transport:
        ...         return transport.mode, len(transport.unused)
        >>> asyncio.run(main())
        ('none', 1)
    """
    if durability not in _DURABILITIES:
        msg = f"durability is one of {', '.join(_DURABILITIES)}, not {durability!r:.80}"
        raise ConfigurationError(msg)
    environment = os.environ if environment is None else environment
    name = path if isinstance(path, str) else path_of(path)
    file = name if directory is None else cassette_path(directory, name)
    wanted = mode_of(environment, mode)
    about = {"name": stem_of(name if directory is not None else os.path.basename(name)), **(metadata or {})}
    if mode is None and not Selection.of(environment).has(about["name"], tags=_tags(about)):
        wanted = "none"
    return CassetteTransport(
        file,
        permitted(wanted, environment, even_in_ci=even_in_ci),
        live=live,
        about=about,
        redaction=redaction,
        allowed=allowed,
        durability=durability,
        replaying={"match": match, "cut": cut, "speed": speed, "deadline": deadline, "lenient": lenient},
    )


class CassetteTransport:
    """A transport that answers from a cassette, and records what its mode allows. Made by `use`.

    Tasks of several loops and threads may use one, as `ReplayTransport` and `RecordTransport`.

    Attributes:
        path: the file.
        mode: the mode; ``CI`` has been taken into account.
        offline: whether this transport only replays, so that nothing is ever sent and no key is needed.
        advice: what an error says to do about a request that is not recorded.
        misses: the errors of the requests that found no answer. A client that asks on behalf of others may hide them.
    """

    advice = (
        "to record it, run this with RECORD=true, or with the mode 'new_episodes' to keep the rest (CI=true forbids "
        "both)"
    )

    def __init__(
        self,
        path: str,
        mode: Mode,
        *,
        live: Transport | None = None,
        about: Mapping[str, Any],
        redaction: Redaction | None = None,
        allowed: Collection[str] = (),
        durability: Durability = "process",
        replaying: Mapping[str, Any],
    ) -> None:
        self.path = path
        self.mode: Mode = mode
        self._remade: Callable[[], CassetteTransport] = partial(
            type(self),
            path,
            mode,
            live=live,
            about=about,
            redaction=redaction,
            allowed=allowed,
            durability=durability,
            replaying=replaying,
        )
        self._allowed = allowed_texts(allowed)
        self._durable = durability == "power"
        self._about = about
        self._part: str | None = replaying.get("part")
        cassette = self._stored()
        self._replay = self._replaying(cassette or Cassette(path=path), redaction=redaction, **replaying)
        self._replays = cassette is not None
        records = mode in ("new_episodes", "all", "rewrite") or (mode == "once" and self._is_new(cassette))
        self._recorder = (
            RecordTransport(live, self._writer, redaction=redaction, quick=not self._durable) if records else None
        )
        self.offline = self._recorder is None
        self.misses: list[CassetteMiss | CassetteMismatch] = []

    def _replaying(self, cassette: Cassette, **how: Any) -> ReplayTransport:
        """Return what replays; subclasses choose another one."""
        return ReplayTransport(cassette, **how)

    async def _instead(self, request: HttpRequest, timeout: float | None) -> HttpResponse | None:  # noqa: ARG002
        """Return the answer to a request that is not recorded; None if it is to be sent or refused."""
        return None

    def _instead_blocking(self, request: HttpRequest, timeout: float | None) -> RecordedAnswer | None:  # noqa: ARG002
        """Return what `_instead` does, in code without await."""
        return None

    def _stored(self) -> Cassette | None:
        """Read the cassette to replay; None if there is none, or everything is recorded anew."""
        if self.mode in ("all", "rewrite"):
            return None
        # Without a journal none is to be read, either: the one of a rewriting is always made after it.
        load: Callable[[str], Cassette] = load_file
        if os.path.lexists(self.path + JOURNAL):
            load = load_cassette
            with suppress(CassetteError):  # on a read-only disk the journal cannot be folded in, but is still read
                recover(self.path)
        try:
            return load(self.path)
        except CassetteMiss as error:
            if self.mode == "none":
                msg = f"{error}; {self.advice}"
                raise CassetteMiss(msg, path=self.path) from None
            return None

    def _is_new(self, cassette: Cassette | None) -> bool:
        """Whether there is no cassette yet, or all of it belongs to other tests."""
        if cassette is None or self._part is None:
            return cassette is None
        return all(part_of(one) not in (None, self._part) for one in cassette.http)

    def _writer(self, request: Mapping[str, Any]) -> Sink:
        """Open the sink for a recording that begins; `request` is what its first request says of it."""
        about = {
            "recordedAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z",
            "transport": "http",
            **request,
            **self._about,
        }
        about["tags"] = _tags(about)
        return self._sink(about, SecretScan(allowed=self._allowed))

    def _sink(self, metadata: Mapping[str, Any], scan: SecretScan) -> Sink:
        """Open the sink; subclasses choose another one."""
        how: WriteMode = "rewrite" if self.mode == "rewrite" else "append"
        return CassetteWriter.open(self.path, how, metadata=metadata, scan=scan, durable=self._durable)

    @property
    def recorder(self) -> RecordTransport | None:
        """The transport that records; None if nothing is recorded."""
        return self._recorder

    @property
    def used(self) -> int:
        """The number of interactions that have been replayed."""
        return self._replay.used

    @property
    def recorded(self) -> int:
        """The number of interactions that have been recorded."""
        return 0 if self._recorder is None else self._recorder.stored

    @property
    def unused(self) -> tuple[HttpInteraction, ...]:
        """The interactions of the file that no request has used; empty if everything is recorded anew."""
        return self._replay.unused

    def check_used(self) -> None:
        """Make sure that every interaction was replayed; for the end of a test.

        Raises:
            CassetteMismatch: if some were not.
        """
        self._replay.check_used()

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        """Answer from the cassette, or send the request and record it; see `Transport.open`.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
            CassetteMismatch: if another request is next, and nothing may be recorded.
            CassetteError: if the cassette cannot be written; nothing was sent.
        """
        return await self._opened(request, timeout)

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:
        """Answer or record a request without a task, if that needs no waiting; see `Transport`."""
        if type(self).open is not CassetteTransport.open:
            return None
        if self._recorder is None:
            return self._replay.sent(request, notify, self._opened)
        return None if self._replays else self._recorder.begin(request, notify)

    def over(self, own: Callable[[], Transport]) -> Transport:
        """Return the same cassette, sending over another transport, unless ``live`` was given.

        `mellite.wire.transports.default.standing_in` calls this, so that a backend that asks over a WebSocket is
        recorded over its own transport.

        Args:
            own: makes that transport, when something has to be sent.
        """
        return _Over(self, partial(self._opened, own=own))

    async def _opened(
        self, request: HttpRequest, timeout: float | None, own: Callable[[], Transport] | None = None
    ) -> HttpResponse:
        if self._replays:
            answer = await self._replay.answer(request, timeout=timeout)
            answer = await self._instead(request, timeout) if answer is None else answer
            if answer is not None:
                return answer
        if self._recorder is None:
            raise await self._refusal(request)
        return await self._recorder.open(request, timeout=timeout, own=own)

    def answer_blocking(self, request: HttpRequest, *, timeout: float | None = None) -> RecordedAnswer | None:
        """Answer from the cassette in code without await; return None for a request to be sent and recorded.

        Raises:
            CassetteMiss: if the request is not recorded, and may not be.
            CassetteMismatch: if another request is next, and nothing may be recorded.
        """
        answer = self._replay.answer_blocking(request, timeout) if self._replays else None
        if answer is None and self._replays:
            answer = self._instead_blocking(request, timeout)
        if answer is None and self._recorder is None:
            raise self._advised(self._replay.refusal(request))
        return answer

    async def _refusal(self, request: HttpRequest) -> CassetteMiss | CassetteMismatch:
        """Return the error for a request that is not recorded, with the advice."""
        return self._advised(await self._replay.refused(request))

    def _advised(self, error: CassetteMiss | CassetteMismatch) -> CassetteMiss | CassetteMismatch:
        error.args = (f"{error}\n{self.advice}",)
        self.misses.append(error)
        return error

    def finish(self) -> None:
        """End a recording that went well, in code without a loop. Idempotent; may block.

        Raises:
            CassetteError: if something could not be stored.
        """
        if self._recorder is not None:
            self._recorder.finish()

    def abandon(self) -> None:
        """End a failed recording: a cassette that was to be replaced stays as it was. Idempotent; may block."""
        if self._recorder is not None:
            self._recorder.abandon()

    async def aclose(self) -> None:
        """Finish the recording, and close the recorder's own transport.

        Raises:
            CassetteError: if something could not be stored.
        """
        if self._recorder is not None:
            await self._recorder.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the recording. Connections are not closed here: each is closed with the loop that it belongs to."""
        if kind is None:
            self.finish()
        else:
            self.abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder is not None:
            await self._recorder.__aexit__(kind, error, trace)

    def __reduce__(self) -> tuple[Callable[[], CassetteTransport], tuple[()]]:
        return self._remade, ()

    def __repr__(self) -> str:
        return f"CassetteTransport({self.path!r}, {self.mode!r}, {self.used} replayed, {self.recorded} recorded)"


@final
class _Over:
    """A cassette as one backend sees it: what is recorded is sent over that backend's own transport."""

    __slots__ = ("_cassette", "_opened")

    def __init__(
        self,
        cassette: CassetteTransport,
        opened: Callable[[HttpRequest, float | None], Awaitable[HttpResponse]],
    ) -> None:
        self._cassette = cassette
        self._opened = opened

    @property
    def offline(self) -> bool:
        return self._cassette.offline

    def begin(self, request: HttpRequest, notify: Callable[[], None]) -> Sent | None:
        # What is recorded goes over the backend's own transport.
        return None if self._cassette.recorder is not None else self._cassette.begin(request, notify)

    async def open(self, request: HttpRequest, *, timeout: float | None = None) -> HttpResponse:
        return await self._opened(request, timeout)


def stem_of(name: str) -> str:
    """Return the default name of a cassette: that of its file, without the endings."""
    for ending in (".gz", ".lz4", ".json"):
        name = name.removesuffix(ending)
    return name


def _tags(about: Mapping[str, Any]) -> list[str]:
    """Return the tags of a cassette: its provider and protocol, and those that were given."""
    given = about.get("tags", ())
    tags = [tag for tag in given if isinstance(tag, str)] if isinstance(given, (list, tuple)) else []
    named = [f"{name}:{about[name]}" for name in ("provider", "protocol") if isinstance(about.get(name), str)]
    return [*[tag for tag in named if tag not in tags], *tags]


publish(globals(), "mellite.cassettes", "CassetteTransport", "use")
