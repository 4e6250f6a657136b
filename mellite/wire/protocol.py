"""What a protocol is: functions that turn a request into a vendor's JSON and its answers into events.

A protocol is not a deployment: it knows no URL, no key and no company, only the shape of the JSON. It does no I/O.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from reprlib import Repr
from typing import Any, Final, Generic, NoReturn, Protocol as Interface, TypeVar

import msgspec
from attrs import frozen

from ..values.errors import InvalidProviderOutput, InvalidRequest, MelliteError
from ..values.events import Event
from ..values.request import Request

__all__ = ["Protocol", "State", "decode_json", "is_done", "json_text", "listed", "shown", "wrong"]


class State(Interface):
    """Where a parser stands in one answer; what else it holds is the protocol's own business.

    Attributes:
        complete: all that an answer needs has been seen, so that trouble on the way no longer matters. Usage may
            follow; content that follows takes it back.
        done: the very end has been seen, so that nothing more needs to be read.
    """

    complete: bool
    done: bool


S = TypeVar("S", bound=State)


def _as_it_is(request: Request) -> tuple[Request, tuple[str, ...]]:
    return request, ()


@frozen(kw_only=True)
class Protocol(Generic[S]):
    """A vendor's JSON, as plain functions of values.

    Args:
        id: its name, as in ``openai-chat``.
        options: the generation options that `lower` can express; the others are refused.
        lower: ``lower(request, stream=...)`` gives the JSON body. Raises InvalidRequest or UnsupportedOption for what
            it cannot say.
        initial: a fresh parser state for the answer to one request.
        step: ``step(state, data, event)`` takes the data and the name of one stream event; gives what it stands for.
        halt: what the end of the stream stands for. Raises IncompleteStream if the answer had not finished.
        unary: the same events as a stream would give, out of an answer in one piece; those before an error count.
        classify: ``classify(status, headers, body)`` gives the error that an HTTP error answer stands for.
        elsewhere: what to try at a server that does not know the path; ``{provider}`` stands for the provider's name.
        mend: the request with a history that servers take, and a sentence for each thing that was changed in it; a
            route calls it before `lower`.
    """

    id: str
    options: frozenset[str]
    lower: Callable[..., dict[str, Any]]
    initial: Callable[[Request], S]
    step: Callable[[S, bytes, str], Sequence[Event]]
    halt: Callable[[S], Sequence[Event]]
    unary: Callable[[bytes], Iterable[Event]]
    classify: Callable[[int, Mapping[str, str], bytes], MelliteError]
    mend: Callable[[Request], tuple[Request, tuple[str, ...]]] = _as_it_is
    elsewhere: str = ""


_LONGEST_EXCERPT: Final = 120
_LARGE: Final = 256 * 1024  # bytes of JSON that may become many objects
_BOM: Final = "\ufeff"
_BOM_BYTES: Final = _BOM.encode()


def decode_json(data: bytes | str) -> Any:
    """Decode JSON strictly; lone surrogates, which models do write, are kept as they are.

    Bytes that are not UTF-8 become U+FFFD in a text. In the name of a field, or in the ``type`` of an object, they are
    refused: nobody would look for what stands there, and the answer would seem to be whole without it.

    Raises:
        InvalidProviderOutput: if it is not JSON, holds NaN or Infinity, is nested too deeply to be read, or has the
            name of a field or a type that is not UTF-8.

    Example:
        >>> decode_json(b'{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    if len(data) < _LARGE or not gc.isenabled():
        return _decoded(data)
    # The garbage collector goes through all objects that are there, again and again while many are made: three times
    # the work of decoding. Nothing that is made here can be garbage.
    gc.disable()
    try:
        return _decoded(data)
    finally:
        gc.enable()


def _decoded(data: bytes | str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass  # msgspec refuses lone surrogates and bytes that are not UTF-8; the slow reader below decides
    if data.startswith(_BOM_BYTES if isinstance(data, bytes) else _BOM):  # type: ignore[arg-type]
        return decode_json(data[len(_BOM_BYTES) :] if isinstance(data, bytes) else data[1:])
    text, pairs = (data, None) if isinstance(data, str) else _readable(data)
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=pairs)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    excerpt = text if len(text) <= _LONGEST_EXCERPT else text[:_LONGEST_EXCERPT] + "..."
    msg = f"not valid JSON ({reason}): {excerpt!r}"
    raise InvalidProviderOutput(msg)


def _readable(data: bytes) -> tuple[str, Callable[[list[tuple[str, Any]]], dict[str, Any]] | None]:
    """Bytes as text, and what makes an object of its fields where the bytes are not all UTF-8."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), _undamaged


def _undamaged(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in fields:
        if "\ufffd" in name:
            msg = f"the name of a field is not UTF-8: {name[:_LONGEST_EXCERPT]!r}"
            raise ValueError(msg)
        if name == "type" and isinstance(value, str) and "\ufffd" in value:
            msg = f"a type is not UTF-8: {value[:_LONGEST_EXCERPT]!r}"
            raise ValueError(msg)
    return dict(fields)


def is_done(data: bytes) -> bool:
    """Whether the data of a stream event is ``[DONE]``: OpenAI's end mark, which gateways send in other protocols too.

    Example:
        >>> is_done(b" [DONE] "), is_done(b"{}")
        (True, False)
    """
    return len(data) < _LONGEST_EXCERPT and data.strip(_AROUND_DONE) == b"[DONE]"


_AROUND_DONE: Final = _BOM_BYTES + b' \t\r\n"'


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"the number {text[:20]} is out of range"
        raise ValueError(msg)
    return value


def json_text(value: Any, *, what: str) -> str:
    """Compact JSON of anything JSON-like, attrs classes, dataclasses, dates and the like included.

    Args:
        what: what it is, for the error.

    Raises:
        InvalidRequest: if it cannot be written as JSON, NaN and Infinity included.

    Example:
        >>> json_text({"temperature": 22}, what="the result")
        '{"temperature":22}'
    """
    try:
        return json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=msgspec.to_builtins
        )
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{what} cannot be written as JSON: {error}"
        raise InvalidRequest(msg) from error


_SHORT: Final = Repr()
_SHORT.maxstring = 120


def shown(value: Any) -> str:
    """A value of any size and depth in a few words, for messages."""
    return _SHORT.repr(value)


def wrong(value: Any, what: str, wanted: str) -> InvalidProviderOutput:
    """The error for a value in an answer that is not what it should be.

    Example:
        >>> wrong(5, "a delta", "a JSON object")
        InvalidProviderOutput('a delta must be a JSON object, not 5')
    """
    return InvalidProviderOutput(f"{what} must be {wanted}, not {shown(value)}")


def listed(value: Any, what: str) -> list[Any]:
    """A list of an answer; an empty one where there is none.

    Raises:
        InvalidProviderOutput: if it is something else; `what` says what it is.

    Example:
        >>> listed(None, "choices"), listed([1], "choices")
        ([], [1])
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(value, what, "a list")
    return value
