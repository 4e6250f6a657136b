"""Make the price snapshot that mellite ships out of the catalogue of genai-prices; `nox -s prices` runs this.

Only the numbers and the patterns of names are taken, for models that are priced by tokens; the licence of the
catalogue (MIT) stands beside the snapshot. The context windows go to a file beside the prices, which is read only
where one is asked for. Arguments: where to write, and the date of the snapshot, today by default.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
TARGET = HERE.parent / "mellite" / "values" / "prices" / "price_data" / "snapshot.json"

UNITS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_citation_mtok": "citation",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "cache_image_read_mtok": "cache_read_image",
    "output_image_mtok": "output_image",
    "input_video_mtok": "input_video",
    "output_video_mtok": "output_video",
    "web_searches_kcount": "web_search",
    "requests_kcount": "request",
}
"""The catalogue's names of what has a price -> mellite's; prices of anything else (hours, pages) are left out."""

COUNTED = {"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "output_reasoning_tokens"}
"""Counts that every `mellite.Usage` has a place for; the others are looked up in the provider's raw usage."""

SEEN = {"service_tier", "speed"}
"""What an answer says of how it was served; special prices for anything else (batches) are left out."""

KNOWN_AS = {
    "amazon-bedrock": "aws",
    "azure-ai-foundry": "azure",
    "azure-openai": "azure",
    "bedrock": "aws",
    "cloudflare-workers-ai": "cloudflare",
    "copilot": "github-copilot",
    "fireworks-ai": "fireworks",
    "gemini": "google",
    "google-ai-studio": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together-ai": "together",
    "togetherai": "together",
    "vertex": "google",
    "vertexai": "google",
    "xai": "x-ai",
    "z-ai": "zai",
    "z.ai": "zai",
    "zhipu": "zhipuai",
}
"""Other names for the catalogue's providers. Its own patterns are not used: "openai-compatible" is not OpenAI."""

CLAUSES = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}


def clause(match: Any) -> list[Any]:
    """A pattern of model names as a list of which one has to fit; a list in it is a list of which all have to."""
    if hasattr(match, "or_"):
        return [each for part in match.or_ for each in clause(part)]
    if hasattr(match, "and_"):
        return [[each for part in match.and_ for each in clause(part)]]
    ((kind, text),) = vars(match).items()
    return [CLAUSES[kind] + (text if kind == "regex" else text.lower())]


def number(value: Decimal) -> Any:
    """A price as a JSON number with the very digits of the catalogue."""
    return int(value) if value == int(value) else Exactly(value)


class Exactly(float):
    """A float that is written to JSON with the digits of the decimal it was made of."""

    def __new__(cls, value: Decimal) -> Self:
        made = super().__new__(cls, value)
        if Decimal(repr(float(made))) != value:
            sys.exit(f"{value} has too many digits for a JSON number")
        return made


def amount(price: Any) -> Any:
    """One price: a number, or the price below the first step followed by each step and the price above it."""
    if isinstance(price, Decimal):
        return number(price)
    return [number(price.base), *(each for tier in price.tiers for each in (tier.start, number(tier.price)))]


def amounts(prices: Any) -> dict[str, Any]:
    """All prices per token of one price point."""
    given = {UNITS[key]: price for key, price in vars(prices).items() if key in UNITS and price is not None}
    return {unit: amount(given[unit]) for unit in UNITS.values() if unit in given}


def condition(constraint: Any) -> dict[str, Any]:
    """When a price applies: from a day on, or between two times of each day, in UTC."""
    if constraint is None:
        return {}
    if hasattr(constraint, "start_date"):
        return {"from": constraint.start_date.isoformat()}
    return {"daily": [f"{time:%H:%M}" for time in (constraint.start_time, constraint.end_time)]}


def model(info: Any) -> dict[str, Any] | None:
    """One model; None if it has no price per token."""
    points = info.prices if isinstance(info.prices, list) else None
    rows = [(None, info.prices)] if points is None else [(point.constraint, point.prices) for point in points]
    prices = [{**condition(constraint), **amounts(price)} for constraint, price in rows]
    if not any("input" in price or "output" in price for price in prices):
        return None
    patterns = clause(info.match)
    variants = [
        {"when": variant.when, **condition(variant.constraint), **amounts(variant.prices)}
        for variant in info.price_variants or ()
        if variant.when.keys() <= SEEN
    ]
    return {
        **({} if patterns == [f"={info.id.lower()}"] else {"match": patterns}),
        "prices": prices,
        **({"variants": variants} if variants else {}),
    }


def path(steps: Any) -> str:
    """Where a count stands in the raw usage: `a.b`, or `a[field=value].b` for an element of a list."""
    text = ""
    for step in [steps] if isinstance(steps, str) else steps:
        text += f".{step}" if isinstance(step, str) else f"[{step.field}={step.match.equals}]"
    return text.removeprefix(".")


def counts(provider: Any, used: set[str]) -> dict[str, list[str]]:
    """Where the counts stand that have a price here and that `mellite.Usage` has no place for."""
    names = {key.replace("_mtok", "_tokens").replace("_kcount", "es"): unit for key, unit in UNITS.items()}
    names["web_searches"] = "web_search"
    found: dict[str, list[str]] = {}
    for extractor in provider.extractors or ():
        for mapping in extractor.mappings:
            unit = names.get(mapping.dest)
            if unit in used and mapping.dest not in COUNTED:
                places = found.setdefault(unit, [])
                if path(mapping.path) not in places:
                    places.append(path(mapping.path))
    return found


def provider_row(provider: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """One provider: what is said of it, and its models."""
    models = {info.id: row for info in provider.models if (row := model(info)) is not None}
    used = {unit for row in models.values() for price in row["prices"] for unit in price}
    facts: dict[str, Any] = {}
    if provider.fallback_model_providers:
        facts["also"] = provider.fallback_model_providers
    if places := counts(provider, used):
        facts["counts"] = places
    return facts, models


def written(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def snapshot(providers: list[Any], date: str, source: str) -> str:
    """The whole file: one line per model, so that the difference between two snapshots can be read."""
    rows = {provider.id: provider_row(provider) for provider in providers}
    blocks = []
    for id, (facts, models) in rows.items():
        if models:
            lines = ",\n".join(f"{written(name)}:{written(row)}" for name, row in models.items())
            said = "".join(f"{written(name)}:{written(fact)},\n" for name, fact in facts.items())
            blocks.append(f'{written(id)}:{{{said}"models":{{\n{lines}}}}}')
    head = {"version": 1, "date": date, "source": source, "known_as": KNOWN_AS}
    lines = ",\n".join(f"{written(name)}:{written(value)}" for name, value in head.items())
    return f'{{{lines},\n"providers":{{\n' + ",\n".join(blocks) + "}}\n"


def context_windows(providers: list[Any]) -> str:
    """How many tokens go into each model of the snapshot whose window the catalogue knows: a line per model."""
    blocks = []
    for provider in providers:
        windows = {
            info.id: info.context_window for info in provider.models if info.context_window and model(info) is not None
        }
        if windows:
            lines = ",\n".join(f"{written(name)}:{window}" for name, window in windows.items())
            blocks.append(f"{written(provider.id)}:{{\n{lines}}}")
    return "{\n" + ",\n".join(blocks) + "}\n"


def main(target: str = str(TARGET), date: str = "") -> None:
    """Write the snapshot, and the context windows beside it."""
    from genai_prices.data import providers

    source = f"genai-prices {metadata.version('genai-prices')}"
    prices = Path(target)
    texts = {
        prices: snapshot(providers, date or f"{datetime.now(UTC):%Y-%m-%d}", source),
        prices.with_name("context_windows.json"): context_windows(providers),
    }
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}: {len(text.encode())} bytes\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
