"""Prices: costs of recorded answers, worked out by hand; how models are found; price files; what is unknown."""

from __future__ import annotations

import base64
import copy
import decimal
import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import ConfigurationError
from mellite.events import Event, Finish, ResponseStart, TextDelta, Usage
from mellite.providers.catalog import find
from mellite.providers.compatible import HOSTS
from mellite.request import Request
from mellite.values.prices.price import Price, Tiers
from mellite.values.prices.pricelist import PriceList, prices

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "mellite" / "values" / "prices" / "price_data" / "snapshot.json"

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Answering(mellite.Backend):
    """A backend whose answers say who gave them, and what they used."""

    def __init__(self, provider: str | None, model: str | None, usage: Usage | None, **more: Any) -> None:
        self.start = ResponseStart(provider=provider, response_model=model)
        self.finish = Finish("stop", usage=usage, **more)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send one answer."""
        yield self.start
        yield TextDelta("hi")
        yield self.finish


def cost_of(provider: str | None, model: str | None, usage: Usage | None, **more: Any) -> Decimal | None:
    """What an answer costs, as a caller reads it."""
    thunk = Answering(provider, model, usage, **more).generate("hi")
    thunk.result()
    return thunk.generation.cost_usd


# Ten answers that providers gave: who, which model, the usage as mellite has it with the provider's own object beside
# it, the prices per million tokens of the day, and the cost, worked out by hand from those two.
RECORDED = {
    "claude writes to its cache": (
        "anthropic",
        "claude-haiku-4-5-20251001",
        Usage.of(
            input_tokens=9 + 5752,
            output_tokens=5,
            cache_write_input_tokens=5752,
            cache_read_input_tokens=0,
            raw={
                "input_tokens": 9,
                "cache_creation_input_tokens": 5752,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 5752, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 5,
                "service_tier": "standard",
            },
        ),
        {"input": "1", "cache_write": "1.25", "output": "5"},
        "0.007224",  # 9 x 1 + 5752 x 1.25 + 5 x 5 = 9 + 7190 + 25 = 7224 millionths
    ),
    "claude reads from its cache": (
        "anthropic",
        "claude-haiku-4-5-20251001",
        Usage.of(
            input_tokens=9 + 5752,
            output_tokens=5,
            cache_write_input_tokens=0,
            cache_read_input_tokens=5752,
            raw={"input_tokens": 9, "cache_read_input_tokens": 5752, "output_tokens": 5},
        ),
        {"input": "1", "cache_read": "0.1", "output": "5"},
        "0.0006092",  # 9 x 1 + 5752 x 0.1 + 5 x 5 = 9 + 575.2 + 25
    ),
    "claude reads and writes": (
        "anthropic",
        "claude-sonnet-4-6",
        Usage.of(
            input_tokens=10 + 4513 + 4332,
            output_tokens=211,
            cache_write_input_tokens=4513,
            cache_read_input_tokens=4332,
            raw={
                "input_tokens": 10,
                "cache_creation_input_tokens": 4513,
                "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 4513},
                "cache_read_input_tokens": 4332,
                "server_tool_use": {"web_fetch_requests": 0, "web_search_requests": 0},
                "output_tokens": 211,
                "service_tier": "standard",
            },
        ),
        {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "output": "15"},
        "0.02141835",  # 10 x 3 + 4513 x 3.75 + 4332 x 0.3 + 211 x 15 = 30 + 16923.75 + 1299.6 + 3165
    ),
    "gpt reads from its cache": (
        "openai",
        "gpt-4.1-mini-2025-04-14",
        Usage.of(
            input_tokens=4765,
            output_tokens=3,
            cache_read_input_tokens=4608,
            reasoning_tokens=0,
            raw={"input_tokens": 4765, "input_tokens_details": {"cached_tokens": 4608}, "output_tokens": 3},
        ),
        {"input": "0.4", "cache_read": "0.1", "output": "1.6"},
        "0.0005284",  # 157 x 0.4 + 4608 x 0.1 + 3 x 1.6 = 62.8 + 460.8 + 4.8
    ),
    "gpt thinks": (
        "openai",
        "gpt-5.5-2026-04-23",
        Usage.of(input_tokens=31, output_tokens=21, cache_read_input_tokens=0, reasoning_tokens=13),
        {"input": "5", "output": "30"},
        "0.000785",  # 31 x 5 + 21 x 30 = 155 + 630: thinking is output
    ),
    "o3 thinks for long": (
        "openai",
        "o3-mini-2025-01-31",
        Usage.of(input_tokens=577, output_tokens=2320, cache_read_input_tokens=0, reasoning_tokens=1792),
        {"input": "1.1", "output": "4.4"},
        "0.0108427",  # 577 x 1.1 + 2320 x 4.4 = 634.7 + 10208
    ),
    "gemini thinks about a picture": (
        "google",
        "gemini-2.5-flash",
        Usage.of(
            input_tokens=291,
            output_tokens=5 + 106,
            reasoning_tokens=106,
            raw={
                "promptTokenCount": 291,
                "candidatesTokenCount": 5,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 33},
                    {"modality": "IMAGE", "tokenCount": 258},
                ],
                "thoughtsTokenCount": 106,
                "serviceTier": "standard",
            },
        ),
        {"input": "0.3", "output": "2.5"},
        "0.0003648",  # 291 x 0.3 + 111 x 2.5 = 87.3 + 277.5
    ),
    "grok sends its bill": (
        "xai",
        "grok-4.3",
        Usage.of(
            input_tokens=250,
            output_tokens=11 + 222,
            cache_read_input_tokens=128,
            reasoning_tokens=222,
            raw={"prompt_tokens": 250, "completion_tokens": 11, "cost_in_usd_ticks": 7606000},
        ),
        {"input": "1.25", "cache_read": "0.2", "output": "2.5"},
        "0.0007606",  # 122 x 1.25 + 128 x 0.2 + 233 x 2.5 = 152.5 + 25.6 + 582.5: what the bill says, too
    ),
    "nova reads from its cache": (
        "bedrock",
        "us.amazon.nova-lite-v1:0",
        Usage.of(
            input_tokens=22 + 2492,
            output_tokens=13,
            cache_read_input_tokens=2492,
            cache_write_input_tokens=0,
            raw={"inputTokens": 22, "cacheReadInputTokens": 2492, "outputTokens": 13},
        ),
        {"input": "0.06", "cache_read": "0.015", "output": "0.24"},
        "0.00004182",  # 22 x 0.06 + 2492 x 0.015 + 13 x 0.24 = 1.32 + 37.38 + 3.12
    ),
    "gpt-oss thinks at groq": (
        "groq",
        "openai/gpt-oss-120b",
        Usage.of(input_tokens=84, output_tokens=58, reasoning_tokens=48, raw={"queue_time": 0.1, "prompt_tokens": 84}),
        {"input": "0.15", "output": "0.6"},
        "0.0000474",  # 84 x 0.15 + 58 x 0.6 = 12.6 + 34.8
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_cost_of_recorded_answers(name: str) -> None:
    """The cost of an answer is exact to the last digit: cached, written and thinking tokens each at their price."""
    provider, model, usage, rates, cost = RECORDED[name]
    price = prices().find(model, provider, at=NOON)
    assert price is not None
    assert {unit: at(price.rates[unit]) for unit in rates} == {unit: Decimal(rate) for unit, rate in rates.items()}
    assert cost_of(provider, model, usage) == Decimal(cost)


def at(rate: Decimal | Tiers) -> Decimal:
    """The price of a short prompt."""
    return rate.base if isinstance(rate, Tiers) else rate


def test_price_list_agrees_with_a_bill() -> None:
    """Without its bill, the same answer costs the same by the price list."""
    provider, model, usage, _, cost = RECORDED["grok sends its bill"]
    assert cost_of(provider, model, attrs.evolve(usage, raw=None)) == Decimal(cost)


@pytest.mark.parametrize(
    ("key", "provider", "cost"),
    [  # by the prices in the comments above; OpenRouter's own figure for what it routed
        ("[groq-gpt-oss-explicit-effort-overrides-thinking].yaml#0", "groq", "0.0000474"),
        ("test_openai/test_openai_model_thinking_part.yaml#1", "openai-chat", "0.0108427"),
        ("/openrouter-claude-opus-4-7-drives-a-tool-loop.json#0", "openrouter", "0.00566"),
        ("/xai-grok-4-3-drives-a-tool-loop.json#0", "xai-chat", "0.0007606"),
    ],
)
def test_cost_of_answers_as_they_came(corpora: Path, key: str, provider: str, cost: str) -> None:
    """From the bytes of a recorded answer to its cost, through the protocol that reads it."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt", encoding="utf-8") as lines:
        (row,) = [row for row in map(json.loads, lines) if row["key"].endswith(key)]
    headers = {name: value for name, value in row["headers"].items() if name != "content-encoding"}
    transport = ScriptedTransport([(200, headers, [base64.b64decode(row["body_b64"])])])
    streaming = "event-stream" in str(headers.get("content-type"))
    backend = LiveBackend(find(f"{provider}:recorded", api_key="sk-recorded"), transport=transport, stream=streaming)
    thunk = backend.generate("What was recorded.")
    thunk.result()
    assert thunk.generation.cost_usd == Decimal(cost)


# --- what is priced, and at which price -----------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "known"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "GPT-4o-Mini", "gpt-4o-mini"),
        ("openai", "gpt-5.2-20251211", "gpt-5.2"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google-vertex", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("azure", "gpt-4o-2024-08-06", "gpt-4o"),
        ("azure_openai", "claude-haiku-4-5", "claude-haiku-4-5"),
        ("amazon-bedrock", "eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("aws", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("aws", "arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-5.4", "openai.gpt-5.4"),
        ("openrouter", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("github-copilot", "gpt-5-mini", "gpt-5-mini"),
        ("moonshot", "kimi-k2-0905-preview", "kimi-k2-0905-preview"),
        ("openai", "gpt-99-turbo", None),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "ft:gpt-4o-mini"),
        ("openai", "", None),
        ("openai-compatible", "gpt-4o", None),
        ("ollama", "llama3.2", None),
        ("fake", "echo", None),
    ],
)
def test_models_are_found_by_their_names(provider: str, model: str, known: str | None) -> None:
    """Dated ids, aliases, paths and resellers lead to the model; what is not known leads nowhere."""
    price = prices().find(model, provider, at=NOON)
    assert (price.model if price is not None else None) == known


def test_every_host_is_known_or_has_no_price() -> None:
    """Each provider that mellite knows has its prices under its own name, or is listed here as having none."""
    unpriced = {"deepinfra", "huggingface", "llama.cpp", "lmstudio", "nvidia", "ollama", "vllm", "zai-coding"}
    assert {name for name in HOSTS if prices().provider(name) is None} == unpriced


def test_dearer_above_a_step() -> None:
    """A prompt beyond a step makes the whole answer dearer, from the first token beyond it."""
    short = Usage.of(input_tokens=200_000, output_tokens=1000, cache_read_input_tokens=150_000)
    long = Usage.of(input_tokens=200_001, output_tokens=1000, cache_read_input_tokens=150_000)
    # 50,000 x 1.25 + 150,000 x 0.125 + 1,000 x 10, and 50,001 x 2.5 + 150,000 x 0.25 + 1,000 x 15
    assert cost_of("google", "gemini-2.5-pro", short) == Decimal("0.09125")
    assert cost_of("google", "gemini-2.5-pro", long) == Decimal("0.1775025")


def test_cache_that_is_kept_for_an_hour() -> None:
    """Tokens written to a cache for an hour cost more than those written for five minutes; the raw usage tells."""
    usage = Usage.of(
        input_tokens=3000,
        output_tokens=10,
        cache_write_input_tokens=2000,
        raw={"cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1500}},
    )
    # 1000 x 1 + 500 x 1.25 + 1500 x 2 + 10 x 5 = 1000 + 625 + 3000 + 50
    assert cost_of("anthropic", "claude-haiku-4-5", usage) == Decimal("0.004675")


def test_what_an_answer_costs_beside_its_tokens() -> None:
    """A web search that the provider made is on the bill, too."""
    usage = Usage.of(input_tokens=100, output_tokens=10, raw={"server_tool_use": {"web_search_requests": 3}})
    assert cost_of("anthropic", "claude-haiku-4-5", usage) == Decimal("0.03015")  # 100 x 1 + 10 x 5 + 3 x 10,000


def test_thinking_at_a_price_of_its_own() -> None:
    """Where thinking and citations have their own prices, they are charged at those; their number has to be known."""
    raw = {"citation_tokens": 30, "num_search_queries": 2}
    usage = Usage.of(input_tokens=100, output_tokens=50, reasoning_tokens=20, raw=raw)
    # 100 x 2 + 30 x 8 + 20 thinking x 3 + 30 cited x 2 + 2 searches x 5000
    assert cost_of("perplexity", "sonar-deep-research", usage) == Decimal("0.01056")
    assert cost_of("perplexity", "sonar-deep-research", attrs.evolve(usage, reasoning_tokens=None)) is None


def test_price_of_a_request() -> None:
    """Some providers charge for the request, too."""
    usage = Usage.of(input_tokens=100, output_tokens=10)
    assert cost_of("perplexity", "sonar", usage) == Decimal("0.01211")  # 100 x 1 + 10 x 1 + 12,000


def test_output_without_a_price() -> None:
    """A model that gives no text has no price for it: the cost is known as long as it gives none."""
    embedding = Usage(input_tokens=1000, output_tokens=0)
    assert cost_of("openai", "text-embedding-3-small", embedding) == Decimal("0.00002")
    assert cost_of("openai", "text-embedding-3-small", attrs.evolve(embedding, output_tokens=1)) is None


@pytest.mark.parametrize("count", [True, "3", -3, 1.5, None, [3], {}])
def test_counts_that_are_none(count: object) -> None:
    """What stands in the raw usage where a count should is not charged unless it is one."""
    usage = Usage.of(input_tokens=100, output_tokens=10, raw={"server_tool_use": {"web_search_requests": count}})
    assert cost_of("anthropic", "claude-haiku-4-5", usage) == Decimal("0.00015")


def test_sound_is_dearer_than_text() -> None:
    """Tokens of sound, cached or not, have prices of their own, where the provider counts them."""
    raw = {
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 400}, {"modality": "AUDIO", "tokenCount": 600}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 200}],
    }
    usage = Usage.of(input_tokens=1000, output_tokens=10, cache_read_input_tokens=300, raw=raw)
    # text: 300 x 0.3 + 100 cached x 0.03; sound: 400 x 1 + 200 cached x 0.1; output: 10 x 2.5
    assert cost_of("google", "gemini-2.5-flash", usage) == Decimal("0.000538")


def test_overlap_that_nobody_counted_is_unknown() -> None:
    """Cached tokens and tokens of sound, without a word on how many are both: the cost is unknown, not guessed."""
    raw = {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 600}]}
    usage = Usage.of(input_tokens=1000, output_tokens=10, cache_read_input_tokens=300, raw=raw)
    assert cost_of("google", "gemini-2.5-flash", usage) is None


@pytest.mark.parametrize(
    ("tier", "cost"),
    [
        (None, "0.001125"),  # 100 x 1.25 + 100 x 10
        ("default", "0.001125"),
        ("auto", "0.001125"),
        ("flex", "0.0005625"),  # half
        ("priority", "0.00225"),  # twice
        ("express", None),
    ],
)
def test_price_of_the_tier_that_served_it(tier: str | None, cost: str | None) -> None:
    """The provider says how it served an answer, and that has its price; a way without a price makes it unknown."""
    usage = Usage.of(input_tokens=100, output_tokens=100)
    found = cost_of("openai", "gpt-5", usage, response={"service_tier": tier})
    assert found == (None if cost is None else Decimal(cost))


def test_tier_in_the_usage() -> None:
    """Some providers say in the usage how they served an answer."""
    usage = Usage.of(input_tokens=100, output_tokens=100, raw={"service_tier": "priority"})
    assert cost_of("anthropic", "claude-haiku-4-5", usage) is None
    assert cost_of("openai", "gpt-5", usage) == Decimal("0.00225")


def test_price_of_the_time() -> None:
    """Prices change from a day on, and with the hour of the day; an answer costs what it cost then."""
    usage = Usage.of(input_tokens=1_000_000, output_tokens=0)

    def cost(model: str, day: datetime) -> Decimal | None:
        return prices().cost(usage, provider="deepseek", models=[model], at=day)

    assert cost("deepseek-v4-pro", datetime(2026, 11, 20, 2, tzinfo=UTC)) == Decimal("1.32")
    assert cost("deepseek-v4-pro", datetime(2026, 11, 20, 5, tzinfo=UTC)) != Decimal("1.32")
    before, after = (
        prices().find("gemini-3.8-flash", "google", at=datetime(y, 1, 1, tzinfo=UTC)) for y in (2026, 2027)
    )
    assert before is not None
    assert after is not None
    assert before.rates["output"] != after.rates["output"] == Decimal("7.5")


def test_price_of_the_night(tmp_path: Path) -> None:
    """A price that holds from evening to morning, in UTC, wherever the clock stands that told the time."""
    path = written(
        tmp_path, {"acme": {"models": {"m": {"prices": [{"input": 2}, {"daily": ["22:00", "06:00"], "input": 1}]}}}}
    )

    def rate(text: str) -> Any:
        price = prices(path).find("m", "acme", at=datetime.fromisoformat(text))
        return None if price is None else price.rates["input"]

    times = ["2026-01-01T21:59", "2026-01-01T22:00", "2026-01-02T05:59", "2026-01-02T06:00"]
    assert [rate(each) for each in times] == [2, 1, 1, 2]
    assert [rate("2026-01-01T23:30+02:00"), rate("2026-01-02T07:30+02:00")] == [2, 1]


def test_the_model_that_answered_counts() -> None:
    """What the provider says that answered is priced; if that is not known, what was asked for."""
    usage = Usage.of(input_tokens=1000, output_tokens=0)

    def cost(*models: str | None) -> Decimal | None:
        return prices().cost(usage, provider="openai", models=models, at=NOON)

    assert cost("gpt-4o-mini", "gpt-4o") == Decimal("0.00015")
    assert cost("internal-42", "gpt-4o") == Decimal("0.0025")
    assert cost(None, "gpt-4o") == Decimal("0.0025")
    assert cost(None, None) is None


def test_another_model_is_not_priced_instead() -> None:
    """A tier without a price makes the cost unknown, although the model that was asked for has one."""
    usage = Usage.of(input_tokens=1000, output_tokens=0)
    models = ["gpt-4o-audio-preview", "gpt-5"]
    assert prices().cost(usage, provider="openai", models=models, at=NOON, served={"service_tier": "flex"}) is None


# --- bills ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "raw", "cost"),
    [
        ("openrouter", {"cost": 0.0000183, "is_byok": False}, "0.0000183"),
        ("openrouter", {"cost": 0}, "0"),
        ("openrouter", {"cost": 1e-7}, "0.0000001"),
        ("openrouter", {"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.95}}, "1"),
        ("perplexity", {"cost": {"input_tokens_cost": 0.001, "total_cost": 0.0061}}, "0.0061"),
        # No bill, but the price list: 1000 x 0.15 + 100 x 0.6
        ("openrouter", {"cost": 0.05, "is_byok": True}, "0.00021"),
        ("openrouter", {"cost": -1}, "0.00021"),
        ("openrouter", {"cost": "free"}, "0.00021"),
        ("openrouter", {"cost": True}, "0.00021"),
        ("openrouter", {"cost": float("nan")}, "0.00021"),
        # Nobody knows what OpenAI would mean by this.
        ("openai", {"cost": 7}, "0.00021"),
    ],
)
def test_bill_of_the_provider(provider: str, raw: dict[str, Any], cost: str) -> None:
    """Where a provider says what it charges, that is the cost, to the digit that it wrote."""
    model = "openai/gpt-4o-mini" if provider == "openrouter" else "gpt-4o-mini"
    usage = Usage.of(input_tokens=1000, output_tokens=100, raw=raw)
    found = cost_of(provider, model, usage)
    assert found == Decimal(cost)
    assert "E" not in str(found) or Decimal(cost) < Decimal("0.000001")


# --- what is unknown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(),
        Usage(total_tokens=100),
        Usage(input_tokens=100),
        Usage(output_tokens=100),
        Usage.of(input_tokens=10, output_tokens=10, cache_read_input_tokens=11),
        Usage.of(input_tokens=10, output_tokens=10, cache_read_input_tokens=6, cache_write_input_tokens=6),
    ],
)
def test_without_the_counts_the_cost_is_unknown(usage: Usage | None) -> None:
    """A count that is missing, or contradicts another, makes the cost unknown; never 0."""
    assert cost_of("anthropic", "claude-haiku-4-5", usage) is None


@pytest.mark.parametrize(("provider", "model"), [(None, "gpt-4o"), ("acme", "gpt-4o"), ("openai", "acme-1")])
def test_without_a_price_the_cost_is_unknown(provider: str | None, model: str) -> None:
    """A provider or model that is not in the list costs nobody knows what; never 0."""
    assert cost_of(provider, model, Usage.of(input_tokens=1, output_tokens=1)) is None


def test_without_a_split_all_input_is_new() -> None:
    """A cache that is not reported is not there: all input is charged in full, and the split alone will do, too."""
    plain = Usage(input_tokens=1000, output_tokens=100)
    split = Usage(non_cached_input_tokens=400, cache_read_input_tokens=600, output_tokens=100)
    assert cost_of("openai", "gpt-4o", plain) == Decimal("0.0035")
    assert cost_of("openai", "gpt-4o", split) == Decimal("0.00275")


def test_nothing_used_costs_nothing() -> None:
    """An answer that used nothing, at a known price, costs 0: that is known."""
    assert cost_of("openai", "gpt-4o", Usage.of(input_tokens=0, output_tokens=0)) == 0


# --- exactness ------------------------------------------------------------------------------------


COUNTS = st.integers(0, 10**12)


@given(new=COUNTS, read=COUNTS, written=COUNTS, output=COUNTS)
def test_cost_is_a_sum_of_products(new: int, read: int, written: int, output: int) -> None:
    """The cost is exact for any counts: the same as with integers, whatever the caller's decimal context rounds to."""
    usage = Usage.of(
        input_tokens=new + read + written,
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
    )
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])):
        cost = prices().cost(usage, provider="anthropic", models=["claude-haiku-4-5"], at=NOON)
    assert cost is not None
    hundredths = new * 100 + read * 10 + written * 125 + output * 500  # of a millionth of a dollar
    assert cost.as_integer_ratio() == Decimal(hundredths).scaleb(-8, decimal.Context(prec=50)).as_integer_ratio()


def test_cost_is_written_plainly() -> None:
    """A cost has no zeros at its end and no exponent where there need not be one."""
    price = Price("acme", "m", rates={"input": Decimal("2.50"), "output": Decimal(100)})
    assert str(price.cost(Usage.of(input_tokens=1000, output_tokens=0))) == "0.0025"
    assert str(price.cost(Usage.of(input_tokens=0, output_tokens=1_000_000))) == "100"
    assert str(price.cost(Usage.of(input_tokens=0, output_tokens=0))) == "0"
    nonsense = price.cost(Usage.of(input_tokens=0, output_tokens=10**120))  # which a damaged answer may report
    assert nonsense == Decimal(10**116)


# --- the thunk's side -----------------------------------------------------------------------------


def test_who_does_not_ask_does_not_pay() -> None:
    """A thunk that is generated and never priced does not even load the price list."""
    code = (
        "import sys, mellite\n"
        "thunk = mellite.backends.Echo().generate('hi')\n"
        "thunk.result(); repr(thunk.generation); thunk.generate_log\n"
        "print('mellite.values.prices.pricelist' in sys.modules, 'mellite.values.prices.price' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_cost_goes_along_with_a_pickle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pickled thunk keeps its cost, also where another price list is in use; metadata stays equal."""
    thunk = Answering("openai", "gpt-4o", Usage.of(input_tokens=1000, output_tokens=0)).generate("hi")
    thunk.result()
    packed = pickle.dumps(thunk.generation)
    monkeypatch.setenv("MELLITE_PRICES", str(written(tmp_path, {"acme": {"models": {}}})))
    assert thunk.generation.cost_usd is None
    assert pickle.loads(packed).cost_usd == Decimal("0.0025")
    assert pickle.loads(packed) == copy.deepcopy(thunk.generation) == thunk.generation


def test_somebody_may_know_better() -> None:
    """Metadata may be made with a cost, or be told that it is unknown."""
    thunk = Answering("openai", "gpt-4o", Usage.of(input_tokens=1000, output_tokens=0)).generate("hi")
    thunk.result()
    assert attrs.evolve(thunk.generation, cost_usd=Decimal(3)).cost_usd == 3
    assert attrs.evolve(thunk.generation, cost_usd=None).cost_usd is None
    assert attrs.evolve(thunk.generation, response_model="gpt-4o-mini").cost_usd == Decimal("0.00015")


def test_failed_and_cancelled_answers_cost_what_they_used() -> None:
    """What was used before an answer broke off is priced like any other."""
    usage = Usage.of(input_tokens=1000, output_tokens=0)
    start = ResponseStart(provider="openai", response_model="gpt-4o")
    broken = [start, TextDelta("hi"), mellite.events.StepFinish(usage=usage), mellite.errors.ConnectionLost("gone")]
    thunk = mellite.backends.Scripted([broken]).generate("hi")
    with pytest.raises(mellite.errors.ConnectionLost):
        thunk.result()
    assert thunk.generation.cost_usd == Decimal("0.0025")


# --- price files ----------------------------------------------------------------------------------


def written(folder: Path, providers: Any, **more: Any) -> Path:
    """A price file with these providers."""
    path = folder / "prices.json"
    path.write_text(json.dumps({"version": 1, "date": "2026-01-02", "providers": providers, **more}), encoding="utf-8")
    return path


def test_file_in_place_of_the_snapshot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MELLITE_PRICES names a file that is used instead; it may be as short as one model and two prices."""
    models = {"m-1": {"prices": [{"input": 2, "output": "8.000000000000000000000001"}]}}
    path = written(tmp_path, {"acme": {"models": models}}, known_as={"acme-cloud": "acme"})
    monkeypatch.setenv("MELLITE_PRICES", str(path))
    usage = Usage.of(input_tokens=10**6, output_tokens=10**6)
    assert cost_of("acme-cloud", "M-1", usage) == Decimal("10.000000000000000000000001")
    assert cost_of("acme", "m-1-2026", usage) is None
    assert cost_of("openai", "gpt-4o", usage) is None
    assert str(prices().date) == "2026-01-02"
    monkeypatch.delenv("MELLITE_PRICES")
    assert cost_of("openai", "gpt-4o", usage) == Decimal("12.5")
    assert prices(path).models is not None
    assert [*prices(path).models()] == [("acme", "m-1")]


def test_file_in_the_documentation(tmp_path: Path) -> None:
    """The example of a price file that the module gives is one."""
    text = str(sys.modules[PriceList.__module__].__doc__)
    path = tmp_path / "prices.json"
    path.write_text(text[text.index("{") : text.rindex("}") + 1], encoding="utf-8")
    usage = Usage.of(input_tokens=1000, output_tokens=1000)
    days = [datetime(year, 6, 1, tzinfo=UTC) for year in (2026, 2027)]
    found = [prices(path).cost(usage, provider="acme", models=["acme-large-2026"], at=day) for day in days]
    assert found == [Decimal("0.01"), Decimal("0.005")]
    assert prices(path).find("acme-large", "acme").rates["output"].at(200_001) == 12


def test_patterns_of_a_file(tmp_path: Path) -> None:
    """A model goes by all names that a pattern fits: equal, beginning, ending, containing, regex, all of several."""
    patterns = ["=one", "^two-", "$-three", "*four", "~^fi(v|w)e$", ["^six", "$seven"]]
    path = written(tmp_path, {"acme": {"models": {"m": {"match": patterns, "prices": [{"input": 1}]}}}})
    names = ["one", "two-x", "x-three", "xfourx", "five", "six-seven", "oneone", "two", "three", "six", "seven", "m"]
    assert [name for name in names if prices(path).find(name, "acme")] == names[:6]


def test_what_is_sold_of_others(tmp_path: Path) -> None:
    """A provider that sells models of another one has its own prices first, and counts what the other one counts."""
    maker = {"counts": {"web_search": ["tools.searches"]}, "models": {"m": {"prices": [{"input": 1, "web_search": 1}]}}}
    own = {"n": {"prices": [{"input": 5}]}}
    path = written(tmp_path, {"maker": maker, "shop": {"also": ["maker"], "models": own}})
    usage = Usage(input_tokens=10**6, output_tokens=0, raw={"tools": {"searches": 1000}})
    assert prices(path).cost(usage, provider="shop", models=["m"]) == 2
    assert prices(path).cost(usage, provider="shop", models=["n"]) == 5
    assert prices(path).cost(usage, provider="maker", models=["n"]) is None
    assert [price.provider for price in prices(path).search("m")] == ["maker", "shop"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("\udcff", "invalid character"),
        ("[]", "Expected `object`"),
        ("{}", "missing required field"),
        ('{"version": 2, "date": "2026-01-01", "providers": {}}', "version 2"),
        ('{"version": 1, "date": "yesterday", "providers": {}}', "date"),
        ('{"version": 1, "date": "2026-01-01", "providers": {}, "known_as": {"a": "b"}}', "'b', which is not there"),
        ('{"version": 1, "date": "2026-01-01", "providers": {"a": {"models": {}, "also": ["b"]}}}', "'b', which is"),
        ('{"version": 1, "date": "2026-01-01", "providers": {"a": {"modells": {}}}}', "provider 'a': Object"),
    ],
)
def test_file_that_is_no_price_list(tmp_path: Path, text: str, told: str) -> None:
    """A file that is not a price list is a typed error with its name and what is wrong."""
    path = tmp_path / "prices.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=told) as caught:
        prices(path)
    assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"prices": []}, "no prices"),
        ({"prices": [{"inputt": 1}]}, "unknown field `inputt`"),
        ({"prices": [{"input": "cheap"}]}, "Invalid decimal"),
        ({"prices": [{"input": -1}]}, "at least 0"),
        ({"prices": [{"input": "NaN"}]}, "at least 0"),
        ({"prices": [{"input": [1, 2]}]}, "followed by pairs"),
        ({"prices": [{"input": []}]}, "followed by pairs"),
        ({"prices": [{"input": [1, 20, 2, 10, 3]}]}, "rising"),
        ({"prices": [{"input": [1, 1.5, 2]}]}, "whole numbers"),
        ({"prices": [{"input": 1, "daily": ["9", "25:00"]}]}, "isoformat"),
        ({"prices": [{"input": 1}], "match": ["gpt"]}, "begin with one of"),
        ({"prices": [{"input": 1}], "match": [""]}, "begin with one of"),
        ({"prices": [{"input": 1}], "match": ["~("]}, "not a regular expression"),
    ],
)
def test_file_with_a_wrong_model(tmp_path: Path, model: dict[str, Any], told: str) -> None:
    """What is wrong with a model is said when the file is read, not when the model is first used."""
    path = written(tmp_path, {"acme": {"models": {"m": model}}})
    with pytest.raises(ConfigurationError, match=told):
        prices(path)


def test_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that cannot be read is a typed error that names it, also out of ``cost_usd``."""
    for path in (tmp_path / "missing.json", tmp_path):
        monkeypatch.setenv("MELLITE_PRICES", str(path))
        with pytest.raises(ConfigurationError, match="cannot be read"):
            cost_of("openai", "gpt-4o", Usage.of(input_tokens=1, output_tokens=1))


# --- the snapshot ---------------------------------------------------------------------------------


def test_snapshot_is_whole() -> None:
    """The snapshot that ships is sound, dated and small; the licence of its source lies beside it."""
    data = SNAPSHOT.read_bytes()
    shipped = PriceList(data, str(SNAPSHOT))
    shipped.check()
    assert shipped.date.year >= 2026
    assert shipped.source.startswith("genai-prices ")
    assert len(data) < 400_000
    assert len([*shipped.models()]) > 2000
    assert "MIT" in (SNAPSHOT.parent / "LICENSE").read_text(encoding="utf-8")


def test_snapshot_holds_prices_only() -> None:
    """Nothing of the catalogue but numbers and names is in the snapshot: no descriptions, no comments, no URLs."""
    text = SNAPSHOT.read_text(encoding="utf-8")
    assert "http" not in text.replace("http/", "")
    assert max(len(line) for line in text.splitlines()) < 3000
    assert os.linesep.join(text.splitlines()) == text.rstrip()
