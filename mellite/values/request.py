"""The Request to a model, made from what a caller writes, and everything that it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, is_not
from typing import Any, Final, Literal, TypeAlias, Unpack, cast

from attrs import field, fields_dict, frozen

from .empty import EMPTY
from .errors import InvalidRequest
from .filling import copier
from .messages import Content, Message, Part, Text
from .options import NO_OPTIONS, REQUEST_OPTIONS, CachePolicy, GenerateOptions, HttpOptions, Options, Timeouts, refuse
from .outputs.plan import MODES, OutputMode
from .prompts import messages_of, system_of
from .public_names import publish
from .signatures import write_signature
from .telling_fields import fields_that_say_something
from .tools import ToolChoice, ToolDefinition, ToolLike, definition_of

__all__ = [
    "EMPTY",
    "CachePolicy",
    "GenerateOptions",
    "HttpOptions",
    "Options",
    "Prompt",
    "Request",
    "System",
    "Timeouts",
    "ToolChoice",
    "ToolDefinition",
    "ToolLike",
]


@frozen
class Request:
    """A request to a model: the messages, and how to answer them. Immutable; change it with ``attrs.evolve``.

    Usually made by `Request.of`, which takes options as keywords, or by ``backend.generate``. Values are converted as
    there: messages written as dicts or as one text, ``system="..."``, functions as tools.

    Args:
        messages: the conversation, oldest first.
        model: the model's id; None leaves it to the backend.
        system: the system prompt: instructions before the conversation.
        tools: what the model may call.
        tool_choice: whether it may, must or must not call one.
        options: temperature and the like; a mapping stands for `Options`.
        provider_options: options that only one provider knows, by provider name.
        http: raw additions to the HTTP request.
        cache: ``auto``, ``none`` or a `CachePolicy`.
        output: the type of the parsed answer; str for the text as it is.
        output_mode: how that type is enforced, by default in the best way the model supports: ``native`` by a schema
            that the provider enforces, ``tool`` by a tool that must be called, ``text`` by instructions.
        metadata: the caller's notes, never sent; the thunk puts its ``lineage`` here.

    Raises:
        InvalidRequest: for a value of the wrong type.

    Example:
        >>> Request([{"role": "user", "content": "Say hello."}], system="Be brief.", options={"temperature": 0}).text
        'Say hello.'
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
    output_mode: OutputMode | None = field(default=None, kw_only=True)

    __rich_repr__ = fields_that_say_something

    def __attrs_post_init__(self) -> None:
        rest = _REST_OF(self)
        if (
            any(map(is_not, rest, _NO_REST))
            or type(self.messages) is not tuple
            or not _MESSAGE.issuperset(map(type, self.messages))
        ):
            for name, value in _in_form(self, rest).items():
                object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        *,
        system: System | None = None,
        tools: Sequence[ToolLike] | None = None,
        output: Any = None,
        **options: Unpack[GenerateOptions],
    ) -> Request:
        """Make a request from the caller's arguments, and check it.

        Args:
            prompt: a str, a part, a Message, a Request, or a sequence. A sequence of messages is the history;
                a sequence of str, parts and thunks is one user message. With a Request, the keywords override its own.
                A message may be written as OpenAI's Chat Completions does, ``{"role": "user", "content": "Hello."}``,
                and in a list as a pair, ``("user", "Hello.")``; a bare tuple is parts of one user message.
            system: instructions, one or several.
            tools: definitions, or objects that have one as their attribute ``definition``.
            output: the type of the parsed answer.
            **options: the fields of `Options`, and ``model``, ``tool_choice``, ``provider_options``, ``http``,
                ``cache``, ``output_mode`` and ``metadata``.

        Raises:
            InvalidRequest: for a prompt or value of the wrong type.
            UnknownOption: for a misspelled keyword.

        Example:
            >>> Request.of("Say hello.", temperature=0).text
            'Say hello.'
        """
        changes: dict[str, Any] = {}
        given: dict[str, Any] = {}
        has_more = False
        for name, value in options.items() if options else ():
            if name == "model" and type(value) is str:
                changes["model"] = value
            elif name in REQUEST_OPTIONS:
                changes[name] = value
                has_more = True
            else:
                given[name] = value
        if system is not None:
            changes["system"] = system_of(system)
        if tools is not None:
            changes["tools"] = _tools(tools)
        if output is not None:
            changes["output"] = output
            if output is not str:
                from .output import check_output

                check_output(output)
        if has_more:
            _check_fields(changes)
        if type(prompt) is not str and isinstance(prompt, Request):
            if given:
                changes["options"] = prompt.options.merged(Options.of(given))
            return _changed(prompt, changes) if changes else prompt
        if given:
            changes["options"] = Options.of(given)
        changes["messages"] = messages_of(prompt)
        return _changed(_BLANK, changes) if cls is Request else cls(**changes)

    def __getstate__(self) -> dict[str, object]:
        if self.output is not str:
            from .outputs.pickled_limits import have_limits_pickled

            have_limits_pickled()
        return {name: getattr(self, name) for name in _DEFAULTS}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name, default in _DEFAULTS.items():  # a pickle of an earlier version lacks later fields
            object.__setattr__(self, name, state.get(name, default))

    @property
    def text(self) -> str:
        """The text of the last user message; empty if there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return ""


#: A message in short: its role and its content.
Pair: TypeAlias = tuple[str, Any]

#: The values that a prompt may have; see `Request.of`.
Prompt: TypeAlias = (
    str | Message | Request | Part | Mapping[str, Any] | Sequence[Message | Content | Mapping[str, Any] | Pair]
)

#: The values that `system` takes.
System: TypeAlias = str | Text | Sequence[str | Text]


_DEFAULTS: Final = {name: each.default for name, each in fields_dict(Request).items()}


#: All fields but the messages and the output type, and what they are by default: nothing to check.
_REST: Final = tuple(name for name in _DEFAULTS if name not in ("messages", "output"))
_REST_OF: Final[Callable[[Request], tuple[Any, ...]]] = attrgetter(*_REST)
_NO_REST: Final = tuple(_DEFAULTS[name] for name in _REST)

_MESSAGE: Final = frozenset({Message})


def _in_form(request: Request, rest: tuple[Any, ...]) -> dict[str, Any]:
    """Return the fields that are not at their defaults, checked, and in the form that they are kept in."""
    given = {name: value for name, value in zip(_REST, rest, strict=True) if value is not _DEFAULTS[name]}
    made: dict[str, Any] = {name: given[name] for name in REQUEST_OPTIONS if name in given}
    if made:
        _check_fields(made)
    messages: Any = request.messages
    if type(messages) is not tuple or not _MESSAGE.issuperset(map(type, messages)):
        is_empty = isinstance(messages, (list, tuple)) and not messages
        made["messages"] = () if is_empty else messages_of(messages)
    if "system" in given and not _is_tuple_of(Text, given["system"]):
        made["system"] = () if given["system"] is None else system_of(given["system"])
    if "tools" in given and not _is_tuple_of(ToolDefinition, given["tools"]):
        made["tools"] = () if given["tools"] is None else _tools(given["tools"])
    if "options" in given and not isinstance(given["options"], Options):
        if given["options"] is not None and not isinstance(given["options"], Mapping):
            refuse("options", "an Options(...) or a mapping of options", given["options"])
        made["options"] = Options.of(given["options"] or {})
    return made


def _is_tuple_of(kind: type, value: object) -> bool:
    return type(value) is tuple and all(type(item) is kind for item in value)


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
                changes[name] = _DEFAULTS[name]
            elif not isinstance(value, kind):
                refuse(name, wanted, value)
            elif kind is Mapping:
                changes[name] = dict(cast("Mapping[str, Any]", value))
    mode = changes.get("output_mode")
    if mode is not None and mode not in MODES:
        refuse("output_mode", "'native', 'tool' or 'text'", mode)
    cache = changes.get("cache")
    if not (cache is None or cache in ("auto", "none") or isinstance(cache, CachePolicy)):
        refuse("cache", "'auto', 'none' or a CachePolicy", cache)


def _tools(tools: object) -> tuple[ToolDefinition, ...]:
    if not isinstance(tools, (list, tuple)) and (isinstance(tools, (str, Mapping)) or not isinstance(tools, Sequence)):
        refuse("tools", "a sequence of tools", tools)
    definitions = tuple([definition_of(tool) for tool in tools])
    names = [definition.name for definition in definitions]
    for name in names:
        if names.count(name) > 1:
            msg = f"two tools are called {name!r}; give each a name of its own"
            raise InvalidRequest(msg, parameter="tools")
    return definitions


#: Makes what `Request.of` has checked already.
_changed: Final = copier(Request)
_BLANK: Final = Request(())

publish(globals(), "mellite.request", "Request")

write_signature(Request, {"options": "Options()"})
