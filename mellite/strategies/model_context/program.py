"""An MCP server that is started here as a program, and spoken to through its stdin and stdout."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, final

from attrs import field, frozen

from ...values.secrets.names import sounds_secret
from ...values.secrets.shapes import looks_secret, masked
from .groups import leaves
from .package import client_of, imported
from .stderr import LastWords

if TYPE_CHECKING:
    import mcp

__all__ = ["Program"]

#: Options of the programs that start servers which take no value: what follows is what they start.
_PLAIN_OPTIONS: Final = frozenset({"-m", "-q", "-u", "-y", "--quiet", "--yes"})

_SHORTEST: Final = 4  # characters; anything shorter would be masked in every other word


@final
@frozen
class Program:
    """A server that is started here.

    Args:
        words: the command.
        env: variables for it, on top of the few that every server gets.
        cwd: where it is started; None for here.
    """

    words: tuple[str, ...]
    env: Mapping[str, str] = field(kw_only=True, repr=False)
    cwd: str | None = field(kw_only=True)
    _said: list[LastWords] = field(factory=list, init=False, repr=False, eq=False)

    @property
    def label(self) -> str:
        """The program and what it is to run: options and what follows them may be secret."""
        return _shown(self.words)

    def masked(self, text: str) -> str:
        """Return a text without the values of variables that are secret by their names or looks."""
        known = [value for name, value in self.env.items() if sounds_secret(name) or looks_secret(value)]
        return masked(text, [value for value in known if len(value) >= _SHORTEST])

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[mcp.Client]:
        """Start it and shake hands.

        By the handshake of 2025, which the servers of today know. Many end when they are asked anything before it, as
        those made with the Rust SDK below 3 do. A server that no longer knows it says so, and is started again.
        """
        imported()
        shaken = False
        try:
            async with self._client("legacy") as client:
                shaken = True
                yield client
        except Exception as error:
            if shaken or not _knows_no_handshake(error):
                raise
        if not shaken:
            async with self._client("auto") as client:
                yield client

    def _client(self, mode: Literal["legacy", "auto"]) -> mcp.Client:
        return client_of(self._streams(), mode)

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        parameters = StdioServerParameters(
            command=self.words[0], args=list(self.words[1:]), env=dict(self.env), cwd=self.cwd
        )
        said = LastWords(self.label, self.masked)
        self._said[:] = [said]
        with said.writing as pipe:
            async with stdio_client(parameters, pipe) as streams:
                pipe.close()  # so that the thread that reads it sees the end of the program
                yield streams

    async def last_words(self) -> str:
        """Return the end of what it wrote to stderr."""
        return await self._said[0].text() if self._said else ""


def _knows_no_handshake(error: Exception) -> bool:
    from mcp_types import UNSUPPORTED_PROTOCOL_VERSION

    return any(getattr(each, "code", None) == UNSUPPORTED_PROTOCOL_VERSION for each in leaves(error))


def _shown(words: Sequence[str]) -> str:
    shown = [os.path.basename(words[0])]
    for before, word in pairwise(words):
        if not word.startswith("-"):
            if (not before.startswith("-") or before in _PLAIN_OPTIONS) and not looks_secret(word):
                shown.append(os.path.basename(word) if os.path.isabs(word) else word)
            break
    return repr(" ".join(shown))
