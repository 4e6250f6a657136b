"""The arrows between layers point down only, and the check of that sees them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.layer_rules import problems

PACKAGE = Path(__file__).parent.parent / "mellite"

Tree = Callable[[Mapping[str, str]], list[str]]


@pytest.fixture
def found(tmp_path: Path) -> Tree:
    """Writes a small made-up package, given as path without ``.py`` -> source, and checks it."""

    def write_and_check(sources: Mapping[str, str]) -> list[str]:
        (tmp_path / "__init__.py").touch()
        for name, source in sources.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True, parents=True)
            (path.parent / "__init__.py").touch()
            path.write_text(source)
        return problems(tmp_path)

    return write_and_check


def test_mellite() -> None:
    """No import of mellite breaks the design: no arrow up, no cycle, nothing where it has no place."""
    wrong = problems(PACKAGE)
    assert not wrong, "\n".join(["", *wrong])


def test_arrows_down_are_fine(found: Tree) -> None:
    """Imports of lower rooms, of libraries and of the standard library are not reported."""
    sources = {
        "values/errors": "import math",
        "values/fold": "from .errors import MelliteError\nfrom . import errors",
        "errors": "from .values.errors import *",
        "thunk/backend": "import anyio\nimport mellite.values.fold",
        "backends/live": "from ..wire.route import Route\nfrom ..thunk.backend import Backend",
        "backends/text_cassette": "from mellite.cassettes.text.directory import djb2_key",
        "cassettes/files/disk": "from ..secrets import scan",
        "cassettes/secrets/scan": "",
        "cassettes/text/directory": "from ...wire import http\nfrom ..files import disk",
        "wire/route": "from ..values.errors import MelliteError",
        "wire/http": "",
        "wire/transports/aiohttp": "import aiohttp",
        "protocols/openai_chat/stream": "from ...wire.protocol import Protocol\nfrom .. import tool_calls",
        "protocols/openai_chat/body": "from . import stream",
        "protocols/tool_calls": "",
        "protocols/writing": "from . import openai_chat",
        "wire/protocol": "",
        "cli/app": "from .demo import main\nimport click",
        "cli/demo": "from ..backends.text_cassette import TextCassetteBackend",
        "__init__": "from .cli import main\nfrom .values.lazily import attach\nattach(__name__, {'.values.fold': 'x'})",
        "values/lazily": "from importlib import import_module\ndef attach(name):\n    return import_module(name)",
    }
    assert found(sources) == []


@pytest.mark.parametrize(
    "source",
    [
        "from ..thunk import ModelOutputThunk",
        "from mellite.thunk import ModelOutputThunk",
        "from .. import thunk",
        "import mellite.thunk",
        "def lazy():\n    from ..thunk import ModelOutputThunk",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..thunk import ModelOutputThunk",
        "from importlib import import_module\ndef lazy():\n    return import_module('mellite.thunk')",
        "from importlib import import_module\ndef lazy():\n    return import_module('..thunk', __package__)",
        "from .lazily import attach\nattach(__name__, {'..thunk': 'ModelOutputThunk'})",
        "NAMES = ['mellite.thunk']\nimport importlib\ndef lazy(i):\n    return importlib.import_module(NAMES[i])",
        "try:\n    import mellite.thunk\nexcept ImportError:\n    pass",
    ],
    ids=[
        "from",
        "absolute",
        "module",
        "import",
        "lazy",
        "type-checking",
        "import_module",
        "relative",
        "attached",
        "table",
        "guarded",
    ],
)
def test_an_arrow_up(found: Tree, source: str) -> None:
    """An import of a higher layer is reported with its line, however it is written."""
    (wrong,) = found({"values/fold": source, "values/lazily": "", "thunk/__init__": ""})
    assert wrong.startswith("values.fold (fold.py:")
    assert "an arrow up, from values.fold to thunk" in wrong


def test_an_arrow_up_from_a_folder(found: Tree) -> None:
    """Relative imports are resolved from the folder of a module, also in its __init__.py."""
    wrong = found({"wire/route": "from ..backends.live import LiveBackend", "backends/live": ""})
    assert len(wrong) == 1
    assert (
        "wire.route (route.py:1) imports mellite.backends.live: an arrow up, from wire.route to backends.live"
        in wrong[0]
    )


def test_a_cycle(found: Tree) -> None:
    """Modules of one layer that import each other are a cycle, told once with the way round."""
    sources = {
        "values/errors": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .events import Usage",
        "values/events": "from .messages import Part",
        "values/messages": "def lazy():\n    from .errors import InvalidRequest",
    }
    wrong = found(sources)
    way = "values.errors -> values.events -> values.messages -> values.errors"
    assert wrong == [f"a cycle: {way}; move what both need into a module below"]


def test_nobody_imports_the_top(found: Tree) -> None:
    """mellite/__init__.py is above all layers: no module imports it."""
    for source in ("import mellite", "from mellite import ModelOutputThunk", "from .. import ModelOutputThunk"):
        (wrong,) = found({"cli/app": source})
        assert "nobody imports mellite/__init__.py" in wrong


def test_nobody_imports_a_face(found: Tree) -> None:
    """A face is for users: inside, names come from the module that defines them."""
    (wrong,) = found({"cli/app": "from ..errors import MelliteError", "errors": ""})
    assert "a face is for users" in wrong


@pytest.mark.parametrize("name", ["novelty", "novelty/thing", "cassettes/novelty"])
def test_a_module_without_a_room(found: Tree, name: str) -> None:
    """A module in no room fails, and the message says what to do about it."""
    wrong = found({name: ""})
    assert f"{name.replace('/', '.')} (" in wrong[-1]
    assert "is in no room: put it into the lowest room that has all it imports below it" in wrong[-1]


TRANSPORTS = "only wire.transports, wire.transports.*"


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        (
            {"protocols/gemini/body": "from ..openai_chat import lower", "protocols/openai_chat/__init__": ""},
            "the folders of one row in protocols never import each other",
        ),
        (
            {"cassettes/replaying/a": "from ..recording import b", "cassettes/recording/b": ""},
            "the folders of one row in cassettes never import each other",
        ),
        ({"cassettes/files/a": "from ..recording import b", "cassettes/recording/b": ""}, "an arrow up"),
        ({"protocols/media": "from .gemini import body", "protocols/gemini/body": ""}, "an arrow up"),
        ({"thunk/a": "from ..wire import b", "wire/b": ""}, "thunk and wire never import each other"),
        ({"wire/route": "from ..thunk import x", "thunk/__init__": ""}, "wire and thunk never import each other"),
        ({"archive/a": "from ..strategies import b", "strategies/b": ""}, "archive and strategies never import"),
        ({"cli/app": "from ..pytest_plugin import fixture", "pytest_plugin": ""}, "cli and pytest_plugin never import"),
        ({"recipes/a": "from ..strategies import b", "strategies/b": ""}, "a recipe is a user's program"),
        ({"cassettes/modes": "from ..protocols.media import x", "protocols/media": ""}, "never import each other"),
        ({"protocols/media": "from ..wire import framing", "wire/framing": ""}, "a protocol is JSON"),
        ({"protocols/media": "from ..wire.route import Route", "wire/route": ""}, "a protocol is JSON"),
        ({"protocols/media": "from ..thunk import x", "thunk/__init__": ""}, "knows no thunk"),
        ({"cassettes/modes": "from ..providers.openai import x", "providers/openai": ""}, "an arrow up"),
        ({"cassettes/modes": "from ..thunk import x", "thunk/__init__": ""}, "a cassette knows no thunk"),
        ({"cassettes/modes": "from ..wire.route import x", "wire/route": ""}, "a cassette stands in for a server"),
        ({"backends/fake": "from ..thunk import x", "thunk/__init__": ""}, "a backend only yields events"),
        ({"backends/live": "from ..wire.route import Route\nr = Route()", "wire/route": ""}, "only providers/"),
        ({"wire/route": "import httptools"}, TRANSPORTS),
        ({"providers/openai": "def lazy():\n    import httpx2"}, TRANSPORTS),
        ({"wire/framing": "from httpcore2 import AsyncConnectionPool"}, TRANSPORTS),
        ({"strategies/a": "from opentelemetry import trace"}, "only backends.wrappers.tracing may"),
        ({"thunk/thunk": "import trio"}, "only loops.*, wire.transports, wire.transports.*, recipes.* may"),
        ({"backends/live": "import click"}, "only __main__, cli.* may"),
        ({"values/fold": "def now():\n    import time"}, "values are pure"),
        ({"values/request": "import anyio"}, "values are pure"),
        ({"strategies/a": "import importlib\ndef lazy(n):\n    return importlib.import_module(n)"}, "a computed name"),
    ],
)
def test_a_room_has_a_not_in_it(found: Tree, sources: dict[str, str], reason: str) -> None:
    """What the design says a room is not, it may not import, although the arrow points down."""
    (wrong,) = found(sources)
    assert reason in wrong
