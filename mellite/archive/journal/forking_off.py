"""Fork a journal: a new one that has what came before some point of it, and names it as its parent."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, cast

from ...cassettes.files.storing import sync_directory
from ...values.errors import InvalidRequest, JournalError
from ...values.provider_json import JsonObject
from .file import JournalFile, head_of, is_journal, read_head
from .index import Index
from .json_values import as_raw
from .lines import Line
from .records import Records, read_journal

__all__ = ["ForkAt", "fork_of"]

#: From where a fork goes on: see `mellite.journal`.
ForkAt: TypeAlias = int | str | datetime

_STEP: Final = re.compile(r"run:([1-9]\d{0,8})")
_MESSAGE: Final = "message:"


def fork_of(path: str, fork_at: ForkAt, into: str | None) -> str:
    """Make a fork, or find the one that was made for the same point before; return its directory.

    Raises:
        InvalidRequest: if there is no such point, or `into` is something else.
        InvalidJournal: if the parent is damaged, or no journal.
        JournalError: if the fork cannot be written.
    """
    parent = read_journal(path)
    number = _number_at(parent, fork_at)
    origin: JsonObject = {"parent": parent.head["id"], "call": number}
    if into is not None and is_journal(into):
        if read_head(into).get("fork") == origin:
            return into
        msg = f"the journal {into!r} is there already, and is not a fork of {path!r} at call {number}"
        raise InvalidRequest(msg, parameter="into")
    directory = _free(path) if into is None else into
    making = (
        f"{directory.rstrip('/' + os.sep)}.making"  # until it is whole, so that none is taken for whole that is not
    )
    try:
        shutil.rmtree(making, ignore_errors=True)
        file = JournalFile(making, "end", head_of(os.path.abspath(path), origin))
        try:
            _copy(parent.index, file, number)
            file.flush()
            file.sync()
        finally:
            file.close()
        os.rename(making, directory)
        sync_directory(os.path.dirname(os.path.abspath(directory)))
    except OSError as error:
        msg = f"cannot make the fork {directory!r}: {error.strerror or error}"
        raise JournalError(msg, path=directory) from error
    return directory


def _free(path: str) -> str:
    base, count = path.rstrip("/" + os.sep), 1
    while os.path.exists(f"{base}-fork-{count}"):
        count += 1
    return f"{base}-fork-{count}"


def _copy(parent: Index, file: JournalFile, number: int) -> None:
    """Copy the lines of the calls before one, and say what the parent ran once from there on."""
    first = parent.calls.get(number)
    until = first.driven if first is not None else parent.latest + 1
    before = [call for call in parent.calls.values() if call.number < number]
    for place in [*parent.kept.values(), *parent.runs.values()]:
        file.index.note(line := parent.line(place), file.add(line))
    for call in before:
        for place in (call.asked, call.answered) if call.answered is not None else (call.asked,):
            file.index.note(line := parent.line(place), file.add(line))
        for place in parent.checked.get(call.number, ()):
            file.add(parent.line(place))
    for place in [*parent.values.values(), *parent.sampled]:
        line = parent.line(place)
        if line.at < until:
            file.add(line)
    for place in parent.inherited.values():
        file.add(parent.line(place))
    for call in parent.calls.values():
        if call.number >= number and call.once:
            asked: Mapping[str, Any] = parent.body(call.asked) or {}
            body = as_raw(cast("Any", {"arguments": asked.get("arguments"), "call": call.number}))
            file.add(Line("inherited", at=call.driven, key=call.key, nth=call.nth, name=call.name, body=body))


def _number_at(parent: Records, fork_at: ForkAt) -> int:
    """Return the number of the first call that is asked anew.

    Raises:
        InvalidRequest: if there is no such point.
    """
    if isinstance(fork_at, datetime):
        return _number_at_time(parent, fork_at)
    if isinstance(fork_at, int) and not isinstance(fork_at, bool):
        last = max(parent.index.calls, default=0)
        if not 1 <= fork_at <= last + 1:
            raise _no_point(parent, fork_at, f"its calls have the numbers 1 to {last}")
        return fork_at
    if isinstance(fork_at, str):
        if (step := _STEP.fullmatch(fork_at)) is not None:
            return _number_of_step(parent, fork_at, int(step[1]))
        if fork_at.startswith(_MESSAGE):
            return _number_of_message(parent, fork_at, fork_at.removeprefix(_MESSAGE))
    msg = (
        "'fork_at' is the number of a call, 'run:3' for the third step of the run, 'message:' and the id or number of "
        f"a message, or a datetime with a zone, not {fork_at!r}"
    )
    raise InvalidRequest(msg, parameter="fork_at")


def _number_at_time(parent: Records, moment: datetime) -> int:
    if moment.tzinfo is None:
        msg = f"'fork_at' must be a datetime with a zone, not {moment!r}: whose clock is it?"
        raise InvalidRequest(msg, parameter="fork_at")
    later = [call.number for call in parent.index.calls.values() if call.driven >= moment.timestamp() * 1_000_000]
    return min(later, default=max(parent.index.calls, default=0) + 1)


def _number_of_step(parent: Records, fork_at: str, step: int) -> int:
    found = {call.run: call.number for call in reversed(parent.calls) if call.kind == "call" and call.step == step}
    if not found:
        raise _no_point(parent, fork_at, "no run in it has taken that step")
    if len(found) > 1:
        several = ", ".join(map(str, sorted(found.values())))
        raise _no_point(parent, fork_at, f"several runs in it have: give the number of the call, one of {several}")
    return next(iter(found.values()))


def _number_of_message(parent: Records, fork_at: str, wanted: str) -> int:
    """Return the first call that has a message in its prompt.

    Messages are numbered from 1, in the order in which they were first asked with.
    """
    names: dict[str, int] = {}
    for call in parent.calls:
        asked: Mapping[str, Any] = parent.index.body(parent.index.calls[call.number].asked) or {}
        for name in asked.get("messages") or ():
            if name not in names:
                names[name] = len(names) + 1
                message = cast("Mapping[str, Any]", parent.index.find(name) or {})
                if message.get("id") == wanted or str(names[name]) == wanted:
                    return call.number
    raise _no_point(parent, fork_at, f"no message has that id, and there are {len(names)}")


def _no_point(parent: Records, fork_at: ForkAt, why: str) -> InvalidRequest:
    return InvalidRequest(f"the journal {parent.path!r} has no point {fork_at!r}: {why}", parameter="fork_at")
