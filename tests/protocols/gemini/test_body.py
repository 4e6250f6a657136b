"""Requests to Gemini: options, tools, thinking, media, and what goes back with the history."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from mellite.errors import InvalidRequest, UnsupportedOption
from mellite.messages import Audio, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult, ToolValue, Video
from mellite.protocols.gemini import GeminiDialect, protocol
from mellite.protocols.gemini.body import lower
from mellite.request import Request, ToolDefinition
from tests.protocols.gemini.chunks import call, chunk, contents_of, sent_back, thought

TOOL = ToolDefinition(
    "get_weather", "Get it.", input_schema={"type": "object", "properties": {"city": {"type": "string"}}}
)
PNG = Image(b"png", media_type="image/png")
INLINE = {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}


def body_of(prompt: Any = "hi", *, model: str = "gemini-2.5-flash", **options: Any) -> dict[str, Any]:
    return lower(Request.of(prompt, model=model, **options), stream=True)


def config_of(**options: Any) -> dict[str, Any]:
    config: dict[str, Any] = body_of(**options).get("generationConfig", {})
    return config


# --- options --------------------------------------------------------------------------------------


def test_a_plain_request() -> None:
    """Model and streaming stand in the URL, and what is not asked for is not said."""
    assert body_of() == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_options_have_their_own_names() -> None:
    """Each option that Gemini takes is sent under its name."""
    config = config_of(
        max_tokens=5, temperature=0, top_p=0.5, top_k=3, frequency_penalty=0.1, presence_penalty=0.2, seed=7, stop="x"
    )
    assert config == {
        "maxOutputTokens": 5, "temperature": 0, "topP": 0.5, "topK": 3, "frequencyPenalty": 0.1,
        "presencePenalty": 0.2, "seed": 7, "stopSequences": ["x"],
    }  # fmt: skip
    assert "parallel_tool_calls" not in protocol().options


def test_an_effort_is_a_budget_for_older_models_and_a_level_for_newer() -> None:
    """Gemini 2 knows budgets, Gemini 3 levels; thinking that is asked for is also shown."""
    efforts = {"none": 0, "low": 1024, "medium": 8192, "high": 24576}
    for effort, budget in efforts.items():
        thinking = config_of(reasoning_effort=effort)["thinkingConfig"]
        assert thinking == {"thinkingBudget": budget, "includeThoughts": budget > 0}
    for model in ("gemini-3-pro-preview", "gemini-flash-latest", "models/gemini-3.5-flash"):
        thinking = config_of(model=model, reasoning_effort="low")["thinkingConfig"]
        assert thinking == {"thinkingLevel": "low", "includeThoughts": True}
    for model in ("gemini-2.5-pro", "gemini-3-pro-preview"):
        thinking = config_of(model=model, reasoning_budget=99)["thinkingConfig"]
        assert thinking == {"thinkingBudget": 99, "includeThoughts": True}


@pytest.mark.parametrize(("model", "effort"), [("gemini-2.5-pro", "extreme"), ("gemini-3-pro", "none")])
def test_an_effort_that_a_model_does_not_know_is_refused(model: str, effort: str) -> None:
    """What the model cannot do is refused by name, or left out where that is allowed."""
    known = "minimal, low" if "2.5" in model else "knows low"
    with pytest.raises(UnsupportedOption, match=f"reasoning_effort='{effort}'.*{known}, medium, high") as caught:
        body_of(model=model, reasoning_effort=effort)
    assert caught.value.option == "reasoning_effort"
    assert "generationConfig" not in body_of(model=model, reasoning_effort=effort, drop_unsupported=True)


def test_an_output_type_is_a_schema() -> None:
    """An answer of a type is asked for as JSON of its schema, also where that is not an object."""

    @frozen
    class City:
        name: str

    config = config_of(output=City)
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["properties"] == {"name": {"type": "string"}}
    assert config_of(output=list[int])["responseJsonSchema"] == {"type": "array", "items": {"type": "integer"}}


def test_provider_options_find_their_place() -> None:
    """Options that only Google knows stand at the top, in the generation config, or among the tools."""
    body = body_of(
        tools=[TOOL],
        temperature=0,
        reasoning_budget=5,
        provider_options={
            "gemini": {"thinking_config": {"includeThoughts": False}, "responseLogprobs": True, "logprobs": 2},
            "google": {
                "safetySettings": [{"category": "X"}], "cached_content": "c", "logprobs": 3,
                "tools": [{"googleSearch": {}}], "generationConfig": {"topK": 1},
                "toolConfig": {"includeServerSideToolInvocations": True},
            },
        },
    )  # fmt: skip
    assert body["generationConfig"] == {
        "temperature": 0,
        "thinkingConfig": {"thinkingBudget": 5, "includeThoughts": False},
        "responseLogprobs": True,
        "logprobs": 3,
        "topK": 1,
    }
    assert (body["safetySettings"], body["cachedContent"]) == ([{"category": "X"}], "c")
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}


@pytest.mark.parametrize("options", [{"contents": []}, {"system_instruction": {}}, {"tools": {}}, {"model": "x"}, 5])
def test_provider_options_do_not_replace_the_request(options: Any) -> None:
    """What a request says itself cannot be overruled by a provider option."""
    with pytest.raises(InvalidRequest, match="provider_options"):
        body_of(provider_options={"google": options})


# --- tools ----------------------------------------------------------------------------------------


def test_tools_are_declared() -> None:
    """A tool has its name, its purpose and its parameters; one without arguments has none."""
    bare = ToolDefinition("now", "Tell the time.")
    (tools,) = body_of(tools=[TOOL, bare])["tools"]
    assert tools["functionDeclarations"] == [
        {"name": "get_weather", "description": "Get it.", "parameters": dict(TOOL.input_schema)},
        {"name": "now", "description": "Tell the time."},
    ]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (None, None), ("auto", {"mode": "AUTO"}), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}),
        ("get_weather", {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)  # fmt: skip
def test_tool_choices(choice: str | None, calling: dict[str, Any] | None) -> None:
    """Each choice has its mode; with none the tools are still declared."""
    body = body_of(tools=[TOOL], tool_choice=choice)
    assert body.get("toolConfig") == (None if calling is None else {"functionCallingConfig": calling})
    assert body["tools"]


def test_strict_tools_are_held_to_their_schemas() -> None:
    """Where a tool is strict, free choice becomes the validated mode."""
    strict = ToolDefinition("a", strict=True)
    assert body_of(tools=[TOOL, strict])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


def test_native_notes_make_a_tool_one_of_googles() -> None:
    """Notes under google are one of Google's own tools, or more of the function; others' notes are not sent."""
    search = ToolDefinition("search", native={"google": {"googleSearch": {}}})
    slow = ToolDefinition("slow", "Take time.", native={"google": {"behavior": "NON_BLOCKING"}, "openai": {"x": 1}})
    tools = body_of(tools=[search, slow])["tools"]
    declared = {"name": "slow", "description": "Take time.", "behavior": "NON_BLOCKING"}
    assert tools == [{"functionDeclarations": [declared]}, {"googleSearch": {}}]
    assert body_of(tools=[search], tool_choice="auto") == {**body_of(), "tools": [{"googleSearch": {}}]}
    for wrong in (ToolDefinition("x", native={"google": "y"}), search):
        with pytest.raises(InvalidRequest):
            body_of(tools=[wrong], tool_choice=wrong.name)


def test_a_choice_needs_its_tools() -> None:
    """A choice of a tool that is not there, or of any where there are none, is refused."""
    for choice in ("other", "required"):
        with pytest.raises(InvalidRequest, match="tool_choice"):
            body_of(tools=[TOOL] if choice == "other" else [], tool_choice=choice)
    assert "toolConfig" not in body_of(tool_choice="auto")


# --- messages -------------------------------------------------------------------------------------


def test_system_messages_at_the_beginning_are_the_system_prompt() -> None:
    """Later ones are updates: text of the user, with the marks of XML escaped."""
    history = [
        Message.system("A."),
        Message.user("hi"),
        Message.system("B < C."),
        Message.assistant("yes"),
        Message.system("D"),
    ]
    body = body_of(history, system="First.")
    assert body["systemInstruction"] == {"parts": [{"text": "First.\nA."}]}
    roles = [content["role"] for content in body["contents"]]
    assert roles == ["user", "model", "user"]
    assert body["contents"][0]["parts"][1] == {"text": "<system-update>\nB &lt; C.\n</system-update>"}


def test_an_update_after_tool_results_is_a_turn_of_its_own() -> None:
    """Results of tools stay among themselves."""
    history = [
        Message.user("x"),
        Message.assistant(ToolCall("1", "a")),
        Message.tool(ToolResult("1", "a", "r")),
        Message.system("B"),
    ]
    assert [len(content["parts"]) for content in contents_of(*history)] == [1, 1, 1, 1]


def test_what_the_model_said_in_a_row_is_one_turn() -> None:
    """Gemini refuses calls that do not follow the user: assistant messages in a row go together."""
    history = [Message.user("x"), Message.assistant("Let me see."), Message.assistant(ToolCall("1", "a", {}))]
    assert [list(part) for part in contents_of(*history)[1]["parts"]] == [["text"], ["functionCall"]]


def test_media_go_inline_or_by_reference() -> None:
    """Bytes and data URLs go inline, other URLs as files; what the caller says beside goes along."""
    fast = {"google": {"videoMetadata": {"fps": 1}}}
    film = Video(url="gs://b/film.mp4", provider_metadata=fast)
    short = Video(b"x", media_type="video/mp4", provider_metadata=fast)
    (content,) = contents_of(
        Message.user(
            "Look:", PNG, Image(url="data:image/png;base64,cG5n"), film,
            Document(b"%PDF", media_type="application/pdf"), Audio(b"x", media_type="audio/wav"),
            Image(url="https://example.com/cat", media_type="image/webp"), Video(url="https://youtu.be/abc"),
            short,
        )
    )  # fmt: skip
    assert content["parts"][:4] == [
        {"text": "Look:"},
        INLINE,
        INLINE,
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/film.mp4"}, "videoMetadata": {"fps": 1}},
    ]
    assert content["parts"][6:] == [
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/cat"}},
        {"fileData": {"fileUri": "https://youtu.be/abc"}},
        {"inlineData": {"mimeType": "video/mp4", "data": "eA=="}, "videoMetadata": {"fps": 1}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        Image(b"x", media_type="image/bmp"), Image(b"", media_type="image/png"), Image(b"x"), Image(url="file:///etc/passwd"),
        Image(url="data:image/png;base64,%"), Image(b"x" * (20 * 1024 * 1024 + 1), media_type="image/png"),
    ],
)  # fmt: skip
def test_media_are_checked_before_anything_is_sent(part: Any) -> None:
    """Types, sizes and URLs that Gemini does not take are refused."""
    with pytest.raises(InvalidRequest):
        body_of(part)


def test_parts_in_the_wrong_place_are_refused() -> None:
    """A part that a role cannot have is refused by name."""
    for message in (Message.user(ToolCall("1", "a")), Message("tool", (Text("x"),)), Message("system", (PNG,))):
        with pytest.raises(InvalidRequest, match=f"Gemini {message.role} messages"):
            contents_of(Message.user("x"), message)


# --- tool results ---------------------------------------------------------------------------------


def responses_of(*results: ToolResult, model: str = "gemini-2.5-flash", **dialect: Any) -> list[Any]:
    """What stands behind the calls."""
    asked = Message.assistant(*[ToolCall(result.id, result.name, {}) for result in results])
    request = Request.of([Message.user("x"), asked, *[Message.tool(result) for result in results]], model=model)
    body = lower(request, stream=True, dialect=GeminiDialect(**dialect))
    contents: list[Any] = body["contents"][2:]
    return contents


@pytest.mark.parametrize(
    ("result", "response"),
    [
        ({"t": 22}, {"output": {"t": 22}}), ("sunny", {"output": "sunny"}), ([1], {"output": [1]}),
        (None, {"output": None}), (ToolValue("error", "no"), {"error": "no"}), (ToolValue("text", 5), {"output": "5"}),
        (ToolValue("error", {"code": 1}), {"error": {"code": 1}}), ((Text("a"), Text("b")), {"output": "a\nb"}),
    ],
)  # fmt: skip
def test_results_say_whether_they_are_errors(result: Any, response: Any) -> None:
    """What a tool gave stands under output, what went wrong under error."""
    (content,) = responses_of(ToolResult("1", "a", result))
    assert content["parts"] == [{"functionResponse": {"name": "a", "response": response}}]


def test_results_may_be_written_as_older_clients_did() -> None:
    """A dialect has the result as text beside the tool's name."""
    (content,) = responses_of(ToolResult("1", "a", {"t": 22}), results="content")
    assert content["parts"][0]["functionResponse"]["response"] == {"name": "a", "content": '{"t":22}'}


def test_results_of_one_turn_go_together() -> None:
    """Several tool messages in a row are one turn."""
    (content,) = responses_of(ToolResult("1", "a", "x"), ToolResult("2", "b", "y"))
    assert [part["functionResponse"]["name"] for part in content["parts"]] == ["a", "b"]


def test_media_of_results_go_inside_or_behind() -> None:
    """Gemini 3 takes media inside of results; for others they follow as a turn of the user."""
    result = ToolResult("1", "shoot", (Text("Taken."), PNG))
    (inside,) = responses_of(result, model="gemini-3-pro")
    assert inside["parts"][0]["functionResponse"]["parts"] == [INLINE]
    results, behind = responses_of(result)
    assert results["parts"] == [{"functionResponse": {"name": "shoot", "response": {"output": "Taken."}}}]
    assert behind == {"role": "user", "parts": [{"text": "Attached media from tool result:"}, INLINE]}


def test_results_of_the_provider_stay_with_it() -> None:
    """A result that the provider made itself is not an answer to a call of ours."""
    made = ToolResult("1", "a", "x", provider_executed=True)
    assert [content["role"] for content in responses_of(made)] == []


def test_a_result_that_is_no_json_is_refused() -> None:
    """An object that cannot be written is InvalidRequest, not a TypeError."""
    with pytest.raises(InvalidRequest, match="result of tool call '1'"):
        responses_of(ToolResult("1", "a", {"x": object()}))


# --- what goes back -------------------------------------------------------------------------------


def test_signatures_go_back_where_they_were() -> None:
    """An answer that is sent back has its signatures and ids on the parts that they came with."""
    parts = [
        thought("Hm.", thoughtSignature="s0"),
        {"text": "Hello.", "thoughtSignature": "s1"},
        call(id="c1", signature="s2"),
        call("other"),
        {"text": "", "thoughtSignature": "s3"},
    ]
    assert sent_back([chunk(*parts, finish="STOP")]) == parts
    assert sent_back([*[chunk(part) for part in parts], chunk("", finish="STOP")]) == parts


def test_hosted_tools_go_back_as_they_were() -> None:
    """What the provider ran, pictures and unknown parts go back unchanged; tools of other providers do not."""
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "s"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"toolCall": {"toolType": "X", "id": "1"}},
        {"toolResponse": {"toolType": "X", "id": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "cG5n"}, "thoughtSignature": "s"},
        {"new": True},
    ]
    assert sent_back([chunk(*parts, finish="STOP")]) == parts
    foreign = [
        ToolCall("1", "web_search", {}, provider_executed=True),
        ToolResult("1", "web_search", {}, provider_executed=True),
    ]
    assert contents_of(Message.user("x"), Message.assistant(*foreign, "Found."))[1]["parts"] == [{"text": "Found."}]


def test_ids_go_back_only_if_gemini_gave_them() -> None:
    """Calls and results bear Gemini's own ids; ids from elsewhere are not sent."""
    own = ToolCall("c1", "a", {}, provider_metadata={"google": {"id": "c1"}})
    history = [
        Message.assistant(own, ToolCall("mine", "b", {})),
        Message.tool(ToolResult("c1", "a", 1), ToolResult("mine", "b", 2)),
    ]
    _, calls, results = contents_of(Message.user("x"), *history)
    assert [part["functionCall"].get("id") for part in calls["parts"]] == ["c1", None]
    assert [part["functionResponse"].get("id") for part in results["parts"]] == ["c1", None]


def test_thinking_and_pictures_of_others_go_along() -> None:
    """Thinking without a signature goes back as thinking, a picture as a picture; empty parts do not."""
    answer = Message.assistant(Reasoning("Hm."), Text(""), Reasoning(""), PNG, "Yes.")
    assert contents_of(Message.user("x"), answer)[1]["parts"] == [
        {"text": "Hm.", "thought": True},
        INLINE,
        {"text": "Yes."},
    ]
    assert len(contents_of(Message.user("x"), Message.assistant(""), Message.user("y"))) == 2


@pytest.mark.parametrize(
    ("made", "args"),
    [
        (ToolCall("1", "a", {"x": 1}), {"x": 1}), (ToolCall("1", "a"), {}),
        (ToolCall("1", "a", [1]), {"arguments": "[1]"}),
        (ToolCall("1", "a", None, raw_arguments='{"x'), {"arguments": '{"x'}),
    ],
)  # fmt: skip
def test_arguments_are_always_an_object(made: ToolCall, args: dict[str, Any]) -> None:
    """Arguments that are not an object, or not JSON, go along as they were written."""
    assert contents_of(Message.user("x"), Message.assistant(made))[1]["parts"][0]["functionCall"]["args"] == args


# --- histories that are mended --------------------------------------------------------------------


def test_calls_without_a_signature_get_the_documented_word() -> None:
    """Gemini 3 refuses calls of this turn without a signature: the first of each step gets a word for it."""
    before = [Message.assistant(ToolCall("0", "a", {})), Message.tool(ToolResult("0", "a", 0))]
    asked = Message.assistant(ToolCall("1", "a", {}), ToolCall("2", "b", {}))
    answered = Message.tool(ToolResult("1", "a", 1), ToolResult("2", "b", 2))
    history = [Message.user("x"), *before, Message.user("y"), asked, answered]
    mend = protocol().mend
    request, changes = mend(Request.of(history, model="gemini-3-pro"))
    assert changes == ("tool call '1' has no thought signature: it is sent with 'skip_thought_signature_validator'",)
    contents = lower(request, stream=True)["contents"]
    signatures = [part.get("thoughtSignature") for content in contents for part in content["parts"]]
    assert signatures == [None] * 4 + ["skip_thought_signature_validator"] + [None] * 3
    for model in ("gemini-2.5-pro", "endpoints/4711"):
        assert mend(Request.of(history, model=model))[1] == ()
    signed = Message.assistant(ToolCall("1", "a", {}, provider_metadata={"google": {"thoughtSignature": "s"}}))
    assert (
        mend(Request.of([Message.user("x"), signed, Message.tool(ToolResult("1", "a", 1))], model="gemini-3"))[1] == ()
    )


def test_calls_without_results_are_answered() -> None:
    """A call that nobody answered gets a result that says so, as Gemini wants as many results as calls."""
    request, changes = protocol().mend(
        Request.of([Message.user("x"), Message.assistant(ToolCall("1", "a", {}))], model="m")
    )
    assert "'1' has no result" in changes[0]
    assert list(lower(request, stream=True)["contents"][2]["parts"][0]["functionResponse"]["response"]) == ["error"]
