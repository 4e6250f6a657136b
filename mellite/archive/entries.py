"""The calls in cassettes of any kind: one entry each, with question, answer, tokens and cost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from ..cassettes.audit import is_to_be_told
from ..cassettes.files.find import Failed, Found, find_cassettes
from ..cassettes.files.read import load_cassette
from ..cassettes.interactions import Cassette, HttpInteraction, WebSocketInteraction
from ..cassettes.replaying.canonical import Snapshot, snapshot
from ..cassettes.secrets.redaction import Redaction
from ..cassettes.text.directory import TextCassette, TextDirectory
from ..cassettes.timeline import Timeline
from ..providers.recognize import shown_question
from ..values.errors import CassetteError, MissingExtra
from ..values.usage import Usage
from .replay import calls_of, replay_one, route_and_body

if TYPE_CHECKING:
    from ..thunk.thunk import ModelOutputThunk

__all__ = ["Answer", "Entry", "entries_below", "http_entries", "text_entry"]

_REDACTION: Final = Redaction()


@frozen(kw_only=True)
class Answer:
    """An answer as a protocol reads it, or as a text cassette stores it.

    Args:
        text: the text; of a failed answer, as far as it came.
        thinking: the thinking; None if there is none.
        tool_calls: the name and the arguments of each tool call.
        finish_reason: why the answer ended, in mellite's words.
        error: the class and the message of the error that the answer stands for.
        usage: the tokens used.
        cost_usd: the cost; None if the price is not known.
        response_model: the model that answered, as the provider says.
    """

    text: str = ""
    thinking: str | None = None
    tool_calls: tuple[tuple[str, Any], ...] = ()
    finish_reason: str | None = None
    error: tuple[str, str] | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    response_model: str | None = None


@frozen(kw_only=True)
class Entry:
    """One call in a cassette.

    Args:
        path: the file.
        name: the name of the call in its file: the number of the interaction, from 0 on, with the number of the call
            if there are several over one WebSocket, as in ``3.1``; or the key of a text cassette.
        format: ``http``, ``websocket`` or ``text``.
        provider: the provider that was asked; None if it cannot be told.
        model: the model; empty for a provider's default.
        protocol: the protocol that both sides spoke; None if mellite does not know it.
        question: the last words of the user, with a word such as ``[image]`` for what is not text; or the URL if
            nothing else is known.
        request: the request in the form in which it is compared; None for text, and if it is not known.
        status: the HTTP status.
        body: the bytes of the answer, for an answer that no protocol reads.
        end: how the recording ended: ``complete``, ``interrupted`` or ``broken``.
        ending: how a lost connection ended: ``cut`` or ``reset``; None if it was not lost, or that is not known.
        span: when the call began and ended, in microseconds since 1970; None if the cassette does not say.
        lineage: which copy of a thunk asked; None if that is not known.
        answer: the answer; None if mellite does not know its protocol.
    """

    path: str
    name: str
    format: str
    provider: str | None = None
    model: str | None = None
    protocol: str | None = None
    question: str = ""
    request: Snapshot | None = field(default=None, repr=False)
    status: int | None = None
    body: bytes = field(default=b"", repr=lambda body: f"<{len(body)}>")
    end: str = "complete"
    ending: str | None = None
    span: tuple[int, int] | None = None
    lineage: tuple[int, ...] | None = None
    answer: Answer | None = None

    @property
    def refused(self) -> bool:
        """Whether the provider refused the call with an HTTP error: then nothing was used, and nothing is charged."""
        no_usage = self.answer is None or self.answer.usage is None
        return no_usage and self.status is not None and self.status >= 400


def entries_below(paths: Iterable[str], *, answers: bool = True, failed: Failed | None = None) -> Iterator[Entry]:
    """Yield the calls in all cassettes among files and below folders.

    Args:
        paths: files and folders.
        answers: whether to read the answers, too.
        failed: called for a cassette that cannot be read, whose calls are left out; without it, the error is raised.
            JSON, YAML and TOML in folders that is not a cassette is passed over.

    Raises:
        CassetteMiss: if there is no such file or folder.
        InvalidCassette: if a cassette is damaged.
        MissingExtra: for a format whose package is not installed.

    Example:
        >>> [entry.question for entry in entries_below(["mellite/demo_cassettes/chat.json"])]
        ['Name three rivers.']
    """
    for found in find_cassettes(paths, failed=failed):
        try:
            entries = _entries_of(found, answers=answers)
        except (CassetteError, MissingExtra) as error:
            if not is_to_be_told(found):
                continue
            if failed is None:
                raise
            failed(found.path, error)
        else:
            yield from entries


def _entries_of(found: Found, *, answers: bool) -> list[Entry]:
    if found.kind == "http":
        return list(http_entries(_loaded(found), answers=answers))
    entry = text_entry(found.path) if found.kind == "text" else None
    return [] if entry is None else [entry]


def _loaded(found: Found) -> Cassette:
    cassette = load_cassette(found.path)
    return cassette if cassette.path is not None else Cassette(cassette.interactions, path=found.path)


# --- HTTP -----------------------------------------------------------------------------------------


def http_entries(cassette: Cassette, *, answers: bool = True) -> Iterator[Entry]:
    """Yield the calls of an HTTP cassette.

    Raises:
        InvalidCassette: if a body is damaged.
    """
    path = cassette.path or cassette.name
    for number, one in enumerate(cassette.interactions):
        if isinstance(one, WebSocketInteraction):
            yield from _over_socket(path, f"{number}", one, answers=answers)
        else:
            yield _entry(path, f"{number}", one, answers=answers)


def _over_socket(path: str, name: str, socket: WebSocketInteraction, *, answers: bool) -> Iterator[Entry]:
    """Yield the calls over a WebSocket, numbered; or a single entry for all, if mellite cannot tell them apart."""
    calls = calls_of(socket)
    for number, one in enumerate(calls):
        numbered = name if len(calls) == 1 else f"{name}.{number}"
        yield evolve(_entry(path, numbered, one, answers=answers), format="websocket", status=None)
    if not calls:
        known = socket.open or socket.connection
        url = _REDACTION.url((known.url if known is not None else None) or "")
        received = b"\n".join([event.body.data for event in socket.events if event.direction == "server"])
        yield Entry(path=path, name=name, format="websocket", question=url, body=received)


def _entry(path: str, name: str, one: HttpInteraction, *, answers: bool) -> Entry:
    request = one.request
    route, asked = route_and_body(one)
    timeline = Timeline.of(one.extra, path=path)
    thunk = replay_one(one) if answers and route is not None else None
    answer = None if thunk is None else _answer(thunk)
    return Entry(
        path=path,
        name=name,
        format="http",
        provider=None if route is None else route.provider,
        model=None if route is None else route.model,
        protocol=None if route is None else route.protocol.id,
        question=shown_question(asked) or f"{request.method} {_REDACTION.url(request.url)}",
        request=snapshot(
            request.method,
            request.url,
            headers=request.headers,
            body=request.body.characters,
            redaction=_REDACTION,
            also=request.headers,
        ),
        status=one.response.status,
        body=one.response.body.data,
        end="complete" if timeline is None else timeline.end,
        ending=None if timeline is None or timeline.fault is None else timeline.fault.ending,
        span=None if timeline is None else (timeline.started, timeline.started + timeline.ended),
        lineage=None if timeline is None else timeline.lineage,
        answer=answer,
    )


def _answer(thunk: ModelOutputThunk[Any]) -> Answer:
    made, error = thunk.generation, thunk.error
    return Answer(
        text=thunk.partial,
        thinking=thunk.thinking,
        tool_calls=tuple(
            [(call.name, call.raw_arguments if call.arguments is None else call.arguments) for call in thunk.tool_calls]
        ),
        finish_reason=made.finish_reason,
        error=None if error is None else (type(error).__name__, str(error)),
        usage=made.usage,
        cost_usd=made.cost_usd,
        response_model=made.response_model,
    )


# --- text -----------------------------------------------------------------------------------------


def text_entry(path: str) -> Entry | None:
    """Return the call of a text cassette; None if another file of the same key is read instead.

    Raises:
        InvalidCassette: if it is damaged.
    """
    key = int(os.path.basename(path).partition(".")[0])
    cassette = TextDirectory(os.path.dirname(path)).answer(key)
    if cassette is None or os.path.basename(cassette.path) != os.path.basename(path):
        return None
    sidecar = cassette.sidecar
    return Entry(
        path=path,
        name=str(key),
        format="text",
        provider=None if sidecar is None else sidecar.provider,
        model=None if sidecar is None else sidecar.model,
        question="" if sidecar is None else sidecar.prompt,
        answer=_text_answer(cassette),
    )


def _text_answer(cassette: TextCassette) -> Answer:
    sidecar = cassette.sidecar
    if sidecar is None:
        return Answer(text=cassette.text)
    return Answer(
        text=cassette.text,
        tool_calls=tuple(
            [
                (call.name, call.raw_arguments if call.arguments is None else call.arguments)
                for call in sidecar.tool_calls
            ]
        ),
        finish_reason=sidecar.finish_reason or "stop",
        usage=sidecar.usage,
        cost_usd=None
        if sidecar.usage is None
        else _cost(sidecar.usage, sidecar.provider, sidecar.model, sidecar.response_model),
    )


def _cost(usage: Usage, provider: str, *models: str | None) -> Decimal | None:
    from ..values.prices.pricelist import prices

    return prices().cost(usage, provider=provider, models=models)
