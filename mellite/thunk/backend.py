"""Ask a model: `Backend`, the one method behind every thunk, and `generate`, which makes a thunk of a prompt."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from ..values.errors import ConfigurationError
from ..values.options import GenerateOptions
from ..values.public_names import publish
from ..values.request import Prompt, Request, System
from ..values.tools import ToolLike
from .call import CallInfo, Streams
from .thunk import ModelOutputThunk

if TYPE_CHECKING:
    from typing import Self

    from ..values.events import Event

__all__ = ["Backend", "generate"]

T = TypeVar("T")


@overload
def generate(
    backend: Streams,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: type[T],
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[T]: ...


@overload
def generate(
    backend: Streams,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: None = None,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[str]: ...


@overload
def generate(
    backend: Streams,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: object,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[Any]: ...


def generate(
    backend: Streams,
    prompt: Prompt,
    *,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: Any = None,
    **options: Unpack[GenerateOptions],
) -> ModelOutputThunk[Any]:
    """Make a thunk; nothing is sent until it is awaited, iterated over or asked for its `result`.

    Args:
        backend: anything with ``stream(request)``, an async generator of events.
        prompt: a str, a Message, a Request, a sequence of Messages (the history), or a sequence of str, parts and
            thunks (one user message). With a Request, the keywords override its own.
        system: the system prompt: instructions before the conversation.
        tools: what the model may call.
        output: the type of the parsed answer, or a `mellite.Json`; str by default.
        **options: the fields of `mellite.request.Options`, and ``model``, ``tool_choice``, ``provider_options``,
            ``http``, ``cache``, ``output_mode`` and ``metadata``.

    Raises:
        InvalidRequest: for a prompt or value of the wrong type.
        UnknownOption: for a misspelled option, with the nearest name.
        ConfigurationError: if `backend` has no ``stream``.

    Example:
        >>> from mellite.backends import Constant
        >>> generate(Constant("Hello."), "Greet me.").result()
        'Hello.'
    """
    if not callable(getattr(backend, "stream", None)):
        msg = f"a backend needs a method stream(request); {type(backend).__name__} has none"
        raise ConfigurationError(msg)
    return ModelOutputThunk(CallInfo(Request.of(prompt, system=system, tools=tools, output=output, **options), backend))


class Backend(abc.ABC):
    """A class of backends: a subclass writes `stream`, and inherits `generate`.

    Example:
        >>> from mellite.events import Finish, TextDelta
        >>> class Shout(Backend):
        ...     async def stream(self, request):
        ...         yield TextDelta(text=request.text.upper())
        ...         yield Finish(reason="stop")
        >>> Shout().generate("hi").result()
        'HI'
    """

    @abc.abstractmethod
    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Yield the events of one answer, as an async generator; called when a thunk is first awaited or iterated."""

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        output: type[T],
        **options: Unpack[GenerateOptions],
    ) -> ModelOutputThunk[T]: ...

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        output: None = None,
        **options: Unpack[GenerateOptions],
    ) -> ModelOutputThunk[str]: ...

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        output: object,
        **options: Unpack[GenerateOptions],
    ) -> ModelOutputThunk[Any]: ...

    def generate(
        self,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        output: Any = None,
        **options: Unpack[GenerateOptions],
    ) -> ModelOutputThunk[Any]:
        """Make a thunk for this backend; see `mellite.generate`, which has the same arguments."""
        request = Request.of(prompt, system=system, tools=tools, output=output, **options)
        return ModelOutputThunk(CallInfo(request, self))

    def describe(self) -> str:
        """Return what to call this backend in messages and logs."""
        return type(self).__name__

    async def aclose(self) -> None:
        """Close what the backend holds open, such as pooled connections; it may be used again afterwards."""
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


publish(globals(), "mellite", "Backend", "generate")
