"""Texts of answers that go on, without what looks like a key, and what is new in them for those who know a part."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, final

from ..values.provider_json import JsonObject
from ..values.secrets.shapes import masked

__all__ = ["MaskedTexts", "news"]

#: After texts were masked, longer ones wait for so many times as long as that took a processor.
_SHARE: Final = 5

#: The longest time for which they wait, in seconds.
_LONGEST_PAUSE: Final = 5.0

#: A text of so many characters is sent whole each time: whoever reads the events by hand sees what there is.
_SHORT: Final = 4096


@final
class MaskedTexts:
    """Masks texts that grow. A long one takes long to be looked through, and is looked through less often.

    Example:
        >>> MaskedTexts().of({3: "Use sk-abcdefghijklmnopqrstuvwxyz."})
        {'3': 'Use [REDACTED].'}
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, str]] = {}  # the length of the text, and the text masked
        self._again_at = 0.0

    def of(self, texts: Mapping[int, str]) -> Mapping[str, str]:
        """Return the texts masked, by the numbers of their calls; some of them as they were a moment ago.

        Args:
            texts: those that go on, whole.
        """
        grown = [number for number, text in texts.items() if self._known.get(number, (-1, ""))[0] != len(text)]
        known = {number: each for number, each in self._known.items() if number in texts}
        if grown and time.monotonic() >= self._again_at:
            began = time.thread_time()
            known |= {number: (len(texts[number]), masked(texts[number])) for number in grown}
            took = time.thread_time() - began
            self._again_at = time.monotonic() + min(_SHARE * took, _LONGEST_PAUSE)
        self._known = known
        return {str(number): text for number, (_, text) in known.items()}


def news(said: str | None, text: str) -> tuple[str, JsonObject] | None:
    """Return the name and the fields of the event that tells a reader what a text is now; None if it knows that.

    Args:
        said: what the text was when the reader heard of it; None if it never did.
        text: what it is now.

    Example:
        >>> news("One ", "One two ")
        ('growing', {'text': 'One two '})
        >>> news("x" * 5000, "x" * 4999 + "yz")
        ('more', {'drop': 1, 'text': 'yz'})
    """
    if said == text:
        return None
    if said is None or len(text) <= _SHORT:
        return "growing", {"text": text}
    kept = _common(said, text)
    return "more", {"drop": _units(said[kept:]), "text": text[kept:]}


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with together."""
    if other.startswith(one):
        return len(one)
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect_left(lengths, x=True, key=lambda length: one[:length] != other[:length])


def _units(text: str) -> int:
    """Return the length of a text as JavaScript counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
