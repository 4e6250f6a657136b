"""Compare what was streamed of a Responses answer with what the provider says of it as a whole."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json
from ..json_values import shown
from ..tool_calls import parse_arguments

__all__ = [
    "SequenceNumbers",
    "agreed_arguments",
    "agrees",
    "aligned",
    "contradiction",
    "lost",
    "rest_of",
    "same_arguments",
    "text_of",
]


# Texts


def rest_of(said: str, whole: str) -> str | None:
    """Return what a whole text has after what was said of it; None if the two contradict each other.

    White space around a text does not count: some servers trim it in one of the two places.

    Example:
        >>> rest_of("Hel", "Hello."), rest_of("Hello. ", "Hello."), rest_of("Heo.", "Hello.")
        ('lo.', '', None)
    """
    if whole.startswith(said):
        return whole[len(said) :]
    if not said.isascii():
        said, whole = _paired(said), _paired(whole)
        if whole.startswith(said):
            return whole[len(said) :]
    begun, bare = said.lstrip(), whole.lstrip()
    if bare.rstrip() == begun.rstrip():
        return ""
    return bare[len(begun) :] if begun and bare.startswith(begun) else None


def _paired(text: str) -> str:
    """Join the halves of characters that were cut in two: some servers count in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def agrees(said: str, whole: str) -> bool:
    """Tell whether a text was streamed as the whole that it is, but for the white space around it."""
    rest = rest_of(said, whole)
    return rest is not None and not rest.strip()


_SHOWN: Final = 24  # characters of either text


def contradiction(place: str, said: str, whole: str) -> InvalidProviderOutput:
    """Return the error for a text whose pieces are not what the provider says it is as a whole.

    Args:
        place: which text of the answer.
        said: the pieces, joined.
        whole: the text by the provider's last word.

    Example:
        >>> str(contradiction("the text of output item 0", "Heo.", "Hello."))
        "the pieces of the text of output item 0 are not its whole: from character 2 on 'o.' came, the whole has 'llo.'"
    """
    pairs = zip(said, whole, strict=False)
    at = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(said), len(whole)))
    came, has = said[at : at + _SHOWN], whole[at : at + _SHOWN]
    msg = f"the pieces of {place} are not its whole: from character {at} on {came!r} came, the whole has {has!r}"
    return InvalidProviderOutput(msg)


def lost(place: str, numbers: tuple[int, int]) -> InvalidProviderOutput:
    """Return the error for a text in the middle of which stream events are missing, and that comes nowhere whole.

    Args:
        place: which text of the answer.
        numbers: the first and the last sequence number that is missing.
    """
    first, last = numbers
    which = f"the stream event {first} is" if first == last else f"the stream events {first} to {last} are"
    msg = f"{which} missing in the middle of {place}, and nothing says what it is as a whole"
    return InvalidProviderOutput(msg)


class Gapped(Protocol):
    """What pieces are put together to; `gap` are the numbers of the first and the last event missing in its middle."""

    gap: tuple[int, int] | None


class SequenceNumbers:
    """The sequence numbers of the stream events, to notice where some are missing in the middle of a text.

    Hosts leave out whole kinds of events and keep the numbers, so that a gap is only one where two pieces of one text
    follow each other; and only hosts that count by one count at all.
    """

    __slots__ = ("_counts", "_last", "_of")

    def __init__(self) -> None:
        self._last: int | None = None
        self._counts = False
        self._of: Gapped | None = None  # the text or the call that the last event belongs to

    def note(self, number: object, of: Gapped | None) -> None:
        """Take the number of an event, and what the event is a piece of."""
        if not isinstance(number, int):
            return
        last, self._last = self._last, number
        if last is not None and number == last + 1:
            self._counts = True
        elif last is not None and number > last + 1 and self._counts and of is not None and of is self._of:
            of.gap = (last + 1, number - 1)
        self._of = of


# Arguments of tool calls


def agreed_arguments(place: str, said: str, whole: str, *, is_json: bool = True) -> str:
    """Return the arguments of a tool call, of which the whole is the truth.

    What was streamed may be unfinished or damaged; the caller of the tool only gets the whole.

    Args:
        place: which call.
        said: the pieces, joined.
        whole: the arguments by the provider's last word; empty where it has none.
        is_json: whether they are JSON, so that damage shows; the input of a custom tool is any text.

    Raises:
        InvalidProviderOutput: if what was streamed is not damaged, and not the same.

    Example:
        >>> agreed_arguments("call 1", '{"city": ', '{"city": "Rome"}'), agreed_arguments("call 1", '{"a": 1}', "")
        ('{"city": "Rome"}', '{"a": 1}')
    """
    if not whole.strip() or whole == said:
        return said or whole
    if not said.strip() or rest_of(said, whole) is not None or same_arguments(said, whole, is_json=is_json):
        return whole
    if is_json and _decoded(said) is _BROKEN:
        return whole
    raise contradiction(place, said, whole)


def same_arguments(one: str, other: str, *, is_json: bool) -> bool:
    """Tell whether two texts are the same arguments, however they are written.

    Example:
        >>> same_arguments('{"a":1}', '{ "a": 1 }', is_json=True)
        True
    """
    if one.strip() == other.strip():
        return True
    return is_json and _BROKEN is not _decoded(one) == _decoded(other)


_BROKEN: Final = object()


def _decoded(text: str) -> Json:
    try:
        return parse_arguments(text)
    except InvalidProviderOutput:
        return _BROKEN


# Which item of the whole answer is which


class Named(Protocol):
    """What is known of a streamed item."""

    @property
    def type(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def call_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def index(self) -> int | None: ...
    @property
    def held(self) -> object: ...


ItemT = TypeVar("ItemT", bound=Named)


def aligned(items: Sequence[ItemT], output: Sequence[Json]) -> Iterator[ItemT | None]:
    """For each item of the whole answer give the streamed one that it is; None for one that was not streamed.

    An id tells, else a place in the output, else the order among those of one type (and name, for a call).

    Raises:
        InvalidProviderOutput: for what is not an output item.
    """
    for raw in output:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str):
            msg = f"an output item must be an object with a type, not {shown(raw)}"
            raise InvalidProviderOutput(msg)
    found: list[ItemT | None] = [None] * len(output)
    free = dict.fromkeys(range(len(items)))
    for of_item, of_raw in _SIGNS:
        candidates: dict[Hashable, deque[int]] = defaultdict(deque)
        for number in free:
            sign = of_item(items[number])
            if sign is not None:
                candidates[items[number].type, sign].append(number)
        for at, raw in enumerate(output):
            waiting = candidates.get((raw["type"], of_raw(at, raw))) if found[at] is None else None
            if waiting:
                number = waiting.popleft()
                found[at] = items[number]
                del free[number]
    yield from found


def text_of(raw: Mapping[str, Json]) -> str:
    """Join the texts of a message as the whole answer has it."""
    content = raw.get("content")
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if part.get("type") == "output_text"]
    return "".join([text for text in texts if isinstance(text, str)])


def _field(raw: Mapping[str, Json], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""


#: What two views of an item have in common, the surest first; None where the view of a streamed item does not say it.
_SIGNS: Final[
    tuple[tuple[Callable[[Json], Hashable | None], Callable[[int, Mapping[str, Json]], Hashable | None]], ...]
] = (
    (
        lambda item: (item.call_id, item.id, item.index) if item.id else None,
        lambda at, raw: (_field(raw, "call_id"), _field(raw, "id"), at),
    ),
    (lambda item: item.call_id or None, lambda _, raw: _field(raw, "call_id") or None),
    (lambda item: item.id or None, lambda _, raw: _field(raw, "id") or None),
    (lambda item: None if item.index is None else (item.index, item.name), lambda at, raw: (at, _field(raw, "name"))),
    (lambda item: None if item.name else item.index, lambda at, _: at),
    (lambda item: None if item.held is not None else item.name, lambda _, raw: _field(raw, "name")),
    (lambda item: None if item.held is not None or item.name else "", lambda _, __: ""),
)
