"""What holds for all tests of one run of pytest, worked out once."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Final

from attrs import frozen

from .for_pytest import CassetteOfTest, Stale, cassette_of_test
from .modes import Mode, Selection, mode_of, permitted

__all__ = ["RunOfTests"]

#: The arguments of the marker that say how answers are found and replayed.
_HOW: Final = ("match", "speed", "cut", "deadline")

#: All arguments of the marker.
_ARGUMENTS: Final = frozenset(
    {"path", "mode", "requires", "tags", "metadata", "unused", "live", "install", "clients"} | {*_HOW}
)


@frozen(kw_only=True)
class RunOfTests:
    """What flags, the ini file and the environment say about the cassettes of all tests.

    Args:
        asked: the mode that a flag asks for, or ``stale``; None if none does.
        reports: whether requests that differ from what is recorded are answered and reported.
        chosen: the variables of the environment that choose tests, as the run began with them.
        environment: as in ``os.environ``; read for each test, so that what one of them sets is not for the others.
    """

    asked: str | None
    reports: bool
    chosen: Mapping[str, str]
    environment: Mapping[str, str]

    @cached_property
    def stale(self) -> Stale | None:
        """What to do about requests that differ from what is recorded."""
        if self.reports:
            return "report"
        return "record" if self.asked == "stale" else None

    @cached_property
    def selection(self) -> Selection | None:
        """Which tests run; None if all do."""
        selection = Selection.of(self.chosen)
        return None if selection == Selection() else selection

    def _mode(self, marked: Any) -> Mode:
        asked = self.asked or marked
        if self.reports:
            asked = "none"
        elif asked == "stale":
            asked = "new_episodes"
        return permitted(mode_of(self.environment, asked), self.environment)

    def has(self, path: str, test: str, tags: Collection[str]) -> bool:
        """Whether a test runs, as RECORDED_PREFIX, RECORDED_PROVIDER, RECORDED_TAGS and RECORDED_TEST say."""
        if self.selection is None:
            return True
        folder, name = os.path.split(os.path.splitext(path)[0])
        return self.selection.has(f"{os.path.basename(folder)}/{name}", test=test, tags=tags)

    @staticmethod
    def arguments(taker: str, given: Mapping[str, Any], *positional: Any) -> dict[str, Any]:
        """Return the arguments of a marker by name, as lists where one word may stand for a list of one.

        Args:
            taker: what they are given to, for the error.
            given: those that are given by name.
            positional: the path, if anything.

        Raises:
            TypeError: for an argument that does not exist.

        Example:
            >>> RunOfTests.arguments("the marker", {"requires": "OPENAI_API_KEY"}, "a.json")
            {'path': 'a.json', 'requires': ['OPENAI_API_KEY']}
        """
        unknown = sorted(given.keys() - _ARGUMENTS)
        if unknown or len(positional) > 1:
            what = f"no argument {unknown[0]!r}" if unknown else "one positional argument at most, the path"
            msg = f"{taker} takes {what}; there are {', '.join(sorted(_ARGUMENTS))}"
            raise TypeError(msg)
        lists = {name: [given[name]] for name in ("requires", "tags") if isinstance(given.get(name), str)}
        return {**({"path": positional[0]} if positional else {}), **given, **lists}

    def opened(self, path: str, part: str | None, given: Mapping[str, Any]) -> CassetteOfTest:
        """Open the cassette of a test; see `cassette_of_test`.

        Args:
            path: the file.
            part: the name of the test, if it shares the file with others.
            given: the arguments of its marker.
        """
        return cassette_of_test(
            path,
            self._mode(given.get("mode")),
            stale=self.stale,
            part=part,
            metadata={"tags": list(given.get("tags", ())), **given.get("metadata", {})},
            **({"match": "pool", "lenient": True} if given.get("clients") else {}),
            **{name: given[name] for name in _HOW if name in given},
        )
