"""What thunks, runs, results, cassettes and journals show of themselves in notebooks and on terminals."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import rich
from rich.console import Console

import mellite
from mellite import cassettes
from mellite.backends import Constant, Echo, Scripted
from mellite.cassettes import Body
from mellite.cassettes.interactions import WebSocketEvent, WebSocketInteraction, WebSocketOpen
from mellite.events import Finish, ResponseStart, TextDelta, Usage
from mellite.messages import ToolCall
from tests.pictures import words_of
from tests.terminal import ROOT
from tests.thunk.support import Source

pytestmark = pytest.mark.anyio

DEMO = ROOT / "mellite" / "demo_cassettes" / "chat.json"


def printed(thing: object, width: int = 80) -> list[str]:
    """The lines that rich prints of an object."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(thing)
    return [re.sub(r"\d+ ms", "0 ms", line.rstrip()) for line in console.file.getvalue().splitlines()]


def priced(text: str) -> list[object]:
    """An answer with a known price."""
    start = ResponseStart(provider="openai", model="gpt-4o-mini")
    return [start, TextDelta(text), Finish("stop", usage=Usage.of(input_tokens=17, output_tokens=10))]


def weather(city: str) -> dict:
    """Tell the weather."""
    return {"city": city, "degrees": 22}


class TestThunk:
    async def test_looking_generates_nothing(self):
        """A pending thunk says so, however often it is looked at; no request is made."""
        source = Source()
        thunk = mellite.generate(source, "Hello <b>you</b>.")
        assert {"thunk", "pending", "prompt", "<b>you</b>."} <= words_of(thunk)
        assert printed(thunk) == ["<ModelOutputThunk pending model=Source prompt='Hello <b>you</b>.'>"]
        assert (thunk.state, source.calls) == ("pending", 0)

    async def test_running(self):
        """A running thunk shows what has arrived."""
        thunk = mellite.generate(Source(["one ", "two"]), "count")
        async for _ in thunk:
            assert {"running", "one"} <= words_of(thunk)
            break
        async with thunk:
            assert thunk.state == "running"

    async def test_done(self):
        """A settled thunk shows who answered, tokens, cost and text."""
        thunk = Scripted([priced("Nile\nDanube")]).generate("Rivers?")
        await thunk
        assert {"openai:gpt-4o-mini", "stop", "17", "10", "tokens", "$0.00000855", "Nile", "Danube"} <= words_of(thunk)
        assert thunk._repr_mimebundle_()["text/plain"].splitlines()[1:] == [
            "prompt  Rivers?",
            "text",
            "  Nile",
            "  Danube",
        ]

    async def test_failed_and_cancelled(self):
        """A failed thunk shows its error; a cancelled one says that it was cancelled."""
        thunk = Scripted([ValueError("no <i>luck</i>")]).generate("x")
        await thunk.settle()
        assert {"✗", "failed", "BackendError:", "<i>luck</i>"} <= words_of(thunk)
        assert printed(thunk)[-2:] == [
            "    error='BackendError: backend Scripted raised ValueError: no <i>luck</i>'",
            ">",
        ]
        stopped = Echo().generate("x")
        await stopped.cancel()
        assert {"⊘", "cancelled"} <= words_of(stopped)

    async def test_tool_calls(self):
        """Calls of tools are shown as they would stand in a program."""
        thunk = Scripted([[ToolCall("1", "weather", {"city": "Zürich"})]]).generate("x")
        await thunk.settle()
        assert 'tool calls  weather({"city": "Zürich"})' in thunk._repr_mimebundle_()["text/plain"]

    def test_a_list_of_prices_that_cannot_be_read(self, tmp_path: Path):
        """The cost is left out: a picture is not a place to learn of a wrong price list."""
        (tmp_path / "prices.json").write_text("no list")
        code = (
            "from mellite.backends import Echo; t = Echo().generate('hi'); t.result();"
            "import mellite; r = mellite.gather(t).result();"
            "print(t._repr_mimebundle_()['text/plain'].splitlines()[-1], len(r._repr_html_()) > 0)"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={"MELLITE_PRICES": str(tmp_path / "prices.json"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "text    hi True\n"

    def test_inspect_is_short(self):
        """`rich.inspect` shows what was given and not the twenty fields that were not; it makes no request."""
        console = Console(file=io.StringIO(), width=100)
        source = Source()
        rich.inspect(mellite.generate(source, "Hello.", temperature=0), console=console)
        shown = console.file.getvalue()
        assert "options=Options(temperature=0)" in shown
        assert "top_k" not in shown
        assert len(shown.splitlines()) < 70
        assert source.calls == 0


class TestOthers:
    async def test_run(self):
        """A run shows its steps with their tools, and the result of each."""
        steps = [["Let me look.", ToolCall("1", "weather", {"city": "Oslo"})], "It is 22 degrees."]
        run = mellite.run(Scripted(steps), "How warm?", tools=[weather])
        assert {"run", "pending"} <= words_of(run)
        await run
        assert {"answered", "2", "steps", 'weather({"city":', "→"} <= words_of(run)
        assert printed(run, 120)[-5:-1] == [
            "    steps=[",
            '        1 · done · 5 · 0 ms · weather({"city": "Oslo"}) → {"city": "Oslo", "degrees": 22} · Let me look.,',
            "        2 · done · 9 · 0 ms · It is 22 degrees.",
            "    ]",
        ]

    async def test_sampling_result(self):
        """A result of sampling shows every sample, and marks the winner."""
        strategy = mellite.BestOfN(3, score=lambda thunk: len(thunk.value))
        result = await strategy.sample(Scripted(["a", "abc", "ab"]).generate("Letters?"))
        assert {"sampling", "BestOfN", "success", "completed", "3", "samples", "*"} <= words_of(result)
        marked = [line for line in result._repr_mimebundle_()["text/plain"].splitlines() if line.startswith("*")]
        assert [line.split()[-1] for line in marked] == ["abc"]
        # On trio the samples are taken in any order.
        assert any(re.fullmatch(r" {12}\* \d · passed .* abc,?", line) for line in printed([result]))

    async def test_results(self):
        """What `gather` gives shows how many are done and failed, and a line for each; of many, the first."""
        results = await mellite.gather(Scripted(["one", ValueError("no"), "three"]).generate("Count.").resample(3))
        assert {"3", "thunks", "2", "done", "1", "failed", "BackendError:"} <= words_of(results)
        assert printed(results)[0] == "<Results"
        assert any(line.rstrip(",").endswith("ValueError: no") for line in printed(results, 120))
        assert {"results", "0", "thunks"} == words_of(type(results)()) - {"·"}
        lines = io.StringIO()
        results._repr_pretty_(SimpleNamespace(text=lines.write), cycle=False)  # IPython prints lists by it
        assert lines.getvalue() == results._repr_mimebundle_()["text/plain"]
        many = await mellite.gather(Constant("yes").generate("x").resample(100))
        assert many._repr_mimebundle_()["text/plain"].endswith("\n… and 60 more")

    def test_cassette(self):
        """A cassette shows its calls, without the queries of URLs, which may hold a key."""
        cassette = cassettes.load_cassette(DEMO)
        assert {"cassette", "mellite/demo/chat", "gpt-4o-mini", "POST", "200"} <= words_of(cassette)
        request = cassettes.RecordedRequest("POST", "https://me:pw@host.example/v1?key=sk-secret#top")
        one = cassettes.HttpInteraction(request, cassettes.RecordedResponse(200))
        shown = words_of(cassettes.Cassette((one,)))
        assert "host.example/v1" in shown
        assert not [word for word in shown if "secret" in word or "pw" in word]

    def test_cassette_of_a_websocket(self):
        """Frames over a WebSocket are counted by side."""
        frames = [WebSocketEvent(side, "text", body=Body.of("{}")) for side in ("client", "server", "server")]
        opened = WebSocketOpen("wss://host.example/v1/realtime?key=sk-secret")
        cassette = cassettes.Cassette((WebSocketInteraction(tuple(frames), open=opened),))
        line = cassette._repr_mimebundle_()["text/plain"].splitlines()[-1]
        assert re.sub(" +", " ", line) == "0 WebSocket host.example/v1/realtime 1 frame 2 frames"

    async def test_journal(self, tmp_path: Path):
        """A journal shows whether it is open, and its calls."""
        path = tmp_path / "run"
        journal = mellite.journal(path)
        assert "open" not in words_of(journal)
        with journal:
            await Scripted(["a"]).generate("q")
            assert {"open", "1", "call", "live", "done"} <= words_of(journal)
        assert "closed" in words_of(journal)
        with mellite.journal(path) as again:
            await Scripted(["a"]).generate("q")
        assert "· 1 call · 1 replayed · 0 live" in again._repr_mimebundle_()["text/plain"]


def test_nothing_of_notebooks_is_imported():
    """Showing an object imports neither IPython nor rich."""
    code = (
        "import sys; from mellite.backends import Echo; t = Echo().generate('hi'); t.result();"
        "t._repr_html_(), t._repr_mimebundle_(), list(t.__rich_repr__());"
        "print([name for name in ('IPython', 'marimo', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
