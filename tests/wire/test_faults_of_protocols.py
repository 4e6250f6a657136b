"""What a caller sees of the faults of the chaos server over every protocol, whose answers differ in where they end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from mellite.backends import LiveBackend
from mellite.errors import (
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    PayloadTooLarge,
    ProviderInternal,
    RateLimited,
    UnknownProviderError,
)
from mellite.providers.catalog import find
from mellite.request import Timeouts
from tests.providers.answers import AMAZON, ANSWERS, Spoken
from tests.wire.answers import KEY, shown
from tests.wire.chaos import chaos_server
from tests.wire.test_reliability import PATIENCE, SOON

SPECS = {
    "anthropic-messages": "anthropic:m-1",
    "bedrock-converse": "bedrock:m-1",
    "cohere-chat": "cohere:m-1",
    "gemini": "google:m-1",
    "openai-chat": "openai-chat:m-1",
    "openai-responses": "openai:m-1",
}
WHOLE = "Hello!"
HALF = "Hel"

#: Faults that do no harm.
HARMLESS = [
    ("ok", 0), ("split", 1), ("split_tcp", 5), ("trickle", 0), ("slow_headers", 1), ("http10", 0), ("cont100", 3),
    ("gzip", 0), ("latin1", 0), ("cl_long", 100), ("huge_chunk", 0), ("json_instead", 0),
]  # fmt: skip
#: Faults behind the first half of the text, which is kept.
HALF_WAY: dict[str, type[MelliteError]] = {
    "rst": ConnectionLost,
    "rst_midchunk": ConnectionLost,
    "fin_chunked": ConnectionLost,
    "fin_close": IncompleteStream,
    "end_early_clean": IncompleteStream,
    "stall": IdleTimeout,
}
#: Faults that leave nothing.
NOTHING: dict[tuple[str, int], type[MelliteError]] = {
    ("close_now", 0): ConnectionLost,
    ("rst_now", 0): ConnectionLost,
    ("garbage", 0): InvalidProviderOutput,
    ("stall_headers", 0): FirstByteTimeout,
    ("cl_bad", 0): InvalidProviderOutput,
    ("big_header", 300_000): InvalidProviderOutput,
    ("gzip_bad", 0): InvalidProviderOutput,
    ("gzip_lie", 0): InvalidProviderOutput,
    ("html", 0): InvalidProviderOutput,
    ("empty", 0): IncompleteStream,
    ("deep_json", 0): InvalidProviderOutput,
    ("big_int", 0): InvalidProviderOutput,
    ("redirect", 0): UnknownProviderError,
    ("redirect_cross", 0): UnknownProviderError,
    ("status413", 0): PayloadTooLarge,
    ("status429", 0): RateLimited,
    ("status503", 0): ProviderInternal,
    ("status529", 0): ProviderInternal,
}
#: Faults of server-sent events. In the middle of an answer, text may have come or not.
EVENTS: dict[str, type[MelliteError] | None] = {
    "bom": None,
    "cr": None,
    "crlf": None,
    "done_only": IncompleteStream,
    "sse_error": ProviderInternal,
    "sse_error_data": ProviderInternal,
    "bad_json": InvalidProviderOutput,
}


class Seen(NamedTuple):
    """How a call ended, and with which text."""

    kind: type[BaseException] | None
    text: str | None


@pytest.fixture(scope="module", params=SPECS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Each protocol."""
    return str(request.param)


@pytest.fixture(scope="module")
def chaos(corpora: Path, protocol: str) -> Iterator[str]:
    """The URL of a chaos server that answers over the protocol."""
    spoken = ANSWERS[protocol]
    with chaos_server(corpora, answer=(b"".join(spoken.pieces), spoken.whole, spoken.content_type)) as url:
        yield url


def half_of(spoken: Spoken) -> int:
    """How many bytes an answer has up to the first half of its text."""
    first = next(number for number, piece in enumerate(spoken.pieces) if b'"Hel"' in piece)
    return len(b"".join(spoken.pieces[: first + 1]))


async def ask(chaos: str, protocol: str, fault: str, number: int) -> Seen:
    """Ask a server with one fault; check what every error says."""
    waits = Timeouts(
        first_byte=SOON if fault == "stall_headers" else PATIENCE, idle=SOON if fault == "stall" else PATIENCE
    )
    route = find(SPECS[protocol], api_key=KEY, base_url=f"{chaos}/{fault}/{number}/v1")
    async with LiveBackend(route, timeouts=waits) as backend:
        thunk = await backend.generate("hi").settle()
    error = thunk.error
    if error is None:
        return Seen(None, thunk.value)
    assert isinstance(error, MelliteError)
    assert (error.provider, error.model) == (route.provider, "m-1")
    assert KEY not in shown(error)
    assert error.partial == thunk.partial
    return Seen(type(error), error.partial)


async def ask_all(chaos: str, protocol: str, faults: list[tuple[str, int]]) -> dict[tuple[str, int], Seen]:
    """Ask a server with each of these faults, all at once."""
    found: dict[tuple[str, int], Seen] = {}

    async def note(fault: str, number: int) -> None:
        found[fault, number] = await ask(chaos, protocol, fault, number)

    with anyio.fail_after(2 * PATIENCE):
        async with anyio.create_task_group() as group:
            for fault, number in faults:
                group.start_soon(note, fault, number)
    return {fault: found[fault] for fault in faults}


@pytest.mark.anyio
async def test_a_fault_over_every_protocol(chaos: str, protocol: str) -> None:
    """A fault of the connection ends alike whoever speaks: the whole answer, or an error with the text so far."""
    half = half_of(ANSWERS[protocol])
    expected = {fault: Seen(None, WHOLE) for fault in HARMLESS}
    expected |= {(fault, half): Seen(kind, HALF) for fault, kind in HALF_WAY.items()}
    expected |= {fault: Seen(kind, "") for fault, kind in NOTHING.items()}
    assert await ask_all(chaos, protocol, list(expected)) == expected


@pytest.mark.anyio
async def test_faults_of_server_sent_events(chaos: str, protocol: str) -> None:
    """Odd line ends do no harm, and errors among the events are told; in an event stream of AWS they are damage."""
    found = await ask_all(chaos, protocol, [(fault, 0) for fault in EVENTS])
    binary = ANSWERS[protocol].content_type == AMAZON
    for fault, kind in EVENTS.items():
        seen = found[fault, 0]
        is_harmless = kind is None and not (binary and fault == "bom")
        assert seen.kind is (None if is_harmless else InvalidProviderOutput if binary else kind), fault
        assert WHOLE.startswith(seen.text or "")
        assert seen.kind is not None or seen.text == WHOLE


@pytest.mark.anyio
async def test_every_piece_may_be_the_last(chaos: str, protocol: str) -> None:
    """Cut behind each of its events, an answer is whole once its end has come, and an error before, with its text."""
    pieces = ANSWERS[protocol].pieces
    ends = [len(b"".join(pieces[: count + 1])) for count in range(len(pieces))]
    found = await ask_all(chaos, protocol, [("end_early_clean", end) for end in ends])
    kinds = [found["end_early_clean", end].kind for end in ends]
    assert kinds[-1] is None
    first = kinds.index(None)
    assert set(kinds[:first]) == {IncompleteStream}
    assert set(kinds[first:]) == {None}
    for count, end in enumerate(ends):
        said = b"".join(pieces[: count + 1])
        text = WHOLE if b'"lo!"' in said else HALF if b'"Hel"' in said else ""
        assert found["end_early_clean", end].text == text
