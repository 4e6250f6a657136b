"""A journal answers clients of any vendor what its run was answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mellite
from mellite import Message, ToolCall
from mellite.backends import Scripted
from mellite.errors import InvalidRequest
from mellite.messages import ToolResult
from mellite.server.running import RunningServer
from tests.server.asking import SPECS, served_backend

Server = Callable[..., RunningServer]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a run with two equal calls, and one with a tool."""
    path = tmp_path / "run"
    backend = Scripted(["First.", "Second.", [ToolCall("call_1", "look", {"at": "it"})], "Seen."])
    with mellite.journal(path):
        for _ in range(2):
            mellite.generate(backend, "One two.", system="Be brief.").result()
        asked = mellite.generate(backend, "Look.")
        asked.result()
        talk = [Message.user("Look."), asked.message, Message.tool(ToolResult("call_1", "look", {"seen": 1}))]
        mellite.generate(backend, talk).result()
    return path


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
async def test_what_was_answered(mellite_server: Server, journal: Path, spec: str) -> None:
    """Equal calls get their answers in turn; what was not asked is told with the difference."""
    async with served_backend(mellite_server(journal), spec) as backend:
        said = [await backend.generate("One two.", system="Be brief.") for _ in range(3)]
        assert said == ["First.", "Second.", "First."]
        asked = backend.generate("Look.")
        await asked
        (call,) = asked.tool_calls
        assert call.arguments == {"at": "it"}
        talk = [Message.user("Look."), asked.message, Message.tool(ToolResult(call.id, "look", {"seen": 1}))]
        assert await backend.generate(talk) == "Seen."
        with pytest.raises(InvalidRequest, match="One two") as raised:
            await backend.generate("One three.", system="Be brief.")
        assert raised.value.status == 404
