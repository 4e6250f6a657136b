"""What is installed: the wheel, its version, its extras, a light import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import mellite
from tests.layer_rules import modules_below

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

HEAVY = {
    *("aiohttp", "anyio", "asyncio", "httpcore2", "httpx2", "multidict", "trio", "yarl"),
    *("opentelemetry", "click", "rich", "jiter", "cattrs", "filelock", "ssl", "importlib.metadata"),
}
"""What `import mellite` leaves alone: it is loaded by the first call that needs it."""

INSTALLED_WITH = {
    "httpcore2": "httpx2",
    "jsonschema_rs": "jsonschema-rs",
    "mcp_types": "mcp",
    "multidict": "aiohttp",
    "opentelemetry": "opentelemetry-api",
    "markdown_it": "markdown-it-py",
    "yaml": "pyyaml",
    "yarl": "aiohttp",
}
"""Module name -> the dependency that brings it, where the two differ."""

FOR_CHECKERS = {"typing_extensions"}
"""Type checkers bring it themselves; imported under TYPE_CHECKING only."""


def fresh(code: str) -> str:
    """What a program prints, run by an interpreter of its own."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str) -> set[str]:
    """The modules that are loaded after a program has run."""
    return set(json.loads(fresh(f"{code}\nimport json, sys; print(json.dumps([*sys.modules]))")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_import_is_light() -> None:
    """`import mellite` loads no HTTP client, no event loop, no OpenTelemetry and no CLI library."""
    assert HEAVY & loaded_by("import mellite") == set()


def test_words_are_light() -> None:
    """Making a message loads no HTTP client, no OpenTelemetry and no CLI library either."""
    assert (HEAVY - {"importlib.metadata"}) & loaded_by("import mellite; mellite.Message.user('hi')") == set()


def test_version() -> None:
    """The version is the same in the code, in pyproject.toml and in what is installed."""
    assert (mellite.__version__, metadata.version("mellite")) == (PROJECT["version"], PROJECT["version"])


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every file below mellite/ is in the wheel, data and py.typed included; tests and docs are not."""
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mellite").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == there
    assert "mellite/py.typed" in files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_command_leads_somewhere() -> None:
    """The `mellite` command of the wheel calls a function that exists."""
    module, _, function = PROJECT["scripts"]["mellite"].partition(":")
    assert fresh(f"import {module} as m; print(callable(m.{function}))").strip() == "True"


def test_extras_are_declared() -> None:
    """All extras are declared from the start, so that an error message can name the one to install."""
    extras = {
        "aiohttp",
        "bedrock",
        "brotli",
        "cli",
        "dask",
        "http2",
        "lz4",
        "mcp",
        "parquet",
        "ray",
        "schema",
        "serve",
        "similarity",
        "test",
        "tokens",
        "trio",
        "truststore",
        "websocket",
        "yaml",
        "zstd",
    }
    assert set(PROJECT["optional-dependencies"]) == extras


def test_imports_are_dependencies() -> None:
    """Every library that the package imports is declared, as a dependency or in an extra."""
    wanted = [*PROJECT["dependencies"], *(row for rows in PROJECT["optional-dependencies"].values() for row in rows)]
    declared = {row.partition("[")[0].partition(">")[0].strip().lower() for row in wanted}
    imported = {
        found.target.partition(".")[0]: f"{module.path.name}:{found.line}"
        for module in modules_below(ROOT / "mellite").values()
        for found in module.imports
        if not found.ours
    }
    known = {*sys.stdlib_module_names, *FOR_CHECKERS}
    libraries = {library: where for library, where in imported.items() if library not in known}
    undeclared = [library for library in libraries if INSTALLED_WITH.get(library, library) not in declared]
    assert undeclared == [], libraries


def test_python_versions() -> None:
    """The oldest Python of the classifiers is the one that is required."""
    versions = [row.rpartition(" ")[2] for row in PROJECT["classifiers"] if row.startswith("Programming Language")]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert ast.literal_eval(f"({versions[0].replace('.', ',')})") <= sys.version_info[:2]
