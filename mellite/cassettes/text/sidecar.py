"""The file beside a text cassette: the call, the chunks of the answer, the tokens used and how it ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from attrs import field, frozen

from ...values.empty import EMPTY
from ...values.errors import InvalidCassette, InvalidRequest
from ...values.messages import ToolCall
from ...values.public_names import publish
from ...values.usage import GIVEN_COUNTS, Usage
from ..bodies import decode_json

__all__ = ["Sidecar", "call_bytes", "call_digest", "encode_sidecar", "read_sidecar"]


def call_digest(provider: str, model: str, prompt: str) -> str:
    """Return the SHA-256 of provider, model and prompt with zero bytes between them, in hexadecimal.

    Example:
        >>> call_digest("openai", "", "Say hello.")[:16]
        'c8dbfbda2d4b0187'
    """
    return hashlib.sha256(call_bytes(provider, model, prompt)).hexdigest()


def call_bytes(provider: str, model: str, prompt: str) -> bytes:
    """Return the bytes that key and digest are made of. A lone surrogate becomes the three bytes UTF-8 would have.

    Raises:
        InvalidRequest: if one of them is not a str.
    """
    call: tuple[object, ...] = (provider, model, prompt)
    if not all(isinstance(item, str) for item in call):
        given = ", ".join([type(item).__name__ for item in call])
        msg = f"provider, model and prompt of a text cassette are str, not {given}"
        raise InvalidRequest(msg)
    return f"{provider}\0{model}\0{prompt}".encode(errors="surrogatepass")


@frozen
class Sidecar:
    """What mellite stores beside a text cassette: the call, the chunks of the answer, the tokens used.

    Args:
        provider: the provider that answered.
        model: its model; empty for the provider's default.
        prompt: what was asked; see `mellite.cassettes.text.rendering` for more than one message.
        sha256: the digest of the three, see `call_digest`.
        chunks: the answer in the pieces in which it came; None if they were not recorded.
        usage: the tokens used.
        tool_calls: the tool calls of the answer, which the text cannot hold.
        finish_reason: why the answer ended, in mellite's words; None stands for ``stop``.
        refusal: the model's words when it declined.
        response_model: the model that answered, as the provider says.
        extra: keys of the file that mellite does not know.
    """

    provider: str
    model: str
    prompt: str = field(kw_only=True)
    sha256: str | None = field(default=None, kw_only=True)
    chunks: tuple[str, ...] | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    tool_calls: tuple[ToolCall, ...] = field(default=(), kw_only=True)
    finish_reason: str | None = field(default=None, kw_only=True)
    refusal: str | None = field(default=None, kw_only=True)
    response_model: str | None = field(default=None, kw_only=True)
    extra: Mapping[str, Any] = field(default=EMPTY, kw_only=True)

    @property
    def call(self) -> tuple[str, str, str]:
        """Provider, model and prompt."""
        return self.provider, self.model, self.prompt


# --- writing --------------------------------------------------------------------------------------


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """Encode a sidecar as its file: JSON, indented by two, with a newline at the end.

    Raises:
        InvalidCassette: if something in it is not JSON.

    Example:
        >>> read_sidecar(encode_sidecar(Sidecar("openai", "", prompt="Hi")), "1.json").prompt
        'Hi'
    """
    values: dict[str, Any] = {
        "provider": sidecar.provider,
        "model": sidecar.model,
        "prompt": sidecar.prompt,
        "sha256": sidecar.sha256 or call_digest(*sidecar.call),
        "chunks": None if sidecar.chunks is None else list(sidecar.chunks),
        "usage": None if sidecar.usage is None else _counts(sidecar.usage),
        "tool_calls": [_stored_call(call) for call in sidecar.tool_calls] or None,
        "finish_reason": sidecar.finish_reason,
        "refusal": sidecar.refusal,
        "response_model": sidecar.response_model,
    }
    values = {name: value for name, value in values.items() if value is not None} | dict(sidecar.extra)
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
        try:
            return f"{text}\n".encode()
        except UnicodeEncodeError:  # a lone surrogate, which models do send, can only be written as an escape
            return f"{json.dumps(values, allow_nan=False, indent=2)}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"this cannot be stored beside a text cassette: {error}"
        raise InvalidCassette(msg) from error


def _counts(usage: Usage) -> dict[str, Any]:
    counts: dict[str, Any] = {name: count for name in GIVEN_COUNTS if (count := getattr(usage, name)) is not None}
    return counts if usage.raw is None else {**counts, "raw": dict(usage.raw)}


def _stored_call(call: ToolCall) -> dict[str, Any]:
    stored = {"id": call.id, "name": call.name, "arguments": call.arguments, "raw_arguments": call.raw_arguments}
    return {**stored, "provider_executed": True} if call.provider_executed else stored


# --- reading --------------------------------------------------------------------------------------


def read_sidecar(data: bytes, path: str) -> Sidecar:
    """Read the file of a sidecar.

    Args:
        data: the bytes of the file.
        path: the file, for errors.

    Raises:
        InvalidCassette: if it is damaged, or its digest belongs to another call.
    """
    values = _object(decode_json(data, path=path, lone_surrogates=True), path, "an object")
    provider, model, prompt = [_string(values.pop(name, None), name, path) for name in ("provider", "model", "prompt")]
    digest = values.pop("sha256", None)
    if digest is not None and digest != call_digest(provider, model, prompt):
        raise _wrong(path, "'sha256' to be the digest of its provider, model and prompt", digest)
    return Sidecar(
        provider,
        model,
        prompt=prompt,
        sha256=digest,
        chunks=_chunks(values.pop("chunks", None), path),
        usage=_usage(values.pop("usage", None), path),
        tool_calls=_calls(values.pop("tool_calls", None), path),
        finish_reason=_optional(values.pop("finish_reason", None), "finish_reason", path),
        refusal=_optional(values.pop("refusal", None), "refusal", path),
        response_model=_optional(values.pop("response_model", None), "response_model", path),
        extra=values or EMPTY,
    )


def _usage(item: object, path: str) -> Usage | None:
    if item is None:
        return None
    values = _object(item, path, "'usage' to be an object")
    counts: dict[str, Any] = {name: values.get(name) for name in GIVEN_COUNTS}
    for name, count in counts.items():
        if count is not None and not (type(count) is int and count >= 0):
            raise _wrong(path, f"'usage.{name}' to be a count of tokens", count)
    raw = values.get("raw")
    return Usage.of(**counts, raw=None if raw is None else _object(raw, path, "'usage.raw' to be an object"))


def _chunks(item: object, path: str) -> tuple[str, ...] | None:
    if item is None:
        return None
    chunks = tuple(cast("list[object]", item)) if isinstance(item, list) else (None,)
    if not all(isinstance(chunk, str) for chunk in chunks):
        raise _wrong(path, "'chunks' to be a list of texts", chunks)
    return cast("tuple[str, ...]", chunks)


def _calls(item: object, path: str) -> tuple[ToolCall, ...]:
    if item is None:
        return ()
    if not isinstance(item, list):
        raise _wrong(path, "'tool_calls' to be a list", item)
    return tuple([_call(_object(one, path, "'tool_calls' to be a list of objects"), path) for one in item])


def _call(values: dict[str, Any], path: str) -> ToolCall:
    return ToolCall(
        _string(values.get("id"), "tool_calls.id", path),
        _string(values.get("name"), "tool_calls.name", path),
        values.get("arguments"),
        raw_arguments=_optional(values.get("raw_arguments"), "tool_calls.raw_arguments", path),
        provider_executed=values.get("provider_executed") is True,
    )


def _object(item: object, path: str, wanted: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _wrong(path, wanted, item)
    return cast("dict[str, Any]", item)


def _optional(value: object, name: str, path: str) -> str | None:
    return None if value is None else _string(value, name, path)


def _string(value: object, name: str, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, f"{name!r} to be a text", value)
    return value


def _wrong(path: str, wanted: str, value: object) -> InvalidCassette:
    shown = f"{value!r:.80}" if isinstance(value, (str, int, float)) else type(value).__name__
    return InvalidCassette(f"the sidecar {path!r} is damaged: expected {wanted}, found {shown}", path=path)


publish(globals(), "mellite.cassettes", "Sidecar")
