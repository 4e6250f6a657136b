"""Read the results of batches: of OpenAI and those who have its API, Anthropic, Gemini, Vertex AI and Bedrock.

A line has an answer and an id; what was asked stands in the file that was sent, which is looked for beside the results.
Vertex AI and Bedrock repeat it. Lines are paired by id, never by their order.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from ...cassettes.files.vcr import Imported
from ...protocols.error_words import ANTHROPIC_STATUSES
from ...providers import anthropic, google, openai
from ...values.errors import InvalidCassette
from ...values.provider_json import Json, JsonObject
from .batch_requests import Requests, requests_beside
from .calls import add_exchange, base_url_of, provider_of
from .exchanges import Exchanges
from .source import Places, Source, decode

__all__ = ["read", "recognizes"]

_GEMINI: Final = f"{google.BASE_URL}/v1beta/models/"
_BEDROCK: Final = "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
_MESSAGES: Final = f"{anthropic.BASE_URL}/messages"

_SNAKE: Final = re.compile(r"_([a-z0-9])")

#: Fields of a request of Gemini's below which names are the caller's own.
_OWN_NAMES: Final = frozenset({"args", "labels", "parametersJsonSchema", "response", "responseJsonSchema"})


def recognizes(source: Source) -> bool:
    """Whether a file is the results of a batch, by its first line."""
    if source.is_binary:
        return False
    try:
        first = next(_lines(source), None)
    except InvalidCassette:
        return False
    return first is not None and _kind(first[1]) is not None


def _lines(source: Source) -> Iterator[tuple[int, Json]]:
    """Yield the JSON of each line that is not empty, with its number from 1 on."""
    for number, line in enumerate(io.BytesIO(source.data), 1):
        if line.strip():
            yield number, decode(line.strip(), path=source.path, where=f"line {number}")


def _kind(line: Json) -> str | None:
    """Return whose result a line is; None if it is none."""
    if not isinstance(line, dict):
        return None
    if "custom_id" in line and ("response" in line or ("error" in line and "body" not in line)):
        return "openai"
    if "custom_id" in line and isinstance(line.get("result"), dict):
        return "anthropic"
    if "recordId" in line and ("modelOutput" in line or "error" in line):
        return "bedrock"
    if isinstance(line.get("request"), dict) and ("response" in line or "status" in line):
        return "vertex"
    return "gemini" if "key" in line and ("response" in line or "error" in line) else None


def read(source: Source) -> Imported:
    """Read the results of a batch.

    Raises:
        InvalidCassette: if a line is damaged or no result, if two files beside it hold different requests for one id,
            or if nothing in it can be replayed.
    """
    places = Places(source.path, "result file of a batch")
    found = Exchanges(places)
    if source.is_binary:
        places.refuse("$", "lines of JSON", "something else")
    wanted = {str(line[name]) for _, line in _lines(source) if isinstance(line, dict) for name in _ids(line)}
    requests = requests_beside(source.path, wanted)
    for number, line in _lines(source):
        where = f"line {number}"
        kind = _kind(line)
        if kind is None:
            places.refuse(where, "the result of a call", line)
        _READERS[kind](found, line, requests, where)
    found.say("that it was a batch: ids, states, and the host where it ran, which no file says")
    if requests.paths:
        found.say(f"the file of requests beside it is {', '.join(map(os.path.basename, requests.paths))}")
    return found.imported()


def _ids(line: JsonObject) -> list[str]:
    return [name for name in ("custom_id", "key") if name in line and "request" not in line]


def _openai(found: Exchanges, line: JsonObject, requests: Requests, where: str) -> None:
    answer = line.get("response")
    if not isinstance(answer, dict):
        error = line.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        found.skip(where, f"it was not answered ({code or 'it does not say why'})")
        return
    asked = requests.of(line["custom_id"])
    body = asked.get("body") if asked is not None else None
    if asked is None or not isinstance(body, dict):
        found.skip(where, _NO_REQUEST)
        return
    status = found.places.number(answer.get("status_code"), f"{where}.response.status_code")
    add_exchange(found, _url(asked, body), body, status, answer.get("body"))


_NO_REQUEST: Final = "no file beside it has the request of its id: put the file that was sent into the same folder"


def _url(asked: JsonObject, body: JsonObject) -> str:
    path = asked.get("url")
    if isinstance(path, str) and path.startswith("/"):
        return f"{openai.BASE_URL.removesuffix('/v1')}{'' if path.startswith('/v1') else '/v1'}{path}"
    return f"{base_url_of(provider_of('', str(body.get('model'))))}/chat/completions"


def _anthropic(found: Exchanges, line: JsonObject, requests: Requests, where: str) -> None:
    result = line["result"]
    kind = result.get("type")
    if kind not in ("succeeded", "errored"):
        found.skip(where, f"it was not answered ({kind})")
        return
    asked = requests.of(line["custom_id"])
    body = asked.get("params") if asked is not None else None
    if not isinstance(body, dict):
        found.skip(where, _NO_REQUEST)
        return
    if kind == "succeeded":
        message = found.places.fields(result.get("message"), f"{where}.result.message")
        add_exchange(found, _MESSAGES, body, 200, message)
        return
    error = found.places.fields(result.get("error"), f"{where}.result.error")
    inner = error.get("error")
    reason = inner.get("type") if isinstance(inner, dict) else None
    add_exchange(found, _MESSAGES, body, ANTHROPIC_STATUSES.get(str(reason), 500), error)


def _gemini(found: Exchanges, line: JsonObject, requests: Requests, where: str) -> None:
    asked = requests.of(line["key"])
    body = asked.get("request") if asked is not None else None
    if not isinstance(body, dict):
        found.skip(where, _NO_REQUEST)
        return
    _generated(found, body, line, where)


def _vertex(found: Exchanges, line: JsonObject, requests: Requests, where: str) -> None:  # noqa: ARG001 - it is in the line
    _generated(found, line["request"], line, where)


def _generated(found: Exchanges, asked: JsonObject, line: JsonObject, where: str) -> None:
    """Add a call of Gemini, whose model only the answer names."""
    answer = line.get("response")
    if not isinstance(answer, dict) or not answer.get("candidates"):
        found.skip(where, "it was not answered")
        return
    body = {_camel(name): _camelled(name, value) for name, value in asked.items()}
    model = str(body.pop("model", None) or answer.get("modelVersion") or "unknown").removeprefix("models/")
    add_exchange(found, f"{_GEMINI}{quote(model, safe='', errors='replace')}:generateContent", body, 200, answer)


def _camel(name: str) -> str:
    """Return a name as JSON has it: Google takes both ways of writing.

    Example:
        >>> _camel("system_instruction")
        'systemInstruction'
    """
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def _camelled(name: str, value: Json) -> Json:
    """Return a value with the names of its fields as JSON has them, but for those that are the caller's own."""
    if isinstance(value, list):
        return [_camelled(name, item) for item in value]
    if not isinstance(value, dict) or _camel(name) in _OWN_NAMES:
        return value
    if name == "properties":
        return {own: _camelled("", schema) for own, schema in value.items()}
    return {_camel(inner): _camelled(inner, item) for inner, item in value.items()}


def _bedrock(found: Exchanges, line: JsonObject, requests: Requests, where: str) -> None:  # noqa: ARG001 - it is in the line
    asked, answer = line.get("modelInput"), line.get("modelOutput")
    if not isinstance(answer, dict):
        error = line.get("error")
        code = error.get("errorCode") if isinstance(error, dict) else None
        found.skip(where, f"it was not answered ({code or 'it does not say why'})")
        return
    if not isinstance(asked, dict):
        found.skip(where, "what was asked is not in it")
        return
    model = str(answer.get("model") or "unknown")
    if answer.get("type") == "message":
        body = {"model": model, **{name: value for name, value in asked.items() if name != "anthropic_version"}}
        found.say("that Bedrock was asked: the calls of Claude are written as if Anthropic was")
        add_exchange(found, _MESSAGES, body, 200, answer)
    elif isinstance(answer.get("output"), dict) and "messages" in asked:
        found.say("the model, which no file says: it is called 'unknown'")
        add_exchange(found, f"{_BEDROCK}unknown/converse", asked, 200, answer)
    elif answer.get("object") == "chat.completion":
        found.say("that Bedrock was asked: it is written as if OpenAI was")
        add_exchange(found, f"{openai.BASE_URL}/chat/completions", {"model": model, **asked}, 200, answer)
    else:
        found.skip(where, "it is in the model's own format, which is not known")


_READERS: Final = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "gemini": _gemini,
    "openai": _openai,
    "vertex": _vertex,
}
