#!/usr/bin/env bash
# httptools 0.9.0 (llhttp): whether a connection may be used again has to be asked inside on_message_complete.
#
# Where one would ask: after feed_data() has returned and on_message_complete was called. There should_keep_alive() says
# False for an ordinary answer with a content-length on HTTP/1.1, and True for a 204: a client that asks there never
# keeps a connection, or only some. Inside the callback it says True for both. get_status_code() is likewise that of
# whatever was parsed last: one byte pair of a next answer, in the same call, and it is 5.
# An answer whose body goes on to the end of the connection never completes: there is no call for the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q httptools==0.9.0
"$folder/venv/bin/python" - <<'PY'
import httptools


class Answer:
    def __init__(self):
        self.parser = httptools.HttpResponseParser(self)
        self.inside = None

    def on_message_complete(self):
        if self.inside is None:
            self.inside = (self.parser.get_status_code(), self.parser.should_keep_alive())


def seen(*pieces):
    answer = Answer()
    for piece in pieces:
        answer.parser.feed_data(piece)
    return answer.inside, (answer.parser.get_status_code(), answer.parser.should_keep_alive())


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
for name, pieces, expected in [
    ("a length", [WHOLE], ((200, True), (200, False))),
    ("no content", [b"HTTP/1.1 204 No Content\r\n\r\n"], ((204, True), (204, True))),
    ("chunks", [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], ((200, True), (200, False))),
    ("the next one begins", [WHOLE, b"HTTP/1.1 5"], ((200, True), (5, False))),
    ("up to the end of the connection", [b"HTTP/1.1 200 OK\r\n\r\nok"], (None, (200, False))),
]:
    got = seen(*pieces)
    print(f"{name:32} inside the callback: {got[0]}, after feed_data: {got[1]}")
    assert got == expected, (name, got)
calls = [name for name in dir(httptools.HttpResponseParser) if not name.startswith("_")]
print("its methods:", ", ".join(calls))
assert calls == ["feed_data", "get_http_version", "get_status_code", "set_dangerous_leniencies", "should_keep_alive", "should_upgrade"]
PY
