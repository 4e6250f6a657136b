"""Every fault of the chaos server ends over a kept connection as it does over a new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mellite import HttpOptions
from mellite.backends import LiveBackend
from mellite.errors import MelliteError
from mellite.providers.catalog import find
from mellite.request import Timeouts
from mellite.wire.transports.http1 import Http1Transport
from tests.every_loop import run_on
from tests.wire.answers import KEY
from tests.wire.chaos import chaos_server
from tests.wire.test_loops_agree import ALL
from tests.wire.test_reliability import FAULTS, clocks

UNEVEN = {"conn_flaky"}
"""Faults of a connection, not of an answer: over a kept one, the server's first is the second."""


@pytest.fixture(scope="module")
def chaos(corpora: Path) -> Iterator[str]:
    """The URL of the chaos server, in a process of its own."""
    with chaos_server(corpora) as url:
        yield url


def asking(chaos: str, fault: str, number: int, transport: Http1Transport, **options: Any) -> LiveBackend:
    route = find("openai-chat:m-1", api_key=KEY, base_url=f"{chaos}/{fault}/{number}/v1")
    return LiveBackend(route, transport=transport, **options)


async def seen(chaos: str, fault: str, number: int, *, stream: bool, warm: bool, timeouts: Timeouts, who: str) -> Any:
    """Ask once, over a new connection or one that was used before; return all that is known of how it ended."""
    transport = Http1Transport(max_connections=1)
    if warm:
        await asking(chaos, "ok", 0, transport).generate("hi", stream=stream)
    http = HttpOptions(headers={"x-chaos-id": f"{who}{fault}{number}{warm}{stream}"})
    thunk = asking(chaos, fault, number, transport, timeouts=timeouts).generate("hi", stream=stream, http=http)
    with suppress(MelliteError):
        await thunk
    after = await asking(chaos, "ok", 0, transport).generate("hi", stream=stream)
    await transport.aclose()
    error = thunk.error
    names = (
        "status",
        "partial",
        "retryable",
        "ending",
        "usage",
        "retry_after",
        "provider",
        "model",
        "provider_message",
    )
    facts = [getattr(error, name, None) for name in [*names, "provider_message"]]
    generation = thunk.generation
    known = [generation.request_id, generation.response_model, generation.finish_reason, generation.protocol]
    return thunk.state, type(error), str(error), facts, thunk.partial, thunk.usage, thunk.raw, known, after


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("fault", "number"), [each for each in ALL if each[0] not in UNEVEN])
def test_a_fault_ends_as_over_a_new_connection(chaos: str, fault: str, number: int, stream: bool) -> None:
    """The same error with all that it knows, the same text, and a connection for the next call that is good."""
    timeouts = clocks(FAULTS.get((fault, number), FAULTS.get((fault, 900), ((), 0)))[0])
    for name in ("asyncio", "uvloop"):
        cold, warm = [
            run_on(name, partial(seen, chaos, fault, number, stream=stream, warm=way, timeouts=timeouts, who=name))
            for way in (False, True)
        ]
        assert warm == cold
