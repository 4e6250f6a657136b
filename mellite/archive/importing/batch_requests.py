"""Find the requests of a batch in the files beside its results, by their ids."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

from attrs import define, field

from ...cassettes.compression import ENDINGS
from ...values.errors import CassetteError, InvalidCassette, MissingExtra
from ...values.provider_json import Json, JsonObject
from .source import Source, decode

__all__ = ["Requests", "requests_beside"]

#: How files of requests may end.
_ENDINGS: Final = tuple([f"{one}{more}" for one in (".jsonl", ".ndjson", ".json", ".txt") for more in ("", *ENDINGS)])


@define
class Requests:
    """The requests of a batch by their ids, and the files that they are from."""

    paths: list[str] = field(factory=list)
    _by_id: dict[str, tuple[JsonObject, str]] = field(factory=dict)

    def of(self, id: object) -> JsonObject | None:
        """Return the request with an id; None if no file has it."""
        found = self._by_id.get(str(id))
        return None if found is None else found[0]

    def take(self, id: str, request: JsonObject, path: str) -> None:
        """Take a request from a file.

        Raises:
            InvalidCassette: if another file has another request with this id.
        """
        before = self._by_id.setdefault(id, (request, path))
        if before[0] != request:
            msg = f"{before[1]!r} and {path!r} hold different requests with the id {id!r:.80}: keep one of them here"
            raise InvalidCassette(msg, path=path)
        if path not in self.paths:
            self.paths.append(path)


def requests_beside(path: str, wanted: Collection[str]) -> Requests:
    """Return the requests with some ids, from the files in the folder of a result file.

    Args:
        path: the file with the results.
        wanted: the ids of the results.

    Raises:
        InvalidCassette: if two files hold different requests with one id.
    """
    found = Requests()
    folder = os.path.dirname(path) or "."
    names = sorted(os.listdir(folder)) if wanted else []
    for name in names:
        other = os.path.join(folder, name)
        if not name.endswith(_ENDINGS) or name == os.path.basename(path) or not os.path.isfile(other):
            continue
        for id, request in _requests(Source(other)):
            if id in wanted:
                found.take(id, request, other)
    return found


def _requests(source: Source) -> Iterator[tuple[str, JsonObject]]:
    """Yield the requests in a file with their ids, up to the first line that is none."""
    with suppress(CassetteError, MissingExtra):  # what cannot be read is not a file of requests
        first = source.data[:1]
        if first == b"{" and b'"requests"' in source.data[:200]:
            document = source.document
            items = document.get("requests") if isinstance(document, dict) else None
            yield from filter(None, [_request(item) for item in items] if isinstance(items, list) else [])
            return
        for line in io.BytesIO(source.data):
            if line.strip():
                request = _request(decode(line, path=source.path))
                if request is None:
                    return
                yield request


def _request(line: Json) -> tuple[str, JsonObject] | None:
    """Return the id and the request of a line; None if it is none."""
    if not isinstance(line, dict):
        return None
    if "custom_id" in line and ("body" in line or "params" in line) and "response" not in line:
        return str(line["custom_id"]), line
    return (str(line["key"]), line) if "key" in line and isinstance(line.get("request"), dict) else None
