"""Leave out of a request what a client varies between equal runs of a program.

Two runs of a coding agent send the same messages with other session ids, cache keys and item ids; two clients of one
service send the same request with other headers. None of that changes the answer, so none of it is compared where
requests come from other people's clients: what `mellite.cassettes.patch` has recorded, and what a local server
answers from a cassette. Everything here is a function of values, and changes none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Final, cast
from urllib.parse import quote

from ...values.provider_json import Json, JsonObject
from ..secrets.redaction import REDACTED

__all__ = ["steady_body", "steady_headers", "steady_text", "steady_url"]

#: Fields at the top of a body that say who asks, or how the answer is delivered or kept, but not what is asked.
_FIELDS: Final = frozenset(
    {
        "anthropic_version",
        "cache_control",  # the bill again, for the whole prompt
        "client_metadata",
        "modelId",  # which stands in the path
        "prompt_cache_key",
        "safety_identifier",
        "store",
        "stream_options",
        "user",
    }
)

#: What a part of a prompt says of the provider's cache: it changes the bill, and not the answer.
_MARK: Final = "cache_control"
_POINT: Final = "cachePoint"  # the same, as a block of its own

#: Versions of an API in a path: releases of a client differ in the one that they ask for.
_VERSION_IN_PATH: Final = re.compile(r"/v\d+(?:alpha|beta)\d*/")

#: Fields of ``metadata`` at the top of a body.
_METADATA: Final = frozenset({"user_id"})

#: Names of headers that are never compared: keys, versions of an API, and what a client says of itself.
_HEADERS: Final = frozenset(
    [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "api-key",
        "authorization",
        "baggage",
        "connection",
        "content-length",
        "cookie",
        "date",
        "dnt",
        "expect",
        "forwarded",
        "host",
        "http-referer",
        "idempotency-key",
        "keep-alive",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "openai-version",
        "origin",
        "originator",
        "pragma",
        "priority",
        "proxy-authorization",
        "referer",
        "sentry-trace",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "user-agent",
        "version",
        "via",
        "x-api-key",
        "x-app",
        "x-goog-api-client",
        "x-goog-api-key",
        "x-goog-user-project",
        "x-title",
    ]
)

#: Parts of the names of such headers.
_HEADER_PARTS: Final = re.compile(
    r"^(x-stainless-|x-amz-|amz-sdk-|x-amzn-|sec-|cf-|x-forwarded-|x-ms-client-|x-msh-|x-codex-|helicone-)"
    r"|session|request-?id|trace|correlation|conversation|api-?version|token|client-(?:name|version)|user-?id"
)

#: What Codex tells first of a command that it has run, of which the number and the time are others each time.
_TOLD: Final = re.compile(r"(?:(?!Output:)[A-Z][^\n]{0,100}\n){0,8}Output:(?:\n|\Z)")
_TOLD_OTHERWISE: Final = re.compile(r"(?m)^(?:Chunk ID: [0-9a-f]+|Wall time: [0-9.]+ seconds)\n")

#: The day on which a coding agent was started, as Codex, and as opencode and Claude Code tell it to the model.
_DAY: Final = re.compile(
    r"(<current_date>)\d{4}-\d\d-\d\d(?=</current_date>)"
    r"|(Today's date: )(?:\d{4}-\d\d-\d\d|[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d? \d{4})(?=\s*</env>)"
    r"|(\A# Environment\n(?s:.*)\n\nToday's date is )\d{4}-\d\d-\d\d(?=\.\Z)"
)
_TELLS_DAY: Final = ("</current_date>", "</env>", "# Environment")

#: Where Claude Code tells which branch, changes and commits a repository has; each run leaves others behind.
_REPOSITORY: Final = "This is the git status at the start of the conversation."
_COMMITS: Final = "\n\nRecent commits:\n"

_BOUNDARY: Final = re.compile(r"--([0-9A-Za-z'()+_,./:=? -]{1,70})\r?\n")
_SECRET_VALUE: Final = "=" + quote(REDACTED, safe="")


def steady_body(value: Json) -> Json:
    """Return the JSON of a request's body without what differs between equal runs of a client.

    Left out are ``prompt_cache_key``, ``client_metadata``, ``metadata.user_id``, ``user``, ``safety_identifier``,
    ``store``, ``stream_options``, the version of an API, marks for the provider's cache, and the ids of items in
    ``input``, but those that an ``item_reference`` refers to. ``"stream": false`` is the default, as is
    ``"strict": false`` of a tool, and a message of one text is that text. Of what Codex tells of a command that it has
    run, the number of the output and the time that it took are left out, and so is the day that agents tell in
    ``<current_date>`` or at the end of what they tell of the machine, and the state of the repository in which Claude
    Code was started.

    Example:
        >>> steady_body({"model": "m", "prompt_cache_key": "run-7", "metadata": {"user_id": "u"}, "stream": False})
        {'model': 'm'}
        >>> steady_body({"input": [{"type": "message", "id": "msg_1", "role": "user", "content": "Hi"}]})
        {'input': [{'role': 'user', 'content': 'Hi'}]}
    """
    if not isinstance(value, dict):
        return value
    body = cast("JsonObject", value)
    steady = {name: field for name, field in body.items() if name not in _FIELDS}
    metadata = steady.get("metadata")
    if isinstance(metadata, dict):
        steady["metadata"] = {
            name: field for name, field in cast("JsonObject", metadata).items() if name not in _METADATA
        }
    for name in ("metadata", "generationConfig"):
        if steady.get(name, True) in ({}, None):
            del steady[name]
    if steady.get("stream") is False:
        del steady["stream"]
    for name in ("messages", "input", "system"):
        if name in steady:
            steady[name] = _steady_messages(steady[name], name)
    if isinstance(steady.get("tools"), list):
        steady["tools"] = [_steady_tool(one) for one in steady["tools"]]
    return steady


def _steady_tool(tool: Json) -> Json:
    """Return a tool without what is said of the cache, and without the default of ``strict``."""
    if not isinstance(tool, dict):
        return tool
    steady = _unmarked(cast("JsonObject", tool))
    if steady.get("strict") is False:
        steady = {name: field for name, field in steady.items() if name != "strict"}
    if isinstance(steady.get("function"), dict):
        steady = {**steady, "function": _steady_tool(steady["function"])}
    if isinstance(steady.get("functionDeclarations"), list):  # of Google, who writes types large or small
        steady = {**steady, "functionDeclarations": _steady_types(steady["functionDeclarations"])}
    return steady


def _steady_types(value: Json, name: str = "") -> Json:
    """Return a schema with the names of types in lower case."""
    if isinstance(value, list):
        return [_steady_types(one) for one in value]
    if isinstance(value, dict):
        fields = cast("JsonObject", value)
        if name == "properties":  # what is called type here is not a type
            return {field: _steady_types(one) for field, one in fields.items()}
        return {field: _steady_types(one, field) for field, one in fields.items()}
    return value.lower() if name == "type" and isinstance(value, str) else value


def _unmarked(item: JsonObject) -> JsonObject:
    return {name: field for name, field in item.items() if name != _MARK} if _MARK in item else item


def _steady_messages(value: Json, name: str) -> Json:
    """Return messages or items without their ids, each in its shortest form."""
    if name == "system":
        return _plain(_in_texts(_undated, value))
    if name == "input" and isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    return [_steady_item(cast("JsonObject", one), name) if isinstance(one, dict) else one for one in value]


def _steady_item(item: JsonObject, name: str) -> JsonObject:
    kind = item.get("type")
    steady = {**item}
    if name == "input" and kind != "item_reference":
        steady.pop("id", None)
        if kind == "message":
            del steady["type"]
        if "output" in steady:
            steady["output"] = _in_texts(_undated_output, steady["output"])
    if "content" in steady:
        steady["content"] = _plain(_in_texts(_undated, steady["content"]))
    return steady


def _in_texts(change: Callable[[str], str], content: Json) -> Json:
    """Return a content with its texts changed, be it one text or parts."""
    if isinstance(content, str):
        return change(content)
    if not isinstance(content, list):
        return content
    return [
        {**part, "text": change(part["text"])} if isinstance(part, dict) and isinstance(part.get("text"), str) else part
        for part in content
    ]


def _undated(text: str) -> str:
    if _REPOSITORY in text:
        text = _without_repository(text)
    return _DAY.sub(r"\1\2\3", text) if any(mark in text for mark in _TELLS_DAY) else text


def _without_repository(text: str) -> str:
    """Return a text without branch, changes and commits of a repository: from the mark to behind the last commit."""
    begin = text.index(_REPOSITORY)
    commits = text.find(_COMMITS, begin)
    if commits < 0:
        return text
    ends = [at for mark in ("\n\n", "\n</") if (at := text.find(mark, commits + len(_COMMITS))) >= 0]
    return text[:begin] + (text[min(ends) :] if ends else "")


def _undated_output(text: str) -> str:
    found = _TOLD.match(text)
    return text if found is None else _TOLD_OTHERWISE.sub("", found[0]) + text[found.end() :]


def _plain(content: Json) -> Json:
    """Return the text of a content that is one text, and nothing more; any other content without marks."""
    if isinstance(content, list):
        content = [_unmarked(cast("JsonObject", part)) if isinstance(part, dict) else part for part in content]
        content = [part for part in content if not (isinstance(part, dict) and [*part] == [_POINT])]
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = cast("JsonObject", content[0])
        if part.keys() == {"type", "text"} and isinstance(part["text"], str) and part["type"] in ("text", "input_text"):
            return part["text"]
    return content


def steady_text(text: str) -> str:
    """Return a body that is not JSON without the random boundary of its parts, if it has parts."""
    found = _BOUNDARY.match(text)
    return text if found is None else text.replace(found[1], "boundary")


def steady_headers(headers: Mapping[str, str], *, wanted: Collection[str] = ()) -> dict[str, str]:
    """Return the headers that say something of what is asked; of a content type its media type.

    Args:
        headers: by lower-case name.
        wanted: names that are compared whatever they are, because somebody has asked for it.

    Example:
        >>> steady_headers({"content-type": "text/plain; charset=utf-8", "x-stainless-lang": "js", "x-tenant": "a"})
        {'content-type': 'text/plain', 'x-tenant': 'a'}
    """
    steady = {name: value for name, value in headers.items() if name in wanted or not _varies(name)}
    if "content-type" in steady:
        steady["content-type"] = steady["content-type"].partition(";")[0].strip().lower()
    return steady


@lru_cache(maxsize=256)
def _varies(name: str) -> bool:
    return name in _HEADERS or _HEADER_PARTS.search(name) is not None


def steady_url(url: str) -> str:
    """Return a redacted URL without secret parameters, which others send in a header, and previews of a version.

    Example:
        >>> steady_url("https://example.com/v1beta/models?key=%5BREDACTED%5D&alt=sse")
        'https://example.com/v1/models?alt=sse'
    """
    path, question, query = url.partition("?")
    path = _VERSION_IN_PATH.sub("/v1/", path, count=1)
    if _SECRET_VALUE not in query:
        return f"{path}{question}{query}"
    kept = "&".join([pair for pair in query.split("&") if not pair.endswith(_SECRET_VALUE)])
    return f"{path}{question}{kept}" if kept else path
