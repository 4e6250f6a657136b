"""Every transport fault of the chaos server ends in time, typed or whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from mellite.errors import ConnectionLost, InvalidProviderOutput
from mellite.wire.transports.default import Transport
from tests.wire.chaos import chaos_server
from tests.wire.transports.support import Make, leaks_nothing, post, read_all

OK = None
BODY = 7796
"""Bytes of the chaos server's answer."""

# Fault and its number -> how it may end, and the least bytes that must have come by then.
FAULTS: dict[tuple[str, int], tuple[set[type[Exception] | None], int]] = {
    ("ok", 0): ({OK}, BODY),
    ("split", 7): ({OK}, BODY),
    ("split_tcp", 5): ({OK}, BODY),
    ("split_at", 1000): ({OK}, BODY),
    ("slow_headers", 1): ({OK}, BODY),
    ("trickle", 0): ({OK}, BODY),
    ("http10", 0): ({OK}, BODY),
    ("cont100", 3): ({OK}, BODY),
    ("latin1", 0): ({OK}, BODY),
    ("redirect", 0): ({OK}, 0),
    ("redirect_cross", 0): ({OK}, 0),
    ("redirect_loop", 0): ({OK}, 0),
    ("empty", 0): ({OK}, 0),
    ("status503", 0): ({OK}, 50),
    ("end_early_clean", 900): ({OK}, 900),
    ("fin_close", 900): ({OK}, 900),
    ("close_now", 0): ({ConnectionLost}, 0),
    ("rst_now", 0): ({ConnectionLost}, 0),
    ("garbage", 0): ({InvalidProviderOutput}, 0),
    ("stall_headers", 0): ({TimeoutError}, 0),
    ("stall", 0): ({TimeoutError}, 0),
    ("stall", 900): ({TimeoutError}, 900),
    ("rst", 900): ({ConnectionLost}, 900),
    ("rst_midchunk", 900): ({ConnectionLost}, 900),
    ("fin_chunked", 900): ({ConnectionLost}, 900),
    ("cl_long", 100): ({ConnectionLost}, BODY),
    ("cl_short", 100): ({OK, InvalidProviderOutput}, 0),
    ("cl_bad", 0): ({InvalidProviderOutput}, 0),
    ("cl_and_te", 0): ({OK, InvalidProviderOutput}, 0),
    ("bad_chunk", 200): ({ConnectionLost, InvalidProviderOutput}, 0),
    ("neg_chunk", 0): ({ConnectionLost, InvalidProviderOutput}, 0),
    ("huge_chunk", 0): ({ConnectionLost}, BODY),
    ("chunk_nocrlf", 0): ({ConnectionLost, InvalidProviderOutput}, 0),
    ("many_headers", 5000): ({OK, InvalidProviderOutput}, 0),
    ("big_header", 300_000): ({InvalidProviderOutput}, 0),
    ("inf_line", 8): ({ConnectionLost}, 8 * 2**20),
}


@pytest.fixture(scope="module")
def chaos(corpora: Path) -> Iterator[str]:
    """The URL of the chaos server, in a process of its own."""
    with chaos_server(corpora) as url:
        yield url


PATIENCE = 20.0
"""Seconds of a test: only a machine that is stuck takes so long."""


async def run(transport: Transport, url: str, got: list[bytes], patience: float) -> None:
    """One request, with so many seconds to wait for anything."""
    await read_all(await transport.open(post(url), timeout=patience), got, timeout=patience)


@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "number"), FAULTS)
async def test_fault(chaos: str, make: Make, fault: str, number: int) -> None:
    """A fault ends as the table says; a server that stalls for 30 s is waited for half a second."""
    ends, least = FAULTS[fault, number]
    patience = 0.5 if fault.startswith("stall") else PATIENCE
    got: list[bytes] = []
    worked, end = time.process_time(), OK
    with anyio.fail_after(PATIENCE):
        async with aclosing(make()) as transport:
            try:
                await run(transport, f"{chaos}/{fault}/{number}/v1/chat", got, patience)
            except (ConnectionLost, InvalidProviderOutput, TimeoutError) as error:
                end = type(error)
                leaks_nothing(error)
    assert end in ends
    assert len(b"".join(got)) >= least
    assert time.process_time() - worked < 2
