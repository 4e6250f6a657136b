"""Read the logs of inspect_ai, ``.eval`` and ``.json``: each call of a model, with what its references stand for.

A sample's events name the messages of a call by ranges in ``events_data``, and long texts by ``attachment://``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from ...cassettes.files.vcr import Imported
from ...values.errors import InvalidRequest
from ...values.provider_json import Json, JsonObject
from .calls import add_call, add_exchange, base_url_of, provider_of
from .exchanges import Exchanges
from .inspect_messages import call_of
from .source import Places, Source, decode
from .zip_members import ZipMembers

__all__ = ["read", "recognizes"]

_SAMPLE: Final = re.compile(r"samples/[^/]+\.json")
_FIRST: Final = b"_journal/start.json"
_REFERENCE: Final = re.compile(r"attachment://([0-9a-f]{32})")

#: Arguments of an SDK's method that are not part of the body.
_NOT_SENT: Final = frozenset({"extra_headers", "extra_query", "timeout", "stream", "stream_options"})

#: How a whole answer of a protocol begins, what its request has, and where it is sent.
_KINDS: Final = (
    ("object", "chat.completion", "messages", "/chat/completions"),
    ("object", "response", "input", "/responses"),
    ("type", "message", "messages", "/messages"),
)


def recognizes(source: Source) -> bool:
    """Whether a file is a log of inspect_ai, by the first member of the archive or the fields of the JSON."""
    if source.is_binary:
        return _FIRST in source.head[:200]
    document = source.shape
    return isinstance(document, dict) and isinstance(document.get("eval"), dict) and "status" in document


def read(source: Source) -> Imported:
    """Read a log of inspect_ai.

    Raises:
        InvalidCassette: if it is damaged or another format, or there is no call in it.
        MissingExtra: for ``.eval``, before Python 3.14 without the package backports.zstd.
    """
    places = Places(source.path, "log of inspect_ai")
    found = Exchanges(places)
    for where, sample in _samples(source, places):
        pool = _Pool.of(sample, where, places)
        for number, item in enumerate(places.items(sample.get("events"), f"{where}.events", optional=True)):
            event = places.fields(item, f"{where}.events[{number}]")
            if event.get("event") != "model":
                continue
            try:
                _add(found, pool.resolved(event), pool, f"{where}.events[{number}]")
            except InvalidRequest as error:
                found.skip(f"{where}.events[{number}]", str(error))
    found.say("scores, transcripts and all that is not a call of a model")
    return found.imported()


def _samples(source: Source, places: Places) -> Iterator[tuple[str, JsonObject]]:
    """Yield each sample with its place, one after the other."""
    if not source.is_binary:
        document = places.fields(source.document, "$")
        for number, item in enumerate(places.items(document.get("samples"), "$.samples", optional=True)):
            yield f"$.samples[{number}]", places.fields(item, f"$.samples[{number}]")
        return
    with ZipMembers(source.path) as members:
        names = [name for name in members.names if _SAMPLE.fullmatch(name)]
        if not names and any(name.startswith("samples/") for name in members.names):
            places.refuse("samples/", "a file for each sample", "samples in chunks, which are not read")
        if "header.json" not in members.names and _FIRST.decode() not in members.names:
            places.refuse("header.json", "a member", "none")
        for name in names:
            yield name, places.fields(decode(members.read(name), path=source.path, where=name), name)


@frozen
class _Pool:
    """The shared texts that the events of one sample refer to."""

    places: Places
    messages: list[Json]
    calls: list[Json]
    attachments: Mapping[str, Json]

    @classmethod
    def of(cls, sample: JsonObject, where: str, places: Places) -> _Pool:
        """Return what is in a sample."""
        data = places.fields(sample.get("events_data"), f"{where}.events_data", optional=True)
        return cls(
            places,
            places.items(data.get("messages"), f"{where}.events_data.messages", optional=True),
            places.items(data.get("calls"), f"{where}.events_data.calls", optional=True),
            places.fields(sample.get("attachments"), f"{where}.attachments", optional=True),
        )

    def resolved(self, value: Json) -> Json:
        """Return a value with the texts that its references to attachments stand for.

        Raises:
            InvalidRequest: if an attachment is not in the log.
        """
        if isinstance(value, str):
            return _REFERENCE.sub(self._attached, value) if "attachment://" in value else value
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        return {name: self.resolved(item) for name, item in value.items()} if isinstance(value, dict) else value

    def _attached(self, found: re.Match[str]) -> str:
        text = self.attachments.get(found[1])
        if not isinstance(text, str):
            msg = f"it refers to {found[0]:.80}, which is not in the log"
            raise InvalidRequest(msg)
        return text

    def expanded(self, references: Json, pool: list[Json], where: str) -> list[Json]:
        """Return the items of a pool that ranges stand for."""
        items: list[Json] = []
        for reference in self.places.items(references, where):
            bounds = self.places.items(reference, where)
            if len(bounds) != 2 or not all(isinstance(one, int) for one in bounds) or not 0 <= bounds[0] <= bounds[1]:
                self.places.refuse(where, "ranges of numbers", str(bounds))
            if bounds[1] > len(pool):
                self.places.refuse(where, f"a range within {len(pool)} items", str(bounds))
            items += pool[bounds[0] : bounds[1]]
        return [self.resolved(item) for item in items]


def _add(found: Exchanges, event: JsonObject, pool: _Pool, where: str) -> None:
    if event.get("error") is not None:
        found.skip(where, "the call failed")
        return
    if event.get("pending"):
        found.skip(where, "the call has no answer yet")
        return
    model = found.places.text(event.get("model"), f"{where}.model")
    sent = _sent(event.get("call"), model, pool, f"{where}.call")
    if sent is not None:
        add_exchange(found, sent[0], sent[1], 200, sent[2])
        return
    messages = event.get("input") or []
    if event.get("input_refs") is not None and not messages:
        messages = pool.expanded(event["input_refs"], pool.messages, f"{where}.input_refs")
    call = call_of({**event, "input": messages}, found, where)
    if call is not None:
        add_call(found, call, where)


def _sent(call: Json, model: str, pool: _Pool, where: str) -> tuple[str, JsonObject, Json] | None:
    """Return the URL and both bodies of a call that went over HTTP in a way that is known; None for any other."""
    if not isinstance(call, dict) or not isinstance(call.get("request"), dict):
        return None
    asked, answer = dict(call["request"]), call.get("response")
    if call.get("call_refs") is not None:
        key = pool.places.text(call.get("call_key"), f"{where}.call_key")
        asked[key] = pool.expanded(call["call_refs"], pool.calls, f"{where}.call_refs")
    if not isinstance(answer, dict):
        return None
    more = asked.pop("extra_body", None)
    asked |= more if isinstance(more, dict) else {}
    body = {name: value for name, value in asked.items() if name not in _NOT_SENT and value not in (None, [])}
    for name, said, needed, path in _KINDS:
        if answer.get(name) == said and needed in body:
            provider = "anthropic" if path == "/messages" else provider_of(*_split(model))
            return f"{base_url_of(provider)}{path}", body, answer
    return None


def _split(model: str) -> tuple[str, str]:
    provider, _, name = model.partition("/")
    return provider, name
