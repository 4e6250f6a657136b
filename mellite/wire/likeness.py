"""The likeness of the events of one stream: which bytes stay the same, so that only the text between them is read.

Most servers send the same JSON with every delta, but for its text. Once two events in a row were read in full and
differed in nothing else, the next one needs no decoding if it is like them: the bytes around the text are compared, and
the text is read as the JSON string that it has to be. An event that differs in any other byte is read in full. What
servers pad and number their events with may differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, final

import msgspec

from ..values.events import TextDelta
from .protocol import Flowing

__all__ = ["LARGEST", "Likeness", "likeness_of"]

#: The largest piece of a stream that is compared, in bytes.
LARGEST: Final = 1024

#: What may be in front of the data of a server-sent event: its name, and nothing else.
_BEFORE: Final = re.compile(rb"(?:event: ?[^\r\n]*\n)?data: ?")

# What differs from event to event, and says nothing of the answer: OpenAI's padding and numbers, Anthropic's blanks.
_PADDING: Final = b'"obfuscation":"'
_NUMBER: Final = b'"sequence_number":'
_VARYING: Final = re.compile(rb"(?<=%s)[0-9A-Za-z]*(?=\")|(?<=%s)[0-9]+|(?<=}) *(?=}\n\n\Z)" % (_PADDING, _NUMBER))
_BLANKS: Final = b" " * LARGEST
_MOST_DIGITS: Final = 15

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(str).decode


@final
class Likeness:
    """What events of a stream have in common, taken from one of them.

    Args:
        opening: the bytes before its text and the quotation marks of that.
        closing: the bytes after it, cut where something varies.
        text: the text.
        at: where the data of the event begins.

    Attributes:
        at: that place.
        text: that text.
    """

    __slots__ = (
        "_closing",
        "_end",
        "_id",
        "_note",
        "_number",
        "_opening",
        "_pieces",
        "_start",
        "_varying",
        "at",
        "text",
    )

    def __init__(self, opening: bytes, closing: Sequence[bytes], *, text: str, at: int) -> None:
        self._opening = opening
        self._start = len(opening)
        self._closing = closing[-1]
        self._end = -len(closing[-1])
        # What stands before each that varies, from the last one on.
        self._varying = [(before, len(before), before.endswith(_PADDING)) for before in closing[-2::-1]]
        self._number: int | None = None
        self._pieces: list[str] = []
        self._note: Callable[[int], object] | None = None
        self._id = ""
        self.at = at
        self.text = text

    def more(self, data: bytes) -> TextDelta | None:
        """Take an event like the others: return its delta. Return None for any other, and take nothing."""
        if not (data.startswith(self._opening) and data.endswith(self._closing)):
            return None
        start, end = self._start, self._end
        for before, length, is_padded in self._varying:
            at = data.rfind(before, start, end)
            varying = data[at + length : end]
            if at < 0 or not (varying.isalnum() if is_padded and varying else self._may_vary(before, varying)):
                return None
            end = at
        try:
            text = _decode(data[start:end])
        except ValueError:  # no text, or more than that
            return None
        if not text:
            return None
        self._pieces.append(text)
        if self._note is not None and self._number is not None:
            self._note(self._number)
        return TextDelta(text, self._id)

    def _may_vary(self, before: bytes, varying: bytes) -> bool:
        """Tell whether `varying`, which is no padding, may stand there after `before`."""
        if not before.endswith(_NUMBER):
            return _BLANKS.startswith(varying)  # or it is nothing at all
        if not varying.isdigit() or len(varying) > _MOST_DIGITS or (varying[:1] == b"0" != varying):
            return False
        self._number = int(varying)
        return True

    def is_confirmed_by(self, data: bytes, text: str) -> bool:
        """Tell whether another event is like the first, and differs from it by its text, which was read in full."""
        delta = self.more(data) if text != self.text else None
        return delta is not None and delta.text == text

    def flows_into(self, flowing: Flowing, id: str) -> None:
        """Add the texts of `more` there from now on, and give them this id."""
        self._pieces, self._note, self._id = flowing.pieces, flowing.note, id


def likeness_of(data: bytes, raw: bytes, text: str) -> Likeness | None:
    """Take the likeness of an event.

    Args:
        data: the event as it came.
        raw: its data.
        text: the text that was found in it.

    Returns:
        What has still to be confirmed by another event; None if there is more than this event in *data*, or if it does
        not show where the text is.
    """
    at = len(data) - len(raw) - 2
    token = _encode(text)
    if at < 0 or not data.endswith(raw + b"\n\n") or not _BEFORE.fullmatch(data, 0, at) or data.count(token, at) != 1:
        return None
    start = data.index(token, at)
    return Likeness(data[:start], _VARYING.split(data[start + len(token) :]), text=text, at=at)
