"""Take the pictures of the viewer for the documentation: `nox -s viewer -- --documentation` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

import mellite
from mellite.events import Finish, TextDelta, ToolCallEvent, Usage
from tests.viewer.browser.driving import browser

DOCS: Final = Path(os.environ.get("MELLITE_DOCS") or "viewer-pictures")

ANSWER: Final = "Take an umbrella to **Bergen**; in Lisbon it is sunny, and 24 degrees warm."

SECONDS: Final = {"Lisbon": 0.45, "Bergen": 0.8}


class Assistant(mellite.Backend):
    """Asks for the weather of two cities at once, and then says word by word what to take along."""

    def describe(self) -> str:
        return "assistant"

    async def stream(self, request: mellite.Request) -> Any:
        await anyio.sleep(0.25)
        if request.messages[-1].role == "user":
            for city in SECONDS:
                yield ToolCallEvent(mellite.ToolCall(f"call_{city.lower()}", "weather", {"city": city}))
            yield Finish("tool-calls", usage=Usage.of(input_tokens=112, output_tokens=38))
            return
        for place, word in enumerate(ANSWER.split(" ")):
            yield TextDelta(f"{word} ")
            await anyio.sleep(0.25 if place == 4 else 0.03)
        yield Finish("stop", usage=Usage.of(input_tokens=187, output_tokens=21))


@mellite.tool
async def weather(city: str) -> str:
    """Tell the weather in a city."""
    await anyio.sleep(SECONDS[city])
    return {"Lisbon": "sunny, 24 degrees", "Bergen": "rain, 9 degrees"}[city]


def asked(path: Path) -> Path:
    """A journal of a run."""
    path.parent.mkdir()

    async def main() -> None:
        with mellite.journal(path):
            await mellite.run(Assistant(), "What do I pack for Lisbon and Bergen?", tools=[weather])

    anyio.run(main)
    return path


@pytest.mark.parametrize(("name", "hash", "height"), [("run", "", 450), ("timeline", "#/timeline/4", 600)])
def test_picture(tmp_path: Path, name: str, hash: str, height: int) -> None:
    """The run as a tree beside a waterfall, and the stream of its last answer."""
    with mellite.viewer.serve(asked(tmp_path / "journals" / "packing")) as viewer, browser() as page:
        page.size(1100, height)
        page.theme("light")
        page.open(f"{viewer.url}{hash or '#/runs'}")
        if not hash:
            page.go(page.script("return document.querySelector('td a').hash"))
        page.picture(DOCS / f"viewer-{name}.png")
        assert page.script("return document.documentElement.scrollHeight") <= height
        assert page.complaints() == []
