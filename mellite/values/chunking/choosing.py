"""Choose a chunker: by name, number, regular expression, function or object; and cut a whole text with it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from ..errors import InvalidRequest
from ..public_names import publish
from ..spelling import did_you_mean
from ..told_errors import error_line
from .cutting import AsSent, Chunker, Every, Lines, Paragraphs, Words
from .fences import Fences
from .json_values import JsonValues
from .own import ByPattern, Own, Split
from .sentences import Sentences

__all__ = ["Chunking", "chunk", "chunker_for"]

#: How to cut: None for as sent, a name, a number of characters, a compiled regular expression, a function that cuts a
#: whole text into consecutive pieces, or an object with feed() and end(), or its class.
Chunking: TypeAlias = str | int | re.Pattern[str] | Callable[[str], Sequence[str]] | Chunker | type[Chunker] | None

_NAMED: Final[dict[str, Callable[[], Chunker]]] = {
    "as-sent": AsSent,
    "code-fences": Fences,
    "json": JsonValues,
    "lines": Lines,
    "paragraphs": Paragraphs,
    "sentences": Sentences,
    "words": Words,
}


def chunk(text: str, chunking: Chunking) -> list[str]:
    """Cut a whole text; each piece is a `Chunk`, a str that also knows its offsets.

    Args:
        text: what to cut.
        chunking: a name (``words``, ``sentences``, ``paragraphs``, ``lines``, ``code-fences``, ``json``), a number of
            characters, a compiled regular expression whose matches end the chunks, a function, or an object with
            ``feed`` and ``end``; None leaves the text whole.

    Raises:
        InvalidRequest: if there is no such chunking, or it loses or adds text.

    Example:
        >>> chunk("It costs 3.14 dollars. Really? Ask Dr. No.", "sentences")
        ['It costs 3.14 dollars. ', 'Really? ', 'Ask Dr. No.']
    """
    if not isinstance(text, str):
        msg = f"chunk cuts a str, not {type(text).__name__}"
        raise InvalidRequest(msg, parameter="text")
    chunker = chunker_for(chunking)
    return [*chunker.feed(text), *chunker.end()]


def chunker_for(chunking: Chunking) -> Chunker:
    r"""Return a fresh chunker of this kind. An object of the caller's is copied, so that each text has its own.

    Raises:
        InvalidRequest: if there is no such chunking.

    Example:
        >>> lines = chunker_for("lines")
        >>> lines.feed("one\ntw"), lines.feed("o"), lines.end()
        (['one\n'], [], ['two'])
    """
    if chunking is None:
        return AsSent()
    if isinstance(chunking, str):
        return _by_name(chunking)
    if isinstance(chunking, int) and not isinstance(chunking, bool):
        if chunking < 1:
            msg = f"a chunk has at least 1 character, not {chunking}"
            raise InvalidRequest(msg, parameter="chunking")
        return Every(chunking)
    if isinstance(chunking, re.Pattern):
        if isinstance(chunking.pattern, str):
            return ByPattern(chunking)
    elif callable(getattr(chunking, "feed", None)) and callable(getattr(chunking, "end", None)):
        return Own(_fresh(chunking))
    elif callable(chunking):
        return Split(cast("Callable[[str], Sequence[str]]", chunking))
    msg = (
        f"chunking must be None, one of {', '.join(map(repr, _NAMED))}, a number of characters, a compiled regular "
        f"expression of str, a function from a text to its pieces, or an object with feed() and end(), not {chunking!r}"
    )
    raise InvalidRequest(msg, parameter="chunking")


def _by_name(name: str) -> Chunker:
    make = _NAMED.get(name)
    if make is None:
        msg = f"there is no chunking {name!r}; {did_you_mean(name, _NAMED)}"
        raise InvalidRequest(msg, parameter="chunking")
    return make()


def _fresh(chunker: Any) -> Chunker:
    """Return a chunker for one text: an instance of a class, a copy of an object."""
    try:
        made: Chunker = chunker() if isinstance(chunker, type) else copy.deepcopy(chunker)
    except Exception as error:
        name = getattr(chunker, "__name__", type(chunker).__name__)
        msg = f"the chunker {name} cannot be made anew for each text ({error_line(error)}); pass its class instead"
        raise InvalidRequest(msg, parameter="chunking") from error
    return made


publish(globals(), "mellite", "chunk")
