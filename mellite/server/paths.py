"""Tell by the path of a request which vendor's API is asked, whatever stands before it, and where the vendor has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from attrs import frozen

from ..values.empty import EMPTY

__all__ = ["Call", "Lookup", "call_of", "compared_url", "key_of", "lookup_of"]


@frozen(kw_only=True)
class Call:
    """A call of one vendor's API.

    Args:
        protocol: whose JSON it is, as in ``openai-chat``.
        url: where the vendor itself has it.
        target: the same for all paths that mean this call.
        model: the model, where the path names it.
        streams: whether the answer is streamed, where the path says it; None where the body does.
        form: ``array`` for a stream that is one JSON array, as Gemini's is unless events are asked for.
    """

    protocol: str
    url: str
    target: str
    model: str | None = None
    streams: bool | None = None
    form: str = ""


@frozen(kw_only=True)
class Lookup:
    """A question beside generations that vendors answer, as which models there are.

    Args:
        vendor: who is asked, as in ``openai``; empty where neither path nor headers tell.
        version: the version in the path, as in ``/v1``; empty for none.
        tail: what follows the version, with the query.
    """

    vendor: str
    version: str
    tail: str

    @property
    def url(self) -> str:
        """Where the vendor itself has it."""
        return f"{_HOSTS[self.vendor or 'openai']}{self.version}{self.tail}"


#: The end of a path -> the protocol, and where its vendor has it.
_TAILS: Final[Mapping[str, tuple[str, str]]] = {
    "/chat/completions": ("openai-chat", "https://api.openai.com/v1"),
    "/responses": ("openai-responses", "https://api.openai.com/v1"),
    "/messages": ("anthropic-messages", "https://api.anthropic.com/v1"),
    "/v2/chat": ("cohere-chat", "https://api.cohere.com"),
    "/api/chat": ("ollama-chat", "http://127.0.0.1:11434"),
}
_GOOGLE: Final = "https://generativelanguage.googleapis.com/v1beta"
_AMAZON: Final = "https://bedrock-runtime.us-east-1.amazonaws.com"

_GEMINI: Final = re.compile(
    r".*?/(?P<model>(?:models|tunedModels|endpoints)/[^/:]+):(?P<stream>g|streamG)enerateContent"
)
_CONVERSE: Final = re.compile(r".*?/model/(?P<model>[^/]+(?:/[^/]+)*?)/converse(?P<stream>-stream)?")
#: Where vendors answer lookups.
_HOSTS: Final[Mapping[str, str]] = {
    "anthropic": "https://api.anthropic.com",
    "cohere": "https://api.cohere.com",
    "google": "https://generativelanguage.googleapis.com",
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com",
}
_LOOKUPS: Final = re.compile(
    r".*?(?P<version>/v\d[a-z0-9]*)?"
    r"(?P<tail>/models(?:/.+)?|/messages/count_tokens|/responses/input_tokens|/api/(?:tags|show|ps|version))"
)
_GOOGLES: Final = re.compile(r".*/v1(?:alpha|beta)\d*/models(?:/.*)?|.*:countTokens")
_GOOGLE_HEADERS: Final = ("x-goog-api-key", "x-goog-api-client")

_KEY: Final = "key="
_VENDORS: Final = {url: vendor for vendor, url in _HOSTS.items()}
_URL: Final = re.compile(r"(?is)((?:https?|wss?)://[^/?#]*)?([^?#]*)(?:\?([^#]*))?.*")


def call_of(path: str, query: str = "") -> Call | None:
    """Return the call that a path means; None if it means none.

    Args:
        path: the path, percent-encoded, with any prefix.
        query: what follows the ``?``.

    Example:
        >>> call_of("/openai/v1/chat/completions").protocol, call_of("/chat/completions").url
        ('openai-chat', 'https://api.openai.com/v1/chat/completions')
        >>> call_of("/v1beta/models/gemini-2.5-flash:streamGenerateContent", "alt=sse").model
        'gemini-2.5-flash'
    """
    path = path.rstrip("/")
    for tail, (protocol, base) in _TAILS.items():
        if path.endswith(tail):
            return Call(protocol=protocol, url=f"{base}{tail}", target=f"{protocol}:{tail}")
    found = _GEMINI.fullmatch(path)
    if found is not None:
        return _gemini(found, query)
    found = _CONVERSE.fullmatch(path)
    if found is None:
        return None
    model, streams = found["model"], found["stream"] is not None
    tail = f"/model/{model}/converse{'-stream' if streams else ''}"
    target = f"bedrock-converse:{unquote(tail)}"
    named = unquote(model)
    return Call(protocol="bedrock-converse", url=f"{_AMAZON}{tail}", target=target, model=named, streams=streams)


def _gemini(found: re.Match[str], query: str) -> Call:
    model, streams = found["model"], found["stream"] == "streamG"
    events = "alt=sse" in query.split("&")
    tail = f"/{model}:{found['stream']}enerateContent"
    said = "?alt=sse" if streams and events else ""
    return Call(
        protocol="gemini",
        url=f"{_GOOGLE}{tail}{said}",
        target=f"gemini:{unquote(tail)}{said}",
        model=unquote(model).removeprefix("models/"),
        streams=streams,
        form="array" if streams and not events else "",
    )


def lookup_of(path: str, query: str = "", headers: Mapping[str, str] = EMPTY) -> Lookup | None:
    """Return what a path looks up; None if it is nothing of the kind.

    Args:
        path: the path, percent-encoded, with any prefix.
        query: what follows the ``?``.
        headers: by lower-case name: OpenAI, Anthropic, Cohere and Google have the same path for their models.

    Example:
        >>> lookup_of("/v1/models/claude-opus-4-8", headers={"anthropic-version": "2023-06-01"}).url
        'https://api.anthropic.com/v1/models/claude-opus-4-8'
        >>> lookup_of("/any/prefix/api/tags").vendor, lookup_of("/v1/embeddings")
        ('ollama', None)
    """
    path = path.rstrip("/")
    found = _LOOKUPS.fullmatch(path)
    if found is None or any(unquote(part) in (".", "..") for part in found["tail"].split("/")):
        return None
    tail, version = found["tail"], found["version"] or ""
    if tail.startswith("/api/"):
        vendor = "ollama"
    elif any(name in headers for name in _GOOGLE_HEADERS) or _GOOGLES.fullmatch(path) or key_of(query):
        vendor = "google"
    elif "anthropic-version" in headers or tail == "/messages/count_tokens":
        vendor = "anthropic"
    elif headers.get("x-fern-sdk-name") == "cohere":
        vendor = "cohere"
    else:
        vendor = "openai" if headers or tail == "/responses/input_tokens" else ""
    query = "&".join([pair for pair in query.split("&") if not pair.startswith(_KEY)])
    return Lookup(vendor=vendor, version=version, tail=f"{tail}?{query}" if query else tail)


def key_of(query: str) -> str:
    """Return the key that clients of Google may have in the query; empty for none.

    Example:
        >>> key_of("alt=sse&key=made-up")
        'made-up'
    """
    return next((unquote(pair[len(_KEY) :]) for pair in query.split("&") if pair.startswith(_KEY)), "")


def compared_url(url: str) -> str:
    """Return what is compared of a URL: the call it means, or its path and query, where it means none.

    Example:
        >>> compared_url("https://api.groq.com/openai/v1/chat/completions?x=1")
        'openai-chat:/chat/completions'
    """
    found = _URL.fullmatch(url)
    if found is None:
        return url
    host, path, query = found[1] or "", found[2] or "/", found[3] or ""
    call = call_of(path, query)
    if call is not None:
        return call.target
    lookup = lookup_of(path, query)
    if lookup is not None:
        return f"{_VENDORS.get(host.lower(), lookup.vendor)}:{lookup.tail}"
    return f"{path}?{query}" if query else path
