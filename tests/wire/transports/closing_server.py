"""A program that answers one request after the other over TLS with much, closes behind each answer, and says so.

    python closing_server.py CERTIFICATE_AND_KEY [h2]

Writes its port to standard output, and a line for each answer that it has sent whole and closed. The path of a request
says how long the answer is and how it is framed: ``/800000/close``, ``length`` or ``chunked``; ``?goodbye`` has TLS
ended in good order, too.
"""

from __future__ import annotations

import socket
import ssl
import sys


def body_of(size: int) -> bytes:
    """Return the body of an answer."""
    return (bytes(range(250)) * (size // 250 + 1))[:size]


def main() -> None:
    """Serve until the process is ended."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
    tls.set_alpn_protocols(sys.argv[2:])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _say(str(listener.getsockname()[1]))
        while True:
            with tls.wrap_socket(listener.accept()[0], server_side=True) as connection:
                answer = _answer_in_http2 if connection.selected_alpn_protocol() == "h2" else _answer
                answer(connection)
                connection.shutdown(socket.SHUT_WR)
                _say("closed")
                while connection.recv(65_536):  # closed with something unread, it would be reset
                    pass


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _answer(connection: ssl.SSLSocket) -> None:
    asked = b""
    while not asked.endswith(b"\r\n\r\n{}"):
        asked += connection.recv(65_536)
    path, _, goodbye = asked.split(b" ")[1].decode().partition("?")
    _, size, framing = path.split("/")
    body = body_of(int(size))
    head = b"connection: close"
    if framing == "length":
        head = b"content-length: %d" % len(body)
    elif framing == "chunked":
        head, body = b"transfer-encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
    if goodbye:
        connection.setblocking(False)
        try:
            connection.unwrap()
        except ssl.SSLWantReadError:
            connection.setblocking(True)


def _answer_in_http2(connection: ssl.SSLSocket) -> None:
    import h2.config
    import h2.connection
    import h2.events

    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    state.initiate_connection()
    connection.sendall(state.data_to_send())
    number, rest = None, b""
    while rest or number is None:
        for event in state.receive_data(connection.recv(65_536)):
            if isinstance(event, h2.events.RequestReceived):
                number, path = event.stream_id, dict(event.headers)[b":path"].decode()
                rest = body_of(int(path.split("/")[1]))
                state.send_headers(number, [(b":status", b"200")])
        while number and rest and (room := min(state.local_flow_control_window(number), 16_384)):
            state.send_data(number, rest[:room], end_stream=len(rest) <= room)
            rest = rest[room:]
        connection.sendall(state.data_to_send())


if __name__ == "__main__":
    main()
