"""Read what an error body says, in whatever shape: message, code, status, parameter, how long to wait."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

from attrs import frozen

from ..values.provider_json import Json
from ..values.type_names import a_type_name

__all__ = ["Trouble", "excerpt", "is_answer", "is_error", "is_status", "read", "seconds"]

_LONGEST: Final = 2000  # characters of a provider's message
_LONGEST_EXCERPT: Final = 300
_LONGEST_WAIT: Final = 7 * 24 * 3600.0  # seconds; more is not to be believed
_STATUSES: Final = range(400, 600)
_DEEPEST: Final = 4  # errors inside of errors that are looked at
_LONGEST_JSON: Final = 20_000  # characters of an error inside a text
_NOTHING: Final = ("", "None", "null", "error")  # codes that say nothing; LiteLLM writes None as text

#: Where the message stands, in order. OpenAI and most; FastAPI; OAuth; MiniMax; RFC 9457; AWS and .NET.
_MESSAGES: Final = (
    "message", "detail", "details", "error_description", "status_msg", "msg", "error_message", "errorMessage",
    "error_msg", "Message", "description", "reason", "title",
)  # fmt: skip
#: Where a code stands, in order.
_CODES: Final = ("code", "type", "status", "error_code", "errorCode", "error_type", "__type")
#: Where an HTTP status stands, in order.
_STATUS_FIELDS: Final = (
    "code", "status_code", "statusCode", "http_status", "http_status_code", "raw_status_code", "http_code", "status",
    "type",
)  # fmt: skip
#: A status, alone or in words: ``503``, ``HTTP 429``, ``503 Service Unavailable``.
_STATUS: Final = re.compile(r"(?:HTTP(?:/\d(?:\.\d)?)?[ :])?([45]\d\d)(?=[ :]|$)", re.IGNORECASE | re.ASCII)
_FAILING: Final = re.compile(r"error|exception|fault|fail|invalid|exceed|denied|unavailable|quota|limit", re.IGNORECASE)


@frozen(kw_only=True)
class Trouble:
    """The content of an error answer, whatever its shape.

    Args:
        message: in the provider's own words; empty if there are none.
        code: its code and its type, in lower case, with a space between them.
        status: the HTTP status, or what the body says it is; None if unknown.
        parameter: the part of the request that it complains about.
        wait: how long to wait, in seconds, where the body says so.
        request_id: the provider's id of the request, where the body says it.
        numbers: the codes that are numbers sent as text, and MiniMax's, as in ``("minimax", "1008")``.
        excerpt: a piece of the body, where there is no message.
    """

    message: str = ""
    code: str = ""
    status: int | None = None
    parameter: str | None = None
    wait: float | None = None
    request_id: str | None = None
    numbers: tuple[tuple[str, str], ...] = ()
    excerpt: str = ""

    @property
    def text(self) -> str:
        """The whole error in lower case, to be searched."""
        return f"{self.code} {self.message}".lower()

    @property
    def is_clients(self) -> bool:
        """Whether the request may be at fault: no status, or 4xx."""
        return self.status is None or self.status // 100 == 4


def is_error(value: Mapping[str, Json], *, known: Collection[str] = (), whole: bool = False) -> bool:
    """Tell whether an object, sent in the place of an answer or of a part of one, is an error.

    Args:
        value: the decoded object.
        known: the fields of an answer. Where one of them holds an object or a list, only an explicit error counts.
        whole: whether it came in one piece, so that a message without a code is an error as well.

    Example:
        >>> is_error({"message": "The input is too long.", "code": 400}, known=("choices",))
        True
        >>> is_error({"choices": [{"delta": {"content": "Hi"}}], "error": None}, known=("choices",))
        False
    """
    if value.get("error") or value.get("type") == "error" or value.get("object") == "error":
        return True
    if "base_resp" in value and _minimax(value):
        return True
    if is_answer(value, known):
        return False
    if value.get("errors") or value.get("success") is False:
        return True
    if not any(isinstance(value.get(name), str) and value[name] for name in _MESSAGES) and "detail" not in value:
        return False
    return whole or isinstance(value.get("detail"), (str, list)) or _names_failure(value)


def _names_failure(value: Mapping[str, Json]) -> bool:
    """Tell whether a code or a status in an object is one of an error."""
    if _is_failing(value.get("code")):
        return True
    if any(is_status(value.get(name)) is not None for name in _STATUS_FIELDS):
        return True
    return any(isinstance(value.get(name), str) and _FAILING.search(value[name]) is not None for name in _CODES)


def is_answer(value: Mapping[str, Json], known: Collection[str]) -> bool:
    """Tell whether one of the fields of an answer, `known`, holds an object or a list."""
    for name in known:  # noqa: SIM110 - asked of every event, and `any` takes three times as long
        if name in value and value[name] and not isinstance(value[name], str):
            return True
    return False


def is_status(value: Json) -> int | None:
    """Return the HTTP error status that a field holds, as a number or as text; None if it holds something else.

    Example:
        >>> is_status("503"), is_status("HTTP 429"), is_status(429.0), is_status("1302")
        (503, 429, 429, None)
    """
    if isinstance(value, str):
        found = _STATUS.match(value)
        return None if found is None else int(found[1])
    return int(value) if isinstance(value, (int, float)) and value in _STATUSES else None


def _is_failing(code: Json) -> bool:
    """Tell whether a code is a number that servers give to errors alone, such as SiliconFlow's 50505."""
    return isinstance(code, int) and code >= _STATUSES.start


def read(value: Json, status: int | None) -> Trouble:
    """Take in what providers make of an error: an object, an object in an object, a list of them, or bare text.

    Args:
        status: the HTTP status, if it was one of an error.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return Trouble(message=_plain_text(value), status=status)
    if not isinstance(value, Mapping):
        return Trouble(status=status)
    fields = _flattened(value)
    if status is None or status // 100 == 2:
        status = next((number for name in _STATUS_FIELDS if (number := is_status(fields.get(name)))), None)
    details = _details(fields.get("details"))
    parameter = fields.get("param") or details.parameter
    words = [*[fields.get(name) for name in _CODES], *details.words]
    message = _said(fields)[:_LONGEST]
    litellm = re.match(r"litellm\.(\w+)", message)
    if litellm is not None:  # the class of its error, which tells more than its code
        words.append(litellm[1])
    return Trouble(
        message=message,
        code=" ".join([str(word) for word in words if _is_code(word, status)]).lower(),
        status=status,
        parameter=parameter if isinstance(parameter, str) and parameter not in _NOTHING else None,
        wait=details.wait,
        request_id=_request_id(fields),
        numbers=_numbers(value, fields),
        excerpt="" if message else excerpt(value),
    )


def _flattened(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the fields of an error; those of the objects inside say more and win."""
    inner: Json = value
    for _ in range(_DEEPEST):
        inner = _inner(inner)
        if isinstance(inner, Mapping):
            value = {**value, **inner}
        elif isinstance(inner, str):
            said = any(isinstance(value.get(name), str) and value[name] for name in _MESSAGES)
            return {"code": inner, **value} if said else {**value, "message": inner}
        else:
            break
    return value


def _inner(value: Mapping[str, Json]) -> Json:
    """Return the error inside an object, under any of its usual names; None if there is none."""
    for name in ("error", "errors", "base_resp", "message"):
        inner = value.get(name)
        if isinstance(inner, str):
            inner = _decoded(inner) or (inner if name == "error" else None)
        if isinstance(inner, list):
            inner = inner[0] if inner and name != "message" else None
        if inner and (name != "message" or isinstance(inner, Mapping)):
            return inner
    return None


def _decoded(text: str) -> Json:
    """Decode the error that a gateway passes on as text; None if the text is not JSON."""
    if text.lstrip()[:1] not in ("{", "[") or len(text) > _LONGEST_JSON:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_code(word: Json, status: int | None) -> bool:
    if not isinstance(word, (str, int)) or isinstance(word, bool) or word in _NOTHING:
        return False
    return is_status(word) is None or is_status(word) != status


def _minimax(value: Mapping[str, Json]) -> str | None:
    """Return the code in MiniMax's ``base_resp``; None if all is well."""
    base = value.get("base_resp")
    number = base.get("status_code") if isinstance(base, Mapping) else None
    return str(number) if isinstance(number, (int, str)) and number and number != "0" else None


def _numbers(value: Mapping[str, Json], fields: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    found = [("zai", word) for name in ("code", "type") if isinstance(word := fields.get(name), str) and word.isdigit()]
    minimax = _minimax(value)
    return (*([("minimax", minimax)] if minimax else []), *found)


def _request_id(fields: Mapping[str, Json]) -> str | None:
    for name in ("request_id", "requestId", "RequestId"):
        found = fields.get(name)
        if isinstance(found, str) and found:
            return found[:200]
    return None


@frozen(kw_only=True)
class _Details:
    words: tuple[str, ...] = ()
    parameter: str | None = None
    wait: float | None = None


def _details(given: Json) -> _Details:
    """Read what Google says beside the message: a reason, the quota that was hit, the field, how long to wait.

    https://cloud.google.com/apis/design/errors#error_details
    """
    words: list[str] = []
    parameter = wait = None
    for item in given if isinstance(given, list) else ():
        if not isinstance(item, Mapping):
            continue
        delay = item.get("retryDelay")
        if isinstance(delay, str):
            wait = seconds(delay.removesuffix("s"))
        rows = [item, *[row for name in ("violations", "fieldViolations") for row in _rows(item.get(name))]]
        for row in rows:
            parameter = parameter or row.get("field")
            words += [word for name in ("reason", "quotaId") if isinstance(word := row.get(name), str)]
    return _Details(words=tuple(words[:10]), parameter=parameter, wait=wait)


def _rows(given: Json) -> list[Mapping[str, Json]]:
    return [row for row in given if isinstance(row, Mapping)] if isinstance(given, list) else []


def _said(fields: Mapping[str, Json]) -> str:
    """Return the message, with the words of the provider behind a router, where they are passed on."""
    message = next((_worded(fields[name]) for name in _MESSAGES if _worded(fields.get(name))), "")
    metadata = fields.get("metadata")
    behind = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(behind, str) and behind and behind not in message:
        return f"{message}: {behind}"
    return message


def _worded(message: Json) -> str:
    """Return a message as text: FastAPI sends a list of what is wrong where, others an object."""
    if isinstance(message, list):  # [{"loc": [...], "msg": "field required"}]
        rows = [item.get("msg") if isinstance(item, Mapping) else item for item in message]
        return "; ".join([row for row in rows if isinstance(row, str)])
    if isinstance(message, Mapping):
        inner = next((message[name] for name in _MESSAGES if isinstance(message.get(name), str)), None)
        return inner or excerpt(message)
    return message if isinstance(message, str) else ""


def excerpt(value: Json) -> str:
    """Return the beginning of a body as it came, to be shown where its shape is unknown; empty if it is."""
    if not value:
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = f"{a_type_name(type(value))} nested too deeply to be shown"
    return text if len(text) <= _LONGEST_EXCERPT else f"{text[:_LONGEST_EXCERPT]}..."


def _plain_text(text: str) -> str:
    """Text that is not JSON, or the title of a web page."""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title is not None:
        text = title[1]
    elif text.startswith("<"):
        text = re.sub(r"<[^<>]{0,500}>", " ", text[: 4 * _LONGEST])
    return " ".join(text[: 4 * _LONGEST].split())[:_LONGEST]


def seconds(text: str) -> float | None:
    """Return the number of seconds that a text says; None if it says something else."""
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text.strip(), re.ASCII) is None:
        return None
    found = float(text)
    return found if found <= _LONGEST_WAIT * 1000 else None
