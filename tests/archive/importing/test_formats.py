"""Telling whose a file is by what is in it, on files that the tools themselves made; and what is none of them."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from mellite.archive.convert import Converted, SourceFormat, convert
from mellite.archive.importing.formats import FOREIGN, recognized
from mellite.cassettes import load_cassette
from mellite.errors import CassetteError, CassetteMiss, ConfigurationError, InvalidCassette, UnsafeCassette
from tests.archive.importing.replays import DATA, answers, converted
from tests.cli.programs import cassette, command

MADE = {
    "go_v1.yaml": "go-vcr",
    "go_v2.yaml": "go-vcr",
    "mitmproxy.har": "har",
    "ruby.json": "ruby-vcr",
    "ruby.yml": "ruby-vcr",
    "ruby_exact.yml": "ruby-vcr",
}

OTHERS = {
    "inspect_0_3_100.eval": "inspect",
    "inspect_chat.eval": "inspect",
    "inspect_claude.json": "inspect",
    "pydantic_images.json": "pydantic-ai",
    "pydantic_tools.json": "pydantic-ai",
}

ALL = {**MADE, **OTHERS}


@pytest.mark.parametrize(("name", "tool"), MADE.items())
def test_recorded_traffic(name: str, tool: str, tmp_path: Path) -> None:
    """What a tool recorded is recognized, becomes a cassette, and answers whole, streamed and compressed alike."""
    assert recognized(str(DATA / name)) == tool
    done = converted(DATA / name, tmp_path / "a.json")
    assert answers(tmp_path / "a.json", "Hi", "Name a river.", stream=False) == ["Hello!", "The Loire."]
    assert answers(tmp_path / "a.json", "Name a café.", stream=True) == ["Le café de la gare \u2615 "]
    assert any(what.startswith("request headers: accept-encoding, authorization") for what in done.dropped)
    assert "sk-test" not in (tmp_path / "a.json").read_text()
    named = converted(DATA / name, tmp_path / "b.json", source_format=tool)
    assert (tmp_path / "b.json").read_text().replace('"b"', '"a"') == (tmp_path / "a.json").read_text()
    assert named.dropped == done.dropped


@pytest.mark.parametrize(("name", "tool"), OTHERS.items())
def test_recognized(name: str, tool: str, tmp_path: Path) -> None:
    """What holds no HTTP is recognized as well, and the same with and without its name."""
    assert recognized(str(DATA / name)) == tool
    done = [converted(DATA / name, tmp_path / "a.json", source_format=one, replace=True) for one in ("auto", tool)]
    assert done[0] == done[1]
    assert done[0].calls > 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tool", [name for name in get_args(SourceFormat) if name != "auto"])
def test_wrong_name(name: str, tool: str, tmp_path: Path) -> None:
    """A file that is said to be of another format is refused by the name of that format."""
    if tool == ALL[name]:
        return
    with pytest.raises(InvalidCassette) as caught:
        converted(DATA / name, tmp_path / "a.json", source_format=tool)
    assert name in str(caught.value)
    assert caught.value.path == str(DATA / name)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_off(name: str, share: float, tmp_path: Path) -> None:
    """A file that was cut off is refused by its path; half of a YAML file may still be a whole one of fewer calls."""
    data = (DATA / name).read_bytes()
    source = tmp_path / name
    source.write_bytes(data[: int(len(data) * share)])
    for tool in ("auto", ALL[name]):
        done, error = attempt(source, tmp_path / "a.json", tool)
        assert error is None or name in str(error)
        assert done is None or 0 < done.calls <= 3


def attempt(source: Path, target: Path, tool: str) -> tuple[Converted | None, CassetteError | None]:
    """What a conversion did, or the error of ours that it ended with."""
    try:
        return converted(source, target, source_format=tool, replace=True), None
    except CassetteError as error:
        return None, error


STRANGE = (
    None,
    0,
    -1,
    2**70,
    True,
    "",
    "x",
    "attachment://x",
    "data:image/png;base64,!",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in decoded JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield (*path, name)
        yield from places_in(item, (*path, name))


@pytest.mark.parametrize("name", [name for name in ALL if name.endswith((".json", ".har"))])
def test_whatever_is_changed(name: str, tmp_path: Path) -> None:
    """With anything in the place of any value, a file is read or refused by its path, with whatever it was made by."""
    text = (DATA / name).read_text()
    random = Random(name)
    where = list(places_in(json.loads(text)))
    for _ in range(60):
        document = inside = json.loads(text)
        place = random.choice(where)
        for step in place[:-1]:
            inside = inside[step]
        inside[place[-1]] = random.choice(STRANGE)
        (tmp_path / name).write_text(json.dumps(document))
        _, error = attempt(tmp_path / name, tmp_path / "a.json", ALL[name])
        assert error is None or name in str(error), place


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.har", "a.har.gz"])
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"3", b"\xff\xfe", b"\x1f\x8b\x08", b'{"log": []}', b"PK\x03\x04"]
)
def test_none_of_them(name: str, data: bytes, tmp_path: Path) -> None:
    """Files of no format are refused with their paths, whatever they are called and said to be."""
    source = tmp_path / name
    source.write_bytes(data)
    for tool in get_args(SourceFormat):
        with pytest.raises(CassetteError, match=name):
            converted(source, tmp_path / "b.json", source_format=tool)


def test_unknown_file(tmp_path: Path) -> None:
    """A file of no known format is refused with those that were looked for; a damaged cassette with its damage."""
    source = tmp_path / "a.json"
    source.write_text('{"anything": 1}')
    with pytest.raises(InvalidCassette, match=r"no format that can be converted .*HAR, go-vcr, Ruby's VCR.*--from vcr"):
        converted(source, tmp_path / "b.json")
    source.write_text('{"version": 1, "interactions": [{}]}')
    with pytest.raises(InvalidCassette, match=r"interactions\[0\]"):
        converted(source, tmp_path / "b.json")
    with pytest.raises(CassetteMiss):
        converted(tmp_path / "none.har", tmp_path / "b.json")
    (tmp_path / "pipe").mkdir()
    with pytest.raises(ConfigurationError, match="no cassettes"):
        converted(tmp_path / "pipe", tmp_path / "b.json", source_format="har")


def test_ambiguous(tmp_path: Path) -> None:
    """A file that may be of two formats is refused with both names, until it is said which it is."""
    document = {"log": {"version": "1.2", "entries": []}, "http_interactions": []}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InvalidCassette, match="may be har or ruby-vcr: say which"):
        converted(tmp_path / "a.json", tmp_path / "b.json")


def test_format_names(tmp_path: Path) -> None:
    """A misspelled format is refused with the one that was meant; every name is one of the command line's."""
    with pytest.raises(ConfigurationError, match="did you mean 'ruby-vcr'"):
        converted(DATA / "ruby.yml", tmp_path / "a.json", source_format="ruby-vrc")
    assert {*FOREIGN, "auto", "vcr", "cassetter"} == {*get_args(SourceFormat)}
    for name in get_args(SourceFormat):
        ran = command("convert", "--from", name, str(tmp_path / "none.yaml"), str(tmp_path / "a.json"))
        assert (ran.code, "there is no cassette" in ran.err) == (2, True), ran.err
    assert command("convert", "--from", "hra", str(DATA / "ruby.yml"), str(tmp_path / "a.json")).code == 2


def test_said_to_be_vcr(corpora: Path, tmp_path: Path) -> None:
    """VCR.py's cassettes and cassetter's can be named; the one is not the other, and mellite's own are neither."""
    source = min((corpora / "vcr").rglob("*.yaml"))
    assert converted(source, tmp_path / "a.json", source_format="vcr").calls > 0
    with pytest.raises(InvalidCassette, match="not a cassette of cassetter"):
        converted(source, tmp_path / "b.json", source_format="cassetter")
    own = cassette(tmp_path / "own.json", "Hi", ["Hello"])
    with pytest.raises(InvalidCassette, match=r"not a cassette of VCR\.py"):
        converted(own, tmp_path / "b.json", source_format="vcr")


def test_folder(tmp_path: Path) -> None:
    """In a folder each file is told by itself, and what is about something else is passed over."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name, place in (("mitmproxy.har", "a.har"), ("ruby.yml", "deep/b.yml"), ("go_v1.yaml", "c.yaml")):
        os.link(DATA / name, folder / place)
    cassette(folder / "d.json", "Hi", ["Hello"])
    (folder / "notes.json").write_text('{"about": "something else"}')
    (folder / "notes.jsonl").write_text('{"about": "something else"}')
    (folder / "notes.db").write_bytes(b"SQLite format 3\x00")
    (folder / "broken.har").write_text("{")
    failed: list[str] = []

    def made(target: str, **options: Any) -> list[str]:
        done = convert(str(folder), str(tmp_path / target), failed=lambda path, _: failed.append(path), **options)
        return sorted([os.path.relpath(str(one.path), tmp_path / target) for one in done])

    assert made("all") == ["a.json", "c.json", "d.json", "deep/b.json"]
    assert answers(tmp_path / "all" / "deep" / "b.json", "Hi", stream=False) == ["Hello!"]
    assert made("hars", source_format="har") == ["a.json"]
    assert failed == [str(folder / "broken.har")] * 2
    assert made("rubies", source_format="ruby-vcr") == ["deep/b.json"]
    assert len(failed) == 2


def test_secrets(tmp_path: Path) -> None:
    """A key in a body is taken out; one that cannot be taken out is refused, and nothing is written."""
    key = "sk-" + "abcdefghijklmnopqrstuvwxyz0123456789"
    text = (DATA / "mitmproxy.har").read_text()
    (tmp_path / "a.har").write_text(text.replace("The Loire.", f"Use {key}."))
    done = converted(tmp_path / "a.har", tmp_path / "a.json")
    assert any(what.startswith("redacted: $.interactions[1]") for what in done.dropped)
    assert key not in (tmp_path / "a.json").read_text()
    document = json.loads(text)
    content = document["log"]["entries"][1]["response"]["content"]
    content |= {"text": base64.b64encode(b"\xff\x00" + key.encode()).decode(), "encoding": "base64"}
    (tmp_path / "b.har").write_text(json.dumps(document))
    with pytest.raises(UnsafeCassette):
        converted(tmp_path / "b.har", tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_too_large(tmp_path: Path) -> None:
    """All bodies together are bounded: small compressed ones do not fill the memory."""
    bomb = base64.b64encode(gzip.compress(b"0" * 40_000_000)).decode()
    response = {
        "status": {"code": 200},
        "headers": {"Content-Encoding": ["gzip"]},
        "body": {"encoding": "ASCII-8BIT", "base64_string": bomb},
    }
    request: dict[str, Any] = {"method": "get", "uri": "https://example.com/", "headers": {}, "body": None}
    document = {"http_interactions": [{"request": request, "response": response}] * 8}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InvalidCassette, match="come to more than 268,435,456 bytes"):
        converted(tmp_path / "a.json", tmp_path / "b.json")


def test_what_is_dropped_is_said(tmp_path: Path) -> None:
    """The command line says on standard error what was dropped, and in JSON, too."""
    ran = command("convert", str(DATA / "ruby.yml"), str(tmp_path / "a.json"), "--from", "ruby-vcr")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'a.json'}: 3 calls\n")
    assert "dropped of interactions: recorded_at" in ran.err
    ran = command("convert", str(DATA / "ruby.yml"), str(tmp_path / "b.json"), "--json")
    assert "of interactions: recorded_at" in ran.json["dropped"]
    assert load_cassette(tmp_path / "b.json").metadata == {"name": "ruby", "client": "ruby-vcr"}


@pytest.mark.parametrize("name", ["vcr", "cassetter", "auto"])
def test_a_recording_of_nothing(tmp_path: Path, name: SourceFormat) -> None:
    """VCR.py writes a file for a test that asked nothing, too: it becomes a cassette without calls."""
    source = tmp_path / "empty.yaml"
    source.write_text("interactions: []\nversion: 1\n")
    assert converted(source, tmp_path / "a.json", source_format=name).calls == 0
    assert load_cassette(tmp_path / "a.json").interactions == ()


@pytest.mark.parametrize("named", [True, False], ids=["named", "found out"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("go-vcr", "---\nversion: 2\ninteractions: []\n"),
        ("ruby-vcr", "---\nhttp_interactions: []\nrecorded_with: VCR 6.3.1\n"),
    ],
)
def test_an_empty_cassette_of_another_recorder(
    tmp_path: Path, name: SourceFormat, content: str, *, named: bool
) -> None:
    """The cassette of a test that asked nothing becomes an empty one, which replays nothing and can be read."""
    source, made = tmp_path / "a.yaml", tmp_path / "made.json"
    source.write_text(content)
    (done,) = convert(source, made, source_format=name if named else "auto")
    assert done.calls == 0
    assert load_cassette(made).interactions == ()
