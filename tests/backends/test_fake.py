"""The fake backends: what each answers, and that they behave as real ones do."""

from __future__ import annotations

import copy
import pickle
import threading

import anyio
import pytest

from mellite import gather
from mellite.backends.fake import Constant, Echo, Failing, Scripted
from mellite.errors import BackendError, ConfigurationError, ConnectionLost, IncompleteStream, RateLimited
from mellite.events import Finish, ReasoningDelta, ResponseStart, TextDelta, Usage
from mellite.messages import Image, Message, ToolCall, ToolResult
from mellite.request import ToolDefinition

pytestmark = pytest.mark.anyio


async def events_of(thunk):
    return [event async for event in thunk.events()]


async def deltas_of(thunk):
    return [delta async for delta in thunk]


TEXTS = ["Say hello.", "", " ", "\n leading", "trailing \n\n", "two  spaces", "tab\there", "é ü 漢字 🎉", "x" * 1000]


class TestEcho:
    @pytest.mark.parametrize("text", TEXTS)
    async def test_answers_the_prompt(self, text):
        """The answer is the prompt, white space included."""
        assert await Echo().generate(text).avalue() == text

    async def test_answers_the_last_user_message(self):
        """Of a history only the text of the last user message is answered."""
        history = [
            Message.user("one"),
            Message.assistant("two"),
            Message.user("three ", "four"),
            Message.assistant("5"),
        ]
        assert await Echo().generate(history) == "three four"

    async def test_prompt_without_text(self):
        """A prompt without text has an empty answer."""
        thunk = Echo().generate(Image(url="https://example.com/cat.png"))
        assert await thunk == ""
        assert await deltas_of(thunk) == []

    async def test_streams_words(self):
        """The answer comes word by word, each with the white space behind it."""
        assert await deltas_of(Echo().generate("say it  again")) == ["say ", "it  ", "again"]

    async def test_in_one_piece(self):
        """With stream=False the answer is one delta."""
        thunk = Echo().generate("say it again", stream=False)
        assert await deltas_of(thunk) == ["say it again"]
        assert thunk.generation.streaming is False

    async def test_usage_counts_words(self):
        """Usage counts the words of everything asked and of the answer."""
        thunk = Echo().generate([Message.user("a b c"), Message.assistant("d"), Message.user("e f")], system="g h")
        await thunk
        assert thunk.generation.usage == Usage.of(input_tokens=8, output_tokens=2)

    async def test_says_who_answered(self):
        """Provider, protocol and model are named; the model that was asked for wins."""
        thunk, other = Echo().generate("hi"), Echo().generate("hi", model="gpt-4o")
        await gather(thunk, other)
        metadata = thunk.generation
        assert (metadata.provider, metadata.protocol, metadata.model) == ("fake", "fake", "echo")
        assert (metadata.finish_reason, metadata.streaming) == ("stop", True)
        assert other.generation.model == "gpt-4o"

    async def test_ignores_options(self):
        """Options for a real model do no harm."""
        assert await Echo().generate("hi", temperature=1, max_tokens=1, seed=3, stop="h") == "hi"


class TestConstant:
    @pytest.mark.parametrize("text", TEXTS)
    async def test_answers_its_text(self, text):
        """The answer is the text, whatever was asked."""
        thunk = Constant(text).generate("whatever")
        assert await thunk == text
        assert "".join(await deltas_of(thunk)) == text

    async def test_usage(self):
        """Usage counts the words of the text."""
        thunk = Constant("one two three").generate("hi")
        await thunk
        assert thunk.generation.usage == Usage.of(input_tokens=1, output_tokens=3)

    async def test_no_text(self):
        """Anything but a text is refused when it is made."""
        with pytest.raises(ConfigurationError, match="takes the text of its answers, not int: 5"):
            Constant(5)


class TestScripted:
    async def test_answers_in_order(self):
        """Each call gets the next answer, and the requests are kept."""
        backend = Scripted(["first one", ["sec", "ond"], lambda request: request.text.upper()])
        assert backend.calls == 0
        assert [await backend.generate(text) for text in "abc"] == ["first one", "second", "C"]
        assert backend.calls == 3
        assert [request.text for request in backend.requests] == ["a", "b", "c"]

    async def test_text_streams_in_words(self):
        """A text is sent word by word."""
        assert await deltas_of(Scripted(["one two"]).generate("hi")) == ["one ", "two"]

    async def test_chunks_are_sent_as_given(self):
        """A list of texts is sent in these pieces; an empty one is left out."""
        thunk = Scripted([["o", "", "ne t", "wo"]]).generate("hi")
        assert await deltas_of(thunk) == ["o", "ne t", "wo"]
        assert thunk.generation.usage == Usage.of(input_tokens=1, output_tokens=2)

    async def test_no_chunks(self):
        """An empty list is an empty answer."""
        thunk = Scripted([[]]).generate("hi")
        assert await thunk == ""

    async def test_chunks_in_one_piece(self):
        """With stream=False the pieces come as one."""
        assert await deltas_of(Scripted([["o", "ne"]]).generate("hi", stream=False)) == ["one"]

    async def test_events_are_sent_as_given(self):
        """A list of events is sent as it is, nothing added."""
        events = [ReasoningDelta("hm"), TextDelta("yes", id="t1"), Finish("length", usage=Usage.of(output_tokens=9))]
        thunk = Scripted([events]).generate("hi")
        assert await events_of(thunk) == events
        assert (thunk.value, thunk.thinking, thunk.generation.finish_reason) == ("yes", "hm", "length")
        assert thunk.generation.usage.output_tokens == 9

    async def test_events_and_texts(self):
        """A text among events is a text delta."""
        assert await events_of(Scripted([["a", Finish("stop")]]).generate("hi")) == [TextDelta("a"), Finish("stop")]

    async def test_calls_of_tools(self):
        """A call among texts asks for a tool; the answer ends as a provider's would."""
        call = ToolCall("call_1", "look", {"at": "it"})
        backend = Scripted([["Let ", "me.", call], [call], ["a", call, Finish("length")], [call, RateLimited("no")]])
        thunk = backend.generate("hi")
        assert await deltas_of(thunk) == ["Let ", "me."]
        assert (thunk.tool_calls, thunk.finish_reason, thunk.usage.output_tokens) == ((call,), "tool-calls", 2)
        assert await backend.generate("hi") is None
        assert (await backend.generate("hi").settle()).finish_reason == "length"
        failed = await backend.generate("hi").settle()
        assert (type(failed.error), failed.tool_calls) == (RateLimited, (call,))

    async def test_events_without_a_finish(self):
        """A list of events without a Finish is an incomplete stream, as it would be from a provider."""
        thunk = Scripted([[TextDelta("half")]]).generate("hi")
        with pytest.raises(IncompleteStream):
            await thunk
        assert thunk.partial == "half"

    @pytest.mark.parametrize("answer", [RateLimited("slow down"), RateLimited])
    async def test_exception(self, answer):
        """An exception, or its class, is raised; the next call goes on."""
        backend = Scripted([answer, "well"])
        with pytest.raises(RateLimited):
            await backend.generate("hi")
        assert await backend.generate("hi") == "well"

    async def test_exception_is_the_one_given(self):
        """The exception that the caller gets is the very one that was given."""
        error = RateLimited("slow down", retry_after=2.0)
        thunk = Scripted([error]).generate("hi")
        assert (await thunk.settle()).error is error

    @pytest.mark.parametrize("pieces", [["a ", "b"], [TextDelta("a "), TextDelta("b")]])
    async def test_exception_in_mid_stream(self, pieces):
        """An exception in a list is raised after what stands before it."""
        thunk = Scripted([[*pieces, ConnectionLost("gone"), "never sent"]]).generate("hi")
        with pytest.raises(ConnectionLost):
            await thunk
        assert thunk.partial == "a b"

    async def test_foreign_exception(self):
        """An exception that is not mellite's is the cause of a BackendError."""
        error = ValueError("odd")
        thunk = await Scripted([error]).generate("hi").settle()
        assert isinstance(thunk.error, BackendError)
        assert thunk.error.__cause__ is error

    @pytest.mark.parametrize(
        ("given", "text"), [("a b", "a b"), (["a", "b"], "ab"), ([TextDelta("c"), Finish("stop")], "c")]
    )
    async def test_callable(self, given, text):
        """A callable of the request gives the answer, of any kind."""
        assert await Scripted([lambda _: given]).generate("hi") == text

    async def test_callable_gives_an_exception(self):
        """An exception that a callable gives is raised, as is one that it raises."""

        def refuse(request):
            msg = f"not {request.text!r}"
            raise RateLimited(msg)

        for answer in (lambda _: RateLimited("no"), refuse):
            thunk = await Scripted([answer]).generate("hi").settle()
            assert isinstance(thunk.error, RateLimited)

    async def test_async_callable(self):
        """A callable may be async."""

        async def answer(request):
            await anyio.lowlevel.checkpoint()
            return request.text * 2

        assert await Scripted([answer]).generate("hi") == "hihi"

    async def test_runs_out(self):
        """A call after the last answer is a typed error that says how many there were and what was asked."""
        backend = Scripted(["only one"])
        await backend.generate("hi")
        with pytest.raises(ConfigurationError, match="has 1 answers and was asked for number 2, with 'more'"):
            await backend.generate("more")
        assert backend.calls == 2

    @pytest.mark.parametrize("answers", [[3], [None], [["a", 3]], [[None]], [Finish("stop")], [{"a": 1}], [b"a"]])
    async def test_wrong_answer(self, answers):
        """What is not an answer is refused when the backend is made."""
        with pytest.raises(ConfigurationError, match="cannot answer with"):
            Scripted(answers)

    @pytest.mark.parametrize("answers", ["hello", None, 3, {"a": "b"}])
    async def test_wrong_answers(self, answers):
        """A text in place of a list of answers is refused, and so is anything else."""
        with pytest.raises(ConfigurationError, match="takes a list of answers"):
            Scripted(answers)

    async def test_wrong_answer_of_a_callable(self):
        """What a callable gives is checked too."""
        thunk = await Scripted([lambda _: 3]).generate("hi").settle()
        assert isinstance(thunk.error, ConfigurationError)

    async def test_later_changes_of_the_list(self):
        """Changing the list that was given does not change the backend."""
        answers = ["a", "b"]
        backend = Scripted(answers)
        answers.clear()
        assert [await backend.generate("hi") for _ in range(2)] == ["a", "b"]

    async def test_from_many_threads(self):
        """Threads that share one backend get each answer once."""
        backend = Scripted([str(number) for number in range(60)])
        got = []
        threads = [
            threading.Thread(target=lambda: got.extend(backend.generate("hi").result(timeout=20) for _ in range(10)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
        assert sorted(map(int, got)) == list(range(60))
        assert backend.calls == 60

    async def test_copies_start_again(self):
        """A copy or a pickle is made of the arguments and starts at the first answer."""
        backend = Scripted(["a", ["b", TextDelta("c"), Finish("stop")], RateLimited("no")], delay=0.0)
        await backend.generate("hi")
        for other in (copy.copy(backend), copy.deepcopy(backend), pickle.loads(pickle.dumps(backend))):
            assert (other.calls, other.requests) == (0, [])
            results = [await other.generate("hi").settle() for _ in range(3)]
            assert [thunk.value for thunk in results] == ["a", "bc", None]
        assert backend.calls == 1


async def test_delay_can_be_cancelled():
    """A consumer that does not want to wait for a delayed answer cancels it."""
    thunk = Scripted([["a", "b"]], delay=3600).generate("hi")
    with anyio.move_on_after(0.01):
        await thunk
    assert thunk.cancelled


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_delay_that_is_none():
    """A delay is a number of seconds."""
    for delay in (-1, "1", True, None, float("nan")):
        with pytest.raises(ConfigurationError, match="a number of seconds before each piece, 0 or more, not delay="):
            Scripted(["a"], delay=delay)


async def test_delay_is_before_each_piece():
    """The delay stands before every piece and every error, not before the start and the finish."""
    backend = Scripted([["a", "b"], ["a", ConnectionLost("gone")]], delay=0.02)
    for finished in (True, False):
        begin = anyio.current_time()
        thunk = await backend.generate("hi").settle()
        assert thunk.state == ("done" if finished else "failed")
        assert anyio.current_time() - begin >= 0.04


class TestFailing:
    @pytest.mark.parametrize("after", [0, 1, 5])
    async def test_after_some_deltas(self, after):
        """The error comes after that many deltas, whose text is kept."""
        thunk = Failing(ConnectionLost("gone"), after=after).generate("tell me")
        iterator = aiter(thunk)
        seen = [await anext(iterator) for _ in range(after)]
        with pytest.raises(ConnectionLost):
            await anext(iterator)
        assert thunk.partial == "".join(seen) == "tell me tell me tell "[: len(thunk.partial)]
        assert thunk.error.partial == thunk.partial

    async def test_empty_prompt(self):
        """There is something to stream even when nothing was asked."""
        thunk = await Failing(ConnectionLost("gone"), after=2).generate("").settle()
        assert thunk.partial.strip()

    async def test_every_call_fails(self):
        """Copies fail too, and the traceback of a shared error object does not grow from call to call."""
        backend = Failing(ConnectionLost("gone"))
        lengths = set()
        for thunk in await gather(*backend.generate("hi").resample(5)):
            assert thunk.error is backend.error
            lengths.add(len(traceback_of(thunk.error)))
        assert len(lengths) == 1

    async def test_error_class(self):
        """A class is as good as an exception."""
        with pytest.raises(RateLimited):
            await Failing(RateLimited).generate("hi")

    async def test_no_error(self):
        """Anything but an exception is refused."""
        with pytest.raises(ConfigurationError, match="takes the exception to raise, not str"):
            Failing("boom")
        for after in (-1, 1.5, True, "2"):
            with pytest.raises(ConfigurationError, match="whole number of deltas first, 0 or more, not after="):
                Failing(RateLimited, after=after)

    async def test_says_who_failed(self):
        """The metadata of a failed call name the fake provider."""
        thunk = await Failing(RateLimited("no"), after=1).generate("hi").settle()
        assert (thunk.generation.provider, thunk.generation.model) == ("fake", "failing")


def traceback_of(error):
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    return frames


@pytest.mark.parametrize(
    "make",
    [Echo, lambda: Constant("a b"), lambda: Failing(RateLimited("no"), after=1), lambda: Scripted(["a", "b"])],
    ids=["echo", "constant", "failing", "scripted"],
)
async def test_copies_and_pickles(make):
    """Every fake can be copied, deep-copied and pickled."""
    backend = make()
    first = await backend.generate("hi there").settle()
    for other in (copy.copy(backend), copy.deepcopy(backend), pickle.loads(pickle.dumps(backend))):
        thunk = await other.generate("hi there").settle()
        assert (thunk.partial, thunk.state, type(thunk.error)) == (first.partial, first.state, type(first.error))


async def test_starts_with_the_response():
    """The first event of an answer that mellite words says that the response has begun, the last that it is over."""
    for backend in (Echo(), Constant("hi"), Scripted(["hi"])):
        events = await events_of(backend.generate("hi"))
        assert isinstance(events[0], ResponseStart)
        assert isinstance(events[-1], Finish)
        assert len(events) == 3


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("Paris", {"city": "Paris", "days": 0, "unit": "C"}),
        ('{"city": "Rome"}', {"city": "Rome"}),
        ("[1]", {"city": "[1]", "days": 0, "unit": "C"}),
    ],
)
@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_echo_calls_the_tool_that_it_must(text: str, given: dict[str, object], choice: str) -> None:
    """A call that is required is made with what was said; its result is answered with text again."""
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}}
    schema = {"type": "object", "properties": properties, "required": ["city", "days", "unit"]}
    tool = ToolDefinition("get_weather", "Get it.", input_schema=schema)
    thunk = Echo().generate(text, tools=[tool], tool_choice=choice)
    assert not thunk.result()
    (call,) = thunk.tool_calls
    assert (call.name, call.arguments, thunk.finish_reason) == ("get_weather", given, "tool-calls")
    talk = [Message.user(text), thunk.message, Message.tool(ToolResult(call.id, "get_weather", "Sunny."))]
    assert Echo().generate(talk, tools=[tool], tool_choice=choice).result() == text
    assert Echo().generate(text, tools=[tool]).result() == text
