"""Put together a function call of Gemini whose arguments are streamed: pieces, each with a path to where it belongs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json, JsonObject

__all__ = ["Written", "is_piece"]

_STEP: Final = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d{1,6})\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_LONGEST_LIST: Final = 10_000
_MOST_STEPS: Final = 64
_VALUES: Final = ("stringValue", "numberValue", "boolValue")


def is_piece(call: Mapping[str, Json]) -> bool:
    """Tell whether a call is not whole, but the beginning, a piece or the end of one."""
    return "partialArgs" in call or bool(call.get("willContinue")) or not call


class Written:
    """One call while it is written.

    Args:
        name: the function.
        id: the provider's id, if it gave one.
        arguments: what is known of them from the start.

    Attributes:
        signature: the thought signature that came with it.
        pieces: whether it came in pieces.

    Example:
        >>> call = Written("get_weather", "call_1", {})
        >>> call.add([{"jsonPath": "$.city", "stringValue": "Par", "willContinue": True}])
        >>> call.add([{"jsonPath": "$.city", "stringValue": "is"}, {"jsonPath": "$.days[0]", "numberValue": 2}])
        >>> call.arguments
        {'city': 'Paris', 'days': [2]}
    """

    __slots__ = ("_texts", "_tree", "id", "name", "pieces", "signature")

    def __init__(self, name: str, id: str | None, arguments: Mapping[str, Json]) -> None:
        self.name = name
        self.id = id
        self.signature: str | None = None
        self.pieces = False
        self._tree = dict(arguments)
        self._texts: dict[str, list[str]] = {}  # by path, so that n pieces cost n

    def add(self, pieces: Json) -> None:
        """Take some pieces.

        Raises:
            InvalidProviderOutput: if they have no path, or one that leads nowhere.
        """
        if pieces is None:
            return
        if not isinstance(pieces, Sequence) or isinstance(pieces, str):
            raise _bad(pieces)
        for piece in pieces:
            path = piece.get("jsonPath") if isinstance(piece, Mapping) else None
            if not isinstance(path, str):
                raise _bad(piece)
            text = piece.get("stringValue")
            if isinstance(text, str):
                known = self._texts.get(path)
                if known is not None:
                    known.append(text)
                    continue
                self._texts[path] = [text]
            value = next((piece[name] for name in _VALUES if name in piece), None)
            self._put(_steps(path), value)

    @property
    def arguments(self) -> JsonObject:
        """The arguments so far."""
        for path, texts in self._texts.items():
            if len(texts) > 1:
                texts[:] = ["".join(texts)]
                self._put(_steps(path), texts[0])
        return self._tree

    def whole(self) -> JsonObject:
        """Return the part that an answer in one piece would have for the call."""
        call = {"name": self.name, "args": self.arguments, **({"id": self.id} if self.id else {})}
        return {"functionCall": call, **({"thoughtSignature": self.signature} if self.signature else {})}

    def _put(self, steps: Sequence[str | int], value: Json) -> None:
        here: Json = self._tree
        for number, step in enumerate(steps):
            if not _leads_on(here, step):
                raise _bad(steps)
            in_list = isinstance(step, int)
            if in_list and step == len(here):
                here.append(None)
            if number == len(steps) - 1:
                here[step] = value
                return
            inner = here[step] if in_list else here.get(step)
            if inner is None:
                inner = here[step] = [] if isinstance(steps[number + 1], int) else {}
            here = inner


def _leads_on(here: Json, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(here, list) and step <= min(len(here), _LONGEST_LIST)
    return isinstance(here, dict)


def _steps(path: str) -> list[str | int]:
    """Return the steps of a path such as ``$.a[0]['b']``."""
    rest = path.removeprefix("$")
    steps: list[str | int] = []
    at = 0
    while at < len(rest) and len(steps) < _MOST_STEPS:
        found = _STEP.match(rest, at)
        if found is None:
            raise _bad(path)
        name = next((group for group in (found[1], found[3], found[4]) if group is not None), None)
        steps.append(int(found[2]) if name is None else name)
        at = found.end()
    if not steps or at < len(rest) or isinstance(steps[0], int):
        raise _bad(path)
    return steps


def _bad(value: Json) -> InvalidProviderOutput:
    text = repr(value)
    msg = f"a piece of a functionCall's arguments must say where it belongs: {text[:120]}"
    return InvalidProviderOutput(msg)
