"""Verdicts of checks and choices of strategies among samples, as a journal keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...values.provider_json import Json, JsonObject
from ...values.secrets.json_masks import masked_json
from ...values.told_errors import error_line
from .json_values import digest_of

__all__ = ["checked_body", "sampled_body"]


def checked_body(verdicts: Sequence[Any]) -> list[Json]:
    """Return verdicts as JSON; null for a check that was not needed."""
    return [None if verdict is None else _verdict(verdict) for verdict in verdicts]


def _verdict(verdict: Any) -> JsonObject:
    error = verdict.error
    told = {
        "passed": bool(verdict),
        "reason": verdict.reason,
        "score": verdict.score,
        "error": None if error is None else error_line(error),
    }
    clean: JsonObject = masked_json({name: value for name, value in told.items() if value is not None})
    return clean


def sampled_body(result: Any, numbers: Mapping[str, int]) -> tuple[str, JsonObject]:
    """Return the choice of a strategy as JSON, and what names it.

    Args:
        result: a `mellite.SamplingResult`.
        numbers: the numbers of calls, by the ids of their generations.
    """
    told = result.to_dict()
    samples: list[JsonObject] = []
    for sample, facts in zip(result.samples, told["samples"], strict=True):
        number = numbers.get(sample.thunk.generation.generation_id or "")
        votes = {name: facts[name] for name in ("lineage", "status", "score", "validations")}
        samples.append({"call": number, **votes})
    place = told["winner"]
    body: JsonObject = {name: told[name] for name in ("strategy", "success", "stop_reason", "requirements")}
    body["winner"] = samples[place]["call"] if place is not None else None
    body["samples"] = samples
    return digest_of([body["strategy"], [sample["call"] for sample in samples]]), masked_json(body)
