"""Turn cassettes of one format into another: VCR into HTTP, text into HTTP and back, compressed or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from ..cassettes.audit import is_to_be_told
from ..cassettes.bodies import Body, decoded
from ..cassettes.compression import ENDINGS, Compression, compress, compression_of, expand
from ..cassettes.files.disk import read_file
from ..cassettes.files.find import Failed, Found, find_cassettes
from ..cassettes.files.journal_lines import JOURNAL, REWRITE
from ..cassettes.files.read import load_cassette
from ..cassettes.files.storing import store_file, unwritable
from ..cassettes.files.vcr import import_vcr, is_foreign, is_vcr
from ..cassettes.files.write import encode_cassette
from ..cassettes.interactions import Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from ..cassettes.scrub import scrub_cassette
from ..cassettes.secrets.redaction import Redaction
from ..cassettes.secrets.scan import SecretScan
from ..cassettes.text.directory import TextCassette, TextDirectory
from ..cassettes.text.rendering import MARK
from ..cassettes.text.sidecar import Sidecar
from ..protocols.writing import PROTOCOLS, Said, stream_of
from ..providers.catalog import find
from ..providers.default_models import spec_of
from ..providers.recognize import question_of
from ..values.errors import (
    CassetteError,
    CassetteMismatch,
    ConfigurationError,
    InvalidRequest,
    MelliteError,
    MissingExtra,
)
from ..values.request import Request
from .replay import replay_one, route_and_body

__all__ = ["Converted", "Format", "convert"]

T = TypeVar("T")

#: What to make: a file of interactions, or a directory of answers by their keys.
Format: TypeAlias = Literal["http", "text"]

#: Of a request's body, by protocol, what asks; the rest is how it is to be answered.
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

_HTTP_ENDINGS: Final = (".json", *[f".json{ending}" for ending in ENDINGS])


@frozen
class Converted:
    """One file, or the answers of a directory, that was written.

    Args:
        source: what it was made of.
        path: what was written; None if there was nothing to write.
        calls: how many calls are in it.
        dropped: what could not be kept, one sentence each.
    """

    source: str
    path: str | None
    calls: int = field(default=0, kw_only=True)
    dropped: tuple[str, ...] = field(default=(), kw_only=True)


def convert(
    source: str,
    target: str | None = None,
    *,
    to: Format | None = None,
    compression: Compression | None = None,
    replace: bool = False,
    failed: Failed | None = None,
) -> Iterator[Converted]:
    """Convert a cassette, or all in a folder.

    A target that ends in ``.json`` (``.json.gz``, ``.json.lz4``) is one HTTP cassette; any other is a folder, which is
    made: for HTTP cassettes of the same names, or for text cassettes.

    Args:
        source: a file or a folder: of HTTP cassettes, of VCR's, or of text cassettes.
        target: a file or a folder; by default the folder of the source. Text cassettes are compressed there where they
            are; HTTP cassettes get another ending, and the source stays.
        to: what to make; by default of text cassettes ``http`` for a file and else ``text``, and of others ``http``.
        compression: of the files in a folder; a file's ending says it for itself.
        replace: whether to replace what is there.
        failed: told of what cannot be converted, while the rest is; without it, that is raised. JSON, YAML and TOML in
            folders that is about something else is passed over.

    Raises:
        CassetteMiss: if there is no such source.
        InvalidCassette: if it is damaged; what was converted before it stays.
        UnsafeCassette: if it holds something that looks like a secret; scrub it first.
        CassetteError: if the target is there and is not to be replaced, or cannot be written.
        MissingExtra: for a format whose package is not installed.
        ConfigurationError: if source and target do not go together.
    """
    if target is None:
        target = source if os.path.isdir(source) else os.path.dirname(source) or "."
    one_file = target.endswith(_HTTP_ENDINGS)
    found = list(find_cassettes([source], failed=failed))
    texts = [one for one in found if one.kind == "text"]
    others = [one for one in found if one.kind == "http"]
    if not texts and not others:
        msg = f"there are no cassettes in {source!r}"
        raise ConfigurationError(msg)
    if others and one_file and (len(others) > 1 or texts or to == "text"):
        msg = f"{source!r} does not fit into the one file {target!r}; name a folder as the target"
        raise ConfigurationError(msg)
    if texts:
        if (to or ("http" if one_file else "text")) == "http":
            path = target if one_file else os.path.join(target, f"{_stem(source)}.json{_ending(compression)}")
            yield _http_of_texts(source, texts, path, replace=replace, failed=failed)
        else:
            yield _texts_again(source, texts, target, compression, replace=replace, failed=failed)
    for one in others:
        path = _place(one, source, target, compression)
        done: Converted | None = None
        if to == "text":
            make = partial(_texts_of_http, one.path, target, compression, replace=replace)
            done = _unless_it_fails(one, make, failed)
        elif path != os.path.normpath(one.path) or not os.path.isdir(source):
            done = _unless_it_fails(one, partial(_http_again, one.path, path, replace=replace), failed)
        if done is not None:
            yield done


def _unless_it_fails(one: Found, make: Callable[[], T], failed: Failed | None) -> T | None:
    """What is made of a file; None if that fails, which is told, or concerns nobody."""
    try:
        return make()
    except (CassetteError, MissingExtra) as error:
        if is_to_be_told(one):
            if failed is None:
                raise
            failed(one.path, error)
        return None


def _stem(path: str) -> str:
    """The name of a file or folder without its endings."""
    name = os.path.basename(os.path.normpath(path))
    for ending in (*ENDINGS, ".json", ".yaml", ".yml", ".toml", ".txt"):
        name = name.removesuffix(ending)
    return name


def _ending(compression: Compression | None) -> str:
    return next((ending for ending, name in ENDINGS.items() if name == compression), "")


def _place(one: Found, source: str, target: str, compression: Compression | None) -> str:
    """Where an HTTP cassette goes: to the target, or below it where it was below the source."""
    if target.endswith(_HTTP_ENDINGS):
        return target
    folder = os.path.dirname(os.path.relpath(one.path, source)) if os.path.isdir(source) else ""
    return os.path.normpath(os.path.join(target, folder, f"{_stem(one.path)}.json{_ending(compression)}"))


def _write(path: str, data: bytes, *, replace: bool) -> None:
    if not store_file(path, compress(data, compression_of(path)), replace=replace):
        msg = f"{path!r} is there already; --force, or replace=True, replaces it"
        raise CassetteError(msg, path=path)


# --- to HTTP --------------------------------------------------------------------------------------


def _http_again(source: str, path: str, *, replace: bool) -> Converted:
    """An HTTP cassette as it is, byte for byte but for the compression; or one of VCR's."""
    cassette = load_cassette(source)
    data = None
    dropped: tuple[str, ...] = ()
    if _is_vcr(source):
        imported = import_vcr(source)
        clean = scrub_cassette(evolve(imported.cassette, metadata={"name": _stem(source)}), scan=SecretScan({}))
        cassette = clean.cassette
        dropped = (*imported.dropped, *[f"redacted: {place}" for place in clean.changed])
    elif not any(os.path.lexists(source + journal) for journal in (JOURNAL, REWRITE)):
        data = expand(read_file(source), compression_of(source), path=source)
    scan = SecretScan()
    scan.refuse(scan.cassette(cassette), path=path)
    _write(path, encode_cassette(cassette) if data is None else data, replace=replace)
    return Converted(source, path, calls=len(cassette.interactions), dropped=dropped)


def _is_vcr(path: str) -> bool:
    if is_foreign(path):
        return True
    if any(os.path.lexists(path + journal) for journal in (JOURNAL, REWRITE)):
        return False
    is_json, document = decoded(expand(read_file(path), compression_of(path), path=path).decode(errors="replace"))
    return is_json and is_vcr(document)


def _http_of_texts(source: str, texts: list[Found], path: str, *, replace: bool, failed: Failed | None) -> Converted:
    interactions: list[HttpInteraction] = []
    dropped: list[str] = []
    for one in texts:
        made = _unless_it_fails(one, partial(_interaction_of, one.path), failed)
        if made is None:
            continue
        if isinstance(made, str):
            dropped.append(f"{os.path.basename(one.path)}: {made}")
        else:
            interactions.append(made[0])
            dropped += [f"{os.path.basename(one.path)}: {what}" for what in made[1]]
    if not interactions:
        return Converted(source, None, dropped=tuple(dropped))
    cassette = Cassette(tuple(interactions), metadata={"name": _stem(source), "tags": ["text"]})
    scan = SecretScan()
    scan.refuse(scan.cassette(cassette), path=path)
    _write(path, encode_cassette(cassette), replace=replace)
    return Converted(source, path, calls=len(interactions), dropped=tuple(dropped))


def _interaction_of(path: str) -> tuple[HttpInteraction, list[str]] | str:
    """What would have gone over the wire for a text cassette, and what became of it; or why that cannot be said."""
    key = int(os.path.basename(path).partition(".")[0])
    answer = TextDirectory(os.path.dirname(path)).answer(key)
    if answer is None or answer.path != path:
        return "another file of the same key is read instead"
    sidecar = answer.sidecar
    if sidecar is None:
        return "it has no sidecar, so nobody knows what was asked"
    reason = _not_plain(sidecar)
    if reason is not None:
        return reason
    spec = spec_of(sidecar.provider, sidecar.model)
    try:
        route = find(spec, api_key="not-sent")
        if route.protocol.id not in PROTOCOLS:
            return f"the protocol {route.protocol.id} of {spec!r} cannot be written"
        prepared = route.prepare(Request.of(sidecar.prompt))
    except (ConfigurationError, InvalidRequest) as error:
        return f"{spec!r} cannot be asked: {error}"
    said = Said(
        sidecar.response_model or route.model or sidecar.model,
        answer.chunks or (answer.text,),
        cut_short=sidecar.finish_reason == "length",
        usage=sidecar.usage,
    )
    redaction = Redaction()
    request = RecordedRequest(
        prepared.method,
        redaction.url(prepared.url),
        headers=redaction.headers(prepared.headers, redaction.request_headers),
        body=Body.of(prepared.body),
    )
    body = Body(stream_of(route.protocol.id, said) or "")
    response = RecordedResponse(200, headers={"content-type": "text/event-stream"}, body=body)
    beside = [] if sidecar.model else [f"the provider's default model, which is {route.model!r} now"]
    return HttpInteraction(request, response), beside


def _not_plain(sidecar: Sidecar) -> str | None:
    if sidecar.prompt.startswith(MARK):
        return "it answers more than one message, of which the text does not have all"
    if sidecar.tool_calls or sidecar.refusal is not None:
        return "it has tool calls or a refusal"
    if sidecar.finish_reason not in (None, "stop", "length"):
        return f"it ended with {sidecar.finish_reason!r}"
    return None


# --- to text --------------------------------------------------------------------------------------


def _texts_again(
    source: str,
    texts: list[Found],
    target: str,
    compression: Compression | None,
    *,
    replace: bool,
    failed: Failed | None,
) -> Converted:
    """Text cassettes in another directory, or compressed otherwise."""
    dropped: list[str] = []
    count = 0
    for one in texts:
        here = os.path.dirname(one.path)
        there = os.path.join(target, os.path.relpath(here, source)) if os.path.isdir(source) else target
        make = partial(_text_again, one.path, there, compression, replace=replace)
        done = _unless_it_fails(one, make, failed)
        if done:
            count += 1
        elif done is False:
            dropped.append(f"{os.path.basename(one.path)}: another file of the same key is read instead")
    return Converted(source, target, calls=count, dropped=tuple(dropped))


def _text_again(path: str, target: str, compression: Compression | None, *, replace: bool) -> bool:
    """Write one text cassette to a directory; return whether it is the one that is read of its key."""
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
    there = None if replace else directory.find(*sidecar.call)
    if there is not None and there.text != text:
        msg = f"{there.path!r} holds another answer to that call; --force, or replace=True, replaces it"
        raise CassetteError(msg, path=there.path)
    directory.record(text, sidecar, compression=compression, replace=replace)


def _copied(answer: TextCassette, target: str, compression: Compression | None, *, replace: bool) -> None:
    """A text cassette without a sidecar: all that is known of it is its name."""
    path = os.path.join(target, f"{answer.key}.txt{_ending(compression)}")
    if os.path.realpath(path) == os.path.realpath(answer.path):
        return
    scan = SecretScan()
    scan.refuse(scan.text(answer.text, "$.text"), path=path)
    _write(path, f"{answer.text}\n".encode(errors="surrogatepass"), replace=replace)
    if os.path.realpath(target) == os.path.realpath(os.path.dirname(answer.path) or "."):
        try:
            os.unlink(answer.path)
        except OSError as error:
            unwritable(answer.path, error)


def _texts_of_http(source: str, target: str, compression: Compression | None, *, replace: bool) -> Converted:
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
    """The text cassette of an interaction, and what it has no place for; or why there can be none."""
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
        return f"it is no whole answer: {None if thunk is None else thunk.error}"
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


_TEXT_TYPES: Final = frozenset({"text", "input_text"})


def _asking(body: Any) -> Mapping[str, Any]:
    """What of a request's body asks, in one of the forms in which a protocol lets it be said."""
    asked = {name: body[name] for name in _ASKING if name in body} if isinstance(body, dict) else {}
    if isinstance(asked.get("input"), str):
        asked["input"] = [{"role": "user", "content": asked["input"]}]
    return {name: _plainly(value) for name, value in asked.items()}


def _plainly(value: Any) -> Any:
    """Without marks for caches, and with text as a list of parts wherever it may be one."""
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
