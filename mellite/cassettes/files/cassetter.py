"""Turn cassettes of the recorder cassetter, in YAML or TOML, into the shape of VCR.py's, which is then read.

As found in files of cassetter 0.16.1: bodies are ``{type: json|text|binary|none, content}``, with bytes in hexadecimal;
in TOML they are ``body_type`` and ``body_content``, with JSON as a text. The interactions of a file are sorted by their
methods and URLs, not by time.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any, Final, NoReturn, Protocol, cast

from ...values.errors import InvalidCassette

__all__ = ["Refuse", "as_json", "decode_toml", "from_cassetter", "is_cassetter"]


class Refuse(Protocol):
    """A function that raises the error for a value that is not as expected."""

    def __call__(self, where: str, wanted: str, found: object, /) -> NoReturn:
        """Raise the error: where the value is, what was expected there, and what was found."""
        ...


_KINDS: Final = "'json', 'text', 'binary' or 'none'"
_BODY_FIELDS: Final = frozenset({"type", "content"})


def decode_toml(data: bytes, *, path: str | None = None) -> dict[str, Any]:
    """Decode the TOML of cassetter's file.

    Raises:
        InvalidCassette: if the bytes are not TOML.
    """
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        name = "the cassette" if path is None else f"cassette {path!r}"
        msg = f"{name} is damaged: it is not TOML in UTF-8: {error!s:.200}"
        raise InvalidCassette(msg, path=path) from error


def is_cassetter(document: object) -> bool:
    """Whether a decoded file is cassetter's rather than VCR.py's.

    In cassetter's, the status of every answer is a number and its body has a type.

    Example:
        >>> is_cassetter({"interactions": [{"response": {"status": 200, "body": {"type": "none"}}}]})
        True
    """
    items = cast("dict[str, object]", document).get("interactions") if isinstance(document, dict) else None
    responses = [_fields(_fields(item).get("response")) for item in _list(items)]
    return bool(responses) and all(
        isinstance(one.get("status"), int) and ("type" in _fields(one.get("body")) or "body_type" in one)
        for one in responses
    )


def from_cassetter(document: dict[str, Any], refuse: Refuse) -> dict[str, Any]:
    """Return the document in VCR.py's shape, with its interactions in the order in which they were recorded.

    Args:
        document: a decoded file for which `is_cassetter` is true.
        refuse: raises the error for a body of an unknown type, or whose content is not of its type.
    """
    items = [
        _interaction(item, f"$.interactions[{number}]", refuse) for number, item in enumerate(document["interactions"])
    ]
    if all(isinstance(item.get("recorded_at"), str) for item in items):
        items.sort(key=lambda item: item["recorded_at"])
    return {**document, "interactions": items}


def _interaction(item: dict[str, Any], where: str, refuse: Refuse) -> dict[str, Any]:
    sides = {side: _side(_fields(item.get(side)), f"{where}.{side}", refuse) for side in ("request", "response")}
    return {**item, **sides}


def _side(fields: dict[str, Any], where: str, refuse: Refuse) -> dict[str, Any]:
    """Return a request or response with its body in VCR.py's shape."""
    rest = {name: value for name, value in fields.items() if name not in ("body", "body_type", "body_content")}
    if "body_type" in fields:
        kind, content = fields["body_type"], fields.get("body_content")
        if kind == "json" and isinstance(content, str):
            kind = "text"  # in TOML, JSON is kept as it was sent
    else:
        body = fields.get("body", {"type": "none"})
        unknown = _fields(body).keys() - _BODY_FIELDS
        if not isinstance(body, dict) or unknown:
            refuse(f"{where}.body", "the fields 'type' and 'content'", ", ".join(sorted(unknown)) or body)
        kind, content = body.get("type"), body.get("content")
    return {**rest, "body": _body(kind, content, f"{where}.body", refuse)}


def _body(kind: object, content: object, where: str, refuse: Refuse) -> dict[str, Any]:
    if kind == "none" and content is None:
        return {"string": ""}
    if kind == "text" and isinstance(content, str):
        return {"string": content}
    if kind == "binary" and isinstance(content, str):
        try:
            return {"string": bytes.fromhex(content)}
        except ValueError:
            refuse(where, "bytes in hexadecimal", "something else")
    if kind == "json":
        return {"string": as_json(content, where, refuse)}
    known = kind in ("none", "text", "binary")
    return refuse(where, f"the content of a body of type {kind!r}" if known else f"a body of type {_KINDS}", content)


def as_json(value: object, where: str, refuse: Refuse) -> str:
    """Return a value as compact JSON, escaped if it contains half of a surrogate pair, which UTF-8 cannot encode."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        refuse(where, "what JSON can say", type(value).__name__)
    return text


def _fields(item: object) -> dict[str, Any]:
    return cast("dict[str, Any]", item) if isinstance(item, dict) else {}


def _list(item: object) -> list[object]:
    return cast("list[object]", item) if isinstance(item, list) else []
