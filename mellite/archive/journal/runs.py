"""Which run a call is a step of: the same names for the same runs when the program is started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from ...thunk.observing import Activity
from .json_values import as_raw, digest_of
from .keys import asked_of
from .lines import Line

if TYPE_CHECKING:
    from .book import Book
    from .claims import Claims

__all__ = ["Runs"]


@final
class Runs:
    """Gives runs their names.

    A run is named by what it was asked, and by how many such runs came before. One that goes on from another one, as
    `Run.resume` makes it, has the name of that.

    Args:
        book: writes them down.
        claims: counts equal runs.
    """

    def __init__(self, book: Book, claims: Claims) -> None:
        self._book = book
        self._claims = claims
        self._names: dict[Activity, str] = {}
        self._by_first: dict[str, str] = {}  # by the id of the generation that is the first step

    def place_of(self, activity: Activity | None) -> tuple[str, int]:
        """Return the run that an activity is a part of, and which step; ``("", 0)`` outside a run."""
        run = None if activity is None else activity.parent
        if run is None or run.kind != "run" or getattr(run.subject, "asked", None) is None:
            return "", 0
        return self._name(run), max(1, len(run.subject.thunks))

    def began(self, activity: Activity | None, generation_id: str) -> None:
        """Note that a generation begins, which may be the first step of a run."""
        name, step = self.place_of(activity)
        if step == 1:
            self._by_first.setdefault(generation_id, name)

    def over(self, activity: Activity) -> None:
        """Note that a run is over."""
        self._names.pop(activity, None)

    def _name(self, activity: Activity) -> str:
        name = self._names.get(activity)
        if name is None:
            name = self._names[activity] = self._new_name(activity)
        return name

    def _new_name(self, activity: Activity) -> str:
        progress: Any = activity.subject
        request, backend = progress.asked
        steps = progress.steps
        if steps:
            name = self._by_first.get(steps[0].thunk.generation.generation_id or "")
            if name is not None:
                return name
        asked = asked_of(backend, request, request.metadata.get("lineage") or ())
        nth = self._claims.count("run", f"{asked.key} {len(steps)}")
        name = digest_of([asked.key, len(steps), nth])[:16]
        if name not in self._book.index.runs:
            around, _ = self.place_of(activity)
            body = {"parent": around or _parent_of(activity, self), "nth": nth, "who": asked.who}
            self._book.write(Line("run", key=name, body=as_raw(body)))
        return name


def _parent_of(activity: Activity, runs: Runs) -> str | None:
    """Return the run in whose tool this one runs."""
    above = activity.parent
    while above is not None:
        name, _ = runs.place_of(above)
        if name:
            return name
        above = above.parent
    return None
