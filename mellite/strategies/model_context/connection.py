"""Connect to an MCP server, and have its tools as tools of ours."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final

from ...loops import run_in_thread
from ...values.errors import ConnectError, ConnectionLost, InvalidRequest, MelliteError, TotalTimeout
from ...values.function_tools import Tool
from ...values.json_texts import well_formed
from ...values.messages import Media, Message, Text
from ...values.provider_json import Json
from ...values.telling import MCP_LOG
from .contents import part_of, read_part
from .failures import explained
from .line import Line
from .offers import Offers, Prompt, Resource, offers_of
from .package import imported
from .remote_tool import RemoteTool
from .target import Target, target_of

if TYPE_CHECKING:
    import mcp

__all__ = ["Connection", "connect"]

T = TypeVar("T")

#: What the names of tools are made of, with every provider, and how long they may be.
_IN_NAMES: Final = re.compile(r"[A-Za-z0-9_-]*")
_LONGEST_NAME: Final = 64


def connect(
    command_or_url: str | Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60,
    prefix: str = "",
) -> Connection:
    """Connect to an MCP server inside an ``async with`` block: start its program, or reach it by its URL.

    Args:
        command_or_url: the command that starts the server, which is split as a shell would split it, and run without
            a shell; or the words of the command; or a URL with http or https, for a server over streamable HTTP.
        env: variables for the program. From this process it inherits only ``HOME``, ``LOGNAME``, ``PATH``, ``SHELL``,
            ``TERM`` and ``USER`` (on Windows their equivalents).
        cwd: the folder in which the program is started.
        headers: sent with every request to a URL, for instance ``{"Authorization": "Bearer ..."}``.
        timeout: how long the server may take to connect, and for each call after that, in seconds.
        prefix: added to the name of each tool, so that tools of several servers have different names.

    Raises:
        InvalidRequest: for anything but a command or a URL, and for options that do not apply to it.
        InvalidCredential: for a header with a key that cannot be sent.

    Example:
        >>> connect("npx -y @modelcontextprotocol/server-everything", prefix="demo_")
        <Connection to 'npx @modelcontextprotocol/server-everything', not connected yet>
    """
    if not isinstance(prefix, str) or not _IN_NAMES.fullmatch(prefix):
        msg = f"'prefix' must be made of letters, digits, '_' and '-', as names of tools are, not {prefix!r:.80}"
        raise InvalidRequest(msg, parameter="prefix")
    target = target_of(command_or_url, env=env, cwd=cwd, headers=headers, timeout=timeout)
    return Connection(target, timeout, prefix)


@final
class Connection:
    """A connection to one MCP server; `mellite.mcp.connect` makes it, and ``async with`` opens and ends it.

    The server has a task of its own. If it ends, hangs or fails, calls that wait for it raise an error, and nothing is
    cancelled. A connection that has ended cannot be reopened: connect again.
    """

    def __init__(self, target: Target, timeout: float, prefix: str) -> None:
        self._target = target
        self._timeout = timeout
        self._prefix = prefix
        self._line: Line | None = None
        self._offers: Offers | None = None
        self._tools: tuple[Tool[..., Any], ...] = ()
        self._entered = False
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not connected yet" if self._offers is None else "connected"
        return f"<Connection to {self._target.label}, {state}>"

    async def __aenter__(self) -> Self:
        """Connect, and ask for all that the server offers.

        Raises:
            MissingExtra: if the mcp package is not installed.
            ConnectError: if the server cannot be started or reached, ends at once, or takes too long.
            AuthenticationError: if it does not accept who is asking.
            MelliteError: if it answers with another error.
        """
        if self._entered:
            msg = f"this connection to the MCP server {self._target.label} has been used; make another with connect()"
            raise InvalidRequest(msg)
        self._entered = True
        await run_in_thread(imported)  # half a second, in which other tasks go on
        self._line = Line(self._target.opened, self._explain, self._target.label)
        failure: ConnectError | None = None
        try:
            self._offers = await self._line.ask(offers_of, self._timeout, "the first requests")
        except (ConnectionLost, TotalTimeout) as error:
            failure = ConnectError(f"no connection: {error}")
        finally:
            if self._offers is None:
                self._closed = True
                await self._line.end()
        if failure is not None or self._offers is None:
            raise failure or ConnectError(f"no connection to the MCP server {self._target.label}")
        self._tools = tuple(self._tools_of(self._offers))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the connection and the program; calls that wait for it fail."""
        self._closed = True
        if self._line is not None:
            await self._line.end()

    @property
    def name(self) -> str:
        """The server's own name; empty if unknown."""
        return self._offered().name

    @property
    def instructions(self) -> str:
        """The server's instructions for models; empty if it has none."""
        return self._offered().instructions

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """The server's tools as they were when the connection began, for ``tools=``."""
        self._offered()
        return self._tools

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The server's prompts as they were when the connection began."""
        return self._offered().prompts

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The server's resources as they were when the connection began."""
        return self._offered().resources

    async def prompt(self, name: str, /, **arguments: Json) -> tuple[Message, ...]:
        """Have the server fill in a prompt, and return its messages.

        Args:
            name: the prompt.
            arguments: a str is sent as it is, anything else as its JSON.

        Raises:
            InvalidRequest: if the server has no such prompt, or misses an argument; for an argument that is not JSON.
            MelliteError: if it does not answer, or answers with another error.
        """
        known = _text("name", name)
        texts = {_text("name", key): _argument(key, value) for key, value in arguments.items()}
        answer = await self._ask(lambda client: client.get_prompt(known, texts), f"prompt {name!r:.200}")
        return tuple([Message(each.role, (part_of(each.content),)) for each in answer.messages])

    async def resource(self, uri: str) -> tuple[Text | Media, ...]:
        """Read a resource: one part, or the parts of everything below it.

        Raises:
            InvalidRequest: if the server has no resource with this URI.
            MelliteError: if it does not answer, or answers with another error.
        """
        known = _text("uri", uri)
        answer = await self._ask(lambda client: client.read_resource(known), f"resource {uri!r:.200}")
        return tuple([read_part(each) for each in answer.contents])

    # --- inside -----------------------------------------------------------------------------------------

    def _offered(self) -> Offers:
        if self._offers is None:
            raise self._unusable()
        return self._offers

    def _usable(self) -> Line:
        if self._closed or self._line is None or self._offers is None:
            raise self._unusable()
        return self._line

    def _unusable(self) -> InvalidRequest:
        state = "is closed: its `async with` block is over" if self._closed else "is not open: use `async with`"
        return InvalidRequest(f"the connection to the MCP server {self._target.label} {state}")

    async def _explain(self, error: Exception) -> MelliteError:
        return await explained(self._target, error)

    async def _ask(self, what: Callable[[mcp.Client], Awaitable[T]], asked: str) -> T:
        return await self._usable().ask(what, self._timeout, asked)

    def _tools_of(self, offers: Offers) -> Iterator[Tool[..., Any]]:
        names = _names([self._prefix + one.name for one in offers.tools])
        for one, name in zip(offers.tools, names, strict=True):
            remote = RemoteTool(
                one.name, self._target.label, masked=self._target.masked, check=self._usable, ask=self._ask
            )
            about = one.description or one.title or ""
            try:
                if name is None:
                    msg = "another one has its name"
                    raise InvalidRequest(msg)
                yield Tool.from_schema(name, one.input_schema, remote.call, description=about)
            except InvalidRequest as error:  # the others can be used
                label = self._target.label
                said = "the MCP server %s: its tool %r is left out: %s"
                MCP_LOG.warning("mcp.tool_left_out", said, label, one.name, error, server=label, tool=one.name)


def _names(given: Sequence[str]) -> list[str | None]:
    """Return names for tools that all providers take, each another one; None for a tool whose name came before.

    What providers refuse is replaced, and the end is cut off. Where that leaves two names alike, as it does with two of
    Chinese letters, a digest tells them apart.
    """
    taken = {name for name in given if name == _allowed(name)}
    known: set[str] = set()
    found: list[str | None] = []
    for name in given:
        ours = _allowed(name)
        if ours != name and ours in taken:
            ours = _with_digest(ours, name)
        found.append(None if name in known else ours)
        known.add(name)
        taken.add(ours)
    return found


def _allowed(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return name if len(name) <= _LONGEST_NAME else _with_digest(name, name)


def _with_digest(allowed: str, name: str) -> str:
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{allowed[: _LONGEST_NAME - 9]}_{digest[:8]}"


def _text(name: str, value: object) -> str:
    """Return a text that can be sent: the mcp package ends the connection where it cannot write a message."""
    if not isinstance(value, str):
        msg = f"{name!r} must be a str, not {value!r:.100}"
        raise InvalidRequest(msg, parameter=name)
    return str(well_formed(value))


def _argument(name: str, value: Json) -> str:
    if isinstance(value, str):
        return _text(name, value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"the argument {name!r} of a prompt is a str or JSON, not {value!r:.100}: {error}"
        raise InvalidRequest(msg, parameter=name) from error
