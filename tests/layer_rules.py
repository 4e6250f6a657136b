"""Which module of mellite may import which: the layers and arrows as tables.

A new module needs a row in LAYERS, or lies in a folder that has one. Imports inside functions, those for type checkers
only and those by a name in a string count like any other: a lazy import upwards is still an arrow upwards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

LAYERS = {
    10: (
        "__main__",
        "cli",
        "cli_cassettes",
        "cli_cassettes_changes",
        "cli_checking",
        "cli_output",
        "cli_prices",
        "cli_requirements",
        "cli_sampling",
        "demo",
        "mochi",
        "pytest_loops",
        "pytest_plugin",
    ),
    9: (
        "answer_bodies",
        "asking",
        "batch",
        "comparing",
        "conformance",
        "converting",
        "entries",
        "gathering",
        "journal",
        "progress",
        "recorded",
        "requirements",
        "sampling",
        "steps",
        "streaming",
        "tallying",
        "toolloop",
    ),
    8: ("hooks", "resilience", "telemetry"),
    7: ("backends",),
    6: ("cassettes",),
    5: ("providers",),
    4: ("protocols",),
    3: ("wire",),
    2: (
        "answer",
        "calling",
        "calls",
        "cancelling",
        "forking",
        "generation",
        "iteration",
        "loops",
        "nesting",
        "outcome",
        "places",
        "readers",
        "records",
        "sharing",
        "thunk",
        "trio_loop",
    ),
    1: ("chunking", "fold", "jsonschema", "pricelist", "pricing", "secrets", "templates", "terminal", "tools"),
    0: ("chat_messages", "errors", "events", "messages", "option_names", "prompts", "request", "spelling", "usage"),
}
"""Layer -> its modules and folders. mellite/__init__.py is above all of them and imported by nobody."""

APART = (4, 8, 10)
"""Layers whose modules do not import each other ..."""

TOGETHER = {
    "__main__": ("cli", "cli_*", "demo"),
    "cli": ("demo",),
    "pytest_plugin": ("pytest_loops",),
    "cli_*": ("cli", "cli_cassettes", "cli_output", "cli_requirements"),
    "protocols.openai_chat": ("protocols.chat_*",),  # one protocol in several files
    "protocols.chat_*": ("protocols.chat_*",),
    "protocols.anthropic_*": ("protocols.anthropic_*",),
    "protocols.cohere_*": ("protocols.cohere_*",),
    "protocols.openai_responses": ("protocols.responses_*",),
    "protocols.responses_*": ("protocols.responses_*",),
    "protocols.bedrock_converse": ("protocols.converse_*",),  # likewise
    "protocols.converse_*": ("protocols.converse_*",),
    "protocols.gemini*": ("protocols.gemini_*",),  # likewise
    "protocols.failures": ("protocols.failure_*",),  # the tables, and how bodies are read
    "protocols.*": (
        "protocols.caching",
        "protocols.failures",
        "protocols.finish_words",
        "protocols.history",
        "protocols.media",
        "protocols.toolcalls",
        "protocols.toolinputs",
    ),
}
"""... but for these: importer -> imported."""

NARROWED = (
    ("wire*", 2, ("forking", "loops"), "wire/ is bytes and knows no thunk"),
    ("protocols*", 3, ("wire.protocol",), "a protocol is JSON and knows no bytes, URLs or keys"),
    ("protocols*", 2, ("records",), "a protocol turns JSON into events and knows no thunk"),
    ("cassettes*", 5, (), "a cassette knows no vendor"),
    ("cassettes*", 4, (), "a cassette knows no vendor"),
    ("cassettes*", 2, ("forking", "loops", "records"), "a cassette knows no thunk"),
    (
        "backends*",
        2,
        ("calling", "forking", "loops", "places", "records"),
        "a backend only yields events and knows no thunk",
    ),
)
"""(importer, a layer below it, all that it may import of that layer, why)."""

TRANSPORTS = ("wire.transport", "wire.transport_*")
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("aiohttp", "multidict", "yarl", "httpx2", "httpcore2", "httpx", "httpcore"), TRANSPORTS),
    "botocore": ("wire.aws_profile",),
    "websockets": ("wire.websocket_connection",),
    **dict.fromkeys(("asyncio", "sniffio", "trio"), ("loops", "readers", "trio_loop", *TRANSPORTS)),
    "click": ("__main__", "cli", "cli_*", "demo"),
    "rich": ("__main__", "cli", "cli_*", "demo", "progress", "sampling.result", "sampling.table"),
    "opentelemetry": ("telemetry",),
    "pytest": ("pytest_plugin",),
    "lz4": ("cassettes.compression",),
    "yaml": ("cassettes.safe_yaml",),
}
"""Library -> the only modules of mellite that import it."""

PURE_BELOW = 2
IMPURE = ("anyio", "concurrent", "http", "random", "secrets", "socket", "ssl", "subprocess", "threading", "time")
"""What a module below layer 2 does not import: it has no clock and does no I/O."""

IMPORTERS = {"import_module", "__import__"}


class Import(NamedTuple):
    """One import: what is imported (with ``mellite.`` in front if it is ours) and in which line."""

    line: int
    target: str

    @property
    def ours(self) -> bool:
        """Whether it is a module of mellite, or mellite itself."""
        return self.target == "mellite" or self.target.startswith("mellite.")


class Module(NamedTuple):
    """One file of the package, read."""

    name: str
    """Dotted, without ``mellite.``; mellite/__init__.py is the empty string."""
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]

    def at(self, line: int) -> str:
        """Where a line is, for messages."""
        return f"{self.name or 'mellite'} ({self.path.name}:{line})"


# --- reading the tree -----------------------------------------------------------------------------


def short(target: str) -> str:
    """A module name without ``mellite.``."""
    return target.removeprefix("mellite").removeprefix(".")


def modules_below(package: Path) -> dict[str, Module]:
    """Name -> module, for every Python file below a package folder."""
    paths = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    modules = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = ["mellite", *filter(None, name.split("."))]
        home = inside if path.name == "__init__.py" else inside[:-1]
        found = {*written(tree, home, paths.keys()), *in_strings(tree, home, paths.keys())}
        itself = ".".join(inside)
        modules[name] = Module(name, path, tree, tuple(sorted(each for each in found if each.target != itself)))
    return modules


def absolute(name: str, dots: int, home: list[str]) -> str:
    """What a name with leading dots means in a module of the package ``home``."""
    if not dots:
        return name
    return ".".join([*home[: len(home) - (dots - 1)], *filter(None, [name])])


def written(tree: ast.Module, home: list[str], known: Iterable[str]) -> Iterator[Import]:
    """The import statements of a module, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node.module or "", node.level, home)
            for alias in node.names:
                deeper = f"{source}.{alias.name}"
                is_module = deeper.startswith("mellite.") and short(deeper) in known
                yield Import(node.lineno, deeper if is_module else source)


def in_strings(tree: ast.Module, home: list[str], known: Iterable[str]) -> Iterator[Import]:
    """What a module can import by a name in a string: any string that names a module, if it imports that way at all."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) in IMPORTERS]
    for call in calls:
        if literal := text_of(call.args[0]) if call.args else None:
            dots = len(literal) - len(literal.lstrip("."))
            yield Import(call.lineno, absolute(literal.lstrip("."), dots, home))
    for node in ast.walk(tree) if calls else ():
        if text := text_of(node):
            dots = len(text) - len(text.lstrip("."))
            name = absolute(text.lstrip("."), dots, home)
            if name.startswith("mellite.") and short(name) and short(name) in known:
                yield Import(node.lineno, name)


def called(call: ast.Call) -> str:
    """The last word of what a call calls."""
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def text_of(node: ast.AST) -> str | None:
    """The text of a string literal; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# --- the rules ------------------------------------------------------------------------------------


def problems(package: Path) -> list[str]:
    """All that is wrong with the imports below a package folder, as sentences; empty is good."""
    modules = modules_below(package)
    out = []
    for module in modules.values():
        if module.name and layer_of(module.name) is None:
            out.append(
                f"{module.name} ({module.path.name}) is in no layer: add it to LAYERS in tests/layer_rules.py, "
                "to the lowest layer that has all it imports below it"
            )
            continue
        out += [
            f"{module.at(found.line)} imports {found.target}: {trouble}"
            for found in module.imports
            if (trouble := trouble_with(module.name, found))
        ]
        out += unreadable_imports(module)
        out += routes_made(module)
    return [*out, *cycles(modules)]


def layer_of(name: str) -> int | None:
    """The layer of a module, by the row of its first word; None without a row."""
    first = name.partition(".")[0]
    return next((layer for layer, row in LAYERS.items() if first in row), None)


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether a module name fits one of some patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def trouble_with(importer: str, found: Import) -> str | None:
    """What is wrong with one import, if anything."""
    return own_trouble(importer, short(found.target)) if found.ours else library_trouble(importer, found)


def own_trouble(importer: str, target: str) -> str | None:
    """What is wrong when one module of mellite imports another, if anything."""
    if not importer:
        return None
    if not target:
        return "nobody imports mellite/__init__.py; import the module that defines the name"
    upper, lower = layer_of(importer), layer_of(target)
    if upper is None or lower is None:
        return "it is in no layer"
    if lower > upper:
        return f"an arrow up, from layer {upper} to layer {lower}; move the code down or pass the thing in"
    together = any(fits(importer, [who]) and fits(target, allowed) for who, allowed in TOGETHER.items())
    if lower == upper and upper in APART and not together and not target.startswith(f"{importer}."):
        return f"the modules of layer {upper} do not import each other"
    for who, layer, allowed, why in NARROWED:
        if fits(importer, [who]) and lower == layer and target not in allowed:
            return f"{why}; of layer {layer} it may import {', '.join(allowed) or 'nothing'}"
    return None


def library_trouble(importer: str, found: Import) -> str | None:
    """What is wrong when a module of mellite imports a library, if anything."""
    library = found.target.partition(".")[0]
    if library in ONLY_IN and not fits(importer, ONLY_IN[library]):
        return f"only {', '.join(ONLY_IN[library])} may"
    layer = layer_of(importer)
    if library in IMPURE and layer is not None and layer < PURE_BELOW and importer:
        return f"layer {layer} is pure: no clock, no I/O"
    return None


def unreadable_imports(module: Module) -> Iterator[str]:
    """Imports by a name that is put together at run time, where no whole name in the file can be checked instead."""
    if any(found.ours for found in module.imports):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) in IMPORTERS and not (node.args and text_of(node.args[0])):
            yield f"{module.at(node.lineno)} imports by a computed name: write whole names in a table, to be checked"


def routes_made(module: Module) -> Iterator[str]:
    """Where a module outside providers/ puts a route together."""
    if fits(module.name, ["providers*", "wire.route"]):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) == "Route":
            yield f"{module.at(node.lineno)} makes a Route: only providers/ puts routes together"


def cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """For each module that can be reached from itself, one shortest way round; each way once."""
    arrows = {
        name: sorted({short(found.target) for found in module.imports if found.ours} & modules.keys())
        for name, module in modules.items()
    }
    told: set[frozenset[str]] = set()
    for start in sorted(arrows):
        way = way_round(start, arrows)
        if way and frozenset(way) not in told:
            told.add(frozenset(way))
            yield f"a cycle: {' -> '.join(name or 'mellite' for name in way)}; move what both need into a module below"


def way_round(start: str, arrows: Mapping[str, list[str]]) -> tuple[str, ...] | None:
    """A shortest way from a module along the arrows back to itself; None if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    visited: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        for following in arrows[way[-1]]:
            if following == start:
                return (*way, start)
            if following not in visited:
                visited.add(following)
                ways.append((*way, following))
    return None
