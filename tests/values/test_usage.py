"""Usage: which of several reports counts."""

from mellite.events import Usage

REAL = Usage.of(input_tokens=5, output_tokens=2)


def test_a_report_of_zeros_replaces_no_real_one() -> None:
    assert Usage.of(input_tokens=0, output_tokens=0).replacing(REAL) is REAL
    assert Usage().replacing(REAL) is REAL


def test_a_later_report_replaces_an_earlier_one() -> None:
    later = Usage.of(input_tokens=5, output_tokens=3)
    assert later.replacing(REAL) is later
    assert later.replacing(Usage()) is later


def test_a_first_report_counts_whatever_it_says() -> None:
    zeros = Usage.of(input_tokens=0, output_tokens=0)
    assert zeros.replacing(None) is zeros
