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
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(source)
        return problems(tmp_path)

    return write_and_check


def test_mellite() -> None:
    """No import of mellite breaks the design: no arrow up, no cycle, nothing where it has no place."""
    wrong = problems(PACKAGE)
    assert not wrong, "\n".join(["", *wrong])


def test_arrows_down_are_fine(found: Tree) -> None:
    """Imports of lower layers, of libraries and of the standard library are not reported."""
    sources = {
        "errors": "import math",
        "fold": "from .errors import MelliteError\nfrom . import errors",
        "calling": "import anyio\nimport mellite.fold",
        "backends/live": "from ..wire.route import Route\nfrom ..calling import Backend",
        "backends/cassette": "from mellite.cassettes.text import djb2_key",
        "cassettes/text": "from ..wire import transport",
        "wire/route": "from ..errors import MelliteError",
        "wire/transport": "import aiohttp",
        "protocols/openai_chat": "from ..wire.protocol import Protocol\nfrom . import toolcalls",
        "protocols/toolcalls": "",
        "wire/protocol": "",
        "cli": "from .demo import main\nimport click",
        "demo": "from .backends.cassette import TextCassetteBackend",
        "__init__": "from .cli import main",
    }
    assert found(sources) == []


@pytest.mark.parametrize(
    "source",
    [
        "from .thunk import ModelOutputThunk",
        "from mellite.thunk import ModelOutputThunk",
        "from . import thunk",
        "import mellite.thunk",
        "def lazy():\n    from .thunk import ModelOutputThunk",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .thunk import ModelOutputThunk",
        "from importlib import import_module\ndef lazy():\n    return import_module('mellite.thunk')",
        "from importlib import import_module\ndef lazy():\n    return import_module('.thunk', __package__)",
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
        "table",
        "guarded",
    ],
)
def test_an_arrow_up(found: Tree, source: str) -> None:
    """An import of a higher layer is reported with its line, however it is written."""
    (wrong,) = found({"fold": source, "thunk": ""})
    assert wrong.startswith("fold (fold.py:")
    assert "an arrow up, from layer 1 to layer 2" in wrong


def test_an_arrow_up_from_a_folder(found: Tree) -> None:
    """Relative imports are resolved from the folder of a module, also in its __init__.py."""
    wrong = found({"wire/route": "from ..backends.live import LiveBackend", "backends/live": ""})
    assert len(wrong) == 1
    assert "wire.route (route.py:1) imports mellite.backends.live: an arrow up, from layer 3 to layer 7" in wrong[0]


def test_a_cycle(found: Tree) -> None:
    """Modules of one layer that import each other are a cycle, told once with the way round."""
    sources = {
        "errors": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .events import Usage",
        "events": "from .messages import Part",
        "messages": "def lazy():\n    from .errors import InvalidRequest",
    }
    wrong = found(sources)
    assert wrong == ["a cycle: errors -> events -> messages -> errors; move what both need into a module below"]


def test_nobody_imports_the_top(found: Tree) -> None:
    """mellite/__init__.py is above all layers: no module imports it."""
    for source in ("import mellite", "from mellite import ModelOutputThunk", "from . import ModelOutputThunk"):
        (wrong,) = found({"cli": source})
        assert "nobody imports mellite/__init__.py" in wrong


def test_a_module_without_a_row(found: Tree) -> None:
    """A module that the table does not know fails, and the message says what to do about it."""
    (wrong,) = found({"novelty": ""})
    assert wrong.startswith("novelty (novelty.py) is in no layer: add it to LAYERS in tests/layer_rules.py")


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        (
            {"protocols/gemini": "from .openai_chat import lower", "protocols/openai_chat": ""},
            "do not import each other",
        ),
        ({"telemetry": "from .hooks import Hooked", "hooks": ""}, "do not import each other"),
        ({"cli": "from .pytest_plugin import fixture", "pytest_plugin": ""}, "do not import each other"),
        ({"protocols/media": "from ..wire import framing", "wire/framing": ""}, "a protocol is JSON"),
        ({"protocols/media": "from ..wire.route import Route", "wire/route": ""}, "a protocol is JSON"),
        ({"protocols/media": "from ..thunk import x", "thunk": ""}, "knows no thunk"),
        ({"wire/route": "from ..thunk import x", "thunk": ""}, "wire/ is bytes"),
        ({"cassettes/http": "from ..protocols.gemini import x", "protocols/gemini": ""}, "a cassette knows no vendor"),
        ({"cassettes/http": "from ..providers.openai import x", "providers/openai": ""}, "a cassette knows no vendor"),
        ({"cassettes/http": "from ..thunk import x", "thunk": ""}, "a cassette knows no thunk"),
        ({"backends/fake": "from ..thunk import x", "thunk": ""}, "a backend only yields events"),
        ({"backends/live": "from ..wire.route import Route\nr = Route()", "wire/route": ""}, "only providers/"),
        ({"wire/route": "import aiohttp"}, "only wire.transport, wire.transport_* may"),
        ({"providers/openai": "def lazy():\n    import httpx2"}, "only wire.transport, wire.transport_* may"),
        ({"wire/framing": "from httpcore2 import AsyncConnectionPool"}, "only wire.transport, wire.transport_* may"),
        ({"resilience": "from opentelemetry import trace"}, "only telemetry may"),
        ({"thunk": "import asyncio"}, "only loops, readers, trio_loop, wire.transport, wire.transport_* may"),
        ({"backends/live": "import click"}, "only __main__, cli, cli_*, demo may"),
        ({"fold": "def now():\n    import time"}, "layer 1 is pure"),
        ({"request": "import anyio"}, "layer 0 is pure"),
        ({"steps": "import importlib\ndef lazy(n):\n    return importlib.import_module(n)"}, "by a computed name"),
    ],
)
def test_a_folder_has_a_not_in_it(found: Tree, sources: dict[str, str], reason: str) -> None:
    """What the design says a module or folder is not, it may not import, although the arrow points down."""
    (wrong,) = found(sources)
    assert reason in wrong
