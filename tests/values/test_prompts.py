"""What may be written as a prompt: dicts of Chat Completions, pairs, roles, and no printed thunks."""

from __future__ import annotations

import base64
import json
from pathlib import PurePosixPath
from typing import Any

import pytest

import mellite
from mellite import Audio, Document, Image, Message, Request, Text, ToolCall, ToolResult
from mellite.backends import Constant, Echo, Failing, Scripted
from mellite.errors import ConnectionLost, InvalidRequest
from mellite.messages import CacheHint, Reasoning, Video

pytestmark = pytest.mark.anyio

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}


def body_of(prompt: Any, spec: str = "openai-chat:gpt-4o-mini") -> Any:
    """The JSON that a provider is sent for a prompt."""
    backend = mellite.backend(spec, api_key="sk-test")
    return json.loads(backend.prepare(backend.generate(prompt)._call.request).body)  # type: ignore[attr-defined]


# --- dicts and pairs ------------------------------------------------------------------------------

SAME_AGAIN: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hello."}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "What is new?"},
    ],
    [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"},
        {"role": "tool", "tool_call_id": "call_2", "content": "23 degrees"},
    ],
    [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}},
            ],
        },
    ],
]


@pytest.mark.parametrize("messages", SAME_AGAIN, ids=["one", "turns", "tools", "parts"])
def test_dicts_are_sent_as_they_were(messages: list[dict[str, Any]]) -> None:
    """A conversation of Chat Completions goes over that protocol as it was written."""
    assert body_of(messages)["messages"] == messages


@pytest.mark.parametrize("spec", ["openai:gpt-4o", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash"])
def test_dicts_over_other_protocols(spec: str) -> None:
    """The same tool turn written in dicts and in `Message` objects is the same request to every provider."""
    written = [
        ("user", "Weather?"),
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"},
    ]
    call = ToolCall("call_1", "get_weather", {"city": "Paris"}, raw_arguments='{"city": "Paris"}')
    meant = [
        Message.user("Weather?"),
        Message.assistant("I look.", call),
        Message.tool(ToolResult("call_1", "get_weather", "22 degrees")),
    ]
    assert Request.of(written).messages == tuple(meant)
    assert body_of(written, spec) == body_of(meant, spec)


MEANT: dict[str, tuple[Any, list[Message]]] = {
    "one dict": ({"role": "user", "content": "Hi."}, [Message.user("Hi.")]),
    "one dict in a tuple": (({"role": "user", "content": "Hi."},), [Message.user("Hi.")]),
    "pairs": ([("system", "Be brief."), ("user", "Hi.")], [Message.system("Be brief."), Message.user("Hi.")]),
    "a bare tuple": (("user", "Hi."), [Message.user("user", "Hi.")]),
    "all kinds": (
        [Message.system("Be brief."), ("user", "Hi."), {"role": "assistant", "content": "Yes?"}],
        [Message.system("Be brief."), Message.user("Hi."), Message.assistant("Yes?")],
    ),
    "developer": ([("developer", "Be brief.")], [Message.system("Be brief.")]),
    "parts in a pair": (
        [("user", ["See: ", Image(url="https://example.com/a.png")])],
        [Message.user("See: ", Image(url="https://example.com/a.png"))],
    ),
    "parts among dicts": (
        [{"role": "user", "content": ["a", {"type": "text", "text": "b"}, Text("c")]}],
        [Message.user("a", "b", "c")],
    ),
    "an answer dumped": (
        [
            {
                "role": "assistant",
                "content": "Hi.",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            }
        ],
        [Message.assistant("Hi.")],
    ),
    "a refusal": ([{"role": "assistant", "content": None, "refusal": "No."}], [Message.assistant("No.")]),
    "thinking": (
        [{"role": "assistant", "content": "42", "reasoning_content": "6 times 7"}],
        [Message.assistant(Reasoning("6 times 7"), "42")],
    ),
    "a call beside an empty text": (
        [{"role": "assistant", "content": "", "tool_calls": [{**CALL, "function": {"name": "now", "arguments": ""}}]}],
        [Message.assistant(ToolCall("call_1", "now", {}, raw_arguments=""))],
    ),
    "arguments that are not JSON": (
        [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}],
        [Message.assistant(ToolCall("1", "f", None, raw_arguments="{"))],
    ),
    "a result of parts": (
        [{"role": "tool", "tool_call_id": "1", "name": "see", "content": [{"type": "text", "text": "a cat"}]}],
        [Message.tool(ToolResult("1", "see", [Text("a cat")]))],
    ),
    "other names of parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": "https://example.com/a.png"},
                    {"type": "image_url", "image_url": "https://example.com/b.png"},
                    {"type": "video_url", "video_url": {"url": "https://example.com/c.mp4"}},
                    {"type": "input_file", "file_url": "https://example.com/d.pdf"},
                    {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "mp3"}},
                    {"type": "text", "text": "e", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                ],
            }
        ],
        [
            Message.user(
                "a",
                Image(url="https://example.com/a.png"),
                Image(url="https://example.com/b.png"),
                Video(url="https://example.com/c.mp4"),
                Document(url="https://example.com/d.pdf"),
                Audio.from_base64(PIXEL, media_type="audio/mpeg"),
                Text("e", cache=CacheHint(ttl_seconds=3600)),
            )
        ],
    ),
}


@pytest.mark.parametrize(("written", "meant"), MEANT.values(), ids=MEANT)
def test_what_is_meant(written: Any, meant: list[Message]) -> None:
    """What a caller writes, and the messages that it stands for."""
    assert Request.of(written).messages == tuple(meant)


async def test_a_thunk_in_a_dict() -> None:
    """A thunk may be the content of a dict, or a piece of it."""
    thunk = Constant("rivers").generate("Of what?")
    assert await Echo().generate({"role": "user", "content": thunk}) == "rivers"
    assert await Echo().generate([{"role": "user", "content": ["Name three ", thunk]}]) == "Name three rivers"


USER = {"role": "user", "content": "Hi."}
WRONG: dict[str, tuple[Any, str]] = {
    "role of a pair": ([("user", "Hi."), ("human", "Hi.")], r"message 1 .*no role 'human'; did you mean 'user'\?"),
    "role of a dict": ([{"role": "ai", "content": "x"}], r"message 0 .*no role 'ai'; did you mean 'assistant'\?"),
    "role with keys of its own": (
        [USER, {"role": "function", "name": "f", "content": "x"}],
        r"message 1 .*no role 'function'; did you mean 'tool'\?",
    ),
    "role that is none": ([USER, {"role": 5, "content": "x"}], r"message 1 .*not 5"),
    "path of a file": (
        ["What is this?", PurePosixPath("photo.jpg")],
        r"not PurePosixPath.*; for a file, give Image\.from_path",
    ),
    "no role": ([USER, {"content": "x"}], r"message 1 .*no 'role'"),
    "misspelled key": (
        [USER, {"role": "user", "contnet": "x"}],
        r"message 1 .*'contnet'; did you mean 'content'\?",
    ),
    "key of Gemini": ([{"role": "user", "parts": ["x"]}], r"message 0 .*key 'parts'; did you mean 'content'\?"),
    "name of a user": ([{**USER, "name": "Ann"}], r"message 0 .*'name' belongs to messages of the role 'tool'"),
    "pairs as lists": ([["user", "Hello."]], r"element 0 .* is a list; .*a tuple"),
    "old function call": ([{"role": "assistant", "function_call": {"name": "f"}}], r"message 0 .*'tool_calls'"),
    "sound of a model": ([{"role": "assistant", "audio": {"id": "a"}}], r"message 0 .*'audio'"),
    "calls of a user": ([{**USER, "tool_calls": [CALL]}], r"message 0 .*'assistant', not 'user'"),
    "custom tool": (
        [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}],
        r"calls\[0\].*'custom'",
    ),
    "call without an id": ([{"role": "assistant", "tool_calls": [{**CALL, "id": None}]}], r"tool_calls\[0\]\.id"),
    "result without an id": ([{"role": "tool", "content": "x"}], r"message 0 .*'tool_call_id'"),
    "nothing said": ([{"role": "user"}], r"message 0 .*no 'content'"),
    "unknown part": ([USER, {"role": "user", "content": [{"type": "txt"}]}], r"message 1 .*content\[0\].*'text'\?"),
    "stored file": ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}], r"'file_data'"),
    "content that is none": ([{"role": "user", "content": [5]}], r"message 0 .*not int: 5"),
    "three in a tuple": ([("user", "Hi.", "x")], r"message 0 .*pair \(role, content\)"),
    "pairs in a tuple": ((("user", "Hi."), ("assistant", "x")), "tuple"),
    "str among messages": ([USER, "Hi."], "element 1 is none"),
    "message among strs": (["Hi.", "there", USER], "element 2 is a message"),
}


@pytest.mark.parametrize(("written", "said"), WRONG.values(), ids=WRONG)
def test_mistakes_name_the_index(written: Any, said: str) -> None:
    """What cannot be read is refused when the thunk is made, with the index of the message and the nearest name."""
    with pytest.raises(InvalidRequest, match=said):
        Echo().generate(written)


def test_files_that_cannot_be_read() -> None:
    """What is no path, or no base64 as a str, is refused with what to give."""
    for path, said in ((5, "takes a path, not int"), (b"x", "takes a path, not bytes"), ("a\0b.png", "cannot read")):
        with pytest.raises(InvalidRequest, match=said):
            Image.from_path(path)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"takes a str, not bytes; bytes of ASCII have \.decode"):
        Image.from_base64(b"aGk=")  # type: ignore[arg-type]


# --- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("human", "did you mean 'user'?"),
        ("ai", "did you mean 'assistant'?"),
        ("model", "did you mean 'assistant'?"),
        ("function", "did you mean 'tool'?"),
        ("usr", "did you mean 'user'?"),
        ("User", "did you mean 'user'?"),
        ("narrator", "the roles are assistant, system, tool, user"),
        (None, "not None"),
        (["user"], "not ['user']"),
    ],
)
def test_an_unknown_role_is_refused(role: Any, said: str) -> None:
    """A role is checked when the message is made; the error names the nearest one."""
    with pytest.raises(InvalidRequest) as caught:
        Message(role, "Hi.")
    assert said in str(caught.value)
    assert caught.value.parameter == "role"


def test_a_developer_is_the_system() -> None:
    """What OpenAI calls ``developer`` is ``system``."""
    assert Message("developer", "Be brief.") == Message.system("Be brief.")  # type: ignore[arg-type]


# --- printed thunks -------------------------------------------------------------------------------


async def printed() -> list[str]:
    """What thunks and runs print as, in every state."""
    found: list[str] = []
    for make in (mellite.generate, mellite.run):
        pending = make(Echo(), "Hi.")
        done = await make(Echo(), "Hi.").settle()
        failed = await make(Failing(ConnectionLost("gone")), "Hi.").settle()
        silent = await make(Failing(ConnectionLost("gone"), after=1), "Hi.").settle()
        cancelled = make(Echo(), "Hi.")
        await cancelled.cancel_generation()
        running = make(Scripted([["one ", "two"]]), "Hi.")
        async with running:
            assert await anext(aiter(running)) == "one "
            found.append(repr(running))
        found += [repr(each) for each in (pending, done, failed, silent, cancelled)]
    return found


async def test_a_printed_thunk_is_refused() -> None:
    """A thunk's repr in a prompt, an element of it or ``system=`` is refused, with what to write instead."""
    for text in await printed():
        for ask in (
            lambda text=text: Echo().generate(f"Summarise: {text}"),
            lambda text=text: Echo().generate(["Summarise: ", text]),
            lambda text=text: Echo().generate("Hi.", system=f"Know: {text}"),
            lambda text=text: Echo().generate("Hi.", system=["Be brief.", text]),
            lambda text=text: Echo().generate(str([text])),
        ):
            with pytest.raises(InvalidRequest, match=r"generate\(\['Summarise: ', thunk\]\)"):
                ask()


async def test_a_printed_thunk_is_sent_where_it_is_meant() -> None:
    """In a Message, a Text, a tool's result and a history it is text like any other; so is talk about the class."""
    for text in await printed():
        call = Message.assistant(ToolCall("1", "f", {}))
        for prompt in (
            Message.user(text),
            Text(text),
            [Text(text), "!"],
            [("user", text)],
            {"role": "user", "content": text},
            [Message.user("Hi."), call, Message.tool(ToolResult("1", "f", text)), Message.user(text)],
        ):
            assert text in await Echo().generate(prompt)
        assert await Echo().generate("Hi.", system=Text(text)) == "Hi."
    for name in ("ModelOutputThunk", "Run"):
        assert await Scripted(["A class."]).generate(f"What is a <{name} ...>?") == "A class."
