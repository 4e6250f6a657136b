"""The request body of Chat Completions: messages, tools, options, output types, and the dialects of hosts."""

from __future__ import annotations

import base64
from typing import Any, TypedDict

import attrs
import pytest

from mellite.errors import InvalidRequest, UnsupportedOption
from mellite.messages import (
    Audio,
    CacheHint,
    Content,
    Deferred,
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
from mellite.protocols.openai_chat import OPENAI, ChatDialect, protocol
from mellite.protocols.openai_chat.body import lower
from mellite.request import Request, ToolDefinition

PNG = b"\x89PNG"
PLAIN = ChatDialect()


def body_of(
    prompt: Any = "hi", *, dialect: ChatDialect = OPENAI, stream: bool = False, **options: Any
) -> dict[str, Any]:
    return lower(Request.of(prompt, **{"model": "m", **options}), stream=stream, dialect=dialect)


def messages_of(*messages: Message, dialect: ChatDialect = PLAIN, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of(list(messages), dialect=dialect, **options)["messages"]
    return found


WEATHER = ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object", "properties": {"city": {}}})
CALL = ToolCall("call_1", "get_weather", {"city": "Paris"})
ASKED = Message.assistant(CALL)
RESULT = Message.tool(ToolResult("call_1", "get_weather", {"temperature": 22}))


# --- the whole ------------------------------------------------------------------------------------


def test_the_smallest_body() -> None:
    """A prompt and a model make a body with nothing in it that was not asked for."""
    assert body_of(dialect=PLAIN) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_the_body_for_openai() -> None:
    """OpenAI gets max_completion_tokens, store false, and is asked for the usage of a stream."""
    assert body_of(stream=True, max_tokens=5) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": False,
        "max_completion_tokens": 5,
    }


def test_all_options() -> None:
    """Every option that the protocol has a field for stands in the body, under the field's name."""
    options: dict[str, Any] = {
        "temperature": 0, "top_p": 0.5, "frequency_penalty": 1, "presence_penalty": -1, "seed": 7, "stop": "END",
        "reasoning_effort": "low", "parallel_tool_calls": False,
    }  # fmt: skip
    body = body_of(dialect=PLAIN, tools=[WEATHER], max_tokens=9, **options)
    assert {name: body[name] for name in options} == {**options, "stop": ["END"]}
    assert body["max_tokens"] == 9
    assert protocol(PLAIN).options == {*options, "max_tokens"}


def test_parallel_tool_calls_without_tools_is_not_sent() -> None:
    """OpenAI refuses the field where there are no tools, and it would mean nothing."""
    assert "parallel_tool_calls" not in body_of(parallel_tool_calls=True)


# --- messages -------------------------------------------------------------------------------------


def test_system_prompts_become_one_message() -> None:
    """The system prompt and system messages at the start are one message, a line each; none is left out if empty."""
    messages = messages_of(Message.system("B."), Message.user("hi"), system=["A.", "A2."])
    assert messages == [{"role": "system", "content": "A.\nA2.\nB."}, {"role": "user", "content": "hi"}]
    assert messages_of(Message.user("hi"), system="") == [{"role": "user", "content": "hi"}]


def test_later_system_messages_are_updates_by_the_user() -> None:
    """A system message later on is wrapped, escaped, and joined to the user's message before it."""
    update = "<system-update>\nBe &lt;brief&gt; &amp; kind.\n</system-update>"
    system = Message.system("Be <brief> & kind.")
    assert messages_of(Message.user("hi"), system)[0]["content"] == f"hi\n{update}"
    picture = Message.user(Image(PNG, media_type="image/png"))
    assert messages_of(picture, system)[0]["content"][-1] == {"type": "text", "text": update}
    assert messages_of(Message.user("hi"), Message.assistant("yo"), system)[-1] == {"role": "user", "content": update}


def test_user_texts_are_joined() -> None:
    """Several texts of the user are one text."""
    assert messages_of(Message.user("a", "b", Text("c"))) == [{"role": "user", "content": "abc"}]


def test_user_media() -> None:
    """Pictures by bytes and by URL, sound and PDF each have their own form."""
    data = base64.b64encode(PNG).decode()
    parts: list[Content] = [
        "Look:",
        Image(PNG, media_type="image/png; x=y"),
        Image(url="https://example.com/cat.png", provider_metadata={"openai": {"detail": "low"}}),
        Audio(PNG, media_type="audio/mpeg"),
        Document(PNG, media_type="application/pdf", filename="a.pdf"),
        Document(PNG, media_type="application/pdf"),
    ]
    assert messages_of(Message.user(*parts))[0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
    ]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (Image(PNG, media_type="image/tiff"), "image/tiff"),
        (Image(PNG), "media_type="),
        (Image(b"", media_type="image/png"), "1 to 20,971,520 bytes"),
        (Image(b"x" * (LARGEST + 1), media_type="image/png"), "20,971,521"),
        (Image(url="file:///etc/passwd"), "from_path"),
        (Image(url="http:evil"), "https://"),
        (Audio(PNG, media_type="audio/flac"), "audio/flac"),
        (Audio(url="https://example.com/a.mp3", media_type="audio/mp3"), "fetches nothing"),
        (Document(PNG, media_type="text/plain"), "application/pdf"),
        (Document(url="https://example.com/a.pdf", media_type="application/pdf"), "fetches nothing"),
        (Video(PNG, media_type="video/mp4"), "not Video"),
        (Reasoning("x"), "not Reasoning"),
        (CALL, "not ToolCall"),
        (Deferred(), "not Deferred"),
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


def test_an_assistant_message() -> None:
    """Texts are joined, calls are listed with their arguments as text, thinking has its field."""
    message = Message.assistant(Reasoning("Hm"), Reasoning("m."), "Let ", "me see.", CALL)
    assert messages_of(message) == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hmm.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        }
    ]
    assert messages_of(ASKED)[0]["content"] is None


def test_an_assistant_message_without_content_is_left_out() -> None:
    """Providers refuse empty assistant messages; calls that the provider made itself are none to send back."""
    hosted = attrs.evolve(CALL, provider_executed=True)
    assert messages_of(
        Message.user("a"), Message.assistant(), Message.assistant(Reasoning("x")), Message.assistant(hosted)
    ) == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("c", "f", {"a": 1}, raw_arguments='{ "a": 1 }'), '{ "a": 1 }'),
        (ToolCall("c", "f", {"a": 2}, raw_arguments='{ "a": 1 }'), '{"a":2}'),
        (ToolCall("c", "f", {}, raw_arguments=""), "{}"),
        (ToolCall("c", "f"), "{}"),
        (ToolCall("c", "f", None, raw_arguments='{"a'), '{"a'),
        (ToolCall("c", "f", {"a": "é\u2028"}), '{"a":"é\u2028"}'),
    ],
)
def test_arguments_go_back_as_they_came(call: ToolCall, arguments: str) -> None:
    """Arguments are sent as the model wrote them, byte for byte, unless they were changed."""
    assert messages_of(Message.assistant(call))[0]["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: {2}, "x": object()}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    """Arguments and results that are not JSON are InvalidRequest, NaN and Infinity included."""
    with pytest.raises(InvalidRequest, match="call_1"):
        messages_of(Message.assistant(ToolCall("call_1", "f", {"a": value})))
    with pytest.raises(InvalidRequest, match="call_1"):
        messages_of(Message.tool(ToolResult("call_1", "f", ToolValue("json", value))))


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({"temperature": 22}, '{"temperature":22}'),
        ("sunny", "sunny"),
        (ToolValue("error", "broken"), "broken"),
        (ToolValue("error", {"code": 1}), '{"code":1}'),
        (ToolValue("text", 5), "5"),
        ([Text("a"), Text("b")], "a\nb"),
        (None, "null"),
    ],
)
def test_tool_results_are_text(result: Any, content: str) -> None:
    """A tool's result is sent as text: JSON compactly, errors as what they say, texts a line each."""
    assert messages_of(Message.tool(ToolResult("call_1", "f", result))) == [
        {"role": "tool", "tool_call_id": "call_1", "content": content}
    ]


def test_pictures_from_tools_follow_their_results() -> None:
    """Pictures in results are sent as one message of the user after the run of results; an update joins it."""
    picture = Image(PNG, media_type="image/png")
    results = [Message.tool(ToolResult(id, "shot", [Text(f"see {id}"), picture])) for id in ("a", "b")]
    messages = messages_of(*results, Message.system("Go on."))
    assert [message["role"] for message in messages] == ["tool", "tool", "user"]
    assert [part["type"] for part in messages[2]["content"]] == ["image_url", "image_url", "text"]
    assert messages_of(results[0])[-1]["role"] == "user"


# --- tools, choices, output -----------------------------------------------------------------------


def test_tools() -> None:
    """Tools have a JSON Schema with an object at its root; only OpenAI is told about strictness."""
    bare = ToolDefinition("now", input_schema={})
    strict = attrs.evolve(WEATHER, strict=True)
    assert body_of(tools=[strict, bare])["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Get the weather.",
                "parameters": {"type": "object", "properties": {"city": {}}},
                "strict": True,
            },
        },
        {
            "type": "function",
            "function": {
                "name": "now",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
        },
    ]
    assert "strict" not in body_of(tools=[strict], dialect=PLAIN)["tools"][0]["function"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        (WEATHER, {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
def test_tool_choice(choice: Any, sent: Any) -> None:
    """A mode is sent as its word, a tool by its name."""
    assert body_of(tools=[WEATHER], tool_choice=choice)["tool_choice"] == sent


@pytest.mark.parametrize(("tools", "choice"), [([WEATHER], "other"), ([], "get_weather"), ([], "required")])
def test_a_choice_among_tools_that_are_not_there_is_refused(tools: list[Any], choice: str) -> None:
    """To force a tool, it must be among the tools."""
    with pytest.raises(InvalidRequest, match="tool_choice"):
        body_of(tools=tools, tool_choice=choice)


@attrs.frozen
class City:
    """A city."""

    name: str
    rivers: list[str]


@attrs.frozen
class Loose:
    """Something with an optional field."""

    name: str
    nick: str | None = None


class Typed(TypedDict):
    """As a TypedDict."""

    name: str


def test_output_types_become_a_schema() -> None:
    """An output type is sent as a JSON Schema, strict where it can be."""
    form = body_of(output=City)["response_format"]
    assert form["type"] == "json_schema"
    assert (form["json_schema"]["name"], form["json_schema"]["strict"]) == ("City", True)
    schema = form["json_schema"]["schema"]
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["name", "rivers"], False)
    loose = body_of(output=Loose)["response_format"]["json_schema"]
    assert (loose["strict"], loose["schema"]["required"]) == (True, ["name", "nick"])
    assert body_of(output=dict[str, int])["response_format"]["json_schema"]["strict"] is False
    assert body_of(output=Typed)["response_format"]["json_schema"]["strict"] is True
    assert "response_format" not in body_of(output=str)


@pytest.mark.parametrize(("output", "inner"), [(list[int], {"type": "array", "items": {"type": "integer"}}),
                                                (int, {"type": "integer"})])  # fmt: skip
def test_output_types_that_are_no_object_are_wrapped(output: Any, inner: Any) -> None:
    """OpenAI can only be held to an object, so any other answer stands in one."""
    schema = body_of(output=output)["response_format"]["json_schema"]["schema"]
    assert (schema["type"], schema["properties"], schema["required"]) == ("object", {"value": inner}, ["value"])


def test_what_is_no_output_type_is_refused() -> None:
    """What has no JSON Schema is InvalidRequest."""
    with pytest.raises(InvalidRequest, match="output type"):
        body_of(output=object())


def test_a_host_without_schemas_has_a_tool_called() -> None:
    """Where the answer cannot be held to a schema, a tool takes it; to want a schema is refused, unless it may drop."""
    without = ChatDialect(json_schema=False)
    with pytest.raises(UnsupportedOption, match="output_mode") as caught:
        body_of(output=City, dialect=without, output_mode="native")
    assert caught.value.option == "output_mode"
    for told in ({}, {"output_mode": "native", "drop_unsupported": True}):
        body = body_of(output=City, dialect=without, **told)
        assert "response_format" not in body
        assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}


# --- provider options and dialects ----------------------------------------------------------------


def test_provider_options_go_into_the_body() -> None:
    """Options of the provider's own stand in the body as they are; some have two spellings; the cache key is cut."""
    own = {"store": True, "reasoningEffort": "high", "promptCacheKey": "k" * 70, "logit_bias": {"1": 2}}
    body = body_of(provider_options={"openai": own, "other": {"x": 1}}, reasoning_effort="low")
    assert (body["store"], body["reasoning_effort"], body["logit_bias"]) == (True, "high", {"1": 2})
    assert body["prompt_cache_key"] == "k" * 64
    assert "x" not in body
    assert body_of(provider_options={"openai": {"usage": True}})["usage"] == {"include": True}
    twice = ChatDialect(namespaces=("openai", "groq"))
    assert body_of(provider_options={"groq": {"user": "b"}, "openai": {"user": "a"}}, dialect=twice)["user"] == "b"


@pytest.mark.parametrize("own", [{"model": "x"}, {"messages": []}, {"stream": False}, 5])
def test_provider_options_cannot_replace_the_request(own: Any) -> None:
    """What a request says itself cannot be said again in provider options."""
    with pytest.raises(InvalidRequest, match="openai"):
        body_of(provider_options={"openai": own})


def test_seed_and_stream_usage_are_facts_of_a_host() -> None:
    """Mistral's seed has another name, and it needs not be asked for usage."""
    mistral = ChatDialect(seed="random_seed", stream_usage=False)
    body = body_of(dialect=mistral, stream=True, seed=3)
    assert (body["random_seed"], "seed" in body, "stream_options" in body) == (3, False, False)


def test_pieces_of_calls_may_have_to_be_asked_for() -> None:
    """Z.ai streams the arguments of calls only if it is asked to, which makes sense where there are tools."""
    zai = ChatDialect(tool_stream=True)
    assert body_of(dialect=zai, stream=True, tools=[WEATHER])["tool_stream"] is True
    assert "tool_stream" not in body_of(dialect=zai, stream=True)
    assert "tool_stream" not in body_of(dialect=zai, tools=[WEATHER])


def test_openrouters_reasoning_object() -> None:
    """Effort and budget go into one object, and the details of earlier thinking go back."""
    dialect = ChatDialect(reasoning_object=True, reasoning_field="reasoning")
    assert body_of(dialect=dialect, reasoning_effort="low", reasoning_budget=99)["reasoning"] == {
        "effort": "low",
        "max_tokens": 99,
    }
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    thought = Reasoning("Hm.", provider_metadata={"openai": {"reasoning_details": details}})
    message = messages_of(Message.assistant(thought, "Yes."), dialect=dialect)[0]
    assert (message["reasoning"], message["reasoning_details"]) == ("Hm.", details)
    assert "reasoning_details" not in messages_of(Message.assistant(thought, "Yes."))[0]


def test_texts_are_marked_for_the_cache_where_that_helps() -> None:
    """Routers hand marks on to the models that want them; the policy chooses, and hints are for no other model."""
    routed = ChatDialect(cache_models="anthropic/")
    mark = {"cache_control": {"type": "ephemeral"}}
    long = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}  # what stands before a long mark has to live as long
    history = [
        Message.user("a"),
        Message.assistant("b"),
        Message.user("c", Text("d", cache=CacheHint(ttl_seconds=3600))),
    ]
    options: dict[str, Any] = {"dialect": routed, "system": ["A.", "B."], "model": "anthropic/claude-x"}
    assert messages_of(*history, **options) == [
        {"role": "system", "content": [{"type": "text", "text": "A.", **long}, {"type": "text", "text": "B.", **long}]},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "c"},
                {"type": "text", "text": "d", **long},
            ],
        },
    ]
    assert messages_of(Message.user("a"), **options)[1]["content"] == [{"type": "text", "text": "a", **mark}]
    assert messages_of(Message.user("a"), **options, cache="none")[0]["content"] == "A.\nB."
    assert messages_of(*history, **{**options, "model": "openai/gpt-x"})[-1]["content"] == "cd"
    assert messages_of(*history, **{**options, "dialect": PLAIN})[-1]["content"] == "cd"


def test_thinking_may_be_required() -> None:
    """DeepSeek wants the field in every assistant message, if only empty."""
    assert messages_of(ASKED, dialect=ChatDialect(reasoning_required=True))[0]["reasoning_content"] == ""
    assert "reasoning_content" not in messages_of(ASKED)[0]


def test_thinking_may_be_unwelcome() -> None:
    """Where a host refuses to see thinking again, it is left out."""
    thought = Message.assistant(Reasoning("Hm."), "Yes.")
    assert messages_of(thought, dialect=ChatDialect(reasoning_field=None)) == [{"role": "assistant", "content": "Yes."}]


def test_thinking_kept_natively_goes_back() -> None:
    """Thinking that a caller keeps in the message's native notes is sent."""
    message = Message("assistant", ("Yes.",), native={"openaiCompatible": {"reasoning_content": "Hm."}})
    assert messages_of(message)[0]["reasoning_content"] == "Hm."


def test_an_assistant_may_have_to_speak_after_a_tool() -> None:
    """Mistral wants an assistant between a tool's result and the user."""
    roles = [
        m["role"] for m in messages_of(ASKED, RESULT, Message.user("a"), dialect=ChatDialect(assistant_after_tool=True))
    ]
    assert roles == ["assistant", "tool", "assistant", "user"]


def test_empty_tools_where_a_host_wants_them() -> None:
    """Some routers want `tools: []` where the history has tool calls but the request no tools."""
    wants = ChatDialect(empty_tools=True)
    assert body_of([ASKED, RESULT], dialect=wants)["tools"] == []
    assert "tools" not in body_of([ASKED, RESULT])
    assert "tools" not in body_of(dialect=wants)


def test_what_a_host_wants_to_see_again_of_a_call() -> None:
    """Gemini's thought signature, told with a call, goes back with it."""
    signed = ToolCall("c", "f", {}, provider_metadata={"openai": {"extra_content": {"google": 1}, "other": 2}})
    assert messages_of(Message.assistant(signed))[0]["tool_calls"][0] == {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": 1},
    }
