"""Answers from text cassettes: recorded texts found by provider, model and prompt, replayed in chunks."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..calling import Backend
from ..cassettes.text import TextCassette, TextDirectory
from ..chunking import Chunking, chunker_for
from ..errors import ConfigurationError, UnsupportedOption
from ..events import Event, Finish, ResponseStart, TextDelta
from ..messages import Text
from ..request import Request

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["DIRECTORY_VARIABLES", "TextCassetteBackend", "cassette_directory"]

#: The environment variables that name the directory where no argument does; the first that is set counts.
DIRECTORY_VARIABLES: Final = ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR")

PROTOCOL: Final = "text-cassette"

_WORDS: Final = re.compile(r"\s*\S+|\s+")


def cassette_directory(directory: str | PathLike[str] | None = None) -> TextDirectory:
    """The directory of text cassettes: this one, or the one that the environment names now.

    Raises:
        ConfigurationError: if there is neither.
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


def _directory(value: object) -> str | None:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if path is None or (isinstance(path, str) and path):
        return path
    msg = f"directory must be the path of a directory, or None for what the environment names, not {value!r:.100}"
    raise ConfigurationError(msg)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    msg = f"provider and model are str, empty for any provider's default model, not {value!r:.100}"
    raise ConfigurationError(msg)


@define(eq=False)
class TextCassetteBackend(Backend):
    """Answers with the text that was recorded for a call, found by provider, model and prompt.

    It answers one kind of request: a single user message made of text, which is the prompt of the key. The model of
    the request, if it has one, comes before the backend's. Generation options are accepted and change nothing: they
    are not in the key, and what was recorded was generated already (``stream=False`` gives it in one piece).

    Args:
        directory: where the cassettes lie; None for what MELLITE_CASSETTE_DIR or else MOCHI_LLM_CASSETTE_DIR says
            when a thunk is generated.
        provider: the provider in the key, as in ``openai``.
        model: the model in the key; empty stands for the provider's default.
        chunking: how to cut the text into deltas; None takes the chunks in which it was recorded, or else words.

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

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Send the recorded text.

        Raises:
            UnsupportedOption: for a request that is more than one user message of text.
            ConfigurationError: if there is no directory.
            CassetteMiss: if nothing was recorded; it says what was nearest.
            CassetteMismatch: if what was recorded under the key is the answer to another call.
            InvalidCassette: if the cassette or its sidecar is damaged.
        """
        prompt = _prompt(request)
        model = self.model if request.model is None else request.model
        cassette = cassette_directory(self.directory).read(self.provider, model, prompt)
        streaming = request.options.stream is not False
        yield ResponseStart(
            provider=self.provider or None, protocol=PROTOCOL, model=model or None, replayed=True, streaming=streaming
        )
        for chunk in self._chunks(cassette) if streaming else [cassette.text]:
            if chunk:
                yield TextDelta(chunk)
        yield Finish("stop", usage=None if cassette.sidecar is None else cassette.sidecar.usage)

    def _chunks(self, cassette: TextCassette) -> Sequence[str]:
        if self.chunking is None:
            recorded = cassette.chunks
            return _WORDS.findall(cassette.text) if recorded is None else recorded
        chunker = chunker_for(self.chunking)
        return [*chunker.feed(cassette.text), *chunker.end()]


def _prompt(request: Request) -> str:
    """The prompt of the key.

    Raises:
        UnsupportedOption: if the request is more than that; ``option`` names what.
    """
    beyond = _beyond(request)
    if beyond is not None:
        option, what = beyond
        msg = (
            f"a text cassette is the answer to one user message of text, and this request has {what}; "
            "replay it from an HTTP cassette, or leave that out"
        )
        raise UnsupportedOption(msg, option=option, model=request.model)
    return request.messages[0].text


def _beyond(request: Request) -> tuple[str, str] | None:
    """What the request has beyond a prompt: the name of the field, and in words; None if nothing."""
    if request.system:
        return "system", "a system prompt"
    if len(request.messages) != 1:
        return "messages", f"{len(request.messages)} messages"
    message = request.messages[0]
    if message.role != "user":
        return "messages", f"a message by {message.role!r}"
    other = next((part for part in message.content if not isinstance(part, Text)), None)
    if other is not None:
        return "messages", f"a part of the type {type(other).__name__}"
    if request.tools:
        return "tools", "tools"
    if request.tool_choice is not None:
        return "tool_choice", "a tool choice"
    if request.output is not str:
        return "output", f"the output type {getattr(request.output, '__name__', request.output)}"
    if not request.options.drop_unsupported:
        for name in ("provider_options", "http"):
            if getattr(request, name):
                return name, f"{name!r} (which drop_unsupported=True would drop)"
    return None
