"""How a journal is asked for: its directory, and what becomes of failures, of forks, and of programs that changed."""

from __future__ import annotations

import os

from ...values.errors import InvalidRequest
from ...values.paths import path_of
from ...values.public_names import publish
from .file import Durability
from .forking_off import ForkAt
from .keeping import Errors, Journal, OnDivergence

__all__ = ["journal"]


def journal(
    path: str | os.PathLike[str],
    *,
    durability: Durability = "call",
    fork_at: ForkAt | None = None,
    into: str | os.PathLike[str] | None = None,
    errors: Errors = "again",
    on_divergence: OnDivergence = "live",
) -> Journal:
    """Return a context that keeps each model and tool call, and replays it when entered again with the same journal.

    Restart a program that died with the same journal: it replays what is there, in the recorded order, and continues
    live from the first call that is not. The journal covers everything driven in the block and in tasks started there:
    thunks, runs, tools, samples, judges and steps.

    Args:
        path: a directory for this journal only; created if missing. One process at a time can open it.
        durability: when a call is safely kept. ``call``: before its caller continues, the operating system has it, so
            it survives the end of the process; ``disk``: by then it is on the disk; ``end``: when the block ends.
        fork_at: continue from a point of the journal at `path` in a new one: the number of the first call to make anew,
            ``run:3`` for the third step of the run, a datetime with a zone, or ``message:`` with the id or the number
            of a message.
        into: the directory of the new journal; by default the old one with ``-fork-1``, or a higher number.
        errors: ``again`` repeats calls that were cancelled or failed in a way that may pass, unless the program had
            continued after them; ``replay`` replays all failures.
        on_divergence: what happens when the program makes a different call than before: ``live`` makes it, ``raise``
            fails it.

    Raises:
        InvalidRequest: for a value of the wrong kind.
        JournalInUse: on entry, if it is already open.
        InvalidJournal: on entry, if it is damaged.

    Example:
        >>> import tempfile
        >>> from mellite.backends import Scripted
        >>> backend = Scripted(["the only answer"])
        >>> directory = tempfile.mkdtemp()
        >>> with journal(directory) as first:
        ...     backend.generate("Hello.").result()
        'the only answer'
        >>> with journal(directory) as second:
        ...     backend.generate("Hello.").result()
        'the only answer'
        >>> first.live, second.live, second.replayed
        (1, 0, 1)
    """
    for name, value, known in (
        ("durability", durability, ("call", "end", "disk")),
        ("errors", errors, ("again", "replay")),
        ("on_divergence", on_divergence, ("live", "raise")),
    ):
        if value not in known:
            msg = f"{name!r} must be one of {', '.join(map(repr, known))}, not {value!r}"
            raise InvalidRequest(msg, parameter=name)
    if into is not None and fork_at is None:
        msg = "'into' is the directory of a fork: give 'fork_at', too"
        raise InvalidRequest(msg, parameter="into")
    return Journal(
        path_of(path, what="the journal's directory"),
        durability=durability,
        fork_at=fork_at,
        into=None if into is None else path_of(into, parameter="into", what="the fork's directory"),
        errors=errors,
        on_divergence=on_divergence,
    )


publish(globals(), "mellite", "journal")
