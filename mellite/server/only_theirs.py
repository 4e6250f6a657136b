"""Refuse what a backend cannot give, as a hosted tool of another vendor: else an answer would lack it unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias, cast

from ..values.errors import InvalidRequest
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from ..values.tools import ToolDefinition

__all__ = ["refuse_several_answers", "refuse_what_is_only_theirs"]

#: Tells by a value whether something is asked for.
_Asks: TypeAlias = Callable[[Json], bool]


def _given(value: Json) -> bool:
    return bool(value)


def _beside(texts: Collection[str]) -> _Asks:
    return lambda value: isinstance(value, list) and not all(str(each).lower() in texts for each in value)


_LOGPROBS: Final[Mapping[str, _Asks]] = {"logprobs": _given, "top_logprobs": _given}

#: Vendor -> its own fields that make another answer, and when they do; what else it has changes speed, bill or records.
_FIELDS: Final[Mapping[str, Mapping[str, _Asks]]] = {
    "anthropic": {"container": _given, "mcp_servers": _given},
    "bedrock": {"guardrailConfig": _given, "promptVariables": _given},
    "cohere": _LOGPROBS,
    "google": {
        "cachedContent": _given,
        "imageConfig": _given,
        "responseLogprobs": _given,
        "responseModalities": _beside(("text",)),
        "speechConfig": _given,
        "tools": _given,
    },
    "ollama": _LOGPROBS,
    "openai": {
        **_LOGPROBS,
        "audio": _given,
        "background": _given,
        "conversation": _given,
        "functions": _given,
        "logit_bias": _given,
        "modalities": _beside(("text",)),
        "prompt": _given,
        "web_search_options": _given,
    },
}


#: Vendor -> the field that says how many answers a client wants.
_COUNTS: Final = {"google": "candidateCount", "openai": "n"}


def refuse_several_answers(request: Request) -> None:
    """Raise if a request asks for several answers at once, of which a backend gives one.

    Args:
        request: what a client asks, with the vendor's own words among its ``provider_options``.

    Raises:
        InvalidRequest: naming the field.
    """
    for vendor, own in request.provider_options.items():
        name = _COUNTS.get(vendor, "")
        count = cast("JsonObject", own).get(name)
        if count not in (None, 1):
            msg = f"{name!r} asks for {count!r} answers at once, and a backend gives one: ask once for each"
            raise InvalidRequest(msg, parameter=name)


def refuse_what_is_only_theirs(request: Request, asked_one: str) -> None:
    """Raise if a request asks for what only the vendor of its client has: a hosted tool and the like.

    Args:
        request: what a client asks, with the vendor's own words among its ``provider_options``.
        asked_one: who is asked in the vendor's place.

    Raises:
        InvalidRequest: naming it.

    Example:
        >>> refuse_what_is_only_theirs(Request.of("Hi.", provider_options={"openai": {"logprobs": True}}), "a:b")
        Traceback (most recent call last):
        ...
        mellite.errors.InvalidRequest: 'logprobs' is OpenAI's own, and a:b, which is asked, has it not: leave it out
    """
    for vendor, own in request.provider_options.items():
        fields = cast("JsonObject", own)
        for name, asks in _FIELDS.get(vendor, {}).items():
            if asks(fields.get(name)):
                raise _refused(name, vendor, asked_one)
    for tool in request.tools:
        host = _host(tool)
        if host is not None:
            raise _refused(tool.name, host, asked_one)


def _host(tool: ToolDefinition) -> str | None:
    """Return the vendor that runs a tool, or taught it to its models; None for a function of the client's."""
    for vendor, own in (tool.native or {}).items():
        if vendor == "bedrock" or (isinstance(own, Mapping) and "type" in own):
            return vendor
    return None


_NAMES: Final = {"google": "Google", "ollama": "Ollama", "openai": "OpenAI"}


def _refused(name: str, vendor: str, asked_one: str) -> InvalidRequest:
    who = _NAMES.get(vendor, vendor.capitalize())
    msg = f"{name!r} is {who}'s own, and {asked_one}, which is asked, has it not: leave it out"
    return InvalidRequest(msg, parameter=name)
