"""T9, copies: they keep the call and, if settled, the outputs; what is in flight is fresh."""

from __future__ import annotations

import ast
import copy
import gc
import pickle
import threading
import types
import weakref
from typing import Annotated, ClassVar

import anyio
import attrs
import msgspec
import pytest

import mellite
from mellite import events as e
from mellite.backends.fake import Constant, Echo, Failing, Scripted
from mellite.errors import BackendError, ConnectionLost, GenerationCancelled, InvalidRequest, UnknownOption
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.messages import Message, ToolCall
from tests.thunk.support import Consumer, Gate, Source, blocked, caught, collect, collected_then, full_answer, run_child

pytestmark = pytest.mark.anyio


class Book(mellite.Backend):
    """A backend by configuration: it is pickled by its name, and its calls are counted in one place."""

    calls: ClassVar[dict[str, int]] = {}

    def __init__(self, name="book", error=None):
        self.name = name
        self.error = error

    def __reduce__(self):
        return (Book, (self.name, self.error))

    async def stream(self, request):
        Book.calls[self.name] = Book.calls.get(self.name, 0) + 1
        for event in full_answer()[:-1]:
            yield event
        if request.text == "wait":
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error
        yield full_answer()[-1]


@pytest.fixture(autouse=True)
def _no_calls():
    Book.calls.clear()


STATES = ["pending", "running", "done", "failed", "cancelled"]
SETTLED = ["done", "failed", "cancelled"]
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thunk: pickle.loads(pickle.dumps(thunk)),
}


async def thunk_in(state, *, prompt="hi", **options):
    """A thunk in this state; a running one is paused after its first delta."""
    options.setdefault("temperature", 0.5)
    backend = Book(error=ConnectionLost("gone", retry_after=3.0) if state == "failed" else None)
    thunk = mellite.generate(backend, "wait" if state in ("running", "cancelled") else prompt, **options)
    if state in ("done", "failed"):
        await thunk.settle()
    if state in ("running", "cancelled"):
        async for _ in thunk:
            break
    if state == "cancelled":
        await thunk.cancel_generation("enough")
    assert thunk.state == state
    return thunk


async def end(*thunks):
    """Cancel what is still running, so that no test leaves something behind."""
    for thunk in thunks:
        await thunk.cancel_generation()


OUTPUTS = [
    "state",
    "value",
    "partial",
    "parsed_repr",
    "thinking",
    "tool_calls",
    "message",
    "generation",
    "generate_log",
    "cancelled",
]


def same_error(one, other):
    return type(one) is type(other) and one.args == other.args and vars(one) == vars(other)


class TestEveryStateInEveryWay:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", STATES)
    async def test_keeps_the_call(self, state, way):
        """A copy asks the same thing of the same backend, or of one that was made of the same settings."""
        thunk = await thunk_in(state)
        other = WAYS[way](thunk)
        assert other is not thunk
        assert type(other) is type(thunk)
        assert other._call.request == thunk._call.request
        assert other._call.request.options.temperature == 0.5
        if way == "pickle":
            assert (type(other._call.backend), other._call.backend.name) == (Book, "book")
        else:
            assert other._call.backend is thunk._call.backend
        await end(thunk)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", STATES)
    async def test_what_is_in_flight_is_fresh(self, state, way):
        """A copy shares nothing that is in flight, and is not a consumer."""
        thunk = await thunk_in(state)
        other = WAYS[way](thunk)
        assert other._gen is not thunk._gen
        assert type(other._gen) is type(thunk._gen)
        await end(thunk)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", ["pending", "running"])
    async def test_unsettled_ones_give_pending_ones(self, state, way):
        """A copy of a pending or running thunk is pending, without outputs, and makes its own call."""
        thunk = await thunk_in(state)
        calls = Book.calls.get("book", 0)
        other = WAYS[way](thunk)
        assert (other.state, other.partial, other.generate_log, other.value) == ("pending", "", None, None)
        async for _ in other:
            break
        assert Book.calls["book"] == calls + 1
        await end(thunk, other)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", ["pending", "running"])
    async def test_unsettled_ones_are_left_alone(self, state, way):
        """Copying does not disturb the original, nor does cancelling the copy."""
        thunk = await thunk_in(state)
        other = WAYS[way](thunk)
        await other.cancel_generation()
        assert thunk.state == state
        await end(thunk)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", SETTLED)
    async def test_settled_ones_keep_their_outputs(self, state, way):
        """A copy of a settled thunk has equal outputs, for every way of reading it, and calls nothing."""
        thunk = await thunk_in(state)
        calls = dict(Book.calls)
        other = WAYS[way](thunk)
        for name in OUTPUTS:
            assert getattr(other, name) == getattr(thunk, name), name
        for name in ("provider", "protocol", "response", "status", "headers", "request_body", "streamed_chunks"):
            assert getattr(other.raw, name) == getattr(thunk.raw, name), name
        assert type(other.raw) is type(thunk.raw)
        assert (await collected_then(other.events()))[0] == (await collected_then(thunk.events()))[0]
        assert (await collected_then(other))[0] == (await collected_then(thunk))[0]
        assert type(await caught(other)) is type(await caught(thunk))
        assert Book.calls == calls

    @pytest.mark.parametrize("way", ["copy", "deepcopy"])
    async def test_errors_are_shared(self, way):
        """A copy of a failed thunk raises the same error object, with a traceback that does not grow."""
        thunk = await thunk_in("failed")
        other = WAYS[way](thunk)
        assert other.error is thunk.error
        assert await caught(other) is thunk.error

    async def test_errors_are_pickled(self):
        """A pickled error has the same type, text and details, the usage and partial text among them."""
        thunk = await thunk_in("failed")
        other = pickle.loads(pickle.dumps(thunk))
        assert same_error(other.error, thunk.error)
        assert (other.error.partial, other.error.retry_after) == (thunk.partial, 3.0)
        assert await caught(other) is other.error

    @pytest.mark.parametrize("way", WAYS)
    async def test_cancelled_ones_keep_the_reason(self, way):
        """A copy of a cancelled thunk raises GenerationCancelled with the same reason."""
        other = WAYS[way](await thunk_in("cancelled"))
        error = await caught(other)
        assert isinstance(error, GenerationCancelled)
        assert error.reason == "enough"

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("state", STATES)
    async def test_copy_of_a_copy(self, state, way):
        """A copy can be copied again, in every way."""
        thunk = await thunk_in(state)
        first = WAYS[way](thunk)
        for again in WAYS.values():
            second = again(first)
            assert second.state == first.state
            assert second._call.request == first._call.request
            assert second.partial == first.partial
        await end(thunk)

    @pytest.mark.parametrize("way", WAYS)
    async def test_output_type(self, way):
        """The output type is kept, and so is the parsed value."""
        thunk = mellite.generate(Constant("[1, 2]"), "hi", output=list[int])
        assert await WAYS[way](thunk) == [1, 2]
        await thunk
        assert await WAYS[way](thunk) == [1, 2]


class TestIdentity:
    async def test_compared_by_identity(self):
        """A copy is equal to itself only, and both can be keys of one dict."""
        thunk = mellite.generate(Echo(), "hi")
        other = copy.copy(thunk)
        assert thunk != other
        assert len({thunk: 1, other: 2}) == 2
        assert thunk == thunk  # noqa: PLR0124

    async def test_weakly_referable(self):
        """A thunk can be referred to weakly."""
        thunk = mellite.generate(Echo(), "hi")
        assert weakref.ref(thunk)() is thunk

    async def test_has_slots(self):
        """A misspelled attribute is an error."""
        thunk = mellite.generate(Echo(), "hi")
        with pytest.raises(AttributeError):
            thunk.vaule = "x"
        assert not hasattr(thunk, "__dict__")

    async def test_call_is_frozen(self):
        """The call cannot be changed."""
        thunk = mellite.generate(
            Echo(), [Message.user("one"), Message.assistant("two"), Message.user("three")], top_p=1
        )
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            thunk._call.backend = None
        assert thunk._call.action.text == "three"
        assert [message.text for message in thunk._call.context] == ["one", "two"]
        assert thunk._call.model_options == {"top_p": 1}


class TestLineage:
    @pytest.mark.parametrize("state", ["pending", "running"])
    async def test_copies_are_numbered(self, state):
        """A copy of an unsettled thunk has its parent's lineage and the number of copies made before it."""
        thunk = await thunk_in(state)
        assert thunk._call.lineage == ()
        copies = [copy.copy(thunk), copy.deepcopy(thunk), *thunk.resample(2), copy.copy(thunk)]
        assert [other._call.lineage for other in copies] == [(0,), (1,), (2,), (3,), (4,)]
        assert thunk._call.lineage == ()
        await end(thunk)

    async def test_copies_of_copies(self):
        """A copy's copies continue its lineage; siblings have numbers of their own."""
        thunk = mellite.generate(Book(), "hi")
        first, second = thunk.resample(2)
        assert [other._call.lineage for other in first.resample(2)] == [(0, 0), (0, 1)]
        assert copy.copy(second)._call.lineage == (1, 0)
        assert copy.deepcopy(copy.copy(first))._call.lineage == (0, 2, 0)

    async def test_only_the_lineage_differs(self):
        """Of a pending copy's call only the lineage differs."""
        thunk = mellite.generate(Book(), "hi", system="be brief", temperature=0.1, metadata={"k": "v"})
        for way in ("copy", "deepcopy"):
            call = WAYS[way](thunk)._call
            assert call.request == thunk._call.request
            assert call.backend is thunk._call.backend
            assert call.lineage != thunk._call.lineage

    @pytest.mark.parametrize("way", ["copy", "deepcopy"])
    @pytest.mark.parametrize("state", SETTLED)
    async def test_settled_copies_keep_it(self, state, way):
        """A settled copy keeps the lineage of the original."""
        thunk = copy.copy(mellite.generate(Book(error=ConnectionLost("gone") if state == "failed" else None), "hi"))
        if state == "cancelled":
            await thunk.cancel_generation()
        await thunk.settle()
        assert thunk.state == state
        assert WAYS[way](thunk)._call.lineage == thunk._call.lineage == (0,)

    @pytest.mark.parametrize("way", WAYS)
    async def test_settled_copies_take_the_counter_over(self, way):
        """A settled copy counts on from where the original was, so that no two samples have the same lineage."""
        thunk = mellite.generate(Book(), "hi")
        thunk.resample(3)
        await thunk
        other = WAYS[way](thunk)
        assert other.resample(1)[0]._call.lineage == (3,)
        assert thunk.resample(1)[0]._call.lineage == (3,)

    @pytest.mark.parametrize("state", STATES)
    async def test_a_pickle_keeps_it_and_does_not_count(self, state):
        """A pickle keeps lineage and counter, and is not counted as a copy."""
        thunk = await thunk_in(state)
        thunk.resample(2)
        others = [pickle.loads(pickle.dumps(thunk)) for _ in range(3)]
        assert [other._call.lineage for other in others] == [()] * 3
        assert [other.resample(1)[0]._call.lineage for other in others] == [(2,)] * 3
        assert thunk.resample(1)[0]._call.lineage == (2,)
        await end(thunk)

    async def test_the_backend_is_told(self):
        """When driven, the request that the backend sees has the lineage in its metadata, beside what was there."""
        backend = Source()
        thunk = mellite.generate(backend, "hi", metadata={"mine": 1})
        await mellite.gather(thunk, *thunk.resample(2))
        seen = sorted((request.metadata["lineage"], request.metadata["mine"]) for request in backend.requests)
        assert seen == [((), 1), ((0,), 1), ((1,), 1)]
        assert "lineage" not in thunk._call.request.metadata

    async def test_threads_never_get_the_same(self):
        """Threads that copy one thunk at the same time get different lineages."""
        thunk = mellite.generate(Book(), "hi")
        got = []
        threads = [
            threading.Thread(target=lambda: got.extend(copy.copy(thunk)._call.lineage for _ in range(200)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(got)) == len(got) == 1_600


class TestResample:
    @pytest.mark.parametrize("state", STATES)
    async def test_of_every_state(self, state):
        """`resample(n)` gives n pending thunks that ask the same thing again, whatever state the thunk is in."""
        thunk = await thunk_in(state)
        others = thunk.resample(3)
        assert isinstance(others, list)
        assert [other.state for other in others] == ["pending"] * 3
        assert [other.partial for other in others] == [""] * 3
        assert [other._call.request for other in others] == [thunk._call.request] * 3
        assert [other._call.backend is thunk._call.backend for other in others] == [True] * 3
        assert thunk.state == state
        await end(thunk)

    async def test_each_makes_its_own_call(self):
        """Resampled thunks generate anew, each once."""
        backend = Scripted(["a", "b", "c", "d"])
        thunk = mellite.generate(backend, "hi")
        assert await thunk == "a"
        assert [await other for other in thunk.resample(3)] == ["b", "c", "d"]
        assert await thunk == "a"

    async def test_with_options(self):
        """Options given to it replace the thunk's own; the others stay, and so does the thunk."""
        thunk = mellite.generate(Echo(), "hi", temperature=0.1, seed=7)
        (other,) = thunk.resample(1, temperature=0.9, max_tokens=5)
        assert other._call.request.options.given() == {"temperature": 0.9, "seed": 7, "max_tokens": 5}
        assert other._call.request.messages == thunk._call.request.messages
        assert thunk._call.request.options.given() == {"temperature": 0.1, "seed": 7}

    async def test_with_a_misspelled_option(self):
        """A misspelled option is refused, with the nearest name."""
        with pytest.raises(UnknownOption, match="temperature"):
            mellite.generate(Echo(), "hi").resample(2, temprature=1)

    @pytest.mark.parametrize("n", [-1, "3", 1.5, None])
    async def test_wrong_number(self, n):
        """A number of copies that makes no sense is a typed error."""
        with pytest.raises(InvalidRequest):
            mellite.generate(Echo(), "hi").resample(n)

    async def test_settled_together(self):
        """`gather(*thunk.resample(5))` is five answers, as the design says."""
        backend = Scripted([lambda request: str(request.metadata["lineage"][-1])] * 5)
        again = await mellite.gather(*mellite.generate(backend, "hi").resample(5))
        assert [thunk.value for thunk in again] == list("01234")


class TestThunksInPrompts:
    async def test_copy_shares_them(self):
        """A copy shares the thunks in the prompt: they are generated once."""
        part = Source(["inner"])
        inner = mellite.generate(part, "hi")
        outer = mellite.generate(Echo(), ["say ", inner])
        others = [copy.copy(outer), *outer.resample(2, temperature=1)]
        assert {thunk.value for thunk in await mellite.gather(outer, *others)} == {"say inner"}
        assert part.calls == 1

    async def test_deepcopy_copies_them(self):
        """A deepcopy has thunks of its own in the prompt, which make their own call."""
        part = Source(["inner"])
        inner = mellite.generate(part, "hi")
        outer = mellite.generate(Echo(), ["say ", inner])
        other = copy.deepcopy(outer)
        assert part_of(other) is not inner
        assert part_of(other)._call.lineage == (0,)
        await mellite.gather(outer, other)
        assert part.calls == 2

    async def test_deepcopy_of_settled_ones(self):
        """A deepcopy takes settled thunks in the prompt as settled."""
        part = Source(["inner"])
        inner = mellite.generate(part, "hi")
        await inner
        other = copy.deepcopy(mellite.generate(Echo(), ["say ", inner]))
        assert part_of(other).state == "done"
        assert part_of(other) is not inner
        assert await other == "say inner"
        assert part.calls == 1

    async def test_deepcopy_of_one_that_is_there_twice(self):
        """A thunk that stands twice in a prompt is one thunk in the deepcopy too."""
        part = Source(["x"])
        inner = mellite.generate(part, "hi")
        other = copy.deepcopy(mellite.generate(Echo(), [inner, " and ", inner]))
        assert await other == "x and x"
        assert part.calls == 1

    async def test_deepcopy_of_a_list(self):
        """A list that has one thunk twice is copied to a list that has one copy twice."""
        thunk = mellite.generate(Echo(), "hi")
        first, second = copy.deepcopy([thunk, thunk])
        assert first is second
        assert first is not thunk

    async def test_deepcopy_of_a_sample_and_its_part(self):
        """Copied together, a thunk and the one that has it in its prompt stay together."""
        part = Source(["x"])
        inner = mellite.generate(part, "hi")
        outer = mellite.generate(Echo(), [inner])
        inner_copy, outer_copy = copy.deepcopy([inner, outer])
        assert part_of(outer_copy) is inner_copy

    @pytest.mark.parametrize("settled", [False, True])
    async def test_pickle_takes_them_along(self, settled):
        """A pickle has the thunks in the prompt with it."""
        inner = mellite.generate(Constant("inner"), "hi")
        if settled:
            await inner
        other = pickle.loads(pickle.dumps(mellite.generate(Echo(), ["say ", inner])))
        assert part_of(other).state == ("done" if settled else "pending")
        assert await other == "say inner"


def part_of(thunk):
    """The thunk among the parts of the prompt."""
    (part,) = {part for part in thunk._call.request.messages[-1].content if isinstance(part, mellite.ModelOutputThunk)}
    return part


ATOMS = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.TracebackType,
    types.FrameType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    BaseException,
)


def mutable_parts(thunk):
    """Every object reachable from a thunk that can be changed, by id, but for its backend and its errors."""
    backend = thunk._call.backend
    found, seen, waiting = {}, set(), [thunk]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or item is backend or item is mellite.request.EMPTY or isinstance(item, ATOMS):
            continue
        seen.add(id(item))
        waiting.extend(gc.get_referents(item))
        if not is_value(item):
            found[id(item)] = item
    return found


def is_value(item):
    """Whether an object is one that nobody can change."""
    kind = type(item)
    if kind.__hash__ is None:
        return False
    if isinstance(item, (str, bytes, int, float, complex, tuple, frozenset, type(None), range)):
        return True
    if kind.__module__ in ("datetime", "decimal", "mellite.request", "mellite.messages", "mellite.events"):
        return True  # frozen, all of them
    return attrs.has(kind) and kind.__setattr__ is not object.__setattr__


class TestDeepcopyOfOutputTypes:
    @pytest.mark.parametrize("make", [mellite.generate, mellite.run], ids=["thunk", "run"])
    async def test_annotated_with_what_cannot_be_copied(self, make):
        """A deepcopy shares the output type, pending and settled: it may hold what Python cannot copy."""
        pending = make(Constant("[3]"), "hi", output=list[Annotated[int, msgspec.Meta(ge=0)]])
        assert await copy.deepcopy(pending) == [3]
        assert await pending == [3]
        assert copy.deepcopy(pending).parsed_repr == [3]

    @pytest.mark.parametrize("settled", [False, True])
    @pytest.mark.parametrize("make", [mellite.generate, mellite.run], ids=["thunk", "run"])
    async def test_annotated_with_limits_is_pickled(self, make, *, settled):
        """A pickle has the limits of the output type with it."""
        limits = msgspec.Meta(ge=1, description="how many", examples=[2], extra={"unit": "s"})
        output = dict[str, Annotated[int, limits] | None]
        thunk = make(Constant('{"a": 3}'), "hi", output=output)
        if settled:
            await thunk
        other = pickle.loads(pickle.dumps(thunk))
        assert other.call.request.output == output
        assert await other == {"a": 3}

    def test_limits_are_read_in_another_process(self):
        """Nothing has to be imported first where the pickle is read."""
        pickled = pickle.dumps(mellite.generate(Constant("3"), "hi", output=Annotated[int, msgspec.Meta(ge=1)]))
        ran = run_child(f"import pickle; print(pickle.loads({pickled!r}).result())")
        assert ran.stdout.strip() == "3"


class TestDeepcopyAliasesNothing:
    @pytest.mark.parametrize("state", STATES)
    async def test_mutable(self, state):
        """Walking both object graphs, a deepcopy and its original have no mutable object in common but the backend."""
        mine = {"a": [1, {"b": [2]}]}
        tool = mellite.request.ToolDefinition("look", input_schema={"type": "object", "properties": {"x": {}}})
        thunk = await thunk_in(
            state,
            metadata=mine,
            tools=[tool],
            provider_options={"acme": {"deep": [1]}},
            http=mellite.request.HttpOptions(body={"x": [1]}),
        )
        other = copy.deepcopy(thunk)
        shared = mutable_parts(thunk).keys() & mutable_parts(other).keys()
        assert [mutable_parts(thunk)[key] for key in shared] == []
        await end(thunk)

    async def test_mutable_parts_of_a_prompt(self):
        """Nor when the prompt has tool calls, results, provider metadata and thunks in it."""
        history = [
            Message.user("look"),
            Message.assistant(ToolCall("c", "f", {"x": [1]}, provider_metadata={"acme": {"s": [1]}})),
            Message.tool(mellite.messages.ToolResult("c", "f", {"y": [2]})),
            Message.user("say ", mellite.generate(Book(), "hi")),
        ]
        thunk = mellite.generate(Book(), history)
        other = copy.deepcopy(thunk)
        shared = mutable_parts(thunk).keys() & mutable_parts(other).keys()
        inner = part_of(thunk)._call.backend
        assert [
            item for key in shared if (item := mutable_parts(thunk)[key]) is not inner and item is not vars(inner)
        ] == []

    async def test_changing_one_changes_only_it(self):
        """Changing what can be changed in one leaves the other as it was."""
        thunk = await thunk_in("done")
        other = copy.deepcopy(thunk)
        thunk.raw.response["choices"].append("mine")
        thunk.raw.headers["x"] = "mine"
        thunk.tool_calls[0].arguments["q"].append("mine")
        thunk.generation.usage.raw["in"].append(9)
        assert other.raw.response == {"choices": [{"text": "Hello."}]}
        assert other.raw.headers == {"x-request-id": "r1"}
        assert other.tool_calls[0].arguments == {"q": ["x"]}
        assert other.generation.usage.raw == {"in": [4]}


class TestBackends:
    @pytest.mark.parametrize("state", STATES)
    async def test_shared_by_identity(self, state):
        """The backend is the world outside: copy, deepcopy and resample share it, whatever it is made of."""
        thunk = await thunk_in(state)
        assert copy.copy(thunk)._call.backend is thunk._call.backend
        assert copy.deepcopy(thunk)._call.backend is thunk._call.backend
        assert thunk.resample(1)[0]._call.backend is thunk._call.backend
        await end(thunk)

    async def test_that_cannot_be_copied(self):
        """A backend that holds a lock, and could not be copied, does no harm to copying."""
        source = Source(gate=Gate())
        source.lock = threading.Lock()
        thunk = mellite.generate(source, "hi")
        assert copy.deepcopy(thunk)._call.backend is source
        assert copy.copy(thunk)._call.backend is source

    async def test_that_inherits_nothing(self):
        """A backend of one's own, which inherits nothing, is shared too."""

        class Own:
            async def stream(self, request):
                yield TextDelta(request.text)
                yield Finish("stop")

        thunk = mellite.generate(Own(), "hi")
        assert copy.deepcopy(thunk)._call.backend is thunk._call.backend
        assert await copy.deepcopy(thunk) == "hi"

    @pytest.mark.parametrize("backend", [Echo(), Constant("x"), Scripted(["x"]), Failing(ConnectionLost("gone"))])
    @pytest.mark.parametrize("settled", [False, True])
    async def test_fakes_are_pickled_by_their_settings(self, backend, settled):
        """A thunk over a fake backend survives pickling, before and after."""
        backend = copy.copy(backend)
        thunk = mellite.generate(backend, "x")
        if settled:
            await thunk.settle()
        other = await pickle.loads(pickle.dumps(thunk)).settle()
        await thunk.settle()
        assert (other.state, other.value) == (thunk.state, thunk.value)

    async def test_a_pickle_never_has_a_key(self):
        """A pickle of a thunk over a live backend has no key in it, nor has one of the backend."""
        key = "sk-sentinel-3141592653589793"
        thunk = mellite.backend("openai:gpt-4o-mini", api_key=key).generate("hi")
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(thunk, protocol)
            assert key.encode() not in data
            assert b"sentinel" not in data
        assert key not in repr(thunk)
        assert pickle.loads(data)._call.request == thunk._call.request


class Unpicklable(mellite.Backend):
    """A backend whose errors can be neither pickled nor copied."""

    class Local(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")
            self.lock = threading.Lock()

    async def stream(self, request):
        yield TextDelta("half")
        raise self.Local("a", "b")


class AtOnce(Unpicklable):
    """One that fails before it says anything."""

    async def stream(self, request):
        raise self.Local("a", "b")
        yield


class TestPickle:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("state", STATES)
    async def test_every_protocol(self, state, protocol):
        """Every pickle protocol works, for every state."""
        thunk = await thunk_in(state)
        other = pickle.loads(pickle.dumps(thunk, protocol))
        assert other.state == ("pending" if state == "running" else state)
        assert other.partial == ("" if state == "running" else thunk.partial)
        await end(thunk)

    async def test_while_it_runs(self):
        """Pickling a running thunk leaves it running."""
        gate = Gate()
        book = Book()
        thunk = mellite.generate(book, "hi")
        source = Source(gate=gate)
        running = mellite.generate(source, thunk)
        async with anyio.create_task_group() as group:
            consumer = Consumer(group, running.avalue)
            await gate.reached(0)
            await blocked()
            gate.allow(9)
        assert consumer.value == source.text
        assert pickle.loads(pickle.dumps(thunk)).value == thunk.value

    async def test_foreign_cause(self):
        """A failed thunk whose error has a foreign cause can be pickled, the cause too if it can be."""
        thunk = await mellite.generate(Failing(ValueError("odd")), "hi").settle()
        other = pickle.loads(pickle.dumps(thunk))
        assert type(other.error) is BackendError
        assert str(other.error) == str(thunk.error)

    async def test_an_error_in_two_places(self):
        """The error of an attempt before, which an event has as well, is one object in a pickle, too."""
        thunk = mellite.generate(mellite.FallbackTo(Failing(ValueError("odd")), Constant("x")), "hi")
        await thunk
        other = pickle.loads(pickle.dumps(thunk))
        events = [event async for event in other.events()]
        told = [event.failures[0] for event in events if isinstance(event, ResponseStart) and event.failures]
        assert told == [other.generation.failures[0]]

    async def test_foreign_cause_that_cannot_be_pickled(self):
        """Not even an exception that cannot be pickled keeps a failed thunk from being pickled."""
        thunk = await mellite.generate(Unpicklable(), "hi").settle()
        assert isinstance(thunk.error.__cause__, Unpicklable.Local)
        other = pickle.loads(pickle.dumps(thunk))
        assert type(other.error) is BackendError
        assert "Local" in str(other.error)
        assert copy.deepcopy(thunk).error is thunk.error

    @pytest.mark.parametrize("cause", ["Unpicklable()", "mellite.FallbackTo(AtOnce(), mellite.backends.Constant('x'))"])
    def test_beside_distributed(self, cause):
        """Nor where distributed, once imported, has every exception pickle its causes."""
        done = run_child(
            f"""
            import pickle
            import mellite
            from tests.thunk.test_t09_copies import AtOnce, Unpicklable
            import distributed  # has the errors that there are by now take along what they were caused by
            thunk = mellite.generate({cause}, "hi")
            try:
                thunk.result()
            except mellite.errors.BackendError:
                pass
            other = pickle.loads(pickle.dumps(thunk))
            print([repr(each.error or each.generation.failures) for each in (thunk, other)])
            """
        )
        first, second = ast.literal_eval(done.stdout)
        assert first == second
        assert "a b" in first

    def test_in_another_process(self):
        """A pickle is read in another process, where a pending thunk is generated and a settled one is as it was."""
        thunk = mellite.generate(Echo(), "say it", temperature=0.3)
        settled = mellite.generate(Scripted([full_answer()]), "hi")
        settled.result()
        data = pickle.dumps([thunk, settled])
        done = run_child(
            f"""
            import asyncio, pickle
            thunk, settled = pickle.loads({data!r})
            print(thunk.state, thunk._call.request.options.temperature, asyncio.run(thunk.avalue()))
            print(settled.state, settled.thinking, ascii(settled.result()), len(list(settled.iter())))
            """
        )
        assert done.stdout.splitlines() == ["pending 0.3 say it", f"done let me think {settled.value!a} 3"]


async def test_copies_of_a_running_one_run_beside_it():
    """A copy made while the original runs generates on its own; both are complete."""
    gate = Gate()
    source = Source(gate=gate)
    thunk = mellite.generate(source, "hi")
    async with anyio.create_task_group() as group:
        first = Consumer(group, thunk.avalue)
        gate.allow(1)
        await gate.reached(1)
        second = Consumer(group, copy.copy(thunk).avalue)
        third = Consumer(group, copy.deepcopy(thunk).avalue)
        await blocked()
        assert source.calls == 3
        gate.allow(9)
    assert first.value == second.value == third.value == source.text


async def test_copies_have_ids_of_their_own():
    """The correlation id is given when a generation starts: copies of a pending thunk get different ones."""
    thunk = mellite.generate(Echo(), "hi")
    results = await mellite.gather(thunk, *thunk.resample(3))
    assert len({result.generation.generation_id for result in results}) == 4
    assert copy.copy(thunk).generation.generation_id == thunk.generation.generation_id


async def test_usage_survives():
    """Usage, with the provider's own object, is in every kind of copy."""
    thunk = mellite.generate(Scripted([[Finish("stop", usage=Usage.of(input_tokens=3, raw={"x": [1]}))]]), "hi")
    await thunk
    for way in WAYS.values():
        assert way(thunk).generation.usage.raw == {"x": [1]}


async def test_a_new_log_goes_with_the_copy():
    """A strategy marks its winner with a new log, which copies take along."""
    thunk = mellite.generate(Echo(), "hi")
    await thunk
    thunk.generate_log = attrs.evolve(thunk.generate_log, is_final_result=True)
    for way in WAYS.values():
        assert way(thunk).generate_log.is_final_result is True
    assert await collect(thunk) == ["hi"]
    assert e.TextDelta("hi") in await collect(thunk.events())
