"""Batches that outlive the program: submit, status, fetch and cancel, also after the client was killed in between."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

import mellite
from mellite import engine
from mellite.archive.journal.keys import asked_of
from mellite.engine import batch
from mellite.errors import BatchFailed, InvalidRequest
from tests.engine.batch.service import ROOT, services

ON_BOTH = pytest.mark.anyio


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Services that are quick."""
    with services(tmp_path_factory.mktemp("batch")) as found:
        yield found


@pytest.fixture
def keys(served, monkeypatch):
    """An environment in which the local services are those of the providers."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{served.url}/a/v1")
    monkeypatch.setenv("GEMINI_API_KEY", "sk-test")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", served.url)


def asked(count, spec="openai:gpt-4o-mini"):
    """Thunks of a provider."""
    backend = mellite.backend(spec)
    return [backend.generate(f"prompt {number}", max_tokens=50, metadata={"n": number}) for number in range(count)]


@ON_BOTH
@pytest.mark.parametrize("spec", ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"])
async def test_what_was_submitted_is_fetched_and_in_the_journal(keys, tmp_path, spec):
    """Another program than the one that submitted fetches the answers, and a third finds them in the journal."""
    path = tmp_path / "runs"
    (made,) = await batch.submit(asked(4, spec), journal=path)
    assert (made.state, made.requests, made.is_fetched) == ("running", 4, False)
    assert await batch.submit(asked(4, spec), journal=path) == [made]  # nothing new
    found = await batch.fetch(path, wait=True)
    assert [thunk.text for thunk in found] == [f"prompt {number}"[::-1] for number in range(4)]
    assert [thunk.call.request.metadata["n"] for thunk in found] == list(range(4))
    assert [thunk.call.request.text for thunk in found] == [f"prompt {number}" for number in range(4)]
    assert found[0].generation.cost_usd > 0
    (ended,) = await batch.status(path)
    assert (ended.state, ended.is_fetched) == ("completed", True)
    assert [thunk.text for thunk in await batch.fetch(path)] == [thunk.text for thunk in found]
    again = await engine.map(asked(4, spec), journal=path, collect=list, progress=False)
    assert [(thunk.text, thunk.generation.replayed) for thunk in again] == [(thunk.text, True) for thunk in found]


@ON_BOTH
async def test_a_map_takes_up_what_was_submitted(keys, served, tmp_path):
    """A map with the same journal waits for the batch that is there, and asks only what is new."""
    path = tmp_path / "runs"
    await batch.submit(asked(3), journal=path)
    before = len([row for row in served.seen("/v1/batches") if row[0] == "POST"])
    given = await engine.map(asked(5), on="batch", journal=path, collect=list, progress=False)
    assert [thunk.text for thunk in given] == [f"prompt {number}"[::-1] for number in range(5)]
    assert len([row for row in served.seen("/v1/batches") if row[0] == "POST"]) == before + 1
    again = await engine.map(asked(5), on="batch", journal=path, collect=list, progress=False)
    assert all(thunk.generation.replayed for thunk in again)


@ON_BOTH
async def test_ids_are_those_of_the_journal(keys, tmp_path):
    """The id of a call is "m" and 40 digits of the hash of its key in the journal."""
    (thunk,) = asked(1)
    await batch.submit([thunk], journal=tmp_path / "runs")
    key = asked_of(thunk.call.backend, thunk.call.request, ()).key
    (sent,) = list((tmp_path / "runs" / "batches").glob("*.jsonl"))
    assert json.loads(sent.read_text())["custom_id"] == "m" + hashlib.sha256(key.encode()).hexdigest()[:40]


@ON_BOTH
async def test_failed_calls_are_asked_again_when_submitted_again(keys, tmp_path):
    """An expired call is a failed thunk; submitted again it is a new request, and the others are not asked."""
    backend = mellite.backend("anthropic:claude-sonnet-4-5")
    path = tmp_path / "runs"

    def items():
        return [backend.generate(word, max_tokens=9) for word in ("good", "expire")]

    await batch.submit(items(), journal=path)
    good, expired = await batch.fetch(path, wait=True)
    assert (good.text, type(expired.error)) == ("doog", BatchFailed)
    made = await batch.submit(items(), journal=path)
    assert [each.requests for each in made] == [1]


@ON_BOTH
async def test_a_cancelled_batch_gives_what_was_answered(tmp_path, monkeypatch):
    """Of a batch that is cancelled, the answers until then are fetched, and the others have failed."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with services(tmp_path, looks=1000) as slow:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{slow.url}/v1")
        path = tmp_path / "runs"
        await batch.submit(asked(4), journal=path)
        assert await batch.fetch(path) == []
        await batch.cancel(path)
        found = await batch.fetch(path, wait=True)
    assert [thunk.state for thunk in found] == ["done", "done", "failed", "failed"]
    assert {found[3].error.code, found[3].error.batch_id} == {"cancelled", "batch_1"}


@ON_BOTH
async def test_what_cannot_be_is_refused_before_anything_is_sent(keys, served, tmp_path):
    """One wrong item is an error, and none of the others is sent."""
    before = len(served.seen())
    run = mellite.run(mellite.backend("openai:gpt-4o-mini"), "x")
    with pytest.raises(InvalidRequest, match="a run cannot be part of a batch"):
        await batch.submit([*asked(2), run], journal=tmp_path / "runs")
    assert len(served.seen()) == before
    with pytest.raises(InvalidRequest, match="no batch was submitted"):
        await batch.status(tmp_path / "elsewhere")


@ON_BOTH
async def test_estimate_sends_nothing(tmp_path):
    """Half the price is estimated where a discount is known; else it is unknown."""
    found = await batch.estimate(mellite.backend("openai:gpt-4o-mini").generate("x", max_tokens=10).resample(600))
    assert (found.requests, found.batches, found.output_tokens) == (600, 1, 6_000)
    assert found.saving_usd == found.batch_usd == found.live_usd / 2 > 0
    unknown = mellite.backend("openai-compatible:any", base_url="http://localhost:1/v1")
    assert (await batch.estimate([unknown.generate("x")])).batch_usd is None


CLIENT = """
import sys, anyio, mellite
from mellite import engine
backend = mellite.backend("openai:gpt-4o-mini")
items = [backend.generate(f"prompt {number}", max_tokens=50, metadata={"n": number}) for number in range(6)]
async def main():
    given = await engine.map(items, on="batch", journal=sys.argv[1], collect=list, progress=False)
    print(",".join(thunk.text for thunk in given))
anyio.run(main)
"""


def test_a_client_that_is_killed_finds_its_batch_again(tmp_path):
    """A map that is killed while its batch runs is started again, and makes no second one."""
    with services(tmp_path, looks=15, tells=True) as served:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{served.url}/v1"}
        command = [sys.executable, "-W", "error", "-c", CLIENT, str(tmp_path / "runs")]
        first = subprocess.Popen(command, cwd=ROOT, env=environment)
        served.wait_for("/v1/batches/batch_1")
        first.kill()
        assert first.wait() != 0
        second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        made = [row for row in served.seen("/v1/batches") if row[0] == "POST"]
    assert second.stdout.strip() == ",".join(f"prompt {number}"[::-1] for number in range(6))
    assert len(made) == 1


DYING = {
    "uploaded": """
note = making.Ledger.note
def note_and_die(self, part, **facts):
    note(self, part, **facts)
    if "file" in facts:
        os._exit(9)
making.Ledger.note = note_and_die
""",
    "made": """
create = services._Files.create
async def create_and_die(self, draft):
    await create(self, draft)
    os._exit(9)
services._Files.create = create_and_die
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("step", DYING)
def test_a_client_that_is_killed_while_it_submits_makes_one_batch(tmp_path, step):
    """Killed behind the upload, or before it heard of the batch, a client finds what it has made."""
    with services(tmp_path, looks=1) as served:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{served.url}/v1"}
        killing = f"import os\nfrom mellite.engine.batch import making, services\n{DYING[step]}"
        command = [sys.executable, "-W", "error", "-c"]
        first = subprocess.run(
            [*command, killing + CLIENT, str(tmp_path / "runs")], cwd=ROOT, env=environment, check=False
        )
        assert first.returncode == 9
        second = subprocess.run(
            [*command, CLIENT, str(tmp_path / "runs")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        posts = [row[1] for row in served.seen() if row[0] == "POST"]
    assert second.stdout.count("prompt"[::-1]) == 6
    assert posts == ["/v1/files", "/v1/batches"]
