"""Say which name was probably meant: by the names that other libraries use, and by how alike two names are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["alike", "did_you_mean", "nearest"]

#: How alike two names must be, from 0 to 1, for one to be a misspelling of the other: below it, a guess is noise.
CUTOFF: Final = 0.65


def nearest(
    name: str, known: Iterable[str], *, aliases: Mapping[str, str] | None = None, cutoff: float = CUTOFF
) -> str | None:
    """Return the known name that `name` most likely stands for; None if no name is near enough.

    Args:
        name: what was written.
        known: the names that exist.
        aliases: other words for some of them, such as those of another library; they count before any likeness.
        cutoff: how alike two names must be, from 0 to 1.

    Example:
        >>> nearest("temprature", ["temperature", "top_p"]), nearest("colour", ["temperature", "top_p"])
        ('temperature', None)
        >>> nearest("human", ["user", "system"], aliases={"human": "user"})
        'user'
    """
    meant = (aliases or {}).get(name) or (aliases or {}).get(name.strip().lower())
    if meant is not None:
        return meant
    by_lower = {each.lower(): each for each in [*(aliases or {}), *known]}
    found = alike(name.strip(), by_lower, count=1, cutoff=cutoff)
    return (aliases or {}).get(by_lower[found[0]], by_lower[found[0]]) if found else None


def alike(name: str, lower: Iterable[str], *, count: int, cutoff: float = CUTOFF) -> list[str]:
    """Return the names that are most like `name`, best first.

    Args:
        name: what was written, in upper or lower case.
        lower: the names that exist, in lower case.
        count: how many to return at most.
        cutoff: how alike two names must be, from 0 to 1.

    Example:
        >>> alike("GPT-4", ["gpt-4o", "gpt-4.1", "command"], count=2)
        ['gpt-4o', 'gpt-4.1']
    """
    import difflib

    return difflib.get_close_matches(name.lower(), lower, count, cutoff=cutoff)


def did_you_mean(
    name: str,
    known: Iterable[str],
    *,
    aliases: Mapping[str, str] | None = None,
    otherwise: str = "there are",
    cutoff: float = CUTOFF,
) -> str:
    """Return the second half of an error message about an unknown name: the nearest name, or all that there are.

    Args:
        name: what was written.
        known: the names that exist.
        aliases: other words for some of them; see `nearest`.
        otherwise: what stands before the list of names where none is near.
        cutoff: how alike two names must be, from 0 to 1.

    Example:
        >>> did_you_mean("paragraf", ["lines", "paragraphs"])
        "did you mean 'paragraphs'?"
        >>> did_you_mean("x", ["lines", "paragraphs"], otherwise="the kinds are")
        'the kinds are lines, paragraphs'
    """
    names = sorted(known)
    near = nearest(name, names, aliases=aliases, cutoff=cutoff)
    return f"did you mean {near!r}?" if near is not None else f"{otherwise} {', '.join(names)}"
