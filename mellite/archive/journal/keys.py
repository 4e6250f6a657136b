"""The key by which calls are equal: backend and request, without keys, clocks and what is never sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from attrs import asdict, frozen

from ...values.backend_streams import name_of
from ...values.errors import ConfigurationError, MelliteError
from ...values.message_json import written
from ...values.messages import Message
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..tags import tags_of
from .json_values import digest_of

__all__ = ["Asked", "asked_of", "tool_key", "who_of"]

#: What no provider sees of a message.
_NEVER_SENT: Final = ("id", "metadata")


@frozen(kw_only=True)
class Asked:
    """A call, as the journal knows it.

    Attributes:
        key: its digest.
        who: who is asked.
        frame: the request without its messages.
        messages: its messages, as JSON, with what is never sent.
        tags: what the caller calls it; no part of the key.
    """

    key: str
    who: JsonObject
    frame: JsonObject
    messages: tuple[JsonObject, ...]
    tags: tuple[str, ...] = ()


def who_of(backend: object) -> JsonObject:
    """Return the identity of a backend: provider, protocol, model and URL of a route; else class and own name."""
    route: Any = getattr(backend, "route", None)
    if hasattr(route, "endpoint") and hasattr(route, "protocol"):
        return {
            "provider": route.provider,
            "protocol": route.protocol.id,
            "model": route.model,
            "url": _url_of(route.endpoint),
        }
    kind = type(backend)
    found: JsonObject = {"backend": f"{kind.__module__}.{kind.__qualname__}"}
    if callable(getattr(backend, "describe", None)):
        found["name"] = name_of(backend)
    return found


def _url_of(endpoint: Any) -> str | None:
    """Return the base URL, without what may be a key in it."""
    try:
        parts = urlsplit(str(endpoint.base()))
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except (ConfigurationError, ValueError):  # told by whoever is asked
        return None


def asked_of(backend: object, request: Request, lineage: tuple[int, ...]) -> Asked:
    """Return a call as the journal knows it.

    Raises:
        InvalidRequest: for a message with a part of the caller's own, which has no JSON form.
    """
    who = who_of(backend)
    frame = _frame(request)
    messages = tuple([written(message) for message in request.messages])
    said = [{name: value for name, value in each.items() if name not in _NEVER_SENT} for each in messages]
    key = digest_of({"who": who, "frame": frame, "messages": said, "lineage": lineage})
    return Asked(key=key, who=who, frame=frame, messages=messages, tags=tuple(tags_of(request.metadata)))


def _frame(request: Request) -> JsonObject:
    options = {name: value for name, value in request.options.given().items() if name != "timeouts"}
    frame: JsonObject = {
        "model": request.model,
        "system": written(Message("system", request.system))["content"] if request.system else None,
        "tools": [asdict(tool) for tool in request.tools],
        "tool_choice": None if request.tool_choice is None else asdict(request.tool_choice),
        "options": options,
        "provider_options": dict(request.provider_options),
        "http": _http(request.http),
        "cache": request.cache if isinstance(request.cache, str) else repr(request.cache) if request.cache else None,
        "output": _output(request),
        "output_mode": request.output_mode,
        "id": request.metadata.get("id"),
    }
    return {name: value for name, value in frame.items() if value not in (None, {}, [])}


def _http(http: Any) -> Json:
    """Return what is added to the HTTP request, of headers only the names: their values may be keys."""
    if http is None:
        return None
    return {"body": dict(http.body), "headers": sorted(map(str.lower, http.headers)), "query": sorted(http.query)}


def _output(request: Request) -> Json:
    output = request.output
    if output is str:
        return None
    from ...values.output import schema_of

    try:
        return {"type": getattr(output, "__qualname__", None), "schema": schema_of(output)}
    except MelliteError:  # told by whoever is asked
        return getattr(output, "__qualname__", None)


def tool_key(run: str, step: int, name: str, arguments: object) -> str:
    """Return the digest of a call of a tool: not with the provider's id, which is another one when it is asked anew."""
    return digest_of({"run": run, "step": step, "tool": name, "arguments": _plain(arguments)})


def _plain(value: object) -> object:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value
