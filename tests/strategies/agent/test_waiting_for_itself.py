"""A run that is awaited inside itself, by its own tool or condition, would wait for ever: it is told instead."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import mellite
from mellite.backends import Scripted
from mellite.errors import InvalidRequest, MelliteError, ToolDefect

pytestmark = pytest.mark.anyio


async def test_in_a_tool() -> None:
    runs: list[mellite.Run[str]] = []

    async def look_at_all() -> str:
        return await runs[0]

    runs.append(mellite.run(Scripted([[mellite.ToolCall("1", "look_at_all", {})], "x"]), "q", tools=[look_at_all]))
    with anyio.fail_after(5):
        await runs[0].settle()
    error = runs[0].error
    assert isinstance(error, ToolDefect)
    assert isinstance(error.__cause__, InvalidRequest)
    assert "inside its own generation" in str(error.__cause__)


async def test_in_a_condition() -> None:
    async def is_enough(run: Any) -> bool:
        return bool(await run)

    def look() -> str:
        return "seen"

    answers = Scripted([[mellite.ToolCall("1", "look", {})], "x"])
    run = mellite.run(answers, "q", tools=[look], stop_when=is_enough)
    with anyio.fail_after(5):
        await run.settle()
    assert isinstance(run.error, MelliteError)
    assert "inside its own generation" in str(run.error)


async def test_reading_there_is_fine() -> None:
    runs: list[mellite.Run[str]] = []

    async def look_back() -> int:
        return len(runs[0].messages)

    runs.append(mellite.run(Scripted([[mellite.ToolCall("1", "look_back", {})], "x"]), "q", tools=[look_back]))
    assert await runs[0] == "x"
    assert runs[0].steps[0].values == (1,)
