"""The text by which a text cassette knows a request: what is in it, what is not, and that no two share one."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from mellite import Image, Message
from mellite.cassettes.text.rendering import MARK, render
from mellite.errors import InvalidRequest, UnsupportedOption
from mellite.messages import CacheHint, Document, Media, Reasoning, Text, ToolCall, ToolResult, ToolValue
from mellite.request import HttpOptions, Request, ToolDefinition

PIXEL = b"GIF89a"


@attrs.frozen
class City:
    """What is asked for."""

    name: str
    people: int


def rendered(prompt: Any, **options: Any) -> str:
    """The rendering of a request, without its first line."""
    text = render(Request.of(prompt, **options))
    assert text.startswith(MARK)
    return text.removeprefix(MARK)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_a_prompt_is_its_own_rendering(prompt: str) -> None:
    """One message of the user, made of text, is what other runtimes make a key of: the text and nothing else."""
    assert render(Request.of(prompt, temperature=1, max_tokens=5, stream=False)) == prompt
    assert render(Request.of([prompt, "!"])) == prompt + "!"


def test_everything() -> None:
    """All that is asked stands there, one line for each part, as the documentation of the form shows it."""
    tool = ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object"}, strict=True)
    history = [
        Message.user("What is ", "this?", Image(PIXEL, media_type="image/gif", filename="a.gif"), "And this?"),
        Message.assistant("A cat.\n", ToolCall("call_1", "get_weather", {"zip": 1, "city": "Z\u00fcrich"})),
        Message.tool(ToolResult("call_1", "get_weather", {"temperature": 22})),
        Message.user(Document(url="https://example.com/a.pdf")),
    ]
    digest = hashlib.sha256(PIXEL).hexdigest()
    assert rendered(
        history,
        system=["Be brief.", "Be kind."],
        tools=[tool],
        tool_choice="get_weather",
        output=list[int],
        provider_options={"openai": {"store": True}},
    ) == (
        'system:\n  "Be brief."\n  "Be kind."\n'
        'user:\n  "What is this?"\n'
        f'  image {{"media_type":"image/gif","sha256":"{digest}"}}\n'
        '  "And this?"\n'
        'assistant:\n  "A cat.\\n"\n'
        '  tool-call {"arguments":{"city":"Z\u00fcrich","zip":1},"id":"call_1","name":"get_weather"}\n'
        'tool:\n  tool-result {"id":"call_1","name":"get_weather","type":"json","value":{"temperature":22}}\n'
        'user:\n  document {"url":"https://example.com/a.pdf"}\n'
        'tools:\n  get_weather {"description":"Get the weather.","input_schema":{"type":"object"},"strict":true}\n'
        'tool-choice:\n  tool "get_weather"\n'
        'output:\n  {"items":{"type":"integer"},"type":"array"}\n'
        'provider-options:\n  {"openai":{"store":true}}\n'
    )


def test_results_of_every_kind() -> None:
    """A tool's result is told apart by its kind: text, JSON, an error, parts."""
    values = ["5", 5, ToolValue("error", "5"), [Text("5"), Image(url="https://example.com/")]]
    lines = [rendered([Message.tool(ToolResult("1", "f", value))]) for value in values]
    assert len(set(lines)) == 4
    assert lines[3] == (
        'tool:\n  tool-result {"id":"1","name":"f","type":"content","value":["5",'
        '{"image":{"url":"https://example.com/"}}]}\n'
    )


def test_what_another_run_does_not_repeat() -> None:
    """Thinking, signatures, hints for caches, names of files and the caller's notes are not in it."""
    plain = [Message.user("a", Image(PIXEL)), Message.assistant("b")]
    decorated = [
        Message("user", (Text("a", cache=CacheHint()), Image(PIXEL, filename="x.gif")), id="1", metadata={"x": 1}),
        Message.assistant(Reasoning("hm", encrypted="sig"), Text("b", provider_metadata={"anthropic": {"y": 1}})),
    ]
    assert rendered(decorated, temperature=1, cache="auto", metadata={"z": 1}) == rendered(plain)


def test_no_two_requests_share_one() -> None:
    """Requests that ask for different things have different texts, however much they look like each other."""
    looks = '%mellite-request 1\nuser:\n  "a"\nuser:\n  "b"\n'
    requests = [
        Request.of("ab"),
        Request.of([Message.user("a"), Message.user("b")]),
        Request.of([Message.user("a\nb")]),
        Request.of("a", system="b"),
        Request.of("b", system="a"),
        Request.of([Message.system("a")]),
        Request.of([Message.assistant("a")]),
        Request.of('system:\n  "a"'),
        Request.of(looks),
        Request.of(MARK),
        Request.of(["a", Image(url="b")]),
        Request.of(["a", Document(url="b")]),
        Request.of(["a", Media(url="b")]),
        Request.of("a", tools=[ToolDefinition("b")]),
        Request.of("a", tools=[ToolDefinition("b", "c")]),
        Request.of("a", tool_choice="required"),
        Request.of("a", tool_choice="b"),
        Request.of("a", output=int),
        Request.of("a", output=City),
        Request.of("a", provider_options={"openai": {}}),
        Request.of([Message.user()]),
    ]
    for one, other in itertools.combinations(requests, 2):
        assert render(one) != render(other)


def test_same_question_in_another_order() -> None:
    """The order of keys in JSON does not count, and neither does the kind of mapping."""
    one = rendered([Message.assistant(ToolCall("1", "f", {"a": 1, "b": [{"c": 1, "d": 2}]}))])
    other = rendered([Message.assistant(ToolCall("1", "f", {"b": [{"d": 2, "c": 1}], "a": 1}))])
    assert one == other


def test_http_additions_are_refused() -> None:
    """Raw additions to the HTTP request may hold keys: they are in no key and no file."""
    options = HttpOptions(headers={"x-key": "s"})
    with pytest.raises(UnsupportedOption) as caught:
        render(Request.of("a", http=options))
    assert caught.value.option == "http"
    assert render(Request.of("a", http=options, provider_options={"x": {}}, drop_unsupported=True)) == "a"


@pytest.mark.parametrize("value", [float("nan"), object(), {1j: 1}])
def test_what_json_cannot_say(value: object) -> None:
    """A value that is not JSON is the caller's mistake, and typed."""
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        rendered([Message.assistant(ToolCall("1", "f", {"a": value}))])
