"""`mellite.engine.map(on="dask")` on real workers: equal answers, lost workers, keys, limits, refusals."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import anyio
import distributed
import pytest

import mellite
from mellite import engine
from mellite.backends import Echo, Failing, Scripted
from mellite.errors import AuthenticationError, BudgetSpent, CannotTravel, InvalidRequest, WorkerMismatch
from mellite.wire.transports.default import standing_in
from tests.engine.provider import Served, provider

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def cluster():
    """Two workers, without a key in their environment."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dask(cluster):
    """A client of those workers."""
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A provider that answers at once."""
    with provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


def backend_of(served: Served, **options):
    """A backend of mellite's own that asks the provider."""
    return mellite.backend("openai-chat:gpt-4o-mini", base_url=served.url, **options)


def told(thunk):
    """What can be compared of a settled thunk."""
    made, error = thunk.generation, thunk.error
    facts = (made.response_model, made.response_id, made.finish_reason, made.usage, made.provider, made.attempts)
    failure = None if error is None else (type(error), str(error), error.status, str(error.__cause__))
    return thunk.state, thunk.value, thunk.partial, facts, failure, thunk.raw.request_body, thunk.raw.response


def asked(served):
    """Thunks of many kinds, some of which fail."""
    backend = backend_of(served)
    yield from [backend.generate(f"prompt {number}") for number in range(30)]
    yield backend.generate("refuse this")
    yield from [Echo().generate(f"word {number}", stream=number % 2 == 0) for number in range(10)]
    yield Failing(ConnectionError("the line is dead"), after=2).generate("one two three")
    yield backend.generate("[1]", output=list[int])


async def test_answers_are_those_of_this_process(dask, served):
    """Texts, usage, ids, raw answers, errors and their causes are the same wherever they were made."""
    here = await engine.map(asked(served), collect=list)
    there = await engine.map(asked(served), on=dask, collect=list)
    assert [told(thunk) for thunk in there] == [told(thunk) for thunk in here]
    assert Counter(thunk.state for thunk in there) == {"done": 40, "failed": 3}


async def test_a_run_takes_its_steps_there_and_calls_its_tools_here(dask):
    """Of a run, each call of the model travels; its tools run in this process."""
    called = []

    def look(at: str) -> str:
        """Look at something."""
        called.append((os.getpid(), at))
        return "a fox"

    run = mellite.run(Where(), "look", tools=[look], tool_choice="required")
    (given,) = await engine.map([run], on=dask, collect=list)
    assert given is run
    assert called == [(os.getpid(), "look")]
    assert len(run.steps) == 2
    assert int(run.text) != os.getpid()


class Where(mellite.Backend):
    """Calls the tool that must be called, else answers with the number of its process."""

    async def stream(self, request):
        """Answer."""
        if request.tool_choice is not None and request.messages[-1].role == "user":
            async for event in Echo().stream(request):
                yield event
        else:
            yield mellite.events.TextDelta(str(os.getpid()))
            yield mellite.events.Finish("stop")


async def test_calls_are_spread_over_the_workers(dask):
    """Both workers have calls, also of a short list."""
    given = await engine.map([Where().generate("?") for _ in range(20)], on=dask, collect=list)
    counts = Counter(thunk.text for thunk in given).values()
    assert (len(counts), sum(counts), min(counts) > 5) == (2, 20, True)  # a desk that is done early gets one more


async def test_an_await_waits_for_the_worker_and_a_cancel_reaches_it(dask):
    """The thunk runs here meanwhile; cancelled here, its stream is closed there, and the others go on."""
    begun, ended = {name: anyio.Event() for name in "ab"}, []

    async def watch(stream):
        name = (await stream.receive()).decode()
        begun[name].set()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        ended.append((name, other.state))
        await stream.aclose()
        if name == "a":
            other.cancel("the end of the test")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, watch)
        backend = Waiting(listener.extra(anyio.abc.SocketAttribute.local_port))
        thunk, other = backend.generate("a"), backend.generate("b")
        seen = []
        with anyio.fail_after(20):
            async with anyio.create_task_group() as reading:
                reading.start_soon(_read, engine.map([thunk, other], on=dask), seen)
                await begun["a"].wait()
                await begun["b"].wait()
                assert thunk.state == "running"
                await thunk.cancel("not needed")
            tasks.cancel_scope.cancel()
    assert seen == [thunk, other]
    assert ended[0] == ("a", "running")


async def _read(mapped, seen):
    async for thunk in mapped:
        seen += [thunk]


class Waiting(mellite.Backend):
    """Holds a connection for as long as it runs, and never answers."""

    def __init__(self, port):
        self.port = port

    async def stream(self, request):
        """Wait until cancelled."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(request.text.encode())
            await anyio.sleep_forever()
            yield mellite.events.Finish("stop")


def touch(*path):
    """Make a file, which another process looks for."""
    Path(*path).touch()


def test_code_without_await_has_it_too(dask):
    """A plain for and result() work, in a thread without a loop."""
    texts = [thunk.text for thunk in engine.map([Echo().generate("a"), Echo().generate("b")], on=dask)]
    assert sorted(texts) == ["a", "b"]


# --- what does not travel -------------------------------------------------------------------------


class Locked(mellite.Backend):
    """Has a lock."""

    def __init__(self):
        self.lock = threading.Lock()

    async def stream(self, request):
        """Answer."""
        yield mellite.events.Finish("stop")


class Keyed(mellite.Backend):
    """Has a key of its own."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    async def stream(self, request):
        """Answer."""
        yield mellite.events.Finish("stop")


def locked_inside():
    """A backend with a lock whose class cannot be imported either."""

    class Inside(Locked):
        """Is in no module."""

    return Inside()


@pytest.mark.parametrize(
    ("backend", "attribute"),
    [
        (Locked(), "backend.lock"),
        (locked_inside(), "backend.lock"),
        (mellite.Retry(Locked()), "backend.lock"),
        (Keyed(api_key="anything"), "backend.api_key"),
        (Keyed(settings={"password": "anything"}), "backend.settings['password']"),
        (Keyed(line="Authorization: Bearer abcdefghijklmnop"), "backend.line"),
        (Keyed(callback=lambda: None), "backend.callback"),
        (Scripted(["one"]), "backend"),
    ],
)
async def test_what_cannot_travel_is_named_before_anything_is_sent(dask, backend, attribute):
    """The map ends with the path of what cannot be sent, and the thunk stays pending."""
    thunk = backend.generate("?")
    with pytest.raises(CannotTravel) as caught:
        await engine.map([thunk], on=dask)
    assert caught.value.attribute == attribute
    assert thunk.state == "pending"
    assert "anything" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).attribute == attribute


async def test_a_request_that_cannot_travel_fails_alone(dask):
    """A lambda in the metadata of one call is the error of that call."""
    bad, good = Echo().generate("a", metadata={"when": lambda: 1}), Echo().generate("b")
    await engine.map([bad, good], on=dask)
    assert (bad.error.attribute, good.text) == ("request.metadata['when']", "b")


async def test_a_strategy_samples_with_calls_there(dask):
    """Attempts are made on workers, and judged here; a lambda in a strategy is refused by name."""
    items = [Echo().generate(word) for word in ("one", "two", "three")]
    given = await engine.map(items, on=dask, requirements=lambda thunk: len(thunk.text) == 3, collect=list)
    assert [(result.source.call.request.text, result.success) for result in given] == [
        ("one", True),
        ("two", True),
        ("three", False),
    ]
    with pytest.raises(CannotTravel, match="lambda") as caught:
        engine.map(items, on=dask, strategy=mellite.sampling.BestOfN(3, score=lambda thunk: 1.0))
    assert caught.value.attribute == "strategy.score"


async def test_a_key_given_in_code_is_refused(dask, served):
    """A key never travels: not in a pickle, and not by mistake."""
    thunk = backend_of(served, api_key="sk-given-in-code-0123456789").generate("?")
    with pytest.raises(AuthenticationError, match="keys never travel") as caught:
        await engine.map([thunk], on=dask)
    assert caught.value.kind == "missing"
    assert "sk-given" not in str(caught.value)


async def test_a_worker_without_a_key_is_one_error(dask, monkeypatch):
    """The client's own key does not help a worker that has none; nothing is sent, and the map says so once."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-client-0123456789")
    backend = mellite.backend("openai-chat:gpt-4o-mini")
    thunks = [backend.generate(str(number)) for number in range(2_000)]
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as caught:
        await engine.map(thunks, on=dask, concurrency=4)
    assert caught.value.kind == "missing"
    assert sum(thunk.state == "pending" for thunk in thunks) > 1_900


def test_a_worker_with_another_version_is_refused_with_both(tmp_path):
    """A worker whose mellite is an older one gets nothing."""
    (tmp_path / "mellite").mkdir()
    (tmp_path / "mellite" / "__init__.py").write_text('__version__ = "0.0.9"\n')
    thunk = Echo().generate("?")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        worker(cluster.scheduler_address, tmp_path),
    ):
        client.wait_for_workers(1, timeout=30)
        with pytest.raises(WorkerMismatch, match=r"mellite 0\.0\.9") as caught:
            engine.map([thunk], on=client).result()
    assert (caught.value.here, caught.value.there) == (mellite.__version__, "0.0.9")
    assert thunk.state == "pending"


@contextmanager
def worker(address, folder):
    """A worker that is started by itself, and finds modules in a folder before all others."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
    process = subprocess.Popen([*command, "--nthreads", "1"], cwd=folder, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def test_a_cassette_that_stands_in_does_not_travel(dask, served):
    """Where something answers in place of the network, no worker goes there."""
    backend = backend_of(served)
    with standing_in(lambda own: own()), pytest.raises(CannotTravel) as caught:
        await engine.map([backend.generate("?")], on=dask)
    assert caught.value.attribute == "backend.transport"


def test_workers_of_its_own_have_the_environment_of_the_map(monkeypatch, tmp_path):
    """A key that is set before the map begins is there on its own workers, and goes to the provider."""
    with provider(tmp_path) as served:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        thunk = mellite.backend("openai-chat:gpt-4o-mini").generate("abc")
        engine.map([thunk], on="dask").result()
        ((_, _, _, key),) = served.seen()
    assert thunk.text == "cba"
    assert key == hashlib.sha256(b"bearer sk-of-the-environment-0123456789").hexdigest()[:8]
    for thread in threading.enumerate():
        if thread.name.startswith("mellite-dask"):
            thread.join()


def test_an_engine_that_does_not_exist_is_named():
    """A misspelled engine is refused with the nearest."""
    with pytest.raises(InvalidRequest, match="'dask'"):
        engine.map([], on="dusk")


# --- limits and losses ----------------------------------------------------------------------------


async def test_a_concurrency_holds_across_workers(dask, tmp_path):
    """No more calls run at once than the limit says, on all workers together."""
    backend = Counted(str(tmp_path))
    await engine.map([backend.generate(str(n)) for n in range(12)], on=dask, limits=[mellite.Concurrency(3)])
    most = [int(path.name.partition("-")[0]) for path in tmp_path.glob("*-of")]
    assert len(most) > 0
    assert max(most) <= 3


class Counted(mellite.Backend):
    """Notes in a folder how many of its calls there are at once."""

    def __init__(self, folder):
        self.folder = folder

    def running(self):
        """The calls that run now, in any process."""
        return list(Path(self.folder).glob("running-*"))

    async def stream(self, request):
        """Take a moment."""
        mine = f"running-{request.text}"
        touch(self.folder, mine)
        await anyio.sleep(0.02)
        touch(self.folder, f"{len(self.running())}-of")
        os.unlink(f"{self.folder}/{mine}")
        yield mellite.events.Finish("stop")


async def test_a_budget_ends_the_map_when_what_was_in_flight_has_settled(dask, served):
    """It may be overspent by the calls that were in flight, and what was not asked is pending."""
    thunks = [backend_of(served).generate(str(number)) for number in range(60)]
    mapped = engine.map(thunks, on=dask, concurrency=3, limits=[mellite.Budget(tokens=150)])
    with pytest.raises(BudgetSpent) as caught:
        await mapped
    assert 150 <= caught.value.spent <= 150 + 2 * 3 * 15
    assert sum(thunk.state == "pending" for thunk in thunks) >= 60 - 10 - 6


async def test_leaving_a_map_stops_its_calls_on_the_workers(dask):
    """At the end of `async with`, what had begun is cancelled there."""
    begun, ended = anyio.Event(), anyio.Event()

    async def watch(stream):
        await stream.receive()
        begun.set()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        ended.set()
        await stream.aclose()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, watch)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with anyio.fail_after(20):
            async with engine.map([Echo().generate("a"), Waiting(port).generate("b")], on=dask) as mapped:
                assert (await anext(mapped)).text == "a"
                await begun.wait()
            await ended.wait()
        tasks.cancel_scope.cancel()
    assert mapped.counts["done"] == 1


def test_what_a_lost_worker_had_is_asked_of_another(cluster, dask, tmp_path):
    """A worker is killed with calls in flight: all settle, and only those are asked twice."""
    with provider(tmp_path, delay=0.05) as served:
        backend = backend_of(served)
        mapped = engine.map([backend.generate(f"p{number}") for number in range(60)], on=dask, concurrency=8)
        for settled, thunk in enumerate(mapped):
            assert thunk.text == thunk.call.request.text[::-1]
            if settled == 20:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        times = Counter(served.prompts())
    assert mapped.counts["done"] == len(times) == 60
    assert sum(times.values()) <= 60 + 8 + 2


@pytest.mark.slow
async def test_what_a_lost_worker_had_runs_elsewhere_and_is_paid_once(cluster, tmp_path):
    """A worker is killed in the middle: every thunk settles, and what was in the journal is not asked again."""
    with (
        provider(tmp_path, delay=0.1) as served,
        distributed.Client(cluster, set_as_default=False, direct_to_workers=False) as client,
    ):
        backend = backend_of(served)
        journal, settled = tmp_path / "journal", []
        mapped = engine.map(
            (backend.generate(f"p{number}") for number in range(300)), on=client, journal=journal, concurrency=30
        )
        async for thunk in mapped:
            settled.append(thunk)
            if len(settled) == 100:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        assert mapped.counts == {"running": 0, "done": 300, "failed": 0, "cancelled": 0}
        assert {thunk.text for thunk in settled} == {f"p{number}"[::-1] for number in range(300)}
        times = Counter(served.prompts())
        assert len(times) == 300
        assert sum(times.values()) <= 300 + 30 + 8  # at most what the lost worker had
        before = len(served.prompts())
        again = engine.map((backend.generate(f"p{number}") for number in range(310)), on=client, journal=journal)
        assert len([thunk async for thunk in again]) == 310
        assert len(served.prompts()) == before + 10


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    """Workers of a map's own run the script again; where that fails, the error says how scripts begin them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import mellite\n"
        "from mellite.backends import Echo\n"
        "print(mellite.engine.map([Echo().generate('a')], on='dask', collect=list, progress=False).result())\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 1
    assert 'under `if __name__ == "__main__":`' in ran.stderr.splitlines()[-1]
