"""The request body of Bedrock's Converse: messages, media, tools, options of families of models, cache points."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import frozen

from mellite.errors import InvalidRequest, UnsupportedOption
from mellite.messages import Audio, CacheHint, Content, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.protocols.bedrock_converse import protocol
from mellite.protocols.bedrock_converse.body import lower, mend
from mellite.request import CachePolicy, Request, ToolDefinition
from tests.protocols.bedrock_converse.converse import CLAUDE, NOVA, body_of

WEATHER = ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object", "properties": {"city": {}}})
CALL = ToolCall("call_1", "get_weather", {"city": "Paris"})
USE = {"toolUse": {"toolUseId": "call_1", "name": "get_weather", "input": {"city": "Paris"}}}
RESULT = Message.tool(ToolResult("call_1", "get_weather", {"temperature": 22}))
POINT = {"cachePoint": {"type": "default"}}
PNG = b"\x89PNG"


def messages_of(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of(list(messages), **options)["messages"]
    return found


def blocks_of(*parts: Content, **options: Any) -> list[dict[str, Any]]:
    """The blocks of one message of the user."""
    found: list[dict[str, Any]] = messages_of(Message.user(*parts), **options)[0]["content"]
    return found


def replied(*parts: Any, **options: Any) -> list[dict[str, Any]]:
    """The blocks of an assistant's message between two of the user's."""
    talk = messages_of(Message.user("a"), Message.assistant(*parts), Message.user("b"), **options)
    found: list[dict[str, Any]] = talk[1]["content"]
    return found


def result_of(value: Any) -> dict[str, Any]:
    """The block of a tool's result."""
    answered = Message.tool(ToolResult("call_1", "get_weather", value))
    found: dict[str, Any] = messages_of(Message.user("a"), Message.assistant(CALL), answered)[2]["content"][0]
    return found["toolResult"]  # type: ignore[no-any-return]


# --- the whole ------------------------------------------------------------------------------------


def test_the_smallest_body() -> None:
    """A prompt and a model make a body with nothing in it that was not asked for."""
    assert body_of() == {"modelId": NOVA, "messages": [{"role": "user", "content": [{"text": "hi"}]}]}


def test_all_options() -> None:
    """Every option that the protocol has a place for stands in it."""
    body = body_of(
        max_tokens=9, temperature=0.5, top_p=0.9, stop=["A", "B"], top_k=3, reasoning_budget=1024, model=CLAUDE,
        reasoning_effort="low",
    )  # fmt: skip
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["A", "B"]}
    assert body["additionalModelRequestFields"] == {
        "top_k": 3,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    assert body["outputConfig"] == {"effort": "low"}
    assert protocol().options == {
        "max_tokens", "temperature", "top_p", "top_k", "stop", "reasoning_budget", "reasoning_effort",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "option", "fields"),
    [
        (NOVA, {"top_k": 3}, {"inferenceConfig": {"topK": 3}}),
        ("cohere.command-r-v1:0", {"top_k": 3}, {"k": 3}),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 3}, {"top_k": 3}),
        ("qwen.qwen3-32b-v1:0", {"reasoning_effort": "high"}, {"reasoning_config": "high"}),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        (
            "us.amazon.nova-2-lite-v1:0",
            {"reasoning_effort": "low", "top_k": 1},
            {"inferenceConfig": {"topK": 1}, "reasoningConfig": {"maxReasoningEffort": "low", "type": "enabled"}},
        ),
        (CLAUDE, {"reasoning_budget": 0}, {"thinking": {"type": "disabled"}}),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", {"reasoning_budget": 2000},
         {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ],
)  # fmt: skip
def test_families_have_names_of_their_own(model: str, option: dict[str, Any], fields: dict[str, Any]) -> None:
    """What Converse has no field for goes where the family of models wants it."""
    assert body_of(model=model, **option)["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("model", "option"),
    [
        (NOVA, {"reasoning_effort": "low"}),
        (NOVA, {"reasoning_budget": 1024}),
        ("anthropic.claude-3-haiku-20240307-v1:0", {"reasoning_effort": "low"}),
        ("meta.llama3-70b-instruct-v1:0", {"reasoning_budget": 1024}),
    ],
)
def test_what_a_family_cannot_do_is_refused(model: str, option: dict[str, Any]) -> None:
    """An option without a place is refused with its name and the model's, or left out where that is allowed."""
    (name,) = option
    with pytest.raises(UnsupportedOption, match=f"{name}.*{model}") as caught:
        body_of(model=model, **option)
    assert caught.value.option == name
    assert body_of(model=model, drop_unsupported=True, **option) == body_of(model=model)


@frozen
class City:
    name: str


def test_an_output_type_is_a_schema() -> None:
    """An answer of a type is asked for by its JSON Schema, as text; a name has only the letters that are taken."""
    told = body_of(output=City, reasoning_effort="low", model=CLAUDE)["outputConfig"]
    assert told["effort"] == "low"
    assert told["textFormat"]["type"] == "json_schema"
    shape = told["textFormat"]["structure"]["jsonSchema"]
    assert shape["name"] == "City"
    schema = json.loads(shape["schema"])
    assert (schema["required"], schema["additionalProperties"]) == (["name"], False)
    open_ended = body_of(output=dict[str, int], model=CLAUDE)["toolConfig"]
    assert open_ended["toolChoice"] == {"tool": {"name": "answer"}}
    schema = open_ended["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert schema["additionalProperties"] == {"type": "integer"}


def test_provider_options_are_fields_of_the_body() -> None:
    """What only Bedrock knows stands in the body; an object is laid over the one that is there."""
    body = body_of(
        temperature=0,
        top_k=3,
        provider_options={
            "bedrock": {
                "guardrailConfig": {"guardrailIdentifier": "g"},
                "inferenceConfig": {"topP": 1},
                "additionalModelRequestFields": {"x": 1},
            },
            "anthropic": {"y": 1},
        },
    )
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert body["inferenceConfig"] == {"temperature": 0, "topP": 1}
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}, "x": 1}
    for options in ({"messages": []}, {"modelId": "m"}, {"system": []}, {"toolConfig": {}}, "x"):
        with pytest.raises(InvalidRequest, match="provider_options"):
            body_of(provider_options={"bedrock": options})


# --- messages -------------------------------------------------------------------------------------


def test_system_prompts_are_blocks() -> None:
    """The system prompt and system messages at the start are blocks of their own; empty ones are left out."""
    body = body_of([Message.system("B."), Message.user("hi")], system=["A.", ""])
    assert body["system"] == [{"text": "A."}, {"text": "B."}]
    assert "system" not in body_of(system="")


def test_later_system_messages_are_updates_by_the_user() -> None:
    """A system message later on is wrapped, escaped, and joined to the user's message before it."""
    update = {"text": "<system-update>\nBe &lt;brief&gt;.\n</system-update>"}
    system = Message.system("Be <brief>.")
    assert messages_of(Message.user("a"), system) == [{"role": "user", "content": [{"text": "a"}, update]}]
    talk = messages_of(Message.user("a"), Message.assistant("b"), system)
    assert talk[2] == {"role": "user", "content": [update]}


def test_roles_take_turns() -> None:
    """Messages of one role in a row are one, as Bedrock wants roles to alternate; results are the user's."""
    second = ToolCall("call_2", "get_weather", {})
    talk = messages_of(
        Message.user("a"),
        Message.user("b"),
        Message.assistant("c"),
        Message.assistant(CALL, second),
        RESULT,
        Message.tool(ToolResult("call_2", "get_weather", "x")),
        Message.user("d"),
    )
    assert [message["role"] for message in talk] == ["user", "assistant", "user"]
    assert talk[0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert [next(iter(block)) for block in talk[1]["content"]] == ["text", "toolUse", "toolUse"]
    assert [next(iter(block)) for block in talk[2]["content"]] == ["toolResult", "toolResult", "text"]


def test_blank_texts_are_left_out() -> None:
    """Bedrock refuses blank texts: they are left out, and an assistant's message of nothing else with them."""
    assert blocks_of("", "a", " \n") == [{"text": "a"}]
    assert messages_of(Message.user("a"), Message.assistant(" "), Message.user("b"))[0]["content"] == [
        {"text": "a"},
        {"text": "b"},
    ]
    assert blocks_of("") == [{"text": ""}]


def test_thinking_goes_back_with_its_signature() -> None:
    """Signatures and hidden thinking stand where they came from; one of Claude's from elsewhere holds here, too."""
    signed = Reasoning("Hm.", provider_metadata={"bedrock": {"signature": "s"}})
    hidden = Reasoning("", provider_metadata={"bedrock": {"redactedContent": "aGk="}})
    elsewhere = Reasoning("Hm.", provider_metadata={"anthropic": {"signature": "t"}})
    given = Reasoning("Hm.", encrypted="u")
    said = [{"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": proof}}} for proof in "stu"]
    assert replied(signed, hidden, elsewhere, given, "b", model=CLAUDE) == [
        said[0],
        {"reasoningContent": {"redactedContent": "aGk="}},
        said[1],
        said[2],
        {"text": "b"},
    ]


def test_thinking_without_a_signature() -> None:
    """Claude refuses unsigned thinking, so it is left out, visibly; other models take it; blank thinking is nothing."""
    parts = (Reasoning("Hm."), Reasoning("x", encrypted="y", provider_metadata={"openai": {}}), "b")
    for model in (CLAUDE, "anthropic.claude-3-haiku-20240307-v1:0"):
        assert replied(*parts, model=model) == [{"text": "b"}]
    told = [{"reasoningContent": {"reasoningText": {"text": text}}} for text in ("Hm.", "x")]
    assert replied(*parts, Reasoning(" "), model=NOVA) == [*told, {"text": "b"}]
    _, changes = mend(Request.of([Message.user("a"), Message.assistant(*parts), Message.user("b")], model=CLAUDE))
    assert changes == ("thinking without a signature is left out: the model would refuse it",)


def test_what_claude_is_to_continue_ends_without_space() -> None:
    """White space at the end of a last assistant message, which Claude refuses, is left out, visibly."""
    request, changes = mend(Request.of([Message.user("a"), Message.assistant("b ", "c \n")], model=CLAUDE))
    assert request.messages[-1].text == "b c"
    assert len(changes) == 1
    kept = Request.of([Message.user("a"), Message.assistant("b ")], model=NOVA)
    assert mend(kept) == (kept, ())


def test_citations_go_back_with_their_text() -> None:
    """A text with citations is sent back as it came."""
    cited = Text("a", provider_metadata={"bedrock": {"citations": [{"title": "T"}]}})
    assert replied(cited) == [{"citationsContent": {"content": [{"text": "a"}], "citations": [{"title": "T"}]}}]


@pytest.mark.parametrize(
    ("call", "input"),
    [
        (ToolCall("call_1", "f", {"a": 1}), {"a": 1}),
        (ToolCall("call_1", "f"), {}),
        (ToolCall("call_1", "f", None, raw_arguments='{"a'), {"invalid_json": '{"a'}),
        (ToolCall("call_1", "f", [1]), {"invalid_json": [1]}),
        (ToolCall("call_1", "f", City("Paris")), {"name": "Paris"}),
    ],
)
def test_arguments_are_an_object(call: ToolCall, input: Any) -> None:
    """Bedrock takes nothing but an object: what else a model wrote is kept in one."""
    (block,) = replied(call)
    assert block["toolUse"]["input"] == input


def test_arguments_that_are_no_json() -> None:
    """Arguments that cannot be written as JSON are refused, and the call is named."""
    with pytest.raises(InvalidRequest, match="call_1"):
        replied(ToolCall("call_1", "f", {"x": float("nan")}))


def test_calls_of_bedrocks_own_tools_go_back() -> None:
    """A call and a result of a tool that Bedrock ran go back as they came; those of others' tools do not."""
    native = {"toolUseId": "a", "type": "nova_grounding_result", "status": "success", "content": [{"text": "x"}]}
    call = ToolCall(
        "a", "nova_grounding", {}, provider_executed=True, provider_metadata={"bedrock": {"type": "server_tool_use"}}
    )
    result = ToolResult(
        "a", "nova_grounding", "x", provider_executed=True, provider_metadata={"bedrock": {"toolResult": native}}
    )
    foreign = ToolCall("b", "web_search", {}, provider_executed=True)
    answered = ToolResult("b", "web_search", "x", provider_executed=True)
    assert replied(call, result, foreign, answered, "c") == [
        {"toolUse": {"toolUseId": "a", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
        {"toolResult": native},
        {"text": "c"},
    ]


@pytest.mark.parametrize(
    ("value", "content", "status"),
    [
        ({"temperature": 22}, [{"json": {"temperature": 22}}], "success"),
        (City("Paris"), [{"json": {"name": "Paris"}}], "success"),
        ([1, 2], [{"text": "[1,2]"}], "success"),
        (None, [{"text": "null"}], "success"),
        ("sunny", [{"text": "sunny"}], "success"),
        ("", [{"text": "(empty)"}], "success"),
        (ToolValue("error", "No."), [{"text": "No."}], "error"),
        (ToolValue("error", {"code": 5}), [{"json": {"code": 5}}], "error"),
        (ToolValue("error", ""), [{"text": "(empty)"}], "error"),
        ([Text("a"), Image(PNG, media_type="image/png")],
         [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}], "success"),
        ([Text(" ")], [{"text": "(empty)"}], "success"),
    ],
)  # fmt: skip
def test_results_of_tools(value: Any, content: list[Any], status: str) -> None:
    """An object is JSON, everything else text; blank texts, which Bedrock refuses, say that they are empty."""
    assert result_of(value) == {"toolUseId": "call_1", "content": content, "status": status}


def test_parts_in_the_wrong_place_are_refused() -> None:
    """A part that a message of its role cannot carry is an InvalidRequest with its type."""
    wrong = [
        (Message("user", (CALL,)), "user.*ToolCall"),
        (Message("assistant", (Image(PNG, media_type="image/png"),)), "assistant.*Image"),
        (Message("tool", (Text("a"),)), "tool.*Text"),
        (Message("system", (Image(PNG, media_type="image/png"),)), "system.*Image"),
    ]
    for message, match in wrong:
        with pytest.raises(InvalidRequest, match=match):
            lower(Request.of([Message.user("a"), message], model=NOVA), stream=True)
    with pytest.raises(InvalidRequest, match=r"results of tools.*Audio"):
        result_of([Audio(b"a", media_type="audio/wav")])


# --- tools ----------------------------------------------------------------------------------------


def test_tools() -> None:
    """A tool has its schema, always of an object; a blank description is none; Bedrock's own stay as they are."""
    plain = ToolDefinition("f", input_schema={}, strict=True)
    native = ToolDefinition("n", native={"bedrock": {"systemTool": {"name": "nova_grounding"}}})
    assert body_of(tools=[WEATHER, plain, native])["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "get_weather",
                    "description": "Get the weather.",
                    "inputSchema": {"json": {"type": "object", "properties": {"city": {}}}},
                }
            },
            {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}, "strict": True}},
            {"systemTool": {"name": "nova_grounding"}},
        ]
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", {"auto": {}}), ("required", {"any": {}}), ("get_weather", {"tool": {"name": "get_weather"}})],
)
def test_tool_choices(choice: str, sent: Any) -> None:
    """Each choice has its object."""
    assert body_of(tools=[WEATHER], tool_choice=choice)["toolConfig"]["toolChoice"] == sent


def test_choices_that_make_no_sense() -> None:
    """A tool that is not there, and a choice among none, are refused."""
    with pytest.raises(InvalidRequest, match=r"'other'.*get_weather"):
        body_of(tools=[WEATHER], tool_choice="other")
    with pytest.raises(InvalidRequest, match="required"):
        body_of(tool_choice="required")
    assert "toolConfig" not in body_of(tool_choice="auto")


def test_no_tools_this_time() -> None:
    """`none` leaves the tools out; where tools were called before, Bedrock wants them, and it cannot be honoured."""
    assert "toolConfig" not in body_of(tools=[WEATHER], tool_choice="none")
    talk = [Message.user("a"), Message.assistant(CALL), RESULT]
    with pytest.raises(UnsupportedOption, match="tool_choice 'none'") as caught:
        body_of(talk, tools=[WEATHER], tool_choice="none")
    assert caught.value.option == "tool_choice"
    config = body_of(talk, tools=[WEATHER], tool_choice="none", drop_unsupported=True)["toolConfig"]
    assert (len(config["tools"]), "toolChoice" in config) == (1, False)


def test_tools_that_were_called_are_declared() -> None:
    """Bedrock refuses calls of undeclared tools: where a request has no tools any more, those called are declared."""
    request, changes = mend(Request.of([Message.user("a"), Message.assistant(CALL), RESULT], model=NOVA))
    (tool,) = lower(request, stream=True)["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "get_weather"
    assert len(changes) == 1
    assert "'get_weather'" in changes[0]


def test_ids_and_orders_are_mended() -> None:
    """Ids of other providers get the letters that are taken; a missing result is made up; calls come last."""
    call = ToolCall("call|1", "get_weather", {})
    request = Request.of([Message.user("a"), Message.assistant(call, "b")], model=NOVA, tools=[WEATHER], cache="none")
    mended, changes = mend(request)
    talk = lower(mended, stream=True)["messages"]
    assert [next(iter(block)) for block in talk[1]["content"]] == ["text", "toolUse"]
    assert talk[2]["content"][0]["toolResult"]["toolUseId"] == "call_1"
    assert talk[2]["content"][0]["toolResult"]["status"] == "error"
    assert len(changes) == 3


# --- cache points ---------------------------------------------------------------------------------


def test_cache_points_of_claude() -> None:
    """Unless told otherwise, Claude's tools, system prompt and last message are marked."""
    body = body_of("hi", model=CLAUDE, cache=None, system="s", tools=[WEATHER])
    assert body["toolConfig"]["tools"][1:] == [POINT]
    assert body["system"] == [{"text": "s"}, POINT]
    assert body["messages"][0]["content"] == [{"text": "hi"}, POINT]


def test_cache_points_of_other_models() -> None:
    """Nova caches no tools; a model that is not known to cache is not asked to, as it would refuse the request."""
    for model in (NOVA, "us.amazon.nova-2-lite-v1:0"):
        body = body_of("hi", model=model, cache="auto", system="s", tools=[WEATHER])
        assert len(body["toolConfig"]["tools"]) == 1
        assert body["system"] == [{"text": "s"}, POINT]
    for model in ("meta.llama3-70b-instruct-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "mistral.x"):
        assert "cachePoint" not in json.dumps(body_of("hi", model=model, cache=None, system="s", tools=[WEATHER]))
        assert "cachePoint" not in json.dumps(body_of("hi", model=model, cache=None, system="s"))


def test_asked_for_cache_points() -> None:
    """Hints and policies of the caller's own are followed whatever the model; an hour is said."""
    hinted = Message.user(Text("a", cache=CacheHint(ttl_seconds=3600)), "b")
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert messages_of(hinted, model="mistral.x")[0]["content"] == [{"text": "a"}, hour, {"text": "b"}]
    policy = CachePolicy(tools=True)
    assert body_of(model="mistral.x", cache=policy, tools=[WEATHER])["toolConfig"]["tools"][1:] == [POINT]
    results = Message.tool(ToolResult("call_1", "get_weather", "x", cache=CacheHint()))
    talk = messages_of(Message.user("a"), Message.assistant(CALL), results, tools=[WEATHER])
    assert [next(iter(block)) for block in talk[2]["content"]] == ["toolResult", "cachePoint"]
