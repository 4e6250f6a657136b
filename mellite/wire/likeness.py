"""The likeness of the events of one stream: which bytes stay the same, so that only the text between them is read.

Most servers send the same JSON with every delta, but for its text: of an answer, of thinking, of what goes to a tool.
Once two events in a row were read in full and differed in nothing else, the next one needs no decoding if it is like
them: the bytes around the text are compared, and the text is read as the JSON string that it has to be. An event that
differs in any other byte is read in full. What servers pad and number their events with may differ.

Events that come one by one are compared one by one, those of a large piece in a few steps for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeGuard, final

import msgspec

from ..values.events import Event, ReasoningDelta, TextDelta, ToolInputDelta
from .protocol import Flowing

__all__ = ["LARGEST", "Delta", "Likeness", "Run", "is_delta", "likeness_of"]

#: More of what may flow.
Delta: TypeAlias = TextDelta | ReasoningDelta | ToolInputDelta

#: The largest piece of a stream that is compared, in bytes.
LARGEST: Final = 1024

#: What may be in front of the data of a server-sent event: its name, and nothing else.
_BEFORE: Final = re.compile(rb"(?:event: ?[^\r\n]*\r?\n)?data: ?")
#: What ends it.
_ENDS: Final = (b"\n\n", b"\r\n\r\n")

# What differs from event to event, and says nothing of the answer: OpenAI's padding and numbers, Anthropic's blanks.
_PADDING: Final = b'"obfuscation":"'
_NUMBER: Final = b'"sequence_number":'
_VARYING: Final = re.compile(
    rb"(?<=%s)[0-9A-Za-z]*(?=\")|(?<=%s)[0-9]+|(?<=}) *(?=}\r?\n\r?\n\Z)" % (_PADDING, _NUMBER)
)
_BLANKS: Final = b" " * LARGEST
_MOST_DIGITS: Final = 15

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(str).decode
_decode_all: Final = msgspec.json.Decoder(list[str]).decode

# The inside of a JSON string, up to the quotation mark that ends it; and what may stand where something varies.
_INSIDE: Final = rb'([^"\\]*+(?:\\.[^"\\]*+)*+)'
_PAD: Final = rb"([0-9A-Za-z]*+)"
_DIGITS: Final = rb"(0|[1-9][0-9]{0,%d}+)" % (_MOST_DIGITS - 1)
_SPACES: Final = rb"( *+)"


class Run(NamedTuple):
    """Some events of a stream that are alike, one behind the other.

    Args:
        end: where they end in the piece that they came in.
        deltas: what they say.
        raws: their data.
    """

    end: int
    deltas: list[Delta]
    raws: Sequence[bytes]


@final
class Likeness:
    """What events of a stream have in common, taken from one of them.

    Args:
        opening: the bytes before its text, up to the quotation mark.
        closing: the bytes from the other quotation mark on, cut where something varies.
        text: the text.
        at: where the data of the event begins.
        to: where it ends, counted from the end.

    Attributes:
        at: where the data of such an event begins.
        to: where it ends.
        text: that text.
    """

    __slots__ = (
        "_add",
        "_closing",
        "_closings",
        "_end",
        "_find_all",
        "_make",
        "_note",
        "_number",
        "_opening",
        "_pieces",
        "_start",
        "_varying",
        "at",
        "text",
        "to",
    )

    def __init__(self, opening: bytes, closing: Sequence[bytes], *, text: str, at: int, to: int) -> None:
        self._opening = opening
        self._start = len(opening) - 1
        self._closings = closing
        self._find_all: Callable[[bytes, int], list[tuple[bytes, ...]]] | None = None
        self._closing = closing[-1]
        self._end = -len(closing[-1])
        # What stands before each that varies, from the last one on.
        self._varying = [(before, len(before), before.endswith(_PADDING)) for before in closing[-2::-1]]
        self._number: int | None = None
        self._pieces: list[str] = []
        self._add: Callable[[str], bool] | None = None
        self._note: Callable[[int], object] | None = None
        self._make: Callable[[str], Delta] = TextDelta
        self.at = at
        self.to = to
        self.text = text

    def more(self, data: bytes) -> Delta | None:
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
            text = _decode(data[start : end + 1])  # from mark to mark: around them there may be line ends
        except ValueError:  # no text, or more than that
            return None
        if not text:
            return None
        if self._add is None:
            self._pieces.append(text)
        elif not self._add(text):
            return None
        if self._note is not None and self._number is not None:
            self._note(self._number)
        return self._make(text)

    def _may_vary(self, before: bytes, varying: bytes) -> bool:
        """Tell whether `varying`, which is no padding, may stand there after `before`."""
        if not before.endswith(_NUMBER):
            return _BLANKS.startswith(varying)  # or it is nothing at all
        if not varying.isdigit() or len(varying) > _MOST_DIGITS or (varying[:1] == b"0" != varying):
            return False
        self._number = int(varying)
        return True

    def run(self, data: bytes, start: int) -> Run | None:
        """Take the events like the others that follow in *data* from *start* on, as `more` takes each.

        Return None, and take nothing, if there are none, or if one of their texts cannot be read.
        """
        if self._add is not None or self.to != -2:  # each has to be looked at, or other lines end in CR LF
            return None
        if self._find_all is None:
            self._find_all = re.compile(_pattern_of(self._opening, self.at, self._closings)).findall
        found = self._find_all(data, start)
        if found and not found[-1][0]:  # what is left behind the events
            found.pop()
        if not found:
            return None
        # The pattern looks at what differs only. The events are put together from that again, and compared as a whole.
        raws, insides, *varying = zip(*found, strict=True)
        form = [self._opening, b"", self._closings[0]]
        for closing in self._closings[1:]:
            form += (b"", closing)
        pieces = form * len(found)
        for column, parts in enumerate((insides, *varying)):
            pieces[1 + 2 * column :: len(form)] = parts
        count, end = _same(data, start, pieces, len(form))
        try:
            texts = _decode_all(b'["%s"]' % b'","'.join(insides[:count])) if count else []
        except ValueError:
            return None
        if not texts or not all(texts):  # without text an event may mean something else
            return None
        self._take_all(texts, varying)
        return Run(end, list(map(self._make, texts)), raws[:count])

    def _take_all(self, texts: Sequence[str], varying: Sequence[Sequence[bytes]]) -> None:
        """Add texts, and note the numbers of their events."""
        self._pieces += texts
        numbered = [column for before, column in zip(self._closings, varying, strict=False) if before.endswith(_NUMBER)]
        if self._note is not None and numbered:
            for number in numbered[0][: len(texts)]:
                self._note(int(number))

    def is_confirmed_by(self, data: bytes, text: str) -> bool:
        """Tell whether another event is like the first, and differs from it by its text, which was read in full."""
        delta = self.more(data) if text != self.text else None
        return delta is not None and delta.text == text

    def flows_into(self, flowing: Flowing, delta: Delta) -> None:
        """Add the texts of `more` there from now on, and give events that differ from this one in their text."""
        self._pieces, self._note, self._add = flowing
        if isinstance(delta, ToolInputDelta):
            self._make = partial(ToolInputDelta, delta.id, delta.name)
        else:
            self._make = partial(type(delta), id=delta.id)


def is_delta(event: Event) -> TypeGuard[Delta]:
    """Tell whether an event is more of what may flow."""
    return isinstance(event, (TextDelta, ReasoningDelta, ToolInputDelta))


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
    to = next((-len(end) for end in _ENDS if data.endswith(raw + end)), 0)
    at = len(data) - len(raw) + to
    token = _encode(text)
    if not to or not _BEFORE.fullmatch(data, 0, at) or data.count(token, at) != 1:
        return None
    start = data.index(token, at)
    closing = _VARYING.split(data[start + len(token) - 1 :])
    return Likeness(data[: start + 1], closing, text=text, at=at, to=to)


def _pattern_of(opening: bytes, at: int, closings: Sequence[bytes]) -> bytes:
    """Return the pattern of an event, which finds its data, the inside of its text, and what varies behind that.

    All other bytes of its data are only counted, because a pattern compares slowly. So all streams whose events have as
    many of them have the same pattern, which is compiled once. Where there is no event, it takes all that is left:
    looking for one at each place could take time that grows with the square of the bytes.
    """
    parts = [re.escape(opening[:at]), b"(", _any(len(opening) - 1 - at), b'"', _INSIDE]
    for before in closings[:-1]:
        varies = _PAD if before.endswith(_PADDING) else _DIGITS if before.endswith(_NUMBER) else _SPACES
        parts += (_any(len(before)), varies)
    return b"(?s)" + b"".join([*parts, _any(len(closings[-1]) - 2), b")\\n\\n|.+"])


def _any(count: int) -> bytes:
    return b".{%d}" % count


def _same(data: bytes, start: int, pieces: Sequence[bytes], step: int) -> tuple[int, int]:
    """Return how many events, each of *step* pieces, *data* has from *start* on, and where they end there."""
    same, beyond = 0, len(pieces) // step + 1
    tried = beyond - 1  # mostly all of them; else, search by halves
    while same < tried:
        whole = b"".join(pieces[same * step : tried * step])
        if data.startswith(whole, start):
            same = tried
            start += len(whole)
        else:
            beyond = tried
        tried = (same + beyond) // 2
    return same, start
