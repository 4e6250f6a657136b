"""The methods by which notebooks and terminals show objects: `_repr_html_`, `_repr_mimebundle_`, `__rich_repr__`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .portrait import Portrait

__all__ = ["Pictured", "portrait_of"]


class Pictured:
    """An object that notebooks and terminals show by its portrait.

    Looking generates, sends and waits for nothing. Nothing of IPython, marimo or rich is imported for it: they call
    these methods.
    """

    __slots__ = ()

    @abstractmethod
    def _portrait(self) -> Portrait:
        """Return what is to be seen now: state, facts, texts, and a table where there are several of something."""

    def _repr_html_(self) -> str:
        return self._portrait().html()

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        return self._portrait().bundle(include, exclude)

    def __rich_repr__(self) -> Iterator[object]:
        yield from self._portrait().rich_fields()

    __rich_repr__.angular = True  # type: ignore[attr-defined]  # rich reads it: <Run done ...>, as our reprs are


def portrait_of(thing: Pictured) -> Portrait:
    """Return what is to be seen of something now."""
    return thing._portrait()  # noqa: SLF001 - of the class above; not public, because looking needs no method
