"""A small real WebSocket server in a thread, which says what a test lets it say.

with talking([FIRST, SECOND]) as server:      # one list of answers for each connection, in order
...                                        # server.url, server.heard, server.headers
"""

from __future__ import annotations

import contextlib
import http
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

Answer = Sequence[Any]
"""The messages that answer one: JSON values, str or bytes as they are, or a function of the connection."""


def hang_up(connection: ServerConnection) -> None:
    """Close the TCP connection without a word."""
    connection.socket.shutdown(2)


def close(code: int = 1000, reason: str = "") -> Callable[[ServerConnection], None]:
    """Close the WebSocket with this code."""
    return lambda connection: connection.close(code, reason)


class Server:
    """What a server heard.

    Attributes:
        url: its base URL, as HTTP knows it.
        heard: for each connection, the messages that came, decoded.
        headers: for each connection, the headers of its handshake.
        codes: the codes with which connections were closed, in the order in which they were.
    """

    def __init__(self, script: Sequence[Sequence[Answer]]) -> None:
        self.url = ""
        self.heard: list[list[Any]] = []
        self.headers: list[dict[str, str]] = []
        self.codes: list[int | None] = []
        self.gone = threading.Semaphore(0)
        self._script = script

    def talk(self, connection: ServerConnection) -> None:
        """Answer each message of one connection with what the script says, then wait for its end."""
        number = len(self.heard)
        heard: list[Any] = []
        self.heard.append(heard)
        assert connection.request is not None
        self.headers.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        answers = list(self._script[number]) if number < len(self._script) else []
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                heard.append(json.loads(message))
                for said in answers.pop(0) if answers else ():
                    self._say(connection, said)
        self.codes.append(connection.close_code)
        self.gone.release()

    def _say(self, connection: ServerConnection, said: Any) -> None:
        if callable(said):
            said(connection)
        elif isinstance(said, (str, bytes)):
            connection.send(said)
        else:
            connection.send(json.dumps(said))


@contextlib.contextmanager
def talking(
    script: Sequence[Sequence[Answer]] = (), *, refuse: int | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """A server that answers by a script: connections, turns, messages.

    Args:
        refuse: an HTTP status to answer every handshake with.
        tls: the settings of a server that is spoken to in TLS.
    """
    told = Server(script)

    def refusal(connection: ServerConnection, request: Request) -> Response | None:
        told.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        return connection.respond(http.HTTPStatus(refuse), '{"error": {"message": "Not you."}}') if refuse else None

    hook = refusal if refuse is not None else None
    with serve(told.talk, "127.0.0.1", 0, process_request=hook, compression=None, ssl=tls) as server:
        host, port = server.socket.getsockname()[:2]
        told.url = f"http{'s' if tls else ''}://{host}:{port}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
