"""Recording into cassettes: what is there when, who wins, and what is never overwritten."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mellite.cassettes import (
    Body,
    Cassette,
    CassetteWriter,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    ScriptedTransport,
    WebSocketEvent,
    WebSocketInteraction,
    load_cassette,
)
from mellite.cassettes.files.write import encode_cassette
from mellite.cassettes.interactions import Interaction
from mellite.cassettes.modes import Mode
from mellite.cassettes.opening import use
from mellite.cassettes.recording.journal import recover
from mellite.cassettes.recording.writer import WriteMode
from mellite.errors import CassetteError, CassetteMiss, InvalidCassette, UnsafeCassette
from mellite.wire.http import HttpRequest

DAMAGED = {
    "empty": b"",
    "binary": bytes(range(256)),
    "half": b'{"version": 1, "interactions": [',
    "another version": b'{"version": 2, "interactions": []}',
    "something else": b'{"name": "package", "scripts": {}}',
    "text": b"hello\n",
}


def answer(text: str, *, url: str = "https://example.com/") -> HttpInteraction:
    """An interaction with this answer."""
    return HttpInteraction(RecordedRequest("POST", url), RecordedResponse(200, body=Body(text)))


def put(path: Path, *texts: str) -> None:
    """Put a cassette with these answers there."""
    path.write_bytes(encode_cassette(Cassette(tuple([answer(text) for text in texts]))))


def answers(path: Path) -> list[str]:
    """The answers in a cassette."""
    return [one.response.body.text for one in load_cassette(path).http]


def record(path: Path, *texts: str, mode: WriteMode = "append") -> None:
    """Record these answers."""
    with CassetteWriter.open(path, mode, durable=False) as writer:
        for text in texts:
            writer.append(answer(text))


def url_of(one: Interaction) -> str | None:
    """Interactions with one URL are the same; those over WebSockets never are."""
    return one.request.url if isinstance(one, HttpInteraction) else None


# --- adding -----------------------------------------------------------------------------------------


def test_what_is_appended_is_there_at_once(tmp_path: Path) -> None:
    """An interaction can be read as soon as `append` has returned, and the file itself is written at the end."""
    path = tmp_path / "group" / "case.json"
    writer = CassetteWriter.open(path)
    with pytest.raises(CassetteMiss):
        load_cassette(path)
    for number in range(3):
        assert writer.append(answer(str(number)))
        assert answers(path) == [str(place) for place in range(number + 1)]
    assert not path.exists()
    writer.finish()
    assert os.listdir(path.parent) == ["case.json"]
    assert answers(path) == ["0", "1", "2"]


def test_the_file_is_not_touched_before_the_end(tmp_path: Path) -> None:
    """However many there are, each costs one line: neither the file nor earlier lines are written again."""
    path = tmp_path / "case.json"
    put(path, "old")
    before = path.stat()
    journal = tmp_path / "case.json.journal"
    writer = CassetteWriter.open(path, durable=False)
    writer.append(answer("0000"))
    line = journal.read_bytes()
    for number in range(1, 1000):
        writer.append(answer(f"{number:04}"))
    lines = journal.read_bytes()
    assert lines.startswith(line)
    assert len(lines) == 1000 * len(line)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    writer.finish()
    assert answers(path) == ["old", *[f"{number:04}" for number in range(1000)]]


def test_the_order_is_that_of_the_requests(tmp_path: Path) -> None:
    """Interactions of one recording are kept in the order in which their requests were sent, not answered."""
    path = tmp_path / "case.json"
    put(path, "old")
    with CassetteWriter.open(path) as one, CassetteWriter.open(path) as other:
        one.append(answer("third"), started=3.0)
        other.append(answer("first"), started=1.0)
        one.append(answer("second"), started=2.0)
        assert answers(path) == ["old", "first", "second", "third"]
    assert answers(path) == ["old", "first", "second", "third"]


def test_what_stands_in_the_file_stays_as_it_is(tmp_path: Path) -> None:
    """Adding to a file leaves its metadata, unknown keys, numbers and escapes as they were written."""
    path = tmp_path / "case.json"
    old = (
        r'{"version":1,"metadata":{"name":"old","n":1e5},"interactions":[{"request":{"method":"GET","url":"u",'
        r'"headers":{},"body":"\u00e9\/","more":1.0},"response":{"status":200,"headers":{},"body":""}}],"tool":[1]}'
    )
    path.write_text(old)
    with CassetteWriter.open(path, metadata={"name": "new"}) as writer:
        writer.append(answer("new"))
    text = path.read_text()
    for piece in ('"n": 1e5', r'"\u00e9\/"', '"more": 1.0'):
        assert piece in text
    document = json.loads(text)
    assert document["metadata"]["name"] == "old"
    assert document["tool"] == [1]
    assert document["interactions"][:1] == json.loads(old)["interactions"]
    assert answers(path) == ["", "new"]


def test_a_new_file_says_what_it_is(tmp_path: Path) -> None:
    """The metadata go into a new file, before the interactions, indented by two."""
    path = tmp_path / "case.json"
    with CassetteWriter.open(path, metadata={"name": "case", "tags": ["a"]}) as writer:
        writer.append(answer("x"))
    assert path.read_text().startswith('{\n  "version": 1,\n  "metadata": {\n    "name": "case",')
    assert path.read_text().endswith("]\n}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_recorded_leaves_nothing(tmp_path: Path) -> None:
    """A recording without interactions makes no file, and leaves one that is there untouched."""
    CassetteWriter.open(tmp_path / "new.json").finish()
    assert os.listdir(tmp_path) == []
    put(tmp_path / "old.json", "old")
    before = (tmp_path / "old.json").stat()
    CassetteWriter.open(tmp_path / "old.json").finish()
    after = (tmp_path / "old.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("ending", [".json.gz", ".json.lz4"])
def test_compressed_files(tmp_path: Path, ending: str) -> None:
    """A file that its name says is compressed is compressed, and is added to like any other."""
    path = tmp_path / f"case{ending}"
    record(path, "one")
    record(path, "two")
    assert answers(path) == ["one", "two"]
    assert not path.read_bytes().startswith(b"{")


def test_one_of_each_key(tmp_path: Path) -> None:
    """With a key, the first interaction that has it counts, also from the file and from other writers."""
    path = tmp_path / "case.json"
    path.write_bytes(encode_cassette(Cassette((answer("old", url="a"),))))
    frames = WebSocketInteraction((WebSocketEvent("client", "text", body=Body("x")),))
    with CassetteWriter.open(path, key=url_of) as one, CassetteWriter.open(path, key=url_of) as other:
        found = [one.append(answer("new", url="a")), one.append(answer("one", url="b"))]
        found += [other.append(answer("other", url="b")), other.append(answer("other", url="c"))]
        found += [one.append(answer("one", url="c")), one.append(frames), one.append(frames)]
    assert found == [False, True, False, True, False, True, True]
    assert answers(path) == ["old", "one", "other"]
    assert len(load_cassette(path).websockets) == 2


def test_the_writer_knows_what_was_there(tmp_path: Path) -> None:
    """`cassette` is what was there when the recording began, in the file or in the journal of another one."""
    path = tmp_path / "case.json"
    put(path, "old")
    one = CassetteWriter.open(path)
    one.append(answer("one"))
    other = CassetteWriter.open(path)
    assert [each.response.body.text for each in other.cassette.http] == ["old", "one"]
    other.finish()
    assert (tmp_path / "case.json.journal").exists()
    one.finish()
    assert os.listdir(tmp_path) == ["case.json"]


# --- replacing --------------------------------------------------------------------------------------


def test_rewriting_counts_when_it_has_ended_well(tmp_path: Path) -> None:
    """Until the recording ends well the old interactions are what is read; then only the new ones."""
    path = tmp_path / "case.json"
    put(path, "old")
    writer = CassetteWriter.open(path, "rewrite", metadata={"name": "new"})
    writer.append(answer("new"))
    assert answers(path) == ["old"]
    writer.finish()
    assert answers(path) == ["new"]
    assert load_cassette(path).metadata == {"name": "new"}
    assert os.listdir(tmp_path) == ["case.json"]


def test_rewriting_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A recording that is abandoned, or whose block ends with an error, leaves the old file and nothing else."""
    path = tmp_path / "case.json"
    put(path, "old")
    before = path.read_bytes()
    writer = CassetteWriter.open(path, "rewrite")
    writer.append(answer("new"))
    writer.abandon()
    with pytest.raises(ZeroDivisionError), CassetteWriter.open(path, "rewrite") as writer:
        writer.append(answer(str(writer.append(answer("new")) // 0)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["case.json"]


def test_rewriting_that_was_killed_lies_beside(tmp_path: Path) -> None:
    """What was recorded before a kill stays beside the old file, and the next rewriting begins anew."""
    path = tmp_path / "case.json"
    put(path, "old")
    writer = CassetteWriter.open(path, "rewrite")
    writer.append(answer("killed"))
    del writer
    record(path, "added")
    assert answers(path) == ["old", "added"]
    assert sorted(os.listdir(tmp_path)) == ["case.json", "case.json.rewrite"]
    record(path, "new", mode="rewrite")
    assert answers(path) == ["new"]
    assert os.listdir(tmp_path) == ["case.json"]


def test_rewriting_together_with_others(tmp_path: Path) -> None:
    """Two that rewrite at once replace the file by what both recorded; one that adds meanwhile loses nothing."""
    path = tmp_path / "case.json"
    put(path, "old")
    adding = CassetteWriter.open(path)
    one, other = CassetteWriter.open(path, "rewrite"), CassetteWriter.open(path, "rewrite")
    one.append(answer("one"))
    adding.append(answer("added"))
    one.finish()
    other.append(answer("other"))
    other.finish()
    adding.finish()
    assert sorted(answers(path)) == ["added", "one", "other"]


def test_rewriting_a_new_file(tmp_path: Path) -> None:
    """Where there is nothing to replace, nothing is lost if the recording does not end well."""
    path = tmp_path / "case.json"
    writer = CassetteWriter.open(path, "rewrite")
    writer.append(answer("kept"))
    del writer
    assert answers(path) == ["kept"]
    assert recover(path)
    assert os.listdir(tmp_path) == ["case.json"]
    assert answers(path) == ["kept"]


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "rewrite"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_never_overwritten(tmp_path: Path, damage: str, mode: WriteMode) -> None:
    """A file that is not a sound cassette is named, is not recorded into in any mode, and stays as it is."""
    path = tmp_path / "case.json"
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(InvalidCassette) as caught:
        CassetteWriter.open(path, mode)
    assert caught.value.path == str(path)
    assert path.read_bytes() == DAMAGED[damage]


def test_a_recording_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    """Beside a damaged file no journal is left, which would look like a recording that was killed."""
    path = tmp_path / "case.json"
    path.write_bytes(DAMAGED["half"])
    for mode in ("append", "rewrite"):
        with pytest.raises(InvalidCassette):
            CassetteWriter.open(path, mode)
        assert list(tmp_path.iterdir()) == [path]


def test_a_file_damaged_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """If somebody breaks the file during the recording, it is left so, and the journal keeps what was recorded."""
    path = tmp_path / "case.json"
    put(path, "old")
    good = path.read_bytes()
    writer = CassetteWriter.open(path)
    writer.append(answer("new"))
    path.write_bytes(b"broken")
    with pytest.raises(InvalidCassette):
        writer.finish()
    assert path.read_bytes() == b"broken"
    path.write_bytes(good)
    assert answers(path) == ["old", "new"]


@pytest.mark.parametrize(
    ("interaction", "why"),
    [
        (answer("\ud800"), "surrogates"),
        (HttpInteraction(RecordedRequest("GET", "u"), RecordedResponse(7)), "status"),
        (HttpInteraction(RecordedRequest("GET", "u"), RecordedResponse(200), extra={"request": 5}), "request"),
        (HttpInteraction(RecordedRequest("GET", "u"), RecordedResponse(200), extra={"x": object()}), "object"),
    ],
)
def test_what_could_not_be_read_again_is_not_stored(tmp_path: Path, interaction: Interaction, why: str) -> None:
    """An interaction that would spoil the cassette for all others is an InvalidCassette, and nothing is written."""
    path = tmp_path / "case.json"
    with CassetteWriter.open(path) as writer:
        with pytest.raises(InvalidCassette, match=why):
            writer.append(interaction)
        writer.append(answer("good"))
    assert answers(path) == ["good"]


def test_a_secret_is_not_stored(tmp_path: Path) -> None:
    """An interaction with a secret in it is refused, by its path and reason; the others are stored."""
    path = tmp_path / "case.json"
    put(path, "old")
    secret = "sk-" + "proj-0123456789abcdefghij"
    with CassetteWriter.open(path) as writer:
        writer.append(answer("before"))
        with pytest.raises(UnsafeCassette) as caught:
            writer.append(answer(json.dumps({"text": [f"It is {secret}."]})))
        with pytest.raises(UnsafeCassette, match=r"a credential of the request"):
            writer.append(answer("my plain password"), secrets=["plain password"])
        writer.append(answer("after"))
    finding = caught.value.findings[0]
    assert (finding.path, finding.reason) == ("$.response.body.text[0]", "key of OpenAI's form")
    assert secret not in f"{caught.value!r} {caught.value.__dict__}"
    assert answers(path) == ["old", "before", "after"]
    assert secret not in path.read_text()


def test_metadata_hold_no_secret_either(tmp_path: Path) -> None:
    """Metadata with a secret in them are refused before anything is made."""
    with pytest.raises(UnsafeCassette, match=r"\$\.metadata\.name"):
        CassetteWriter.open(tmp_path / "a" / "case.json", metadata={"name": "AKIA" + "0123456789ABCDEF"})
    assert os.listdir(tmp_path) == []


def test_a_recording_that_is_over(tmp_path: Path) -> None:
    """Nothing can be appended after the end; ending it again does nothing."""
    writer = CassetteWriter.open(tmp_path / "case.json")
    writer.append(answer("x"))
    writer.finish()
    writer.finish()
    writer.abandon()
    with pytest.raises(CassetteError, match="is over"):
        writer.append(answer("y"))
    assert answers(tmp_path / "case.json") == ["x"]


@pytest.mark.parametrize("name", ["case.yaml", "case.yml.gz", "case.toml"])
def test_vcrs_files_are_only_read(tmp_path: Path, name: str) -> None:
    """A file that its name says is VCR's is not recorded into: it would be read as YAML."""
    with pytest.raises(CassetteError, match="another recorder's"):
        CassetteWriter.open(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    """A cassette, or a journal, that is a symlink is not written through."""
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "case.json.journal").symlink_to(tmp_path / "elsewhere")
    for name in ("link.json", "case.json"):
        with pytest.raises(CassetteError, match=r"symlink|symbolic link"):
            CassetteWriter.open(tmp_path / name)
    assert (tmp_path / "elsewhere").read_bytes() == b""


@pytest.mark.parametrize("path", ["/proc/cassettes/case.json", "a\0b.json", "file/case.json"])
def test_places_that_cannot_be_written(tmp_path: Path, path: str) -> None:
    """A place that takes no files is a CassetteError that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CassetteError) as caught:
        CassetteWriter.open(os.path.join(tmp_path, path))
    assert caught.value.path == os.path.join(tmp_path, path)


# --- a model ----------------------------------------------------------------------------------------


ENDINGS = st.sampled_from(["well", "badly", "killed"])


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "rewrite"]), ENDINGS, st.integers(0, 3)),
        max_size=6,
    )
)
def test_any_sequence_of_recordings(
    tmp_path_factory: pytest.TempPathFactory, recordings: Sequence[tuple[WriteMode, str, int]]
) -> None:
    """Whatever recordings follow each other and however they end, what is read is what a simple model says."""
    path = tmp_path_factory.mktemp("model") / "case.json"
    expected: list[str] | None = None
    count = 0
    for mode, ending, length in recordings:
        writer: Any = CassetteWriter.open(path, mode, durable=False)
        texts = [str(number) for number in range(count, count + length)]
        count += length
        for text in texts:
            writer.append(answer(text))
        if ending == "well":
            writer.finish()
        elif ending == "badly":
            writer.abandon()
        del writer
        if mode == "append" or expected is None:
            expected = [*(expected or []), *texts] if texts or expected is not None else None
        elif ending == "well":
            expected = texts
        if expected is None:
            with pytest.raises(CassetteMiss):
                load_cassette(path)
        else:
            assert answers(path) == expected
    CassetteWriter.open(path).finish()
    assert set(os.listdir(path.parent)) <= {"case.json", "case.json.rewrite"}


# --- the door ---------------------------------------------------------------------------------------


def test_opening_a_cassette_folds_in_what_was_left(tmp_path: Path) -> None:
    """Whoever opens a cassette whose recording was killed, to replay it, too, leaves one whole file behind."""
    path = tmp_path / "case.json"
    writer = CassetteWriter.open(path)
    writer.append(answer("kept"))
    del writer
    transport = use(path, mode="none", environment={})
    assert [one.response.body.text for one in transport.unused] == ["kept"]
    assert os.listdir(tmp_path) == ["case.json"]
    path.write_bytes(b"broken")
    (tmp_path / "case.json.journal").write_bytes(b"broken")
    with pytest.raises(InvalidCassette):
        use(path, mode="none", environment={})
    assert path.read_bytes() == b"broken"


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["all", "new_episodes", "once", "rewrite"])
async def test_a_secret_in_an_answer(tmp_path: Path, mode: Mode) -> None:
    """An answer with the request's own key in it reaches the caller, is not stored, and the recording says so."""
    path = tmp_path / "case.json"
    if mode != "once":
        put(path, "old")
    before = path.read_bytes() if path.exists() else None
    request = HttpRequest("POST", "https://example.com/", headers={"x-api-key": "my-very-own-key"}, body=b"{}")
    events = ["data: my-very", "-own-key is the key\n\n"]
    transport = use(path, mode=mode, live=ScriptedTransport([events]), environment={})
    response = await transport.open(request)
    assert [await response.read() for _ in range(3)] == [*[event.encode() for event in events], b""]
    with pytest.raises(UnsafeCassette, match="a credential of the request"):
        await transport.aclose()
    assert (path.read_bytes() if path.exists() else None) == before
    assert set(os.listdir(tmp_path)) <= {"case.json"}


@pytest.mark.anyio
async def test_what_looks_like_a_secret_can_be_allowed(tmp_path: Path) -> None:
    """A text that is allowed is recorded though it looks like a key."""
    example = "sk-" + "example-0123456789abcdef"
    live = ScriptedTransport([[f"Keys look like {example}."]])
    async with use(tmp_path / "case.json", mode="all", live=live, allowed=[example], environment={}) as transport:
        response = await transport.open(HttpRequest("POST", "https://example.com/", body=b"{}"))
        while await response.read():
            pass
    assert answers(tmp_path / "case.json") == [f"Keys look like {example}."]
