"""generate() for everybody: of a backend, or of the name of one, as in generate("openai:gpt-4o-mini", "Hello.")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar, Unpack, overload

from ..thunk import backend as calling
from ..thunk.backend import Backend
from ..thunk.call import Streams
from ..thunk.thunk import ModelOutputThunk
from ..values.options import GenerateOptions
from ..values.public_names import publish
from ..values.request import Prompt, System
from ..values.tools import ToolLike

__all__ = ["generate", "named"]

T = TypeVar("T")


@overload
def generate(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: type[T],
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[T]: ...


@overload
def generate(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: None = None,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[str]: ...


@overload
def generate(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: object,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[Any]: ...


def generate(
    backend: Streams | str,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: Any = None,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[Any]:
    """Make a thunk; nothing is sent until it is awaited, iterated over or asked for its `result`.

    Args:
        backend: anything with ``stream(request)``, an async generator of events; or what `mellite.backend` takes, as in
            ``openai:gpt-4o-mini``. All calls that name the same provider and model share one backend, and with it its
            connections.
        prompt: a str, a message, a Request, a sequence of messages (the history), or a sequence of str, parts and
            thunks (one user message). A message is a `Message`, a dict with a role and a content, or in a list a pair.
            With a Request, the keywords override its own.
        system: the system prompt: instructions before the conversation.
        tools: what the model may call.
        output: the type of the parsed answer, or a `mellite.Json`; str by default.
        **options: the fields of `mellite.request.Options`, and ``model``, ``tool_choice``, ``provider_options``,
            ``http``, ``cache``, ``output_mode`` and ``metadata``.

    Raises:
        InvalidRequest: for a prompt or value of the wrong type.
        UnknownOption: for a misspelled option, with the nearest name.
        ConfigurationError: if `backend` has no ``stream``, or does not name a backend.

    Example:
        >>> generate("fake:constant:Hello.", "Greet me.").result()
        'Hello.'
    """
    asked = named(backend) if isinstance(backend, str) else backend
    return calling.generate(asked, prompt, system=system, tools=tools, output=output, **options)


def named(spec: str) -> Backend:
    """Return the backend with a name: for a provider the one that all calls share, for a cassette or fake a new one.

    Each new backend of a cassette replays the cassette from its start.

    Raises:
        UnknownProvider, ConfigurationError, CassetteMiss: as `mellite.backend` does.
    """
    from .by_name import backend, is_offline

    return backend(spec) if is_offline(spec) else _shared(spec)


@lru_cache(maxsize=64)
def _shared(spec: str) -> Backend:
    from .by_name import backend

    return backend(spec)


publish(globals(), "mellite", "generate")
