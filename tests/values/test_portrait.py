"""Portraits: HTML that survives sanitising and executes nothing, plain text, and the cuts of what is long."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mellite.values.portrait import MOST_ROWS, Passage, Portrait, Row, Table, usd
from mellite.values.terminal import printable
from tests.pictures import read_html

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></div><img src=x onerror=alert(1)>",
    "\"onmouseover='alert(1)'",
    "<!-- --><![CDATA[x]]><?php ?>",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "javascript:alert(1)",
    "</table><style>*{display:none}</style>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_everything_from_outside_is_text(text: str) -> None:
    """What looks like markup is shown letter by letter, wherever it stands."""
    row = Row((text, "1"), is_chosen=True)
    seen = Portrait(
        kind="thunk",
        name=text,
        state=text,
        facts=((text, text),),
        passages=(Passage(text, text),),
        table=Table(text, (text, "n"), rows=(row,), total=1),
    )
    read = read_html(seen.html())
    assert "".join(read.words).count(text) == 7
    assert read.cells == ["", text, "n", "*", text, "1"]


def test_control_characters_steer_nothing() -> None:
    """Escapes, overrides of the direction and half surrogate pairs are replaced; spaces of all scripts stay."""
    seen = Portrait(kind="thunk", passages=(Passage("text", "a\x1b[31m\u202eb\ud800c\u3000d\u00a0e\r\nf\tg"),))
    assert "".join(read_html(seen.html()).words).endswith("a\ufffd[31m\ufffdb\ufffdc\u3000d\u00a0e\nf\tg")
    assert seen.text().encode()
    assert printable("句\u3000点") == "句\u3000点"


def test_long_texts_are_cut_with_a_note() -> None:
    """Of a long text the beginning is shown, of a growing one the end; a note says how much is left out."""
    text = f"first{'x' * 20_000}last"
    whole = Portrait(kind="thunk", passages=(Passage("text", text),))
    assert "".join(read_html(whole.html()).words).startswith("thunktextfirst")
    assert whole.text().endswith("x\n  … 10,009 more characters")
    growing = Portrait(kind="thunk", passages=(Passage("text", text, is_growing=True),))
    assert growing.text().startswith("thunk\ntext\n  … 10,009 characters before\n  x")
    assert "".join(read_html(growing.html()).words).endswith("xlast")
    lines = Portrait(kind="thunk", passages=(Passage("text", "line\n" * 1_000),))
    assert lines.text().endswith("line\n  … 4,001 more characters")
    assert len(lines.html()) < 3_000


def test_a_table_of_many_rows() -> None:
    """Columns without a text are left out, numbers stand on the right, and a note counts the rows not shown."""
    rows = tuple([Row((str(number), "", "yes"), is_chosen=number == 1) for number in range(MOST_ROWS)])
    seen = Portrait(
        kind="list", table=Table("rows", ("n", "nothing", "sure"), rows=rows, total=1_234, right=frozenset("n"))
    )
    lines = seen.text().splitlines()
    assert lines[1:4] == ["   n  sure", "   0  yes", "*  1  yes"]
    assert lines[-1] == "… and 1,194 more"
    assert "nothing" not in seen.html()
    assert "".join(read_html(seen.html()).words).endswith("… and 1,194 more")


def test_the_bundle_gives_what_is_asked_for() -> None:
    """`include` and `exclude` name MIME types; empty ones stand for all."""
    seen = Portrait(kind="thunk")
    assert list(seen.bundle()) == list(seen.bundle((), ())) == ["text/plain", "text/html"]
    assert list(seen.bundle({"text/html"})) == ["text/html"]
    assert list(seen.bundle(None, ["text/html"])) == ["text/plain"]
    assert seen.bundle(["image/png"], None) == {}


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (None, ""),
        ("0", "$0"),
        ("0.000008551", "$0.000008551"),
        ("0.12", "$0.12"),
        ("1234.5", "$1,234.50"),
        ("1E-7", "$0.0000001"),
    ],
)
def test_costs(cost: str | None, said: str) -> None:
    """Costs have four digits that count, and no exponent."""
    assert usd(None if cost is None else Decimal(cost)) == said
