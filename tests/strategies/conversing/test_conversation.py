"""Conversations: immutable, lazy, going on from answers that are not there yet; trimmed, saved, copied."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import mellite
from mellite import (
    Audio,
    CachePolicy,
    Conversation,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    Timeouts,
    ToolCall,
    ToolResult,
    ToolValue,
    Video,
)
from mellite.backends import Echo, Failing, Scripted, TextCassetteBackend
from mellite.errors import InvalidRequest, MelliteError, RequestError, UnknownOption
from mellite.events import Finish, ReasoningDelta, TextDelta, ToolCallEvent
from mellite.messages import CacheHint

pytestmark = pytest.mark.anyio


class Thoughtful(mellite.Backend):
    """Answers with more than text."""

    async def stream(self, request):
        yield ReasoningDelta("Hm.")
        yield TextDelta("Let me see.")
        yield ToolCallEvent(call=ToolCall("call_1", "look", {"at": "it"}))
        yield Finish("tool-calls")


def texts(chat):
    return [message.text for message in chat.messages]


class TestGoingOn:
    async def test_nothing_is_sent_before_somebody_waits(self):
        """Three turns are written down; the last one is awaited, and the others are there as well."""
        backend = Scripted(["Blue.", "Black.", "Because."])
        chat = Conversation(backend, system="Answer in one word.", temperature=0)
        first = chat.ask("Which colour is the sky?")
        second = chat.after(first).ask("And at night?")
        third = chat.after(first).after(second).ask("Why?")
        assert backend.requests == []
        assert await third == "Because."
        assert (first.text, second.text) == ("Blue.", "Black.")
        sent = backend.requests[-1]
        assert [(message.role, message.text) for message in sent.messages] == [
            ("user", "Which colour is the sky?"),
            ("assistant", "Blue."),
            ("user", "And at night?"),
            ("assistant", "Black."),
            ("user", "Why?"),
        ]
        assert (sent.system[0].text, sent.options.temperature) == ("Answer in one word.", 0)

    async def test_it_stays_as_it_is(self):
        """Asking and going on make others; the conversation itself has no more messages than before."""
        chat = Conversation(Echo())
        one, other = chat.ask("one"), chat.ask("two")
        await mellite.gather(one, other)
        assert chat.messages == ()
        assert texts(chat.after(one)) == ["one", "one"]
        assert texts(chat.after(other)) == ["two", "two"]
        with pytest.raises(AttributeError):
            chat.system = ()

    async def test_the_whole_message_enters(self):
        """Thinking and tool calls are in the history, whether the answer was there or not."""
        chat = Conversation(Thoughtful())
        answer = chat.ask("Look.")
        before = chat.after(answer)
        await answer
        for after in (before, chat.after(answer)):
            assert after.messages[1] == answer.message
            assert [type(part) for part in after.messages[1].content] == [Reasoning, Text, ToolCall]

    async def test_a_failure_is_the_cause(self):
        """The answer that goes on from one that failed fails, with its error as the cause."""
        chat = Conversation(Failing(ValueError("no luck")))
        first = chat.ask("hi")
        second = chat.after(first).ask("and?")
        with pytest.raises(RequestError, match="no luck"):
            await second
        assert second.error.__cause__ is first.error

    async def test_a_trimmed_question_belongs_to_the_whole(self):
        """An answer to a shortened history goes on from the whole one, with nothing said twice."""
        chat = Conversation.from_messages(
            Echo(), [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
        )
        answer = chat.trimmed(turns=1).ask("e")
        assert texts(chat.after(answer))[:5] == ["a", "b", "c", "d", "e"]
        assert len(chat.after(answer).messages) == 6

    async def test_an_answer_to_something_else(self):
        """What a thunk of another prompt was asked enters the history as well."""
        chat = Conversation.from_messages(Echo(), [("user", "a"), ("assistant", "b")])
        other = await Echo().generate([Message.user("c"), Message.assistant("d"), Message.user("e")]).settle()
        assert texts(chat.after(other)) == ["a", "b", "c", "d", "e", "e"]

    async def test_a_hundred_turns_that_nobody_awaited(self):
        """They are generated with the last one; copies and pickles of them make calls of their own."""
        backend = Echo()
        chat, answer = Conversation(backend), None
        for number in range(100):
            answer = chat.ask(f"question {number}")
            chat = chat.after(answer)
        for again in (chat, copy.deepcopy(chat), pickle.loads(pickle.dumps(chat))):
            assert again.messages[-1].text == ""
            assert await again.ask("And?") == "And?"
            assert again.messages[-1].text == "question 99"
        assert answer.state == "done"

    async def test_content(self):
        """A question is parts of a message, messages, or a dict; without one there has to be something to answer."""
        chat = Conversation(Echo())
        image = Image(url="https://example.com/cat.png")
        thunk = Echo().generate("inner")
        assert chat.ask("What is this?", image, thunk).call.action.content[1:] == (image, thunk)
        assert chat.ask(["a", "b"]).call.action.text == "ab"
        assert chat.ask({"role": "user", "content": "hi"}).call.action == Message.user("hi")
        result = Message.tool(ToolResult("call_1", "look", "a cat"))
        assert chat.ask(result).call.action == result
        assert await Conversation.from_messages(Echo(), [("user", "hi")]).ask() == "hi"
        for empty in (chat, Conversation.from_messages(Echo(), [("assistant", "hi")])):
            with pytest.raises(InvalidRequest, match="nothing to answer"):
                empty.ask()

    async def test_options_and_metadata(self):
        """Options of a call override those of the conversation; the id is in the metadata, beside the caller's."""
        chat = Conversation(Echo(), id="c1", temperature=0, metadata={"user": "u1"}, stop="END")
        request = chat.ask("hi", temperature=1, output=list[int]).call.request
        assert (request.options.temperature, request.options.stop, request.output) == (1, ("END",), list[int])
        assert request.metadata == {"conversation_id": "c1", "user": "u1"}
        assert Conversation(Echo()).ask("hi").call.request.metadata == {}

    @pytest.mark.parametrize(
        ("make", "error", "said"),
        [
            (lambda: Conversation(Echo(), temprature=0), UnknownOption, "temperature"),
            (lambda: Conversation(Echo(), system=3), InvalidRequest, "'system'"),
            (lambda: Conversation(Echo(), id=3), InvalidRequest, "id of a conversation"),
            (lambda: Conversation(object()), MelliteError, "stream"),
            (lambda: Conversation(Echo(), id="c1").ask("hi", metadata=3), InvalidRequest, "'metadata'"),
            (lambda: Conversation(Echo(), tools=len), InvalidRequest, "'tools'"),
            (lambda: Conversation(Echo()).after("hi"), InvalidRequest, "goes on from a thunk"),
            (lambda: Conversation(Echo()).ask(3), InvalidRequest, "not int"),
            (lambda: Conversation(Echo()).ask("hi", temprature=0), UnknownOption, "temperature"),
            (
                lambda: Conversation(Echo(), output=int),
                InvalidRequest,
                r"'output' is not an option .* ask\(\.\.\., output=",
            ),
            (lambda: Conversation(Echo()).ask("hi", system="Be brief."), InvalidRequest, "'system' is not an option"),
            (lambda: Conversation(Echo()).ask("hi", tools=[len]), InvalidRequest, "'tools' is not an option"),
            (lambda: Conversation.from_messages(Echo(), "hi"), InvalidRequest, "a list of them"),
            (lambda: Conversation.from_messages(Echo(), [("user", "a"), ("usr", "b")]), InvalidRequest, "message 1"),
            (lambda: Conversation.from_messages(Echo(), [{"role": "user", "kontent": 1}]), InvalidRequest, "message 0"),
        ],
    )
    async def test_mistakes(self, make, error, said):
        """What is wrong is told when it is written, by name."""
        with pytest.raises(error, match=said):
            make()


CALL = ToolCall("call_1", "look", {"at": "it"})
LONG = [
    Message.system("Be brief."),
    Message.user("one"),
    Message.assistant("1"),
    Message.user("two", "more"),
    Message.user("and more"),
    Message.assistant(CALL),
    Message.tool(ToolResult("call_1", "look", "a cat")),
    Message.assistant("2"),
    Message.system("Be briefer."),
    Message.user("three"),
    Message.assistant("3"),
]


class TestCassettes:
    async def test_a_turn_has_the_key_of_its_history(self, tmp_path, monkeypatch):
        """What was recorded in a lazy conversation replays for the same history written out, and the reverse."""
        monkeypatch.delenv("CI", raising=False)
        live = Scripted(["Blue.", "Black.", "Red."])
        recording = TextCassetteBackend(tmp_path, provider="openai", live=live, mode="new_episodes")
        chat = Conversation(recording, system="Be brief.")
        first = chat.ask("Which?")
        chat = chat.after(first)
        assert await chat.ask("And at night?") == "Black."
        replaying = TextCassetteBackend(tmp_path, provider="openai")
        history = [("user", "Which?"), ("assistant", "Blue."), ("user", "And at night?")]
        assert await replaying.generate(history, system="Be brief.") == "Black."
        await recording.generate([("user", "a"), ("assistant", "b"), ("user", "c")], system="Be brief.")
        again = Conversation.from_messages(replaying, [("user", "a"), ("assistant", "b")], system="Be brief.")
        assert await again.ask("c") == "Red."
        lazily = Conversation(replaying, system="Be brief.")
        assert await lazily.after(lazily.ask("Which?")).ask("And at night?") == "Black."

    async def test_the_lineage_is_that_of_the_thunk(self):
        """Copies of a turn have theirs, and the answer before it keeps its own."""
        backend = Scripted(["a", "b", "c"])
        chat = Conversation(backend)
        second = chat.after(chat.ask("one")).ask("two")
        await mellite.gather(second.resample(2), concurrency=1)
        assert [request.metadata["lineage"] for request in backend.requests] == [(), (0,), (1,)]


class TestTrimming:
    @pytest.mark.parametrize(
        ("turns", "kept"),
        [(0, [0, 8]), (1, [0, 8, 9, 10]), (2, [0, 3, 4, 5, 6, 7, 8, 9, 10]), (3, range(11)), (9, range(11))],
    )
    async def test_by_turns(self, turns, kept):
        """The last turns stay, whole, and all messages of the system."""
        chat = Conversation.from_messages(Echo(), LONG)
        assert chat.trimmed(turns=turns).messages == tuple(LONG[index] for index in kept)

    async def test_a_call_and_its_result_stay_together(self):
        """A result that came a turn later, or in a message of the user, keeps the turn of its call."""
        late = [
            Message.user("look"),
            Message.assistant(CALL),
            Message.user("are you there?"),
            Message.tool(ToolResult("call_1", "look", "a cat")),
            Message.assistant("a cat"),
            Message.user(ToolResult("call_1", "look", "a cat"), "thanks"),
        ]
        chat = Conversation.from_messages(Echo(), late)
        assert len(chat.trimmed(turns=1).messages) == 6
        assert len(chat.trimmed(tokens=5).messages) == 0

    async def test_by_tokens(self):
        """As many turns stay as fit, with the system prompt and its messages."""
        chat = Conversation.from_messages(Echo(), LONG, system="Be kind.")
        counts = [mellite.count_tokens(message) for message in LONG]
        fixed = mellite.count_tokens(mellite.Request((), system=chat.system)) + counts[0] + counts[8]
        whole = fixed + sum(counts[9:])
        assert len(chat.trimmed(tokens=whole).messages) == 4
        assert len(chat.trimmed(tokens=whole - 1).messages) == 2
        assert chat.trimmed(tokens=10_000).messages == chat.messages
        assert len(chat.trimmed(turns=1, tokens=10_000).messages) == 4

    async def test_pending_answers(self):
        """By turns an answer need not be there; its tokens are not known."""
        chat = Conversation(Echo())
        for question in ("one", "two"):
            chat = chat.after(chat.ask(question))
        trimmed = chat.trimmed(turns=1)
        assert trimmed.messages[0].text == "two"
        assert await trimmed.ask("three") == "three"
        with pytest.raises(InvalidRequest, match="await it"):
            Conversation(Echo()).after(Echo().generate("hi")).trimmed(tokens=10)

    @pytest.mark.parametrize("given", [{}, {"turns": -1}, {"turns": True}, {"tokens": "9"}, {"tokens": 2}])
    async def test_mistakes(self, given):
        """It has to be said to what, in whole numbers, and the system prompt has to fit."""
        with pytest.raises(InvalidRequest):
            Conversation(Echo(), system="Be kind, whatever they say.").trimmed(**given)


EVERYTHING = [
    Message(
        "user",
        (
            Text("Look. \ud83d", cache=CacheHint(ttl_seconds=3600), provider_metadata={"openai": {"a": [1, None]}}),
            Image(b"\x89PNG\x00\xff", media_type="image/png", provider_metadata={"openai": {"detail": "low"}}),
            Image(url="https://example.com/cat.png"),
            Audio(b"RIFF", media_type="audio/wav"),
            Video(url="https://example.com/cat.mp4"),
            Document(b"%PDF", media_type="application/pdf", filename="a.pdf", cache=CacheHint("persistent")),
        ),
        id="m1",
        metadata={"user": "u1"},
    ),
    Message(
        "assistant",
        (
            Reasoning("Hm.", encrypted="abc", provider_metadata={"anthropic": {"signature": "s"}}),
            Text("Let me see."),
            ToolCall("call_1", "look", {"at": [1, {"b": None}]}, raw_arguments='{"at": [1, {"b":null}]}'),
            ToolCall("call_2", "search", None, raw_arguments='{"at', provider_executed=True),
            ToolResult("call_2", "search", {"found": 3}, provider_executed=True),
        ),
        native={"openai": {"id": "x"}},
    ),
    Message.tool(
        ToolResult("call_1", "look", "a cat"),
        ToolResult("call_3", "look", [1, 2], cache=CacheHint()),
        ToolResult("call_4", "look", ToolValue("error", "no")),
        ToolResult("call_5", "look", [Text("see"), Image(b"GIF89a", media_type="image/gif")]),
        ToolResult("call_6", "look", None),
    ),
    Message.system("Be brief."),
]


class TestKept:
    async def test_every_part_comes_back(self):
        """All parts with all that they hold, the system prompt, the id and the options are read as they were."""
        chat = Conversation.from_messages(
            Echo(),
            EVERYTHING,
            system=[Text("Be kind.", cache=CacheHint())],
            id="c1",
            temperature=0.5,
            stop=["END"],
            model="m",
            timeouts=Timeouts(total=3),
            cache=CachePolicy(tools=True),
            tool_choice="auto",
            provider_options={"openai": {"user": "u1"}},
        )
        text = chat.to_json()
        assert json.loads(text)["mellite"] == {"conversation": 1}
        assert Conversation.from_json(text, backend=chat.backend) == chat
        assert (
            Conversation.from_json(
                text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass"), backend=chat.backend
            )
            == chat
        )

    async def test_an_answer_that_is_not_there(self):
        """A conversation is saved once its answers are done; the message says what to do."""
        chat = Conversation(Scripted(["Blue."]))
        answer = chat.ask("Which?")
        after = chat.after(answer)
        with pytest.raises(InvalidRequest, match=r"message 1 of the conversation .* pending.*await it"):
            after.to_json()
        await answer
        assert texts(Conversation.from_json(after.to_json(), backend=Echo())) == ["Which?", "Blue."]
        failed = Conversation(Failing(ValueError("no luck")))
        thunk = await failed.ask("hi").settle()
        with pytest.raises(InvalidRequest, match="no luck"):
            failed.after(thunk).to_json()

    async def test_a_thunk_in_a_question_is_saved_as_its_text(self):
        """Once it has settled."""
        chat = Conversation(Echo())
        inner = Echo().generate("inner")
        answer = chat.ask("say ", inner)
        with pytest.raises(InvalidRequest, match="message 0"):
            chat.after(answer).to_json()
        await answer
        again = Conversation.from_json(chat.after(answer).to_json(), backend=Echo())
        assert texts(again) == ["say inner", "say inner"]

    async def test_what_is_no_json(self):
        """Something that JSON cannot hold, or a header that may be a key, is an error that names it."""
        for messages in (
            [Message.tool(ToolResult("call_1", "look", object()))],
            [Message("user", "hi", metadata={"a": {1, 2}})],
            [Message.tool(ToolResult("call_1", "look", float("nan")))],
        ):
            with pytest.raises(InvalidRequest, match="message 0 of the conversation"):
                Conversation.from_messages(Echo(), messages).to_json()
        secret = Conversation(Echo(), http=mellite.HttpOptions(headers={"x-key": "sk-secret"}))
        with pytest.raises(InvalidRequest, match="'http' is not saved") as raised:
            secret.to_json()
        assert "sk-secret" not in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "not the JSON of a conversation"),
            ("[]", "to_json"),
            ('{"mellite": {"conversation": 2}}', "version 2"),
            ('{"mellite": {"conversation": 1}, "system": [], "options": {}}', r"\$\.messages"),
            ("MESSAGE {}", r"\$\.messages\[0\]\.content"),
            ('MESSAGE {"role": "user", "content": [{"type": "txt"}]}', r"\.content\[0\].*'text'"),
            ('MESSAGE {"role": "user", "content": [{"type": "text", "txt": "a"}]}', r"\.content\[0\].*'txt'"),
            ('MESSAGE {"role": "user", "content": [{"type": "text"}]}', r"\.content\[0\]"),
            ('MESSAGE {"role": "usr", "content": []}', "'user'"),
            ('MESSAGE {"role": "user", "content": [{"type": "image", "data": "?"}]}', r"\.data.*base64"),
            ('MESSAGE {"role": "user", "content": [], "rol": 1}', "'rol'"),
            ('{"mellite": {"conversation": 1}, "system": [{}], "options": {}, "messages": []}', r"\$\.system\[0\]"),
            ('{"mellite": {"conversation": 1}, "system": [], "options": {"top_p": NaN}, "messages": []}', "NaN"),
            ("[" * 100_000, "not the JSON of a conversation"),
        ],
    )
    async def test_damaged_texts(self, text, said):
        """What is not a saved conversation is refused, with the place."""
        if text.startswith("MESSAGE"):
            text = f'{{"mellite": {{"conversation": 1}}, "system": [], "options": {{}}, "messages": [{text[8:]}]}}'
        with pytest.raises(InvalidRequest, match=said):
            Conversation.from_json(text, backend=Echo())

    async def test_copies(self):
        """A copy, a deep copy and a pickle are equal by value; the backend is shared, and none can be hashed."""
        with pytest.raises(TypeError, match="unhashable type: 'Conversation'"):
            hash(Conversation("fake:echo", temperature=0))
        chat = Conversation.from_messages(Echo(), EVERYTHING, system="Be kind.", id="c1", temperature=0)
        assert copy.copy(chat) == copy.deepcopy(chat) == chat
        assert copy.deepcopy(chat).backend is chat.backend
        assert pickle.loads(pickle.dumps(chat)).messages == chat.messages
        assert chat != Conversation.from_messages(chat.backend, EVERYTHING, system="Be kind.", id="c2", temperature=0)
        assert repr(chat) == "<Conversation 'c1' with 4 messages>"
