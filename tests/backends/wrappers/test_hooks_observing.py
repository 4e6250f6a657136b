"""Hooks that observe: samplings, checks, chunks and steps."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

import mellite
from mellite import hooks, steps
from mellite.backends import Constant, Failing, Scripted
from mellite.errors import HookFailed, ProviderInternal, SamplingError
from mellite.requirements import contains, custom
from tests.thunk.support import Source, blocked

pytestmark = pytest.mark.anyio


class Told(list[Any]):
    """What hooks were told, and the hooks."""

    def hook(self, moment: str, kind: Any, *, is_async: bool) -> Any:
        def note(*args: Any) -> None:
            self.append((moment, kind, *args))

        async def later(*args: Any) -> None:
            await blocked()
            note(*args)

        return getattr(hooks, moment)(kind)(later if is_async else note)

    def hooks(self, kind: Any, *, is_async: bool) -> list[Any]:
        return [self.hook(moment, kind, is_async=is_async) for moment in ("before", "after", "on_error")]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    """Whether the hooks are async."""
    return bool(request.param)


async def test_samplings(is_async: bool) -> None:
    """Told with the strategy and the result, or the error."""
    told = Told()
    strategy = mellite.RejectionSampling(max_samples=2)
    with hooks.use(*told.hooks("sampling", is_async=is_async)):
        result = await strategy.sample(Scripted(["no", "yes"]).generate("x"), [contains("yes")])
        assert told == [("before", "sampling", strategy), ("after", "sampling", result, strategy)]
        told.clear()
        with pytest.raises(SamplingError) as caught:
            await mellite.BestOfN(2, score=len).sample(Failing(ProviderInternal("down")).generate("x"))
    assert [entry[0] for entry in told] == ["before", "on_error"]
    assert told[1][2] is caught.value


async def test_checks(is_async: bool) -> None:
    """Told before the checks, with the verdicts, and with what a check raised."""
    told = Told()

    async def slow(_: Any) -> bool:
        await blocked()
        return True

    def broken(_: Any) -> bool:
        raise KeyError("no")

    with hooks.use(*told.hooks("validation", is_async=is_async)):
        found = await mellite.check("text", [contains("t")])
        assert [entry[0] for entry in told] == ["before", "after"]
        assert (told[0][2].value, len(told[0][3]), list(told[1][3])) == ("text", 1, found)
        await mellite.check("text", [contains("t"), custom(slow)])
        assert [entry[0] for entry in told[2:]] == ["before", "after"]
        told.clear()
        [verdict] = await mellite.check("text", [custom(broken)])
    assert [entry[0] for entry in told] == ["before", "on_error", "after"]
    assert told[1][2] is verdict.error


async def test_chunks(is_async: bool) -> None:
    """Told before the checks of a chunk and behind it, with the verdict that failed one."""
    told = Told()
    no_bad = mellite.Requirement("no bad", check_chunk=lambda chunk, _: "bad" not in chunk)
    with hooks.use(*told.hooks("chunk", is_async=is_async)):
        async with mellite.stream(
            Source(["good ", "bad ", "end"]).generate("x"), requirements=[no_bad], chunking="words"
        ) as stream:
            chunks = [str(chunk) async for chunk in stream]
    assert chunks == ["good "]
    assert [(entry[0], str(entry[2]).strip()) for entry in told][:3] == [
        ("before", "good"),
        ("after", "good"),
        ("before", "bad"),
    ]
    [verdict] = [verdict for entry in told if entry[0] == "after" for verdict in entry[3]]
    assert not verdict


async def test_steps(is_async: bool) -> None:
    """Told with the step and its payload, also of one that failed."""
    told = Told()
    config = steps.LLMCallConfig("fake", "toy-1", prompt="abc")
    with hooks.use(*told.hooks("step", is_async=is_async)):
        payload = await steps.run_llm_call("flow", "step", config)
        failed = await steps.run_llm_call("flow", "bad", steps.LLMCallConfig("no-such", "toy-1", prompt="abc"))
    assert [entry[0] for entry in told] == ["before", "after", "before", "on_error", "after"]
    assert (told[0][2].step_id, told[1][2].step_id, told[1][3]) == ("step", "step", payload)
    assert (failed["status"], told[4][3]) == ("error", failed)


async def test_failures_are_logged(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    """One warning for each call, and everything goes on."""

    def broken(*_: Any) -> None:
        raise ValueError("broken")

    async def later(*_: Any) -> None:
        broken()

    function = later if is_async else broken
    every = [
        getattr(hooks, moment)(kind)(function)
        for kind in ("sampling", "validation", "chunk", "step")
        for moment in ("before", "after")
    ]
    with hooks.use(*every), caplog.at_level(logging.WARNING, "mellite"):
        result = await mellite.RejectionSampling().sample(Constant("yes").generate("x"), [contains("yes")])
        assert result.success
        assert len(caplog.records) == 4
        async with mellite.stream(Source(["good"]).generate("x")) as stream:
            assert [str(chunk) async for chunk in stream] == ["good"]
        assert len(caplog.records) == 6
        await steps.run_llm_call("flow", "step", steps.LLMCallConfig("fake", "toy-1", prompt="abc"))
    assert len(caplog.records) == 8


async def test_failures_are_raised(is_async: bool) -> None:
    """Whatever the hook observed fails with HookFailed."""

    def broken(*_: Any) -> None:
        raise ValueError("broken")

    async def later(*_: Any) -> None:
        broken()

    function = later if is_async else broken
    config = steps.LLMCallConfig("fake", "toy-1", prompt="abc")
    for moment in ("before", "after"):
        hook = getattr(hooks, moment)
        with hooks.use(hook("sampling")(function), errors="raise"), pytest.raises(HookFailed, match="broken"):
            await mellite.RejectionSampling().sample(Constant("yes").generate("x"), [contains("yes")])
        with hooks.use(hook("validation")(function), errors="raise"), pytest.raises(HookFailed, match="broken"):
            await mellite.check("text", [contains("t")])
        with hooks.use(hook("step")(function), errors="raise"), pytest.raises(HookFailed, match="broken"):
            await steps.run_llm_call("flow", "step", config)
        with hooks.use(hook("chunk")(function), errors="raise"):
            async with mellite.stream(Source(["One. ", "Two. ", "Three."]).generate("x")) as stream:
                with pytest.raises(HookFailed, match="broken"):
                    [chunk async for chunk in stream]
            assert isinstance(stream.error, HookFailed)
            assert not stream.success
            assert "One. Two. Three.".startswith(stream.thunks[-1].partial)


async def test_a_hook_that_hangs_can_be_cancelled() -> None:
    """It holds up no cancellation."""

    async def hang(*_: Any) -> None:
        await anyio.sleep_forever()

    with hooks.use(hooks.before("sampling")(hang)), anyio.move_on_after(0.02) as scope:
        await mellite.RejectionSampling().sample(Constant("yes").generate("x"), [contains("yes")])
    assert scope.cancelled_caught
