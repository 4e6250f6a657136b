"""One generation, for however many wait for it: the thunk, its backend, its pump."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .thunk import ModelOutputThunk as ModelOutputThunk, _restored as _restored
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(__name__, {".thunk": "ModelOutputThunk"}, unlisted={".thunk": "_restored"})
