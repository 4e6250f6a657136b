"""Cut a recorded body into the pieces that are read: as they came, or at chosen places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...values.errors import ConfigurationError

if TYPE_CHECKING:
    from ..timeline import Timeline

__all__ = ["NO_PIECES", "Cut", "Pieces", "check_cut", "cut_as_recorded", "cut_body", "cut_untimed"]

#: How to cut a body into pieces: ``recorded`` for the pieces in which it came, None for a single one, a number of bytes
#: for each, the places at which to cut, or a function from the body to its pieces.
Cut: TypeAlias = "Literal['recorded'] | int | Sequence[int] | Callable[[bytes], Iterable[bytes]] | None"


#: A body, where each piece of it ends, and when it came, in microseconds since the start, if that is known. No piece is
#: empty: the ends grow, and the last one is that of the body.
Pieces: TypeAlias = tuple[bytes, Sequence[int], Sequence[int]]

NO_PIECES: Final[Pieces] = (b"", (), ())


def cut_body(body: bytes, cut: Cut) -> list[bytes]:
    """Cut a body into pieces.

    Raises:
        ConfigurationError: if the pieces do not add up to the body, or `cut` is not a way to cut.

    Example:
        >>> cut_body(b"abcdef", 4), cut_body(b"abcdef", [1, 3])
        ([b'abcd', b'ef'], [b'a', b'bc', b'def'])
    """
    if callable(cut):
        pieces = list(cut(body))
        if b"".join(pieces) != body:
            name = getattr(cut, "__name__", repr(cut))
            msg = f"the function {name} loses or adds bytes: its pieces must add up to the body exactly"
            raise ConfigurationError(msg)
        return pieces
    check_cut(cut)
    if cut is None or isinstance(cut, str):
        return [body]
    if isinstance(cut, int):
        return [body[start : start + cut] for start in range(0, len(body), cut)]
    places = [0, *sorted([min(max(place, 0), len(body)) for place in cut]), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


def check_cut(cut: object) -> None:
    """Refuse what is not a way to cut.

    Raises:
        ConfigurationError: naming what it may be.
    """
    if cut is None or cut == "recorded" or callable(cut):
        return
    is_number = isinstance(cut, int) and not isinstance(cut, bool)
    if is_number and cut < 1:  # type: ignore[operator]
        msg = f"a body is cut into pieces of at least 1 byte, not of {cut}"
        raise ConfigurationError(msg)
    are_places = isinstance(cut, Sequence) and all(isinstance(place, int) for place in cut)
    if not is_number and (isinstance(cut, str) or not are_places):
        msg = f"cut is 'recorded', None, a number, a list of places or a function, not {cut!r:.100}"
        raise ConfigurationError(msg)


def cut_as_recorded(body: bytes, cut: Cut, timeline: Timeline | None, *, path: str | None = None) -> Pieces:
    """Cut a recorded body into pieces, with their times.

    If the body is not as long as its recorded pieces together, it was edited: then ``recorded`` gives a single piece.

    Raises:
        ConfigurationError: as `cut_body`.
        InvalidCassette: if the recorded pieces cannot be read.
    """
    recorded = () if timeline is None else timeline.pieces(path=path)
    ends = list(accumulate([size for size, _ in recorded]))
    known = bool(ends) and ends[-1] == len(body)
    if known and cut == "recorded":
        cuts = [(end, at) for end, (size, at) in zip(ends, recorded, strict=True) if size]
        return body, [end for end, _ in cuts], [at for _, at in cuts]
    chosen = _ends(body, cut)
    if known:
        return body, chosen, _times(chosen, ends, [at for _, at in recorded])
    # The best known time is the end.
    return body, chosen, () if timeline is None else [timeline.ended] * len(chosen)


def cut_untimed(body: bytes, cut: Cut, timeline: Timeline | None, *, path: str | None = None) -> Pieces:
    """Cut a recorded body into the same pieces as `cut_as_recorded` does, without their times, which is faster.

    Raises:
        ConfigurationError, InvalidCassette: as `cut_as_recorded`.
    """
    sizes = () if timeline is None else timeline.sizes(path=path)
    if cut is not None and cut != "recorded":
        return body, _ends(body, cut), ()
    ends = list(accumulate(sizes)) if cut else []
    if ends and ends[-1] == len(body):
        return body, list(dict.fromkeys([end for end in ends if end])) if 0 in sizes else ends, ()
    return body, (len(body),) if body else (), ()


def _ends(body: bytes, cut: Cut) -> Sequence[int]:
    """Return where the pieces end that `cut_body` makes, without empty ones."""
    if cut is None or cut == "recorded":
        return (len(body),) if body else ()
    return list(accumulate([len(piece) for piece in cut_body(body, cut) if piece]))


def _times(chosen: Sequence[int], ends: Sequence[int], recorded: Sequence[int]) -> list[int]:
    """Return when pieces came that were cut otherwise.

    Args:
        chosen: where each piece ends in the body.
        ends: where each recorded piece ends in the body.
        recorded: when each recorded piece came.
    """
    times: list[int] = []
    which = 0
    for end in chosen:
        while ends[which] < end:  # a piece came when its last byte did
            which += 1
        times.append(recorded[which])
    return times
