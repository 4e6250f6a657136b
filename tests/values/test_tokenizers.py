"""Exact counts of bare texts, by a tokenizer in a package; and how far off estimates are for recorded calls."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from mellite import Message, count_tokens
from mellite.values import tokenizers
from mellite.values.tokenizers import vocabulary_of
from tests import token_errors

#: Pieces that tokens may go across, or that look as if they did.
PIECES = [*"aBé1S!/.,;:()你好。カーǅ½ſ_…😀", " ", "  ", "\n", "\r\n", "\t", "'s", "'ll", "'", "\u0301", "\u00a0"]
PIECES += ["\uff0c", "\u2028", "\x85", "\x1c", "・", "the ", "<|endoftext|>", "ʰ", "ﬁ", "\u200d", "٣"]


@pytest.mark.parametrize(
    ("text", "model", "tokens"),
    [
        ("hello world", "gpt-4o", 2),
        ("hello world", "openai:gpt-5-mini-2025-08-07", 2),
        ("tiktoken is great!", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-3.5-turbo", 6),
        ("antidisestablishmentarianism", "o3-mini", 6),
        ("お誕生日おめでとう", "gpt-4", 9),
        ("お誕生日おめでとう", "gpt-4o", 8),
        ("<|endoftext|>", "gpt-4o", 7),
        ("", "gpt-4o", 0),
    ],
)
def test_texts_counted_by_hand(text: str, model: str, tokens: int) -> None:
    """A bare text of a model whose tokenizer is at hand is counted exactly; the figures are from OpenAI's cookbook."""
    count = count_tokens(text, model=model)
    assert (count, count.exact) == (tokens, True)


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4.1-nano", "o200k_base"),
        ("o1", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("openrouter:openai/gpt-4o:free", "o200k_base"),
        ("ollama:gpt-oss:20b", "o200k_base"),
        ("ft:gpt-4o-mini:acme::x", "o200k_base"),
        ("azure/gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-4all", None),
        ("gpt-45", None),
        ("o1x", None),
        ("claude-opus-4-8", None),
        ("", None),
    ],
)
def test_vocabularies(model: str, vocabulary: str | None) -> None:
    """Dates, sizes, providers in front and fine-tuning do not change the vocabulary; what only looks alike has none."""
    assert vocabulary_of(model) == vocabulary


def test_anything_but_a_bare_text_is_an_estimate() -> None:
    """A message, a model without a tokenizer and no model at all give estimates that say so."""
    assert not count_tokens([Message.user("hello world")], model="gpt-4o").exact
    assert not count_tokens("hello world", model="claude-opus-4-8").exact
    assert not count_tokens("hello world").exact
    half = count_tokens("a\ud800b", model="gpt-4o")
    assert (half.exact, 2 < half < 6) == (False, True)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_long_texts_are_cut_where_no_token_goes_across(model: str) -> None:
    """A text that is counted in pieces has as many tokens as one that is counted in one."""
    whole = tokenizers._tokenizer(str(vocabulary_of(model)))
    chance = random.Random(12)
    for _ in range(8):
        text = "".join(chance.choices(PIECES, k=150_000))
        count = count_tokens(text, model=model)
        assert (count, count.exact) == (whole(text), True)


@pytest.mark.parametrize("piece", ["a", " ", "\n", "你", "Aa", "😀", "{", "'s"])
def test_texts_that_are_no_language(piece: str) -> None:
    """A million times the same takes no time to speak of, holds up no other thread for long, and is near the truth."""
    text = piece * (1_000_000 // len(piece))
    longest, last, done = 0.0, time.perf_counter(), threading.Event()
    counts: list[int] = []

    def count() -> None:
        counts.append(count_tokens(text, model="gpt-4o"))
        done.set()

    threading.Thread(target=count).start()
    while not done.wait(0.001):
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 5
    assert 0 < counts[0] <= len(text)


def test_the_package_is_loaded_when_it_is_needed() -> None:
    """Estimates load no tokenizer; an exact count loads the compiled module only, which takes a part of a second."""
    code = """
import sys
from mellite import Message, count_tokens
assert not count_tokens("Hello.").exact
assert not count_tokens([Message.user("Hello.")], model="gpt-4o").exact
assert not any("bpe_openai" in name for name in sys.modules)
assert count_tokens("Hello.", model="gpt-4o").exact
assert "bpe_openai" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("source", ["", "raise ImportError", "def tokenizer_for_encoding(name): return None"])
def test_a_package_that_is_not_what_it_was(tmp_path: Path, source: str) -> None:
    """Without the package, or with one that has changed, counts are estimates, and nothing fails."""
    if source:
        (tmp_path / "bpe_openai").mkdir()
        (tmp_path / "bpe_openai" / "__init__.py").write_text("")
        (tmp_path / "bpe_openai" / "_bindings.py").write_text(source)
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    else:
        (tmp_path / "bpe_openai.py").write_text("")  # what stands in its place is not a package
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from mellite import count_tokens; assert count_tokens('Hello.', model='gpt-4o').exact is False"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_the_table_in_the_documentation(corpora: Path) -> None:
    """The table is what `python -m tests.token_errors` makes of the recorded calls."""
    text = token_errors.PAGE.read_text(encoding="utf-8")
    shown = text.partition(token_errors.BEGIN)[2].partition(token_errors.END)[0]
    assert shown.strip() == token_errors.table(corpora).strip()


def test_estimates_of_recorded_calls(corpora: Path) -> None:
    """Estimates are off by a twentieth for answers, and a quarter for short requests; a tokenizer by a few tokens."""
    errors: dict[str, list[float]] = defaultdict(list)
    for _, each in token_errors.measured(corpora):
        errors[each.kind].append(abs(each.estimated / each.counted - 1))
        if each.exact is not None:
            errors["exact"].append(abs(each.exact - each.counted))
    means = {kind: sum(found) / len(found) for kind, found in errors.items()}
    assert means["output"] < 0.06
    assert means["input"] < 0.35
    assert means["input with tools"] < 0.35
    assert means["exact"] < 10
