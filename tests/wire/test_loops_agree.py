"""Every fault ends alike on asyncio, uvloop and trio: the same error and words, as worth a retry, with as much text."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import mellite
from mellite import HttpOptions
from mellite.errors import ConnectError, MelliteError
from mellite.request import Timeouts
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import LOOPS, run_on
from tests.wire.answers import KEY
from tests.wire.chaos import chaos_server
from tests.wire.test_reliability import FAULTS, PATIENCE, clocks

FAR_APART = [
    (fault, number)
    for fault in ("rst", "rst_midchunk", "fin_chunked", "fin_close", "end_early_clean", "bad_chunk", "cl_long")
    for number in (1, 200, 5000)
]
MORE = [
    *((f"status{status}", 0) for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 504, 529)),
    *(("retry_after_bad", number) for number in range(10)),
    ("retry_after", 1),
    ("retry_after_ms", 1),
    ("conn_flaky", 1),
    ("flaky503", 1),
    ("json_instead", 0),
    ("ok_json", 0),
    ("split_at", 1000),
    ("split_tcp", 5),
    ("cl_bad", 1),
]
ALL = [*FAULTS, *FAR_APART, *MORE]


MEET_THE_CLOSE = {"conn_flaky"}
"""Faults that a second try gets past, which is made where a kept connection is closed on a request."""


class Seen(NamedTuple):
    """What a caller sees of a call."""

    kind: str
    retryable: bool | None
    message: str
    status: int | None
    text: str
    ending: object
    retry_after: object


async def seen(url: str, stream: bool, timeouts: Timeouts, client: str = "", *, kept: str | None = None) -> Seen:
    """Ask once; return all that is known of how it ended.

    Args:
        client: for whom the server counts the faults that it has done.
        kept: a URL of the same server to ask before, so that the connection is one that was kept.
    """
    http = HttpOptions(headers={"x-chaos-id": client})
    async with aclosing(Http1Transport()) as transport:
        if kept is not None:
            before = mellite.backend("openai-chat:m-1", api_key=KEY, base_url=kept, transport=transport, retries=0)
            assert await before.generate("hi", stream=False) == "ok"
        backend = mellite.backend(
            "openai-chat:m-1", api_key=KEY, base_url=url, timeouts=timeouts, transport=transport, retries=0
        )
        thunk = backend.generate("hi", stream=stream, http=http)
        with suppress(MelliteError):
            await thunk
    error = thunk.error
    if error is None:
        return Seen("", None, "", None, str(thunk.value), thunk.finish_reason, None)
    assert isinstance(error, MelliteError)
    facts = error.status, error.partial or "", getattr(error, "ending", None), getattr(error, "retry_after", None)
    return Seen(type(error).__name__, error.retryable, str(error), *facts)


@pytest.fixture(scope="module")
def chaos(corpora: Path) -> Iterator[str]:
    """The URL of the chaos server, in a process of its own."""
    with chaos_server(corpora) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("fault", "number"), ALL)
def test_alike_on_every_loop(chaos: str, fault: str, number: int, stream: bool) -> None:
    """A fault ends with the same error, of the same words and worth, on every loop, over new and kept connections."""
    timeouts = clocks(FAULTS.get((fault, number), FAULTS.get((fault, 900), ((), 0)))[0])
    url, kept = f"{chaos}/{fault}/{number}/v1", f"{chaos}/ok_json/0/v1"
    client = f"{fault}{number}{stream}"
    found = {name: run_on(name, seen, url, stream, timeouts, f"{client} {name}") for name in LOOPS}
    if fault not in MEET_THE_CLOSE:  # on trio, a kept connection is read as a new one is
        found["asyncio, kept"] = asyncio.run(seen(url, stream, timeouts, f"{client} kept", kept=kept))
    assert found == dict.fromkeys(found, found["asyncio"])


def test_a_port_that_is_not_there() -> None:
    """A server that does not run is told in one way; test_errors.py has the host that is not known."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        url, timeouts = f"http://127.0.0.1:{taken.getsockname()[1]}/v1", Timeouts(first_byte=PATIENCE)
        found = {name: run_on(name, seen, url, True, timeouts) for name in LOOPS}
    assert found == dict.fromkeys(LOOPS, found["asyncio"])
    assert (found["asyncio"].kind, found["asyncio"].retryable) == (ConnectError.__name__, True)
