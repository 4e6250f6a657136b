"""What is checked, and how: tests, lint, types, layers, docs; `nox -s bench` measures."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).parent
PROJECT = nox.project.load_toml(HERE / "pyproject.toml")

os.environ["UV_PYTHON_DOWNLOADS"] = "never"  # an interpreter that is not here is left out, not fetched
nox.needs_version = ">=2025.2"
nox.options.sessions = ["tests", "lint", "types", "layers", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True


def interpreters(version: str) -> Iterator[Path]:
    """Where a Python of this version may be: on the path, or among those that pyenv has."""
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))


def runs(interpreter: Path) -> bool:
    """Whether an interpreter starts; a shim of pyenv is found on the path and yet fails for a version not chosen."""
    try:
        return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def installed(versions: list[str]) -> list[str]:
    """Those of some Python versions that are here and run; their folders are put first on the path, before shims."""
    here = []
    for version in versions:
        interpreter = next(filter(runs, interpreters(version)), None)
        if interpreter is None:
            nox.logger.logger.info(f"Python {version} is not here: its sessions are left out")
            continue
        here.append(version)
        if Path(shutil.which(f"python{version}") or "") != interpreter:
            os.environ["PATH"] = f"{interpreter.parent}{os.pathsep}{os.environ['PATH']}"
    return here


PYTHONS = installed(nox.project.python_versions(PROJECT))


def install(session: nox.Session, *groups: str) -> None:
    """Install the project, editable, with what some groups of pyproject.toml name."""
    session.install("-q", "-e", ".", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python that is here; arguments after `--` go to pytest."""
    install(session, "test")
    session.run("python", "-m", "pytest", *(session.posargs or ["-q", "-n", "2"]))


def lowest_versions() -> list[str]:
    """The lowest version that pyproject.toml allows of everything that the tests install, as exact requirements."""
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    for line in extras["test"]:
        needed = Requirement(line)
        named = [row for extra in needed.extras for row in extras[extra]] if needed.name == "mellite" else [line]
        wanted += [Requirement(row) for row in named]
    lowest: dict[str, Version] = {}
    for each in wanted:
        for part in each.specifier:
            if part.operator == ">=":
                lowest[each.name] = max(Version(part.version), lowest.get(each.name, Version("0")))
    return [f"{name}=={version}" for name, version in lowest.items()]


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows; arguments after `--` go to pytest."""
    session.install("-q", "-e", ".[test]", *lowest_versions())
    session.run("python", "-m", "pytest", *(session.posargs or ["-q", "-n", "2"]))


@nox.session
def newest(session: nox.Session) -> None:
    """Run the tests with today's newest versions, pre-releases included; arguments after `--` go to pytest."""
    session.install("-q", "--pre", "--upgrade", "-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-q", "-n", "2"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of the code and that it is formatted."""
    session.install("-q", *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package and of tests/typing, with mypy and with pyright."""
    install(session, "test", "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that the arrows between the layers point down only."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-q", "tests/test_layers.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the code in the documentation, then build it; a broken link or reference is an error."""
    install(session, "test", "docs")
    session.run(
        "python", "-m", "pytest", "-q", "tests/test_docs.py", "tests/test_doctests.py", "tests/site", "tests/examples"
    )
    if (HERE / "mkdocs.yml").exists():
        session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp())


@nox.session
def fuzz(session: nox.Session) -> None:
    """Do random damage to recorded answers, 200,000 times; the tests do it 5,000 times. Needs the corpora."""
    install(session, "test")
    session.run("python", "-m", "tests.fuzzing", *session.posargs)


@nox.session
def framing(session: nox.Session) -> None:
    """Damage the HTTP of recorded answers, 100,000 times, over real connections on every loop. Needs the corpora."""
    install(session, "test")
    session.run("python", "-W", "error", "-m", "tests.framing", *session.posargs)


@nox.session
def cancels(session: nox.Session) -> None:
    """Cancel calls at random moments, 10,000 times on every loop, over few connections and many."""
    install(session, "test")
    session.run("python", "-W", "error", "-m", "tests.cancels", *session.posargs)


@nox.session
def schedules(session: nox.Session) -> None:
    """Let crowds of consumers await, read, poll and cancel thunks at random, on both loops; it takes minutes."""
    install(session, "test")
    session.run("python", "-W", "error", "-m", "tests.schedules", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure mellite beside aiohttp; fails if a bar is missed. Arguments after `--`: `--quick unary`, `--peers`."""
    install(session, "bench")
    programs = {}
    if "serve" in session.posargs and shutil.which("npm"):
        folder = Path(session.create_tmp()).resolve()
        session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(folder), AIMOCK, external=True)
        programs = {"MELLITE_AIMOCK": str(folder / "node_modules" / ".bin" / "llmock")}
    if "viewer" in session.posargs and shutil.which("chromedriver"):  # to measure what is painted
        session.install("-q", SELENIUM)
    session.run("python", "-m", "tests.benchmarks", *session.posargs, env=programs)


#: The servers of others that `nox -s servers` starts, and the clients that it compares with; each pinned.
SERVERS = ("torch==2.13.0", "transformers[serving]==5.24.0", "gguf==0.19.0", "xllamacpp==2026.10.11549")
SDKS = ("openai==3.57.0", "anthropic==2.14.0", "google-genai==3.6.1", "cohere==7.3.1")
LITELLM = "litellm[proxy]==1.108.7"
AIMOCK = "@copilotkit/aimock@1.43.0"


@nox.session
def servers(session: nox.Session) -> None:
    """Ask real servers of others through mellite and through the official SDKs; needs npm, and minutes to install."""
    session.install("-q", "-e", ".[test]", *SERVERS, *SDKS)
    folder = Path(session.create_tmp()).resolve()
    proxy, mock = folder / "litellm", folder / "aimock"
    if not (proxy / "bin" / "litellm").exists():  # its pins are its own
        session.run("python", "-m", "venv", str(proxy))
        session.run(str(proxy / "bin" / "pip"), "install", "-q", LITELLM, external=True)
    session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(mock), AIMOCK, external=True)
    programs = ("--litellm", str(proxy / "bin" / "litellm"), "--aimock", str(mock / "node_modules" / ".bin" / "llmock"))
    session.run("python", "-m", "tests.servers", *programs, *session.posargs)


#: The clients that `nox -s serve` brings; each pinned.
CLIENTS = (*SDKS, "boto3==1.44.8", "ollama==0.6.3")


@nox.session
def serve(session: nox.Session) -> None:
    """Ask `mellite serve` with the official SDKs: a backend, what was recorded of it and of all providers; refused."""
    session.install("-q", "-e", ".[test]", *CLIENTS)
    session.run("python", "-W", "ignore::DeprecationWarning", "-m", "tests.servers.serving", *session.posargs)
    session.run("python", "-W", "ignore", "-m", "tests.servers.reading")
    session.run("python", "-W", "ignore::DeprecationWarning", "-m", "tests.servers.beside")
    session.run("python", "-W", "ignore::DeprecationWarning", "-m", "tests.servers.before")


#: The clients that `nox -s clients` brings beside those.
FRAMEWORKS = ("groq==1.7.0", "langchain-openai==1.7.4", "pydantic-ai-slim[openai]==2.68.0")


@nox.session
def clients(session: nox.Session) -> None:
    """Record the official SDKs and two frameworks through `mellite.cassettes.patch`, and replay them offline."""
    session.install("-q", "-e", ".[test]", *CLIENTS, *FRAMEWORKS)
    warnings = ("-W", "ignore::DeprecationWarning")
    session.run("python", "-m", "pytest", "-q", *warnings, "tests/cassettes/clients/sdks.py", *session.posargs)


#: The SDKs whose types `nox -s batch` holds lines of batches against.
BATCHES = ("openai==3.57.0", "anthropic==2.14.0", "google-genai==3.6.1", "mistralai==3.7.0")


@nox.session
def batch(session: nox.Session) -> None:
    """Hold what is written for batch services, and what the services of the tests answer, against the SDKs' types."""
    session.install("-q", "-e", ".[test]", *BATCHES)
    warnings = ("-W", "ignore::DeprecationWarning")
    session.run("python", "-m", "pytest", "-q", *warnings, "tests/engine/batch/sdks.py", *session.posargs)


#: The clients from npm that `nox -s node` brings, two of them coding agents; each pinned.
NODE = ("openai@7.59.0", "@anthropic-ai/sdk@1.14.0", "@openai/codex@0.171.0", "@anthropic-ai/claude-code@2.1.332")


@nox.session
def node(session: nox.Session) -> None:
    """Record clients for Node and coding agents through `mellite serve`, and replay them offline; needs npm."""
    install(session, "test")
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(folder), *NODE, external=True)
    files = [str(Path("tests", "servers", name)) for name in ("node_clients.py", "coding_agent.py")]
    bin = folder / "node_modules" / ".bin"
    programs = {"MELLITE_NODE": str(folder), "MELLITE_CODEX": str(bin / "codex"), "MELLITE_CLAUDE": str(bin / "claude")}
    session.run("python", "-m", "pytest", "-q", *files, *session.posargs, env=programs)


#: What `nox -s viewer` drives a browser with, and what finds that people could not read a page; each pinned.
SELENIUM = "selenium==4.51.0"
AXE = "axe-core@4.14.1"


@nox.session
def viewer(session: nox.Session) -> None:
    """Look at every view of `mellite view` in a real Chromium, and attack it; needs chromium, chromedriver and npm.

    With ``-- --documentation``, take the pictures of the documentation anew instead.
    """
    session.install("-q", "-e", ".[test]", SELENIUM)
    if "--documentation" in session.posargs:
        around = {"MELLITE_DOCS": str(Path("docs").resolve())}
        session.run("python", "-m", "pytest", "-q", "tests/viewer/browser/documentation.py", env=around)
        return
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(folder), AXE, external=True)
    axe = folder / "node_modules" / "axe-core" / "axe.min.js"
    tests = Path("tests", "viewer", "browser")
    files = [str(tests / name) for name in ("views.py", "using.py", "comparing.py", "attacks.py")]
    around = {"MELLITE_AXE": str(axe), "MELLITE_PICTURES": str(folder / "pictures")}
    session.run("python", "-m", "pytest", "-q", *files, *session.posargs, env=around)


#: What runs the notebooks of `nox -s notebooks`; each pinned.
NOTEBOOKS = (
    "ipykernel==7.4.0",
    "nbclient==0.11.0",
    "nbformat==5.11.1",
    "nbconvert==7.17.2",
    "marimo==0.25.2",
    "jupyterlab==4.6.6",
)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run notebooks in a kernel of Jupyter, in JupyterLab in Chromium and in marimo, and look at what cells show."""
    session.install("-q", "-e", ".[test]", *NOTEBOOKS, SELENIUM)
    files = [str(Path("tests", "notebooks", name)) for name in ("jupyter.py", "in_jupyterlab.py", "marimo_runs.py")]
    around = {"MELLITE_PICTURES": str(Path(session.create_tmp()).resolve() / "pictures")}
    session.run("python", "-m", "pytest", "-q", "-W", "default", *files, *session.posargs, env=around)


#: The reference server of the Model Context Protocol, with one of everything.
EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"


@nox.session
def mcp(session: nox.Session) -> None:
    """Connect to MCP servers from PyPI and npm, over stdio and HTTP; needs npm."""
    install(session, "test")
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(folder), EVERYTHING, external=True)
    program = folder / "node_modules" / ".bin" / "mcp-server-everything"
    tests = Path("tests", "strategies", "model_context")
    files = [str(tests / name) for name in ("test_registry_servers.py", "everything.py")]
    session.run("python", "-m", "pytest", "-q", *files, *session.posargs, env={"MELLITE_MCP_EVERYTHING": str(program)})


#: The test suite of JSON Schema, as npm has it: draft 4.
SCHEMA_SUITE = "json-schema-test-suite@0.0.10"


@nox.session
def schemas(session: nox.Session) -> None:
    """Hold the check of tool arguments against the test suite of JSON Schema, with jsonschema-rs and without."""
    install(session, "test")
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--no-audit", "--prefix", str(folder), SCHEMA_SUITE, external=True)
    for mode in ("all", "top"):
        package = str(folder / "node_modules" / "json-schema-test-suite")
        session.run("python", "-m", "tests.json_schema_suite", package, mode)


#: The engine that `nox -s engines` brings beside Dask; 18 packages of 285 MB.
RAY = "ray==2.60.0"


@nox.session
def engines(session: nox.Session) -> None:
    """Run maps on Ray, and long ones on Dask in which workers and clients are killed; it takes minutes."""
    session.install("-q", "-e", ".[test]", "cloudpickle>=3.1", RAY)
    session.run("python", "-m", "pytest", "-q", "-W", "default", "tests/engine/ray_engine.py")
    session.run("python", "-m", "tests.engine.long_maps", *(session.posargs or ["--rpm", "6000"]))
    session.run("python", "-m", "tests.engine.long_maps", "--speed", "--thunks", "3000", "--delay", "1")


@nox.session
def prices(session: nox.Session) -> None:
    """Make the snapshot of prices that ships with the package, at each release; read its diff, then run the tests."""
    session.install("-q", "genai-prices>=0.2.3,<0.3")
    session.run("python", "tests/price_snapshot.py", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill what records cassettes at every moment, and let crowds record at once; it takes minutes, and strace.

    Arguments after ``--`` are kinds of the plan: `-- agent-trio`, say.
    """
    install(session, "test")
    session.run("python", "-m", "tests.crash", *session.posargs)
