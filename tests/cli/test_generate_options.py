"""The options of `mellite generate`, as they arrive at a server; what is piped in; Ctrl-C; and mistakes."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mellite.cli.attachments import media_type_of
from tests.cli.chat_server import chat_server
from tests.cli.programs import COMMAND, ROOT, Ran, invoked, run, surroundings

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server that speaks Chat Completions."""
    with chat_server() as server:
        yield server


def at(server: ThreadingHTTPServer) -> list[str]:
    """The options that ask a model of it."""
    return ["-m", "openai-chat:gpt-4o-mini", "--base-url", f"http://127.0.0.1:{server.server_port}/v1"]


def shell(line: str, *arguments: str, **environment: str) -> Ran:
    """Run `mellite generate` within a line of the shell, where it stands as MELLITE."""
    command = " ".join(map(shlex.quote, [*COMMAND, "generate", *arguments]))
    done = subprocess.run(
        ["bash", "-c", line.replace("MELLITE", command)],
        cwd=ROOT,
        env=surroundings(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class TestOptions:
    def test_all_of_them(self, server: ThreadingHTTPServer) -> None:
        """Flags and options by name arrive in the request; PROVIDER.NAME is for one provider, a flag wins."""
        options = ["-s", "Be brief.", "--temperature", "0.5", "--max-tokens", "7", "-o", "temperature", "1"]
        options += ["-o", "top_p", "0.9", "-o", "seed", "3", "-o", "stop", "5", "-o", "openai.user", "me"]
        ran = run("generate", *at(server), *options, "Hello.")
        assert (ran.code, ran.out, ran.err) == (0, "Done.\n", "")
        body = server.bodies[0]
        assert [message["content"] for message in body["messages"]] == ["Be brief.", "Hello."]
        assert (body["temperature"], body["top_p"], body["seed"], body["stop"]) == (0.5, 0.9, 3, ["5"])
        assert (body["max_completion_tokens"], body["user"]) == (7, "me")

    def test_chat_has_them_as_well(self, server: ThreadingHTTPServer) -> None:
        """`mellite chat` shares these options, also with another model."""
        lines = "Hello.\n/model openai-chat:gpt-4o\nAgain.\n"
        ran = run("chat", *at(server), "-s", "Be brief.", "-o", "seed", "3", "--max-tokens", "7", stdin=lines)
        assert (ran.code, ran.out) == (0, "Done.\nDone.\n")
        assert [body["model"] for body in server.bodies] == ["gpt-4o-mini", "gpt-4o"]
        assert [(body["seed"], body["max_completion_tokens"]) for body in server.bodies] == [(3, 7), (3, 7)]

    @pytest.mark.parametrize(("retries", "requests"), [("0", 1), ("1", 2)])
    def test_retries(self, server: ThreadingHTTPServer, retries: str, requests: int) -> None:
        """A server that fails is asked once more for each retry; the exit code is 1."""
        ran = invoked("generate", *at(server), "--retries", retries, "fail")
        assert (ran.code, ran.out, len(server.bodies)) == (1, "", requests)

    def test_timeout(self, server: ThreadingHTTPServer) -> None:
        """An answer that takes longer in all is a timeout, and its connection is closed."""
        ran = invoked("generate", *at(server), "--timeout", "0.3", "wait")
        assert (ran.code, ran.out) == (1, "")
        assert "0.3" in ran.err
        assert server.closed.wait(10)

    def test_json(self) -> None:
        """--json says how it ended."""
        said = invoked("generate", "-m", "fake:echo", "--json", "Hello.").json
        assert (said["text"], said["state"], said["cost_usd"]) == ("Hello.", "done", None)


class TestAttachments:
    def test_files(self, server: ThreadingHTTPServer, tmp_path: Path) -> None:
        """Files are sent as what is in them, whatever their names; texts by their names."""
        (tmp_path / "dot.txt").write_bytes(PNG)
        (tmp_path / "doc").write_bytes(b"%PDF-1.7 ...")
        names = [str(tmp_path / "dot.txt"), str(tmp_path / "doc")]
        ran = invoked(
            "generate", *at(server), "-a", names[0], "-a", names[1], "-a", "https://example.com/a.png", "Look."
        )
        assert (ran.code, ran.out) == (0, "Done.\n")
        parts = server.bodies[0]["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["text", "image_url", "file", "image_url"]
        assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,")

    def test_from_standard_input(self, server: ThreadingHTTPServer) -> None:
        """-a - attaches what is piped in, and no text needs to go with it."""
        command = [*COMMAND, "generate", *at(server), "-a", "-"]
        done = subprocess.run(command, input=PNG, capture_output=True, cwd=ROOT, env=surroundings(), check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Done.\n", b"")
        (part,) = server.bodies[0]["messages"][0]["content"]
        assert base64.b64decode(part["image_url"]["url"].partition(",")[2]) == PNG

    @pytest.mark.parametrize(
        ("data", "name", "media_type"),
        [
            (PNG, "a.txt", "image/png"),
            (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
            (b"GIF89a", "", "image/gif"),
            (b"RIFF\1\2\3\4WEBPVP8 ", "", "image/webp"),
            (b"RIFF\1\2\3\4WAVEfmt ", "", "audio/wav"),
            (b"\0\0\0\x18ftypheic", "", "image/heic"),
            (b"\0\0\0\x18ftypM4A ", "", "audio/mp4"),
            (b"\0\0\0\x18ftypisom", "", "video/mp4"),
            (b"\x1aE\xdf\xa3", "", "video/webm"),
            (b"ID3\x04", "", "audio/mpeg"),
            (b"\xff\xfb\x90", "", "audio/mpeg"),
            (b"OggS", "", "audio/ogg"),
            (b"%PDF-1.4", "a.png", "application/pdf"),
            (b"a,b\n", "a.csv", "text/csv"),
            (b'{"a": 1}', "a.json", "application/json"),
            ("# Grüße".encode(), "notes", "text/plain"),
            (b"plain text", "a.png", "text/plain"),
            (b"PK\x03\x04", "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (b"PK\x03\x04", "a.png", None),
            (b"\x7fELF\0\0", "a.txt", None),
            (b"\xfe\xff\xfd", "a.txt", None),
            (b"", "a.txt", None),
        ],
    )
    def test_types_by_content(self, data: bytes, name: str, media_type: str | None) -> None:
        """What is in a file says what it is."""
        assert media_type_of(data, name) == media_type


ECHO = ("-m", "fake:echo")


@pytest.mark.slow
class TestStandardInput:
    @pytest.mark.parametrize(
        ("line", "prompt", "said"),
        [
            ("echo Some text | MELLITE", "Sum up:", "Some text\n\nSum up:\n"),
            ("(sleep 0.4; echo Some text) | MELLITE", "Sum up:", "Some text\n\nSum up:\n"),
            ("printf 'a\\r\\nb\\n' | MELLITE", "", "a\nb\n\n"),
            ("printf 'a\\nb' | MELLITE", "-", "a\nb\n"),
            ("MELLITE </dev/null", "Hello.", "Hello.\n"),
            ("MELLITE <&-", "Hello.", "Hello.\n"),
            ("echo | MELLITE", "Hello.", "Hello.\n"),
            ("MELLITE < /etc/hostname >/dev/null; echo $?", "Hello.", "0\n"),
            ("LC_ALL=C MELLITE <<< 'Grüße'", "-", "Grüße\n\n"),
        ],
    )
    def test_joined(self, line: str, prompt: str, said: str) -> None:
        """What is piped in stands before the argument, also where it comes late; nothing there is nothing to join."""
        ran = shell(line, *ECHO, *([prompt] if prompt else []))
        assert (ran.code, ran.out, ran.err) == (0, said, "")

    def test_what_is_waited_for_is_said(self) -> None:
        """A pipe that stands open is waited for, which is said after two seconds; nothing of it is lost."""
        command = [*COMMAND, "generate", *ECHO, "Sum up:"]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, cwd=ROOT, env=surroundings(), text=True, **pipes) as child:
            assert "waiting for standard input" in child.stderr.readline()
            out, err = child.communicate("Late.\n", timeout=30)
        assert (child.returncode, out, err) == (0, "Late.\n\nSum up:\n", "")

    def test_a_socket_that_stands_open_is_not_waited_for(self) -> None:
        """Programs that start others give them sockets; one with something in it is read, a silent one is not."""
        for sent in (b"", b"Some text\n"):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.sendall(sent)
                if sent:
                    ours.shutdown(socket.SHUT_WR)
                command = [*COMMAND, "generate", *ECHO, "Sum up:"]
                done = subprocess.run(
                    command, stdin=theirs, capture_output=True, cwd=ROOT, env=surroundings(), timeout=60, check=False
                )
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout == (b"Some text\n\nSum up:\n" if sent else b"Sum up:\n")

    @pytest.mark.parametrize(
        ("line", "arguments", "said"),
        [
            ("MELLITE </dev/null", [], "nothing to ask"),
            ("MELLITE <&-", ["-"], "closed"),
            ("printf 'a\\377b' | MELLITE", ["Hello."], "at byte 1"),
            ("echo a | MELLITE", ["-", "-a", "-"], "cannot be the prompt and an attachment"),
            ("MELLITE </dev/null", ["-a", "-"], "standard input: it is empty"),
        ],
    )
    def test_mistakes(self, line: str, arguments: list[str], said: str) -> None:
        """What cannot be read is refused with 2 before anything is asked."""
        ran = shell(line, *ECHO, *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
        assert "Traceback" not in ran.err


class TestSpending:
    def test_too_dear(self, server: ThreadingHTTPServer) -> None:
        """An estimate above the limit is refused with 2, and nothing is sent; below it is sent."""
        ran = invoked("generate", *at(server), "--max-usd", "0.0005", "Hello.")
        assert (ran.code, ran.out, server.bodies) == (2, "", [])
        assert "0.0006" in ran.err
        assert "1,000 of output" in ran.err
        ran = invoked("generate", *at(server), "--max-usd", "0.0005", "--max-tokens", "100", "Hello.")
        assert (ran.code, ran.out, len(server.bodies)) == (0, "Done.\n", 1)

    def test_the_prompt_counts(self, server: ThreadingHTTPServer) -> None:
        """Ten thousand words are more than a few, and so is a long answer."""
        ran = invoked("generate", *at(server), "--max-usd", "0.001", "--max-tokens", "10", "word " * 10_000)
        assert (ran.code, server.bodies) == (2, [])
        ran = invoked("generate", *at(server), "--max-usd", "0.01", "--max-tokens", "100000", "Hello.")
        assert (ran.code, server.bodies) == (2, [])

    @pytest.mark.parametrize("model", ["fake:echo", "openai-chat:no-such-model", "ollama:llama3.2"])
    def test_unknown_price(self, model: str) -> None:
        """Where no price is known it says so, and refuses."""
        ran = invoked("generate", "-m", model, "--max-usd", "1", "Hello.")
        assert (ran.code, ran.out) == (2, "")
        assert "not known" in ran.err


@pytest.mark.slow
class TestCtrlC:
    @staticmethod
    def stopped(server: ThreadingHTTPServer, *arguments: str) -> Ran:
        """Interrupt an answer that stalls after its first words."""
        with subprocess.Popen(
            [*COMMAND, "generate", *at(server), *arguments, "wait"],
            cwd=ROOT,
            env=surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert server.read.wait(30)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        assert server.closed.wait(10)
        return Ran(child.returncode, out, err)

    def test_prints_what_arrived(self, server: ThreadingHTTPServer) -> None:
        """An answer that is stopped is printed as far as it came, with 130, and its connection is closed."""
        assert self.stopped(server) == (130, "One, two,\n", "")

    def test_streamed(self, server: ThreadingHTTPServer) -> None:
        """With --stream the line is ended."""
        assert self.stopped(server, "--stream") == (130, "One, two,\n", "")

    @pytest.mark.parametrize("how", [[], ["--stream"]])
    def test_as_json(self, server: ThreadingHTTPServer, how: list[str]) -> None:
        """With --json the state is that it was cancelled."""
        ran = self.stopped(server, "--json", *how)
        assert (ran.code, ran.err) == (130, "")
        *deltas, last = ran.rows
        assert (last["state"], last["text"], last["finish_reason"]) == ("cancelled", "One, two,", None)
        assert "".join(row["delta"] for row in deltas) == ("One, two," if how else "")

    def test_while_it_waits_for_input(self) -> None:
        """Ctrl-C before everything to ask is there ends it with 130, too."""
        with subprocess.Popen(
            [*COMMAND, "generate", *ECHO, "Sum up:"],
            cwd=ROOT,
            env=surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert "waiting" in child.stderr.readline()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        assert (child.returncode, out, err) == (130, "", "")


class TestOutput:
    @pytest.mark.slow
    def test_a_reader_that_leaves(self, server: ThreadingHTTPServer) -> None:
        """Who reads the output and leaves ends it: no traceback, and the connection is closed."""
        reading, writing = os.pipe()
        os.close(reading)
        command = [*COMMAND, "generate", *at(server), "--stream", "wait"]
        with os.fdopen(writing, "wb") as out:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                env=surroundings(),
                timeout=60,
                check=False,
            )
        assert (done.returncode, done.stderr) == (1, b"")
        assert server.closed.wait(10)

    def test_letters_that_the_output_does_not_have(self) -> None:
        """They are printed as escapes, and the answer is not lost for them."""
        ran = run("generate", *ECHO, "Grüße 😀", PYTHONIOENCODING="ascii")
        assert (ran.code, ran.out, ran.err) == (0, "Gr\\xfc\\xdfe \\U0001f600\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "temprature", "1"], "did you mean 'temperature'?"),
        (["-o", "top_p", "high"], "'top_p' must be a number, not 'high'"),
        (["-o", "timeout", "3"], "give it as --timeout"),
        (["-o", "model", "x"], "give it as --model"),
        (["-o", "n", "3"], "'n'"),
        (["-o", "seed"], "requires 2 arguments"),
        (["--temperature", "hot"], "'hot'"),
        (["--temperature", "nan"], "'temperature' must be a number"),
        (["--max-tokens", "0"], "'max_tokens' must be a whole number of at least 1"),
        (["--max-tokens", "1.5"], "'1.5'"),
        (["--retries", "-1"], "'retries' must be a whole number of at least 0"),
        (["--timeout", "0"], "above 0"),
        (["--timeout", "inf"], "above 0"),
        (["--max-usd", "-1"], "--max-usd must be an amount"),
        (["--max-usd", "much"], "--max-usd must be an amount"),
        (["--max-usd", "NaN"], "--max-usd must be an amount"),
        (["--base-url", "here"], "base_url must begin with https://"),
        (["--base-url", "https://a.example", "--cassette-dir", "."], "leave one out"),
        (["-m", "fake:echo", "--base-url", "https://a.example"], "asks nobody"),
        (["-a", "no-such-file.png"], "No such file"),
        (["-a", "."], "Is a directory"),
        (["-a", "a\0b"], "cannot read"),
        (["-a", "https://example.com/what"], "nothing is fetched"),
        (["-a", sys.executable], "cannot attach"),
        (["-a", "-", "-a", "-"], "once only"),
    ],
)
def test_mistakes(arguments: list[str], said: str) -> None:
    """What was said wrongly is refused with 2 and a line on standard error; nothing is asked."""
    ran = invoked("generate", "Hello.", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_no_key_in_an_error() -> None:
    """A key in a URL that is refused is not repeated."""
    ran = invoked("generate", "Hello.", "--base-url", "https://me:sk-proj-secret@a.example")
    assert ran.code == 2
    assert "sk-proj-secret" not in ran.err


def test_rows_of_a_stream_are_json() -> None:
    """With --stream and --json each line is an object."""
    rows = invoked("generate", *ECHO, "--stream", "--json", "Hello.").out.splitlines()
    assert [set(json.loads(row)) == {"delta"} for row in rows[:-1]]
