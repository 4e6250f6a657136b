"""mellite.stream: take a thunk or a prompt, check the arguments, and make the stream of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, Unpack, overload

from ...backends.asking import generate
from ...thunk.call import Streams
from ...thunk.thunk import AnyThunk, ModelOutputThunk
from ...values.chunking import Chunking, chunker_for
from ...values.errors import InvalidRequest
from ...values.options import GenerateOptions
from ...values.request import Prompt, Request, System
from ...values.tools import ToolLike
from ...values.whole_numbers import check_count
from ..asking_again import copy_with
from ..requirements import Requirement, as_requirements
from ..requirements.requirement import Check
from .handle import ValidatedStream
from .repair import Repair
from .retries import Retries

__all__ = ["stream"]

T = TypeVar("T")


@overload
def stream(
    source: ModelOutputThunk[T],
    *,
    requirements: Iterable[Requirement | Check] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: None = None,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: None = None,
    **options: Unpack[GenerateOptions],
) -> ValidatedStream[T]: ...


@overload
def stream(
    source: AnyThunk | Prompt,
    *,
    requirements: Iterable[Requirement | Check] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: Streams | str | None = None,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: type[T],
    **options: Unpack[GenerateOptions],
) -> ValidatedStream[T]: ...


@overload
def stream(
    source: Prompt,
    *,
    requirements: Iterable[Requirement | Check] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: Streams | str,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: None = None,
    **options: Unpack[GenerateOptions],
) -> ValidatedStream[str]: ...


@overload
def stream(
    source: AnyThunk | Prompt,
    *,
    requirements: Iterable[Requirement | Check] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: Streams | str | None = None,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: object,
    **options: Unpack[GenerateOptions],
) -> ValidatedStream[Any]: ...


def stream(
    source: AnyThunk | Prompt,
    *,
    requirements: Iterable[Requirement | Check] = (),
    chunking: Chunking = None,
    attempts: int = 1,
    repair: Repair = False,
    backend: Streams | str | None = None,
    system: System | None = None,
    tools: Sequence[ToolLike] | None = None,
    output: Any = None,
    **options: Unpack[GenerateOptions],
) -> ValidatedStream[Any]:
    """Read an answer in chunks as it arrives, each checked; use it as ``async with mellite.stream(...) as s:``.

    Nothing is sent before the first chunk is requested. Each chunk is then checked by the requirements that check
    chunks, while the next ones arrive; async checks run concurrently. A chunk is passed on once all of these
    requirements have judged the text up to its end, and none has failed it.

    The first failure cancels the generation and closes its connection. If attempts remain, a fresh copy begins, and its
    first chunk has ``chunk.start == 0``. When an answer is complete, the requirements with a ``check`` judge all of it.
    When no attempts remain, the loop simply ends, with ``s.success`` False. A generation that broke off raises after
    its last chunk.

    Args:
        source: a thunk, which becomes the first attempt itself, or a prompt for `backend`, as for `mellite.generate`. A
            thunk that is done is judged without generating; one that failed or was cancelled is replaced by a copy.
        requirements: each a `Requirement`, or a function of a thunk.
        chunking: how the text is cut, as for `mellite.chunk`; None for the deltas as they were sent.
        attempts: how many generations there may be, at least 1.
        repair: whether further attempts are told why the earlier ones failed. Or a function ``repair(request,
            failures)``, sync or async, that returns the next prompt from the first attempt's request and all failures.
        backend: the backend for a prompt, or its name as in ``openai:gpt-4o-mini``.
        system: as for `mellite.generate`, as are `tools`, `output` and the options; for a thunk they override its own.
        tools: see `system`.
        output: see `system`.
        **options: see `system`.

    Raises:
        InvalidRequest: for arguments that cannot work, before anything is sent.
        UnknownOption: for a misspelled option.

    Example:
        >>> import anyio
        >>> from mellite.backends import Constant
        >>> from mellite.requirements import length
        >>> async def main():
        ...     thunk = Constant("One. Two. Three.").generate("Count.")
        ...     async with stream(thunk, requirements=[length(max=12)], chunking="sentences") as s:
        ...         chunks = [chunk async for chunk in s]
        ...     return chunks, s.success, s.failures[0].reason
        >>> anyio.run(main)
        (['One. ', 'Two. '], False, 'it is longer than 12 characters')
    """
    given = {"system": system, "tools": tools, "output": output}
    changes = {**{name: value for name, value in given.items() if value is not None}, **options}
    check_count("attempts", attempts)
    if not isinstance(repair, bool) and not callable(repair):
        msg = f"repair is True, False, or a function of the request and the failures, not {repair!r}"
        raise InvalidRequest(msg, parameter="repair")
    chunker_for(chunking)
    checks = as_requirements(requirements)
    first = _first(source, backend, changes)
    return ValidatedStream(Retries(first, requirements=checks, chunking=chunking, most=attempts, repair=repair))


def _first(source: AnyThunk | Prompt, backend: Streams | str | None, changes: dict[str, Any]) -> AnyThunk:
    """Return the thunk of the first attempt."""
    if isinstance(source, ModelOutputThunk):
        if backend is not None:
            msg = "a thunk has a backend already; to ask another one about it, write stream([thunk], backend=...)"
            raise InvalidRequest(msg, parameter="backend")
        return copy_with(source, Request.of(source.call.request, **changes)) if changes else source
    if backend is None:
        msg = "a prompt needs to be asked of somebody: stream(prompt, backend=...), or stream(backend.generate(prompt))"
        raise InvalidRequest(msg, parameter="backend")
    return generate(backend, source, **changes)
