"""Hooks of generations: what they are called with, what they may give, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import evolve

import mellite
from mellite import hooks
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.errors import CassetteMismatch, HookFailed, InvalidRequest, OutputValidationError, ProviderInternal
from mellite.events import Event, Finish, TextDelta
from tests.backends.wrappers.test_pushed_wrappers import STREAMED, WHOLE, live, server as server  # noqa: PLC0414
from tests.thunk.support import Gate, Source, blocked
from tests.wire.server import Server

pytestmark = pytest.mark.anyio

Backends = Callable[[], mellite.Backend]


def asked(request: mellite.Request, text: str) -> mellite.Request:
    """The same request with another message."""
    return evolve(request, messages=(mellite.Message.user(text),))


def noting(*, is_async: bool = False) -> tuple[list[Any], list[Any]]:
    """Hooks of all moments that write down what they are called with, and what they wrote."""
    told: list[Any] = []

    def before(request: mellite.Request) -> None:
        told.append(("before", request.text))

    def on_event(event: Event, request: mellite.Request) -> None:
        told.append((type(event).__name__, request.text))

    def on_error(error: Exception, thunk: Any) -> None:
        told.append(("error", error, thunk.state))

    def after(thunk: Any) -> None:
        told.append(("after", thunk.state, thunk.partial))

    def made(function: Callable[..., Any]) -> Callable[..., Any]:
        async def later(*args: Any) -> None:
            await blocked()
            function(*args)

        return later if is_async else function

    return [
        hooks.before("generation")(made(before)),
        hooks.on_event("generation")(made(on_event) if not is_async else functools.partial(made(on_event))),
        hooks.on_error("generation")(made(on_error)),
        hooks.after("generation")(made(after)),
    ], told


@pytest.mark.parametrize("is_async", [False, True])
async def test_all_moments_in_order(is_async: bool) -> None:
    """Before, each event, after, once each, sync or async; and whoever waits goes on after them."""
    noted, told = noting(is_async=is_async)
    with hooks.use(*noted):
        thunk = Source(["a", "b"]).generate("x")
        assert told == []
        assert await thunk == "ab"
    events = [("TextDelta", "x"), ("TextDelta", "x"), ("Finish", "x")]
    assert told == [("before", "x"), *events, ("after", "done", "ab")]
    await thunk
    assert await Source(["c"]).generate("y") == "c"
    assert len(told) == 5


@pytest.mark.parametrize("errors", ["log", "raise"])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("answer", [WHOLE, STREAMED])
async def test_over_a_server(server: Server, answer: Any, is_async: bool, errors: Any) -> None:
    """The same where answers are pushed, at once or in pieces."""
    noted, told = noting(is_async=is_async)
    script = server.script(*answer)
    async with live(script) as backend:
        with hooks.use(*noted, errors=errors):
            thunk = backend.generate("x", stream=answer is STREAMED)
            if answer is STREAMED:
                async for _ in thunk:
                    script.release("on")
            assert await thunk == "Hello!"
    assert told[0] == ("before", "x")
    assert [entry for entry in told[1:-1] if entry[0] == "TextDelta"]
    assert told[-2:] == [("Finish", "x"), ("after", "done", "Hello!")]


async def test_the_settled_copy_is_what_the_thunk_will_be() -> None:
    """The same text, output, metadata and call; another object."""
    seen: list[Any] = []
    with hooks.use(hooks.after("generation")(seen.append)):
        thunk = Source(["4", "2"]).generate("x", output=int)
        assert await thunk == 42
    [copied] = seen
    assert copied is not thunk
    assert (copied.is_computed(), copied.parsed_repr, copied.call) == (True, 42, thunk.call)
    assert copied.generation == thunk.generation
    assert copied.raw == thunk.raw
    assert await copied == 42


async def test_before_changes_what_is_sent_and_the_log_tells_it() -> None:
    """Hooks in front change the request one after the other; the thunk keeps its own."""
    source = Source(["a"])
    first = hooks.before("generation")(lambda request: asked(request, request.text + "1"))

    async def append(request: mellite.Request) -> mellite.Request:
        await blocked()
        return asked(request, request.text + "2")

    thunk = source.generate("x")
    with hooks.use(first, hooks.before("generation")(append)), hooks.use(first):
        await thunk
    assert [request.text for request in source.requests] == ["x112"]
    assert thunk.call.request.text == "x"
    assert thunk.generate_log is not None
    assert [message.text for message in thunk.generate_log.prompt] == ["x112"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_failures_and_cancellations(is_async: bool) -> None:
    """A failure is told to on_error and after, a cancellation to after alone."""
    noted, told = noting(is_async=is_async)
    with hooks.use(*noted):
        failed = await Failing(ProviderInternal("down")).generate("x").settle()
        assert told[-2:] == [("error", told[-2][1], "failed"), ("after", "failed", "")]
        assert type(told[-2][1]) is type(failed.error)
        unfit = await Constant("no number").generate("x", output=int).settle()
        assert isinstance(unfit.error, OutputValidationError)
        assert isinstance(told[-2][1], OutputValidationError)
        gate = Gate()
        source = Source(["a", "b"], gate=gate)
        thunk = source.generate("x")
        gate.allow()
        told.clear()
        deltas = aiter(thunk)
        await anext(deltas)
        with anyio.move_on_after(0.01):
            await anext(deltas)
        await thunk.cancel_generation("enough")
    assert (thunk.cancelled, thunk.partial) == (True, "a")
    assert told == [("before", "x"), ("TextDelta", "x"), ("after", "cancelled", "a")]
    assert source.open == 0


async def test_a_pushed_generation_that_is_cancelled(server: Server) -> None:
    """Its copy has the text so far, and comes once."""
    noted, told = noting()
    async with live(server.script(*STREAMED)) as backend:
        with hooks.use(*noted):
            thunk = backend.generate("x")
            async for _ in thunk:
                break
            await thunk.cancel_generation("enough")
    assert told[-1] == ("after", "cancelled", "Hello")
    assert [entry[0] for entry in told].count("after") == 1


async def test_those_of_the_task_that_drives_first_are_in_force() -> None:
    """Whoever only waits for a thunk brings no hooks to it."""
    told: list[str] = []

    def named(name: str) -> Any:
        return hooks.after("generation")(lambda _: told.append(name))

    gate = Gate()
    thunk = Source(["a"], gate=gate).generate("x")

    async def wait_with(name: str) -> None:
        with hooks.use(named(name)):
            await thunk

    async with anyio.create_task_group() as group:
        group.start_soon(wait_with, "first")
        await gate.reached(0)
        group.start_soon(wait_with, "second")
        await blocked()
        gate.allow(2)
    assert told == ["first"]


async def test_installed_hooks_reach_threads_and_sync_code() -> None:
    """Until they are removed, which may be done twice."""
    seen: list[str | None] = []
    remove = hooks.install(hooks.after("generation")(lambda thunk: seen.append(thunk.value)))
    try:
        await anyio.to_thread.run_sync(lambda: Constant("a").generate("x").result())
        await Constant("b").generate("x")
    finally:
        remove()
        remove()
    await Constant("c").generate("x")
    assert seen == ["a", "b"]


def test_sync_code() -> None:
    """Async hooks work for result() and iter(), too."""
    noted, told = noting(is_async=True)
    with hooks.use(*noted):
        assert Constant("a").generate("x").result() == "a"
        assert list(Constant("b").generate("x").iter()) == ["b"]
    assert [entry[0] for entry in told if entry[0] in ("before", "after")] == ["before", "after"] * 2


async def test_what_a_hook_generates_is_not_hooked() -> None:
    """A hook that asks a model does not call itself; what others ask meanwhile is hooked."""
    told: list[str] = []

    @hooks.before("generation")
    async def ask(request: mellite.Request) -> mellite.Request:
        told.append(request.text)
        return asked(request, await Echo().generate("inner " + request.text))

    with hooks.use(ask), hooks.use(hooks.before("generation")(lambda request: told.append("other " + request.text))):
        assert await Echo().generate("x") == "inner x"
    assert told == ["other x", "x", "other inner x"]


async def test_thunks_in_prompts_and_backends_that_ask_are_hooked() -> None:
    """Each generation is one, whoever drives it."""

    class Asks(mellite.Backend):
        async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
            yield TextDelta(await Constant("inner").generate("from the backend"))
            yield Finish("stop")

    told: list[str] = []
    with hooks.use(hooks.before("generation")(lambda request: told.append(request.text))):
        await Asks().generate(["x ", Constant("y").generate("part")])
    assert told == ["part", "x y", "from the backend"]


# Failures


async def broken_later(*_: Any) -> None:
    await blocked()
    raise ValueError("broken")


def broken(*_: Any) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("function", [broken, broken_later])
@pytest.mark.parametrize("moment", ["before", "after", "on_event"])
async def test_errors_are_logged_and_the_call_goes_on(
    moment: str, function: Any, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the hook, once for a call."""
    hook = getattr(hooks, moment)("generation")(function)
    with hooks.use(hook), caplog.at_level(logging.WARNING, "mellite"):
        assert await Source(["a", "b"]).generate("x") == "ab"
        async with live(server.script(*WHOLE)) as backend:
            assert await backend.generate("x", stream=False) == "Hello!"
    assert len(caplog.records) == 2
    assert f"the hook {__name__}.{function.__name__} failed" in caplog.text
    assert "ValueError: broken" in caplog.text


@pytest.mark.parametrize("function", [broken, broken_later])
@pytest.mark.parametrize("moment", ["before", "after", "on_event"])
async def test_errors_are_raised_and_the_text_is_kept(moment: str, function: Any, server: Server) -> None:
    """The thunk fails, what the hook raised is the cause, and hooks behind it are told."""
    hook = getattr(hooks, moment)("generation")(function)
    noted, told = noting()
    with hooks.use(hook, *noted, errors="raise"):
        thunk = await Source(["a", "b"]).generate("x").settle()
        async with live(server.script(*WHOLE)) as backend:
            pushed = await backend.generate("x", stream=False).settle()
    for each, text in ((thunk, "ab"), (pushed, "Hello!")):
        assert isinstance(each.error, HookFailed)
        assert each.error.hook == f"{__name__}.{function.__name__}"
        assert isinstance(each.error.__cause__, ValueError)
        assert each.partial == (text if moment == "after" else "")
    assert [entry[0] for entry in told].count("after") == 2


async def test_the_first_error_counts_for_more_than_that_of_a_hook(caplog: pytest.LogCaptureFixture) -> None:
    """A thunk that has failed keeps its error."""
    with hooks.use(hooks.after("generation")(broken), errors="raise"), caplog.at_level(logging.WARNING, "mellite"):
        thunk = await Failing(ProviderInternal("down")).generate("x").settle()
    assert isinstance(thunk.error, ProviderInternal)
    assert "broken" in caplog.text


async def test_a_stream_that_makes_no_answer_is_told_as_the_failure_that_it_is() -> None:
    """Two ends, what is not an event, no stream at all."""

    class NoStream(mellite.Backend):
        async def stream(self, request: mellite.Request) -> Any:
            return 3

    twice, odd = Source([TextDelta("a"), Finish("stop"), Finish("stop")]), Source([TextDelta("a"), 3])  # type: ignore[list-item]
    seen: list[Any] = []
    for backend, text in ((twice, "a"), (odd, "a"), (NoStream(), ""), (mellite.Hooked(twice), "a")):
        with hooks.use(hooks.after("generation")(seen.append)):
            thunk = await backend.generate("x").settle()
        bare = await backend.generate("x").settle()
        assert (thunk.state, thunk.partial, type(thunk.error)) == ("failed", text, type(bare.error))
        assert (seen[-1].state, seen[-1].partial) == ("failed", text)
    assert len(seen) == 4


async def test_a_request_with_a_thunk_in_it_is_a_failure() -> None:
    """Nothing would settle it, and its text would be missing."""
    inner = Constant("inner").generate("y")
    hook = hooks.before("generation")(lambda _: mellite.Request.of(["see ", inner]))
    with hooks.use(hook, errors="raise"):
        thunk = await Echo().generate("x").settle()
    assert "await that, and put its text" in str(thunk.error)


async def test_a_hook_in_front_that_fails_is_told_behind() -> None:
    """A thunk that was not sent has settled, too."""
    seen: list[Any] = []
    with hooks.use(hooks.before("generation")(broken), hooks.after("generation")(seen.append), errors="raise"):
        thunk = await Source(["a"]).generate("x").settle()
    assert [type(each.error) for each in (thunk, *seen)] == [HookFailed, HookFailed]


@pytest.mark.parametrize("errors", ["log", "raise"])
async def test_a_request_of_the_wrong_type(errors: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is not a request is never sent."""
    wrong = hooks.before("generation")(lambda _: "a text")
    with hooks.use(wrong, errors=errors), caplog.at_level(logging.WARNING, "mellite"):
        thunk = await Echo().generate("x").settle()
    said = "it returned a str, and not None or a Request"
    if errors == "log":
        assert (thunk.value, said in caplog.text) == ("x", True)
    else:
        assert said in str(thunk.error)
        assert "test_a_request_of_the_wrong_type" in str(thunk.error)


async def test_a_plain_function_that_returns_a_coroutine_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing would await it; it is closed without a warning of Python."""

    async def later(_: Any) -> None: ...

    def plain(given: Any) -> Any:
        return later(given)

    every = [getattr(hooks, moment)("generation")(plain) for moment in ("before", "on_event", "after")]
    with hooks.use(*every), caplog.at_level(logging.WARNING, "mellite"):
        assert await Echo().generate("x") == "x"
    assert [record.getMessage().count("async def") for record in caplog.records] == [1, 1, 1]


# What a hook is


@hooks.before("generation")
def add_mark(request: mellite.Request) -> mellite.Request:
    """Adds a mark."""
    return asked(request, request.text + "!")


async def test_a_hook_is_the_function_that_it_was_made_of() -> None:
    """It is called, documented and pickled as the function."""
    request = mellite.Request.of("x")
    assert add_mark(request).text == "x!"
    assert (add_mark.__name__, add_mark.__doc__) == ("add_mark", "Adds a mark.")
    assert repr(add_mark) == "before('generation')(add_mark)"
    assert pickle.loads(pickle.dumps(add_mark)) is add_mark
    assert pickle.loads(pickle.dumps(hooks.after("run")(print))) == hooks.after("run")(print)


async def test_methods_partials_objects_and_stacked_marks() -> None:
    """Whatever can be called can be a hook, for several moments."""

    class Marks:
        def __init__(self, mark: str) -> None:
            self.mark = mark
            self.seen: list[str] = []

        @hooks.before("generation")
        def add(self, request: mellite.Request) -> mellite.Request:
            return asked(request, request.text + self.mark)

        @hooks.after("generation")
        @hooks.before("run")
        async def note(self, thing: Any) -> None:
            self.seen.append(type(thing).__name__)

        async def __call__(self, request: mellite.Request) -> mellite.Request:
            return asked(request, request.text + "()")

    marks = Marks("?")
    assert marks.add(mellite.Request.of("x")).text == "x?"
    partial = hooks.before("generation")(
        functools.partial(lambda mark, request: asked(request, request.text + mark), "~")
    )
    with hooks.use(marks.add, partial, hooks.before("generation")(marks), marks.note):
        assert await Echo().generate("x") == "x?~()"
        assert await mellite.run(Echo(), "y") == "y?~()"
    assert marks.seen == ["ModelOutputThunk", "Request", "ModelOutputThunk"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: hooks.before("generatoin"), "did you mean 'generation'"),
        (lambda: hooks.after("nonsense"), "the kinds are"),
        (lambda: hooks.before(print), 'write @hooks.before\\("generation"\\)'),
        (lambda: hooks.around("run"), "it is there for generation and tool"),
        (lambda: hooks.on_event("tool"), "it is there for generation"),
        (lambda: hooks.before("tool")(3), "not with 3"),
        (lambda: hooks.use(print), "print is not a hook: write"),
        (lambda: hooks.install(3), "3 is not a hook: hooks are made by"),
        (lambda: hooks.use(add_mark, errors="ignore"), 'is "log" or "raise"'),
        (lambda: mellite.Hooked(Echo(), print), "print is not a hook"),
        (lambda: mellite.Hooked(Echo(), hooks.after("sampling")(print)), "take mellite.hooks.use"),
    ],
)
def test_bad_input(make: Callable[[], Any], said: str) -> None:
    """The error says what was wrong and what to write."""
    with pytest.raises(InvalidRequest, match=said):
        make()


# With what stands beside them


async def test_hooks_outside_share_see_the_one_generation_and_those_inside_each_thunk() -> None:
    """A prompt is changed once, wherever hooks and sharing stand."""
    outer, inner = [], []
    source = Source(["a"])
    add = hooks.before("generation")(lambda request: asked(request, request.text + "+"))
    with hooks.use(add, hooks.after("generation")(outer.append)), mellite.share() as shared:
        results = await mellite.gather(source.generate("x"), source.generate("x"))
    assert (results.texts, shared.saved, len(outer)) == (["a", "a"], 1, 1)
    assert [request.text for request in source.requests] == ["x+"]
    with mellite.share() as shared, hooks.use(add, hooks.after("generation")(inner.append)):
        results = await mellite.gather(source.generate("y"), source.generate("y"))
    assert (results.texts, shared.saved, len(inner)) == (["a", "a"], 1, 2)
    assert [request.text for request in source.requests] == ["x+", "y+"]


async def test_sampling_and_streams() -> None:
    """The generations of strategies and streams are generations like any other."""
    noted, told = noting()
    with hooks.use(*noted):
        backend = Scripted(["no", "yes"])
        result = await mellite.RejectionSampling(max_samples=2).sample(
            backend.generate("x"), [mellite.requirements.contains("yes")]
        )
        assert result.success
        async with mellite.stream(Source(["One. ", "Two."]).generate("y"), chunking="sentences") as stream:
            assert "".join([chunk async for chunk in stream]) == "One. Two."
    assert [entry for entry in told if entry[0] == "after"] == [
        ("after", "done", "no"),
        ("after", "done", "yes"),
        ("after", "done", "One. Two."),
    ]


async def test_replayed_answers() -> None:
    """What comes from a cassette is told with that; where a prompt is changed, the cassette has no answer."""
    recording = files("mellite") / "demo_cassettes" / "chat.json"
    noted, told = noting()
    seen: list[Any] = []
    with hooks.use(*noted, hooks.after("generation")(seen.append)):
        async with mellite.backend(f"cassette:{recording}") as backend:
            assert "Danube" in await backend.generate("Name three rivers.", system="Be brief.")
    assert [copied.generation.replayed for copied in seen] == [True]
    assert (told[0], told[-1][:2]) == (("before", "Name three rivers."), ("after", "done"))
    with hooks.use(hooks.before("generation")(lambda request: asked(request, "Name three lakes.")), *noted):
        async with mellite.backend(f"cassette:{recording}") as backend:
            thunk = await backend.generate("Name three rivers.", system="Be brief.").settle()
    assert isinstance(thunk.error, CassetteMismatch)
    assert told[-1] == ("after", "failed", "")


def test_one_set_of_hooks_in_two_loops() -> None:
    """Hooks belong to no loop."""
    noted, told = noting(is_async=True)
    with hooks.use(*noted):
        for _ in range(2):
            assert asyncio.run(Echo().generate("x").avalue()) == "x"
    assert len([entry for entry in told if entry[0] == "after"]) == 2
