"""Compressed cassette files: both ways, damaged, and more than they look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mellite
from mellite.cassettes import load_cassette
from mellite.cassettes.compression import Compression, compress, compression_of, expand
from mellite.errors import CassetteMiss, InvalidCassette
from tests.cli.programs import cassette

CASSETTE = b'{"version": 1, "interactions": []}'

both = pytest.mark.parametrize("compression", ["gzip", "lz4"])


def test_told_by_the_ending() -> None:
    """The ending of the name, and nothing else, says how a file is compressed."""
    names = ["1.txt", "1.txt.gz", "1.txt.lz4", "gz", "a.gz/1.txt"]
    assert [compression_of(name) for name in names] == [None, "gzip", "lz4", None, None]


@both
@pytest.mark.parametrize("data", [b"", b"x", b"ab" * 3_000_000, os.urandom(2_500_000)], ids=len)
def test_both_ways(compression: Compression, data: bytes) -> None:
    """What is compressed comes back, whatever its size; and it is compressed to the same bytes each time."""
    compressed = compress(data, compression)
    assert expand(compressed, compression) == data
    assert compress(data, compression) == compressed


def test_no_time_inside() -> None:
    """Gzip has a place for the time; it is empty, so that nothing changes when nothing has."""
    assert compress(b"x", "gzip")[4:8] == bytes(4)


def test_not_compressed() -> None:
    """Without compression nothing happens."""
    assert (compress(b"x", None), expand(b"x", None)) == (b"x", b"x")


@both
def test_cut_anywhere(compression: Compression) -> None:
    """A file that ends too soon is damaged at every length, the empty one included."""
    compressed = compress(CASSETTE * 10, compression)
    for length in range(len(compressed)):
        with pytest.raises(InvalidCassette, match=r"cassette 'x\.json' is damaged"):
            expand(compressed[:length], compression, path="x.json")


@both
def test_changed_anywhere(compression: Compression) -> None:
    """No changed byte gives another content: it is damaged, or was one that says nothing."""
    compressed = compress(CASSETTE, compression)
    for place in range(len(compressed)):
        changed = bytearray(compressed)
        changed[place] ^= 0x41
        try:
            assert expand(bytes(changed), compression) == CASSETTE
        except InvalidCassette as error:
            assert "cannot be decompressed" in str(error)  # noqa: PT017 - one of the two, at each place


@both
def test_bomb(compression: Compression) -> None:
    """A small file that comes to more than the limit is refused before it has filled the memory."""
    bomb = compress(bytes(3_000_000), compression)
    assert len(bomb) < 20_000
    with pytest.raises(InvalidCassette, match="comes to more than 1,000,000 bytes"):
        expand(bomb, compression, limit=1_000_000)


@both
def test_something_after_the_end(compression: Compression) -> None:
    """What follows the compressed data makes the file damaged."""
    with pytest.raises(InvalidCassette):
        expand(compress(CASSETTE, compression) + b"more", compression)


@pytest.mark.parametrize("ending", [".gz", ".lz4"])
def test_http_cassette(tmp_path: Path, ending: str) -> None:
    """An HTTP cassette may be compressed; errors name the file as it is."""
    path = tmp_path / f"a.json{ending}"
    path.write_bytes(compress(CASSETTE, compression_of(str(path))))
    assert load_cassette(path).path == str(path)
    path.write_bytes(compress(CASSETTE[:-1], compression_of(str(path))))
    with pytest.raises(InvalidCassette, match=f"a.json{ending}"):
        load_cassette(path)
    with pytest.raises(CassetteMiss):
        load_cassette(tmp_path / f"none.json{ending}")


@pytest.mark.parametrize("ending", [".gz", ".lz4"])
def test_backend_by_name(tmp_path: Path, ending: str) -> None:
    """A compressed cassette is named like any other, and answers."""
    plain = cassette(tmp_path / "a.json", "Say hello.", ["Hello!"])
    path = tmp_path / f"b.json{ending}"
    path.write_bytes(compress(plain.read_bytes(), compression_of(str(path))))
    assert mellite.backend(f"cassette:{path}").generate("Say hello.").result() == "Hello!"
