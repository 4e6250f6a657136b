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


def test_the_total_of_two_that_are_known() -> None:
    """Who writes a backend gives the two; a total that is given, or cannot be known, stays as it is."""
    assert Usage(input_tokens=5, output_tokens=2).total_tokens == 7
    assert Usage(input_tokens=5, output_tokens=2, total_tokens=9).total_tokens == 9
    assert Usage(input_tokens=5).total_tokens is None
    assert (Usage(input_tokens=5) + Usage(input_tokens=1, output_tokens=2)).total_tokens == 8
    assert (Usage(input_tokens=5) + Usage(input_tokens=1)).total_tokens is None


def test_a_first_report_counts_whatever_it_says() -> None:
    zeros = Usage.of(input_tokens=0, output_tokens=0)
    assert zeros.replacing(None) is zeros
