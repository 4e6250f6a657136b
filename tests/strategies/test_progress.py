"""Progress bars: drawn on a real terminal when asked for, and nowhere else."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mellite
from mellite.errors import InvalidRequest
from mellite.sampling import BestOfN
from mellite.strategies.progress import progress_bar
from tests import terminal
from tests.terminal import ROOT

PREAMBLE = """
import sys, threading
import anyio, anyio.to_thread, mellite
from mellite.errors import ConnectionLost
from mellite.events import Finish, ResponseStart, TextDelta, Usage

def threads():  # how many are left, when those that are about to end have ended
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(5)
    return threading.active_count()

async def a_line():  # comes when the terminal has shown what the test waits for
    await anyio.to_thread.run_sync(sys.stdin.readline)

async def until(holds):
    while not holds():
        await anyio.sleep(0)

class Model(mellite.Backend):
    def __init__(self, model="gpt-4o", error=None, wait=None):
        self.model, self.error, self.wait, self.calls = model, error, wait, 0

    async def stream(self, request):
        self.calls += 1
        yield ResponseStart(provider="openai", model=self.model)
        yield TextDelta("hi")
        await (self.wait.wait() if self.wait else anyio.sleep(0))
        if self.error:
            raise self.error
        yield Finish("stop", usage=Usage.of(input_tokens=1_000_000, output_tokens=1000))

"""


def program(code: str, loop: str) -> list[str]:
    """A Python that runs the body of an `async def main()` on a loop."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"{PREAMBLE}async def main():\n{body}\nanyio.run(main, backend={loop!r})",
    ]


def on_terminal(code: str, loop: str = "asyncio", *, when: tuple[str, ...] = (), **environment: str) -> tuple[str, str]:
    """What a program writes to standard output, a pipe, and to standard error; for `when`, see `tests.terminal`."""
    seen = terminal.on_terminal(program(code, loop), only_errors=True, when=[when] if when else [], **environment)
    assert seen.code == 0, seen.drawn
    return seen.printed, seen.drawn


def last_frame(drawn: str) -> str:
    """The bars as they stay on the terminal, without colours."""
    frames = re.split(r"\x1b\[2K", drawn)
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺\r]", "", frame).strip() for frame in frames]
    return re.sub(r" +", " ", [frame for frame in plain if frame][-1])


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_gather_on_a_terminal(loop: str) -> None:
    """`gather(progress=True)` shows count, tokens, cost, rate and time left on standard error, and cleans up."""
    printed, drawn = on_terminal(
        """
        model = Model()
        thunks = [model.generate(str(number)) for number in range(1000)]
        await mellite.gather(*thunks[:1])
        got = await mellite.gather(*thunks, *thunks[:5], progress=True)
        print(len(got), got[:1000] == thunks, model.calls, threads())
        """,
        loop,
    )
    assert printed == "1005 True 1000 1\n"
    assert re.fullmatch(
        r"generating 1000/1000 1,001,000,000 tokens · \$2,510\.0000 · [\d.]+/s 0:00:00", last_frame(drawn)
    )
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1


def test_nothing_unless_asked() -> None:
    """Without ``progress=True`` nothing is drawn, and rich is not loaded."""
    printed, drawn = on_terminal(
        """
        await mellite.gather(*[Model().generate("hi") for _ in range(3)])
        await mellite.MajorityVote(3).sample(Model().generate("hi"))
        from mellite.strategies.progress import progress_bar
        with progress_bar("not wanted", wanted=False) as bar:
            print(bar, "rich" in sys.modules)
        """
    )
    assert (printed, drawn) == ("None False\n", "")


def test_nothing_in_a_pipe() -> None:
    """In a pipe nothing is drawn although it is asked for, and rich is not needed."""
    code = """
        sys.modules["rich"] = None
        await mellite.gather(*[Model().generate("hi") for _ in range(3)], progress=True)
        await mellite.MajorityVote(3).sample(Model().generate("hi"), progress=True)
        print("done")
        """
    done = subprocess.run(program(code, "asyncio"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_nothing_without_standard_error() -> None:
    """A program without standard error, as under pythonw, gets no bar and no error."""
    code = """
        sys.stderr = None
        await mellite.gather(Model().generate("hi"), progress=True)
        print("done")
        """
    done = subprocess.run(program(code, "asyncio"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"


def test_rich_is_missing() -> None:
    """On a terminal without rich, asking for a bar says what to install, before anything is sent."""
    printed, drawn = on_terminal(
        """
        sys.modules["rich"] = None
        model = Model()
        for ask in (mellite.gather, lambda thunk, progress: mellite.MajorityVote(3).sample(thunk, progress=progress)):
            try:
                await ask(model.generate("hi"), progress=True)
            except mellite.errors.MissingExtra as error:
                print(error)
        print(model.calls)
        """
    )
    assert printed == "a progress bar needs rich: pip install 'mellite[cli]'\n" * 2 + "0\n"
    assert drawn == ""


def test_price_list_is_broken(tmp_path: Path) -> None:
    """A price file that is none is said before anything is sent."""
    (tmp_path / "prices.json").write_text("{}")
    printed, drawn = on_terminal(
        """
        model = Model()
        try:
            await mellite.gather(model.generate("hi"), progress=True)
        except mellite.errors.ConfigurationError as error:
            print(type(error).__name__, model.calls)
        """,
        MELLITE_PRICES=str(tmp_path / "prices.json"),
    )
    assert (printed, drawn) == ("ConfigurationError 0\n", "")


def test_what_it_says() -> None:
    """Failures count; a cost known in part says so, an unknown one is left out; shared is paid once, replayed never."""
    printed, drawn = on_terminal(
        """
        failing = Model(error=ConnectionLost("gone"))
        await mellite.gather(Model("acme-1").generate("hi"), progress=True)
        await mellite.gather(Model("acme-1").generate("hi"), Model().generate("hi"), progress=True)
        await mellite.gather(failing.generate("hi"), failing.generate("ho"), progress=True)
        await mellite.gather(Model().generate("hi"), failing.generate("ho"), progress=True)
        model = Model()
        with mellite.share():
            await mellite.gather(*[model.generate("hi") for _ in range(4)], progress=True)
        await mellite.gather(progress=True)
        cached = mellite.Cached(Model())
        await cached.generate("hi")
        await mellite.gather(cached.generate("hi"), Model().generate("hi"), progress=True)
        print(model.calls)
        """
    )
    assert printed == "1\n"
    said = [last_frame(part) for part in drawn.split("\x1b[?25h")[:-1]]
    rate = r"[\d.]+/s"
    for text, wanted in zip(
        said,
        [
            rf"generating 1/1 1,001,000 tokens · {rate} 0:00:00",
            rf"generating 2/2 2,002,000 tokens · >=\$2\.5100 · {rate} 0:00:00",
            rf"generating 2/2 0 tokens · {rate} · 2 failed 0:00:00",
            rf"generating 2/2 >=1,001,000 tokens · >=\$2\.5100 · {rate} · 1 failed 0:00:00",
            rf"generating 4/4 1,001,000 tokens · \$2\.5100 · {rate} 0:00:00",
            rf"generating 0/0 (0 tokens · {rate} )?(0:00:00|-:--:--)",
            rf"generating 2/2 1,001,000 tokens · \$2\.5100 · {rate} 0:00:00",
        ],
        strict=True,
    ):
        assert re.fullmatch(wanted, text), text


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_strategies_on_a_terminal(loop: str) -> None:
    """A strategy shows how many of its samples are there; one that is done early leaves the bar where it was."""
    printed, drawn = on_terminal(
        """
        def good(thunk): return thunk.value == "hi"
        def bad(thunk): return False
        rejection = mellite.RejectionSampling(max_samples=8)
        nested = mellite.RejectionSampling(max_samples=2, inner=mellite.RejectionSampling(max_samples=3))
        for strategy, required in ((mellite.MajorityVote(5), []), (rejection, [good]), (nested, [bad])):
            result = await strategy.sample(Model().generate("hi"), required, progress=True)
            print(result.success, result.attempts)
        """,
        loop,
    )
    vote, rejection, nested = [last_frame(part) for part in drawn.split("\x1b[?25h")[:-1]]
    assert re.match(r"MajorityVote [35]/5 [35],00[35],000 tokens · \$", vote)
    assert re.match(r"RejectionSampling 1/8 1,001,000 tokens · \$2.5100 · ", rejection)
    assert re.match(r"RejectionSampling 6/6 6,006,000 tokens", nested)
    assert printed.splitlines()[1:] == ["True 1", "False 6"]


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_bars_at_the_same_time(loop: str) -> None:
    """Bars that run at the same time are drawn below each other, and none is left behind when one is cancelled."""
    printed, drawn = on_terminal(
        """
        async def ask(*thunks):
            await mellite.gather(*thunks, progress=True)

        model, go = Model(), anyio.Event()
        model.wait = go
        wanted_twice = model.generate("hi")
        async with anyio.create_task_group() as group:
            group.start_soon(ask, *[model.generate("hi") for _ in range(2)])
            group.start_soon(ask, wanted_twice, *[model.generate("hi") for _ in range(2)])
            await until(lambda: model.calls == 5)
            async with anyio.create_task_group() as other:
                other.start_soon(ask, wanted_twice, *[model.generate("hi") for _ in range(3)])
                await until(lambda: model.calls == 8)
                other.cancel_scope.cancel()
            go.set()
        print(threads())
        """,
        loop,
    )
    assert printed == "1\n"
    # Three of the last four were cancelled with whoever drew them; the fourth went on for somebody else.
    bars = re.findall(r"generating (\d/\d).*?( · \d failed)?\s+[\d:]+$", last_frame(drawn), re.MULTILINE)
    assert sorted(bars) == [
        ("2/2", ""),
        ("3/3", ""),
        ("3/4", " · 3 failed"),
    ]
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1


def test_bar_of_ones_own() -> None:
    """`progress_bar` gives None where nothing is to be drawn."""
    with progress_bar("anything", 3) as bar:
        assert bar is None


@pytest.mark.anyio
async def test_one_watch_only() -> None:
    """A strategy takes a watch of your own or a bar, not both; nothing is sent."""
    backend = mellite.backends.Scripted(["hi"])

    class Watch:
        """Watches nothing."""

    with pytest.raises(InvalidRequest, match="not both"):
        await BestOfN(1, score=len).sample(backend.generate("hi"), watch=Watch(), progress=True)
    assert backend.calls == 0


@pytest.mark.anyio
async def test_gather_wants_thunks() -> None:
    """What is not a thunk is refused before anything is sent, with a bar as without."""
    backend = mellite.backends.Scripted(["hi"])
    for progress in (False, True):
        with pytest.raises(InvalidRequest, match="takes thunks, or one list of them, not str"):
            await mellite.gather(backend.generate("hi"), "hi", progress=progress)
    assert backend.calls == 0


@pytest.mark.slow
def test_waiting_for_a_rate_limit() -> None:
    """A bar tells how many generations wait for a rate limit."""
    _, drawn = on_terminal(
        """
        rate = mellite.Rate(requests_per_minute=1)
        limited = mellite.RateLimit(Model(), rate)
        thunks = [limited.generate(str(number)) for number in range(3)]

        async def wait():
            await mellite.gather(thunks, progress=True)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(lambda: rate.waiting == 2 and any(thunk.is_computed() for thunk in thunks))
            await a_line()
            group.cancel_scope.cancel()
        """,
        when=("2 waiting",),
    )
    assert "2 waiting" in drawn


def test_a_map_says_what_it_will_cost_and_what_failed() -> None:
    """The bar of a map projects the cost, counts failures by kind, and names the limits in force."""
    printed, drawn = on_terminal(
        """
        gate = anyio.Event()
        models = [Model(), Model(error=ConnectionLost("gone")), Model(wait=gate)]
        items = [model.generate("hi") for model in models]
        limits = [mellite.Rate(requests_per_minute=600), mellite.Budget(usd=50)]
        async for thunk in mellite.engine.map(items, limits=limits, concurrency=2):
            if thunk is items[1]:
                await a_line()
                gate.set()
        print(thunk.text)
        """,
        when=("of ~$3.7", "1 failed"),
    )
    assert printed == "hi\n"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert re.search(r"\$2\.5100 of ~\$3\.7[67]", plain), plain
    said = re.sub(r"\s+", " ", plain)
    assert "failed: 1 ConnectionLost" in said, plain
    assert "at most 2 at once, 600 requests/min, $50.00" in said, plain
