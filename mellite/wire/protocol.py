"""What a protocol is: functions that turn a request into a vendor's JSON and its answers into events.

A protocol is not a deployment: it knows no URL, no key and no company, only the shape of the JSON. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol as Interface, TypeVar

from attrs import frozen

from ..values.errors import MelliteError
from ..values.events import Event
from ..values.request import Request

__all__ = ["Protocol", "State"]


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
