#!/usr/bin/env bash
# h2 4.4.1: a GOAWAY ends every stream, also those that the server says it will still answer.
#
# By RFC 9113, section 6.8, a server that shuts down gently sends GOAWAY with the last stream that it takes, and goes on
# to answer the streams up to it. One would pass the frame to h2 and read on. But h2 closes its connection at that frame:
# the rest of an answer on stream 1, after a GOAWAY that names stream 1 as the last and NO_ERROR as the reason, is a
# ProtocolError. Who wants the answers that are under way must take GOAWAY frames out before h2 sees them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q h2==4.4.1 hyperframe==6.1.0
"$folder/venv/bin/python" - <<'PY'
import h2.config
import h2.connection
import h2.exceptions
from hyperframe.frame import GoAwayFrame


def connected():
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client.initiate_connection()
    server.initiate_connection()
    asked = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "example.com")]
    client.send_headers(1, asked, end_stream=True)
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    server.send_headers(1, [(":status", "200")])
    client.receive_data(server.data_to_send())
    server.send_data(1, b"the rest", end_stream=True)
    return client, server.data_to_send()


def seen(client, data):
    try:
        return [type(event).__name__ for event in client.receive_data(data)]
    except h2.exceptions.ProtocolError as error:
        return type(error).__name__


client, rest = connected()
without = seen(client, rest)

client, rest = connected()
farewell = GoAwayFrame(0)
farewell.last_stream_id, farewell.error_code = 1, 0
told = seen(client, farewell.serialize())
after = seen(client, rest)

print("the rest of the answer:", without)
print("GOAWAY, last stream 1, NO_ERROR:", told)
print("the rest of the answer behind it:", after)
assert without == ["DataReceived", "StreamEnded"], without
assert told == ["ConnectionTerminated"], told
assert after == "ProtocolError", after
PY
