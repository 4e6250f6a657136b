"""The options of the commands that ask a model: the model, the system prompt, and how to call it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import fields_dict, frozen

from ..values.errors import InvalidRequest
from ..values.option_names import unknown_option
from ..values.options import Options, Timeouts
from ..values.whole_numbers import check_count

if TYPE_CHECKING:
    from ..thunk.backend import Backend

__all__ = ["Asking", "asking_options", "live_options"]

#: What click gives for an option: it decorates a command.
_Option = Callable[[Callable[..., None]], Callable[..., None]]

#: The model that is asked without ``--model``.
DEFAULT_MODEL: Final = "openai:gpt-4o-mini"

MODEL: Final = click.option(
    "-m", "--model", metavar="PROVIDER:MODEL", help=f"The model to ask; {DEFAULT_MODEL} unless given."
)
CASSETTE_DIR: Final = click.option(
    "--cassette-dir",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Answer from the text cassettes in DIR; MELLITE_CASSETTE_DIR and MOCHI_LLM_CASSETTE_DIR do the same.",
)

_LIVE: Final = (
    MODEL,
    click.option("-s", "--system", metavar="TEXT", help="The system prompt."),
    click.option(
        "-o",
        "--option",
        "named",
        type=(str, str),
        multiple=True,
        metavar="NAME VALUE",
        help="An option of the call, as in -o top_p 0.9; PROVIDER.NAME for what only one provider knows; repeatable.",
    ),
    click.option("--temperature", type=float, help="The temperature, if not the provider's default."),
    click.option("--max-tokens", type=int, help="The longest answer, in tokens."),
    click.option("--base-url", metavar="URL", help="Ask another server; no key of the environment is sent there."),
    click.option("--retries", type=int, help="How often to retry failures that may pass; 2 unless given, 0 for never."),
    click.option("--timeout", type=float, metavar="SECONDS", help="The longest an answer may take in total."),
)
_NAMES: Final = (
    "model", "system", "named", "temperature", "max_tokens", "base_url", "retries", "timeout", "cassette_dir"
)  # fmt: skip


@frozen(kw_only=True)
class Asking:
    """The options that a command was given.

    Attributes:
        model: who is asked; None for the default.
        system: the system prompt.
        named: the options given by name, with their values as they were typed.
        temperature: an option with a flag of its own.
        max_tokens: the same.
        base_url: another server.
        retries: how often to try again; None for the default.
        timeout: seconds for an answer in all.
        cassette_dir: a directory of text cassettes.
    """

    model: str | None = None
    system: str | None = None
    named: tuple[tuple[str, str], ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    base_url: str | None = None
    retries: int | None = None
    timeout: float | None = None
    cassette_dir: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of a call; those with a flag of their own win.

        Raises:
            UnknownOption: for a name that is none; names the nearest.
            InvalidRequest: for one that has a flag, or a value that is nothing of the kind.
        """
        flags = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        found = _read(self.named)
        return {**found, **{name: value for name, value in flags.items() if value is not None}}

    def backend(self, prompt: str) -> Backend:
        """Return the backend that the flags and the environment ask for.

        Args:
            prompt: what is asked. Without a model it decides under which name a recorded answer is looked up.

        Raises:
            InvalidRequest: for a server to ask together with a directory to answer from.
        """
        directory = _directory(self.cassette_dir)
        if directory is None:
            return self.live()
        if self.base_url is not None:
            msg = f"--base-url names a server, and answers come from the text cassettes in {directory!r}: leave one out"
            raise InvalidRequest(msg, parameter="base_url")
        self._network()
        return _recorded(self.model, directory, prompt)

    def live(self, model: str | None = None) -> Backend:
        """Return the backend for a model, that of the flags unless it is named, whatever is recorded."""
        from ..backends.by_name import backend

        return backend(model or self.model or DEFAULT_MODEL, base_url=self.base_url, **self._network())

    def _network(self) -> dict[str, Any]:
        """Return the arguments of `mellite.backend` that were given, checked."""
        given: dict[str, Any] = {}
        if self.retries is not None:
            check_count("retries", self.retries, least=0)
            given["retries"] = self.retries
        if self.timeout is not None:
            given["timeouts"] = Timeouts(total=self.timeout)
        return given


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them together as ``asking``."""
    return _with_options(command, (*_LIVE, CASSETTE_DIR))


def live_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options without ``--cassette-dir``, as ``asking``: it only makes sense with a server."""
    return _with_options(command, _LIVE)


def _with_options(command: Callable[..., None], options: Sequence[_Option]) -> Callable[..., None]:
    @functools.wraps(command)
    def collected(**given: Any) -> None:
        asking = Asking(**{name: given.pop(name, None) for name in _NAMES})
        command(asking=asking, **given)

    made: Callable[..., None] = collected
    for option in reversed(options):
        made = option(made)
    return made


def _recorded(model: str | None, directory: str, prompt: str) -> Backend:
    """Return the backend that answers from a directory of text cassettes."""
    from ..backends import TextCassetteBackend
    from ..cassettes.text.directory import TextDirectory
    from ..providers.catalog import split

    if model is not None:
        provider, name = split(model)
        return TextCassetteBackend(directory, provider=provider, model=name or "")
    # A program that names no model has recorded its answers under an empty name; others under the default model's.
    provider, name = split(DEFAULT_MODEL)
    for candidate in ("", name or ""):
        if TextDirectory(directory).find(provider, candidate, prompt) is not None:
            return TextCassetteBackend(directory, provider=provider, model=candidate)
    return TextCassetteBackend(directory, provider=provider)


def _directory(cassette_dir: str | None) -> str | None:
    """Return the directory of text cassettes that the flag or the environment names."""
    variables = ("MELLITE_CASSETTE_DIR", "MOCHI_LLM_CASSETTE_DIR")
    return cassette_dir or next((value for name in variables if (value := os.environ.get(name))), None)


# Options by name

#: Options whose values are texts, whatever they look like, or lists of texts.
_TEXTS: Final = frozenset({"reasoning_effort", "stop"})

#: What has a flag of its own.
_FLAGS: Final = {
    "base_url": "--base-url",
    "model": "--model",
    "prompt": "the argument PROMPT",
    "retries": "--retries",
    "system": "--system",
    "timeout": "--timeout",
    "timeouts": "--timeout",
}


def _read(named: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the options that were given by name, with values of the right kind."""
    found: dict[str, Any] = {}
    of_providers: dict[str, dict[str, Any]] = {}
    known = [name for name in fields_dict(Options) if name not in _FLAGS]
    for name, text in named:
        provider, dot, inner = name.partition(".")
        if dot and provider and inner:
            of_providers.setdefault(provider, {})[inner] = _value(text)
        elif name in known:
            value = _value(text)
            found[name] = text if name in _TEXTS and not isinstance(value, list) else value
        elif name in _FLAGS:
            msg = f"-o {name} is not an option: give it as {_FLAGS[name]}"
            raise InvalidRequest(msg, parameter=name)
        else:
            raise unknown_option(name, known)
    return {**found, "provider_options": of_providers} if of_providers else found


def _value(text: str) -> Any:
    """Return what was typed as JSON says it: a number, true, a list; anything else is a text."""
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return text
