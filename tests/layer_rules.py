"""Which module of mellite may import which: the rooms from bottom to top, as one list.

A new module lies in a room. Imports inside functions, those for type checkers
only and those by a name in a string count like any other: a lazy import upwards is still an arrow upwards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

ROOMS: tuple[tuple[str, ...], ...] = (
    ("values",),
    ("loops",),
    ("thunk", "wire"),
    ("protocols", "cassettes"),
    ("providers",),
    ("backends",),
    ("strategies", "archive"),
    ("engine", "server", "viewer"),
    ("cli", "pytest_plugin", "recipes"),
    ("__main__",),
)
"""The rooms of mellite from bottom to top. A room imports those below it; the two of one row never import each other.

mellite/__init__.py is above all of them, and so are the faces: only recipes import them.
"""

FACES = (
    "errors",
    "events",
    "hooks",
    "log",
    "mcp",
    "messages",
    "mochi",
    "request",
    "requirements",
    "sampling",
    "steps",
    "stop",
    "streaming",
    "telemetry",
)
"""Files of a few lines that stand where a public path always was, and hand on what is in a room."""

USERS = "recipes"
"""The room of programs to copy: they import mellite and its faces, as those who copy them do, and nothing else."""

INSIDE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "cassettes": (
        ("alike", "interactions", "bodies", "timeline", "compression", "modes", "naming"),
        ("secrets",),
        ("files",),
        ("recording", "replaying", "text"),
        ("opening", "scrub", "scrub_files", "audit", "for_pytest", "run_of_tests"),
        ("clients",),
    ),
    "protocols": (
        (
            "json_values",
            "media",
            "history",
            "cache_marks",
            "citations",
            "answer_blocks",
            "answer_state",
            "body_fields",
            "error_answers",
            "error_bodies",
            "error_words",
            "finish_words",
            "message_parts",
            "plain_values",
            "reading",
            "request_fields",
            "tool_definitions",
            "tool_calls",
            "tool_inputs",
            "closed_schema",
            "openai_schema",
            "openai_writing",
            "output_modes",
            "schema_projection",
        ),
        (
            "anthropic_messages",
            "bedrock_converse",
            "cohere_chat",
            "gemini",
            "ollama_chat",
            "openai_chat",
            "openai_responses",
        ),
        ("writing",),
    ),
}
"""Rows within a room, from bottom to top. Modules of one row may import each other, folders of one row never do."""

NARROWED = (
    ("protocols", "wire", ("wire.protocol",), "a protocol is JSON and knows no bytes, URLs or keys"),
    ("protocols", "thunk", (), "a protocol turns JSON into events and knows no thunk"),
    (
        "cassettes",
        "wire",
        (
            "wire.content_encoding",
            "wire.error_context",
            "wire.http",
            "wire.transports.default",
            "wire.transports.scripted",
        ),
        "a cassette stands in for a server and knows no route, framing or key",
    ),
    ("cassettes", "thunk", (), "a cassette knows no thunk"),
    (
        "backends",
        "thunk",
        ("thunk.backend", "thunk.observing", "thunk.lateness", "thunk.settled_copies"),
        "a backend only yields events and knows no thunk; wrappers may look on, stand in between and show what settled",
    ),
)
"""(room, a room below it, all that it may import of that one, why)."""

EXEMPT = {
    "backends.asking": "it is what makes thunks for everybody: its types are the thunk's",
    "backends.conformance": "it checks backends by what they make of a thunk",
}
"""Modules to which NARROWED does not apply, and why."""

TRANSPORTS = ("wire.transports", "wire.transports.*")
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("h2", "httptools", "httpcore2", "httpcore"), TRANSPORTS),
    # What stands in for a client of somebody else is made of that client's classes: one file for each client.
    "httpx": ("cassettes.clients.httpx",),
    "httpx2": (*TRANSPORTS, "cassettes.clients.httpx2"),
    "aiohttp": (
        *TRANSPORTS,
        "cassettes.clients.aiohttp",
        "wire.client_connections",
        "server.at_once",
        "server.bodies",
        "server.http_server",
        "server.relaying",
        "server.sockets",
        "viewer.http_server",
    ),
    **dict.fromkeys(("multidict", "yarl"), (*TRANSPORTS, "cassettes.clients.aiohttp")),
    "requests": ("cassettes.clients.requests",),
    "urllib3": ("cassettes.clients.urllib3", "cassettes.clients.urllib3_body"),
    "botocore": ("wire.auth.aws_profile", "cassettes.clients.before_send"),
    "websockets": TRANSPORTS,
    "asyncio": (
        "loops.*",
        *TRANSPORTS,
        "recipes.*",
        "cassettes.clients.aiohttp",
        "wire.client_connections",
        "server.running",
        "viewer.http_server",
        "viewer.running",
    ),
    **dict.fromkeys(("sniffio", "trio"), ("loops.*", *TRANSPORTS, "recipes.*")),
    "click": ("__main__", "cli.*"),
    "markdown_it": ("cli.markdown",),
    "rich": (
        "__main__",
        "cli.*",
        "strategies.growing_text",
        "strategies.progress",
        "strategies.sampling.result",
        "strategies.sampling.table",
    ),
    "distributed": ("engine.on_dask",),
    "ray": ("engine.on_ray",),
    "opentelemetry": ("backends.wrappers.tracing",),
    "pyarrow": ("engine.parquet_files",),
    "pytest": ("pytest_plugin",),
    "lz4": ("cassettes.compression",),
    "yaml": ("cassettes.files.yaml",),
}
"""Library -> the only modules of mellite that import it."""

PURE = ("values", *FACES)
IMPURE = ("anyio", "concurrent", "http", "random", "secrets", "socket", "ssl", "subprocess", "threading", "time")
"""What the rooms in PURE do not import: they have no clock and do no I/O."""

IMPORTERS = {"attach", "import_module", "__import__"}
"""Functions that import what a string names."""

LOADERS = ("values.former_paths", "values.lazily", "values.public_names")
"""The modules that import by names that they are handed: by packages, by old pickles, by annotations."""


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
        if module.name and row_of(module.name) is None:
            out.append(
                f"{module.name} ({module.path.name}) is in no room: put it into the lowest room that has all "
                "it imports below it, or add a row to ROOMS or INSIDE in tests/layer_rules.py"
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


def row(name: str, rows: tuple[tuple[str, ...], ...]) -> int | None:
    """The number of the row in which a name stands; None if it stands in none."""
    return next((number for number, each in enumerate(rows) if name in each), None)


def row_of(name: str) -> tuple[int, ...] | None:
    """Where a module is from bottom to top: its room's row, and its row within the room if that has rows."""
    room, _, rest = name.partition(".")
    if room in FACES:
        return (len(ROOMS),)
    outer = row(room, ROOMS)
    if outer is None or room not in INSIDE:
        return None if outer is None else (outer,)
    if not rest:
        return (outer, len(INSIDE[room]))  # its __init__.py, above all that is in it
    inner = row(rest.partition(".")[0], INSIDE[room])
    return None if inner is None else (outer, inner)


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
    if importer.partition(".")[0] == USERS:
        return None if target in ("", *FACES) else "a recipe is a user's program: it imports what users do"
    if not target:
        return "nobody imports mellite/__init__.py; import the module that defines the name"
    if target in FACES:
        return "a face is for users; import the module that defines the name"
    upper, lower = row_of(importer), row_of(target)
    if upper is None or lower is None:
        return "it is in no room"
    room, below = importer.partition(".")[0], target.partition(".")[0]
    if room != below and lower[0] == upper[0]:
        return f"{room} and {below} never import each other; move what both need into a room below"
    if lower > upper:
        return f"an arrow up, from {importer} to {target}; move the code down or pass the thing in"
    if room == below:
        return trouble_inside(importer, target) if len(upper) == len(lower) > 1 and upper == lower else None
    for who, whom, allowed, why in NARROWED:
        if (who, whom) == (room, below) and target not in allowed and importer not in EXEMPT:
            return f"{why}; of {whom} it may import {', '.join(allowed) or 'nothing'}"
    return None


def trouble_inside(importer: str, target: str) -> str | None:
    """What is wrong when a module imports one of the same row within a room, if anything."""
    ours, theirs = importer.split("."), target.split(".")
    if ours[1] != theirs[1] and (len(ours) > 2 or len(theirs) > 2):
        return f"the folders of one row in {ours[0]} never import each other; move what both need down"
    return None


def library_trouble(importer: str, found: Import) -> str | None:
    """What is wrong when a module of mellite imports a library, if anything."""
    library = found.target.partition(".")[0]
    if library in ONLY_IN and not fits(importer, ONLY_IN[library]):
        return f"only {', '.join(ONLY_IN[library])} may"
    if library in IMPURE and importer.partition(".")[0] in PURE:
        return "values are pure: no clock, no I/O"
    return None


def unreadable_imports(module: Module) -> Iterator[str]:
    """Imports by a name that is put together at run time, where no whole name in the file can be checked instead."""
    if module.name in LOADERS or any(found.ours for found in module.imports):
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
