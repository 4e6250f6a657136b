"""Read the HTML that objects show themselves with in notebooks, as strictly as sanitised exports do."""

from __future__ import annotations

import re
from html.parser import HTMLParser

TAGS = {"div", "span", "pre"}
"""What survives the sanitised exports of nbconvert; of a table it would show the tags of a tbody as text."""

STYLE = re.compile(r"[a-z-]+:[-a-z0-9.,%() ]+")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert [name for name, _ in attrs] in ([], ["style"]), attrs
        for _, style in attrs:
            assert all(STYLE.fullmatch(rule) for rule in (style or "").rstrip(";").split(";")), style
        is_cell = "display:table-cell" in str(attrs)
        self.open.append("cell" if is_cell else tag)
        if is_cell:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        opened = self.open.pop()
        assert tag == ("span" if opened == "cell" else opened)

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if "cell" in self.open:
            self.cells[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read_html(written: str) -> _Reader:
    """Read HTML; fail for a tag, attribute or comment that is not to be there, or a tag that is not closed."""
    reader = _Reader()
    reader.feed(written)
    reader.close()
    assert reader.open == []
    return reader


def words_of(thing: object) -> set[str]:
    """What an object shows of itself, word by word: the same in HTML, with that of the bundle, and in plain text."""
    bundle = thing._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert thing._repr_html_() == bundle["text/html"]
    shown = {word for piece in read_html(bundle["text/html"]).words for word in piece.split()}
    assert shown == set(bundle["text/plain"].split())
    return shown
