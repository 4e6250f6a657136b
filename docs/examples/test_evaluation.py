"""Evaluate a prompt in CI: sort messages into three boxes, and fail below nine of ten.

Offline, as in CI:              CI=true pytest docs/examples/test_evaluation.py
Live, which records it anew:    OPENAI_API_KEY=... pytest --mellite-record docs/examples/test_evaluation.py
A prompt that was changed and not recorded again fails, and the report says where it differs.
"""

from typing import Literal

import pytest

import mellite
from mellite.cassettes import CassetteTransport

Box = Literal["invoice", "complaint", "question"]

CASES: list[tuple[str, Box]] = [
    ("Please find attached the bill for March.", "invoice"),
    ("The lamp arrived in two pieces.", "complaint"),
    ("Do you ship to Norway?", "question"),
    ("Amount due by the 30th: 240 francs.", "invoice"),
    ("I have been waiting for three weeks now.", "complaint"),
    ("Which oil fits the small burner?", "question"),
    ("Second reminder: number 1182 is unpaid.", "invoice"),
    ("Nobody answers your phone!", "complaint"),
    ("Is the shop open on Mondays?", "question"),
    ("Why was I charged twice?", "complaint"),
]


def sort(text: str) -> mellite.ModelOutputThunk[Box]:
    """Sort a message into a box: the program that is evaluated."""
    return mellite.generate(
        "openai:gpt-4o-mini",
        f"Into which box does this message belong?\n\n{text}",
        output=Box,
        temperature=0,
    )


@pytest.mark.mellite(match="pool", requires=["OPENAI_API_KEY"])
def test_sorting(cassette: CassetteTransport) -> None:
    results = mellite.gather([sort(text) for text, _ in CASES], concurrency=4).result()
    wrong = [
        f"{text!r}: {thunk.error or thunk.parsed_repr}, not {box}"
        for (text, box), thunk in zip(CASES, results, strict=True)
        if thunk.error is not None or thunk.parsed_repr != box
    ]
    print(
        f"{len(CASES) - len(wrong)} of {len(CASES)}, ${sum(thunk.cost_usd or 0 for thunk in results)}", *wrong, sep="\n"
    )
    assert len(wrong) <= len(CASES) * 0.1, "\n".join(wrong)
