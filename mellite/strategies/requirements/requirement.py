"""A requirement: a demand on an output in words, and a function that checks it, whole or chunk by chunk."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import anyio
from attrs import field, frozen

from ... import loops
from ...values.chunking import Chunking, chunker_for
from ...values.errors import GenerationCancelled, InvalidRequest, MelliteError
from ...values.finite_numbers import is_finite
from ...values.told_errors import error_line
from .verdict import PASSED, ChunkVerdict, ValidationResult, as_chunk_verdict, as_verdict, failed

if TYPE_CHECKING:
    from ...thunk.thunk import AnyThunk
    from ...values.messages import Message

__all__ = ["Check", "CheckChunk", "JudgedChunk", "Requirement", "custom", "let_go"]

#: A check of a whole output, called as ``check(thunk)`` or ``check(thunk, context)``.
Check: TypeAlias = Callable[..., object]

#: A check of a chunk, called as ``check(chunk, partial)``; ``partial`` is the text so far, with the chunk at its end.
CheckChunk: TypeAlias = Callable[[str, str], object]

#: The verdict on a chunk, and the result if there is more to say.
JudgedChunk: TypeAlias = "tuple[ChunkVerdict, ValidationResult | None]"

_Form: TypeAlias = Literal["thunk", "both", "keyword"]
_CONTEXT_NAMES: Final = ("context", "ctx")


@frozen
class Requirement:
    """A check on an output, with its description in words.

    Args:
        description: the requirement in words, as you would tell a model.
        check: ``check(thunk)`` or ``check(thunk, context)``, sync or async; returns a bool or a `ValidationResult`. If
            it raises, the verdict fails and has the exception as its ``error``. The context is the messages before the
            one that the thunk answers. It is passed if the signature has a second parameter; one with a default must be
            named ``context``.
        check_chunk: ``check_chunk(chunk, partial)``, sync or async, called while the answer streams; returns "pass",
            "fail" or "unknown", a bool, a `ValidationResult`, or None for unknown. ``partial`` is the text so far, with
            the chunk at its end. It is called for the chunks in order; while an async call waits, later chunks may be
            checked. To keep state for each text, give it a method ``fresh()`` that returns the function for a new text.
        timeout: the longest that an async check may take, in seconds; after that, the verdict fails with an ``error``.
            A sync check cannot be interrupted.
        chunking: how the text is cut for ``check_chunk``; None for the chunks of the stream.

    Raises:
        InvalidRequest: if both check and check_chunk are missing, one of them cannot be called as above, or the timeout
            is not positive.

    Example:
        >>> short = Requirement("at most ten words", lambda thunk: len(thunk.value.split()) <= 10)
        >>> short.description
        'at most ten words'
    """

    description: str
    check: Check | None = field(default=None, repr=False)
    check_chunk: CheckChunk | None = field(default=None, kw_only=True, repr=False)
    timeout: float | None = field(default=None, kw_only=True)
    chunking: Chunking = field(default=None, kw_only=True)
    _form: _Form = field(default="thunk", init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.description, str):
            msg = f"a requirement begins with its description, a str, not {self.description!r}"
            raise InvalidRequest(msg, parameter="description")
        if self.check is None and self.check_chunk is None:
            msg = f"the requirement {self.description!r} checks nothing: give it check=... or check_chunk=..."
            raise InvalidRequest(msg, parameter="check")
        for name in ("check", "check_chunk"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                msg = f"{name} of the requirement {self.description!r} must be a function, not {function!r}"
                raise InvalidRequest(msg, parameter=name)
        if self.timeout is not None and not _is_positive(self.timeout):
            msg = f"timeout of the requirement {self.description!r} must be seconds above 0, not {self.timeout!r}"
            raise InvalidRequest(msg, parameter="timeout")
        chunker_for(self.chunking)
        if self.check is not None:
            object.__setattr__(self, "_form", _form_of(self.check, self.description))

    async def validate(self, thunk: AnyThunk, context: Sequence[Message] = ()) -> ValidationResult:
        """Check a whole output, generating it first if it is not settled. Raises only when cancelled.

        Without ``check``, the text is cut and judged chunk by chunk, as it would have been while streaming.
        """
        await thunk.settle()
        given = self.begin(thunk, context)
        return given if isinstance(given, ValidationResult) else await self.finish(given)

    def begin(self, thunk: AnyThunk, context: Sequence[Message] = ()) -> ValidationResult | Awaitable[object]:
        """Call the check on a settled thunk; return its verdict, or an awaitable to pass to `finish`."""
        if thunk.value is None:
            why = thunk.error or GenerationCancelled("the generation was cancelled", partial=thunk.partial)
            return failed(f"there is no whole answer to check: {why}", error=why)
        if self.check is None:
            check_chunk = self.checker()
            return PASSED if check_chunk is None else self._chunk_by_chunk(check_chunk, thunk.value)
        try:
            if self._form == "thunk":
                given = self.check(thunk)
            elif self._form == "both":
                given = self.check(thunk, context)
            else:
                given = self.check(thunk, context=context)
            if isinstance(given, (bool, ValidationResult)):  # common: decided first
                return as_verdict(given)
            return given if inspect.isawaitable(given) else as_verdict(given)
        except Exception as error:
            return self._raised(error)

    async def finish(self, given: Awaitable[object]) -> ValidationResult:
        """Wait for a check that `begin` started, and return its verdict."""
        value = await (given if self.check is None else self._awaited(given))
        try:
            return as_verdict(value)
        except Exception as error:  # of the value's own methods, too
            return self._raised(error)

    async def validate_chunk(self, chunk: str, partial: str) -> JudgedChunk:
        """Check one chunk; `partial` is the text so far, with the chunk at its end. Raises only when cancelled."""
        if self.check_chunk is None:
            return "unknown", None
        given = self.begin_chunk(self.check_chunk, chunk, partial)
        return given if isinstance(given, tuple) else await self.finish_chunk(given)

    def checker(self) -> CheckChunk | None:
        """Return the function that checks one text's chunks, fresh if it keeps state; None without ``check_chunk``."""
        fresh = getattr(self.check_chunk, "fresh", None)
        if fresh is None:
            return self.check_chunk
        try:
            return cast("CheckChunk", fresh())
        except Exception as error:
            return _broken(error)

    def begin_chunk(self, function: CheckChunk, chunk: str, partial: str) -> JudgedChunk | Awaitable[object]:
        """Call the function from `checker`; return its verdict, or an awaitable to pass to `finish_chunk`."""
        try:
            given = function(chunk, partial)
        except Exception as error:
            return self.broken_chunk(error)
        return self.judged_chunk(given)

    def judged_chunk(self, given: object) -> JudgedChunk | Awaitable[object]:
        """Return the verdict of a chunk's check, or an awaitable to pass to `finish_chunk`."""
        try:
            if given is None or given is True or isinstance(given, str):  # common: decided first
                return as_chunk_verdict(given)
            return given if inspect.isawaitable(given) else as_chunk_verdict(given)
        except Exception as error:
            return self.broken_chunk(error)

    def broken_chunk(self, error: Exception) -> JudgedChunk:
        """Return the verdict for a chunk whose check raised `error`."""
        return "fail", self._raised(error)

    async def finish_chunk(self, given: Awaitable[object]) -> JudgedChunk:
        """Wait for a check that `begin_chunk` started, and return its verdict."""
        value = await self._awaited(given)
        try:
            return as_chunk_verdict(value)
        except Exception as error:
            return self.broken_chunk(error)

    async def _chunk_by_chunk(self, check: CheckChunk, text: str) -> ValidationResult:
        chunker = chunker_for(self.chunking)
        partial = ""
        for chunk in [*chunker.feed(text), *chunker.end()]:
            partial += str(chunk)
            given = self.begin_chunk(check, chunk, partial)
            verdict, result = given if isinstance(given, tuple) else await self.finish_chunk(given)
            if verdict == "fail":
                return failed() if result is None else result
        return PASSED

    async def _awaited(self, given: Awaitable[object]) -> object:
        """Wait for a check, and return its result; if it raises or takes too long, a verdict that says so."""
        try:
            if self.timeout is None:
                return await given
            with anyio.move_on_after(self.timeout):
                return await given
        except Exception as error:
            return self._raised(error)
        except anyio.get_cancelled_exc_class() as error:
            if loops.is_own_cancellation():
                raise
            foreign = MelliteError("the check waited for something that was cancelled")
            foreign.__cause__ = error
            return self._raised(foreign)
        return self._raised(TimeoutError(f"the check gave no verdict within {self.timeout} s"))

    def _raised(self, error: Exception) -> ValidationResult:
        reason = f"the check of {self.description!r} failed: {error_line(error)}"
        return failed(reason, error=error)


def custom(function: Check, description: str | None = None, *, timeout: float | None = None) -> Requirement:
    """Make a requirement from a function of the thunk and, optionally, the context.

    Args:
        function: the check; see `Requirement`.
        description: the requirement in words; by default the name of the function.
        timeout: the longest that an async check may take, in seconds.

    Raises:
        InvalidRequest: unless the function takes one or two arguments.

    Example:
        >>> def is_polite(thunk): return "please" in thunk.value
        >>> custom(is_polite).description
        'is_polite'
    """
    name = description if description is not None else getattr(function, "__name__", type(function).__name__)
    return Requirement(name, function, timeout=timeout)


def let_go(given: Awaitable[object]) -> None:
    """Close or cancel an async check that is no longer needed: a coroutine that never ran warns when collected."""
    for name in ("close", "cancel"):
        end = getattr(given, name, None)
        if callable(end):
            end()
            return


def _broken(error: Exception) -> CheckChunk:
    """Stand in for a check that could not be made: raise `error` for every chunk, so that none of them passes."""

    def check(_chunk: str, _partial: str) -> None:
        raise error

    return check


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value) and value > 0


def _form_of(check: Check, description: str) -> _Form:
    """Tell how to call a check: with the thunk alone, with the context as second argument, or as a keyword."""
    try:
        parameters = inspect.signature(check).parameters.values()
    except (TypeError, ValueError):  # some functions written in C have no signature
        return "thunk"
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in places if p.default is p.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    missing = [p.name for p in keywords if p.default is p.empty and p.name != "context"]
    if len(needed) > 2 or missing or not (places or any_number):
        msg = (
            f"the check of {description!r} is called as check(thunk) or check(thunk, context); "
            f"its signature is {inspect.signature(check)}"
        )
        raise InvalidRequest(msg, parameter="check")
    if len(needed) == 2 or (len(places) > 1 and places[1].name in _CONTEXT_NAMES):
        return "both"
    return "keyword" if any(p.name == "context" for p in keywords) else "thunk"
