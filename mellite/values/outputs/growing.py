"""Read JSON while it is being written: the plain data so far, in time linear in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

from attrs import define

from ..provider_json import Json
from .free_texts import Nodes, elements_of, is_free_text, member_of

__all__ = ["NOTHING", "GrowingJson"]


class _Nothing:
    """Stands for a value of which nothing has come."""

    def __repr__(self) -> str:
        return "NOTHING"


#: The data of a text in which no value has begun.
NOTHING: Final[Any] = _Nothing()

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_ATOM: Final = re.compile(r"[-+.0-9A-Za-z]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, Json]] = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LONG_ESCAPE: Final = 6  # characters of one like \u00e9
_DEEPEST: Final = 1_000  # no value that is nested more deeply can be read anyhow


@define(eq=False)
class _Frame:
    """An object or array that is open.

    Args:
        held: what it holds so far, without the value that is open in it.
        nodes: the parts of the schema that describe it.
        key: the key of the value that comes next, in an object.
    """

    held: dict[str, Json] | list[Json]
    nodes: Nodes
    key: str = ""

    def put(self, value: Json) -> None:
        if isinstance(self.held, dict):
            self.held[self.key] = value
        else:
            self.held.append(value)

    def with_open(self, value: Json) -> Json:
        """Return a copy that holds the open value as well."""
        if isinstance(self.held, dict):
            return {**self.held, self.key: value}
        return [*self.held, value]

    def nodes_of_next(self) -> Nodes:
        if isinstance(self.held, dict):
            return member_of(self.nodes, self.key)
        return elements_of(self.nodes, len(self.held))


@final
class GrowingJson:
    """A JSON value while its text arrives.

    Texts grow as they are written. Numbers, true, false and null are there once they are whole; so are texts that have
    only some values or a format by the schema, because half of one means something else or nothing. Each `data` has all
    that the one before had. A key that comes twice has its last value. What follows a fault is not read.

    Args:
        schema: the JSON Schema of the value, if there is one.

    Attributes:
        is_broken: whether the text is not JSON.

    Example:
        >>> reader = GrowingJson()
        >>> reader.feed('{"city": "Par'), reader.data
        (True, {'city': 'Par'})
        >>> reader.feed('is", "people": 21'), reader.data
        (True, {'city': 'Paris'})
    """

    __slots__ = ("_atom", "_escape", "_frames", "_grows", "_is_key", "_root", "_schema", "_step", "_text", "is_broken")

    def __init__(self, schema: Mapping[str, Json] | None = None) -> None:
        self._schema = Nodes.of(schema)
        self._frames: list[_Frame] = []
        self._root: Json = NOTHING  # once it is whole
        self._step: Callable[[GrowingJson, str, int], int] = GrowingJson._on_value
        self._text: list[str] | None = None  # the pieces of the text that is open
        self._is_key = False
        self._grows = False  # the open text, for all to see
        self._escape = ""
        self._atom: list[str] = []
        self.is_broken = False

    # What has come

    @property
    def is_whole(self) -> bool:
        """Whether the value has come to its end."""
        return self._root is not NOTHING

    @property
    def data(self) -> Json:
        """The data so far, which does not change any more; `NOTHING` before there is some."""
        if self._root is not NOTHING:
            return self._root
        value: Json = NOTHING
        if self._text is not None and self._grows:
            value = "".join(self._text)
            self._text = [value]
        for frame in reversed(self._frames):
            value = frame.held.copy() if value is NOTHING else frame.with_open(value)
        return value

    def elements(self, key: str | None = None) -> Sequence[Json]:
        """Return the elements that are whole of the array that the value is, or that stands in it under *key*.

        Empty while there is no such array. The caller must not change it.
        """
        frames = self._frames
        if self._root is not NOTHING:
            found = self._root
            if key is not None:
                found = found.get(key) if isinstance(found, dict) else None
        elif key is None:
            found = frames[0].held if frames else None
        elif not frames or not isinstance(frames[0].held, dict):
            found = None
        elif len(frames) > 1 and frames[0].key == key:
            found = frames[1].held
        else:
            found = frames[0].held.get(key)
        return found if isinstance(found, list) else ()

    # What comes

    def feed(self, text: str) -> bool:
        """Take more of the text; return whether `data` may have changed."""
        at, end = 0, len(text)
        before = self._mark()
        while at < end and not self.is_broken:
            at = self._step(self, text, at)
        return self._grows or before != self._mark()

    def end(self) -> bool:
        """Take note that the text has ended, which makes a number whole; return whether `data` has changed."""
        if self._atom and not self._frames:
            self._close_atom()
            return self.is_whole
        return False

    def _mark(self) -> tuple[object, ...]:
        """Return what differs if something has been opened, put or closed."""
        frames = self._frames
        return (len(frames), len(frames[-1].held) if frames else -1, self.is_whole, self._grows)

    def _break(self, end: int) -> int:
        self.is_broken = True
        return end

    # Steps; each takes some of the text from an index on, and returns where it stopped

    def _on_value(self, text: str, at: int) -> int:
        at = _after_blanks(text, at)
        if at == len(text):
            return at
        mark = text[at]
        if mark == '"':
            self._open_text(is_key=False)
        elif mark in "{[":
            if len(self._frames) >= _DEEPEST:
                return self._break(at)
            self._frames.append(_Frame({} if mark == "{" else [], self._nodes_of_next()))
            self._step = GrowingJson._on_first
        elif _ATOM.match(mark + "\n").end():  # type: ignore[union-attr]  # it matches nothing, too
            self._step = GrowingJson._on_atom
            return at
        else:
            return self._break(at)
        return at + 1

    def _nodes_of_next(self) -> Nodes:
        return self._frames[-1].nodes_of_next() if self._frames else self._schema

    def _on_first(self, text: str, at: int) -> int:
        """Take what stands after an opening bracket: its closing one, or a key or value."""
        at = _after_blanks(text, at)
        if at == len(text):
            return at
        is_object = isinstance(self._frames[-1].held, dict)
        if text[at] == ("}" if is_object else "]"):
            self._close_frame()
            return at + 1
        self._step = GrowingJson._on_key if is_object else GrowingJson._on_value
        return at

    def _on_key(self, text: str, at: int) -> int:
        at = _after_blanks(text, at)
        if at == len(text):
            return at
        if text[at] != '"':
            return self._break(at)
        self._open_text(is_key=True)
        return at + 1

    def _on_colon(self, text: str, at: int) -> int:
        at = _after_blanks(text, at)
        if at == len(text):
            return at
        if text[at] != ":":
            return self._break(at)
        self._step = GrowingJson._on_value
        return at + 1

    def _on_next(self, text: str, at: int) -> int:
        """Take what stands after a value."""
        at = _after_blanks(text, at)
        if at == len(text):
            return at
        if not self._frames:
            return self._break(at)  # after the whole value
        is_object = isinstance(self._frames[-1].held, dict)
        if text[at] == ",":
            self._step = GrowingJson._on_key if is_object else GrowingJson._on_value
        elif text[at] == ("}" if is_object else "]"):
            self._close_frame()
        else:
            return self._break(at)
        return at + 1

    def _put(self, value: Json) -> None:
        if self._frames:
            self._frames[-1].put(value)
        else:
            self._root = value
        self._step = GrowingJson._on_next

    def _close_frame(self) -> None:
        self._put(self._frames.pop().held)

    # Numbers, true, false and null

    def _on_atom(self, text: str, at: int) -> int:
        end = _end_of(_ATOM, text, at)
        self._atom.append(text[at:end])
        if end < len(text) or "".join(self._atom[-_LONG_ESCAPE:]) in _WORDS:
            self._close_atom()
        return end

    def _close_atom(self) -> None:
        atom = "".join(self._atom)
        self._atom = []
        if atom in _WORDS:
            self._put(_WORDS[atom])
        elif _NUMBER.fullmatch(atom):
            self._put(_number(atom))
        else:
            self.is_broken = True

    # Texts

    def _open_text(self, *, is_key: bool) -> None:
        self._text = []
        self._is_key = is_key
        self._grows = not is_key and is_free_text(self._nodes_of_next())
        self._step = GrowingJson._on_text

    def _on_text(self, text: str, at: int) -> int:
        pieces = self._text
        if pieces is None:
            return self._break(at)
        end = _end_of(_PLAIN, text, at)
        if end > at:
            pieces.append(text[at:end])
        if end == len(text):
            return end
        if text[end] == '"':
            self._close_text()
        elif text[end] == "\\":
            self._step = GrowingJson._on_escape
        else:
            return self._break(end)  # a control character
        return end + 1

    def _on_escape(self, text: str, at: int) -> int:
        self._escape += text[at]
        escape = self._escape
        if escape[0] != "u":
            self._unescape(_ESCAPES.get(escape))
        elif len(escape) == _LONG_ESCAPE - 1:
            if not _is_first_half(escape):
                self._unescape(_character(escape[1:]))
            else:
                self._step = GrowingJson._on_second_half
        return at + 1

    def _on_second_half(self, text: str, at: int) -> int:
        """Take the escape after one that is the first half of a surrogate pair, if that is its second half."""
        first, wanted = self._escape[:5], self._escape[5:] + text[at]
        is_wanted = wanted[0] == "\\" and wanted[1:2] in ("", "u")
        if is_wanted and len(wanted) < _LONG_ESCAPE:
            self._escape = first + wanted
            return at + 1
        second = _character(wanted[2:]) if is_wanted else None
        if second is not None and "\udc00" <= second <= "\udfff":
            self._unescape(json.loads(f'"\\{first}{wanted}"'))
            return at + 1
        # Half a pair alone, and what has been taken of the text since then is looked at again.
        self._unescape(_character(first[1:]))
        for character in wanted:
            self._step(self, character, 0)
        return at + 1

    def _unescape(self, character: str | None) -> None:
        self._escape = ""
        self._step = GrowingJson._on_text
        if character is None or self._text is None:
            self.is_broken = True
        else:
            self._text.append(character)

    def _close_text(self) -> None:
        whole = "".join(self._text or ())
        self._text = None
        self._grows = False
        if self._is_key:
            self._frames[-1].key = whole
            self._step = GrowingJson._on_colon
        else:
            self._put(whole)


def _after_blanks(text: str, at: int) -> int:
    return _end_of(_BLANKS, text, at)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _number(atom: str) -> Json:
    try:
        return int(atom) if atom.lstrip("-").isdigit() else float(atom)
    except ValueError:  # more digits than Python turns into an int at once
        return float(atom)


def _character(digits: str) -> str | None:
    try:
        return chr(int(digits, 16)) if digits.isalnum() else None
    except ValueError:
        return None


def _is_first_half(escape: str) -> bool:
    character = _character(escape[1:])
    return character is not None and "\ud800" <= character <= "\udbff"
