"""Sources of a server's answers: a cassette, a backend, or the providers themselves; and how they are recorded."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from ..backends.by_name import backend, is_offline
from ..cassettes.files.read import load_cassette
from ..cassettes.interactions import Cassette, HttpInteraction
from ..cassettes.replaying.claims import CLAIMS, Match
from ..cassettes.replaying.transport import ReplayTransport
from ..cassettes.secrets.redaction import Redaction
from ..cassettes.timeline import KEY
from ..values.errors import ConfigurationError
from ..wire.http import Transport
from ..wire.transports.default import default_transport
from .generating import GeneratingTransport
from .journal_answers import JournalAnswers, is_journal
from .passing import PassingTransport
from .paths import compared_url
from .recording import RecordingTransport

__all__ = ["ANY_PATH", "recording", "replaying", "speed_of", "transport_of"]

_FILE: Final = re.compile(r"\.(?:json|ya?ml|toml)(?:\.gz|\.lz4)?$")
_CASSETTE: Final = "cassette:"


class _AnyPath(Redaction):
    """A redaction that tells calls apart, and neither the paths to them nor how clients describe their bodies."""

    __slots__ = ()

    def url(self, url: str) -> str:
        """Return what is compared of a URL, without secrets."""
        return compared_url(super().url(url))

    def headers(self, headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
        """Return what is compared of headers: what a body is, it shows itself, and curl says it wrongly."""
        return {name: value for name, value in super().headers(headers, allowed).items() if name != "content-type"}


ANY_PATH: Final = _AnyPath()


def speed_of(speed: str | float | None) -> float | None:
    """Return how many times as fast as recorded answers come; None for at once.

    Raises:
        ConfigurationError: if it is neither ``instant``, ``recorded`` nor a number above 0.

    Example:
        >>> speed_of("instant"), speed_of("recorded"), speed_of("2.5")
        (None, 1.0, 2.5)
    """
    if speed is None or speed == "instant":
        return None
    try:
        factor = 1.0 if speed == "recorded" else float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        msg = f"speed is 'instant', 'recorded' or a factor above 0, not {speed!r:.80}"
        raise ConfigurationError(msg)
    return factor


def transport_of(source: Any, *, match: Match = "pool", speed: float | None = None) -> Transport:
    """Return what answers for a source.

    Args:
        source: a cassette or the path of its file; the directory of a journal, or of text cassettes; what
            `mellite.backend` takes, such as ``fake:echo``; a backend, or anything with ``stream(request)``; a
            transport; or None for the providers themselves, which are asked what the client asks.
        match: how a cassette finds its answers.
        speed: how many times as fast as recorded a cassette answers; None for at once.

    Raises:
        ConfigurationError: if it is nothing of the kind.
        CassetteMiss: if there is no such cassette.
        InvalidCassette: if it is damaged.
        UnknownProvider: if there is no such provider.
    """
    if match not in CLAIMS:
        msg = f"match is one of {', '.join(CLAIMS)}, not {match!r}"
        raise ConfigurationError(msg)
    if source is None:
        return PassingTransport(default_transport())
    if isinstance(source, Cassette):
        return replaying(source, match=match, speed=speed)
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        path = name.removeprefix(_CASSETTE)
        if _FILE.search(path) and not Path(path).is_dir():
            return replaying(load_cassette(path), match=match, speed=speed)
        if is_journal(path):
            return GeneratingTransport(JournalAnswers(path))
        if Path(path).is_dir():
            return GeneratingTransport(backend(f"{_CASSETTE}{path}"))
        if isinstance(source, str):
            return GeneratingTransport(backend(source), spec=None if is_offline(source) else source)
    if callable(getattr(source, "stream", None)):
        return GeneratingTransport(source)
    if callable(getattr(source, "open", None)) and not isinstance(source, os.PathLike):
        found: Transport = source
        return found
    msg = f"a server answers from a cassette, a backend, or the name of one as in 'fake:echo', not from {source!r:.100}"
    raise ConfigurationError(msg)


def replaying(cassette: Cassette, *, match: Match, speed: float | None) -> ReplayTransport:
    """Return what answers from a cassette, whichever client asks, and under whichever path."""
    return ReplayTransport(
        _without_lineage(cassette), match=match, speed=speed, redaction=ANY_PATH, lenient=True, again=True
    )


def _without_lineage(cassette: Cassette) -> Cassette:
    """Return a cassette without what tells the copies of a thunk apart: clients have no such copies."""
    interactions = []
    for one in cassette.interactions:
        own = one.extra.get(KEY) if isinstance(one, HttpInteraction) else None
        if isinstance(own, dict) and "lineage" in own:
            fields = {name: value for name, value in own.items() if name != "lineage"}
            interactions.append(evolve(one, extra={**one.extra, KEY: fields}))
        else:
            interactions.append(one)
    return evolve(cassette, interactions=tuple(interactions))


def recording(source: Any, path: str | os.PathLike[str], *, even_in_ci: bool = False, **how: Any) -> Transport:
    """Return what answers for a source, and records the answers.

    A provider that speaks the protocol of a client is asked what the client asks, word for word. Without a source it
    is the maker of each protocol.

    Args:
        source: what answers, as in `transport_of`.
        path: the file of the cassette, to which the answers are added.
        even_in_ci: whether to record even with ``CI=true``.
        **how: the other arguments of `transport_of`.

    Raises:
        ConfigurationError: if what answers is the file itself.
        RecordingForbidden: with ``CI=true``, unless `even_in_ci`.
        InvalidCassette: if the file is there and damaged.
    """
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source).removeprefix(_CASSETTE)
        if os.path.exists(name) and os.path.exists(path) and os.path.samefile(name, path):
            msg = f"{os.fspath(path)!r} would both answer and be recorded: record into another file"
            raise ConfigurationError(msg)
    answering = None if source is None else transport_of(source, **how)
    asks = isinstance(source, str) and isinstance(answering, GeneratingTransport) and not is_offline(source)
    provider = source if isinstance(source, str) and asks else None
    return RecordingTransport(path, answering, provider=provider, passes=asks, even_in_ci=even_in_ci)
