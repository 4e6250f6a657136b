"""Answers held to a type, of each protocol and in each mode, streamed and whole, over a real local server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import attrs
import pytest

import mellite
from mellite import Text
from mellite.errors import OutputValidationError, UnsupportedOption
from mellite.events import TextDelta, TextStart
from mellite.request import ToolDefinition
from tests.backends.structured_answers import SPECS, Part, streamed, type_of, whole
from tests.wire.server import LAST, Script, Server, answer, head, piece, serve

pytestmark = pytest.mark.anyio

PROTOCOLS = sorted(SPECS)
MODES = ("native", "tool", "text")
LOOK_UP = ToolDefinition("look_up", "Look something up.", input_schema={"type": "object", "properties": {"q": {}}})


@attrs.frozen
class City:
    name: str
    people: int
    kind: Literal["town", "capital"] = "town"


OSLO = City("Oslo", 717710, "capital")
TEXT = '{"name": "Oslo", "people": 717710, "kind": "capital"}'
PIECES = ['{"name": "Os', 'lo", "people": 7177', '10, "kind": "capital"}']


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as started:
        yield started


def answering(server: Server, protocol: str, *parts: Part, stream: bool, cut: bool = False) -> Script:
    """A URL that answers so."""
    headers = type_of(protocol, stream=stream)
    if not stream:
        return server.script(answer(whole(protocol, *parts, cut=cut), headers=headers))
    body = streamed(protocol, *parts, cut=cut)
    middle = len(body) // 2
    return server.script(head(headers=headers), piece(body[:middle]), piece(body[middle:]), LAST)


def backend_for(protocol: str, script: Script, **options: Any) -> mellite.Backend:
    spec = options.pop("spec", SPECS[protocol])
    return mellite.backend(spec, api_key="sk-test", base_url=script.url, **options)


def sent(script: Script) -> Any:
    return json.loads(script.requests(1)[0].body)


def told(mode: str) -> list[Part]:
    """A good answer in a mode."""
    if mode == "tool":
        return [("answer", PIECES)]
    return [f"Here it is:\n```json\n{TEXT}\n```\n"] if mode == "text" else [TEXT]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_each_mode(server: Server, protocol: str, mode: Any, stream: bool) -> None:
    """An answer comes as its type, whatever holds it to that; a call of the tool for it is text and no call."""
    script = answering(server, protocol, *told(mode), stream=stream)
    async with backend_for(protocol, script) as backend:
        first, thunk = backend.generate("Which?", output=City, output_mode=mode, stream=stream).resample(2)
        assert await first == OSLO
        assert await thunk == OSLO  # over the connection that was kept, where events are pushed
        assert [event async for event in thunk.events()][1:] == [event async for event in first.events()][1:]
    assert thunk.generation.output_mode == mode
    assert (thunk.tool_calls, thunk.finish_reason) == ((), "stop")
    if mode != "text":
        assert json.loads(thunk.text) == json.loads(TEXT)
        assert [type(part) for part in thunk.message.content] == [Text]
    assert ("answer" in json.dumps(sent(script))) is (mode == "tool")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_is_no_object(server: Server, protocol: str, mode: Any, stream: bool) -> None:
    """A list stands in an object where only objects can be asked for, and is the list all the same."""
    inner = "[1, 2, 30]"
    text = inner if mode == "text" or (mode, protocol) == ("native", "gemini") else f'{{"value": {inner}}}'
    script = answering(server, protocol, ("answer", [text[:9], text[9:]]) if mode == "tool" else text, stream=stream)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=list[int], output_mode=mode, stream=stream)
        assert await thunk == [1, 2, 30]
        assert [partial async for partial in thunk.partials()][-1] == [1, 2, 30]
        assert [item async for item in thunk.items()] == [1, 2, 30]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_model_that_writes_prose(server: Server, protocol: str, stream: bool) -> None:
    """A model that was forced to call, and writes prose, has not answered; what it said is kept."""
    script = answering(server, protocol, "I would rather talk about the weather.", stream=stream)
    async with backend_for(protocol, script) as backend:
        thunk = await backend.generate("Which?", output=City, output_mode="tool", stream=stream).settle()
    assert isinstance(thunk.error, OutputValidationError)
    assert thunk.error.partial == thunk.partial == "I would rather talk about the weather."
    assert "not JSON" in str(thunk.error)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_prose_beside_the_call(server: Server, protocol: str, stream: bool) -> None:
    """What a model says before it calls the tool for the answer is not part of the answer."""
    script = answering(server, protocol, "Let me tell you.", ("answer", PIECES), stream=stream)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=City, output_mode="tool", stream=stream)
        assert await thunk == OSLO
    assert json.loads(thunk.text) == json.loads(TEXT)
    assert "Let me tell you." in json.dumps(thunk.raw.response)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_other_tools_stay(server: Server, protocol: str, stream: bool) -> None:
    """Beside other tools a call is required; one of them is a call, and there is no answer yet."""
    script = answering(server, protocol, "Wait.", ("look_up", ['{"q": ', '"Oslo"}']), stream=stream)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=City, output_mode="tool", tools=[LOOK_UP], stream=stream)
        assert await thunk is None
    assert (thunk.text, thunk.finish_reason) == ("Wait.", "tool-calls")
    (call,) = thunk.tool_calls
    assert (call.name, call.arguments) == ("look_up", {"q": "Oslo"})
    body = json.dumps(sent(script))
    assert body.index("look_up") < body.index('"answer"')
    assert any(word in body for word in ('"required"', '"any"', '"ANY"', '"REQUIRED"'))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_beside_other_calls(server: Server, protocol: str, stream: bool) -> None:
    """Once the tool for the answer is called the answer is there, also if others are called beside it."""
    parts: list[Part] = [("look_up", ['{"q": "Oslo"}']), ("answer", PIECES), ("answer", ["{}"])]
    script = answering(server, protocol, *parts, stream=stream)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=City, output_mode="tool", tools=[LOOK_UP], stream=stream)
        assert await thunk == OSLO
    assert ([call.name for call in thunk.tool_calls], thunk.finish_reason) == (["look_up"], "stop")


@pytest.mark.parametrize("protocol", sorted({*PROTOCOLS} - {"gemini"}))
async def test_the_call_streams(server: Server, protocol: str) -> None:
    """The arguments are text as they are written."""
    script = answering(server, protocol, ("answer", PIECES), stream=True)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=City, output_mode="tool")
        assert [delta async for delta in thunk] == PIECES
        events = [event async for event in thunk.events()]
        partials = [partial async for partial in thunk.partials()]
    assert [event.id for event in events if isinstance(event, (TextStart, TextDelta))] == ["answer"] * 4
    assert partials == [{"name": "Os"}, {"name": "Oslo"}, {"name": "Oslo", "people": 717710, "kind": "capital"}]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("protocol", sorted({*PROTOCOLS} - {"claude", "converse", "gemini"}))
async def test_a_call_that_was_cut(server: Server, protocol: str, stream: bool) -> None:
    """Arguments that were cut are not an answer; the error says what to do, and has what there is of them."""
    script = answering(server, protocol, ("answer", PIECES[:2]), stream=stream, cut=True)
    async with backend_for(protocol, script) as backend:
        thunk = await backend.generate("Which?", output=City, output_mode="tool", stream=stream).settle()
    assert isinstance(thunk.error, OutputValidationError), thunk.error
    assert "max_tokens" in str(thunk.error)
    assert thunk.finish_reason == "length"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_best_mode_is_taken(server: Server, protocol: str) -> None:
    """Without a word about it, the answer is held natively where the model can."""
    script = answering(server, protocol, TEXT, stream=False)
    async with backend_for(protocol, script) as backend:
        thunk = backend.generate("Which?", output=City, stream=False)
        assert await thunk == OSLO
    assert thunk.generation.output_mode == "native"


OLD = {
    "chat": "openai-chat:gpt-4-turbo",
    "claude": "anthropic:claude-3-5-haiku-latest",
    "converse": "bedrock:us.amazon.nova-lite-v1:0",
    "deepseek": "deepseek:deepseek-chat",
    "groq": "groq:llama-3.3-70b-versatile",
}


@pytest.mark.parametrize("name", sorted(OLD))
async def test_a_model_without_schemas_calls_a_tool(server: Server, name: str) -> None:
    """A model that cannot be held to a schema has to call a tool; to want a schema of it is refused."""
    protocol = "chat" if name in ("deepseek", "groq") else name
    script = answering(server, protocol, ("answer", PIECES), stream=True)
    async with backend_for(protocol, script, spec=OLD[name]) as backend:
        thunk = backend.generate("Which?", output=City)
        assert await thunk == OSLO
        assert thunk.generation.output_mode == "tool"
        refused = await backend.generate("Which?", output=City, output_mode="native").settle()
    assert isinstance(refused.error, UnsupportedOption)
    assert refused.error.option == "output_mode"


@pytest.mark.parametrize(
    ("name", "spec", "options"),
    [
        ("claude", "anthropic:claude-3-7-sonnet-latest", {"reasoning_budget": 2000}),
        ("claude", "anthropic:claude-opus-4-6", {"reasoning_effort": "low", "output_mode": "tool"}),
        ("converse", "bedrock:us.anthropic.claude-3-7-sonnet-20250219-v1:0", {"reasoning_budget": 2000}),
        ("chat", "zai:glm-4.6", {}),
        ("chat", "deepseek:deepseek-reasoner", {}),
    ],
)
async def test_a_call_that_cannot_be_forced(server: Server, name: str, spec: str, options: Any) -> None:
    """Where a call cannot be forced, as with a Claude that thinks, the model is told to call, and may choose."""
    script = answering(server, name, ("answer", PIECES), stream=True)
    async with backend_for(name, script, spec=spec) as backend:
        thunk = backend.generate("Which?", system="Be brief.", output=City, **options)
        assert await thunk == OSLO
        assert thunk.generation.output_mode == "tool"
    body = json.dumps(sent(script))
    assert "by calling the tool `answer`" in body
    assert "Be brief." in body
    assert '"auto"' in body


async def test_a_name_that_is_taken(server: Server) -> None:
    """The tool for the answer has another name where a tool of the caller has that one."""
    script = answering(server, "chat", ("answer_2", PIECES), stream=True)
    taken = ToolDefinition("answer", "Answer the phone.")
    async with backend_for("chat", script) as backend:
        thunk = backend.generate("Which?", output=City, output_mode="tool", tools=[taken])
        assert await thunk == OSLO
    assert [tool["function"]["name"] for tool in sent(script)["tools"]] == ["answer", "answer_2"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, "required"),
        ("auto", "required"),
        ("required", "required"),
        ("none", {"type": "function", "function": {"name": "answer"}}),
        ("look_up", {"type": "function", "function": {"name": "look_up"}}),
    ],
)
async def test_which_tool_must_be_called(server: Server, choice: Any, told: Any) -> None:
    """A call is required beside other tools; a named tool stays named, and without the others it is the answer's."""
    script = answering(server, "chat", ("answer", PIECES), stream=True)
    async with backend_for("chat", script) as backend:
        options = {} if choice is None else {"tool_choice": choice}
        await backend.generate("Which?", output=City, output_mode="tool", tools=[LOOK_UP], **options)
    assert sent(script)["tool_choice"] == told


@pytest.mark.parametrize("text", [TEXT, f"```json\n{TEXT}\n```", f"```\n{TEXT}\n```\n"])
async def test_a_host_that_does_not_hold(server: Server, text: str) -> None:
    """A host that lets the model fence its JSON is understood."""
    script = answering(server, "chat", text, stream=True)
    async with backend_for("chat", script) as backend:
        assert await backend.generate("Which?", output=City) == OSLO


async def test_a_refusal(server: Server) -> None:
    """A model that refuses has not answered, and the error says so."""
    chunk = {"index": 0, "delta": {"refusal": "I cannot say that."}, "finish_reason": "stop"}
    body = f"data: {json.dumps({'id': 'c1', 'model': 'm', 'choices': [chunk]})}\n\ndata: [DONE]\n\n".encode()
    script = server.script(answer(body, headers=type_of("chat", stream=True)))
    async with backend_for("chat", script) as backend:
        thunk = await backend.generate("Which?", output=City).settle()
    assert isinstance(thunk.error, OutputValidationError)
    assert "refused to answer: 'I cannot say that.'" in str(thunk.error)


async def test_gemini_beside_tools(server: Server) -> None:
    """Gemini 2 takes no schema beside tools, so the answer is a call; Gemini 3 takes both."""
    for model, mode in (("gemini-2.5-flash", "tool"), ("gemini-3-pro-preview", "native")):
        parts: list[Part] = [("answer", PIECES)] if mode == "tool" else [TEXT]
        script = answering(server, "gemini", *parts, stream=True)
        async with backend_for("gemini", script, spec=f"google:{model}") as backend:
            thunk = backend.generate("Which?", output=City, tools=[LOOK_UP])
            assert await thunk == OSLO
        assert thunk.generation.output_mode == mode
