"""Report requests of tests that differ from what is recorded: where they differ, and what recording them would cost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from ..cassettes.interactions import Cassette
from ..cassettes.replaying.nearest import Substitute
from ..cassettes.scrub import scrub_text
from ..cassettes.secrets.scan import SecretScan
from ..values.errors import MelliteError
from ..values.prices.amounts import EXACT
from ..values.provider_json import JsonObject
from ..values.terminal import one_line
from .entries import Entry, http_entries

__all__ = ["StaleReport", "missing_cassette", "stale_calls", "total_of"]

_VERSION: Final = 1
_USAGE_ERROR: Final = 4  # as pytest counts it

_WORDS: Final = {
    "changed": "differs from the recorded request",
    "moved": "is recorded, but comes in another order than",
    "added": "is one more than is recorded; the nearest is",
}

_LONGEST: Final = 200


def stale_calls(test: str, path: str, substitutes: Iterable[Substitute]) -> list[JsonObject]:
    """Return what is reported of the requests of a test that differ, as JSON without secrets.

    What recording would cost is what the nearest call used, at today's prices; nothing if it only moved.

    Args:
        test: the test's id.
        path: its cassette.
        substitutes: the requests.
    """
    return [_stale_call(test, path, one) for one in substitutes]


def _stale_call(test: str, path: str, one: Substitute) -> JsonObject:
    scan = SecretScan()
    entry = _entry(path, one)
    return {
        "test": test,
        "cassette": path,
        "kind": one.kind,
        "call": f"{one.number}",
        "question": "" if entry is None else scrub_text(entry.question, scan),
        "request": [scrub_text(str(each), scan) for each in one.differences],
        **_cost(entry, one),
    }


def _entry(path: str, one: Substitute) -> Entry | None:
    """Read the nearest call; None if it cannot be read."""
    try:
        return next(http_entries(Cassette((one.interaction,), path=path)), None)
    except MelliteError:
        return None


def _cost(entry: Entry | None, one: Substitute) -> JsonObject:
    if one.kind == "moved":
        return {"input_tokens": 0, "output_tokens": 0, "cost_usd": "0"}
    answer = None if entry is None else entry.answer
    usage = None if answer is None else answer.usage
    return {
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_usd": None if answer is None or answer.cost_usd is None else f"{answer.cost_usd:f}",
    }


def missing_cassette(test: str, path: str) -> JsonObject:
    """Return the report on a test without a cassette; the cost of recording it is unknown."""
    unknown = {"input_tokens": None, "output_tokens": None, "cost_usd": None}
    return {"test": test, "cassette": path, "kind": "missing", "call": None, "question": "", "request": [], **unknown}


class StaleReport:
    """The plugin that collects the requests that differ from all tests, of all processes, and reports them.

    A request that several tests make of one cassette, as the same test on two event loops, is reported once.

    Args:
        path: the file to write; empty for none.
        root: the folder from which paths are shown.
    """

    def __init__(self, path: str, root: str) -> None:
        self._path = path
        self._root = root
        self._calls: dict[str, JsonObject] = {}
        self._trouble = ""

    @property
    def calls(self) -> Sequence[JsonObject]:
        """The requests so far."""
        return list(self._calls.values())

    def pytest_runtest_logreport(self, report: object) -> None:
        """Take what the report of a test has with it."""
        for given in cast("Sequence[JsonObject]", getattr(report, "mellite_stale", ())):
            call = {**given, "cassette": self._shown(given["cassette"])}
            test = call.pop("test")
            same = {name: call[name] for name in ("cassette", "kind", "call", "request")}
            found = self._calls.setdefault(json.dumps(same), {"tests": [], **call})
            if test not in found["tests"]:
                found["tests"].append(test)

    def _shown(self, path: str) -> str:
        shown = os.path.relpath(path, self._root)
        return path if shown.startswith(os.pardir) else shown

    def pytest_sessionfinish(self, session: Any) -> None:
        """Write the report. If that cannot be, a run that went well ends as one that was asked for nonsense."""
        if not self._path:
            return
        found = {"version": _VERSION, "root": self._root, "calls": self.calls, "total": total_of(self.calls)}
        try:
            with open(self._path, "w", encoding="utf-8") as file:
                json.dump(found, file, indent=2)
                file.write("\n")
        except OSError as error:
            self._trouble = f"cannot write the report {self._path!r}: {error.strerror or error}; it is only shown here"
            session.exitstatus = session.exitstatus or _USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the report."""
        terminalreporter.section("stale cassettes")
        if self._trouble:
            terminalreporter.write_line(one_line(self._trouble), red=True)
        for line in _lines(self.calls):
            terminalreporter.write_line(one_line(line))


def total_of(calls: Iterable[Mapping[str, Any]]) -> JsonObject:
    """Add up what recording would cost: what is known of it, and of how many calls it is not known."""
    found = list(calls)
    cost = Decimal(0)
    for call in found:
        cost = EXACT.add(cost, Decimal(call["cost_usd"] or 0))
    return {
        "calls": len(found),
        "tests": len({test for call in found for test in call["tests"]}),
        "input_tokens": sum([call["input_tokens"] or 0 for call in found]),
        "output_tokens": sum([call["output_tokens"] or 0 for call in found]),
        "cost_usd": f"{cost:f}",
        "unknown": sum([None in (call["cost_usd"], call["input_tokens"]) for call in found]),
    }


def _lines(calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the report as lines of text."""
    for call in calls:
        if call["kind"] == "missing":
            yield f"{call['cassette']}: there is no cassette for {', '.join(call['tests'])}"
            continue
        yield f"{call['cassette']}: a request {_WORDS[call['kind']]} {call['call']} ({', '.join(call['tests'])})"
        yield from [f"  {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}" for text in call["request"]]
    if not calls:
        yield "no request differs from what is recorded"
        return
    total = total_of(calls)
    unknown = f" and the unknown cost of {total['unknown']}" if total["unknown"] else ""
    yield (
        f"{total['calls']} to record: about {total['input_tokens']} input and {total['output_tokens']} output tokens, "
        f"${total['cost_usd']}{unknown}; pytest --mellite-record=stale records only these"
    )
