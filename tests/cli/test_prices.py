"""`mellite prices`: in a pipe, as JSON and on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mellite.values.prices.pricelist import prices
from tests.cli.programs import COMMAND, run, surroundings
from tests.terminal import on_terminal


def test_at_one_provider() -> None:
    """PROVIDER:MODEL prints the prices there, one line, below what they are and of when."""
    ran = run("prices", "openai:gpt-4o-mini-2024-07-18")
    title, line = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert title == f"USD per million tokens, as of {prices().date} ({prices().source})"
    assert line.split("\t")[:5] == ["openai", "gpt-4o-mini", "input: 0.15", "cache_read: 0.075", "output: 0.6"]


def test_at_every_provider() -> None:
    """MODEL alone prints a line for each provider that has it."""
    ran = run("prices", "gpt-4o")
    assert ran.code == 0
    assert {line.split("\t")[0] for line in ran.out.splitlines()[1:]} >= {"openai", "azure"}


def test_as_json() -> None:
    """--json prints one object, with exact amounts as strings and the steps of a price that has some."""
    ran = run("prices", "google:gemini-2.5-pro", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["date"] == prices().date.isoformat()
    (price,) = ran.json["prices"]
    assert (price["provider"], price["model"]) == ("google", "gemini-2.5-pro")
    assert price["rates"]["input"] == {"base": "1.25", "above": [{"input_tokens": 200000, "price": "2.5"}]}
    assert ran.json["model"] == "google:gemini-2.5-pro"


@pytest.mark.parametrize("form", ["openrouter:openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"])
def test_names_with_slashes(form: str) -> None:
    """A model's id may have a slash in it; the provider may be followed by one, too."""
    (price,) = run("prices", form, "--json").json["prices"]
    assert (price["provider"], price["model"]) == ("openrouter", "openai/gpt-4o-mini")


def test_names_with_colons() -> None:
    """What stands before a colon is only a provider if there is one of that name."""
    found = run("prices", "amazon.nova-lite-v1:0", "--json").json["prices"]
    assert "aws" in {price["provider"] for price in found}


@pytest.mark.parametrize("model", ["openai:gpt-4o-minni", "gpt-4o-minni"])
def test_unknown_model(model: str) -> None:
    """A model without a price is said on standard error, with what is near to it, and ends with 1."""
    ran = run("prices", model)
    assert (ran.code, ran.out) == (1, "")
    assert f"no price is known for {model!r}" in ran.err
    assert ":gpt-4o-mini" in ran.err
    as_json = run("prices", model, "--json")
    assert (as_json.code, as_json.json["prices"]) == (1, [])


def test_unknown_everywhere() -> None:
    """A model that is like no other is said to be unknown, and no more."""
    ran = run("prices", "zzzzzzzzzzzz")
    assert (ran.code, ran.err) == (1, "mellite: no price is known for 'zzzzzzzzzzzz'\n")


def test_file_of_ones_own(tmp_path: Path) -> None:
    """--file, or MELLITE_PRICES, names another list; one that is none is an error of usage."""
    path = tmp_path / "prices.json"
    models = {"m": {"prices": [{"input": "1.10", "output": 2, "web_search": 5}]}}
    path.write_text(json.dumps({"version": 1, "date": "2026-01-02", "providers": {"acme": {"models": models}}}))
    lines = ["acme\tm\tinput: 1.10\toutput: 2\tweb_search: 5 per thousand"]
    assert run("prices", "acme:m", "--file", str(path)).out.splitlines()[1:] == lines
    ran = run("prices", "m", MELLITE_PRICES=str(path))
    assert ran.out.splitlines() == [f"USD per million tokens, as of 2026-01-02 ({path})", *lines]
    path.write_text("{")
    ran = run("prices", "m", MELLITE_PRICES=str(path))
    assert (ran.code, ran.out) == (2, "")
    assert str(path) in ran.err


def test_without_a_model() -> None:
    """A model has to be named."""
    assert run("prices").code == 2


def test_on_a_terminal() -> None:
    """On a terminal the prices stand in a table."""
    seen = on_terminal([*COMMAND, "prices", "gemini-2.5-pro"], **surroundings())
    assert seen.code == 0
    assert "USD per million tokens, as of" in seen.plain
    assert "┃ provider" in seen.plain
    assert "200,000" in seen.plain
    assert "\x1b[" in seen.drawn
