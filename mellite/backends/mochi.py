"""`mochi_llm_generate` and `mochi_llm_stream`: the runtime functions for ``generate`` in compiled Mochi programs."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..cassettes.text.directory import TextDirectory, djb2_key
from ..values.public_names import publish

if TYPE_CHECKING:
    from ..cassettes.modes import Mode
    from ..thunk.backend import Backend
    from .text_cassette import TextCassetteBackend

__all__ = ["mochi_llm_generate", "mochi_llm_stream"]

_VARIABLE: Final = "MOCHI_LLM_CASSETTE_DIR"


def mochi_llm_generate(provider: str, model: str, prompt: str) -> str:
    """Return the text that was recorded for a call in the directory that MOCHI_LLM_CASSETTE_DIR names now.

    Without a directory or a recording, print a line to stderr and return the empty text, so that the program runs to
    its end, as Mochi's other runtimes do. A damaged file, or the answer to another call, is an error all the same.

    When recording is on (``MOCHI_LLM_CASSETTE_RECORD=1``, or ``RECORD=true`` to record existing answers again), ask the
    provider for an answer that is missing, and store it. Providers are ``openai``, ``anthropic``, ``google`` and
    ``llama`` (a llama.cpp server on this machine, or at the URL in LLAMA_BASE_URL), and with a model all others of
    `mellite.backend`. An answer that cannot be stored is logged and returned all the same.

    Args:
        provider: the provider's name, as in ``openai``.
        model: the model's id; empty for the provider's default.
        prompt: the prompt.

    Raises:
        CassetteMismatch: if the file holds the answer to another call with the same key.
        InvalidCassette: if the file, or its sidecar, is damaged.
        RecordingForbidden: for ``RECORD=true`` with ``CI=true``.
        UnknownProvider: when recording, if there is no such provider.
        SyncInsideLoop: when recording inside of a running event loop; use `mochi_llm_stream` there.
        MelliteError: when recording, for any failure of the live call.

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
    """Like `mochi_llm_generate`, but iterate over the pieces of the answer. No request is sent before the first.

    Args:
        provider: the provider's name, as in ``openai``.
        model: the model's id; empty for the provider's default.
        prompt: the prompt.

    Raises:
        CassetteMismatch: if the file holds the answer to another call with the same key.
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
    # Not an async generator: after a `break`, the thunk's iterator inside of one would be closed only when the garbage
    # collector or the event loop closes the generator; see https://peps.python.org/pep-0525/#finalization
    return aiter(_backend(path, provider, model, mode).generate(prompt))


class _Nothing(AsyncIterator[str]):
    """An iterator without pieces."""

    async def __anext__(self) -> str:
        raise StopAsyncIteration


def _mode() -> Mode:
    from ..cassettes.modes import mode_of, permitted

    return permitted(mode_of(os.environ), os.environ)


def _backend(path: str, provider: str, model: str, mode: Mode) -> TextCassetteBackend:
    """Make a backend that answers from the directory, and from the provider if the mode says so."""
    from .text_cassette import TextCassetteBackend

    if mode == "none":
        return TextCassetteBackend(path, provider=provider, model=model)
    from ..providers.default_models import spec_of

    live = _live(spec_of(provider, model))
    return TextCassetteBackend(path, provider=provider, model=model, live=live, mode=mode)


@lru_cache(maxsize=16)  # keeps connections open: a program asks the same few models again and again
def _live(spec: str) -> Backend:
    from .by_name import backend

    return backend(spec)


def _say_missing(path: str, provider: str, model: str, prompt: str) -> None:
    _say(f"cassette not found: {TextDirectory(path).file(djb2_key(provider, model, prompt))}")


def _say(what: str) -> None:
    print(f"mochi_llm: {what}", file=sys.stderr)  # noqa: T201 - this line is part of the contract


publish(globals(), "mellite.mochi")
