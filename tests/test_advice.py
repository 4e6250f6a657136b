"""What mellite's messages, docstrings and pages recommend exists: names, keywords, extras, pages, commands, flags."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, reduce
from pathlib import Path

import click
import pytest

import mellite.pytest_plugin
from mellite.__main__ import command_line
from mellite.request import Options
from tests.pages import PAGES, ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

#: Flags of other programs: of pytest and its plugins, and of servers.
OTHERS = {
    *("--full-trace", "--record-mode"),
    "--disable",  # of Codex
    *("--config", "--enable-auto-tool-choice", "--jinja", "--reasoning-parser", "--tool-call-parser"),
    *("--quiet", "--repository", "--yes"),  # of programs that start MCP servers, and of one
}


def texts(path: Path) -> Iterator[str]:
    """Every text of a module, docstrings included; a hole of an f-string is a NUL."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join([str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


WRITTEN = [(path, text) for path in sorted((ROOT / "mellite").rglob("*.py")) for text in texts(path)]
WRITTEN += [(page, page.read_text(encoding="utf-8")) for page in PAGES]


TELEMETRY = (ROOT / "mellite/backends/wrappers/semantics.py").read_text()


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, something that is reached from one, or an attribute or metric of a trace."""
    first, *rest = name.split(".")
    try:
        reduce(step, rest, importlib.import_module(first))
    except (AttributeError, ImportError):
        return f'"{name}"' in TELEMETRY
    return True


def step(found: object, name: str) -> object:
    """An attribute, a field of an attrs class, or a module that was not imported yet."""
    if hasattr(found, name) or any(one.name == name for one in getattr(found, "__attrs_attrs__", ())):
        return getattr(found, name, None)
    return importlib.import_module(f"{found.__name__}.{name}")  # type: ignore[attr-defined]


def commands(group: click.Group, above: str = "mellite") -> Iterator[tuple[str, click.Command]]:
    """Every command, by what is typed for it."""
    for name, command in group.commands.items():
        yield f"{above} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{above} {name}")


COMMANDS = dict(commands(command_line()))
FLAGS = {"--help"} | {
    flag
    for command in COMMANDS.values()
    for option in command.params
    for flag in (*option.opts, *option.secondary_opts)
}
PLUGIN = Path(mellite.pytest_plugin.__file__).read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "tests" / "benchmarks" / "__main__.py").read_text(encoding="utf-8")


def is_command(words: str) -> bool:
    """Whether `mellite ...` begins with a command, and a word behind a group is one of its own."""
    _, first, second = [*words.split(), ""][:3]
    command = COMMANDS.get(f"mellite {first}")
    is_whole = not isinstance(command, click.Group) or not second or f"mellite {first} {second}" in COMMANDS
    return command is not None and is_whole


def is_flag(flag: str) -> bool:
    return flag in FLAGS | OTHERS or any(f'"{flag}"' in source for source in (PLUGIN, BENCHMARKS))


@cache
def keywords() -> set[str]:
    """The parameters of every function, method and class of the package, and those of the plugin's marker."""
    found = {*inspect.signature(Options).parameters, "install", "requires", "keepends"}  # the last is str.splitlines'
    for module in pkgutil.walk_packages(mellite.__path__, "mellite."):
        for value in vars(importlib.import_module(module.name)).values():
            members = list(vars(value).values()) if inspect.isclass(value) else []
            for each in (value, *members):
                function = getattr(each, "__func__", each)
                if callable(function) and str(getattr(function, "__module__", "")).startswith("mellite"):
                    with suppress(ValueError):  # an exception written in C has no signature
                        found.update(inspect.signature(function).parameters)
    return found


def is_keyword(name: str) -> bool:
    return name in keywords()


RULES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "names": (r"(?<![\w./@\"'-])@?(mellite(?:\.[A-Za-z_]\w*)+)(?![\w/]|\.\w)", resolves),
    "extras": (r"(?<![\w.])mellite\[([a-z0-9,]+)\]", lambda names: set(names.split(",")) <= EXTRAS.keys()),
    "pages": (r"(?<![\w./-])(docs/[\w/-]+\.md)", lambda path: (ROOT / path).is_file()),
    "commands": (r"[`'](mellite [a-z]+(?: [a-z]+)?)(?= |`|')", is_command),
    "keywords": (r"(?<![\w\"'&?.-])([a-z_]\w*)=(?=\.\.\.|\[|True|False|None|\{|mellite)", is_keyword),
    "flags": (r"(?<![\w-])(--[a-z][a-z-]+)", is_flag),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_is_recommended_exists(rule: str) -> None:
    """No message, docstring or page names something of mellite's that is not there."""
    pattern, exists = RULES[rule]
    written = [(path, text) for path, text in WRITTEN if rule != "keywords" or path not in PAGES]  # those are run
    named = [(path.relative_to(ROOT), name) for path, text in written for name in re.findall(pattern, text)]
    assert len(named) > 1
    assert [f"{path}: {name}" for path, name in named if not exists(name)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("names", "a function under @mellite.tools"),
        ("names", "see mellite.errors.NoSuchError."),
        ("extras", "pip install 'mellite[websockets]'"),
        ("pages", "see docs/how-to/no-such-page.md"),
        ("commands", "try `mellite cassette frobnicate`"),
        ("flags", "run pytest --mellite-recording"),
        ("keywords", "give it timeout_seconds=None"),
    ],
)
def test_what_does_not_exist_is_noticed(rule: str, text: str) -> None:
    """Each rule finds a recommendation of something that is not there."""
    pattern, exists = RULES[rule]
    assert [exists(name) for name in re.findall(pattern, text)] == [False]
