"""mochi_llm_generate(): one answer for one call, recorded or live, as compiled Mochi programs ask for it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..cassettes.text.directory import TextDirectory, djb2_key

if TYPE_CHECKING:
    from ..cassettes.modes import Mode
    from ..thunk.backend import Backend
    from .text_cassette import TextCassetteBackend

__all__ = ["mochi_llm_generate", "mochi_llm_stream"]

_VARIABLE: Final = "MOCHI_LLM_CASSETTE_DIR"


def mochi_llm_generate(provider: str, model: str, prompt: str) -> str:
    """The text that was recorded for a call, in the directory that MOCHI_LLM_CASSETTE_DIR names now.

    Where there is none it says so on stderr and gives the empty text, so that a program runs to its end, as with
    Mochi's other runtimes. What is there but damaged, or the answer to another call, is an error all the same.

    When recording is on (``MOCHI_LLM_CASSETTE_RECORD=1``, or ``RECORD=true`` to record anew what is there), the
    provider is asked for what is missing, and the answer is stored. Providers are ``openai``, ``anthropic``,
    ``google`` and ``llama`` (a llama.cpp server on this machine, or where LLAMA_BASE_URL says), and any other that
    `mellite.backend` knows if a model is named. An answer that cannot be stored is given all the same, and logged.

    Args:
        provider: as in ``openai``.
        model: the model's id; empty for the provider's default.
        prompt: what is asked.

    Raises:
        CassetteMismatch: if the file is the answer to another call with the same key.
        InvalidCassette: if the file, or its sidecar, is damaged.
        RecordingForbidden: for ``RECORD=true`` with ``CI=true``.
        UnknownProvider: when recording, if there is no such provider.
        SyncInsideLoop: when recording inside of a running event loop; use `mochi_llm_stream` there.
        MelliteError: when recording, for whatever goes wrong with the live call.

    Example:
        >>> os.environ["MOCHI_LLM_CASSETTE_DIR"] = "cassettes/text"
        >>> "Answer: " + mochi_llm_generate("openai", "", "Say hello.")
        'Answer: Hello! It is good to meet you.'
        >>> del os.environ["MOCHI_LLM_CASSETTE_DIR"]
    """
    path = os.environ.get(_VARIABLE)
    if not path:
        _say(f"{_VARIABLE} not set")
        return ""
    mode = _mode()
    cassette = TextDirectory(path).find(provider, model, prompt)
    if cassette is not None and mode not in ("all", "rewrite"):
        return cassette.text
    if mode == "none":
        _say_missing(path, provider, model, prompt)
        return ""
    return _backend(path, provider, model, mode).generate(prompt).result()


def mochi_llm_stream(provider: str, model: str, prompt: str) -> AsyncIterator[str]:
    """As `mochi_llm_generate`, but in the pieces in which the answer came, or comes. Nothing is asked before the first.

    Args:
        provider: as in ``openai``.
        model: the model's id; empty for the provider's default.
        prompt: what is asked.

    Raises:
        CassetteMismatch: if the file is the answer to another call with the same key.
        InvalidCassette: if the file, or its sidecar, is damaged.
        RecordingForbidden: for ``RECORD=true`` with ``CI=true``.
        UnknownProvider: when recording, if there is no such provider.

    Example:
        >>> import anyio
        >>> async def pieces():
        ...     return [piece async for piece in mochi_llm_stream("openai", "", "Say hello.")]
        >>> os.environ["MOCHI_LLM_CASSETTE_DIR"] = "cassettes/text"
        >>> anyio.run(pieces)
        ['Hello', '!', ' It', ' is', ' good', ' to', ' meet', ' you', '.']
        >>> del os.environ["MOCHI_LLM_CASSETTE_DIR"]
    """
    path = os.environ.get(_VARIABLE)
    if not path:
        _say(f"{_VARIABLE} not set")
        return _Nothing()
    mode = _mode()
    if mode == "none" and TextDirectory(path).find(provider, model, prompt) is None:
        _say_missing(path, provider, model, prompt)
        return _Nothing()
    # Not an async generator of our own: one that is left by `break` closes what is behind it too late.
    return aiter(_backend(path, provider, model, mode).generate(prompt))


class _Nothing(AsyncIterator[str]):
    """No pieces."""

    async def __anext__(self) -> str:
        raise StopAsyncIteration


def _mode() -> Mode:
    from ..cassettes.modes import mode_of, permitted

    return permitted(mode_of(os.environ), os.environ)


def _backend(path: str, provider: str, model: str, mode: Mode) -> TextCassetteBackend:
    """A backend that answers from the directory, and live where the mode says so."""
    from .text_cassette import TextCassetteBackend

    if mode == "none":
        return TextCassetteBackend(path, provider=provider, model=model)
    from ..providers.default_models import spec_of

    live = _live(spec_of(provider, model))
    return TextCassetteBackend(path, provider=provider, model=model, live=live, mode=mode)


@lru_cache(maxsize=16)  # for its connections: a program asks the same few again and again
def _live(spec: str) -> Backend:
    from .by_name import backend

    return backend(spec)


def _say_missing(path: str, provider: str, model: str, prompt: str) -> None:
    _say(f"cassette not found: {TextDirectory(path).file(djb2_key(provider, model, prompt))}")


def _say(what: str) -> None:
    print(f"mochi_llm: {what}", file=sys.stderr)  # noqa: T201 - this line is part of the contract
