"""The result of sampling: totals, pickle, JSON, and the table on a terminal."""

from __future__ import annotations

import copy
import io
import json
import pickle
from decimal import Decimal

import pytest
from rich.console import Console

import mellite
from mellite import BestOfN, RejectionSampling, SamplingResult
from mellite.backends import Constant, Scripted
from mellite.errors import ConnectionLost, SamplingError
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.strategies.sampling.table import MOST_ROWS
from tests.strategies.sampling.support import Calls, sampling, short

pytestmark = pytest.mark.anyio


def priced(text: str, **usage: int):
    """An answer of a model with a known price."""
    start = ResponseStart(provider="openai", model="gpt-4o-mini")
    return [start, TextDelta(text), Finish("stop", usage=Usage.of(**usage))]


async def three() -> SamplingResult:
    """A result with a failure, a rejection and a winner."""
    answers = [
        ConnectionLost("gone"),
        priced("too long", input_tokens=1000, output_tokens=10),
        priced("ok", input_tokens=1000, output_tokens=20),
    ]
    return await RejectionSampling().sample(Scripted(answers).generate("hi"), [short()])


async def test_totals_are_those_of_all_samples():
    """Usage and cost add up over all samples, the losers too; costs are exact, or unknown where one is."""
    result = await three()
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.total_tokens) == (2000, 30, 2030)
    costs = [None, Decimal("0.000156"), Decimal("0.000162")]
    assert [sample.cost_usd for sample in result.samples] == costs
    assert [sample.value for sample in result.samples] == [None, "too long", "ok"]
    assert (result.cost_usd, result.known_cost_usd, result.unmetered) == (None, Decimal("0.000318"), 1)
    assert all(sample.duration_ms is not None for sample in result.samples)
    assert result.duration_ms >= max(sample.duration_ms for sample in result.samples)


async def test_a_total_with_an_unknown_price_is_unknown():
    """If one sample used tokens at an unknown price, the total cost is None, not the sum of the others."""
    answers = [priced("too long", input_tokens=1, output_tokens=1), "ok"]
    result = await RejectionSampling().sample(Scripted(answers).generate("hi"), [short()])
    assert (result.cost_usd, result.usage.total_tokens) == (None, 4)


async def test_a_pickle_has_everything():
    """A pickled result has its samples, verdicts, errors, costs and the winner."""
    result = await three()
    twin = pickle.loads(pickle.dumps(result))
    assert (twin.value, twin.success, twin.stop_reason, twin.strategy) == ("ok", True, "accepted", "RejectionSampling")
    assert [sample.status for sample in twin.samples] == ["failed", "rejected", "passed"]
    assert twin.winner is twin.samples[2].thunk
    assert twin.samples[0].error.args == ("gone",)
    assert twin.samples[1].validations == result.samples[1].validations
    assert twin.known_cost_usd == result.known_cost_usd
    assert [sample.thunk.generate_log.is_final_result for sample in twin.samples] == [False, False, True]
    assert twin.to_dict() == result.to_dict()


async def test_a_copy_is_independent():
    """A deep copy of a result has samples of its own."""
    result = await three()
    twin = copy.deepcopy(result)
    assert twin.winner is twin.samples[2].thunk
    assert twin.winner is not result.winner
    assert twin.to_dict() == result.to_dict()


async def test_a_pickle_has_no_key():
    """A result of a live backend has no key in its pickle, JSON or table."""
    from mellite.cassettes import ScriptedTransport
    from mellite.providers.catalog import find

    answer = '{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}'
    route = find("openai-chat:gpt-4o-mini", api_key="sk-very-secret")
    backend = mellite.backends.LiveBackend(route, transport=ScriptedTransport([answer]))
    result = await RejectionSampling().sample(backend.generate("hi", stream=False), [short()])
    assert result.value == "ok"
    for shown in (pickle.dumps(result.samples[0].validations), result.to_json().encode(), rendered(result).encode()):
        assert b"very-secret" not in shown


async def test_json_has_everything():
    """The JSON says for every sample what came of it; costs are exact texts; the winner is an index."""
    found = json.loads((await three()).to_json(indent=1))
    assert (found["strategy"], found["success"], found["stop_reason"], found["value"], found["winner"]) == (
        "RejectionSampling",
        True,
        "accepted",
        "ok",
        2,
    )
    assert (found["cost_usd"], found["known_cost_usd"]) == (None, "0.000318")
    assert (found["usage"]["total_tokens"], found["unmetered"]) == (2030, 1)
    assert found["requirements"] == ["at most 3 characters"]
    first, second, _ = found["samples"]
    assert first["error"] == {"type": "ConnectionLost", "message": "gone"}
    assert (first["status"], first["lineage"], first["cost_usd"]) == ("failed", [0], None)
    assert second["validations"] == [{"passed": False, "reason": "it has 8", "score": None, "error": None}]
    assert (second["text"], second["model"], second["finish_reason"]) == ("too long", "gpt-4o-mini", "stop")


async def test_json_survives_every_text():
    """Lone surrogates, control characters and scores that are not numbers do not break the JSON."""
    odd = mellite.Requirement("odd", lambda thunk: mellite.ValidationResult(False, "\ud800\x00", float("nan")))
    result = await RejectionSampling(max_samples=1).sample(Constant("\ud800\x1b[31m\u2028").generate("hi"), [odd])
    text = result.to_json()
    assert text.isascii()
    assert json.loads(text)["samples"][0]["text"] == "\ud800\x1b[31m\u2028"
    assert json.loads(text)["samples"][0]["validations"][0]["score"] is None


def rendered(result: SamplingResult, width: int = 160) -> str:
    """What a terminal of this width shows."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(result)
    return console.file.getvalue()


async def test_a_terminal_shows_a_table():
    """Printed with rich, a result is a table with a row for each sample and the totals below."""
    text = rendered(await three())
    rows = [line for line in text.splitlines() if any(word in line for word in ("failed", "rejected", "passed"))]
    assert len(rows) == 3
    assert "ConnectionLost: gone" in rows[0]
    assert "0.000156" in rows[1]
    assert rows[2].lstrip(" │").startswith("*")
    assert "RejectionSampling: success, accepted" in text
    assert "3 samples, 2,030 tokens, 1 without a count, at least 0.000318 USD" in " ".join(text.split())


async def test_a_table_is_safe_and_bounded():
    """Escape sequences and markup of a model stay out of the terminal, and a thousand rows are not shown."""
    backend = Scripted(["\x1b[2J[bold]evil[/bold]\x07"] * 60)
    result = await BestOfN(60, score=lambda thunk: thunk._call.lineage[0]).sample(backend.generate("hi"))
    text = rendered(result)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]evil[/bold]" in text
    assert f"and {60 - MOST_ROWS - 1} more" in text
    assert "* 59" in " ".join(text.replace("│", " ").split())


async def test_the_plain_representation_is_one_line():
    """`repr` says how it went in one line, without rich."""
    result = await three()
    assert repr(result).startswith("<SamplingResult success, accepted after 3, value='ok'")
    assert repr(result).count("\n") == 0
    long = await RejectionSampling(max_samples=1).sample(Constant("x" * 1000).generate("hi"), [short()])
    assert len(repr(long)) < 120
    assert "no success, max_samples after 1" in repr(long)


async def test_an_error_with_samples_is_pickled():
    """The error of a run without any answer keeps its errors through a pickle."""
    with pytest.raises(SamplingError) as caught:
        await RejectionSampling().sample(Scripted([ConnectionLost("a")] * 3).generate("hi"), [short()])
    twin = pickle.loads(pickle.dumps(caught.value))
    assert [str(error) for error in twin.errors] == ["a", "a", "a"]


async def test_a_broken_check_is_told_in_json_and_table():
    """A verdict with an error shows as such."""

    def check(thunk):
        if thunk.value == "odd":
            raise ValueError("broken")
        return True

    result = await RejectionSampling().sample(Scripted(["odd", "ok"]).generate("hi"), [short(), check])
    assert result.to_dict()["samples"][0]["validations"][1]["error"] == {"type": "ValueError", "message": "broken"}
    assert ".!" in rendered(result)
    assert "failed" in rendered(result)
    assert "ValueError: broken" in rendered(result)


async def test_a_watch_sees_every_sample():
    """A watch is told how many there may be, and of each copy when it is sent and when it has settled."""
    seen = []

    class Watch:
        def expects(self, total):
            seen.append(total)

        def started(self, thunk):
            seen.append(("started", thunk._call.lineage, thunk.state))

        def ended(self, sample):
            seen.append(("ended", sample.lineage, sample.thunk.value))

    backend = Calls()
    strategy = RejectionSampling(max_samples=2, inner=RejectionSampling(max_samples=1))
    async with sampling(strategy, backend.generate("hi"), [short()], watch=Watch()):
        (await backend.called(1))[0].answer("too long")
        (await backend.called(2))[1].answer("ok")
    assert seen == [
        2,
        ("started", (0, 0), "pending"),
        ("ended", (0, 0), "too long"),
        ("started", (1, 0), "pending"),
        ("ended", (1, 0), "ok"),
    ]
