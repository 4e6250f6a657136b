"""Fall back and escalate: one backend after the other."""

from __future__ import annotations

import pytest

import mellite
from mellite import BestOfN, Escalate, Fallback, HttpOptions, RejectionSampling, RepairSampling
from mellite.backends import Constant, Failing, Scripted
from mellite.errors import AuthenticationError, ConnectError, SamplingError
from tests.strategies.sampling.support import Calls, sampling, short

pytestmark = pytest.mark.anyio


async def test_the_next_backend_is_asked_after_an_error():
    """A backend is asked only when those before it failed, each once."""
    backup, last = Scripted(["backup"]), Scripted(["last"])
    thunk = Failing(ConnectError("nobody there")).generate("hi")
    result = await Fallback([backup, last]).sample(thunk)
    assert (result.value, result.success, result.stop_reason) == ("backup", True, "accepted")
    assert (backup.calls, last.calls) == (1, 0)
    assert [(sample.lineage, sample.status) for sample in result.samples] == [((0,), "failed"), ((1,), "passed")]


async def test_nothing_but_the_first_is_asked_when_it_answers():
    """When the thunk's own backend answers, no other is asked."""
    backup = Scripted(["backup"])
    result = await Fallback(backup).sample(Constant("own").generate("hi"))
    assert (result.value, backup.calls, result.attempts) == ("own", 0, 1)


async def test_errors_that_asking_again_does_not_mend_lead_on():
    """A wrong key at one provider says nothing about the next one."""
    thunk = Failing(AuthenticationError("wrong key")).generate("hi")
    assert (await Fallback(Constant("backup")).sample(thunk)).value == "backup"


async def test_a_failed_check_leads_on():
    """With requirements, an answer that fails them is followed by the next backend too."""
    result = await Fallback([Constant("still too long"), Constant("ok")]).sample(
        Constant("too long").generate("hi"), [short()]
    )
    assert (result.value, result.attempts) == ("ok", 3)


async def test_when_all_fail_the_errors_come_out_as_one():
    """If no backend answers, one error has those of all of them."""
    errors = [ConnectError("one"), ConnectError("two")]
    with pytest.raises(SamplingError) as caught:
        await Fallback(Failing(errors[1])).sample(Failing(errors[0]).generate("hi"))
    assert caught.value.errors == tuple(errors)


async def test_a_list_with_the_own_backend_is_the_whole_order():
    """If the thunk's own backend is in the list, it is asked where it stands there."""
    own, other = Scripted(["own"]), Scripted([ConnectError("down")])
    result = await Fallback([other, own]).sample(own.generate("hi"))
    assert (result.value, other.calls, own.calls) == ("own", 1, 1)
    own = Scripted([ConnectError("down")])
    result = await Fallback([own, Constant("other")]).sample(own.generate("hi"))
    assert (result.value, own.calls) == ("other", 1)


async def test_what_is_meant_for_the_first_provider_only_is_not_sent_to_others():
    """The model's name and raw HTTP additions, which may hold a key, stay with the backend they were meant for."""
    first, second = Scripted([ConnectError("down")]), Scripted(["ok"])
    raw = HttpOptions(headers={"authorization": "Bearer secret"})
    thunk = first.generate("hi", model="big-1", http=raw, temperature=0.5, provider_options={"acme": {"x": 1}})
    await Fallback(second).sample(thunk)
    assert (first.requests[0].model, first.requests[0].http) == ("big-1", raw)
    assert (second.requests[0].model, second.requests[0].http) == (None, None)
    assert second.requests[0].options.temperature == 0.5
    assert second.requests[0].provider_options == {"acme": {"x": 1}}


async def test_escalation_asks_the_slow_model_only_when_the_fast_one_fails():
    """The slower model is asked when the answer of the fast one fails its checks, and not otherwise."""
    slow = Scripted(["ok", "never"])
    result = await Escalate(slow).sample(Constant("too long").generate("hi"), [short()])
    assert (result.value, slow.calls, result.winner._call.backend) == ("ok", 1, slow)
    result = await Escalate(slow).sample(Constant("yes").generate("hi"), [short()])
    assert (result.value, slow.calls) == ("yes", 1)


async def test_each_stage_may_be_a_run_of_another_strategy():
    """`inner` makes every stage several attempts: the fast model three times, then the slow one."""
    fast, slow = Scripted(["too long"] * 3), Scripted(["long again", "ok"])
    result = await Escalate(slow, inner=RejectionSampling()).sample(fast.generate("hi"), [short()])
    assert (result.value, fast.calls, slow.calls) == ("ok", 3, 2)
    assert [sample.lineage for sample in result.samples] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    best = await Fallback(Scripted(["a", "aaa", "aa"]), inner=BestOfN(3, score=lambda thunk: len(thunk.value))).sample(
        Failing(ConnectError("down")).generate("hi")
    )
    assert (best.value, best.attempts) == ("aaa", 6)


async def test_an_attempt_over_several_backends_is_made_again():
    """An error like a wrong key at the last backend of an attempt does not end the strategy around it."""
    backup = Scripted([AuthenticationError("not yet"), "ok"])
    strategy = RejectionSampling(inner=Fallback(backup))
    result = await strategy.sample(Failing(ConnectError("down")).generate("hi"), [short()])
    assert (result.value, result.attempts) == ("ok", 4)


async def test_what_went_wrong_inside_is_told_to_the_model():
    """Repair goes on from the failures of the runs of its inner strategy."""
    backup = Scripted(["not a number", "7"])
    thunk = Failing(ConnectError("down")).generate("hi", output=int)
    result = await RepairSampling(inner=Fallback(backup)).sample(thunk)
    assert (result.parsed_repr, "does not fit the output type" in backup.requests[1].text) == (7, True)


async def test_backends_may_race():
    """With concurrency, several backends are asked at once; the first good answer wins and the others are cancelled."""
    own, other = Calls(), Calls()
    async with sampling(Fallback(other, concurrency=2), own.generate("hi")) as run:
        await own.called(1)
        (await other.called(1))[0].answer("first")
    assert (run.result.value, own.ends) == ("first", ["cancelled"])


async def test_fewer_attempts_than_backends():
    """`max_samples` bounds how many backends are asked."""
    last = Scripted(["never"])
    with pytest.raises(SamplingError, match="max_samples"):
        await Fallback([Failing(ConnectError("two")), last], max_samples=2).sample(
            Failing(ConnectError("one")).generate("hi")
        )
    assert last.calls == 0


async def test_a_backend_may_be_named():
    """A backend may be given by name, as `mellite.backend` takes it; an unknown one is refused when it is named."""
    with pytest.raises(mellite.errors.ConfigurationError):
        Fallback("no-such-provider:model")
    with pytest.raises(mellite.errors.ConfigurationError):
        Escalate([Constant("x"), "no-such-provider:model"])
