"""Budget forcing: thinking that is too long is cut off, thinking that is too short goes on."""

from __future__ import annotations

import pytest
from anyio.lowlevel import checkpoint

from mellite import BudgetForcing, MajorityVote
from mellite.backends import Scripted
from mellite.errors import ConnectionLost, SamplingError
from mellite.events import (
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    ResponseStart,
    TextDelta,
    ToolCallEvent,
    Usage,
)
from mellite.messages import Reasoning, Text, ToolCall
from tests.strategies.sampling.support import Calls, sampling, short
from tests.thunk.support import blocked

pytestmark = pytest.mark.anyio


def thought(thinking: str, text: str, tokens: int | None = None, *, signed: bool = False) -> list:
    """An answer with thinking before it, in one piece for each word."""
    words = [ReasoningDelta(f"{word} ", id="r") for word in thinking.split()]
    metadata = {"acme": {"signature": "s"}} if signed else None
    usage = Usage.of(input_tokens=1, output_tokens=1, reasoning_tokens=tokens)
    end = [ReasoningEnd("r", provider_metadata=metadata), TextDelta(text), Finish("stop", usage=usage)]
    return [ResponseStart(provider="fake", model="thinker"), ReasoningStart("r"), *words, *end]


class Slowly(Scripted):
    """Sends one event after the other, so that readers can keep up, as over a network."""

    async def stream(self, request):
        stream = super().stream(request)
        try:
            async for event in stream:
                yield event
                for _ in range(4):
                    await checkpoint()
        finally:
            await stream.aclose()


def words(text: str) -> float:
    """A word is a token."""
    return len(text.split())


async def test_thinking_within_the_bounds_is_left_alone():
    """An answer whose thinking is neither too long nor too short is one call."""
    backend = Scripted([thought("a b c", "ok")])
    result = await BudgetForcing(3, least=3, count=words).sample(backend.generate("hi"), [short()])
    assert (result.value, backend.calls, result.success) == ("ok", 1, True)


async def test_thinking_that_is_too_long_is_cut_off():
    """At the first piece beyond the budget the generation is cancelled, and the next turn asks for the answer."""
    backend = Slowly([thought("one two three four five six seven eight nine ten", "never"), "ok"])
    result = await BudgetForcing(3, count=words, final="Answer!").sample(backend.generate("hi"), [short()])
    assert (result.value, result.success) == ("ok", True)
    cut, final = result.samples
    assert (cut.status, cut.lineage, final.lineage) == ("cancelled", (0,), (0, 0))
    assert cut.thunk.thinking.startswith("one two three four ")
    assert "nine" not in cut.thunk.thinking
    assert "its budget of thinking is spent" in str(cut.thunk._settled().error)
    assert [(message.role, message.text) for message in backend.requests[1].messages] == [
        ("user", "hi"),
        ("assistant", f"<think>\n{cut.thunk.thinking}\n</think>\n"),
        ("user", "Answer!"),
    ]


async def test_an_answer_that_is_there_already_is_taken():
    """An answer that is complete before the overspent budget could be noticed is not thrown away."""
    backend = Scripted([thought("one two three four five", "ok"), "never"])
    assert (await BudgetForcing(3, count=words).sample(backend.generate("hi"))).value == "ok"


async def test_thinking_in_the_text_counts_too():
    """Text between think tags at the start of an answer is thinking, however the provider cut it."""
    whole = "<think>one two three four</think>ok"
    for size in (1, 2, 3, 5, 40):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        backend = Slowly([pieces, "final"])
        strategy = BudgetForcing(3, count=lambda text: text.count("o"))
        assert (await strategy.sample(backend.generate("hi"))).value == whole, size
    endless = ["<th", "ink>", *["o "] * 50, "</think>never"]
    backend = Slowly([endless, "final"])
    result = await BudgetForcing(3, count=lambda text: text.count("o")).sample(backend.generate("hi"))
    assert (result.value, backend.calls) == ("final", 2)
    assert backend.requests[1].messages[1].text == result.samples[0].thunk.partial + "\n</think>"
    plain = Slowly([["no ", "<think>", *["o "] * 50]])
    result = await BudgetForcing(3, count=lambda text: text.count("o")).sample(plain.generate("hi"))
    assert (result.attempts, plain.calls) == (1, 1)


async def test_thinking_that_is_too_short_goes_on():
    """While the thinking is shorter than `least`, the model is asked to think again, in one conversation."""
    backend = Scripted([thought("a b", "first"), thought("c d", "second"), thought("e", "ok"), "never"])
    strategy = BudgetForcing(9, least=5, rounds=5, count=words, again="Wait.")
    result = await strategy.sample(backend.generate("hi"), [short()])
    assert (result.value, backend.calls) == ("ok", 3)
    assert [sample.lineage for sample in result.samples] == [(0,), (0, 0), (0, 1)]
    assert [sample.status for sample in result.samples] == ["unchecked", "unchecked", "passed"]
    assert [message.role for message in backend.requests[2].messages] == ["user", *["assistant", "user"] * 2]
    assert backend.requests[2].messages[-1].text == "Wait."
    assert result.usage.total_tokens == 6


async def test_it_is_asked_to_think_again_a_few_times_only():
    """A model that does not think is asked again `rounds` times, and its last answer is taken."""
    backend = Scripted(["one", "two", "ok"])
    result = await BudgetForcing(least=100, rounds=2).sample(backend.generate("hi"), [short()])
    assert (result.value, backend.calls) == ("ok", 3)


async def test_the_count_of_the_provider_is_what_counts():
    """Where the provider says how many tokens were thought, that is taken, and not the guess."""
    backend = Scripted([thought("hidden", "first", 40), thought("hidden", "ok", 60), "never"])
    result = await BudgetForcing(1000, least=100).sample(backend.generate("hi"))
    assert (result.value, backend.calls) == ("ok", 2)


async def test_signed_thinking_goes_back_as_it_came():
    """Thinking with the provider's signature goes back as it is; other thinking goes back as text."""
    backend = Scripted([thought("a", "first", signed=True), thought("b", "second"), "ok"])
    await BudgetForcing(least=9, rounds=2, count=words).sample(backend.generate("hi"))
    signed, unsigned = backend.requests[2].messages[1], backend.requests[2].messages[3]
    assert [type(part) for part in signed.content] == [Reasoning, Text]
    assert [type(part) for part in unsigned.content] == [Text]
    assert unsigned.text == "<think>\nb \n</think>\nsecond"


async def test_no_turn_is_empty():
    """A turn without any text says so: providers refuse empty messages; a tool call is left out."""
    backend = Scripted([[ToolCallEvent(ToolCall("c", "t", {})), Finish("tool-calls")], "ok"])
    await BudgetForcing(least=9, rounds=1).sample(backend.generate("hi"))
    assert backend.requests[1].messages[1].content == (Text("(no answer yet)"),)


async def test_the_final_answer_may_be_bounded():
    """`answer_tokens` is the longest final answer; the first call keeps the options of the thunk."""
    backend = Slowly([thought("a b c d e f g h", "never"), "ok"])
    strategy = BudgetForcing(2, count=words, answer_tokens=7)
    await strategy.sample(backend.generate("hi", max_tokens=500, temperature=0))
    assert [request.options.max_tokens for request in backend.requests] == [500, 7]
    assert backend.requests[1].options.temperature == 0


async def test_attempts_that_fail_are_made_again():
    """An error or a failed check is an attempt; the next one begins anew."""
    backend = Slowly([ConnectionLost("gone"), thought("a b c d e f", "never"), "too long", thought("a", "ok")])
    result = await BudgetForcing(2, count=words).sample(backend.generate("hi"), [short()])
    assert (result.value, backend.calls, result.stop_reason) == ("ok", 4, "accepted")
    assert [sample.lineage for sample in result.samples] == [(0,), (1,), (1, 0), (2,)]
    with pytest.raises(SamplingError):
        await BudgetForcing().sample(Scripted([ConnectionLost("gone")] * 3).generate("hi"))


async def test_without_success_the_last_turn_is_the_answer():
    """When no answer passes, the winner is the answer of a conversation, not a step on the way to it."""
    backend = Scripted([thought("a", "first step"), thought("b", "too long")])
    result = await BudgetForcing(least=9, rounds=1, max_samples=1).sample(backend.generate("hi"), [short()])
    assert (result.success, result.value) == (False, "too long")


async def test_a_cancelled_caller_leaves_nothing_open():
    """When the caller is cancelled while a model thinks, its stream is closed before the caller goes on."""
    backend = Calls()
    async with sampling(BudgetForcing(), backend.generate("hi")) as run:
        await backend.called(1)
        await blocked()
        run.scope.cancel()
        await run.over.wait()
        assert backend.ends == ["cancelled"]
        assert backend.open == 0


async def test_budgets_end_a_conversation():
    """When the budget of tokens is spent, no further turn is sent."""
    backend = Scripted([thought("a", "first"), thought("a", "second"), "never"])
    strategy = BudgetForcing(least=100, rounds=9, max_tokens=4)
    result = await strategy.sample(backend.generate("hi"))
    assert (backend.calls, result.stop_reason, result.value) == (2, "accepted", "second")


async def test_as_the_inner_strategy_of_a_vote():
    """Each vote may be thought over."""
    backend = Slowly([thought("a b c d e f", "never"), "7", thought("a", "7"), "never sent"])
    result = await MajorityVote(3, concurrency=1, inner=BudgetForcing(2, count=words)).sample(backend.generate("hi"))
    assert (result.value, result.stop_reason, backend.calls) == ("7", "decided", 3)
