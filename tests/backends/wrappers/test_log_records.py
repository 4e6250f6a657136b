"""The log tells what was sent, tried again, held up and settled, with fields of stable names and no secrets."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

import mellite
from mellite.backends import Constant, Failing, Scripted
from mellite.cassettes import ScriptedTransport
from mellite.errors import ProviderInternal
from tests.backends.wrappers.clocks import FakeClock

pytestmark = pytest.mark.anyio

ROOT: Final = Path(__file__).parents[3]
KEY: Final = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
SECRET: Final = "the moon is made of marzipan"
GOOD: Final = (
    '{"id": "c1", "choices": [{"message": {"content": "' + SECRET + '"}, "finish_reason": "stop"}], '
    '"usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
)
BUSY: Final = (
    429,
    {"retry-after-ms": "1", "x-request-id": "r1"},
    f'{{"error": {{"message": "Slow down, {KEY}."}}}}',
)


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def handled_by(handler: logging.Handler, level: int) -> Iterator[None]:
    """Have a handler get what is logged from this level on."""
    logger = logging.getLogger("mellite")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What is logged, at every level."""
    kept = Kept()
    with handled_by(kept, logging.DEBUG):
        yield kept.records


def live(*answers: Any, **options: Any) -> mellite.Backend:
    return mellite.backend("openai-chat:gpt-5", api_key=KEY, transport=ScriptedTransport(list(answers)), **options)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found = {
        name.removeprefix("mellite_"): value for name, value in vars(record).items() if name.startswith("mellite_")
    }
    return {**found, "level": record.levelname}


def events(records: list[logging.LogRecord]) -> list[str]:
    return [fields(record)["event"] for record in records]


async def test_what_is_sent_tried_again_and_settled_is_told(records: list[logging.LogRecord]) -> None:
    thunk = live(BUSY, GOOD).generate(f"Is it true that {SECRET}?")
    await thunk
    assert events(records) == ["request.sent", "attempt.failed", "request.sent", "generation.settled"]
    sent, failed, _, settled = map(fields, records)
    assert sent.pop("bytes") > 50
    assert sent == {
        "event": "request.sent",
        "level": "DEBUG",
        "provider": "openai",
        "model": "gpt-5",
        "method": "POST",
        "host": "api.openai.com",
    }
    assert failed == {
        "event": "attempt.failed",
        "level": "INFO",
        "backend": "openai:gpt-5",
        "attempt": 1,
        "wait_s": 0.001,
        "error": "RateLimited",
        "reason": "RateLimited: openai: HTTP 429: Slow down, [REDACTED].",
        "status": 429,
        "request_id": "r1",
    }
    assert settled.pop("duration_ms") >= settled.pop("ttfb_ms") > 0
    assert settled == {
        "event": "generation.settled",
        "level": "DEBUG",
        "backend": "openai:gpt-5",
        "generation_id": thunk.generation.generation_id,
        "state": "done",
        "provider": "openai",
        "model": "gpt-5",
        "finish_reason": "stop",
        "attempts": 2,
        "replayed": False,
        "input_tokens": 3,
        "output_tokens": 4,
    }
    assert "done in" in records[-1].getMessage()
    assert {record.name for record in records} == {"mellite"}
    assert {Path(record.pathname).parent.name for record in records} == {"wire", "wrappers"}


async def test_neither_prompts_nor_answers_nor_keys_are_in_it(records: list[logging.LogRecord]) -> None:
    await live(BUSY, GOOD).generate(SECRET, system=SECRET)
    await Failing(ValueError(SECRET)).generate(SECRET).settle()
    await live((400, {}, f'{{"error": {{"message": "no such key: {KEY}"}}}}')).generate(SECRET).settle()
    handler = logging.Formatter()
    for record in records:
        told = f"{handler.format(record)} {vars(record)!r}"
        assert SECRET not in told
        assert KEY not in told
    assert [fields(record)["state"] for record in records if "state" in fields(record)] == ["done", "failed", "failed"]


async def test_above_debug_only_what_is_out_of_the_ordinary_is_told() -> None:
    kept = Kept()
    with handled_by(kept, logging.INFO):
        await live(BUSY, GOOD).generate("Hi.")
    assert events(kept.records) == ["attempt.failed"]


async def test_waits_for_a_limit_are_told(records: list[logging.LogRecord]) -> None:
    clock = FakeClock()
    backend = mellite.RateLimit(Constant("Hello."), requests_per_minute=1, clock=clock)
    for _ in range(2):
        await backend.generate("Hi.")
    told = [fields(record) for record in records if "limit" in fields(record)["event"]]
    assert [each["event"] for each in told] == ["limit.waiting", "limit.passed"]
    assert told[1]["wait_s"] == pytest.approx(60.25)
    waiting = live(GOOD, GOOD, max_concurrency=1)
    await mellite.gather(*waiting.generate("Hi.").resample(2))
    refused = mellite.RateLimit(
        live((429, {"retry-after": "30"}, "{}"), retries=0), requests_per_minute=60, clock=clock
    )
    await refused.generate("Hi.").settle()
    (paused,) = [fields(record) for record in records if fields(record)["event"] == "limit.paused"]
    assert (paused["level"], paused["wait_s"], paused["backend"]) == ("INFO", 30.0, "openai:gpt-5")


async def test_what_a_breaker_does_and_a_fallback_is_told(records: list[logging.LogRecord]) -> None:
    clock = FakeClock()
    flaky = mellite.CircuitBreaker(
        Scripted([ProviderInternal("down"), ProviderInternal("down"), "up"]), failures=1, cooldown=30, clock=clock
    )
    either = mellite.FallbackTo(flaky, Constant("Hello."))
    for _ in range(3):
        await either.generate("Hi.")
        clock.time += 31
    told = [(each["event"], each["level"]) for each in map(fields, records) if each["level"] != "DEBUG"]
    assert told == [
        ("circuit.opened", "WARNING"),
        ("backend.failed", "INFO"),
        ("circuit.probing", "INFO"),
        ("circuit.opened", "WARNING"),
        ("backend.failed", "INFO"),
        ("circuit.probing", "INFO"),
        ("circuit.closed", "INFO"),
    ]


async def test_what_is_replayed_was_not_sent(records: list[logging.LogRecord]) -> None:
    demo = ROOT / "mellite" / "demo_cassettes" / "chat.json"
    await mellite.backend(f"cassette:{demo}").generate("Name three rivers.", system="Be brief.")
    assert events(records) == ["generation.settled"]
    assert fields(records[0])["replayed"] is True


async def test_tools_runs_and_strategies_are_told(records: list[logging.LogRecord]) -> None:
    def weather(city: str) -> str:
        return city

    asks = mellite.events.ToolCallEvent(mellite.ToolCall("1", "weather", {"city": "Oslo"}))
    backend = Scripted([[asks, mellite.events.Finish("tool-calls")], "Rain."])
    await mellite.run(backend, "How is it?", tools=[weather])
    told = [fields(record) for record in records]
    assert [(each["event"], each["state"]) for each in told] == [
        ("generation.settled", "done"),
        ("tool.settled", "done"),
        ("generation.settled", "done"),
        ("run.settled", "done"),
    ]
    assert told[1]["name"] == "weather"
    assert all(each["duration_ms"] >= 0 for each in told)


class Broken(logging.Handler):
    """Raises."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record)


async def test_a_handler_that_raises_costs_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with handled_by(Broken(), logging.DEBUG):
        for _ in range(2):
            with anyio.fail_after(5):
                assert await live(BUSY, GOOD).generate("Hi.") == SECRET
    assert capsys.readouterr().err.count("this is said once") <= 1  # once in a process


# --- the variable ---------------------------------------------------------------------------------

PROGRAM: Final = f"""
import sys, mellite
assert "logging" not in sys.modules, "importing costs something"
from mellite.cassettes import ScriptedTransport
busy = (429, {{"retry-after-ms": "1"}}, '{{"error": {{"message": "Slow down."}}}}')
good = {GOOD!r}
backend = mellite.backend("openai-chat:gpt-5", api_key="{KEY}", transport=ScriptedTransport([busy, good]))
{{more}}
assert backend.generate("Hi.").result()
"""


def run(level: str | None, more: str = "") -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MELLITE_LOG"}
    command = [sys.executable, "-c", PROGRAM.replace("{more}", more)]
    ended = subprocess.run(
        command,
        env=environment if level is None else {**environment, "MELLITE_LOG": level},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert KEY not in ended.stderr
    return ended.stderr.splitlines()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, []),
        ("INFO", ["INFO mellite: openai:gpt-5: attempt 1 failed"]),
        (
            "debug",
            [
                "DEBUG mellite: openai:gpt-5: POST to api.openai.com",
                "INFO mellite: openai:gpt-5: attempt 1 failed",
                "DEBUG mellite: openai:gpt-5: POST to api.openai.com",
                "DEBUG mellite: openai:gpt-5: done in",
            ],
        ),
        ("loud", ["WARNING mellite: MELLITE_LOG=loud is not a level: write one of debug, info"]),
    ],
)
def test_the_variable_is_the_level(level: str | None, expected: list[str]) -> None:
    lines = run(level)
    assert len(lines) == len(expected)
    for line, said in zip(lines, expected, strict=True):
        assert re.sub(r"^[\d:.]+ ", "", line).startswith(said)


def test_a_program_with_handlers_of_its_own_is_told_once() -> None:
    lines = run("info", "import logging; logging.basicConfig(format='own %(mellite_event)s')")
    assert lines == ["own attempt.failed"]


def test_a_warning_goes_nowhere_unless_the_program_wants_it() -> None:
    more = """
down = mellite.backends.Failing(mellite.errors.ProviderInternal("down"))
try:
    mellite.CircuitBreaker(down, failures=1).generate("Hi.").result()
except mellite.MelliteError:
    pass
"""
    assert run(None, more) == []
    assert len(run("warning", more)) == 1


MISTAKE: Final = f"""
@mellite.hooks.after("generation")
def account(thunk):
    raise ValueError({SECRET!r})  # what an error of a hook says may hold a prompt

mellite.hooks.install(account)
{{more}}
for _ in range(3):
    mellite.backends.Echo().generate("Hi.").result()
"""


def test_a_hook_that_fails_is_told_once_where_nothing_handles_records() -> None:
    """A script without logging would never learn of it; the words of the error stay out, as everywhere in the log."""
    (line,) = run(None, MISTAKE.replace("{more}", ""))
    assert line.startswith("mellite: the hook __main__.account failed, and the call goes on without it: ValueError (")
    assert "MELLITE_LOG=warning" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "handling",
    [
        "import logging; logging.getLogger().addHandler(logging.FileHandler('/dev/null'))",
        "import logging; logging.getLogger('mellite').setLevel(logging.CRITICAL)",
        "import logging; logging.lastResort = None",
    ],
)
def test_a_program_that_handles_records_is_told_of_a_hook_by_them_alone(handling: str) -> None:
    assert run(None, MISTAKE.replace("{more}", handling)) == []


def test_a_hook_that_fails_is_told_each_time_where_the_variable_says_so() -> None:
    told = [
        line for line in run("warning", MISTAKE.replace("{more}", "")) if "the hook __main__.account failed" in line
    ]
    assert len(told) == 4  # three answers of this program, and the one that each has


# --- what is written down about it ----------------------------------------------------------------


def test_the_page_lists_every_event() -> None:
    page = (ROOT / "docs" / "how-to" / "read-the-log.md").read_text()
    written = re.compile(
        r"""\b(?:log|MCP_LOG)\.(?:debug|info|warning|mistake|tell)\(\s*(?:logging\.\w+, )?"(\w+\.\w+)\""""
    )
    events = {event for path in (ROOT / "mellite").rglob("*.py") for event in written.findall(path.read_text())}
    assert len(events) > 15
    assert [event for event in events if f"`{event}`" not in page] == []
