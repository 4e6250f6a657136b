"""Rules for the shape of source files: size, names, docstrings, excepts, mocks.

Each rule takes a parsed file and gives sentences, one for each place that breaks it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

FILE_LINES = 500
FILE_LINES_P90 = 370
FUNCTION_LINES = 54
FUNCTION_LINES_P90 = 17
COMPLEXITY = 20
ANY_PER_THOUSAND_LINES = 28
SENTENCES = 0.95

GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "shared", "misc", "base", "core"}
"""Names that say nothing about what is inside, with or without a leading underscore."""

WIDE_EXCEPTS = {
    "mellite/cli/doctor.py::_outcome": "whatever goes wrong in a check is what `mellite doctor` tells",
    "mellite/engine/dispatching.py::Dispatch._attend": "a worker was lost: its calls are given back, and it is logged",
    "mellite/engine/dispatching.py::Dispatch._say_goodbye": "a worker was gone before the end: it is logged",
    "mellite/engine/dispatching.py::Dispatch._serve": "the map ends with it",
    "mellite/engine/dispatching.py::Dispatch._set_up": "a worker was lost before it began: it is logged",
    "mellite/engine/on_dask.py::_DaskCrew._connect": "the map ends with it",
    "mellite/engine/on_dask.py::_DaskCrew._disconnect": "the map is over: it is logged",
    "mellite/engine/on_ray.py::_Own._start.keep": "the thread that waits for Ray raises it",
    "mellite/engine/on_ray.py::_RayCrew._connect": "the map ends with it",
    "mellite/engine/travelling.py::Travelling._stuck": "which part cannot be pickled is what it looks for",
    "mellite/engine/travelling.py::_reduced": "what cannot be pickled has no parts that travel",
    "mellite/engine/working.py::Desk._add": "each call that refers to it fails with it",
    "mellite/engine/working.py::Desk._call": "the client raises it, in the thunk",
    "mellite/engine/working.py::_lacking_key": "the call itself comes across it, and tells",
    "mellite/engine/working.py::_one_error": "an error that does not survive its pickle is told in words",
    "mellite/engine/working.py::error_in": "likewise",
    "mellite/engine/batch/on_batch.py::_Work._run": "whoever waits for a batch raises it",
    "mellite/engine/driving.py::Driving._next_item": "what the caller's iterable raises is raised behind all others",
    "mellite/engine/feeding.py::_Awaited._run": "the same, of one that is awaited",
    "mellite/pytest_plugin.py::_keep": "pytest reports it, as what a fixture raises",
    "mellite/server/http_server.py::ModelServer._handle": "the client is told of it, and whoever listens",
    "mellite/strategies/sampling/strategy.py::Strategy.result_of": "it is the error of the result",
    "mellite/loops/own_context.py::in_own_context": "thrown into the coroutine, which raises it unless it handles it",
    "mellite/loops/threads.py::_Job.run": "the task that waits for the thread raises it",
    "mellite/archive/log/writer.py::Writer._row": "answers do not depend on the log: the row is counted as lost",
    "mellite/backends/wrappers/noticed.py::_tracer": "calls go on without traces: it is logged",
    "mellite/values/telling.py::Log.tell": "what handles log records must not change what they tell of: said once",
    "mellite/backends/wrappers/hook_arounds.py::_around": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hook_arounds.py::_run_around": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hook_calls.py::HookSet.call_now": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hook_calls.py::HookSet.call": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hook_notes.py::Notes._show": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hook_notes.py::Notes.look_on": "what a hook raises is logged, or raised with a name",
    "mellite/backends/wrappers/hooked.py::Hooked.begin_pushing": "its batches come across it again, and settle it",
    "mellite/backends/wrappers/hooks_by_name.py::install_named": "a broken entry point is a warning that names it",
    "mellite/strategies/streaming/handle.py::ValidatedStream._catch_up": "kept, as the error of the stream",
    "mellite/thunk/lateness.py::Lateness.catch_up": "kept, and raised by `check`",
    "mellite/backends/conformance.py::_stops": "what a backend raises while it is closed is what the check reports",
    "mellite/backends/conformance.py::_Check.damages": (
        "what a protocol raises for damaged bytes is what the check reports"
    ),
    "mellite/thunk/observing.py::_told": "who looks on must not change what happens: it is logged",
    "mellite/thunk/pump.py::Pump.run": "whatever a backend raises settles the thunk",
    "mellite/thunk/pump.py::Pump.start": "the stream comes across it again, in the task, where it settles the thunk",
    "mellite/backends/wrappers/attempts.py::until_something": "returned, and raised unless it is tried again",
    "mellite/wire/pushing.py::Pushing.begin": "the task comes across it again, where it settles the thunk",
    "mellite/wire/pushing.py::Pushing._begin_now": "raised again by the task, not in the call before",
    "mellite/wire/pushing.py::Pushing._arrived": "raised again by the task, which settles the thunk",
    "mellite/wire/transports/http1/exchange.py::SentRequest.opened": "raised as the error of ours for it",
    "mellite/wire/opening.py::Opening.tried": "raised by `opened`, to whoever reads on",
    "mellite/thunk/pump.py::Pump._close": "a backend that fails while closing does not undo its answer; the log has it",
    "mellite/thunk/iterators.py::Chunks.__anext__": "kept, and raised after the chunks that were cut before it",
    "mellite/thunk/outcome.py::conclude": (
        "an event that cannot be read fails the thunk, which keeps what came before it"
    ),
    "mellite/thunk/outcome.py::_fails": "asked in order to find that event",
    "mellite/server/running.py::RunningServer._run": "raised where the server is started or stopped",
    "mellite/viewer/running.py::Viewer._run": "raised where the block is entered",
    "mellite/strategies/agent/calling.py::_Batch._work": "raised again when no task is left",
    "mellite/strategies/agent/results.py::_as_json": "whatever a value raises is told to the model as a tool error",
    "mellite/strategies/agent/results.py::_inside": "the same, when the part is looked for that raises",
    "mellite/strategies/steps/running.py::_Attempts._result": "any error may say that it may pass: tried again",
    "mellite/strategies/steps/running.py::_Attempts.payload": "every error of a step is its payload",
    "mellite/strategies/steps/running.py::_Told._tell": "a recorder that fails does not fail the step: it is logged",
    "mellite/strategies/requirements/requirement.py::Requirement._awaited": (
        "a check that raises is a verdict that does not pass"
    ),
    "mellite/strategies/requirements/requirement.py::Requirement.finish": "a value may raise wherever it is looked at",
    "mellite/strategies/requirements/requirement.py::Requirement.finish_chunk": "likewise",
    "mellite/values/told_errors.py::error_text": "the error that is told counts for more than that of its text",
    "mellite/strategies/requirements/requirement.py::Requirement.checker": (
        "a check that cannot be made does not pass, either"
    ),
    "mellite/strategies/requirements/requirement.py::Requirement.begin": (
        "a check that raises is a verdict that does not pass"
    ),
    "mellite/strategies/requirements/requirement.py::Requirement.begin_chunk": (
        "a check that raises is a verdict of failure"
    ),
    "mellite/strategies/requirements/requirement.py::Requirement.judged_chunk": (
        "a check that raises is a verdict of failure"
    ),
    "mellite/strategies/streaming/attempt.py::Attempt._judge": ("a check that raises is a verdict of failure"),
    "mellite/strategies/sampling/best_of_n.py::BestOfN._by_waiting": (
        "a score that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/best_of_n.py::BestOfN._answered": (
        "a score that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/best_of_n.py::BestOfN._given": (
        "a score that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/best_of_n.py::BestOfN._scored": (
        "a score that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/round.py::Round.guarded": "raised again when no task is left",
    "mellite/strategies/sampling/in_flight.py::InFlight._fill": "as above; the copies in flight are handled first",
    "mellite/strategies/sampling/in_flight.py::InFlight._take": "as above; the copies in flight are handled first",
    "mellite/strategies/sampling/voting.py::_Ballot._by_comparing_later": (
        "a key that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/voting.py::_Ballot._by_function": (
        "a key that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/sampling/voting.py::_Ballot._by_waiting": (
        "a key that raises fails its sample, which keeps the error"
    ),
    "mellite/strategies/model_context/line.py::Line._main": "raised by all that ask the server, as the error of ours",
    "mellite/strategies/model_context/line.py::_Question.put": "raised where it was asked, as the error of ours",
    "mellite/strategies/model_context/program.py::Program.opened": "one error means that it is to be started again",
    "mellite/wire/auth/aws_profile.py::ProfileKeys._find": "raised without what botocore keeps of a program's output",
    "mellite/cassettes/clients/aiohttp.py::_Memory._play": "raised where the client waits for the answer, or reads it",
    "mellite/wire/transports/aiohttp.py::AiohttpTransport.open": "translated, and raised without what the client keeps",
    "mellite/wire/transports/aiohttp.py::_Response.read": "translated, and raised without what the client keeps",
    "mellite/wire/transports/http1/transport.py::Http1Transport.open": "translated, and raised without its frames",
    "mellite/wire/transports/httpx2.py::Httpx2Transport.open": "translated, and raised without what the client keeps",
    "mellite/wire/transports/httpx2.py::_Response.read": "translated, and raised without what the client keeps",
}
"""``path::function`` -> why it may catch every exception and go on."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """One Python file of the project, read."""

    name: str
    """Path from the root of the project, with forward slashes."""
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path, root: Path) -> Source:
        """A file from the disk."""
        text = path.read_text(encoding="utf-8")
        return cls(path.relative_to(root).as_posix(), text, ast.parse(text))


def below(root: Path, *folders: str) -> list[Source]:
    """Every Python file in some folders of the project."""
    return [Source.read(path, root) for folder in folders for path in sorted((root / folder).rglob("*.py"))]


def functions(source: Source) -> Iterator[Function]:
    """Every function and method of a file, nested ones too."""
    yield from (node for node in ast.walk(source.tree) if isinstance(node, Function))


def body_length(function: Function) -> int:
    """The lines of a function, from ``def`` to its end, without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of names; '' for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


# --- size and names -------------------------------------------------------------------------------


def long_file(source: Source) -> Iterator[str]:
    """A file that is longer than it may be."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.name} has {lines} lines, more than {FILE_LINES}: split it by noun"


def long_functions(source: Source) -> Iterator[str]:
    """Functions that do not fit a screen."""
    for function in functions(source):
        lines = body_length(function)
        if lines > FUNCTION_LINES:
            yield f"{source.name}:{function.lineno} {function.name} has {lines} lines, more than {FUNCTION_LINES}"


def complexity(function: Function) -> int:
    """The number of independent ways through a function (McCabe's); functions inside it and ``and``/``or`` count."""
    branches = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.Assert, ast.comprehension)
    ways = 1
    for node in ast.walk(function):
        if isinstance(node, ast.BoolOp):
            ways += len(node.values) - 1
        elif isinstance(node, (*branches, ast.match_case)):
            ways += 1
    return ways


def tangled_functions(source: Source) -> Iterator[str]:
    """Functions with more ways through them than one can keep in mind."""
    for function in functions(source):
        ways = complexity(function)
        if ways > COMPLEXITY:
            yield f"{source.name}:{function.lineno} {function.name} has {ways} ways through it, more than {COMPLEXITY}"


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_tokens(source: Source) -> list[tokenize.TokenInfo]:
    """The tokens of a file that are code: no comments, no strings on lines of their own."""
    found = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return [
        token
        for token in found
        if token.type not in _NO_CODE
        and not (token.type == tokenize.STRING and token.line.strip().startswith(('"""', 'r"""')))
    ]


def grab_bag_name(source: Source) -> Iterator[str]:
    """A file or folder whose name says nothing."""
    for part in Path(source.name).with_suffix("").parts:
        if part.strip("_") in GRAB_BAGS:
            yield f"{source.name}: {part!r} says nothing about what is inside; name it by a noun"


def first_line(source: Source) -> Iterator[str]:
    """A module whose docstring does not begin with one line, a paragraph of its own, on what is in it."""
    if not source.text.strip():
        return
    first, _, rest = (ast.get_docstring(source.tree) or "").partition("\n")
    if not first:
        yield f"{source.name} has no docstring: its first line says what is in it, in a newcomer's words"
    elif rest and not rest.startswith("\n"):
        yield f"{source.name}: the first line of its docstring goes on in the next; make it one line"


# --- honesty --------------------------------------------------------------------------------------


_SILENCES = re.compile(r"\b(type|pyright):\s*ignore(?!\[)|\bnoqa(?!:\s*[A-Z])")
_PUTS_OFF = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def comments(source: Source, wanted: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Every comment of a file with its line, if anything in the file looks like what is wanted: tokens are slow."""
    if not wanted.search(source.text):
        return
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def silenced_checkers(source: Source) -> Iterator[str]:
    """Comments that silence a checker without saying which of its rules."""
    for line, comment in comments(source, _SILENCES):
        if _SILENCES.search(comment):
            yield f"{source.name}:{line} silences a checker without a code: {comment}"


def unfinished(source: Source) -> Iterator[str]:
    """Comments that put work off, and functions that only say they are not written."""
    for line, comment in comments(source, _PUTS_OFF):
        if _PUTS_OFF.search(comment):
            yield f"{source.name}:{line} puts something off: {comment}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield f"{source.name}:{node.lineno} is not implemented: make the method abstract, or leave it out"


def wide_excepts(source: Source, allowed: Container[str] = WIDE_EXCEPTS.keys()) -> Iterator[str]:
    """Handlers that catch everything and do not end with ``raise``, outside the listed places."""
    for function, handler in handlers(source.tree, ""):
        if handler.type is None:
            yield f"{source.name}:{handler.lineno} is a bare except"
            continue
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        wide = {"Exception", "BaseException"} & {dotted(kind) for kind in kinds}
        goes_on = not isinstance(handler.body[-1], ast.Raise)
        if wide and goes_on and f"{source.name}::{function}" not in allowed:
            yield (
                f"{source.name}:{handler.lineno} catches {wide.pop()}: catch what you expect, end it with `raise`, or "
                f"list '{source.name}::{function}' in WIDE_EXCEPTS of tests/shape_rules.py with the reason"
            )


SEES_MODULES = (
    "mellite/archive/log/writer.py::_finish_in_workers",
    "mellite/backends/wrappers/noticed.py::observer",
    "mellite/loops/detection.py::forget_library",
    "mellite/loops/detection.py::_trio_of_task",
    "mellite/loops/detection.py::imported_trio",
    "mellite/loops/detection.py::uses_anyio_on_asyncio",
    "mellite/strategies/cells.py::_loaded",
)
"""Each ``path::function`` that looks into `sys.modules`, and knows that a module may stand there half imported."""


def half_imported(source: Source) -> Iterator[str]:
    """Places that look into `sys.modules`, where another thread's import may have left half a module so far."""
    allowed = [each for each in functions(source) if f"{source.name}::{each.name}" in SEES_MODULES]
    inside = {id(node) for function in allowed for node in ast.walk(function)}
    for node in ast.walk(source.tree):
        named = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set[str]()
        by_name = getattr(node, "module", None) == "sys" and "modules" in named
        if (by_name or dotted(node) == "sys.modules") and id(node) not in inside:
            yield (
                f"{source.name}:{node.lineno} looks into sys.modules, where a module may be half imported: "
                "ask loops.imported_trio or loops.running, or import it"
            )


LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"}
MAKES_LOCKS = "mellite/loops/forking.py"
"""The one file that makes locks: those that a forked child finds open."""


def locks_that_forks_break(source: Source) -> Iterator[str]:
    """Locks of `threading` made, or handed on to be made, anywhere else; naming the type of one is fine."""
    if source.name == MAKES_LOCKS:
        return
    said = [getattr(node, name, None) for node in ast.walk(source.tree) for name in ("annotation", "returns")]
    types = {id(each) for annotation in filter(None, said) for each in ast.walk(annotation)}
    for node in ast.walk(source.tree):
        named = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set[str]()
        by_name = getattr(node, "module", None) == "threading" and named & LOCKS
        holder, _, name = dotted(node).rpartition(".")
        if by_name or (holder == "threading" and name in LOCKS and id(node) not in types):
            yield f"{source.name}:{node.lineno} makes a lock that a fork may leave shut: forking.lock() makes one"


def handlers(node: ast.AST, function: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Every ``except`` below a node, with the dotted name of the class and function it stands in."""
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{function}.{child.name}".strip(".")
        if isinstance(child, ast.ExceptHandler):
            yield function, child
        yield from handlers(child, inside)


# --- tests ----------------------------------------------------------------------------------------


MOCKS = ("Mock", "MagicMock", "AsyncMock", "PropertyMock", "create_autospec", "patch")
PRETENCE = {
    "mock": (MOCKS, "use real bytes, a Scripted backend or a ScriptedTransport"),
    "unittest.mock": (MOCKS, "use real bytes, a Scripted backend or a ScriptedTransport"),
    "patch": (("dict", "multiple", "object"), "pass the thing in"),
    "monkeypatch": (("setattr",), "pass the thing in"),
    "time": (("sleep",), "wait for the thing itself"),
    "pytest.mark": (("skip", "skipif", "xfail"), "a test that does not run tests nothing"),
    "unittest": (("mock", "skip", "skipIf"), "a test that does not run tests nothing"),
}
"""Holder -> the names in it that a test does not use, and what to do instead."""


def pretence(source: Source) -> Iterator[str]:
    """Mocks, patches, sleeps and skips in a test file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            holder, _, name = dotted(node).rpartition(".")
            yield from pretended(source, node.lineno, holder, name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from pretended(source, node.lineno, node.module or "", alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from pretended(source, node.lineno, *alias.name.rpartition(".")[::2])
        elif isinstance(node, ast.Call) and dotted(node.func) in MOCKS:
            yield from pretended(source, node.lineno, "mock", dotted(node.func))
        elif isinstance(node, ast.While):
            yield from polling(source, node)


def pretended(source: Source, line: int, holder: str, name: str) -> Iterator[str]:
    """What is said about the use of ``holder.name`` in a test, if anything."""
    names, instead = PRETENCE.get(holder, ((), ""))
    if name in names:
        yield f"{source.name}:{line} uses {name} of {holder}: {instead}"


def polling(source: Source, loop: ast.While) -> Iterator[str]:
    """Sleeping in a ``while`` loop until something works; ``sleep(0)`` only lets others run."""
    for node in ast.walk(loop):
        sleeps = isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "sleep"
        if sleeps and [ast.unparse(argument) for argument in node.args] != ["0"]:
            yield f"{source.name}:{node.lineno} sleeps until something works: wait for the thing itself"


def tests_in(source: Source) -> Iterator[Function]:
    """The test functions of a test file."""
    if Path(source.name).name.startswith("test_"):
        yield from (function for function in functions(source) if function.name.startswith("test_"))
