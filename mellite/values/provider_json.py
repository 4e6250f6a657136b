"""The type of JSON that a provider or a file has sent: anything, until the code that reads it has looked."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Json", "JsonObject"]

#: Decoded JSON of a provider or a user: the reader checks what it is before relying on it.
Json: TypeAlias = Any

#: A JSON object of a provider or a user.
JsonObject: TypeAlias = dict[str, Any]
