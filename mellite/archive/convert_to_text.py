"""Make text cassettes of HTTP cassettes, and of text cassettes that lie elsewhere or are compressed otherwise."""

from __future__ import annotations

import os
from functools import partial
from typing import Final

from ..cassettes.bodies import decoded
from ..cassettes.compression import Compression
from ..cassettes.files.find import Failed, Found
from ..cassettes.files.read import load_cassette
from ..cassettes.files.storing import unwritable
from ..cassettes.interactions import HttpInteraction
from ..cassettes.secrets.scan import SecretScan
from ..cassettes.text.directory import TextCassette, TextDirectory
from ..cassettes.text.sidecar import Sidecar
from ..providers.recognize import question_of
from ..values.errors import CassetteError, CassetteMismatch, MelliteError
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from .converted import Converted, ending_of, unless_it_fails, write
from .replay import replay_one, route_and_body

__all__ = ["texts_again", "texts_of_http"]

#: The fields of a request's body that ask something, in all protocols. The others say how to answer.
_ASKING: Final = (
    "contents",
    "input",
    "instructions",
    "messages",
    "response_format",
    "system",
    "systemInstruction",
    "text",
    "tools",
)

_TEXT_TYPES: Final = frozenset({"text", "input_text"})


def texts_again(
    source: str,
    texts: list[Found],
    target: str,
    compression: Compression | None,
    *,
    replace: bool,
    failed: Failed | None,
) -> Converted:
    """Write text cassettes to another directory, or with another compression."""
    dropped: list[str] = []
    count = 0
    for one in texts:
        here = os.path.dirname(one.path)
        there = os.path.join(target, os.path.relpath(here, source)) if os.path.isdir(source) else target
        make = partial(_text_again, one.path, there, compression, replace=replace)
        done = unless_it_fails(one, make, failed)
        if done:
            count += 1
        elif done is False:
            dropped.append(f"{os.path.basename(one.path)}: another file of the same key is read instead")
    return Converted(source, target, calls=count, dropped=tuple(dropped))


def _text_again(path: str, target: str, compression: Compression | None, *, replace: bool) -> bool:
    """Write one text cassette to a directory; return False if another file of the same key is read instead."""
    here = os.path.dirname(path)
    answer = TextDirectory(here).answer(int(os.path.basename(path).partition(".")[0]))
    if answer is None or answer.path != path:
        return False
    if answer.sidecar is not None:
        in_place = os.path.realpath(here or ".") == os.path.realpath(target)
        _record(TextDirectory(target), answer.text, answer.sidecar, compression, replace=replace or in_place)
    else:
        _copied(answer, target, compression, replace=replace)
    return True


def _record(
    directory: TextDirectory, text: str, sidecar: Sidecar, compression: Compression | None, *, replace: bool
) -> None:
    """Record an answer.

    Raises:
        CassetteError: if another answer to the same call is there, and `replace` is false.
    """
    there = None if replace else directory.find(*sidecar.call)
    if there is not None and there.text != text:
        msg = f"{there.path!r} holds another answer to that call; --force, or replace=True, replaces it"
        raise CassetteError(msg, path=there.path)
    directory.record(text, sidecar, compression=compression, replace=replace)


def _copied(answer: TextCassette, target: str, compression: Compression | None, *, replace: bool) -> None:
    """Copy a text cassette without a sidecar, of which nothing is known but its key."""
    path = os.path.join(target, f"{answer.key}.txt{ending_of(compression)}")
    if os.path.realpath(path) == os.path.realpath(answer.path):
        return
    scan = SecretScan()
    scan.refuse(scan.text(answer.text, "$.text"), path=path)
    write(path, f"{answer.text}\n".encode(errors="surrogatepass"), replace=replace)
    if os.path.realpath(target) == os.path.realpath(os.path.dirname(answer.path) or "."):
        try:
            os.unlink(answer.path)
        except OSError as error:
            unwritable(answer.path, error)


def texts_of_http(source: str, target: str, compression: Compression | None, *, replace: bool) -> Converted:
    """Write a text cassette for each interaction of an HTTP cassette that asks and answers with plain text."""
    dropped: list[str] = []
    count = 0
    directory = TextDirectory(target)
    for number, one in enumerate(load_cassette(source).interactions):
        made = _text_of(one) if isinstance(one, HttpInteraction) else "it went over a WebSocket"
        if isinstance(made, str):
            dropped.append(f"interaction {number}: {made}")
            continue
        text, sidecar, beside = made
        try:
            _record(directory, text, sidecar, compression, replace=replace)
        except CassetteMismatch as error:
            dropped.append(f"interaction {number}: {error}")
            continue
        count += 1
        dropped += [f"interaction {number}: {what}" for what in beside]
    return Converted(source, target if count else None, calls=count, dropped=tuple(dropped))


def _text_of(one: HttpInteraction) -> tuple[str, Sidecar, list[str]] | str:
    """Return the text and sidecar of an interaction, and what they cannot keep; or why there can be none."""
    route, body = route_and_body(one)
    if route is None:
        return "its protocol is not known"
    prompt = question_of(body)
    try:
        asked = route.with_(model=route.model or "unknown").prepare(Request.of(prompt))
    except MelliteError as error:
        return f"it cannot be asked again: {error}"
    if _asking(decoded(asked.body.decode(errors="replace"))[1]) != _asking(body):
        return "it asks more than one message of text"
    thunk = replay_one(one)
    if thunk is None or thunk.error is not None:
        return f"it is not a whole answer: {None if thunk is None else thunk.error}"
    made = thunk.generation
    sidecar = Sidecar(
        route.provider,
        route.model or "",
        prompt=prompt,
        chunks=tuple([delta for delta in thunk.iter() if delta]),
        usage=made.usage,
        tool_calls=thunk.tool_calls,
        finish_reason=None if made.finish_reason == "stop" else made.finish_reason,
        refusal=made.refusal,
        response_model=made.response_model,
    )
    beside = ["its thinking"] if thunk.thinking else []
    return thunk.partial, sidecar, beside


def _asking(body: Json) -> JsonObject:
    """Return the fields of a request's body that ask something, in one of the forms that a protocol allows."""
    asked = {name: body[name] for name in _ASKING if name in body} if isinstance(body, dict) else {}
    if isinstance(asked.get("input"), str):
        asked["input"] = [{"role": "user", "content": asked["input"]}]
    return {name: _plainly(value) for name, value in asked.items()}


def _plainly(value: Json) -> Json:
    """Return a value without cache marks, and with text as a list of parts wherever it may be one."""
    if isinstance(value, list):
        return [_plainly(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _plainly(item) for name, item in value.items() if name != "cache_control"}
    if fields.keys() == {"type", "text"} and fields["type"] in _TEXT_TYPES:
        return {"text": fields["text"]}
    if isinstance(fields.get("content"), str):
        fields["content"] = [{"text": fields["content"]}]
    return fields if fields.get("type") != "message" else {name: fields[name] for name in fields.keys() - {"type"}}
