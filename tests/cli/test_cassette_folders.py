"""`mellite cassette` over folders of real projects: files that cannot be read among the others, and where it looks."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mellite.cassettes import Sidecar, TextDirectory, djb2_key
from mellite.cassettes.files.find import cassette_folders, find_cassettes
from tests.cli.programs import COMMAND, ROOT, URL, cassette, command, surroundings
from tests.terminal import COLUMNS, on_terminal

VCR = """
version: 1
interactions:
- request: {method: GET, uri: 'https://example.com/', headers: {}, body: null}
  response: {status: {code: 200}, headers: {}, body: {string: hi}}
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with good cassettes of each kind, one of each that cannot be read, and JSON about something else."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    cassette(folder / "a-good.json", "Name a river.", ["The Nile."])
    (folder / "b-cut.json").write_text('{"version": 1, "interactions": [')
    (folder / "c-newer.json").write_text('{"version": 9, "interactions": []}')
    (folder / "d-bad.yaml").write_text(VCR.replace("string: hi", "sting: hi"))
    (folder / "e-good.yaml").write_text(VCR)
    (folder / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    (folder / "workflow.yaml").write_text("on: push\n")
    TextDirectory(folder / "texts").record("Hello", Sidecar("openai", "gpt-4o", prompt="Hi"))
    (folder / "texts" / f"{djb2_key('openai', 'gpt-4o', 'Bye')}.txt").write_bytes(b"\xff")
    cassette(folder / "z-good.json", "Name a lake.", ["Como."])
    return folder


KEY = "sk-" + "proj-" + "A1b2C3d4" * 6

BAD = ["b-cut.json", "c-newer.json", "d-bad.yaml", f"{djb2_key('openai', 'gpt-4o', 'Bye')}.txt"]


def test_ls(mixed: Path) -> None:
    """What cannot be read is in the list, what lies behind it too; the exit code says that something is wrong."""
    ran = command("ls", "--json", str(mixed))
    assert ran.code == 1
    assert [Path(row["path"]).name for row in ran.rows if "problem" in row] == BAD
    assert [row.get("question") for row in ran.rows if "problem" not in row] == [
        "Name a river.",
        "GET https://example.com/",
        "Hi",
        "Name a lake.",
    ]


def test_stats(mixed: Path) -> None:
    """The rest is added up, and each file that is left out is named on standard error."""
    ran = command("stats", "--json", str(mixed))
    assert ran.code == 1
    assert ran.rows[-1]["calls"] == 4
    assert [line for line in ran.err.splitlines() if not line.startswith("mellite: ")] == []
    assert [name for line, name in zip(ran.err.splitlines(), BAD, strict=True) if name not in line] == []


def test_verify(mixed: Path) -> None:
    """Each is a problem of its own."""
    ran = command("verify", "--json", str(mixed))
    assert ran.code == 1
    assert [(Path(row["path"]).name, row["trouble"]) for row in ran.rows] == [
        (name, "version" if "newer" in name else "damaged") for name in BAD
    ]
    assert "8 cassettes checked" in command("verify", str(mixed)).err


def test_convert(mixed: Path, tmp_path: Path) -> None:
    """The good ones are converted; the others, and what is there already, are named."""
    target = tmp_path / "converted"
    (target / "texts").mkdir(parents=True)
    (target / "z-good.json").write_text("mine")
    ran = command("convert", str(mixed), str(target))
    assert ran.code == 1
    assert sorted(path.name for path in target.iterdir() if path.is_file()) == [
        "a-good.json",
        "e-good.json",
        "z-good.json",
    ]
    assert (target / "z-good.json").read_text() == "mine"
    assert len(list((target / "texts").glob("*.txt"))) == 1
    named = [name for name in [*BAD, "z-good.json"] if name in ran.err]
    assert named == [*BAD, "z-good.json"]
    assert "package.json" not in ran.err


def test_scrub(mixed: Path) -> None:
    """The good ones are cleaned, whatever lies before them; what cannot be read stays and is named."""
    cassette(mixed / "y-leaks.json", "Hi", [f"Use {KEY}."])
    before = {path: path.read_bytes() for path in mixed.iterdir() if path.name in BAD or "package" in path.name}
    assert command("scrub", "--check", str(mixed)).code == 1
    ran = command("scrub", "--json", str(mixed))
    assert ran.code == 1
    assert [Path(row["path"]).name for row in ran.rows] == ["y-leaks.json"]
    assert [name for line, name in zip(ran.err.splitlines(), BAD, strict=True) if name not in line] == []
    assert KEY not in (mixed / "y-leaks.json").read_text()
    assert {path: path.read_bytes() for path in before} == before


def test_diff(mixed: Path, tmp_path: Path) -> None:
    """The good ones are compared; what cannot be read is named, once for each side, and is not an equality."""
    other = tmp_path / "other"
    shutil.copytree(mixed, other)
    ran = command("diff", "--json", str(mixed), str(other))
    assert ran.code == 1
    assert ran.rows[-1]["counts"] == {"same": 4, "answer": 0, "request": 0, "removed": 0, "added": 0}
    named = [f"{folder / name}" for folder in (mixed, other) for name in BAD[:3]]
    assert [name for name in named if name not in ran.err] == []


def test_diff_names_the_file(tmp_path: Path) -> None:
    """Where folders are compared, a call is its file and its number."""
    cassette(tmp_path / "left" / "deep" / "a.json", "Name a river.", ["The Nile.", "The Rhine."])
    cassette(tmp_path / "left" / "b.json", "Name a lake.", ["Como."])
    cassette(tmp_path / "right" / "deep" / "a.json", "Name a river.", ["The Nile.", "The Danube."])
    ran = command("diff", str(tmp_path / "left"), str(tmp_path / "right"))
    rows = [line.split("\t")[:2] for line in ran.out.splitlines() if "\t" in line]
    assert rows == [["b.json 0", "removed"], [f"{Path('deep', 'a.json')} 1", "answer"]]
    assert "only in the left one: call b.json 0: Name a lake." in ran.out


TOML = """
[[interactions]]
request = {{method = "GET", uri = "https://example.com/", body_type = "none"}}
response = {{status = 200, body_type = "{kind}", body_content = "hi"}}
"""


def test_toml_in_a_folder(tmp_path: Path) -> None:
    """Cassetter's TOML is found in folders, compressed or not; a project's own TOML is passed over."""
    folder = tmp_path / "cassettes"
    folder.mkdir()
    (folder / "a.toml").write_text(TOML.format(kind="text"))
    (folder / "b.toml.gz").write_bytes(gzip.compress(TOML.format(kind="text").encode()))
    (folder / "c.toml.gz").write_bytes(gzip.compress(TOML.format(kind="odd").encode()))
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (folder / "other.toml.gz").write_bytes(gzip.compress(b"x = 1"))
    rows = command("ls", "--json", str(folder)).rows
    assert [(Path(row["path"]).name, row.get("calls")) for row in rows] == [
        ("a.toml", 1),
        ("b.toml.gz", 1),
        ("c.toml.gz", None),
    ]
    assert command("convert", str(folder), str(tmp_path / "out")).code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]


def test_show_what_cannot_be_printed(tmp_path: Path) -> None:
    """Half a surrogate pair in a model's name, and what steers the terminal in a header or a URL."""
    path = cassette(tmp_path / "a.json", "Name a river.", ["The Nile."], url=f"{URL}?\x1b[31m")
    recorded = json.loads(path.read_text())
    asked = recorded["interactions"][0]["request"]
    asked["body"] = json.dumps({**json.loads(asked["body"]), "model": "gpt-\ud800"})
    asked["headers"]["x-\x1b[2J"] = "\x1b]0;title\x07"
    path.write_text(json.dumps(recorded))
    for arguments in (["show"], ["show", "--body"], ["ls"], ["stats"], ["replay"], ["verify"]):
        ran = command(*arguments, str(path))
        assert ran.code in (0, 1)
        assert "\x1b" not in ran.out + ran.err
        assert "\x07" not in ran.out + ran.err


@pytest.mark.parametrize("name", ["ls", "stats", "verify", "scrub"])
def test_one_of_several_is_not_there(mixed: Path, name: str) -> None:
    """A path that is not there, and a link to nowhere, are told like a damaged file, and the others are done."""
    key = cassette(mixed / "leaks.json", "Hi", [f"Use {KEY}."])
    (mixed / "link.json").symlink_to(mixed / "nowhere.json")
    ran = command(name, "--json", str(mixed / "none.json"), str(mixed / "link.json"), str(key))
    assert ran.code == 1
    seen = ran.out + ran.err
    assert "none.json" in seen
    assert "link.json" in seen
    assert ran.rows[-1]["calls"] == 1 if name in ("ls", "stats") else "leaks.json" in ran.out


def test_convert_texts_to_one_file(mixed: Path, tmp_path: Path) -> None:
    """Of text cassettes that become one file, a damaged one is left out and named."""
    ran = command("convert", str(mixed / "texts"), str(tmp_path / "all.json"))
    assert ran.code == 1
    assert len(json.loads((tmp_path / "all.json").read_text())["interactions"]) == 1
    assert BAD[-1] in ran.err


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    """A folder that is gone when its turn comes is told, and the others are looked through."""
    for name in ("a", "b", "c"):
        cassette(tmp_path / name / "x.json", "Name a river.", ["The Nile."])
    told: list[str] = []
    found = find_cassettes([str(tmp_path)], failed=lambda path, _error: told.append(path))
    names = [next(found).path]
    shutil.rmtree(tmp_path / "b")
    names += [one.path for one in found]
    assert [Path(path).parent.name for path in names] == ["a", "c"]
    assert told == [str(tmp_path / "b")]


@pytest.mark.parametrize("name", ["ls", "verify", "stats"])
def test_where_it_looks(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is named, it is ./cassettes and every folder of that name below ./tests, each file once."""
    cassette(tmp_path / "cassettes" / "a.json", "One?", ["1"])
    cassette(tmp_path / "tests" / "cassettes" / "test_x" / "b.json", "Two?", ["2"])
    cassette(tmp_path / "tests" / "unit" / "deep" / "cassettes" / "cassettes" / "c.json", "Three?", ["3"])
    cassette(tmp_path / "tests" / "node_modules" / "cassettes" / "d.json", "Four?", ["4"])
    cassette(tmp_path / "tests" / "fixtures" / "e.json", "Five?", ["5"])
    monkeypatch.chdir(tmp_path)
    ran = command(name, *(["--json"] if name != "verify" else []))
    assert ran.code == 0
    if name == "ls":
        assert [row["question"] for row in ran.rows] == ["One?", "Two?", "Three?"]
    elif name == "stats":
        assert ran.rows[-1]["calls"] == 3
    else:
        assert "3 cassettes checked" in ran.err


def test_folders_below_tests_only(tmp_path: Path) -> None:
    """A project without ./cassettes has those of its tests."""
    cassette(tmp_path / "tests" / "cassettes" / "b.json", "Two?", ["2"])
    assert cassette_folders(str(tmp_path)) == [str(tmp_path / "tests" / "cassettes")]
    assert cassette_folders(str(tmp_path / "none")) == []


COUNTED = """
import sys
opened = 0
def count(event, arguments):
    global opened
    opened += event == "open" and isinstance(arguments[0], str) and "fixture-" in arguments[0]
sys.addaudithook(count)
from mellite.__main__ import command_line
try:
    command_line()(["cassette", "ls", sys.argv[1]], standalone_mode=False)
finally:
    print(opened, file=sys.stderr)
"""


@pytest.mark.slow
def test_each_file_is_read_a_few_times(tmp_path: Path) -> None:
    """JSON that is about something else is looked at for itself: ten times the files are ten times the work."""
    opened: list[int] = []
    for count in (4, 40):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"fixture-{number}.json").write_text(json.dumps({"rows": [number]}))
        ran = subprocess.run(
            [sys.executable, "-c", COUNTED, str(folder)],
            env=surroundings(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        opened.append(int(ran.stderr.split()[-1]))
    assert opened[1] == 10 * opened[0] > 0


NARROW = surroundings(COLUMNS=f"{COLUMNS}")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["cassette", "ls"], ["check", "--require", "max-words=1"]], ids=["ls", "check"])
def test_narrow_terminals_keep_paths_whole(tmp_path: Path, arguments: list[str]) -> None:
    """A path that a table has no room for stands on a line of its own, in one piece, with the rest below it."""
    name = f"{'long' * 20}/a.json"
    cassette(tmp_path / name, "Name a river.", ["The Nile."])
    (tmp_path / "empty.json").touch()
    seen = on_terminal([*COMMAND, *arguments, str(tmp_path)], **NARROW)
    if arguments[0] == "check":
        assert {f"{name} 0", "empty.json"} <= {*seen.plain.splitlines()}
        assert "verdict failed, why The answer has at most 1 words: it has 2" in seen.plain
    else:
        assert {f"{tmp_path / name}", f"{tmp_path / 'empty.json'}"} <= {*seen.plain.splitlines()}
        assert "question Name a river." in seen.plain


def test_narrow_terminals_keep_names_whole(tmp_path: Path) -> None:
    """So do the models in `stats`, the files in `verify`, and the calls in `diff` of two folders."""
    name = f"{'long' * 20}.json"
    left, right = tmp_path / "left", tmp_path / "right"
    cassette(left / name, "Name a river.", ["The Nile."])
    cassette(right / name, "Name a river.", ["The Rhine."])
    (right / "empty.json").touch()
    for arguments, line in (
        (["stats", left], "openai:gpt-4o-mini"),
        (["verify", right], f"{right / 'empty.json'}"),
        (["diff", left, right], f"{name} 0"),
    ):
        seen = on_terminal([*COMMAND, "cassette", *map(str, arguments)], **surroundings(COLUMNS="40"))
        assert line in seen.plain.splitlines()
