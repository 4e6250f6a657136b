"""Answers byte by byte: the same at every cut, whole only where HTTP says so, and never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from mellite.wire.transports.http1.incoming import BrokenRules, CutOff, Incoming

Seen = tuple[int, bytes, bool, bool, str]

WHOLE = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 3\r\n\r\nabc", b"abc", True),
    "nothing": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"abcde",
        True,
    ),
    "extension": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", b"abc", True),
    "trailer": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n", b"abc", True),
    "first 100": (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", True),
    "first 103": (b"HTTP/1.1 103 X\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", True),
    "100, no body": (
        b"HTTP/1.1 100 X\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
        b"a",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b"", True),
    "close": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na", b"a", False),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", b"a", True),
    "up to the end": (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc", False),
}

BROKEN = {
    "no HTTP": (b"220 mail ESMTP\r\n", "it does not begin with a status line"),
    "a greeting": (b"SSH-2.0-OpenSSH\r\n", "it does not begin with a status line"),
    "status": (b"HTTP/1.1 2x0 OK\r\n\r\n", "it does not begin with a status line"),
    "status 0": (b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n", "it does not begin with a status line"),
    "status 99": (b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", "it does not begin with a status line"),
    "a first head with a body": (
        b"HTTP/1.1 110 X\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "one of its first heads says that a body follows",
    ),
    "a first head with chunks": (
        b"HTTP/1.1 110 X\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "one of its first heads says that a body follows",
    ),
    "a name with a space": (b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "its head is malformed"),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na", "its head is malformed"),
    "a negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\na", "its head is malformed"),
    "a length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "its head is malformed",
    ),
    "another coding": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "its body is encoded in a way that was not asked for",
    ),
    "an event in the head": (
        b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ndata: {"a": 1}\r\n\r\ndata: {"b": 2}\r\n\r\n',
        "no empty line is between its head and its first event",
    ),
    "no chunk size": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZ\r\n",
        "its body is not framed as HTTP asks",
    ),
    "chunk too long": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        "its body is not framed as HTTP asks",
    ),
    "bare line feeds": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\na\n0\n\n",
        "its body is not framed as HTTP asks",
    ),
    "a huge chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "its body is not framed as HTTP asks",
    ),
    "another protocol": (
        b"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "it switches to another protocol",
    ),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000 + b"\r\n", "it has too many headers"),
    "a long header": (b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n", "one of its headers is too long"),
    "endless heads": (b"HTTP/1.1 103 X\r\n\r\n" * 200, "it never gets past its first heads"),
}


def read(data: bytes, *cuts: int, end: bool = True) -> Seen:
    """What becomes of bytes that come in pieces."""
    incoming = Incoming("POST")
    body = b""
    for start, stop in zip((0, *cuts), (*cuts, len(data)), strict=True):
        incoming.feed(data[start:stop])
        body += incoming.take()
    reusable = incoming.is_reusable and incoming.is_complete
    if end:
        incoming.end()
    return incoming.status, body, incoming.is_complete, reusable, str(incoming.error or "")


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str) -> None:
    """An answer is whole, its body and whether the connection stays usable are known, at every cut."""
    data, body, reusable = WHOLE[name]
    first = read(data)
    assert first[1:] == (body, True, reusable, "")
    for cut in range(1, len(data)):
        assert read(data, cut) == first
    assert read(data, *range(1, len(data))) == first


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    """What breaks the rules is never whole, and the error says what is wrong, wherever it is cut."""
    data, why = BROKEN[name]
    assert read(data)[2:] == (False, False, why)
    for cut in range(1, min(len(data), 300)):
        assert read(data, cut)[2:] == (False, False, why)


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "up to the end"])
def test_cut_off(name: str) -> None:
    """An answer that ends before it is whole is cut off, at every byte; what came of its body is there."""
    data, body, _ = WHOLE[name]
    for cut in range(len(data)):
        _, got, complete, reusable, why = read(data[:cut])
        assert (complete, reusable, why) == (False, False, "the server closed it")
        assert body.startswith(got)


def test_errors_of_the_network() -> None:
    """An error of the network ends what is not whole, and changes nothing about what is."""
    error = ConnectionResetError(104, "reset")
    half, whole = Incoming("POST"), Incoming("POST")
    half.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    half.end(error)
    whole.feed(WHOLE["a length"][0])
    whole.end(error)
    assert (half.is_complete, half.error, half.take()) == (False, error, b"abc")
    assert (whole.is_complete, whole.error, whole.take(), whole.is_reusable) == (True, None, b"abc", False)


def test_no_body_to_head() -> None:
    """The answer to HEAD has no body, whatever it says, and is the last on its connection."""
    incoming = Incoming("HEAD")
    incoming.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
    assert (incoming.is_complete, incoming.is_reusable, incoming.take()) == (True, False, b"")


@pytest.mark.parametrize("trailer", [b"x: y\r\n", b"x"], ids=["many", "long"])
def test_endless_trailers(trailer: bytes) -> None:
    """Trailers have bounds, too; a body whose pieces come apart from their framing has none."""
    incoming = Incoming("POST")
    incoming.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(200_000):
        incoming.feed(b"1\r\n")
        incoming.feed(b"a\r\n")
    assert len(incoming.take()) == 200_000
    incoming.feed(b"0\r\n")
    fed = 0
    while incoming.error is None and fed < 2**20:
        incoming.feed(trailer * 1000)
        fed += len(trailer) * 1000
    assert str(incoming.error) == "its trailers are too long"
    assert fed < 2**20


ANY_ANSWER = st.sampled_from([data for data, _, _ in WHOLE.values()] + [data for data, _ in BROKEN.values()])


@settings(max_examples=300)
@given(
    data=ANY_ANSWER, changes=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=4), cut=st.data()
)
def test_anything(data: bytes, changes: list[tuple[int, bytes]], cut: st.DataObject) -> None:
    """Damaged answers never raise, end in one of three ways, and do so wherever they are cut."""
    for at, new in changes:
        data = data[: at % (len(data) + 1)] + new + data[at % (len(data) + 1) + len(new) :]
    one = read(data)
    assert one == read(data, cut.draw(st.integers(0, max(0, len(data) - 1))))
    incoming = Incoming("POST")
    incoming.feed(data)
    incoming.end()
    assert incoming.is_complete is (incoming.error is None)
    assert incoming.error is None or isinstance(incoming.error, (BrokenRules, CutOff))
