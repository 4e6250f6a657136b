"""Looking over cassettes before a commit: what is found, what is trouble, and that no secret is shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.cassettes.audit import Audit
from mellite.cassettes.files.find import find_cassettes
from mellite.cassettes.secrets.scan import SecretScan
from mellite.errors import CassetteMiss

KEY = "sk-" + "abcdefghijklmnopqrstuvwxyz"


def interaction(body: str = "hi", **response: Any) -> dict[str, Any]:
    """One interaction as it stands in a file."""
    return {
        "transport": "http",
        "request": {"method": "GET", "url": "https://example.com/", "headers": {}, "body": ""},
        "response": {"status": 200, "headers": {}, "body": body, **response},
    }


def write(path: Path, *interactions: dict[str, Any], **more: Any) -> Path:
    """An HTTP cassette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "interactions": list(interactions), **more}), encoding="utf-8")
    return path


def found(*paths: Path | str) -> list[tuple[str, str]]:
    """The names of the files in which there is trouble, and what trouble."""
    problems = Audit(SecretScan({})).problems([str(path) for path in paths])
    return [(Path(one.path).name, one.trouble) for one in problems]


def test_what_is_a_cassette(tmp_path: Path) -> None:
    """Files are told by their names: HTTP, VCR, text, sidecars, and what recordings leave; the rest is passed over."""
    names = [
        "a.json",
        "b.json.gz",
        "c.yaml",
        "d.yml.lz4",
        "1.txt",
        "2.txt.gz",
        "1.json",
        "2.json.lz4",
        "a.json.journal",
        "a.json.rewrite",
        "1.txt.tmp",
        "notes.txt",
        "01.txt",
        "README.md",
        "x.tmp",
    ]
    for folder in ("", "deep/er", ".hidden", "node_modules"):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    kinds = [(Path(one.path).relative_to(tmp_path).as_posix(), one.kind) for one in find_cassettes([str(tmp_path)])]
    here = {
        "1.json": "sidecar",
        "1.txt": "text",
        "1.txt.tmp": "left",
        "2.json.lz4": "sidecar",
        "2.txt.gz": "text",
        "a.json": "http",
        "a.json.journal": "left",
        "a.json.rewrite": "left",
        "b.json.gz": "http",
        "c.yaml": "http",
        "d.yml.lz4": "http",
    }
    assert dict(kinds) == {**here, **{f"deep/er/{name}": kind for name, kind in here.items()}}
    assert [one.kind for one in find_cassettes([str(tmp_path / "notes.txt")])] == ["http"]
    with pytest.raises(CassetteMiss):
        list(find_cassettes([str(tmp_path / "none")]))


@pytest.mark.slow
def test_nothing_wrong(tmp_path: Path, corpora: Path) -> None:
    """Good cassettes of every format, and JSON about something else, are no trouble."""
    write(tmp_path / "a.json", interaction())
    TextDirectory(tmp_path / "text").record("hello", Sidecar("openai", "", prompt="Hi"), compression="gzip")
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "config.yaml").write_text("name: x")
    audit = Audit(SecretScan({}))
    assert list(audit.problems([str(tmp_path), str(corpora / "opencode"), str(corpora / "vcr")])) == []
    assert audit.cassettes > 100


@pytest.mark.parametrize(
    "one",
    [
        interaction(f"Use {KEY}."),
        interaction(base64.b64encode(f"x {KEY} x".encode()).decode(), bodyEncoding="base64"),
        interaction("".join([f"data: {json.dumps({'delta': piece})}\n\n" for piece in (KEY[:12], KEY[12:])])),
        {**interaction(), "request": {**interaction()["request"], "url": f"https://example.com/?q={KEY}"}},
        {**interaction(), "request": {**interaction()["request"], "headers": {"authorization": f"Bearer {KEY}"}}},
    ],
)
def test_secrets(tmp_path: Path, one: dict[str, Any]) -> None:
    """A secret anywhere in a cassette is trouble, told with its place, and never shown."""
    path = write(tmp_path / "a.json", interaction(), one)
    problems = list(Audit(SecretScan({})).problems([str(path)]))
    assert {problem.trouble for problem in problems} == {"secret"}
    assert "$.interactions[1]" in problems[0].message
    assert KEY not in str(problems)


def test_secrets_in_text_cassettes(tmp_path: Path) -> None:
    """The answer, the prompt and the chunks of a text cassette are looked at."""
    key = djb2_key("openai", "", f"My key is {KEY}")
    (tmp_path / f"{key}.txt").write_text(f"Your key is {KEY}\n")
    sidecar = {"provider": "openai", "model": "", "prompt": f"My key is {KEY}", "chunks": [f"Your key is {KEY}"]}
    (tmp_path / f"{key}.json").write_text(json.dumps(sidecar))
    assert sorted(found(tmp_path)) == sorted(
        [(f"{key}.txt", "secret"), (f"{key}.json", "secret"), (f"{key}.json", "secret")]
    )


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\x00\xff", "damaged"),
        (b'{"version": 1, "interactions": [{}]}', "damaged"),
        (b'{"version": 1, "version": 1, "interactions": []}', "damaged"),
        (b'{"version": 2, "interactions": []}', "version"),
        (b'{"version": "1", "interactions": []}', "version"),
        (b'{"version": 1, "interactions": []}', "unused"),
    ],
)
def test_damaged_and_unknown(tmp_path: Path, data: bytes, trouble: str) -> None:
    """A file that cannot be read, is of another version or holds nothing is told as what it is."""
    (tmp_path / "a.json").write_bytes(data)
    assert found(tmp_path) == [("a.json", trouble)]
    assert found(tmp_path / "a.json") == [("a.json", trouble)]


def test_damaged_inside(tmp_path: Path) -> None:
    """What shows only when a body is decoded, or its times, is found too."""
    write(tmp_path / "a.json", interaction("?", bodyEncoding="base64"))
    write(tmp_path / "b.json", {**interaction(), "mellite": {"started": "never"}})
    timing = {"started": "2026-01-01T00:00:00.000000Z", "endedUs": 9, "end": "complete", "chunks": "1@x"}
    write(tmp_path / "c.json", {**interaction(), "mellite": timing})
    assert found(tmp_path) == [("a.json", "damaged"), ("b.json", "damaged"), ("c.json", "damaged")]


def test_other_json_that_is_named(tmp_path: Path) -> None:
    """JSON about something else is passed over in a folder; named as a cassette it is a damaged one."""
    path = tmp_path / "package.json"
    path.write_text('{"name": "x"}')
    assert (found(tmp_path), found(path)) == ([], [("package.json", "damaged")])


def test_yaml(tmp_path: Path) -> None:
    """Cassettes of VCR.py are looked at as well: damage, versions, tags that would run something."""
    (tmp_path / "a.yaml").write_text("interactions: [")
    (tmp_path / "b.yaml").write_text("interactions: []\nversion: 2")
    (tmp_path / "c.yaml").write_text("interactions: !!python/object:os.system {}")
    assert found(tmp_path) == [("a.yaml", "damaged"), ("b.yaml", "version"), ("c.yaml", "damaged")]


def test_what_nothing_reads(tmp_path: Path) -> None:
    """A sidecar without an answer, an answer behind another, one under a wrong name, and leftovers are unused."""
    directory = TextDirectory(tmp_path)
    one, other = Sidecar("openai", "", prompt="one"), Sidecar("openai", "", prompt="other")
    first, second = directory.record("1", one).key, directory.record("2", other, compression="gzip").key
    (tmp_path / f"{first}.txt").unlink()
    (tmp_path / f"{second}.txt").write_text("2\n")
    (tmp_path / "5.txt").write_text("x\n")
    (tmp_path / "5.json").write_text(json.dumps({"provider": "", "model": "", "prompt": "x"}))
    (tmp_path / "6.txt.tmp").write_text("x")
    write(tmp_path / "a.json", interaction())
    (tmp_path / "a.json.journal").write_text("")
    assert sorted(found(tmp_path)) == sorted(
        [
            (f"{first}.json", "unused"),
            (f"{second}.txt.gz", "unused"),
            ("5.txt", "unused"),
            ("6.txt.tmp", "unused"),
            ("a.json.journal", "unfinished"),
        ]
    )


def test_cassettes_of_tests_that_are_gone(tmp_path: Path) -> None:
    """A cassette of the pytest plugin whose test, or whose test file, is gone is unused; in doubt it is not."""
    (tmp_path / "test_a.py").write_text("from other import test_c\ndef test_b(): ...\nclass TestD(Other): ...\n")
    names = {
        "test_a/test_b.json": False,
        "test_a/test_b-x-y.json": False,
        "test_a/test_c.json": False,
        "test_a/TestD.test_e.json": False,
        "test_a/TestF.test_b.json": True,
        "test_a/test_bb.json": True,
        "test_g/test_b.json": True,
        "group/case.json": False,
        "test_a/case.json": False,
    }
    for name in names:
        write(tmp_path / "cassettes" / name, interaction())
    write(tmp_path / "other" / "test_g" / "test_b.json", interaction())
    gone = [Path(name).name for name, unused in sorted(names.items()) if unused]
    assert sorted(found(tmp_path)) == sorted([(name, "unused") for name in gone])


def test_damaged_text_cassettes(tmp_path: Path) -> None:
    """A damaged answer and a damaged sidecar are each told once, under their own names."""
    directory = TextDirectory(tmp_path)
    first = directory.record("1", Sidecar("openai", "", prompt="one")).key
    second = directory.record("2", Sidecar("openai", "", prompt="two")).key
    (tmp_path / f"{first}.txt").write_bytes(b"\xff")
    (tmp_path / f"{second}.json").write_bytes(b"{")
    assert sorted(found(tmp_path)) == sorted([(f"{first}.txt", "damaged"), (f"{second}.json", "damaged")])


def test_allowed(tmp_path: Path) -> None:
    """What is allowed is no trouble."""
    path = write(tmp_path / "a.json", interaction(KEY))
    assert list(Audit(SecretScan({}, allowed=[KEY])).problems([str(path)])) == []
