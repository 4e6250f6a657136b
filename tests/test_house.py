"""The house: few rooms, thin faces before them, public paths on all that is public, and short ways through."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import anyio.to_thread
import pytest

import mellite
from tests.layer_rules import FACES, ROOMS
from tests.wire.server import LAST, Script, Step, answer, gate, head, piece, serve

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mellite"
PAGES = ["mellite", *(f"mellite.{name}" for name in ("backends", "cassettes", *FACES))]
"""The modules that users import."""

MOST_ROOMS = 15
FACE_LINES = 12

# --- rooms and faces ------------------------------------------------------------------------------


def test_every_folder_is_a_room() -> None:
    """The folders with code are the rooms of the layer rules, and few enough for one screen."""
    folders = {path.name for path in PACKAGE.iterdir() if any(path.rglob("*.py"))}
    rooms = {name for row in ROOMS for name in row if not (PACKAGE / f"{name}.py").is_file()}
    assert folders == rooms
    assert len(rooms) <= MOST_ROOMS


def test_no_module_stands_outside_a_room() -> None:
    """What lies beside the rooms is the package itself, the way in from the command line, the plugin, and faces."""
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", "pytest_plugin", *FACES}


def room_of(face: str) -> ModuleType:
    """The room that a face stands before, by its first import."""
    tree = ast.parse((PACKAGE / f"{face}.py").read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.ImportFrom))
    return import_module(f"mellite.{first.module}.{first.names[0].name}")


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_its_room(face: str) -> None:
    """A face is a few lines, and hands on all that its room lists: the same objects."""
    assert len((PACKAGE / f"{face}.py").read_text(encoding="utf-8").splitlines()) <= FACE_LINES
    room, shown = room_of(face), import_module(f"mellite.{face}")
    assert shown.__all__ == room.__all__
    assert [name for name in room.__all__ if getattr(shown, name) is not getattr(room, name)] == []


def test_every_room_has_tests() -> None:
    """The folders of tests follow the rooms."""
    rooms = {path.name for path in PACKAGE.iterdir() if any(path.rglob("*.py"))}
    assert {name for name in rooms if not any((ROOT / "tests" / name).rglob("test_*.py"))} == set()


def test_tests_lie_with_what_they_test() -> None:
    """No test has the name of a module that it imports from another room."""
    lost = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        room, name = path.relative_to(ROOT / "tests").parts[0], path.stem.removeprefix("test_")
        text = path.read_text(encoding="utf-8")
        homes = {found[1] for found in re.finditer(rf"\bmellite\.(\w+)\.(?:\w+\.)*{name}\b", text)}
        own = list((PACKAGE / room).rglob(f"{name}.py"))
        if (PACKAGE / room).is_dir() and not own and homes and room not in homes:
            lost.append(f"{path.relative_to(ROOT).as_posix()}: a module of {', '.join(sorted(homes))}")
    assert lost == []


# --- public paths ---------------------------------------------------------------------------------


def public(kind: type | tuple[type, ...]) -> Iterator[tuple[str, str, Any]]:
    """(page, name, thing) of each public thing of a kind."""
    for page in PAGES:
        module = import_module(page)
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, kind):
                yield page, name, thing


def test_public_things_say_their_public_path() -> None:
    """Tracebacks, docs and pickles name a class or function by a path from which users import it."""
    function = type(test_public_things_say_their_public_path)
    for page, name, thing in public((type, function)):
        assert thing.__module__ in PAGES, f"{page}.{name} says that it is from {thing.__module__}"
        assert getattr(import_module(thing.__module__), thing.__name__) is thing


ALONE = """
import os, pickle, sys, typing
import anyio, asyncio, attrs, msgspec  # not ours, and slow to load two hundred times
import mellite
from importlib import import_module

def check(page, name):
    thing = getattr(import_module(page), name)
    typing.get_type_hints(thing)
    for protocol in range(2, 6):
        assert pickle.loads(pickle.dumps(thing, protocol)) is thing

for line in sys.stdin:
    child = os.fork()  # in it nothing of mellite is loaded
    if not child:
        try:
            check(*line.split())
        except Exception as error:
            print(line.strip(), repr(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_each_public_class_stands_alone() -> None:
    """In a process that has used nothing else, the types of a class's attributes are found, and a pickle of it read."""
    names = [f"{page} {name}\n" for page, name, thing in public(type) if page == thing.__module__]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE],
        input="".join(names),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")


# --- ways through the rooms -----------------------------------------------------------------------

MESSAGE = {"id": "a", "choices": [{"index": 0, "message": {"content": "Hi there."}, "finish_reason": "stop"}]}
CHUNKS = [
    {"id": "a", "choices": [{"index": 0, "delta": {"content": "Hi "}}]},
    {"id": "a", "choices": [{"index": 0, "delta": {"content": "there."}, "finish_reason": "stop"}]},
]
STREAMED = [
    head(headers={"content-type": "text/event-stream"}),
    *[piece(f"data: {json.dumps(chunk)}\n\n".encode()) for chunk in CHUNKS],
    piece(b"data: [DONE]\n\n"),
    LAST,
]
WHOLE = answer(json.dumps(MESSAGE).encode(), headers={"content-type": "application/json"})


class Walk:
    """The rooms whose code runs, from one `begin` to the next; in this thread and those started meanwhile."""

    def __init__(self) -> None:
        self._below = f"{PACKAGE}/"
        self._rooms: set[str] = set()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(self._below):
            self._rooms.add(file.removeprefix(self._below).partition("/")[0])

    def begin(self) -> set[str]:
        """A set that fills from now on."""
        self._rooms = set()
        return self._rooms


@contextmanager
def walked() -> Iterator[Walk]:
    """See which rooms are entered; whoever watched before watches again afterwards."""
    walk, before = Walk(), (sys.getprofile(), threading.getprofile())
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Iterator[Callable[[list[Step]], Script]]:
    """Makes a server say something once a gate is open."""
    del request
    with serve() as server:
        yield lambda steps: server.script(gate("go"), *steps)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_call_goes_through_few_rooms(script: Callable[[list[Step]], Script], stream: bool) -> None:
    """From `generate` to the bytes it is six rooms at most, and from the bytes of the answer to the settled thunk."""
    said = script(STREAMED if stream else WHOLE)
    async with mellite.backend("openai-chat:m", base_url=said.url, api_key="made-up") as backend:
        said.release("go")
        assert await backend.generate("Hello.", stream=stream) == "Hi there."  # imports, and opens a connection
        with walked() as walk:
            asked = walk.begin()
            thunk = mellite.generate(backend, "Hello.", stream=stream)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(thunk.settle)
                await anyio.to_thread.run_sync(said.waiting, 1)
                answered = walk.begin()
                said.release("go")
        assert thunk.value == "Hi there."
    assert {"backends", "thunk", "wire"} < asked
    assert {"protocols", "thunk", "wire"} < answered
    assert len(asked) <= 6, asked
    assert len(answered) <= 6, answered


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_replayed_call_goes_through_few_rooms(
    script: Callable[[list[Step]], Script], stream: bool, tmp_path: Path
) -> None:
    """A call that a cassette answers goes through seven rooms at most."""
    said = script(STREAMED if stream else WHOLE)
    said.release("go", 2)
    file = tmp_path / "two.json"
    async with mellite.cassettes.use(file, mode="once", even_in_ci=True) as recording:
        await ask_twice(mellite.backend("openai-chat:m", base_url=said.url, api_key="k", transport=recording), stream)
    async with mellite.cassettes.use(file, mode="none") as replaying:
        rooms = await ask_twice(
            mellite.backend("openai-chat:m", base_url=said.url, api_key="k", transport=replaying), stream
        )
    assert {"backends", "cassettes", "protocols", "thunk", "wire"} < rooms
    assert len(rooms) <= 7, rooms


async def ask_twice(backend: Any, stream: bool) -> set[str]:
    """The rooms that a call goes through when another has been made before it."""
    assert await backend.generate("Hello.", stream=stream) == "Hi there."
    with walked() as walk:
        rooms = walk.begin()
        assert await mellite.generate(backend, "Hello.", stream=stream) == "Hi there."
    return rooms
