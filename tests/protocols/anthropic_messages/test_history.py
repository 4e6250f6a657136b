"""Messages as Claude takes them: user and assistant blocks, files, results, updates, and what goes back unchanged."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest

from mellite.errors import InvalidRequest
from mellite.messages import (
    Audio,
    CacheHint,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolValue,
    Video,
)
from mellite.protocols.anthropic_messages.body import mend
from mellite.request import Request
from mellite.values.fold import fold
from tests.protocols.anthropic_messages.claude import messages_of, whole

PNG = b"\x89PNG\r\n"
DATA = base64.b64encode(PNG).decode()
CALL = ToolCall("toolu_1", "get_weather", {"city": "Paris"})
RESULT = Message.tool(ToolResult("toolu_1", "get_weather", {"temperature": 22}))
ASKED = Message.assistant(CALL)
NEW = "claude-opus-4-8"


def content_of(*messages: Any, **fields: Any) -> list[dict[str, Any]]:
    """The blocks of the last message."""
    return list(messages_of(*messages, **fields)[-1]["content"])


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


# --- users ----------------------------------------------------------------------------------------


def test_texts_are_blocks_and_empty_ones_are_left_out() -> None:
    """Each text is a block; texts without words are refused by the server, and are not sent."""
    assert content_of(Message.user("a", " \n", Text("b"))) == [words("a"), words("b")]


def test_an_empty_message_of_the_user_is_refused() -> None:
    """A message that says nothing is an error here, not at the server's."""
    with pytest.raises(InvalidRequest, match="empty"):
        messages_of(Message.user(""))


def test_pictures_and_files() -> None:
    """Pictures and PDF files go as base64 or by URL, plain text as it is; files keep their name."""
    source = {"type": "base64", "media_type": "image/png", "data": DATA}
    parts: list[Any] = [
        Image(PNG, media_type="image/png"),
        Image(url="https://example.com/a.png"),
        Image(url=f"data:image/png;base64,{DATA}"),
        Document(PNG, media_type="application/pdf", filename="a.pdf"),
        Document(url="https://example.com/a.pdf"),
        Document("é".encode(), media_type="text/plain", provider_metadata={"anthropic": {"citations": {"enabled": 1}}}),
    ]
    assert content_of(Message.user(*parts)) == [
        {"type": "image", "source": source},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": source},
        {"type": "document", "source": {**source, "media_type": "application/pdf"}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "é"},
            "citations": {"enabled": 1},
        },
    ]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (Image(PNG, media_type="image/tiff"), "image/tiff"),
        (Image(PNG), "media_type="),
        (Image(b"", media_type="image/png"), "1 to 20,971,520 bytes"),
        (Image(url="file:///etc/passwd"), "from_path"),
        (Image(url="data:image/png,abc"), "base64"),
        (Document(PNG, media_type="application/zip"), "application/pdf"),
        (Document(b"\xff", media_type="text/plain"), "UTF-8"),
        (Audio(PNG, media_type="audio/mp3"), "not Audio"),
        (Video(PNG, media_type="video/mp4"), "not Video"),
        (Reasoning("x"), "not Reasoning"),
        (CALL, "not ToolCall"),
    ],
)
def test_what_a_user_message_cannot_carry_is_refused(part: Any, says: str) -> None:
    """A part or media type that the protocol has no form for is InvalidRequest that says which ones it has."""
    with pytest.raises(InvalidRequest, match=says):
        messages_of(Message.user("Look:", part))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Message.assistant("a", Image(PNG, media_type="image/png")), "assistant messages"),
        (Message("tool", ("a",)), "tool messages"),
        (Message("system", (Image(PNG, media_type="image/png"),)), "system messages"),
    ],
)
def test_what_other_messages_cannot_carry_is_refused(message: Message, says: str) -> None:
    """Assistant, tool and system messages refuse foreign parts too."""
    with pytest.raises(InvalidRequest, match=says):
        messages_of(Message.user("hi"), message)


# --- results of tools -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "sent"),
    [
        ({"temperature": 22}, {"content": '{"temperature":22}'}),
        ("sunny", {"content": "sunny"}),
        (None, {"content": "null"}),
        (ToolValue("error", "broken"), {"content": "broken", "is_error": True}),
        (ToolValue("error", {"code": 1}), {"content": '{"code":1}', "is_error": True}),
        ([Text("a"), Text(""), Text("b")], {"content": [words("a"), words("b")]}),
        (
            [Text("See:"), Image(PNG, media_type="image/png")],
            {
                "content": [
                    words("See:"),
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                ]
            },
        ),
    ],
)
def test_tool_results(result: Any, sent: Any) -> None:
    """A result is text, or the parts that it is made of; a failure says that it is one."""
    assert content_of(ASKED, Message.tool(ToolResult("toolu_1", "f", result))) == [
        {"type": "tool_result", "tool_use_id": "toolu_1", **sent}
    ]


def test_results_of_parallel_calls_are_one_turn() -> None:
    """Results in several messages are sent in one: the server wants them all right behind the calls."""
    calls = Message.assistant(CALL, attrs.evolve(CALL, id="toolu_2"))
    results = [Message.tool(ToolResult(id, "get_weather", "ok")) for id in ("toolu_1", "toolu_2")]
    messages = messages_of(Message.user("?"), calls, *results, Message.user("And?"))
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user"]
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["toolu_1", "toolu_2"]


def test_results_may_be_cached() -> None:
    """A hint on a result marks its block."""
    result = Message.tool(ToolResult("toolu_1", "get_weather", "ok", cache=CacheHint()))
    assert content_of(ASKED, result)[0]["cache_control"] == {"type": "ephemeral"}


# --- assistants -----------------------------------------------------------------------------------


def test_an_assistant_message() -> None:
    """Thinking goes back with its signature, text as blocks, calls as objects; calls come last."""
    message = Message.assistant(Reasoning("Hm.", encrypted="sig"), CALL, "Let me see.")
    assert messages_of(message, RESULT)[0] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            words("Let me see."),
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
        ],
    }


def test_an_assistant_message_without_content_is_left_out() -> None:
    """Empty assistant messages are refused, and not sent."""
    roles = [message["role"] for message in messages_of(Message.user("a"), Message.assistant("", Reasoning("x")))]
    assert roles == ["user"]


@pytest.mark.parametrize(
    "thought",
    [
        Reasoning("Hm."),
        Reasoning("Hm.", encrypted=""),
        Reasoning("Hm.", encrypted="theirs", provider_metadata={"openai": {"id": "rs_1"}}),
        Reasoning("Hm.", provider_metadata={"anthropic": {"signature": ""}}),
    ],
)
def test_thinking_of_others_is_left_out(thought: Reasoning) -> None:
    """Thinking without Anthropic's signature would be refused: it is left out, and that is said."""
    request, changes = mend(Request.of([Message.user("a"), Message.assistant(thought, "b"), Message.user("c")]))
    assert request.messages[1].content == (Text("b"),)
    assert changes == ("thinking without a signature of Anthropic is left out",)


def test_thinking_that_says_nothing_is_left_out_without_a_word() -> None:
    """An empty part that nobody could read is not a loss; a signed one beside it stays."""
    signed = Reasoning("Hm.", encrypted="sig")
    request, changes = mend(Request.of([Message.user("a"), Message.assistant(Reasoning(""), signed, "b")]))
    assert (request.messages[1].content, changes) == ((signed, Text("b")), ())


def test_a_history_that_is_in_order_is_left_alone() -> None:
    """Nothing is changed where nothing has to be, and nothing is said."""
    signed = Reasoning("Hm.", provider_metadata={"anthropic": {"signature": "sig"}})
    redacted = Reasoning("", provider_metadata={"anthropic": {"redacted_data": "x"}})
    request = Request.of(
        [Message.user("a"), Message.assistant(signed, redacted, "b", CALL), RESULT, Message.user("c ")]
    )
    assert mend(request) == (request, ())
    assert mend(request)[0] is request


def test_a_text_to_be_continued_ends_without_space() -> None:
    """Space at the end of a last assistant message is refused: it is left out, and that is said."""
    signed = Reasoning("Hm.", encrypted="sig")
    request, changes = mend(Request.of([Message.user("a"), Message.assistant(signed, "So. ", "The answer is: ")]))
    assert request.messages[-1].content == (signed, Text("So. "), Text("The answer is:"))
    assert len(changes) == 1


def test_a_call_without_a_result_gets_one() -> None:
    """The history is mended like that of other protocols, in the form that Claude takes."""
    calls = Message.assistant(ToolCall("call|1", "f", {}), "Wait.")
    assert messages_of(Message.user("a"), calls, Message.user("b"))[1:3] == [
        {
            "role": "assistant",
            "content": [words("Wait."), {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": "There is no result: the call was not answered.",
                    "is_error": True,
                }
            ],
        },
    ]


@pytest.mark.parametrize(
    ("call", "input"),
    [
        (ToolCall("c", "f"), {}),
        (ToolCall("c", "f", None, raw_arguments="null"), {}),
        (ToolCall("c", "f", None, raw_arguments='{"a'), {"invalid_json": '{"a'}),
        (ToolCall("c", "f", [1], raw_arguments="[1]"), {"invalid_json": "[1]"}),
        (ToolCall("c", "f", {"a": 2}, raw_arguments='{"a":1}'), {"a": 2}),
    ],
)
def test_input_that_is_no_object_is_shown_as_it_is(call: ToolCall, input: Any) -> None:
    """Only objects can be sent back as input; what else a model wrote is put into one."""
    assert messages_of(Message.assistant(call))[0]["content"][0]["input"] == input


def test_tools_of_other_servers_mean_nothing_here() -> None:
    """A call that another provider ran itself, and its result, are not sent."""
    theirs = {"provider_executed": True, "provider_metadata": {"openai": {"itemId": "ws_1"}}}
    message = Message.assistant(ToolCall("ws_1", "web_search", {}, **theirs), ToolResult("ws_1", "x", 1, **theirs), "a")
    assert content_of(message) == [words("a")]


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("advisor", "advisor_tool_result"),
        ("bash_code_execution", "bash_code_execution_tool_result"),
        ("code_execution", "code_execution_tool_result"),
        ("text_editor_code_execution", "text_editor_code_execution_tool_result"),
        ("tool_search_tool_bm25", "tool_search_tool_result"),
        ("tool_search_tool_regex", "tool_search_tool_result"),
        ("web_fetch", "web_fetch_tool_result"),
        ("web_search", "web_search_tool_result"),
    ],
)
def test_tools_of_the_server_made_by_hand(name: str, type: str) -> None:
    """A call and a result of Anthropic's own tools may be made by hand; a tool it does not have is refused."""
    call = ToolCall("srvtoolu_1", name, {"query": "x"}, provider_executed=True)
    result = ToolResult("srvtoolu_1", name, [{"url": "u"}], provider_executed=True, cache=CacheHint())
    assert content_of(Message.assistant(call, result)) == [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": name, "input": {"query": "x"}},
        {"type": type, "tool_use_id": "srvtoolu_1", "content": [{"url": "u"}], "cache_control": {"type": "ephemeral"}},
    ]
    with pytest.raises(InvalidRequest, match="'divine'"):
        messages_of(Message.assistant(attrs.evolve(result, name="divine")))


# --- updates --------------------------------------------------------------------------------------


def test_system_messages_at_the_beginning_are_the_system_prompt() -> None:
    """They follow the system prompt, each text a block."""
    from tests.protocols.anthropic_messages.claude import body_of

    body = body_of([Message.system("b", "c"), Message.user("hi")], system="a")
    assert body["system"] == [words("a"), words("b"), words("c")]
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_updates_are_text_of_the_user_for_most_models() -> None:
    """Instructions in the middle are wrapped, and put behind what the user said last, or stand alone."""
    wrapped = words("<system-update>\nBe &lt;brief&gt;.\n</system-update>")
    update = Message.system("Be <brief>.")
    assert content_of(Message.user("a"), update) == [words("a"), wrapped]
    assert content_of(Message.user("a"), Message.assistant("b"), update) == [wrapped]
    assert content_of(ASKED, RESULT, update)[1] == wrapped
    for model in ("claude-opus-4-7", "claude-haiku-4-8", "glm-5"):
        assert content_of(Message.user("a"), update, model=model) == [words("a"), wrapped]


@pytest.mark.parametrize("model", [NEW, "claude-haiku-4-5"])
def test_empty_updates_say_nothing(model: str) -> None:
    """A system message without words is left out."""
    assert len(messages_of(Message.user("a"), Message.system(" "), model=model)) == 1
    assert content_of(Message.user("a"), Message.system(" "), model=model) == [words("a")]


@pytest.mark.parametrize("model", [NEW, "claude-sonnet-5", "anthropic/claude-fable-5.1"])
def test_updates_are_messages_for_new_models(model: str) -> None:
    """New models take system messages between a user and an assistant, or at the end; elsewhere they are wrapped."""
    updates = [Message.system("Be brief."), Message.system(Text("Be kind.", cache=CacheHint()))]
    native = {
        "role": "system",
        "content": [words("Be brief."), {**words("Be kind."), "cache_control": {"type": "ephemeral"}}],
    }
    assert messages_of(Message.user("a"), *updates, model=model)[1:] == [native]
    assert messages_of(ASKED, RESULT, *updates, Message.assistant("b"), model=model)[2] == native
    between = messages_of(Message.user("a"), *updates, Message.user("b"), model=model)
    assert [message["role"] for message in between] == ["user", "user"]
    assert len(between[0]["content"]) == 3
    assert between[0]["content"][2]["cache_control"] == {"type": "ephemeral"}
    after = messages_of(Message.user("a"), Message.assistant("b"), updates[0], model=model)
    assert [message["role"] for message in after] == ["user", "assistant", "user"]


# --- round trips ----------------------------------------------------------------------------------


def test_an_answer_goes_back_as_it_came() -> None:
    """The message built from an answer is sent back as the same blocks, with all that the server wants to see."""
    coded = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    cited = {"type": "web_search_result_location", "encrypted_index": "i"}
    content: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "thinking", "thinking": "", "signature": "hidden"},
        {"type": "compaction", "content": "Long ago."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}, "caller": coded},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"url": "u"}], "caller": coded},
        {"type": "server_tool_use", "id": "srvtoolu_2", "name": "advisor", "input": {}},
        {"type": "advisor_tool_result", "tool_use_id": "srvtoolu_2", "content": {"type": "advisor_result"}},
        {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": True, "content": [words("no")]},
        {"type": "text", "text": "So ", "citations": [cited]},
        {"type": "text", "text": "it is."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": coded},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ]
    answer = Message("assistant", fold(whole(*content, reason="tool_use")).parts)
    results = Message.tool(ToolResult("toolu_1", "f", "ok"), ToolResult("toolu_2", "g", "ok"))
    request = Request.of([Message.user("a"), answer, results])
    assert mend(request) == (request, ())
    sent = messages_of(Message.user("a"), answer, results)[1]
    assert sent == {"role": "assistant", "content": content}
    json.dumps(sent)


def test_a_paused_turn_goes_on() -> None:
    """A paused turn is sent back as it is: a call of the server without a result is nothing to mend."""
    paused = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    answer = Message("assistant", fold(whole(words("One moment."), paused, reason="pause_turn")).parts)
    assert messages_of(Message.user("a"), answer)[1]["content"] == [words("One moment."), paused]
