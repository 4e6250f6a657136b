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
    """Return a context in which each call of a model and of a tool is kept, and given again when it is entered again.

    A program that died is started again with the same journal: it replays what is there, in the order in which it came,
    and goes on live from the first call that is not. All that is driven in the block goes through it, and in tasks that
    are started in it: thunks, runs, tools, samples, judges and steps.

    Args:
        path: a directory of its own; made when it is missing. One process at a time has it open.
        durability: when what is kept is safe. ``call``: before whoever waits for the call goes on, it is with the
            system, and survives the end of the process; ``disk``: it is on the disk by then; ``end``: when the block
            ends.
        fork_at: go on from a point of the journal at `path` in a new one: the number of the first call that is asked
            anew, ``run:3`` for the third step of the run, a datetime with a zone, or ``message:`` with the id or the
            number of a message.
        into: the directory of the new journal; by default that of the old one with ``-fork-1``, or a higher number.
        errors: ``again`` asks anew what failed in a way that may pass, or was cancelled, unless the program had gone on
            from there; ``replay`` gives all failures again.
        on_divergence: what becomes of a program that asks for something else than before: ``live`` asks, ``raise``
            fails the call.

    Raises:
        InvalidRequest: for a value of the wrong kind.
        JournalInUse: when it is entered, if it is open already.
        InvalidJournal: when it is entered, if it is damaged.

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
