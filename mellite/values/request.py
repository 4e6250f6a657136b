"""What is asked of a model: Request, its generation options, tool definitions and choices, timeouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NoReturn, TypeAlias, cast

from attrs import evolve, field, fields_dict, frozen

from .errors import InvalidRequest
from .messages import CacheHint, Content, Message, Part, Text
from .option_names import unknown_option
from .prompts import messages_of, system_of
from .public_names import publish
from .signatures import write_signature

__all__ = [
    "EMPTY",
    "CachePolicy",
    "HttpOptions",
    "Options",
    "Prompt",
    "Request",
    "System",
    "Timeouts",
    "ToolChoice",
    "ToolDefinition",
]

#: What a prompt may be; see `Request.of`.
Prompt: TypeAlias = (
    "str | Message | Request | Part | Mapping[str, Any] | Sequence[Message | Content | Mapping[str, Any] | Pair]"
)

#: A message in short: its role and its content.
Pair: TypeAlias = "tuple[str, Any]"

#: What `system` may be.
System: TypeAlias = "str | Text | Sequence[str | Text]"


def _refuse_to_write(*_: object, **__: object) -> NoReturn:
    msg = "EMPTY is shared by all requests and cannot be written to; make a dict"
    raise TypeError(msg)


class _Empty(dict[str, Any]):
    """A mapping of nothing that refuses to be written to, is shared by all requests, and survives copy and pickle.

    A dict, because every call unpacks some: a class of Python's own `Mapping` would be asked method by method.
    """

    __slots__ = ()

    def __reduce__(self) -> str:
        return "EMPTY"

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = cast("Any", _refuse_to_write)


EMPTY: Final[Mapping[str, Any]] = _Empty()


@frozen(kw_only=True)
class Timeouts:
    """The three clocks of a generation, in seconds; None switches one off.

    Args:
        first_byte: from sending the request to the first byte of the answer.
        idle: between two events of a stream; comments and pings do not count.
        total: from start to end.

    Raises:
        InvalidRequest: if one is not a positive number.

    Example:
        >>> Timeouts(total=30).first_byte
        60
    """

    first_byte: float | None = 60
    idle: float | None = 60
    total: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("first_byte", "idle", "total"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                msg = f"timeout {name!r} must be a number of seconds above 0, or None: {value!r}"
                raise InvalidRequest(msg, parameter=name)


@frozen(kw_only=True)
class Options:
    """How to generate; None leaves it to the backend or the provider.

    An option that a route cannot honour is an error, unless `drop_unsupported` allows leaving it out.

    Args:
        max_tokens: the longest answer, in tokens.
        temperature: 0 picks the likeliest token every time.
        top_p: sample from the likeliest tokens that add up to this probability.
        top_k: sample from this many of the likeliest tokens.
        frequency_penalty: against tokens used often already.
        presence_penalty: against tokens used at all already.
        seed: for repeatable sampling, as far as the provider can.
        stop: texts at which to stop; one str stands for a tuple of one.
        reasoning_effort: how hard to think, in the provider's words (``low``, ``medium``, ``high``, ...).
        reasoning_budget: how many tokens to think at most.
        parallel_tool_calls: whether several tools may be asked for at once.
        timeouts: the clocks of this call.
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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Check options by name and type.

        Raises:
            UnknownOption: for a name that is no option, with the nearest that is.
            InvalidRequest: for a value of the wrong type or out of range.

        Example:
            >>> Options.of({"temperature": 0, "stop": "END"}).stop
            ('END',)
        """
        checked = {}
        for name, value in values.items():
            check = _CHECKS.get(name)
            if check is None:
                raise unknown_option(name, _ALL_OPTIONS)
            checked[name] = None if value is None else check(name, value)
        return cls(**checked)

    def merged(self, over: Options) -> Options:
        """These options, with everything that `over` sets taken from there."""
        if over is NO_OPTIONS:
            return self
        if self is NO_OPTIONS:
            return over
        changes = {name: value for name in _CHECKS if (value := getattr(over, name)) is not None}
        return evolve(self, **changes)

    def given(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name in _CHECKS if (value := getattr(self, name)) is not None}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, wanted: str, value: Any) -> NoReturn:
    msg = f"option {name!r} must be {wanted}, not {value!r}"
    raise InvalidRequest(msg, parameter=name)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(name, "a whole number of at least 1", value)
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(name, "a whole number", value)
    return value


def _number(name: str, value: Any) -> float:
    if not _is_number(value):
        _refuse(name, "a number", value)
    return cast("float", value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(name, "True or False", value)
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(name, "a str", value)
    return value


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    _refuse(name, "a str or a sequence of str", value)


def _timeouts(name: str, value: Any) -> Timeouts:
    if isinstance(value, Timeouts):
        return value
    _refuse(name, "a Timeouts(first_byte=..., idle=..., total=...)", value)


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
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

#: No option set; shared, so that a plain call makes no object for it.
NO_OPTIONS: Final = Options()


@frozen
class ToolDefinition:
    """A tool as the model sees it: its name, what it is for, and the JSON Schema of its arguments.

    Example:
        >>> ToolDefinition("get_weather", "Get the weather.", input_schema={"type": "object"}).name
        'get_weather'
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(factory=lambda: {"type": "object", "properties": {}}, kw_only=True)
    output_schema: Mapping[str, Any] | None = field(default=None, kw_only=True)
    strict: bool | None = field(default=None, kw_only=True)
    cache: CacheHint | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    native: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class ToolChoice:
    """Whether the model may, must or must not call tools, or which one it must call.

    Example:
        >>> ToolChoice.of("required"), ToolChoice.of("get_weather")
        (ToolChoice(type='required', name=None), ToolChoice(type='tool', name='get_weather'))
    """

    type: Literal["auto", "none", "required", "tool"]
    name: str | None = None

    @classmethod
    def of(cls, value: Any) -> ToolChoice | None:
        """``auto``, ``none`` and ``required`` are modes; any other str, or a definition, names a tool.

        Raises:
            InvalidRequest: for anything else.
        """
        if value is None or isinstance(value, ToolChoice):
            return value
        if value in ("auto", "none", "required"):
            return cls(value)
        if isinstance(value, str):
            return cls("tool", value)
        return cls("tool", _definition(value).name)


def _definition(value: Any) -> ToolDefinition:
    value = getattr(value, "definition", value)  # or something that carries one, as a wrapped function may
    if isinstance(value, ToolDefinition):
        return value
    msg = f"a tool is a ToolDefinition, or has one as its attribute `definition`; {type(value).__name__} is neither"
    raise InvalidRequest(msg, parameter="tools")


@frozen(kw_only=True)
class CachePolicy:
    """Which parts of the prompt to mark for the provider's cache, where the protocol has marks.

    Args:
        tools: mark the tool definitions.
        system: mark the system prompt.
        messages: mark the latest user or assistant message, or the last n messages (an int).
        ttl_seconds: how long to keep it, in seconds.
    """

    tools: bool = False
    system: bool = False
    messages: Literal["latest-user-message", "latest-assistant"] | int | None = None
    ttl_seconds: int | None = None


@frozen(kw_only=True)
class HttpOptions:
    """Raw additions to the HTTP request: merged over the JSON body, the headers and the query."""

    body: Mapping[str, Any] = EMPTY
    headers: Mapping[str, str] = EMPTY
    query: Mapping[str, str] = EMPTY


@frozen
class Request:
    """What is asked: the messages, and how to answer them. Immutable; change it with ``attrs.evolve``.

    Usually made by `Request.of`, which checks it, or by ``backend.generate``.

    Args:
        messages: the conversation, oldest first.
        model: the model's id; None leaves it to the backend.
        system: instructions that stand before the conversation.
        tools: what the model may call.
        tool_choice: whether it may, must or must not.
        options: temperature and the like.
        provider_options: by provider name, what only that provider knows.
        http: raw additions to the HTTP request.
        cache: ``auto``, ``none`` or a `CachePolicy`.
        output: the type of the parsed answer; str for the text as it is.
        metadata: the caller's notes, never sent; the thunk puts its ``lineage`` here.
    """

    messages: tuple[Message, ...]
    model: str | None = None
    system: tuple[Text, ...] = field(default=(), kw_only=True)
    tools: tuple[ToolDefinition, ...] = field(default=(), kw_only=True)
    tool_choice: ToolChoice | None = field(default=None, kw_only=True)
    options: Options = field(default=NO_OPTIONS, kw_only=True)
    provider_options: Mapping[str, Any] = field(default=EMPTY, kw_only=True)
    http: HttpOptions | None = field(default=None, kw_only=True)
    cache: Literal["auto", "none"] | CachePolicy | None = field(default=None, kw_only=True)
    output: Any = field(default=str, kw_only=True)
    metadata: Mapping[str, Any] = field(default=EMPTY, kw_only=True)

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[Any] | None = None,
        output: Any = None,
        **options: Any,
    ) -> Request:
        """Make a request of whatever a caller writes, and check it.

        Args:
            prompt: a str, a part, a Message, a Request, or a sequence. A sequence of messages is the history;
                a sequence of str, parts and thunks is one user message. With a Request, the keywords override its own.
                A message may be written as OpenAI's Chat Completions does, ``{"role": "user", "content": "Hello."}``,
                and in a list as a pair, ``("user", "Hello.")``; a bare tuple is parts of one user message.
            system: instructions, one or several.
            tools: definitions, or objects that have one as their attribute ``definition``.
            output: the type of the parsed answer.
            **options: the fields of `Options`, and ``model``, ``tool_choice``, ``provider_options``, ``http``,
                ``cache`` and ``metadata``.

        Raises:
            InvalidRequest: for a prompt or value of the wrong type.
            UnknownOption: for a misspelled keyword.

        Example:
            >>> Request.of("Say hello.", temperature=0).text
            'Say hello.'
        """
        changes: dict[str, Any] = {}
        if options:
            changes = {name: options.pop(name) for name in _REQUEST_FIELDS if name in options}
        if system is not None:
            changes["system"] = system_of(system)
        if tools is not None:
            changes["tools"] = _tools(tools)
        if output is not None:
            changes["output"] = output
        if changes:
            _check_fields(changes)
        if isinstance(prompt, Request):
            if options:
                changes["options"] = prompt.options.merged(Options.of(options))
            return evolve(prompt, **changes) if changes else prompt
        if options:
            changes["options"] = Options.of(options)
        return cls(messages_of(prompt), **changes)

    @property
    def text(self) -> str:
        """The text of the last user message; empty if there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return ""


#: What else a call takes by keyword, beside the fields of `Options`.
_REQUEST_FIELDS: Final = ("model", "tool_choice", "provider_options", "http", "cache", "metadata")


#: All keywords of a call, for the error about one that is none.
_ALL_OPTIONS: Final = (*_CHECKS, *_REQUEST_FIELDS, "system", "tools", "output")


def _check_fields(changes: dict[str, Any]) -> None:
    if "tool_choice" in changes:
        changes["tool_choice"] = ToolChoice.of(changes["tool_choice"])
    for name, kind, wanted in (
        ("model", str, "a str"),
        ("provider_options", Mapping, "a mapping by provider name"),
        ("metadata", Mapping, "a mapping"),
        ("http", HttpOptions, "an HttpOptions(body=..., headers=..., query=...)"),
    ):
        if name in changes:
            value = changes[name]
            if value is None:
                changes[name] = fields_dict(Request)[name].default
            elif not isinstance(value, kind):
                _refuse(name, wanted, value)
            elif kind is Mapping:
                changes[name] = dict(cast("Mapping[str, Any]", value))
    cache = changes.get("cache")
    if not (cache is None or cache in ("auto", "none") or isinstance(cache, CachePolicy)):
        _refuse("cache", "'auto', 'none' or a CachePolicy", cache)


def _tools(tools: Any) -> tuple[ToolDefinition, ...]:
    if isinstance(tools, (str, Mapping)) or not isinstance(tools, Sequence):
        _refuse("tools", "a sequence of tools", tools)
    definitions = tuple([_definition(tool) for tool in tools])
    names = [definition.name for definition in definitions]
    for name in names:
        if names.count(name) > 1:
            msg = f"two tools are called {name!r}; give each a name of its own"
            raise InvalidRequest(msg, parameter="tools")
    return definitions


publish(globals(), "mellite.request")

write_signature(Request, {"options": "Options()"})
write_signature(ToolDefinition, {"input_schema": "{'type': 'object', 'properties': {}}"})
