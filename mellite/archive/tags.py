"""The tags of a call: words under ``tags`` in the metadata of its request, by which logs and journals are filtered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["tags_of"]


def tags_of(metadata: Mapping[str, Any]) -> list[str]:
    """Return the tags in the metadata of a request: those of a list, or a single one; none if there are none.

    Example:
        >>> tags_of({"tags": ["nightly", 3]}), tags_of({"tags": "nightly"}), tags_of({})
        (['nightly', '3'], ['nightly'], [])
    """
    tags = metadata.get("tags")
    if tags is None:
        return []
    if isinstance(tags, (set, frozenset)):
        return sorted(map(str, tags))
    return [str(tag) for tag in tags] if isinstance(tags, (list, tuple)) else [str(tags)]
