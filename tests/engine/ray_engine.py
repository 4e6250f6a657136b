"""`mellite.engine.map(on="ray")` on real actors; run by `nox -s engines`, since Ray is large."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections import Counter

import anyio
import pytest
import ray

import mellite
from mellite import engine
from mellite.backends import Echo
from mellite.errors import AuthenticationError, CannotTravel
from tests.engine.batch.service import services
from tests.engine.four_engines import settled
from tests.engine.provider import provider
from tests.engine.test_dask import Locked, Where, asked, told

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def _two_processors():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A provider that answers at once."""
    with provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


async def test_answers_are_those_of_this_process(served):
    """Texts, usage, raw answers, errors and their causes are the same wherever they were made."""
    here = await engine.map(asked(served), collect=list)
    there = await engine.map(asked(served), on="ray", collect=list)
    assert [told(thunk) for thunk in there] == [told(thunk) for thunk in here]


async def test_each_processor_has_an_actor_and_each_actor_calls():
    """Sooner or later both make calls; leaving the map stops them."""
    seen = set()
    endless = (Where().generate("?") for _ in itertools.count())
    with anyio.fail_after(60):
        async with engine.map(endless, on="ray", concurrency=2) as mapped:
            async for thunk in mapped:
                seen.add(thunk.text)
                if len(seen) == 2:
                    break


async def test_what_cannot_travel_is_named():
    """The rules of what travels are those of every engine."""
    with pytest.raises(CannotTravel, match=r"backend\.lock"):
        await engine.map([Locked().generate("?")], on="ray")


async def test_an_actor_without_a_key_is_one_error(monkeypatch):
    """The client's own key does not help."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-client-0123456789")
    backend = mellite.backend("openai-chat:gpt-4o-mini")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        await engine.map([backend.generate("?") for _ in range(100)], on="ray", concurrency=4)


async def test_what_a_lost_actor_had_runs_elsewhere(tmp_path):
    """An actor is killed in the middle: every thunk settles, and few are asked twice."""
    with provider(tmp_path, delay=0.1) as served:
        backend = mellite.backend("openai-chat:gpt-4o-mini", base_url=served.url)
        where = Where().generate("?")
        thunks = [where, *[backend.generate(f"p{number}") for number in range(300)]]
        mapped = engine.map(thunks, on="ray", concurrency=30)
        settled = 0
        async for _ in mapped:
            settled += 1
            if settled == 100:
                os.kill(int(where.text), signal.SIGKILL)
        assert mapped.counts == {"running": 0, "done": 301, "failed": 0, "cancelled": 0}
        times = Counter(served.prompts())
        assert len(times) == 300
        assert sum(times.values()) <= 300 + 30 + 8  # at most what the lost one had


def test_a_ray_of_its_own_ends_with_the_map():
    """Where the program has no Ray, the map starts one, and the next map another or the same."""
    ray.shutdown()
    for _ in range(2):
        assert [each.text for each in engine.map([Echo().generate("a")], on="ray")] == ["a"]
    for thread in threading.enumerate():
        if thread.name.startswith("mellite-ray"):
            thread.join()
    assert not ray.is_initialized()


async def test_the_same_list_gives_equal_answers_on_every_engine(tmp_path, monkeypatch):
    """One list through this process, Dask, Ray and a batch service: all that can be compared is the same."""
    ray.shutdown()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment-0123456789")
    with services(tmp_path) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
        here = await settled("local")
        for on in ("dask", "ray", "batch"):
            assert await settled(on) == here, on
