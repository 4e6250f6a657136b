"""Answers to what clients ask beside generations, in the words of each vendor: models, versions, counts of tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from ..cassettes.interactions import Cassette, HttpInteraction
from ..cassettes.replaying.transport import ReplayTransport
from ..values.errors import InvalidRequest
from ..values.provider_json import JsonObject
from ..values.tokens import count_tokens
from ..wire.http import HttpRequest, Transport
from .dialects import DIALECTS, decoded
from .generating import GeneratingTransport
from .paths import Lookup, call_of, compared_url
from .recording import RecordingTransport

__all__ = ["Beside", "counted", "listed"]

#: The release of Ollama whose API is spoken; some clients want one from 0.6.4 on.
_OLLAMA: Final = "0.12.0"

_MODELS: Final = re.compile(r".*?/models(?:/(?P<name>.+))?")
_GOOGLE: Final = ("x-goog-api-key", "x-goog-api-client")
_GOOGLES: Final = re.compile(r".*/v1(?:alpha|beta)\d*/models(?:/.*)?")
_MISTRAL: Final = "mistral-client-"
_LONG_AGO: Final = "1970-01-01T00:00:00Z"


class Beside:
    """Answers requests that are not generations where the source has no answer: a backend, or a cassette without one.

    Args:
        source: what answers generations.
    """

    def __init__(self, source: Transport) -> None:
        answering = source.answering if isinstance(source, RecordingTransport) else source
        self._generating = answering if isinstance(answering, GeneratingTransport) else None
        self._cassette = source.cassette if isinstance(source, ReplayTransport) else None
        self._recorded: frozenset[str] | None = None
        self._names: Sequence[str] = ()

    def answer(self, request: HttpRequest) -> JsonObject | None:
        """Return the answer to a request that is not a call; None if it is something else, or recorded.

        Args:
            request: with its headers by lower-case name.

        Raises:
            InvalidRequest: if it makes no sense, or there is no such model.
        """
        method, path, headers, body = request.method, urlsplit(request.url).path, request.headers, request.body
        if self._generating is not None:
            return counted(path, body) or listed(method, path, headers, body, [self._generating.name], others=True)
        if self._cassette is None or _target(request.url) in self._known(self._cassette):
            return None
        return counted(path, body) or listed(method, path, headers, body, self._names)

    def address(self, lookup: Lookup, host: str) -> str:
        """Return the URL of a lookup: of its vendor, or, where a cassette does not tell of which, of this server."""
        here = f"http://{host}{lookup.version}{lookup.tail}"
        recorded = frozenset() if self._cassette is None else self._known(self._cassette)
        return here if _target(here) in recorded and _target(lookup.url) not in recorded else lookup.url

    def _known(self, cassette: Cassette) -> frozenset[str]:
        if self._recorded is None:
            self._names = _models_of(cassette)
            self._recorded = frozenset([_target(one.request.url) for one in cassette.http])
        return self._recorded


def counted(path: str, body: bytes) -> JsonObject | None:
    """Return the answer to a client that asks how many tokens a prompt has; None if it asks something else.

    Args:
        path: with any prefix, without its query.
        body: of the request.

    Raises:
        InvalidRequest: if there is no such prompt.

    Example:
        >>> counted("/v1/responses/input_tokens", b'{"model": "m", "input": "Hi."}')["object"]
        'response.input_tokens'
    """
    if path.endswith("/messages/count_tokens"):
        return {"input_tokens": _tokens("anthropic-messages", decoded(body))}
    if path.endswith("/responses/input_tokens"):
        return {"object": "response.input_tokens", "input_tokens": _tokens("openai-responses", decoded(body))}
    if path.endswith(":countTokens"):
        asked = decoded(body)
        return {"totalTokens": _tokens("gemini", asked.get("generateContentRequest", asked))}
    return None


def _tokens(protocol: str, body: JsonObject) -> int:
    return count_tokens(DIALECTS[protocol].read(body))


def _target(url: str) -> str:
    return compared_url(url).partition("?")[0]


def _models_of(cassette: Cassette) -> list[str]:
    """Return the models that were asked."""
    return list(dict.fromkeys([name for one in cassette.http if (name := _model_of(one))]))


def _model_of(one: HttpInteraction) -> str | None:
    call = call_of(one.request.url.partition("?")[0])
    if call is None or call.model is not None:
        return None if call is None else call.model
    try:
        name = decoded(one.request.body.data).get("model")
    except InvalidRequest:
        return None
    return name if isinstance(name, str) else None


def listed(
    method: str, path: str, headers: Mapping[str, str], body: bytes, names: Sequence[str], *, others: bool = False
) -> JsonObject | None:
    """Return the answer to a request for the models, or for one of them; None for any other request.

    Args:
        method: of the request.
        path: with any prefix, without its query.
        headers: by lower-case name; they tell Google's clients.
        body: of the request.
        names: the models that there are.
        others: whether a model is answered by any name.

    Raises:
        InvalidRequest: with status 404 if there is no such model.

    Example:
        >>> listed("GET", "/v1/models", {}, b"", ["gpt-4o"])["data"][0]["id"]
        'gpt-4o'
        >>> listed("GET", "/v1beta/models/gemini-2.5-flash", {}, b"", [], others=True)["displayName"]
        'gemini-2.5-flash'
    """
    if method == "POST" and path.endswith("/api/show"):
        asked = decoded(body)
        name = asked.get("model") or asked.get("name")
        return _shown(_known(str(name), names, others=others))
    if method != "GET":
        return None
    if path.endswith("/api/version"):
        return {"version": _OLLAMA}
    if path.endswith("/api/ps"):
        return {"models": []}
    if path.endswith("/api/tags"):
        return {"models": [_tagged(name) for name in names]}
    found = _MODELS.fullmatch(path.rstrip("/"))
    if found is None:
        return None
    googles = any(name in headers for name in _GOOGLE) or _GOOGLES.fullmatch(path) is not None
    if found["name"] is None:
        return {"models": [_google(name) for name in names]} if googles else _all(names, _own(headers))
    name = unquote(found["name"])
    name = _known(name, names, others=others)
    return _google(name) if googles else {**_entry(name), **_own(headers)}


def _known(name: str, names: Sequence[str], *, others: bool) -> str:
    """Return the name of a model.

    Raises:
        InvalidRequest: if there is no such model.
    """
    plain = name.removesuffix(":latest")  # which Ollama's clients add
    found = next((one for one in (name, plain) if one in names), None)
    if found is None and not others:
        msg = f"there is no model {name!r:.100} here; there are: {', '.join(map(repr, names)) or 'none'}"
        raise InvalidRequest(msg, status=404, parameter="model", code="model_not_found")
    return found or name


def _own(headers: Mapping[str, str]) -> JsonObject:
    """Return the fields of a model that a client wants otherwise than all others: Mistral's has kinds of its own."""
    if not headers.get("user-agent", "").startswith(_MISTRAL):
        return {}
    return {"type": "base", "capabilities": {"completion_chat": True, "function_calling": True, "vision": True}}


def _entry(name: str) -> JsonObject:
    """Return a model in the words of OpenAI, of Anthropic and of Cohere: each client looks for its own."""
    openai = {"id": name, "object": "model", "created": 0, "owned_by": "mellite"}
    anthropic = {"type": "model", "display_name": name, "created_at": _LONG_AGO}
    return {**openai, **anthropic, "name": name, "endpoints": ["chat"]}


def _all(names: Sequence[str], own: JsonObject) -> JsonObject:
    entries = [{**_entry(name), **own} for name in names]
    first, last = (names[0], names[-1]) if names else (None, None)
    return {
        "object": "list",
        "data": entries,
        "has_more": False,
        "first_id": first,
        "last_id": last,
        "models": [{"name": name, "endpoints": ["chat"]} for name in names],
    }


def _google(name: str) -> JsonObject:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "version": "", "supportedGenerationMethods": methods}


def _tagged(name: str) -> JsonObject:
    """Return a model as Ollama lists it."""
    return {"name": name, "model": name, "modified_at": _LONG_AGO, "size": 0, "digest": "", "details": _details()}


def _shown(name: str) -> JsonObject:
    """Return a model as Ollama shows it."""
    return {
        "modelfile": f"FROM {name}",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details(),
        "model_info": {"general.architecture": "mellite"},
        "capabilities": ["completion", "tools", "vision", "thinking"],
        "modified_at": _LONG_AGO,
    }


def _details() -> JsonObject:
    words = ("parent_model", "format", "family", "parameter_size", "quantization_level")
    return {**dict.fromkeys(words, ""), "families": []}
