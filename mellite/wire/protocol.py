"""The interface of a protocol: functions that turn a request into a vendor's JSON and its answers into events.

A protocol is not a deployment: it knows no URL, no key and no company, only the shape of the JSON. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, Generic, NamedTuple, Protocol as Interface, SupportsIndex, TypeAlias, TypeVar

from attrs import asdict, field, frozen

from ..values.errors import MelliteError
from ..values.events import Event
from ..values.outputs.plan import OutputPlan
from ..values.request import Request
from ..values.usage import Spent

__all__ = ["Flow", "Flowing", "Protocol", "State", "remade"]


class State(Interface):
    """The state of a parser in one answer; what else it holds is the protocol's own business.

    Attributes:
        complete: all that an answer needs has been seen, so that trouble on the way no longer matters. Usage may
            follow; content that follows takes it back.
        done: the very end has been seen, so that nothing more needs to be read.
    """

    complete: bool
    done: bool


S = TypeVar("S", bound=State)


#: ``flow(state, events, name)`` takes the data of stream events that all have this name. It gives one event for each of
#: those, from the first on, that are nothing but more of what flows, be it text, thinking or the input of a tool: what
#: ``step`` would give for it.
Flow: TypeAlias = Callable[[S, Sequence[bytes], str], Sequence[Event]]


class Flowing(NamedTuple):
    """What flows: a text, thinking, or the input of a tool.

    Args:
        pieces: its pieces, of which ``flow`` adds one for each event.
        note: takes the number of each event, if they are numbered.
        add: adds a piece where that is more than to put it there; returns False, with nothing done, for a piece of
            which more has to be known.
    """

    pieces: list[str]
    note: Callable[[int], object] | None = None
    add: Callable[[str], bool] | None = None


def _as_it_is(request: Request) -> tuple[Request, tuple[str, ...]]:
    return request, ()


def _natively(request: Request) -> tuple[Request, OutputPlan]:
    return request, OutputPlan("native")


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
        plan: the request as it has its answer held to the output type, and how that is done. A route calls it before
            `mend` where there is such a type; what it gives may be planned again, and is the same then. Raises
            InvalidRequest or UnsupportedOption if the type cannot be asked for.
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
    plan: Callable[[Request], tuple[Request, OutputPlan]] = _natively
    elsewhere: str = ""
    _made_by: tuple[Callable[..., Protocol[S]], Any] | None = field(default=None, init=False, eq=False, repr=False)
    _plain: Callable[[bytes], str | None] | None = field(default=None, init=False, eq=False, repr=False)
    _plain_spent: Callable[[bytes], Spent | None] | None = field(default=None, init=False, eq=False, repr=False)
    _flow: Flow[S] | None = field(default=None, init=False, eq=False, repr=False)
    _flowing: Callable[[S], Flowing | None] | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def flow(self) -> Flow[S] | None:
        """The function that takes many stream events at once, see `Flow`; None where `step` has to take each."""
        return getattr(self, "_flow", None)  # pickles of earlier versions have no such field

    @property
    def flowing(self) -> Callable[[S], Flowing | None] | None:
        """The function that says what flows in a state, if anything: all that ``flow`` changes in the state is that.

        None where ``flow`` changes more, or does not exist.
        """
        return getattr(self, "_flowing", None)  # likewise

    def planned(self, request: Request) -> tuple[Request, OutputPlan]:
        """Return what `plan` gives."""
        plan = getattr(self, "plan", _natively)  # pickles of earlier versions have no such field
        return plan(request)

    def plain(self, body: bytes) -> str | None:
        """Return the text of an answer in one piece if it is nothing but one text and ended of its own accord.

        For such an answer `unary` raises nothing, and gives this text, the finish reason ``stop``, no thinking, no tool
        call and no refusal. None says nothing: it is given for any other answer, and for one that is in doubt.

        Example:
            >>> from mellite.protocols.openai_chat import protocol
            >>> protocol().plain(b'{"choices": [{"message": {"content": "Hi!"}, "finish_reason": "stop"}]}')
            'Hi!'
        """
        read = getattr(self, "_plain", None)  # pickles of earlier versions have no such field
        return None if read is None else read(body)

    def plain_spent(self, body: bytes) -> Spent | None:
        """Return the tokens that such an answer reports, by the usage in its events; None if it reports none.

        Example:
            >>> from mellite.protocols.openai_chat import protocol
            >>> protocol().plain_spent(b'{"choices": [], "usage": {"total_tokens": 3}}').total
            3
        """
        read = getattr(self, "_plain_spent", None)  # likewise
        return None if read is None else read(body)

    def made_by(
        self,
        make: Callable[..., Protocol[S]],
        dialect: Any = None,
        *,
        plain: Callable[[bytes], str | None] | None = None,
        plain_spent: Callable[[bytes], Spent | None] | None = None,
        flow: Flow[S] | None = None,
        flowing: Callable[[S], Flowing | None] | None = None,
    ) -> Protocol[S]:
        """Note the function that makes this protocol, and return the protocol.

        Its pickle is then a call of that function, and holds none of the protocol's own functions, which may be renamed
        or moved. What `attrs.evolve` makes of the protocol is another one: it is pickled with its functions, and its
        answers are all read by its own `unary` and `step`.

        Args:
            make: a public function; if it takes a ``dialect``, one that is usual must be its default.
            dialect: an attrs object of plain values, with which the function was called.
            plain: what the method of this name asks.
            plain_spent: likewise; for answers that `plain` gives a text of.
            flow: what the property of this name gives.
            flowing: likewise.
        """
        object.__setattr__(self, "_made_by", (make, dialect))
        object.__setattr__(self, "_plain", plain)
        object.__setattr__(self, "_plain_spent", plain_spent)
        object.__setattr__(self, "_flow", flow)
        object.__setattr__(self, "_flowing", flowing)
        return self

    def __reduce_ex__(self, version: SupportsIndex) -> Any:
        """Return how to make the protocol again."""
        make, dialect = getattr(self, "_made_by", None) or (
            None,
            None,
        )  # pickles of earlier versions have no such field
        if make is None:
            return super().__reduce_ex__(version)
        return remade, (make, {} if dialect is None else asdict(dialect, recurse=False))


def remade(make: Callable[..., Protocol[S]], facts: Mapping[str, object]) -> Protocol[S]:
    """Make a protocol again; what the pickle of a protocol calls.

    Args:
        make: the function that makes the protocol.
        facts: the fields of its dialect.
    """
    if not facts:
        return make()
    return make(type(signature(make).parameters["dialect"].default)(**facts))
