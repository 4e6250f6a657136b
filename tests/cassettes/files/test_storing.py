"""Whole files: atomic, one writer at a time, never through a symlink."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from mellite.cassettes.files.locks import lock
from mellite.cassettes.files.storing import store_file
from mellite.errors import CassetteError


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    """The file has exactly the bytes, its directory is made, and nothing else is left."""
    path = tmp_path / "a" / "b" / "file.txt"
    assert store_file(str(path), b"one")
    assert store_file(str(path), b"")
    assert path.read_bytes() == b""
    assert os.listdir(path.parent) == ["file.txt"]


def test_the_first_wins(tmp_path: Path) -> None:
    """A file that is not to be replaced keeps what the first wrote, and the second is told."""
    path = tmp_path / "file.txt"
    assert store_file(str(path), b"one", replace=False)
    assert not store_file(str(path), b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_permissions(tmp_path: Path) -> None:
    """A new file is for its owner alone; one that is replaced keeps its permissions."""
    path = tmp_path / "file.txt"
    store_file(str(path), b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    store_file(str(path), b"two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """A path that is a symlink is refused, and so is one whose temporary file is; what they lead to is untouched."""
    (tmp_path / "elsewhere").write_text("mine")
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CassetteError, match="is a symlink"):
        store_file(str(link), b"new")
    (tmp_path / "file.txt.tmp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CassetteError, match="cannot write"):
        store_file(str(tmp_path / "file.txt"), b"new")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "file.txt").exists()


def test_what_a_dead_writer_left_is_replaced(tmp_path: Path) -> None:
    """A temporary file that nobody holds is not an obstacle, and is gone afterwards."""
    (tmp_path / "file.txt.tmp").write_bytes(b"half")
    store_file(str(tmp_path / "file.txt"), b"whole")
    assert (tmp_path / "file.txt").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_living_writer_is_waited_for(tmp_path: Path) -> None:
    """The temporary file of a writer that is alive is left to it: the next one writes after it."""
    reading, writing = os.pipe()
    path = tmp_path / "file.txt"
    temporary = os.open(f"{path}.tmp", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    lock(temporary)

    def late() -> None:
        store_file(str(path), b"late")
        os.write(writing, b"x")

    thread = Thread(target=late)
    thread.start()
    os.write(temporary, b"early")
    assert (tmp_path / "file.txt.tmp").read_bytes() == b"early"
    os.replace(f"{path}.tmp", path)
    assert path.read_bytes() == b"early"
    os.close(temporary)
    assert os.read(reading, 1) == b"x"
    thread.join()
    assert path.read_bytes() == b"late"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("name", ["a\0b", "file/inside", "x" * 300, "folder", "\ud800"])
def test_what_cannot_be_written_is_a_typed_error(tmp_path: Path, name: str) -> None:
    """A path that is not a file, or cannot be one, is a CassetteError that names it; nothing is left."""
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    path = os.path.join(tmp_path, name)
    with pytest.raises(CassetteError) as caught:
        store_file(path, b"new")
    assert caught.value.path == path
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_place_that_takes_no_files_is_a_typed_error() -> None:
    """A directory in which nothing can be made, as on a disk that is mounted for reading, is a CassetteError."""
    with pytest.raises(CassetteError, match=r"cannot write cassette .*case\.json"):
        store_file("/proc/cassettes/case.json", b"new")
