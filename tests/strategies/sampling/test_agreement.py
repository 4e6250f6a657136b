"""When answers are the same, or alike."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from mellite.strategies.sampling.agreement import closeness, number_in, same_text, word_overlap


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", "42"),
        ("The answer is 42.", "42"),
        ("The answer is 42.0.", "42.0"),
        ("6 x 7 = 42", "42"),
        ("-3", "-3"),
        ("\u22123.5 degrees", "-3.5"),
        ("+7", "7"),
        ("1,234,567.89 USD", "1234567.89"),
        ("1,2", "2"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("2.5E-2 or so", "0.025"),
        ("50%", "50"),
        ("$\\boxed{17}$", "17"),
        ("in 2019 it was 12 (a dozen)", "12"),
        ("version v2", None),
        ("none", None),
        ("", None),
        ("...", None),
    ],
)
def test_the_last_number_is_found(text, number):
    """The last number of a text, with sign, thousands, fraction and exponent; not digits that are part of a word."""
    assert number_in(text) == (None if number is None else Decimal(number))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_every_number_is_found_in_a_sentence(number):
    """Any number is found as it was written, at the end of a sentence too."""
    assert number_in(f"It is {number}.") == number
    assert number_in(f"It is {number:,}, I think") == number


@given(st.text(), st.text())
def test_similarities_are_symmetric_and_between_0_and_1(one, other):
    """Every built-in similarity is the same both ways and within 0 and 1; a text is like itself."""
    for similarity in (same_text, closeness, word_overlap):
        assert 0.0 <= similarity(one, other) == similarity(other, one) <= 1.0
    assert same_text(one, one) == word_overlap(one, one) == 1.0


@pytest.mark.parametrize("text", ["9" * 5000, "1e999999999", "1e99999999999999999999", "-" * 5000 + "1"])
def test_huge_numbers_are_no_trouble(text):
    """Numbers beyond any float are compared or left out, never an error."""
    assert closeness(text, "1") in (0.0, 1.0)
    assert closeness(text, text) in (0.0, 1.0)
