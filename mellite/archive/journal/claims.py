"""Which of several equal calls is which: they are counted in the order in which they are driven."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, final

from ...loops import forking
from ...thunk.resolving import resolved_now
from .keys import Asked, asked_of

__all__ = ["Claims"]


@final
class Claims:
    """Counts equal calls.

    A call is driven at once, and its stream is opened in a task, in which order ever the loop likes. So `driven` takes
    note of each, and the first of those that may be equal whose stream is opened has those before it counted, too.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._waiting: dict[tuple[object, ...], dict[Any, None]] = {}
        self._counted: dict[Any, tuple[str, int]] = {}

    def count(self, kind: str, key: str) -> int:
        """Count one more with a key; return how many there were before."""
        with self._lock:
            nth = self._counts[kind, key]
            self._counts[kind, key] = nth + 1
        return nth

    def driven(self, generation: Any) -> None:
        """Note that a generation is driven."""
        self._waiting.setdefault(_looks(generation), {})[generation] = None

    def opened(self, generation: Any) -> tuple[Asked, int]:
        """Return what a generation asks, and the how-manieth such call it is.

        Raises:
            InvalidRequest: if the request has no JSON form.
        """
        asked = asked_of(generation.call.backend, generation.request, generation.call.lineage)
        looks = _looks(generation)
        alike = self._waiting.get(looks, {})
        for earlier in list(alike) if generation in alike else ():
            if earlier is generation:
                break
            self._count(earlier, asked.key if earlier.call.request == generation.call.request else None)
        self._leave(generation, looks)
        counted = self._counted.pop(generation, None)
        if counted is not None and counted[0] == asked.key:
            return asked, counted[1]
        return asked, self.count("call", asked.key)

    def settled(self, generation: Any) -> None:
        """Note that a generation has settled; one that was cancelled before its stream was opened keeps its place."""
        looks = _looks(generation)
        if generation in self._waiting.get(looks, ()):
            self._count(generation)
            self._leave(generation, looks)
        self._counted.pop(generation, None)

    def _leave(self, generation: Any, looks: tuple[object, ...]) -> None:
        alike = self._waiting.get(looks)
        if alike is not None:
            alike.pop(generation, None)
            if not alike:
                del self._waiting[looks]

    def _count(self, generation: Any, key: str | None = None) -> None:
        """Count a generation whose stream has not been opened; `key` if it asks what has that key."""
        if generation in self._counted:
            return
        request = resolved_now(generation.call) if key is None else None
        if request is not None:
            key = asked_of(generation.call.backend, request, generation.call.lineage).key
        if key is not None:  # else there is a thunk in its prompt, and it is counted when its stream is opened
            self._counted[generation] = key, self.count("call", key)


def _looks(generation: Any) -> tuple[object, ...]:
    """Return a value that is equal for generations that may be equal."""
    call = generation.call
    return id(call.backend), call.lineage, call.request.model, call.request.text
