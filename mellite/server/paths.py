"""Tell by the path of a request which vendor's API is asked, whatever stands before it, and where the vendor has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from attrs import frozen

__all__ = ["Call", "call_of", "compared_url"]


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
_URL: Final = re.compile(r"(?is)(?:(https?|wss?)://[^/?#]*)?([^?#]*)(?:\?([^#]*))?.*")


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


def compared_url(url: str) -> str:
    """Return what is compared of a URL: the call it means, or its path and query, where it means none.

    Example:
        >>> compared_url("https://api.groq.com/openai/v1/chat/completions?x=1")
        'openai-chat:/chat/completions'
    """
    found = _URL.fullmatch(url)
    if found is None:
        return url
    path, query = found[2] or "/", found[3] or ""
    call = call_of(path, query)
    if call is not None:
        return call.target
    return f"{path}?{query}" if query else path
