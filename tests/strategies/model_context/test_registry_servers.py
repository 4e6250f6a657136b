"""Servers that others have published on PyPI, as people use them; everything.py has one from npm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from mellite.errors import ToolFailure
from mellite.mcp import Connection, connect

pytest.importorskip("mcp_server_time")
pytest.importorskip("mcp_server_git")
pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def tools_of(connection: Connection) -> dict[str, Any]:
    """The tools of a connection by name."""
    return {tool.name: tool for tool in connection.tools}


async def test_time() -> None:
    """mcp-server-time converts a time, and says what it does not know."""
    async with connect([sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"]) as connection:
        convert = tools_of(connection)["convert_time"]
        asked = {"source_timezone": "Europe/Paris", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        assert "+" in str(await convert(asked))
        with pytest.raises(ToolFailure, match="Europe/Nowhere"):
            await convert({**asked, "source_timezone": "Europe/Nowhere"})
        assert convert.input_schema["required"] == ["source_timezone", "time", "target_timezone"]


async def test_git(tmp_path: Path) -> None:
    """mcp-server-git writes and reads a repository; a prefix tells its tools from those of a second one."""
    await anyio.run_process(["git", "init", "-q", str(tmp_path)])
    (tmp_path / "poem.txt").write_text("Roses\n", encoding="utf-8")
    command = [sys.executable, "-m", "mcp_server_git", "--repository", tmp_path]
    async with connect(command) as first, connect(command, prefix="other_") as second:
        tools = tools_of(first) | tools_of(second)
        where = {"repo_path": str(tmp_path)}
        assert "poem.txt" in str(await tools["git_status"](where))
        await tools["git_add"]({**where, "files": ["poem.txt"]})
        assert "new file:   poem.txt" in str(await tools["other_git_status"](where))
        with pytest.raises(ToolFailure):
            await tools["git_show"]({**where, "revision": "no-such-revision"})
