"""Answers that go on, without what looks like a key, and what is new in them for those who know a part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, final

from attrs import frozen

from ..archive.journal.growing import Piece
from ..values.provider_json import JsonObject
from ..values.secrets.growing import GrowingMask

__all__ = ["GrowingTexts", "Grown", "news"]

#: An answer of so many characters is sent whole each time: whoever reads the events by hand sees what there is.
_SHORT: Final = 4096


@final
class GrowingTexts:
    """Masks answers while they grow, each character once.

    Example:
        >>> texts = GrowingTexts()
        >>> texts.take([Piece(3, "Use sk-abcdefghijkl"), Piece(3, "mnopqrstuvwxyz, ")])
        >>> texts.of([3])["3"].since(None)
        {'text': 'Use [REDACTED], '}
    """

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}

    def take(self, pieces: Iterable[Piece]) -> None:
        """Note what has arrived."""
        for piece in pieces:
            answer = self._answers.get(piece.number)
            if answer is None:
                answer = self._answers[piece.number] = _Answer()
            answer.take(piece)

    def drop(self, is_settled: Callable[[int], bool]) -> None:
        """Forget what has arrived of calls that have settled."""
        for number in [*filter(is_settled, self._answers)]:
            del self._answers[number]

    def of(self, numbers: Collection[int]) -> Mapping[str, Grown]:
        """Return what there is of the answers of some calls, by their ids."""
        return {str(number): answer.now() for number, answer in self._answers.items() if number in numbers}


class _Text:
    """What is said of the text of an answer, or of its thinking.

    A key may be cut over pieces of a block between which other blocks say something, and over blocks that follow each
    other: each block is masked by itself, and then all that they say together.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, GrowingMask] = {}
        self._together = GrowingMask()
        self.said: list[str] = []
        self.size = 0

    def take(self, block: str, text: str | None) -> None:
        if text is not None:
            said = self._blocks.setdefault(block, GrowingMask()).add(text)
        elif block in self._blocks:
            said = self._blocks.pop(block).end()
        else:
            return
        clean = self._together.add(said)
        if clean:
            self.said.append(clean)
            self.size += len(clean)


class _Answer:
    """What has arrived of one answer."""

    def __init__(self) -> None:
        self.texts = {"thinking": _Text(), "text": _Text()}

    def take(self, piece: Piece) -> None:
        self.texts[piece.kind].take(piece.block, piece.text)

    def now(self) -> Grown:
        return Grown(
            answer=self,
            said={kind: len(text.said) for kind, text in self.texts.items()},
            size=sum(text.size for text in self.texts.values()),
        )


@frozen(kw_only=True)
class Grown:
    """An answer that goes on, as it is at a moment.

    Args:
        answer: which one it is, as long as it goes on.
        said: how many pieces there are of its thinking and of its text.
        size: how many characters they have.
    """

    answer: _Answer
    said: Mapping[str, int]
    size: int

    def since(self, before: Grown | None) -> dict[str, str]:
        """Return what has been added to its text, and to its thinking if that has grown; all of it for None."""
        known: Mapping[str, int] = {} if before is None else before.said
        added = {
            kind: "".join(self.answer.texts[kind].said[known.get(kind, 0) : count]) for kind, count in self.said.items()
        }
        return {kind: text for kind, text in added.items() if text or kind == "text"}


def news(before: Grown | None, now: Grown) -> tuple[str, JsonObject] | None:
    """Return the name and the fields of the event that tells a reader what an answer is now; None if it knows that.

    Args:
        before: what the answer was when the reader heard of it; None if it never did.
        now: what it is now.
    """
    known = before if before is not None and before.answer is now.answer else None
    if now.size == (0 if known is None else known.size) and known is before:
        return None
    if known is None or now.size <= _SHORT:
        return "growing", {**now.since(None)}
    return "more", {**now.since(known)}
