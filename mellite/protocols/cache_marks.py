"""Which parts of a prompt to mark for the provider's cache: by policy, beside the caller's own marks, four at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve

from ..values.filling import copier
from ..values.messages import CacheHint, Media, Message, Part, Text, ToolCall, ToolResult
from ..values.options import CachePolicy
from ..values.request import Request
from ..values.telling import log

__all__ = ["MARKS", "is_long", "marked"]


#: As many marks as a request may have; Anthropic and Bedrock count alike.
MARKS: Final = 4

_LONG: Final = 3600  # seconds; from here on the long cache is meant

#: What ``auto`` stands for: what stays the same from call to call, and all of it when the conversation goes on.
_AUTO: Final = CachePolicy(tools=True, system=True, messages=1)

_TOOLS, _SYSTEM, _MESSAGES = range(3)

#: Which messages a policy marks; see `CachePolicy`.
_Which: TypeAlias = Literal["latest-user-message", "latest-assistant"] | int | None

#: Where a mark stands: the section, the tool or message in it, the part of that. In the order of the prompt.
_Place: TypeAlias = tuple[int, int, int]


def marked(request: Request, *, limit: int = MARKS) -> Request:
    """Return the request with a `CacheHint` on every part that is to be marked, and on no other.

    The caller's own hints come first, also with ``cache="none"``; then the policy's marks: the last tool, the first and
    the last part of the system prompt, the messages, latest first, as far as the limit goes. A mark never stands on
    thinking or on empty text, where providers refuse it. Of more hints than the limit those in the latest messages
    stay, after those of tools and system; that some were left out is logged as a warning.

    Args:
        limit: as many marks as the provider allows.

    Example:
        >>> request = marked(Request.of("Hello.", system="Be brief."))
        >>> request.system[0].cache, request.messages[0].content[0].cache
        (CacheHint(type='ephemeral', ttl_seconds=None), CacheHint(type='ephemeral', ttl_seconds=None))
    """
    preface = _preface(request)
    given = dict(_hints(request, preface))
    chosen = dict(given) if len(given) <= limit else {place: given[place] for place in sorted(given, key=_rank)[:limit]}
    policy = request.cache if isinstance(request.cache, CachePolicy) else None if request.cache == "none" else _AUTO
    left_out = len(given) - len(chosen)
    if policy is not None:
        for place in _wanted(request, policy, preface):
            if place not in chosen and len(chosen) < limit:
                chosen[place] = CacheHint(ttl_seconds=_lifetime(place, policy, chosen))
            elif place not in chosen and policy is not _AUTO:
                left_out += 1
    if left_out:
        said = "%d cache marks of a request are left out: a provider takes %d"
        log.warning("cache_marks.left_out", said, left_out, limit, count=left_out)
    changes: dict[_Place, CacheHint | None] = {place: hint for place, hint in chosen.items() if place not in given}
    changes.update(dict.fromkeys(given.keys() - chosen.keys()))
    return _with_hints(request, changes) if changes else request


def is_long(hint: CacheHint) -> bool:
    """Tell whether a hint means the provider's long cache (an hour), not the usual one (five minutes).

    Example:
        >>> is_long(CacheHint(ttl_seconds=3600)), is_long(CacheHint())
        (True, False)
    """
    return hint.ttl_seconds is not None and hint.ttl_seconds >= _LONG


def _rank(place: _Place) -> tuple[int, int, int]:
    """Tools before system before messages, and of the messages the latest first."""
    section, index, part = place
    return (section, -index, -part) if section == _MESSAGES else place


def _lifetime(place: _Place, policy: CachePolicy, chosen: Mapping[_Place, CacheHint]) -> int | None:
    """Return the policy's lifetime, or that of a later mark that lives longer, which must not follow a shorter one."""
    later = [hint.ttl_seconds or 0 for at, hint in chosen.items() if at > place and is_long(hint)]
    return max(later, default=None) if policy.ttl_seconds is None or policy.ttl_seconds < _LONG else policy.ttl_seconds


# Where marks may stand


def _markable(part: Part) -> bool:
    if isinstance(part, Text):
        return bool(part.text.strip())
    return isinstance(part, (Media, ToolCall, ToolResult))


def _preface(request: Request) -> int:
    """Count the system messages at the beginning, which belong to the system prompt."""
    return next((at for at, message in enumerate(request.messages) if message.role != "system"), len(request.messages))


def _system_places(request: Request, preface: int) -> Iterator[_Place]:
    """Give the places of the system prompt: those of ``request.system``, then those of system messages."""
    own = len(request.system)
    yield from ((_SYSTEM, at, 0) for at, part in enumerate(request.system) if _markable(part))
    for at, message in enumerate(request.messages[:preface]):
        yield from ((_SYSTEM, own + at, number) for number, part in enumerate(message.content) if _markable(part))


def _hints(request: Request, preface: int) -> Iterator[tuple[_Place, CacheHint]]:
    """Give the hints of the caller, with their places."""
    for at, tool in enumerate(request.tools):
        if tool.cache is not None:
            yield (_TOOLS, at, 0), tool.cache
    for at, text in enumerate(request.system):
        if text.cache is not None and _markable(text):
            yield (_SYSTEM, at, 0), text.cache
    for at, message in enumerate(request.messages):
        section, index = (_SYSTEM, len(request.system) + at) if at < preface else (_MESSAGES, at)
        for number, part in enumerate(message.content):
            hint: CacheHint | None = getattr(part, "cache", None)
            if hint is not None and _markable(part):
                yield (section, index, number), hint


def _wanted(request: Request, policy: CachePolicy, preface: int) -> Iterator[_Place]:
    """Give the places that a policy marks, the most useful first."""
    if policy.tools and request.tools:
        yield _TOOLS, len(request.tools) - 1, 0
    if policy.system:
        places = list(_system_places(request, preface))
        yield from dict.fromkeys([*places[-1:], *places[:1]])
    messages = _chosen_messages(request, policy.messages, preface)
    yield from ((_MESSAGES, at, number) for at, number in messages)


def _chosen_messages(request: Request, which: _Which, preface: int) -> Sequence[tuple[int, int]]:
    """Return the messages that a policy chooses, latest first, each with the number of the part to be marked."""
    count = 1 if isinstance(which, str) else which or 0
    role = {"latest-user-message": "user", "latest-assistant": "assistant"}.get(str(which))
    found: list[tuple[int, int]] = []
    for at in range(len(request.messages) - 1, preface - 1, -1):
        if len(found) >= count:
            break
        message = request.messages[at]
        part = _last_part(message) if role is None or message.role == role else None
        if part is not None:
            found.append((at, part))
    return found


def _last_part(message: Message) -> int | None:
    """Return the last part of a message that can be marked; None if there is none, as in nothing but thinking."""
    parts = [number for number, part in enumerate(message.content) if _markable(part)]
    return parts[-1] if parts else None


# Putting them there


def _with_hints(request: Request, hints: Mapping[_Place, CacheHint | None]) -> Request:
    """Return the request with these hints, and with None for a hint that is taken away."""
    own = len(request.system)
    tools, system, messages = list(request.tools), list(request.system), list(request.messages)
    for (section, index, part), hint in hints.items():
        if section == _TOOLS:
            tools[index] = evolve(tools[index], cache=hint)
        elif section == _SYSTEM and index < own:
            system[index] = _hinted(system[index], hint)
        else:
            at = index - own if section == _SYSTEM else index
            content = list(messages[at].content)
            content[part] = _hinted(content[part], hint)
            messages[at] = _copied_message(messages[at], {"content": tuple(content)})
    changes = {"tools": tuple(tools), "system": tuple(system), "messages": tuple(messages)}
    return _copied_request(request, changes)


_copied_message: Final = copier(Message)
_copied_request: Final = copier(Request)


def _hinted(part: Any, hint: CacheHint | None) -> Any:
    if type(part) is Text:  # the usual case, for which `evolve` costs several times as much
        return Text(part.text, cache=hint, provider_metadata=part.provider_metadata)
    return evolve(part, cache=hint)
