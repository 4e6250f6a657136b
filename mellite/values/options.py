"""Options of a call, timeouts, marks for the cache, raw additions to the HTTP request; and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal, NoReturn, TypedDict, TypeGuard

from attrs import field, fields_dict, frozen

from .empty import EMPTY
from .errors import InvalidRequest
from .filling import copier
from .finite_numbers import is_finite
from .outputs.plan import OutputMode
from .public_names import publish
from .telling_fields import fields_that_say_something
from .tools import ToolChoice, ToolLike
from .typed_fields import a_count, a_kind_of

__all__ = [
    "NO_OPTIONS",
    "REQUEST_OPTIONS",
    "CachePolicy",
    "CommonOptions",
    "GenerateOptions",
    "HttpOptions",
    "Options",
    "Timeouts",
    "refuse",
]


@frozen(kw_only=True)
class Timeouts:
    """The timeouts of a generation, in seconds; None switches one off.

    Args:
        first_byte: from sending the request to the first byte of the answer.
        idle: between two events of a stream; comments and pings do not count.
        total: from start to end.
        connect: making one connection: name look-up, TCP, proxy and TLS. Waiting for a free connection does not count.

    Raises:
        InvalidRequest: if one is not a positive number.

    Example:
        >>> Timeouts(total=30).first_byte
        60
    """

    first_byte: float | None = 60
    idle: float | None = 60
    total: float | None = None
    connect: float | None = 10

    def __attrs_post_init__(self) -> None:
        for name in ("first_byte", "idle", "total", "connect"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                msg = f"timeout {name!r} must be a number of seconds above 0, or None: {value!r}"
                raise InvalidRequest(msg, parameter=name)

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in fields_dict(Timeouts)}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name, each in fields_dict(Timeouts).items():  # a pickle of an earlier version lacks later fields
            object.__setattr__(self, name, state.get(name, each.default))


def _marked(_made: object, _field: object, value: object) -> None:
    """Check which messages a `CachePolicy` marks."""
    if value in (None, "latest-user-message", "latest-assistant"):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = (
            "'messages' of CachePolicy must be 'latest-user-message', 'latest-assistant', how many of the last ones, "
            f"or None, not {value!r}"
        )
        raise InvalidRequest(msg, parameter="messages")


@frozen(kw_only=True)
class CachePolicy:
    """Which parts of the prompt to mark for the provider's cache, if the protocol has marks.

    Args:
        tools: mark the tool definitions.
        system: mark the system prompt.
        messages: mark the latest user or assistant message, or the last n messages (an int).
        ttl_seconds: how long to keep it, in seconds.
    """

    tools: bool = False
    system: bool = False
    messages: Literal["latest-user-message", "latest-assistant"] | int | None = field(default=None, validator=_marked)
    ttl_seconds: int | None = field(default=None, validator=a_count("a whole number of seconds, or None"))


_A_MAPPING: Final = a_kind_of(Mapping, "a mapping")


@frozen(kw_only=True)
class HttpOptions:
    """Raw additions to the HTTP request: merged over the JSON body, the headers and the query."""

    body: Mapping[str, Any] = field(default=EMPTY, validator=_A_MAPPING)
    headers: Mapping[str, str] = field(default=EMPTY, validator=_A_MAPPING)
    query: Mapping[str, str] = field(default=EMPTY, validator=_A_MAPPING)


def refuse(name: str, wanted: str, value: object) -> NoReturn:
    """Raise InvalidRequest for an option that has a value of the wrong kind.

    Args:
        name: the option.
        wanted: what its value must be, as the end of a sentence.
        value: what was given.
    """
    msg = f"option {name!r} must be {wanted}, not {value!r}"
    raise InvalidRequest(msg, parameter=name)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse(name, "a whole number of at least 1", value)
    return value


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(name, "a whole number", value)
    return value


def _number(name: str, value: object) -> float:
    if not _is_number(value):
        refuse(name, "a number", value)
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(name, "True or False", value)
    return value


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        refuse(name, "a str", value)
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    refuse(name, "a str or a sequence of str", value)


def _timeouts(name: str, value: object) -> Timeouts:
    if isinstance(value, Timeouts):
        return value
    refuse(name, "a Timeouts(first_byte=..., idle=..., total=..., connect=...)", value)


_CHECKS: Final[dict[str, Callable[[str, object], object]]] = {
    "max_tokens": _count,
    "temperature": _number,
    "top_p": _number,
    "top_k": _count,
    "frequency_penalty": _number,
    "presence_penalty": _number,
    "seed": _whole,
    "stop": _strings,
    "reasoning_effort": _string,
    "reasoning_budget": _whole,
    "parallel_tool_calls": _flag,
    "timeouts": _timeouts,
    "stream": _flag,
    "drop_unsupported": _flag,
}

#: What else a call takes among its options: these are not fields of `Options`, but of the request itself.
REQUEST_OPTIONS: Final = ("model", "tool_choice", "provider_options", "http", "cache", "metadata", "output_mode")

#: All keywords of a call, for the error about one that is none.
_KEYWORDS: Final = (*_CHECKS, *REQUEST_OPTIONS, "system", "tools", "output")


@frozen(kw_only=True)
class Options:
    """Settings of a generation; None leaves one to the backend or the provider.

    An option that a route cannot honour is an error, unless `drop_unsupported` allows leaving it out.

    Args:
        max_tokens: the longest answer, in tokens.
        temperature: 0 picks the likeliest token every time.
        top_p: sample from the likeliest tokens that add up to this probability.
        top_k: sample from this many of the likeliest tokens.
        frequency_penalty: penalizes tokens by how often they were used.
        presence_penalty: penalizes tokens that were used at all.
        seed: for repeatable sampling, as far as the provider supports it.
        stop: texts at which to stop; one str stands for a tuple of one.
        reasoning_effort: how hard to think, in the provider's words (``low``, ``medium``, ``high``, ...).
        reasoning_budget: the most tokens to spend on thinking.
        parallel_tool_calls: whether one answer may call several tools.
        timeouts: the timeouts of this call.
        stream: False asks the provider for the answer in one piece; by default it streams.
        drop_unsupported: leave out what the route cannot honour instead of refusing the call.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    parallel_tool_calls: bool | None = None
    timeouts: Timeouts | None = None
    stream: bool | None = None
    drop_unsupported: bool | None = None

    __rich_repr__ = fields_that_say_something

    def __attrs_post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Options:
        """Check options by name and type.

        Raises:
            UnknownOption: for a name that is not an option; names the nearest one.
            InvalidRequest: for a value of the wrong type or out of range.

        Example:
            >>> Options.of({"temperature": 0, "stop": "END"}).stop
            ('END',)
        """
        # 1, 1.0 and True are equal, and not the same option.
        key = (cls, *values.items(), *map(type, values.values()))
        try:
            return _known[key]
        except KeyError:
            is_kept = True
        except TypeError:  # a list, which may change
            is_kept = False
        options = cls(**_checked(values))
        if is_kept:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = options
        return options

    def merged(self, over: Options) -> Options:
        """Return these options, overridden by those that `over` sets."""
        if over is NO_OPTIONS:
            return self
        if self is NO_OPTIONS:
            return over
        return _copied(self, over.given())

    def given(self) -> dict[str, Any]:
        """Return the options that are set, by name."""
        return {name: value for name, value in zip(_CHECKS, _values_of(self), strict=True) if value is not None}


_copied: Final = copier(Options)


def _checked(values: Mapping[str, object]) -> dict[str, Any]:
    """Check options by name and type, and bring them into the form that they are kept in."""
    checked: dict[str, Any] = {}
    for name, value in values.items():
        check = _CHECKS.get(name)
        if check is None:
            from .option_names import unknown_option  # tables that only a misspelled option needs

            raise unknown_option(name, _KEYWORDS)
        checked[name] = None if value is None else check(name, value)
    return checked


#: Options that were made, by what of: most calls of a program have those of an earlier one, and need no check then.
#: That they are the same object tells others that what they made of them still holds.
_known: Final[dict[object, Options]] = {}
_MOST_KNOWN: Final = 64

#: No option set; shared, so that a plain call makes no object for it.
NO_OPTIONS: Final = Options()

#: The values of all options, in the order of `_CHECKS`: every call asks for them, and this takes one step.
_values_of: Final[Callable[[Options], tuple[Any, ...]]] = attrgetter(*_CHECKS)


class CommonOptions(TypedDict, total=False):
    """The options that calls and backends take alike, for signatures that write out ``model`` and ``timeouts``."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    reasoning_effort: str | None
    reasoning_budget: int | None
    parallel_tool_calls: bool | None
    stream: bool | None
    drop_unsupported: bool | None
    provider_options: Mapping[str, Any] | None
    http: HttpOptions | None


class GenerateOptions(CommonOptions, total=False):
    """Every option of a call, for signatures: ``**options: Unpack[GenerateOptions]``.

    At run time `Options.of` and `Request.of` check them.
    """

    model: str | None
    timeouts: Timeouts | None
    tool_choice: str | ToolChoice | ToolLike | None
    cache: Literal["auto", "none"] | CachePolicy | None
    metadata: Mapping[str, Any] | None
    output_mode: OutputMode | None


publish(globals(), "mellite.request", "CachePolicy", "GenerateOptions", "HttpOptions", "Options", "Timeouts")
