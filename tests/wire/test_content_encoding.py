"""Compressed bodies: decoded whole or refused, in pieces of bounded size."""

from __future__ import annotations

import gzip
import itertools
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd
from hypothesis import given, strategies as st

from mellite.errors import InvalidProviderOutput, OutputTooLarge
from mellite.wire.content_encoding import BodyDecoder

TEXT = random.Random(7).randbytes(300) * 50


def raw_deflate(data: bytes) -> bytes:
    """The deflate format without a container, as some servers send it."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODED: dict[str, tuple[str | None, Callable[[bytes], bytes]]] = {
    "none": (None, bytes),
    "empty": ("", bytes),
    "identity": ("Identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "upper-case": (" GZIP , identity", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw-deflate": ("deflate", raw_deflate),
    "br": ("br", lambda data: brotli.compress(data, quality=3)),
    "zstd": ("zstd", zstd.compress),
}
COMPRESSED = ["gzip", "deflate", "raw-deflate", "br", "zstd"]


def decode(encoding: str | None, *pieces: bytes, limit: int | None = None) -> bytes:
    """A whole body, fed in these pieces."""
    decoder = BodyDecoder(encoding, limit=limit)
    body = b"".join(out for piece in pieces for out in decoder.feed(piece))
    decoder.end()
    return body


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("size", [1, 2, 3, 1000, 10**6])
@pytest.mark.parametrize("text", [b"", b"x", TEXT])
def test_whole(name: str, size: int, text: bytes) -> None:
    """Each encoding is undone, in whatever pieces it arrives."""
    encoding, encode = ENCODED[name]
    data = encode(text)
    assert decode(encoding, *(data[i : i + size] for i in range(0, len(data), size))) == text


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2100)), st.sampled_from(sorted(ENCODED)))
def test_pieces_make_no_difference(text: bytes, cuts: list[int], name: str) -> None:
    """Any cuts of any body give that body."""
    encoding, encode = ENCODED[name]
    data = encode(text)
    places = [0, *sorted(cuts), len(data)]
    assert decode(encoding, *(data[a:b] for a, b in itertools.pairwise(places))) == text


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPRESSED)
def test_at_the_border_of_a_piece(name: str) -> None:
    """A body is whole also where its last bytes are left inside the decompressor when a piece is full."""
    encoding, encode = ENCODED[name]
    for more in range(300):
        text = bytes(256 * 1024 + more)
        assert decode(encoding, encode(text)) == text


def test_deflate_with_and_without_a_container() -> None:
    """The bare format and the one in a container are told apart."""
    for number in range(300):
        text = f"{number * 7919} text".encode() * (number % 7)
        assert decode("deflate", raw_deflate(text)) == decode("deflate", zlib.compress(text)) == text


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("size", [1, 10**6])
def test_cut_short(name: str, size: int) -> None:
    """A body that stops anywhere before its last byte is refused, with what there is handed on before."""
    encoding, encode = ENCODED[name]
    data = encode(TEXT)
    assert len(data) > 80
    for stop in [*range(1, 40), *range(len(data) - 40, len(data))]:
        decoder = BodyDecoder(encoding)
        got = b"".join(out for i in range(0, stop, size) for out in decoder.feed(data[i : min(i + size, stop)]))
        assert TEXT.startswith(got)
        if stop == len(data) - 1 and name in ("gzip", "deflate"):  # only the trailer is cut
            assert got == TEXT
        with pytest.raises(InvalidProviderOutput, match="ends too soon"):
            decoder.end()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b'data: {"not": "compressed"}\n\n'),
        ("gzip", b"\x1f\x8b\x08\x00" + b"garbage" * 20),
        ("gzip", zlib.compress(TEXT)),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-8] + b"\0" * 8),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"more"),
        ("deflate", b"\xff" * 20),
        ("deflate", zlib.compress(TEXT)[:-4] + b"\0" * 4),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("br", b'data: {"not": "compressed"}\n\n'),
        ("br", brotli.compress(TEXT) + b"more"),
        ("zstd", b'data: {"not": "compressed"}\n\n'),
        ("zstd", zstd.compress(TEXT) + b"more"),
        ("zstd", zstd.compress(TEXT)[:-40] + bytes(40)),
        ("zstd", zstd.compress(bytes(2**25), options={zstd.CompressionParameter.window_log: 25})),
    ],
)
@pytest.mark.parametrize("size", [1, 10**6])
def test_not_what_it_says(encoding: str, data: bytes, size: int) -> None:
    """Bytes that are no such data, or go on after its end, are refused."""
    with pytest.raises(InvalidProviderOutput, match=encoding):
        decode(encoding, *(data[i : i + size] for i in range(0, len(data), size)))


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip, br", "compress"])
def test_not_asked_for(encoding: str) -> None:
    """An encoding that was not asked for is refused by name."""
    with pytest.raises(InvalidProviderOutput, match=encoding):
        BodyDecoder(encoding)


def test_members_and_padding() -> None:
    """A body in gzip or zstd may have several members, and zeros after the last."""
    assert decode("gzip", gzip.compress(b"one ") + gzip.compress(b"two") + bytes(9)) == b"one two"
    assert decode("zstd", zstd.compress(b"one ") + zstd.compress(b"two") + bytes(9)) == b"one two"


def test_identity_says_so() -> None:
    """Where there is nothing to undo, the decoder says that it can be left out."""
    assert BodyDecoder().identity
    assert not BodyDecoder("gzip").identity


@pytest.mark.parametrize("name", ENCODED)
def test_limit(name: str) -> None:
    """A body of the limit is fine; of one byte more it is OutputTooLarge."""
    encoding, encode = ENCODED[name]
    data = encode(TEXT)
    assert decode(encoding, data, limit=len(TEXT)) == TEXT
    with pytest.raises(OutputTooLarge, match="14,999 bytes"):
        decode(encoding, data, limit=len(TEXT) - 1)


def bomb(mebibytes: int) -> bytes:
    """A small gzip file of that many MiB."""
    compressor = zlib.compressobj(9, wbits=31)
    return b"".join(compressor.compress(b"A" * 2**20) for _ in range(mebibytes)) + compressor.flush()


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: bomb(256),
    "br": lambda: brotli.compress(bytes(2**28), quality=1),
    "zstd": lambda: zstd.compress(bytes(2**28), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", BOMBS)
def test_bombs_stay_small(encoding: str) -> None:
    """Some kB that decode to 256 MiB are handed on in small pieces and never lie in memory."""
    data = BOMBS[encoding]()
    tracemalloc.start()
    total = 0
    for piece in BodyDecoder(encoding).feed(data):
        assert len(piece) <= 256 * 1024
        total += len(piece)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 256 * 2**20
    assert most < 4 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda n: gzip.compress(b"") * n, lambda n: bomb(n // 400)], ids=["members", "bomb"])
def test_linear_time(make: Callable[[int], bytes]) -> None:
    """Ten times the bytes in one piece take about ten times the time."""

    def seconds(data: bytes) -> float:
        started = time.process_time()
        for _ in BodyDecoder("gzip").feed(data):
            continue
        return time.process_time() - started

    small, large = make(4_000), make(40_000)
    assert min(seconds(large) for _ in range(3)) < 20 * max(min(seconds(small) for _ in range(3)), 0.002)
