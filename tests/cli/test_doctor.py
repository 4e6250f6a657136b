"""`mellite doctor`, `providers`, `models` and `tokens`: what is there, without a key ever shown."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mellite import count_tokens
from mellite.providers import catalog
from mellite.providers.overview import overview
from tests.cli.programs import COMMAND, ROOT, invoked, run, surroundings

SECRET = "sk-proj-do-not-show-me-0123456789abcdef"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any variable of a provider."""
    for name in {name for each in overview() for name in each.variables}:
        monkeypatch.delenv(name, raising=False)


class Silent(BaseHTTPRequestHandler):
    """Knows no page, and keeps what it was asked with."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server that answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class TestDoctor:
    @pytest.mark.slow
    def test_all_is_well(self) -> None:
        """In a process of its own: the checks pass on both loops, keys are told by their variables only."""
        ran = run("doctor", "--json", OPENAI_API_KEY=SECRET, AWS_ACCESS_KEY_ID=SECRET, AWS_SECRET_ACCESS_KEY=SECRET)
        assert (ran.code, ran.err) == (0, "")
        assert SECRET not in ran.out
        said = ran.json
        assert said["selftest"] == "ok"
        assert set(said["checks"]) == {"asyncio", "trio", "replay", "prices"}
        assert said["version"].count(".") == 2
        assert said["keys"]["openai"] == {"key": "present", "variable": "OPENAI_API_KEY"}
        assert said["keys"]["bedrock"]["variable"] == "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        assert said["keys"]["groq"] == {"key": "missing", "variable": None}
        assert said["keys"]["ollama"]["key"] == "not needed"
        assert said["extras"]["trio"]["installed"] is True
        assert "test" not in said["extras"]
        assert "online" not in said

    def test_in_words(self) -> None:
        """Without --json there is a line for each check, key and extra."""
        ran = invoked("doctor", GROQ_API_KEY=SECRET)
        assert (ran.code, SECRET in ran.out) == (0, False)
        rows = [line.split("\t") for line in ran.out.splitlines()]
        assert ["check", "asyncio", "ok"] in rows
        assert ["key", "groq", "present (GROQ_API_KEY)"] in rows
        assert ["extra", "cli", "installed"] in rows

    def test_half_an_access_key_is_none(self) -> None:
        """An AWS access key without its secret is missing, an empty variable as well."""
        said = invoked("doctor", "--json", AWS_ACCESS_KEY_ID=SECRET, OPENAI_API_KEY="").json
        assert (said["keys"]["bedrock"]["key"], said["keys"]["openai"]["key"]) == ("missing", "missing")

    def test_something_is_broken(self, tmp_path: Path) -> None:
        """A damaged price list fails the self-test, which says what is wrong; the exit code is 1."""
        (tmp_path / "prices.json").write_text("{")
        ran = invoked("doctor", "--json", MELLITE_PRICES=str(tmp_path / "prices.json"))
        assert (ran.code, ran.json["selftest"]) == (1, "failed")
        assert "prices.json" in ran.json["checks"]["prices"]
        assert ran.json["checks"]["replay"] == "ok"

    def test_servers_that_answer(self, server: ThreadingHTTPServer) -> None:
        """--online asks the servers of those with a key, and sends the key to none."""
        url = f"http://127.0.0.1:{server.server_port}/v1?key={SECRET}"
        ran = invoked("doctor", "--json", "--online", OPENAI_API_KEY=SECRET, OPENAI_BASE_URL=url)
        assert (ran.code, SECRET in ran.out) == (0, False)
        assert set(ran.json["online"]) == {"openai", "openai-chat", "openai-websocket"}
        assert ran.json["online"]["openai"] == {"reached": True, "status": 404, "error": None}
        assert SECRET not in str(server.seen)
        assert {path for path, _ in server.seen} == {"/v1"}

    def test_servers_that_do_not_answer(self) -> None:
        """A server that is not there is said with its address; so is a setting that lacks. The exit code is 1."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            environment = {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_BASE_URL": url, "AZURE_OPENAI_API_KEY": SECRET}
            ran = invoked("doctor", "--online", **environment)
        assert ran.code == 1
        rows = {line.split("\t")[1]: line for line in ran.out.splitlines() if line.startswith("server\t")}
        assert url in rows["anthropic"]
        assert "AZURE_RESOURCE_NAME" in rows["azure"]


class TestProviders:
    def test_rows(self) -> None:
        """Each provider is one line: a table in a pipe, or JSON."""
        ran = run("providers", "--json", XAI_API_KEY=SECRET)
        assert (ran.code, ran.err, SECRET in ran.out) == (0, "", False)
        rows = {row["name"]: row for row in ran.rows}
        assert rows["xai"]["key"] == "present"
        assert rows["openai"]["variables"] == ["OPENAI_API_KEY", "OPENAI_BASE_URL"]
        assert rows["openai"]["base_url"] == "https://api.openai.com/v1"
        assert rows["azure"]["base_url"] == "https://{resource}.openai.azure.com"
        assert rows["openai-compatible"] == {
            "name": "openai-compatible",
            "variables": [],
            "base_url": None,
            "key": "not needed",
            "problem": None,
        }
        plain = invoked("providers", XAI_API_KEY=SECRET)
        assert "xai\tpresent (XAI_API_KEY)\thttps://api.x.ai/v1\tXAI_API_KEY\n" in plain.out
        assert len(plain.out.splitlines()) == len(rows) > 30

    def test_a_server_that_cannot_be_used(self) -> None:
        """What is wrong with a base URL of the environment is said in its place, without a password in it."""
        ran = invoked("providers", "--json", OPENAI_BASE_URL=f"https://me:{SECRET}@example.com", OLLAMA_BASE_URL="here")
        rows = {row["name"]: row for row in ran.rows}
        assert SECRET not in ran.out
        assert rows["openai"]["base_url"] is None
        assert "OPENAI_BASE_URL" in rows["openai"]["problem"]
        assert "OLLAMA_BASE_URL" in rows["ollama"]["problem"]

    @pytest.mark.slow
    def test_a_reader_that_leaves(self) -> None:
        """A pipe that is closed early is not an error to tell of."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as out:
            done = subprocess.run(
                [*COMMAND, "models"], stdout=out, stderr=subprocess.PIPE, cwd=ROOT, env=surroundings(), check=False
            )
        assert (done.returncode, done.stderr) == (1, b"")


class TestModels:
    def test_of_one_provider(self) -> None:
        """Models come with what input costs and how many tokens they take, under mellite's names of providers."""
        ran = run("models", "openai", "--json")
        assert (ran.code, ran.err) == (0, "")
        rows = {row["model"]: row for row in ran.rows}
        assert rows["gpt-4o-mini"] == {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "input": 0.15,
            "context_window": 128_000,
        }
        assert "openai\tgpt-4o-mini\t0.15\t128,000\n" in invoked("models", "openai").out

    def test_of_all(self) -> None:
        """All models are there, each under a name that --model takes, Claude on Vertex AI under its own."""
        rows: list[dict[str, Any]] = invoked("models", "--json").rows
        names = {row["provider"] for row in rows}
        assert len(rows) > 1000
        assert names <= set(catalog.names())
        assert {"bedrock", "xai", "vertex", "vertex-anthropic"} <= names
        assert all("claude" in row["model"] for row in rows if row["provider"] == "vertex-anthropic")
        assert not any("claude" in row["model"] for row in rows if row["provider"] in ("google", "vertex"))

    def test_of_a_price_file(self, tmp_path: Path) -> None:
        """A price file of one's own is what is listed: its providers, prices and windows, in all digits."""
        model: dict[str, Any] = {"prices": [{"input": ["0.30", 1000, 2]}], "context_window": 2000}
        providers = {"acme": {"models": {"m": model, "free": {"prices": [{"output": 1}]}}}}
        text = json.dumps({"version": 1, "date": "2026-01-02", "providers": providers})
        (tmp_path / "prices.json").write_text(text)
        ran = invoked("models", "ACME", "--json", MELLITE_PRICES=str(tmp_path / "prices.json"))
        assert [[row["model"], row["input"], row["context_window"]] for row in ran.rows] == [
            ["m", 0.3, 2000],
            ["free", None, None],
        ]
        assert Decimal(str(ran.rows[0]["input"])) == Decimal("0.3")

    @pytest.mark.parametrize(
        ("provider", "code", "said"), [("opneai", 2, "'openai'"), ("ollama", 1, "'ollama'"), ("", 2, "")]
    )
    def test_nobody(self, provider: str, code: int, said: str) -> None:
        """A provider that does not exist is a mistake with the nearest name; one without prices has no models."""
        ran = invoked("models", provider)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err


class TestTokens:
    def test_a_text(self) -> None:
        """The number stands alone on standard output; that it is an estimate, on standard error."""
        ran = run("tokens", "The sky is blue.")
        assert (ran.code, ran.out) == (0, "5\n")
        assert "estimate" in ran.err

    def test_standard_input(self) -> None:
        """- counts what is piped in."""
        text, model = "The sky is blue.\n" * 20, "anthropic:claude-opus-4-8"
        ran = run("tokens", "-", "-m", model, "--json", stdin=text)
        assert (ran.code, ran.err) == (0, "")
        assert ran.json == {"tokens": count_tokens(text, model=model), "exact": False, "model": model}

    def test_bytes_that_are_no_text(self) -> None:
        """They are refused with their place."""
        done = subprocess.run(
            [*COMMAND, "tokens", "-"],
            input=b"ab\xffc",
            capture_output=True,
            cwd=ROOT,
            env=surroundings(LC_ALL="C"),
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"at byte 2" in done.stderr
