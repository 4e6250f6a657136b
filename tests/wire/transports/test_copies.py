"""Copies and pickles of transports, and of backends that were given one, while connections are open."""

from __future__ import annotations

import copy
import pickle
from contextlib import aclosing
from typing import Any

import pytest

from mellite.backends import LiveBackend
from mellite.providers.catalog import find
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.answers import DONE, KEY, chunk
from tests.wire.server import LAST, Server, head, piece
from tests.wire.transports.http1.test_tls import client_tls
from tests.wire.transports.support import Make, fetch

OK = (head(200), piece(b"ok"), LAST)
SSE = {"content-type": "text/event-stream"}
ANSWER = (head(200, SSE), piece(chunk("Hello.", finish="stop") + DONE), LAST)


def through_pickle(value: Any) -> Any:
    """What a pickle of a value holds."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.anyio
@pytest.mark.parametrize("again", [through_pickle, copy.copy, copy.deepcopy])
async def test_an_open_transport(make: Make, server: Server, again: Any) -> None:
    """Of a transport whose connections are open there are copies, which make their own; those stay open."""
    script = server.script(*OK)
    async with aclosing(make()) as transport:
        assert await fetch(transport, script) == b"ok"
        async with aclosing(again(transport)) as other:
            assert await fetch(other, script) == b"ok"
            assert await fetch(transport, script) == b"ok"
        assert await fetch(transport, script) == b"ok"


@pytest.mark.anyio
@pytest.mark.parametrize("again", [through_pickle, copy.deepcopy])
async def test_a_backend_with_an_open_transport(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch, again: Any
) -> None:
    """So there are of a backend that was given the transport, and of its thunks; the key is not in a pickle."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    script = server.script(*ANSWER)
    async with aclosing(make()) as transport:
        backend = LiveBackend(find("openai-chat:m", base_url=f"{script.url}/v1"), transport=transport)
        thunk = backend.generate("hi")
        assert KEY.encode() not in pickle.dumps(thunk)
        assert await thunk == "Hello."
        assert await again(backend).generate("hi") == await again(backend.generate("hi")) == "Hello."


def test_whole_tls_settings() -> None:
    """There is no pickle of settings that are only in memory: the error says what to give instead."""
    with pytest.raises(TypeError, match="give the transport files, ca= and cert=, instead"):
        pickle.dumps(Http1Transport(ssl_context=client_tls()))
