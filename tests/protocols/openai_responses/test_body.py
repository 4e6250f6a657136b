"""The request body of OpenAI Responses: messages, thinking, tools, options, output types, and the dialects of hosts."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from mellite.errors import InvalidRequest
from mellite.messages import (
    Audio,
    Content,
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
from mellite.protocols.media import LARGEST
from mellite.protocols.openai_responses import OPENAI, ResponsesDialect, protocol
from mellite.protocols.openai_responses.body import lower
from mellite.request import Request, ToolDefinition

PNG = b"\x89PNG"
PLAIN = ResponsesDialect(store=False, strict_tools=False)


def body_of(
    prompt: Any = "hi", *, dialect: ResponsesDialect = OPENAI, stream: bool = False, **options: Any
) -> dict[str, Any]:
    return lower(Request.of(prompt, **{"model": "m", **options}), stream=stream, dialect=dialect)


def input_of(*messages: Message, store: bool = False, **options: Any) -> list[dict[str, Any]]:
    given = {"provider_options": {"openai": {"store": store}}, **options}
    found: list[dict[str, Any]] = body_of(list(messages), **given)["input"]
    return found


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


WEATHER = ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object", "properties": {"city": {}}})
CALL = ToolCall("call_1", "get_weather", {"city": "Paris"})
ASKED = Message.assistant(CALL)


# --- the whole ------------------------------------------------------------------------------------


def test_the_smallest_body() -> None:
    """A prompt and a model make a body with nothing in it that was not asked for."""
    assert body_of(dialect=PLAIN) == {"model": "m", "input": [user("hi")]}


def test_the_body_for_openai() -> None:
    """OpenAI is told not to store the answer; models that think are asked for their thinking encrypted."""
    assert body_of(stream=True) == {"model": "m", "store": False, "stream": True, "input": [user("hi")]}
    for model in ("gpt-5.5", "gpt-5-mini", "o3", "o4-mini", "codex-mini-latest", "gpt-10", "proxy/gpt-5"):
        assert body_of(model=model)["include"] == ["reasoning.encrypted_content"], model
    for model in ("gpt-4o-mini", "gpt-4.1", "gpt-5-chat-latest", "chatgpt-4o-latest", "my-o3"):
        assert "include" not in body_of(model=model), model


def test_what_is_stored_needs_no_encryption() -> None:
    """Where the caller lets answers be stored, thinking is referred to, not carried along."""
    body = body_of(model="gpt-5", provider_options={"openai": {"store": True}})
    assert (body["store"], "include" in body) == (True, False)


def test_options() -> None:
    """Each option has its field."""
    body = body_of(max_tokens=5, temperature=0, top_p=0.5, reasoning_effort="low", dialect=PLAIN)
    assert body == {
        "model": "m",
        "input": [user("hi")],
        "max_output_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "reasoning": {"effort": "low"},
    }
    assert "stop" not in protocol().options
    more = ResponsesDialect(more_options=frozenset({"stop", "seed", "top_k"}), no_options=frozenset({"top_p"}))
    assert {"stop", "seed", "top_k"} <= protocol(more).options
    assert "top_p" not in protocol(more).options
    body = body_of(stop="x", seed=1, top_k=3, dialect=more)
    assert (body["stop"], body["seed"], body["top_k"]) == (["x"], 1, 3)


def test_provider_options_go_into_the_body() -> None:
    """What only this provider knows is sent as it is; some of it has a place inside another field."""
    given = {
        "reasoning_summary": "auto",
        "reasoningEffort": "high",
        "textVerbosity": "low",
        "include": ["web_search_call.action.sources"],
        "promptCacheKey": "k" * 70,
        "serviceTier": "flex",
        "previousResponseId": "resp_1",
        "something_new": {"a": 1},
    }
    body = body_of(model="gpt-5", reasoning_effort="low", provider_options={"openai": given})
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert body["text"] == {"verbosity": "low"}
    assert body["include"] == ["web_search_call.action.sources", "reasoning.encrypted_content"]
    assert body["prompt_cache_key"] == "k" * 64
    assert (body["service_tier"], body["previous_response_id"]) == ("flex", "resp_1")
    assert body["something_new"] == {"a": 1}
    merged = body_of(reasoning_effort="low", provider_options={"openai": {"reasoning": {"summary": "auto"}}})
    assert merged["reasoning"] == {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize("options", [{"input": []}, {"model": "x"}, {"stream": False}, "text", ["a"]])
def test_provider_options_that_cannot_be(options: Any) -> None:
    """What the request has a field for cannot be set a second time, and options are a mapping."""
    with pytest.raises(InvalidRequest):
        body_of(provider_options={"openai": options})


def test_namespaces() -> None:
    """The company's own options are laid over those for OpenAI."""
    dialect = ResponsesDialect(namespaces=("openai", "xai"))
    given = {"openai": {"a": 1, "b": 1}, "xai": {"b": 2}, "other": {"c": 3}}
    body = body_of(provider_options=given, dialect=dialect)
    assert (body["a"], body["b"], "c" in body) == (1, 2, False)


# --- tools ----------------------------------------------------------------------------------------


def test_tools() -> None:
    """A tool is a function with a schema whose root is an object; strict is said, as it is the default."""
    body = body_of(tools=[WEATHER, ToolDefinition("now", input_schema={}, strict=True)], parallel_tool_calls=False)
    assert body["tools"] == [
        {
            "type": "function",
            "name": "get_weather",
            "description": "Get the weather.",
            "parameters": {"type": "object", "properties": {"city": {}}},
            "strict": False,
        },
        {
            "type": "function",
            "name": "now",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
    ]
    assert body["parallel_tool_calls"] is False
    assert "strict" not in body_of(tools=[WEATHER], dialect=PLAIN)["tools"][0]


def test_tools_of_other_types() -> None:
    """A definition's ``native`` makes it a custom tool, or one that the provider runs."""
    grammar = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    custom = ToolDefinition("match", "Match.", native={"openai": {"type": "custom", "format": grammar}})
    search = ToolDefinition("search", native={"openai": {"type": "web_search", "search_context_size": "low"}})
    later = ToolDefinition("later", native={"openai": {"defer_loading": True}})
    tools = body_of(tools=[custom, search, later])["tools"]
    assert tools[0] == {"type": "custom", "name": "match", "description": "Match.", "format": grammar}
    assert tools[1] == {"type": "web_search", "search_context_size": "low"}
    assert (tools[2]["type"], tools[2]["defer_loading"]) == ("function", True)


def test_hosted_tools_may_be_provider_options() -> None:
    """Tools among the provider options come before those of the request."""
    hosted = {"openai": {"tools": [{"type": "web_search"}]}}
    assert [tool["type"] for tool in body_of(tools=[WEATHER], provider_options=hosted)["tools"]] == [
        "web_search",
        "function",
    ]
    assert body_of(tool_choice="required", provider_options=hosted)["tool_choice"] == "required"


def test_tool_choice() -> None:
    """A mode, or a tool by its name or type."""
    for mode in ("auto", "none", "required"):
        assert body_of(tools=[WEATHER], tool_choice=mode)["tool_choice"] == mode
    named = body_of(tools=[WEATHER], tool_choice="get_weather")["tool_choice"]
    assert named == {"type": "function", "name": "get_weather"}
    search = ToolDefinition("search", native={"openai": {"type": "web_search"}})
    assert body_of(tools=[search], tool_choice="web_search")["tool_choice"] == {"type": "web_search"}
    assert "tool_choice" not in body_of(tool_choice="auto")
    for choice in ("get_weather", "required"):
        with pytest.raises(InvalidRequest):
            body_of(tool_choice=choice)
    with pytest.raises(InvalidRequest, match="not among the tools get_weather, web_search"):
        body_of(tools=[WEATHER, search], tool_choice="get_time")


def test_an_output_type() -> None:
    """An answer in a given shape is asked for with a strict schema where it can be."""

    @attrs.frozen
    class City:
        name: str
        people: int = 0

    body = body_of(output=City, provider_options={"openai": {"verbosity": "low"}})
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["name"] == "City"
    assert body["text"]["format"]["strict"] is True
    assert body["text"]["format"]["schema"]["required"] == ["name", "people"]
    assert body_of(output=dict[str, int])["text"]["format"]["strict"] is False
    strict = body_of(output=attrs.make_class("Name of it", {"name": attrs.field(type=str)}, frozen=True))
    shape = strict["text"]["format"]
    assert (shape["type"], shape["name"], shape["strict"]) == ("json_schema", "Name_of_it", True)
    assert list(body_of(output=list[int])["text"]["format"]["schema"]["properties"]) == ["value"]


# --- messages -------------------------------------------------------------------------------------


def test_system_and_updates() -> None:
    """The system prompt is the first item; what comes later is an update by the developer."""
    messages = [Message.system("B"), Message.user("hi"), Message.system("Now be loud.")]
    assert input_of(*messages, system="A") == [
        {"role": "system", "content": "A\nB"},
        user("hi"),
        {"role": "developer", "content": "Now be loud."},
    ]


def test_what_a_user_says() -> None:
    """Texts, pictures and files, by their bytes or by a URL."""
    detailed = Image(PNG, media_type="image/png", provider_metadata={"openai": {"detail": "low"}})
    parts: list[Content] = [
        "Look:",
        detailed,
        Image(url="https://example.com/cat.png"),
        Document(b"%PDF", media_type="application/pdf", filename="a.pdf"),
        Document(url="https://example.com/a.pdf"),
        Document(b"a,b", media_type="text/csv"),
    ]
    assert input_of(Message.user(*parts))[0]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "low"},
        {"type": "input_image", "image_url": "https://example.com/cat.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "filename": "document", "file_data": "data:text/csv;base64,YSxi"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        Audio(b"x", media_type="audio/mpeg"),
        Video(b"x", media_type="video/mp4"),
        Image(b"x", media_type="image/tiff"),
        Image(b"", media_type="image/png"),
        Image(bytes(LARGEST + 1), media_type="image/png"),
        Image(url="file:///etc/passwd"),
        Document(b"x", media_type="application/zip"),
        Document(url="/etc/passwd"),
        Reasoning("hm"),
        CALL,
    ],
)
def test_what_a_user_cannot_say(part: Any) -> None:
    """Types, sizes and URLs that the provider would not take are refused before anything is sent."""
    with pytest.raises(InvalidRequest, match="OpenAI Responses"):
        input_of(Message.user(part))


def test_parts_where_they_cannot_be() -> None:
    """A system message is text, the model says no pictures, and tools give results."""
    picture = Image(PNG, media_type="image/png")
    for message in (Message.system(picture), Message.assistant(picture), Message("tool", "text")):
        with pytest.raises(InvalidRequest):
            input_of(Message.user("hi"), message)


def test_what_the_model_said() -> None:
    """Its parts keep their order; texts next to each other are one message."""
    said = Message.assistant("A", "B", "", CALL, "C")
    assert input_of(Message.user("hi"), said)[1:] == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "A"}, {"type": "output_text", "text": "B"}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Paris"}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "C"}]},
    ]


def test_phases_go_back() -> None:
    """A commentary and a final answer stay apart, and say what they are."""
    parts = [Text(text, provider_metadata={"openai": {"item_id": text, "phase": text}}) for text in ("a", "b")]
    assert [(item["phase"], len(item["content"])) for item in input_of(Message.assistant(*parts))] == [
        ("a", 1),
        ("b", 1),
    ]


def test_messages_as_items() -> None:
    """Where ids are wanted, messages of the assistant are items again."""
    part = Text("A", provider_metadata={"openai": {"item_id": "msg_1"}})
    (item,) = body_of(Message.assistant(part), dialect=ResponsesDialect(message_ids=True))["input"]
    said = [{"type": "output_text", "text": "A"}]
    assert item == {"type": "message", "id": "msg_1", "role": "assistant", "content": said}


# --- thinking -------------------------------------------------------------------------------------


def noted(text: str = "", **facts: Any) -> Reasoning:
    return Reasoning(text, provider_metadata={"openai": {"item_id": "rs_1", **facts}})


def test_thinking_goes_back_encrypted() -> None:
    """The parts of one item are one item again, with what was encrypted."""
    said = Message.assistant(noted("One."), noted("Two.", encrypted_content="gAAA"), "Hi.")
    assert input_of(said)[0] == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
        "encrypted_content": "gAAA",
    }
    by_hand = Reasoning("", encrypted="gAAA")
    assert input_of(Message.assistant(by_hand)) == [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]


def test_items_of_thinking_stay_apart() -> None:
    """Thinking of two items, next to each other, is two items."""
    second = Reasoning("B", provider_metadata={"openai": {"item_id": "rs_2", "encrypted_content": "2"}})
    items = input_of(Message.assistant(noted("A", encrypted_content="1"), second))
    assert [item["encrypted_content"] for item in items] == ["1", "2"]


def test_thinking_that_means_nothing_to_the_model_stays_here() -> None:
    """A bare summary, and thinking of other companies, are not sent."""
    foreign = Reasoning("x", encrypted="sig", provider_metadata={"anthropic": {"signature": "sig"}})
    assert input_of(Message.assistant(noted("Just a summary."), foreign, Reasoning("By hand."))) == []


def test_thinking_that_was_shown_goes_back() -> None:
    """Thinking itself, as open models show it, is content and not a summary."""
    assert input_of(Message.assistant(noted("Hm.", kind="reasoning_text"))) == [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    ]


def test_stored_items_are_referred_to() -> None:
    """Where the provider keeps answers, thinking and its own tools' work are named by id, once each."""
    ran = {"provider_executed": True, "provider_metadata": {"openai": {"item_id": "ws_1"}}}
    parts = [
        noted("A"),
        noted("B"),
        ToolCall("ws_1", "web_search", {}, **ran),
        ToolResult("ws_1", "web_search", 1, **ran),
    ]
    message = Message.assistant(*parts, "Hi.")
    assert input_of(message, store=True)[:2] == [
        {"type": "item_reference", "id": "rs_1"},
        {"type": "item_reference", "id": "ws_1"},
    ]
    assert [item.get("role") for item in input_of(message)] == ["assistant"]
    assert input_of(Message.assistant(parts[3]), store=True) == [{"type": "item_reference", "id": "ws_1"}]


def test_items_that_go_back_as_they_came() -> None:
    """What only is encrypted goes back whole."""
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
    assert input_of(Message.assistant(Reasoning("", provider_metadata={"openai": {"item": item}}))) == [item]


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ({"temperature": 22}, '{"temperature":22}'),
        ("sunny", "sunny"),
        (None, "null"),
        (ToolValue("error", "down"), "down"),
        (ToolValue("error", {"code": 1}), '{"code":1}'),
        (ToolValue("text", 5), "5"),
        (Text("seen"), [{"type": "input_text", "text": "seen"}]),
        (["seen", Image(PNG, media_type="image/png")], None),
    ],
)
def test_tool_results(result: Any, output: Any) -> None:
    """JSON and text are a text; parts are parts."""
    if output is None:
        result = [Text(result[0]), result[1]]
        output = [
            {"type": "input_text", "text": "seen"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="},
        ]
    items = input_of(ASKED, Message.tool(ToolResult("call_1", "get_weather", result)))
    assert items[1] == {"type": "function_call_output", "call_id": "call_1", "output": output}


def test_results_of_custom_tools_and_of_other_calls() -> None:
    """A result is of the kind that its call was."""
    custom = ToolCall(
        "call_1", "sql", raw_arguments="SELECT 1", provider_metadata={"openai": {"kind": "custom_tool_call"}}
    )
    item = {"type": "computer_call", "id": "cu_1", "call_id": "call_2", "action": {"type": "screenshot"}}
    other = ToolCall("call_2", "computer", {}, provider_metadata={"openai": {"item": item}})
    seen = {"type": "computer_screenshot", "image_url": "data:..."}
    results = Message.tool(ToolResult("call_1", "sql", "1 row"), ToolResult("call_2", "computer", seen))
    assert input_of(Message.assistant(custom, other), results) == [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "SELECT 1"},
        item,
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1 row"},
        {"type": "computer_call_output", "call_id": "call_2", "output": seen},
    ]


def test_a_custom_tool_that_was_given_nothing() -> None:
    """No input is not text, not an empty object."""
    call = ToolCall("call_1", "now", {}, raw_arguments="", provider_metadata={"openai": {"kind": "custom_tool_call"}})
    assert input_of(Message.assistant(call))[0]["input"] == ""


def test_a_namespace_goes_back() -> None:
    """A tool that was found by a search is called by its namespace again."""
    call = attrs.evolve(CALL, provider_metadata={"openai": {"namespace": "weather"}})
    assert input_of(Message.assistant(call))[0]["namespace"] == "weather"


def test_histories_are_mended() -> None:
    """A call without a result gets one; a result without a call is text, unless the server knows the call."""
    mend = protocol().mend
    request, changes = mend(Request.of([ASKED, Message.user("And?")], model="m"))
    assert [item.get("type") for item in lower(request, stream=False)["input"]] == [
        "function_call",
        "function_call_output",
        None,
    ]
    assert changes
    stray = Request.of(Message.tool(ToolResult("call_1", "get_weather", "sunny")), model="m")
    assert lower(mend(stray)[0], stream=False)["input"][0]["role"] == "user"
    known = attrs.evolve(stray, provider_options={"openai": {"previous_response_id": "resp_1"}})
    assert lower(mend(known)[0], stream=False)["input"][0]["type"] == "function_call_output"
