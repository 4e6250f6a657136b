"""What models write stays text in a real browser: nothing runs, nothing is loaded, and the policy reports nothing.

Not collected with the other tests: `nox -s viewer` installs what it needs and runs it.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Scripted
from mellite.errors import MelliteError, RateLimited
from mellite.events import Finish, ReasoningDelta, TextDelta, ToolCallEvent
from tests.viewer.browser.driving import Browser, browser
from tests.viewer.browser.payloads import LAUGHS, PAYLOADS
from tests.viewer.viewing import recorded

#: What must not be in a view: whatever runs, loads, or leaves the page.
DANGEROUS = """
    const inside = [...document.querySelectorAll('#app *')];
    return inside.filter((element) =>
        ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'SVG', 'LINK', 'STYLE', 'META', 'BASE', 'VIDEO', 'AUDIO', 'MATH',
         'TEMPLATE', 'NOSCRIPT'].includes(element.tagName.toUpperCase())
        || (element.tagName === 'IMG' && !element.src.startsWith('data:image/'))
        || (element.tagName === 'A' && !/^(https?:|mailto:)/.test(element.href)
            && !element.getAttribute('href').startsWith('#'))
        || (element.tagName === 'A' && element.host && element.host !== location.host
            && !/noopener/.test(element.rel))
        || [...element.attributes].some((attribute) => attribute.name.startsWith('on'))
    ).map((element) => element.outerHTML.slice(0, 200));
"""


#: Open all that is folded, and what is folded in it.
OPEN = """
    for (let n = 0; n < 4; n += 1) document.querySelectorAll('details').forEach((each) => { each.open = true; });
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A browser."""
    with browser() as opened:
        yield opened


def attacked(path: Path) -> Path:
    """A cassette with each payload in all that comes from outside."""
    recorded(path, *PAYLOADS)
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["metadata"] = {"name": PAYLOADS[0], "tags": list(PAYLOADS)}
    for one, payload in zip(stored["interactions"], PAYLOADS, strict=True):
        body = json.loads(one["request"]["body"])
        call = {
            "id": payload,
            "type": "function",
            "function": {"name": payload, "arguments": json.dumps({payload: payload})},
        }
        body["model"] = payload
        body["messages"] = [
            {"role": "system", "content": payload},
            {"role": "user", "content": payload},
            {"role": "assistant", "content": payload, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": payload, "content": payload},
        ]
        one["request"]["body"] = json.dumps(body)
        one["request"]["headers"]["x-payload"] = payload
        one["response"]["headers"]["x-request-id"] = payload
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path


def safe(page: Browser, where: str) -> None:
    """Check that nothing ran, was loaded or could be."""
    assert page.script("return window.ran") is None, where
    assert page.script("return ({}).ran") is None, where
    assert page.script(DANGEROUS) == [], where


def calm(page: Browser, hosts: set[str]) -> None:
    """Check that the page complained about nothing, and asked nobody else."""
    assert page.complaints() == []
    assert {host for host in page.loaded() if host not in ("data:", "blob:")} <= hosts


def views(page: Browser, ids: list[str]) -> Iterator[tuple[str, str]]:
    """Each call with all of it open, and its timeline."""
    for id in ids:
        page.go(f"#/call/{id}")
        page.script(OPEN)
        page.script(
            "[...document.querySelectorAll('button')].filter((each) => /^(copy as|source)/.test(each.textContent))"
            ".forEach((each) => each.click())"
        )
        yield id, page.text
        if page.script("return document.querySelector('a[href^=\"#/timeline\"]') !== null"):
            page.go(f"#/timeline/{id}")
            yield f"timeline {id}", page.text


def squeezed(text: str) -> str:
    """A text without what a page shows as a space, or not at all."""
    return "".join(character for character in text if character.isprintable() and character not in " \u202e")


def test_a_cassette(page: Browser, tmp_path: Path) -> None:
    """Each payload in each field of a recorded call is shown as text, in every view."""
    path = attacked(tmp_path / "chat.json")
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        safe(page, "list")
        for where, text in views(page, [str(number) for number in range(len(PAYLOADS))]):
            safe(page, where)
            assert squeezed(PAYLOADS[int(where.rpartition(" ")[2])]) in squeezed(text), where
        for hash in ("#/costs", "#/diff/0/1", "#/?q=%3Cscript%3E"):
            page.go(hash)
            safe(page, hash)
        calm(page, {viewer.url.split("/")[2]})


def test_one_file(page: Browser, tmp_path: Path) -> None:
    """The same holds for the page that is one file."""
    file = tmp_path / "page.html"
    file.write_text(mellite.viewer.html(attacked(tmp_path / "chat.json")), encoding="utf-8")
    page.open(file.as_uri())
    for where, text in views(page, [str(number) for number in range(len(PAYLOADS))]):
        safe(page, where)
        assert squeezed(PAYLOADS[int(where.rpartition(" ")[2])]) in squeezed(text), where
    for hash in ("#/diff/0/1", "#/costs", "#/?q=%3Cscript%3E"):
        page.go(hash)
        safe(page, hash)
    calm(page, {"file:"})


def test_names_of_files(page: Browser, tmp_path: Path) -> None:
    """Names of folders and files, of those that cannot be read, too, are shown as text."""
    names = [name for name in PAYLOADS if name.isprintable() and "/" not in name and len(name.encode()) < 150]
    assert len(names) > 7
    folder = tmp_path / names[0]
    folder.mkdir()
    for number, name in enumerate(names):
        path = recorded(folder / f"{name}.json", "One.")
        if number % 2:
            path.write_text('{"version": 1, "interactions": [', encoding="utf-8")
    with mellite.viewer.serve(folder) as viewer:
        page.open(viewer.url)
        page.until("return document.querySelector('.problems summary') !== null")
        page.script(OPEN)
        safe(page, "list")
        assert squeezed(names[1]) in squeezed(page.text)
        page.go(page.script("return document.querySelector('.rows a').hash"))
        safe(page, "call")
        calm(page, {viewer.url.split("/")[2]})


def test_a_log(page: Browser, tmp_path: Path) -> None:
    """Each payload in each field of a log is shown as text."""
    path = tmp_path / "log.db"
    with mellite.log.to(path):
        for payload in PAYLOADS:
            answer: list[Any] = [ReasoningDelta(payload), TextDelta(payload), RateLimited(payload)]
            try:
                Scripted([answer]).generate(payload, metadata={"tags": [payload]}).result()
            except RateLimited:
                continue
    mellite.log.flush()
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        safe(page, "list")
        found = page.script("return [...document.querySelectorAll('.rows a')].map((each) => each.hash.split('/')[2])")
        for where, _ in views(page, found[:10]):
            safe(page, where)
        page.go("#/costs")
        safe(page, "costs")
        page.go("#/")
        calm(page, {viewer.url.split("/")[2]})


def test_copies(page: Browser, tmp_path: Path) -> None:
    """What is copied as curl and as Python asks for exactly what was recorded, runs nothing else, and has no key."""
    path = attacked(tmp_path / "chat.json")
    bodies = [json.loads(one.request.body.characters) for one in mellite.cassettes.load_cassette(path).http]
    argument = "import json, sys; print(json.dumps(sys.argv[1:]))"
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        for number in range(len(PAYLOADS)):
            page.go(f"#/call/{number}")
            page.script(
                "[...document.querySelectorAll('button')].filter((each) => each.textContent.startsWith('copy as'))"
                ".forEach((each) => each.click())"
            )
            shell, program = page.until(
                "const copied = [...document.querySelectorAll('.copied pre')];"
                "return copied.length === 2 && copied.map((each) => each.textContent)"
            )
            assert "Bearer $OPENAI_API_KEY" in shell
            if "\0" not in PAYLOADS[number]:
                command = shell.replace("curl", f"{sys.executable} -c '{argument}'", 1)
                done = subprocess.run(["bash", "-c", command], capture_output=True, check=True, cwd=tmp_path)
                assert json.loads(json.loads(done.stdout)[-1]) == bodies[number]
            calls = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)]
            (loaded,) = [call for call in calls if ast.unparse(call.func) == "json.loads"]
            assert json.loads(ast.literal_eval(loaded.args[0])) == bodies[number]
        calm(page, {viewer.url.split("/")[2]})


class Payloads(mellite.Backend):
    """Calls a tool with a payload, and then says it."""

    def __init__(self, payload: str) -> None:
        self.payload = payload

    async def stream(self, request: mellite.Request) -> Any:
        if any(message.role == "tool" for message in request.messages):
            yield TextDelta(self.payload)
            yield Finish("stop")
            return
        yield ToolCallEvent(mellite.ToolCall("c1", "repeat", {"text": self.payload}))
        yield Finish("tool-calls")


@mellite.tool
async def repeat(text: str) -> str:
    """Say it again."""
    return text


def test_a_journal(page: Browser, tmp_path: Path) -> None:
    """Each payload in a run, in what its tools are given and give, and in what checks say, is shown as text."""
    path = tmp_path / "journal"

    async def main() -> None:
        with mellite.journal(path):
            for payload in PAYLOADS[:12]:
                await mellite.run(Payloads(payload), payload, tools=[repeat])
                wrong = mellite.Requirement(payload, lambda text, said=payload: mellite.ValidationResult(False, said))
                try:
                    await mellite.RejectionSampling().sample(Scripted([payload]).generate(payload), [wrong])
                except MelliteError:
                    continue

    anyio.run(main)
    with mellite.viewer.serve(path) as viewer:
        page.open(viewer.url)
        page.go("#/runs")
        safe(page, "runs")
        runs = page.script("return [...document.querySelectorAll('td a')].map((each) => each.hash)")
        assert len(runs) == 13
        for run in runs:
            page.go(run)
            safe(page, run)
        calm(page, {viewer.url.split("/")[2]})


@pytest.mark.parametrize("number", range(len(LAUGHS)))
def test_billion_laughs(page: Browser, tmp_path: Path, number: int) -> None:
    """What takes a careless reader of Markdown for ever is shown at once, and not deep."""
    with mellite.viewer.serve(recorded(tmp_path / "chat.json", LAUGHS[number])) as viewer:
        page.open(viewer.url)
        began = time.monotonic()
        page.go("#/call/0")
        assert time.monotonic() - began < 5
        deepest = page.script(
            "let deepest = 0; for (const each of document.querySelectorAll('#view *')) { let depth = 0;"
            " for (let at = each; at; at = at.parentElement) depth += 1; deepest = Math.max(deepest, depth); }"
            " return deepest"
        )
        assert deepest < 60
        safe(page, "laughs")
