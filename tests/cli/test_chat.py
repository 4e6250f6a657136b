"""`mellite chat`: on a real terminal and in real pipes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from mellite.cassettes.text.directory import djb2_key
from tests.cli.chat_server import chat_server
from tests.cli.programs import COMMAND, run
from tests.terminal import Dialogue

pytestmark = pytest.mark.slow


def chat(*lines: str, model: str = "fake:echo", arguments: tuple[str, ...] = (), cwd: Path | None = None):
    """Run `mellite chat` in pipes."""
    return run("chat", "--model", model, *arguments, stdin="".join(f"{line}\n" for line in lines), cwd=cwd)


class TestInAPipe:
    def test_each_line_is_answered(self) -> None:
        """Lines are questions, empty ones are none, and //x asks for /x; nothing else is printed."""
        ran = chat("Hello.", "", "And you?", "//help")
        assert (ran.code, ran.out, ran.err) == (0, "Hello.\nAnd you?\n/help\n", "")

    def test_json_lines(self) -> None:
        """With --json there is a line for each delta, and one with everything."""
        *deltas, last = chat("Hello.", arguments=("--json",)).rows
        assert "".join(delta["delta"] for delta in deltas) == last["text"] == "Hello."

    def test_saved_and_loaded(self, tmp_path: Path) -> None:
        """A conversation is written with its system prompt, and gone on from in another process."""
        assert chat("Hello.", "/save a.json", arguments=("-s", "Be kind."), cwd=tmp_path).code == 0
        ran = chat("/load a.json", "Again.", "/save b.json", cwd=tmp_path)
        assert (ran.code, ran.out) == (0, "Again.\n")
        assert ran.err == "loaded 2 messages from a.json\nsaved 4 messages to b.json\n"
        saved = json.loads((tmp_path / "b.json").read_text())
        assert saved["system"][0]["text"] == "Be kind."
        assert [part["text"] for each in saved["messages"] for part in each["content"]] == ["Hello."] * 2 + [
            "Again."
        ] * 2

    def test_another_model(self) -> None:
        """/model asks another one from then on, with the same history."""
        ran = chat("Hello.", "/model fake:constant:Hm.", "Well?")
        assert (ran.code, ran.out) == (0, "Hello.\nHm.\n")

    def test_exit_ends_it(self) -> None:
        """What comes after /exit is not asked."""
        ran = chat("Hello.", "/exit", "And you?")
        assert (ran.code, ran.out, ran.err) == (0, "Hello.\n", "")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("/laod a.json", "'/load'"),
            ("/quit", "/exit"),
            ("/load nothing.json", "No such file"),
            ("/load", "/load FILE"),
            ("/save", "/save FILE"),
            ("/model", "/model PROVIDER:MODEL"),
            ("/model opnai:gpt-4o", "'openai'"),
        ],
    )
    def test_mistakes_end_it(self, line: str, said: str) -> None:
        """In a pipe the first mistake ends the chat with code 2."""
        ran = chat(line, "Hello.")
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err

    def test_text_cassettes(self, tmp_path: Path) -> None:
        """Without a model, recorded answers are found under the default model's name as `mellite generate` does."""
        (tmp_path / f"{djb2_key('openai', 'gpt-4o-mini', 'Hello.')}.txt").write_text("Recorded.\n")
        ran = run("chat", "--cassette-dir", str(tmp_path), stdin="Hello.\n")
        assert (ran.code, ran.out, ran.err) == (0, "Recorded.\n", "")

    @pytest.mark.parametrize(
        ("tool", "said"), [("weather", "MODULE:FUNCTION"), ("nowhere:get", "nowhere"), ("json:lod", "lod")]
    )
    def test_tools_that_are_not_there(self, tool: str, said: str) -> None:
        """It says which tool cannot be found."""
        ran = chat("Hello.", arguments=("--tool", tool))
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err

    def test_no_text(self) -> None:
        """Bytes that are not text end it with a message."""
        ran = run("chat", "--model", "fake:echo", "--tool", "x", stdin="")
        assert ran.code == 2


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server that speaks Chat Completions."""
    with chat_server() as server:
        yield server


class TestOnATerminal:
    def test_a_chat(self, tmp_path: Path) -> None:
        """It prompts, answers, tells of mistakes and goes on; Ctrl-D ends it with code 0."""
        with Dialogue([*COMMAND, "chat", "--model", "fake:echo"], cwd=tmp_path) as terminal:
            terminal.read_until("> ")
            terminal.type("Hello.\n")
            assert terminal.read_until("\n> ").splitlines()[1] == "Hello."
            terminal.type("/laod\n")
            assert "did you mean '/load'" in terminal.read_until("\n> ")
            terminal.type("/help\n")
            assert "/save FILE" in terminal.read_until("\n> ")
            terminal.type("/save a.json\n")
            assert "saved 2 messages to a.json" in terminal.read_until("\n> ")
            terminal.type("\x03")
            terminal.type("\n")  # readline misses a Ctrl-C that comes just before it waits, until the next key
            terminal.read_until("(Ctrl-D ends the chat)")
            terminal.read_until("\n> ")
            terminal.type("\x04")
            assert terminal.wait() == 0

    def test_stopping_an_answer(self, server: ThreadingHTTPServer) -> None:
        """Ctrl-C stops an answer, and its connection is closed; the chat goes on with what there was of it."""
        url = f"http://127.0.0.1:{server.server_port}/v1"
        command = [*COMMAND, "chat", "--model", "openai-chat:m"]
        with Dialogue(command, OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-test") as terminal:
            terminal.read_until("> ")
            terminal.type("wait\n")
            terminal.read_until("One, two,")
            terminal.type("\x03")
            assert "(stopped)" in terminal.read_until("\n> ")
            assert server.closed.wait(10)
            terminal.type("go on\n")
            terminal.read_until("Done.")
            terminal.read_until("> ")
            terminal.type("\x04")
            assert terminal.wait() == 0
        assert [message["content"] for message in server.bodies[-1]["messages"]] == ["wait", "One, two,", "go on"]

    def test_tools(self, server: ThreadingHTTPServer, tmp_path: Path) -> None:
        """A function of a module in this folder is called, which is shown; the calls stay in the history."""
        source = 'def get_weather(city: str) -> str:\n    "Get the weather."\n    return f"Sunny in {city}."\n'
        (tmp_path / "weather_of_towns.py").write_text(source)
        url = f"http://127.0.0.1:{server.server_port}/v1"
        command = [*COMMAND, "chat", "--model", "openai-chat:m", "--tool", "weather_of_towns:get_weather"]
        with Dialogue(command, cwd=tmp_path, OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-test") as terminal:
            terminal.read_until("> ")
            terminal.type("weather\n")
            shown = terminal.read_until("\n> ")
            assert shown.splitlines()[1:4] == ["Let me see.", '[get_weather {"city": "Paris"}]', "Sunny in Paris."]
            terminal.type("go on\n")
            terminal.read_until("Done.")
            terminal.type("\x04")
        assert [message["role"] for message in server.bodies[-1]["messages"]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]
