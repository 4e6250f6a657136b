"""Batches at services of each kind, end to end: what is sent, what comes back, and which thunk it settles."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

import mellite
from mellite import engine
from mellite.errors import BatchFailed, InvalidRequest, ProviderError
from mellite.values.prices.pricelist import prices
from tests.engine.batch.service import services

pytestmark = pytest.mark.anyio

KINDS = [
    "openai",
    pytest.param("openai-chat", marks=pytest.mark.slow),
    "anthropic",
    "google",
    "mistral",
    "azure",
    pytest.param("azure-chat", marks=pytest.mark.slow),
    pytest.param("openai-compatible", marks=pytest.mark.slow),
]


def backend_at(kind, url):
    """A backend of one kind that asks the local services."""
    spec, base = {
        "openai": ("openai:gpt-4o-mini", f"{url}/v1"),
        "openai-chat": ("openai-chat:gpt-4o-mini", f"{url}/v1"),
        "anthropic": ("anthropic:claude-sonnet-4-5", f"{url}/a/v1"),
        "google": ("google:gemini-2.5-flash", url),
        "mistral": ("mistral:mistral-small-latest", f"{url}/mistral/v1"),
        "azure": ("azure:gpt-4o-mini", f"{url}/openai/v1"),
        "azure-chat": ("azure-chat:gpt-4o-mini", f"{url}/openai/v1"),
        "openai-compatible": ("openai-compatible:any", f"{url}/v1"),
    }[kind]
    return mellite.backend(spec, base_url=base, api_key="sk-test")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Services whose downloads break."""
    with services(tmp_path_factory.mktemp("batch"), break_at=2500) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
async def test_each_answer_settles_its_own_thunk(served, kind):
    """Answers come in another order, over a download that breaks, and each settles the thunk that asked."""
    async with backend_at(kind, served.url) as backend:
        thunks = [backend.generate(f"prompt {number} größe", max_tokens=50) for number in range(20)]
        mapped = engine.map(thunks, on="batch", progress=False)
        given = [thunk async for thunk in mapped]
    assert {id(thunk) for thunk in given} == {id(thunk) for thunk in thunks}
    assert [thunk.text for thunk in thunks] == [f"prompt {number} größe"[::-1] for number in range(20)]
    one = thunks[0].generation
    assert (one.usage.input_tokens, one.usage.output_tokens, one.finish_reason) == (1000, 500, "stop")
    assert (one.service_tier, one.streaming) == ("batch", False)
    assert thunks[0].raw.status == 200
    assert any(row[2]["range"] for row in served.seen())
    if kind != "openai-compatible":
        live = prices().cost(one.usage, provider=one.provider, models=[one.model])
        assert one.cost_usd == live / 2 > 0
        assert mapped.cost_usd == 20 * one.cost_usd
    else:
        assert one.cost_usd is None


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google", pytest.param("mistral", marks=pytest.mark.slow)])
async def test_what_was_not_answered_is_a_typed_error(served, kind):
    """A refusal, an expiry and a missing line are errors of their thunks, and lose no other one."""
    async with backend_at(kind, served.url) as backend:
        thunks = [backend.generate(word, max_tokens=50) for word in ("refuse me", "expire", "lost", "good")]
        await engine.map(thunks, on="batch", progress=False)
    refused, expired, lost, good = thunks
    assert isinstance(refused.error, (ProviderError, mellite.errors.RequestError))
    assert "no answer to refuse me" in str(refused.error)
    assert refused.error.status == 400
    assert not isinstance(refused.error, BatchFailed)
    if kind != "google":  # which has no expiry of single requests
        assert isinstance(expired.error, BatchFailed)
        assert (expired.error.code, expired.error.retryable) == ("expired", True)
        assert expired.error.batch_id.startswith("batch_")
    assert isinstance(lost.error, BatchFailed)
    assert lost.error.code == "missing"
    assert good.text == "doog"


@pytest.mark.parametrize(
    "kind", ["openai", *[pytest.param(kind, marks=pytest.mark.slow) for kind in ("anthropic", "google")]]
)
async def test_a_busy_service_is_asked_again_when_it_says(tmp_path, kind):
    """Each path is busy at first, and is asked again after the time that it asks for."""
    with services(tmp_path, break_at=-1) as busy:
        async with backend_at(kind, busy.url) as backend:
            thunk = backend.generate("abc", max_tokens=50)
            await engine.map([thunk], on="batch", progress=False)
        assert thunk.text == "cba"
        counts = Counter(row[1] for row in busy.seen() if row[0] == "POST")
    assert min(counts.values()) > 1


async def test_a_batch_that_fails_as_a_whole_says_why(served):
    """A file that the service does not take fails all its calls, in the service's own words, and is not asked again."""
    async with backend_at("openai", served.url) as backend:
        thunks = [backend.generate(word) for word in ("good", "invalid")]
        await engine.map(thunks, on="batch", progress=False)
    for thunk in thunks:
        assert isinstance(thunk.error, BatchFailed)
        assert (thunk.error.code, thunk.error.retryable) == ("failed", False)
        assert "failed: line 1 is invalid" in str(thunk.error)


async def test_an_outage_of_the_service_does_not_lose_a_batch(served):
    """A batch goes on while its service cannot be asked, and is looked at until it can."""
    async with backend_at("openai", served.url) as backend:
        thunk = backend.generate("outage")
        await engine.map([thunk], on="batch", progress=False)
    assert thunk.text == "egatuo"


async def test_a_missing_key_is_told_to_all_and_asked_once(served):
    """Where the service refuses the key, each thunk has that error, after one request."""
    before = len(served.seen())
    backend = mellite.backend("openai-compatible:any", base_url=f"{served.url}/v1")
    thunks = [backend.generate(str(number)) for number in range(50)]
    await engine.map(thunks, on="batch", progress=False)
    await backend.aclose()
    assert {type(thunk.error) for thunk in thunks} == {mellite.errors.AuthenticationError}
    assert len({id(thunk.error) for thunk in thunks}) == 50
    assert len(served.seen()) == before + 1


async def test_a_batch_on_azure_is_made_of_a_file_that_was_read(served, tmp_path, monkeypatch):
    """A file that Azure cannot read is told, a resource of the environment has its batches below /openai/v1."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", served.url)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key-of-azure")
    async with mellite.backend("azure-chat:gpt-4o-mini") as backend:
        bad = backend.generate("unreadable")
        await engine.map([bad], on="batch", progress=False)
        await engine.batch.submit([backend.generate("good")], journal=tmp_path / "runs")
    (good,) = await engine.batch.fetch(tmp_path / "runs", wait=True)  # another program would have no backend
    assert good.text == "doog"
    assert isinstance(bad.error, BatchFailed)
    assert "cannot read the file" in str(bad.error)
    assert "no lines" in str(bad.error)
    assert {row[2]["api-key"] for row in served.seen() if row[1].startswith("/openai/v1/")} >= {"key-of-azure"}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_broken_download_goes_on_where_it_broke(served, tmp_path, kind):
    """Each line is kept once, whether the service gives a part of the file or all of it again."""
    async with backend_at(kind, served.url) as backend:
        thunks = [backend.generate(f"again {number}", max_tokens=9) for number in range(20)]
        await engine.map(thunks, on="batch", journal=tmp_path / "runs", progress=False)
    (kept,) = (tmp_path / "runs" / "batches").glob("*.results-0")
    lines = kept.read_bytes().splitlines()
    assert len(lines) == len(set(lines)) == 20


async def test_a_key_is_in_no_file_and_in_no_error(served, tmp_path):
    """Neither what is kept of batches, nor what a thunk says of them, holds the key."""
    async with backend_at("anthropic", served.url) as backend:
        thunks = [backend.generate(word, max_tokens=9) for word in ("good", "refuse")]
        await engine.map(thunks, on="batch", journal=tmp_path / "runs", progress=False)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert b"custom_id" in kept
    assert b"sk-test" not in kept
    assert "sk-test" not in repr(thunks) + str(thunks[1].error) + repr(vars(thunks[1].error))


async def test_equal_calls_have_ids_and_answers_of_their_own(served):
    """Five equal thunks are five requests."""
    async with backend_at("openai", served.url) as backend:
        thunks = [backend.generate("same") for _ in range(5)]
        await engine.map(thunks, on="batch", progress=False)
    assert [thunk.text for thunk in thunks] == ["emas"] * 5


@pytest.mark.parametrize("kind", ["openai-chat", "anthropic", pytest.param("mistral", marks=pytest.mark.slow)])
async def test_an_answer_out_of_a_batch_is_as_a_live_one(served, kind):
    """The same thunks give the same answers live and in a batch, down to the raw answer; only the price is another."""
    async with backend_at(kind, served.url) as backend:
        live, late = [
            await engine.map(
                [backend.generate(f"prompt {number}", max_tokens=50, stream=False) for number in range(3)],
                on=on,
                collect=list,
                progress=False,
            )
            for on in ("local", "batch")
        ]
    for one, other in zip(live, late, strict=True):
        assert one.text == other.text
        assert facts_of(one) == facts_of(other)
        assert one.generation.cost_usd == 2 * other.generation.cost_usd


def facts_of(thunk):
    """What is known of an answer, but for times and how it was served."""
    made, raw = thunk.generation, thunk.raw
    names = ("model", "provider", "protocol", "response_model", "response_id", "finish_reason", "raw_finish_reason")
    usage = {name: value for name, value in made.usage.raw.items() if name != "service_tier"}
    body = {name: value for name, value in raw.request_body.items() if name != "stream"}
    message = thunk.message.content if hasattr(thunk, "message") else None
    return [getattr(made, name) for name in names], usage, made.usage.counts(), raw.status, body, message


async def test_several_providers_are_several_batches(served):
    """Thunks of different providers in one map go to their own services."""
    backends = [backend_at(kind, served.url) for kind in ("openai", "anthropic", "google")]
    thunks = [backend.generate(f"{number}x", max_tokens=50) for number in range(4) for backend in backends]
    await engine.map(thunks, on="batch", progress=False)
    assert [thunk.text for thunk in thunks] == [f"x{number}" for number in range(4) for _ in backends]
    for backend in backends:
        await backend.aclose()


async def test_samples_are_asked_in_batches(served):
    """A strategy whose samples need no answers of others runs on batches."""
    async with backend_at("openai", served.url) as backend:
        vote = mellite.MajorityVote(3, concurrency=3)
        results = await engine.map(
            [backend.generate("a"), backend.generate("b")], on="batch", strategy=vote, progress=False, collect=list
        )
    assert [result.value for result in results] == ["a", "b"]


async def test_a_map_that_is_left_cancels_its_batches(tmp_path):
    """Without a journal nobody could fetch them: they are cancelled where they run."""
    with services(tmp_path, looks=1000, tells=True) as served:
        backend = backend_at("openai", served.url)
        thunks = [backend.generate(str(number)) for number in range(3)]
        async with engine.map(thunks, on="batch", progress=False) as mapped, anyio.create_task_group() as tasks:
            tasks.start_soon(anext, mapped)
            await anyio.to_thread.run_sync(served.wait_for, "/batches/batch_1")
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(served.wait_for, "/cancel")
        await backend.aclose()
    assert {thunk.state for thunk in thunks} == {"cancelled"}


def test_code_without_await(served):
    """A plain loop over a map waits for batches, too."""
    backend = backend_at("openai", served.url)
    given = engine.map([backend.generate(f"sync {number}") for number in range(3)], on="batch", progress=False)
    assert sorted(thunk.text for thunk in given) == ["0 cnys", "1 cnys", "2 cnys"]


REFUSED = {
    "a run": (lambda: mellite.run(mellite.backend("openai:gpt-4o-mini", api_key="k"), "x"), "a run cannot"),
    "a fake": (lambda: mellite.backends.Echo().generate("x"), "without wrappers"),
    "a wrapper": (
        lambda: mellite.Retry(mellite.backend("openai:gpt-4o-mini", api_key="k")).generate("x"),
        "without wrappers",
    ),
    "a pending prompt": (
        lambda: mellite.backend("openai:gpt-4o-mini", api_key="k").generate([mellite.backends.Echo().generate("y")]),
        "a thunk in the prompt",
    ),
    "a WebSocket": (
        lambda: mellite.backend("openai-websocket:gpt-4o-mini", api_key="k").generate("x"),
        "over a WebSocket",
    ),
    "bedrock": (lambda: mellite.backend("bedrock:amazon.nova-micro-v1:0", api_key="k").generate("x"), "buckets of S3"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_no_batch_can_do_is_refused_by_name(case):
    """Runs, wrappers, pending prompts and providers without such a service are errors before anything is sent."""
    make, said = REFUSED[case]
    with pytest.raises(InvalidRequest, match=said):
        await engine.map([make()], on="batch", progress=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strategy": mellite.MultiTurnRepair(), "requirements": [len]}, "MultiTurnRepair cannot run on batches"),
        ({"limits": [mellite.Rate(requests_per_minute=5)]}, "which a batch does not make"),
        ({"limits": [mellite.Concurrency(5)]}, "which a batch does not make"),
    ],
)
async def test_what_a_batch_cannot_hold_is_refused_by_name(given, said):
    """Repair needs answers in between, and limits are of single calls."""
    with pytest.raises(InvalidRequest, match=said):
        engine.map([], on="batch", **given)
