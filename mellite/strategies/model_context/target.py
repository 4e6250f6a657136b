"""The target of `connect`: a program that is started, or a URL."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from ...values.errors import InvalidRequest
from ...values.paths import path_of
from ...wire.http import HttpRequest, check_request
from .address import Address
from .program import Program

if TYPE_CHECKING:
    import mcp

__all__ = ["Target", "target_of"]


class Target(Protocol):
    """The server to connect to."""

    @property
    def label(self) -> str:
        """Its name for errors, without secrets."""
        ...

    def masked(self, text: str) -> str:
        """Return a text without what was given as a secret."""
        ...

    def opened(self) -> AbstractAsyncContextManager[mcp.Client]:
        """Connect; the client of the mcp package can be used inside the block."""
        ...

    async def last_words(self) -> str:
        """Return what it said last, if it is a program; once it has ended, all of that."""
        ...


def target_of(
    command_or_url: object,
    *,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    headers: Mapping[str, str] | None,
    timeout: float,
) -> Target:
    """Read what is to be connected to.

    Raises:
        InvalidRequest: for anything but a command or a URL, and for options that do not apply to it.
        InvalidCredential: for a header with a key that cannot be sent.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        msg = f"'timeout' must be a number of seconds above 0, not {timeout!r:.80}"
        raise InvalidRequest(msg, parameter="timeout")
    _check_texts("env", env)
    _check_texts("headers", headers)
    if not isinstance(command_or_url, str) or not re.match(r"\s*[a-z]+://", command_or_url, re.IGNORECASE):
        _refuse("headers", headers, "is for a server with a URL; a program is given what it needs by env=")
        folder = None if cwd is None else path_of(cwd, parameter="cwd", what="a folder")
        words, variables = _words(command_or_url), dict(env or {})
        _check_passable("command_or_url", words)
        _check_passable("env", [*variables, *variables.values()])
        if any(not variable or "=" in variable for variable in variables):
            msg = "env= must map names of variables to texts; a name is empty, or has '=' in it"
            raise InvalidRequest(msg, parameter="env")
        return Program(words, env=variables, cwd=folder)
    _refuse("env", env, "is for a server that is started as a program; this one has a URL")
    _refuse("cwd", cwd, "is for a server that is started as a program; this one has a URL")
    url = command_or_url.strip()
    check_request(HttpRequest("POST", url, headers=headers or {}))
    return Address(url, headers=dict(headers or {}), timeout=timeout)


def _refuse(name: str, value: object, why: str) -> None:
    if value is not None:
        msg = f"{name}= {why}"
        raise InvalidRequest(msg, parameter=name)


def _check_texts(name: str, given: object) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        msg = f"{name}= must map names to texts; what was given is not shown, as it may be secret"
        raise InvalidRequest(msg, parameter=name)


def _check_passable(name: str, texts: Iterable[str]) -> None:
    """Raise InvalidRequest for texts that no program can be given."""
    try:
        passable = not any(b"\0" in os.fsencode(text) for text in texts)
    except UnicodeEncodeError:
        passable = False
    if not passable:
        msg = f"{name}= has a text with a NUL character or half a surrogate pair, which no program can be given"
        raise InvalidRequest(msg, parameter=name)


def _words(command: object) -> tuple[str, ...]:
    """Return the words of a command."""
    if isinstance(command, str):
        try:
            words = tuple(shlex.split(command, posix=os.name != "nt"))
        except ValueError as error:
            msg = f"the command of the MCP server cannot be split into words: {error}; give a list of words"
            raise InvalidRequest(msg, parameter="command_or_url") from None
    elif isinstance(command, (list, tuple)) and all(isinstance(word, (str, os.PathLike)) for word in command):
        words = tuple([str(os.fspath(word)) for word in command])
    else:
        kind = type(command).__name__
        msg = f"an MCP server is a command, as a str or a list of its words, or a URL, not {kind}"
        raise InvalidRequest(msg, parameter="command_or_url")
    if not words or not words[0]:
        msg = "the command of the MCP server is empty"
        raise InvalidRequest(msg, parameter="command_or_url")
    return words
