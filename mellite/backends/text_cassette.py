"""The backend of text cassettes: replays texts recorded by provider, model and prompt, and records new ones."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import anyio.to_thread
from attrs import define, evolve, field

from ..cassettes.compression import Compression
from ..cassettes.modes import Mode, mode_of, permitted
from ..cassettes.text.directory import TextCassette, TextDirectory
from ..cassettes.text.rendering import render
from ..cassettes.text.sidecar import Sidecar
from ..thunk.backend import Backend
from ..values.chunking import Chunking, chunker_for
from ..values.errors import CassetteError, ConfigurationError
from ..values.events import Event, Finish, FinishReason, ResponseStart, TextDelta, ToolCallEvent
from ..values.messages import ToolCall
from ..values.public_names import publish
from ..values.request import Request
from ..values.telling import log

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["DIRECTORY_VARIABLES", "Streams", "TextCassetteBackend", "cassette_directory"]

#: The environment variables for the directory, if no argument names it; the first that is set counts.
DIRECTORY_VARIABLES: Final = ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR")

PROTOCOL: Final = "text-cassette"


_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool-calls": "tool-calls",
    "content-filter": "content-filter",
}

_WORDS: Final = re.compile(r"\s*\S+|\s+")


def cassette_directory(directory: str | PathLike[str] | None = None) -> TextDirectory:
    """Return the directory of text cassettes: *directory*, or the one that the environment names now.

    Raises:
        ConfigurationError: if neither names a directory.
    """
    if directory is None:
        directory = next((value for name in DIRECTORY_VARIABLES if (value := os.environ.get(name))), None)
    if directory is None:
        names = " nor ".join(DIRECTORY_VARIABLES)
        msg = (
            f"no cassette directory: none was given, and neither {names} is set; give directory=... or set one of them"
        )
        raise ConfigurationError(msg)
    return TextDirectory(directory)


def _directory(value: str | os.PathLike[str] | None) -> str | None:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if path is None or (isinstance(path, str) and path):
        return path
    msg = f"directory must be the path of a directory, or None for what the environment names, not {value!r:.100}"
    raise ConfigurationError(msg)


def _string(value: str) -> str:
    if isinstance(value, str):
        return value
    msg = f"provider and model are str, empty for any provider's default model, not {value!r:.100}"
    raise ConfigurationError(msg)


class Streams(Protocol):
    """Anything that answers requests with events: any backend."""

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Yield the events of the answer as they arrive."""
        ...


@define(eq=False)
class TextCassetteBackend(Backend):
    """A backend that replays the text recorded for a call's provider, model and prompt, and can record new ones.

    The prompt in the key is the text of the only message; other requests are rendered to text, see
    `mellite.cassettes.text.rendering`. The model in the key is the request's, else the backend's. Generation options
    are accepted without effect, as they are not in the key and the text was generated before; only ``stream=False``
    sends the text in one piece.

    A backend with a `live` backend records. Every event is passed on as it arrives, and a complete answer is stored
    before its `Finish` is passed on. An answer that breaks off or is cancelled is not stored. A recording that fails,
    as because of a secret or a full disk, does not fail the call: the error is appended to ``problems``, and raised by
    `aclose`. A directory holds one answer for each call: of several copies of a thunk, the first to end is recorded.

    Args:
        directory: the directory of the cassettes; None for the one that MELLITE_CASSETTE_DIR or else
            MOCHI_LLM_CASSETTE_DIR names when a thunk is generated.
        provider: the provider in the key, as in ``openai``.
        model: the model in the key and for the live backend; empty for the default model.
        chunking: how to cut the text into deltas; None for the recorded chunks, or words if there are none.
        live: the backend for answers that are not recorded. The caller closes it.
        mode: what to record, see `mellite.cassettes.modes`; None to ask the environment. As a directory has a file for
            each call, ``once`` and ``new_episodes`` record missing answers, ``all`` and ``rewrite`` replace the answer
            to every call.
        compression: the compression of new files: ``gzip``, ``lz4`` or None.
        even_in_ci: whether to record in spite of ``CI=true``.

    Raises:
        ConfigurationError: for an argument of the wrong type.

    Example:
        >>> backend = TextCassetteBackend("cassettes/text", provider="openai")
        >>> backend.generate("Say hello.").result()
        'Hello! It is good to meet you.'
    """

    directory: str | None = field(default=None, converter=_directory)
    provider: str = field(default="", kw_only=True, converter=_string)
    model: str = field(default="", kw_only=True, converter=_string)
    chunking: Chunking = field(default=None, kw_only=True)
    live: Streams | None = field(default=None, kw_only=True)
    mode: Mode | None = field(default=None, kw_only=True)
    compression: Compression | None = field(default=None, kw_only=True)
    even_in_ci: bool = field(default=False, kw_only=True)
    problems: list[CassetteError] = field(factory=list, init=False, repr=False)
    _tidied: str | None = field(default=None, init=False, repr=False)

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of the recorded answer, or those of a live answer while it is being recorded.

        Raises:
            UnsupportedOption: for raw additions to the HTTP request.
            ConfigurationError: if no directory is named.
            CassetteMiss: if no answer was recorded, and none is to be; names the nearest recording.
            CassetteMismatch: if the answer under the key belongs to another call.
            InvalidCassette: if the cassette or its sidecar is damaged.
            RecordingForbidden: if `mode` demands recording where it is forbidden.
        """
        directory = cassette_directory(self.directory)
        model = (self.model if request.model is None else request.model) or ""
        prompt = render(request)
        mode = "none" if self.live is None else self._mode()
        found = directory.find(self.provider, model, prompt)
        if self.live is None or mode == "none" or (found is not None and mode in ("once", "new_episodes")):
            if found is None:  # search many files for the nearest recording, in a thread
                find = partial(directory.read, self.provider, model, prompt)
                found = await anyio.to_thread.run_sync(find, limiter=anyio.CapacityLimiter(1))
            for event in self._replayed(found, request, model):
                yield event
            return
        take = _Take(Sidecar(self.provider, model, prompt=prompt))
        asked = request if (request.model or "") == model else evolve(request, model=model)
        events = self.live.stream(asked)
        try:
            async for event in events:
                if isinstance(event, Finish):
                    await self._record(directory, take, event, replace=mode in ("all", "rewrite"))
                else:
                    take.add(event)
                yield event
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def _mode(self) -> Mode:
        return permitted(mode_of(os.environ, self.mode), os.environ, even_in_ci=self.even_in_ci)

    def _replayed(self, cassette: TextCassette, request: Request, model: str) -> Iterator[Event]:
        streaming = request.options.stream is not False
        sidecar = cassette.sidecar or Sidecar("", "", prompt="")
        yield ResponseStart(
            provider=self.provider or None,
            protocol=PROTOCOL,
            model=model or None,
            response_model=sidecar.response_model,
            replayed=True,
            streaming=streaming,
        )
        for chunk in self._chunks(cassette) if streaming else [cassette.text]:
            if chunk:
                yield TextDelta(chunk)
        for call in sidecar.tool_calls:
            yield ToolCallEvent(call)
        yield Finish(
            _REASONS.get(sidecar.finish_reason or "stop", "unknown"), usage=sidecar.usage, refusal=sidecar.refusal
        )

    def _chunks(self, cassette: TextCassette) -> Sequence[str]:
        if self.chunking is None:
            recorded = cassette.chunks
            return _WORDS.findall(cassette.text) if recorded is None else recorded
        chunker = chunker_for(self.chunking)
        return [*chunker.feed(cassette.text), *chunker.end()]

    async def _record(self, directory: TextDirectory, take: _Take, finish: Finish, *, replace: bool) -> None:
        if finish.reason == "error":
            return
        text, sidecar = take.finished(finish)

        def store() -> None:
            if self._tidied != directory.path:
                directory.tidy()
                self._tidied = directory.path
            directory.record(text, sidecar, compression=self.compression, replace=replace)

        try:
            with anyio.CancelScope(shield=True):  # a cancelled write would have to be made again
                # With a limiter of its own: all threads of the shared one may be waiting for this very answer.
                await anyio.to_thread.run_sync(store, limiter=anyio.CapacityLimiter(1))
        except CassetteError as error:
            log.warning("recording.failed", "an answer is not recorded: %s", error)
            self.problems.append(error)

    async def aclose(self) -> None:
        """End the recording and empty ``problems``.

        Raises:
            CassetteError: the first of ``problems``, if an answer could not be stored.
        """
        problems, self.problems = self.problems, []
        if problems:
            raise problems[0]


@define
class _Take:
    """The parts of one answer, while it is being recorded."""

    sidecar: Sidecar
    chunks: list[str] = field(factory=list)
    calls: list[ToolCall] = field(factory=list)
    response_model: str | None = None

    def add(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self.chunks.append(event.text)
        elif isinstance(event, ToolCallEvent):
            self.calls.append(event.call)
        elif isinstance(event, ResponseStart) and event.response_model is not None:
            self.response_model = event.response_model

    def finished(self, finish: Finish) -> tuple[str, Sidecar]:
        sidecar = evolve(
            self.sidecar,
            chunks=tuple(self.chunks),
            usage=finish.usage,
            tool_calls=tuple(self.calls),
            finish_reason=None if finish.reason == "stop" else finish.reason,
            refusal=finish.refusal,
            response_model=self.response_model,
        )
        return "".join(self.chunks), sidecar


publish(globals(), "mellite.backends", "TextCassetteBackend")
