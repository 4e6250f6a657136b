"""Everything that goes wrong is an error of mellite's own, without secrets."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from mellite.errors import ConnectError, ConnectionLost, InvalidProviderOutput, MelliteError
from mellite.wire.transports.default import Transport
from tests.wire.server import CLOSE, RESET, Script, Server, Step, answer, gate, head, piece, send
from tests.wire.transports.support import KEY, LOOPS, Make, fetch, leaks_nothing, post, read_all

BROKEN: dict[str, tuple[list[Step], set[type[MelliteError]], bytes]] = {
    "closed-before-status": ([CLOSE], {ConnectionLost}, b""),
    "reset-before-status": ([RESET], {ConnectionLost}, b""),
    "garbage": ([send(b"\0\1 not http\r\n\r\n"), CLOSE], {InvalidProviderOutput}, b""),
    "other-protocol": (
        [send(b"SSH-2.0-OpenSSH_9.6\r\n"), CLOSE],
        {InvalidProviderOutput, ConnectionLost},
        b"",
    ),
    "closed-in-headers": ([send(b"HTTP/1.1 200 OK\r\nx: "), CLOSE], {ConnectionLost}, b""),
    "bad-length": (
        [send(b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n"), gate("never")],
        {InvalidProviderOutput},
        b"",
    ),
    "endless-header": ([send(b"HTTP/1.1 200 OK\r\nx: " + b"A" * 300_000 + b"\r\n\r\n")], {InvalidProviderOutput}, b""),
    "closed-between-chunks": ([head(), piece(b"one"), gate("go"), CLOSE], {ConnectionLost}, b"one"),
    "closed-inside-chunk": ([head(), send(b"5\r\non"), gate("go"), CLOSE], {ConnectionLost}, b"on"),
    "reset-between-chunks": ([head(), piece(b"one"), gate("go"), RESET], {ConnectionLost}, b"one"),
    "reset-inside-chunk": ([head(), send(b"5\r\non"), gate("go"), RESET], {ConnectionLost}, b"on"),
    "too-short": ([head(body=9), send(b"one"), gate("go"), CLOSE], {ConnectionLost}, b"one"),
    "bad-chunk": ([head(), piece(b"one"), gate("go"), send(b"ZZ\r\nxx\r\n"), gate("never")], {ConnectionLost}, b"one"),
    "negative-chunk": (
        [head(), piece(b"one"), gate("go"), send(b"-1\r\nxx\r\n"), gate("never")],
        {ConnectionLost},
        b"one",
    ),
    "no-line-end": ([head(), piece(b"one"), gate("go"), send(b"3\r\ntwoXX"), gate("never")], {ConnectionLost}, b"one"),
}


#: What HTTP clients call it among themselves: classes, statuses that no server sent, their messages.
INNER = re.compile(r"\b400\b|TransferEncoding|Payload|message=|Error\b|bytearray|\bb'|peer closed|illegal|Bad status")

#: How the connection ended, where the server ended it; where it broke the rules of HTTP, nobody did.
ENDINGS = {
    **dict.fromkeys(("closed-before-status", "closed-in-headers"), "cut"),
    **dict.fromkeys(("closed-between-chunks", "closed-inside-chunk", "too-short"), "cut"),
    **dict.fromkeys(("reset-before-status", "reset-between-chunks", "reset-inside-chunk"), "reset"),
    **dict.fromkeys(("bad-chunk", "negative-chunk", "no-line-end"), None),
}

#: A name too long to be looked up, so that nobody is asked for it: the system says that there is no such host.
UNKNOWN_HOST = """
from contextlib import aclosing
from mellite.errors import ConnectError
from tests.wire.transports.support import LOOPS, leaks_nothing, post

async def ask(make):
    async with aclosing(make()) as transport:
        try:
            await transport.open(post("http://" + ".".join(["a" * 60] * 5) + "/v1"), timeout=5)
        except ConnectError as error:
            leaks_nothing(error)
            print(error.retryable, "the host was not found" in str(error))

for loop in LOOPS.values():
    loop.run(ask(loop.make))
"""


async def read_on(transport: Transport, script: Script, before: int, got: list[bytes]) -> None:
    """Read so many bytes, open the gate and read the rest."""
    response = await transport.open(post(script), timeout=5)
    while len(b"".join(got)) < before:
        got.append(await response.read(5))
    script.release("go")
    await read_all(response, got)


class TestErrors:
    """Everything that goes wrong is an error of mellite's own, without secrets."""

    @pytest.mark.anyio
    @pytest.mark.parametrize("name", BROKEN)
    async def test_broken_answers(self, server: Server, make: Make, name: str) -> None:
        """A connection that breaks, or bytes that are not HTTP, are typed; what came before has been handed on."""
        steps, kinds, before = BROKEN[name]
        script = server.script(*steps)
        got: list[bytes] = []
        async with aclosing(make()) as transport:
            with pytest.raises(MelliteError) as caught:
                await read_on(transport, script, len(before), got)
        assert type(caught.value) in kinds
        assert not INNER.search(str(caught.value))
        if isinstance(caught.value, ConnectionLost) and name in ENDINGS:
            assert caught.value.ending == ENDINGS[name]
        assert b"".join(got) in (before, before + b"two")
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize("size", [3, 1_000_000])
    async def test_nothing_received_is_lost(self, server: Server, make: Make, size: int) -> None:
        """A reader that is late gets all that came before the connection broke, and then the error."""
        script = server.script(head(), piece(b"x" * size), send(b"7fffffff\r\n"), CLOSE)
        got: list[bytes] = []
        async with aclosing(make()) as transport:
            response = await transport.open(post(script), timeout=5)
            await anyio.sleep(0.1)
            with pytest.raises(ConnectionLost):
                await read_all(response, got)
        assert b"".join(got) == b"x" * size

    @pytest.mark.anyio
    @pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n\r\nbody", b"HTTP/1.0 200 OK\r\n\r\nbody"])
    async def test_body_up_to_the_close(self, server: Server, make: Make, raw: bytes) -> None:
        """A body without a length ends where the connection is closed."""
        script = server.script(send(raw), CLOSE)
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"body"

    @pytest.mark.anyio
    async def test_informational_answers(self, server: Server, make: Make) -> None:
        """Answers of the 100 class are skipped."""
        script = server.script(send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: x\r\n\r\n"), answer(b"real"))
        async with aclosing(make()) as transport:
            assert await fetch(transport, script) == b"real"

    @pytest.mark.anyio
    async def test_refused(self, make: Make) -> None:
        """A port that nobody listens on is a ConnectError that says so and may be tried again."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with aclosing(make()) as transport:
            with pytest.raises(ConnectError, match="Connection refused") as caught:
                await transport.open(post(f"http://127.0.0.1:{port}/v1?key={KEY}"), timeout=5)
        assert caught.value.retryable
        leaks_nothing(caught.value)

    def test_unknown_host(self) -> None:
        """A host that has no address is a ConnectError as well, over every transport."""
        # In a process of its own, as here no test may look up any other host.
        command = [sys.executable, "-W", "error", "-c", UNKNOWN_HOST]
        said = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
        assert said.stderr == ""
        assert said.stdout.splitlines() == ["True True"] * len(LOOPS)

    @pytest.mark.anyio
    async def test_tls_with_a_server_that_has_none(self, server: Server, make: Make) -> None:
        """Speaking TLS to a server that answers something else is an error of the connection."""
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)

            async def greet(stream: anyio.abc.SocketStream) -> None:
                async with stream:
                    await stream.send(b"220 mail.example ESMTP\r\n")

            async with aclosing(make()) as transport, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, greet)
                with pytest.raises((ConnectError, ConnectionLost)) as caught:
                    await transport.open(post(f"https://127.0.0.1:{port}/v1?key={KEY}"), timeout=5)
                tasks.cancel_scope.cancel()
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    async def test_logs_hold_no_key(self, server: Server, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """Not even at DEBUG does any logger get the key, which is in a header and in the URL."""
        script = server.script(answer(b"x"))
        broken = server.script(head(), CLOSE)
        with caplog.at_level(logging.DEBUG):
            async with aclosing(make()) as transport:
                await fetch(transport, script)
                with pytest.raises(ConnectionLost):
                    await fetch(transport, broken)
        assert KEY not in caplog.text
