"""Make HTTP cassettes of other tools' files, of text cassettes, and of HTTP cassettes that are compressed otherwise."""

from __future__ import annotations

import os
from functools import partial

from attrs import evolve

from ..cassettes.bodies import Body, decoded
from ..cassettes.compression import compression_of, expand
from ..cassettes.files.cassetter import is_cassetter
from ..cassettes.files.disk import read_file
from ..cassettes.files.find import Failed, Found
from ..cassettes.files.journal_lines import JOURNAL, REWRITE
from ..cassettes.files.read import load_cassette
from ..cassettes.files.vcr import Imported, decode_document, import_vcr, is_foreign, is_vcr
from ..cassettes.files.write import encode_cassette
from ..cassettes.interactions import Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from ..cassettes.scrub import scrub_cassette
from ..cassettes.secrets.redaction import Redaction
from ..cassettes.secrets.scan import SecretScan
from ..cassettes.text.directory import TextDirectory
from ..cassettes.text.rendering import MARK
from ..cassettes.text.sidecar import Sidecar
from ..protocols.writing import PROTOCOLS, Said, stream_of
from ..providers.catalog import find
from ..providers.default_models import spec_of
from ..values.errors import ConfigurationError, InvalidCassette, InvalidRequest
from ..values.provider_json import Json
from ..values.request import Request
from .converted import Converted, stem_of, unless_it_fails, write
from .importing.formats import imported

__all__ = ["http_again", "http_imported", "http_of_texts", "http_of_vcr"]


def http_imported(source: str, path: str, source_format: str, *, replace: bool) -> Converted:
    """Convert a file of another tool; `source_format` is one of those that need a module of their own."""
    found = imported(source_format, source)
    metadata = {"name": stem_of(source), "client": source_format}  # so that what differs between clients is no matter
    return _stored(source, path, found, metadata, replace=replace)


def http_again(source: str, path: str, *, replace: bool) -> Converted:
    """Convert one of VCR's cassettes, or copy an HTTP cassette byte for byte with another compression."""
    cassette = load_cassette(source)
    if _is_vcr(source):
        return _stored(source, path, import_vcr(source), {"name": stem_of(source)}, replace=replace)
    data = None
    if not any(os.path.lexists(source + journal) for journal in (JOURNAL, REWRITE)):
        data = expand(read_file(source), compression_of(source), path=source)
    scan = SecretScan()
    scan.refuse(scan.cassette(cassette), path=path)
    write(path, encode_cassette(cassette) if data is None else data, replace=replace)
    return Converted(source, path, calls=len(cassette.interactions))


def _stored(source: str, path: str, found: Imported, metadata: dict[str, Json], *, replace: bool) -> Converted:
    """Write what was read from another tool's file, after its secrets were taken out."""
    clean = scrub_cassette(evolve(found.cassette, metadata=metadata), scan=SecretScan({}))
    cassette = clean.cassette
    scan = SecretScan()
    scan.refuse(scan.cassette(cassette), path=path)
    write(path, encode_cassette(cassette), replace=replace)
    dropped = (*found.dropped, *[f"redacted: {place}" for place in clean.changed])
    return Converted(source, path, calls=len(cassette.interactions), dropped=dropped)


def http_of_vcr(source: str, path: str, source_format: str, *, replace: bool) -> Converted:
    """Convert a file that was said to be VCR.py's or cassetter's.

    Raises:
        InvalidCassette: if it is another one, or damaged.
    """
    data = expand(read_file(source), compression_of(source), path=source)
    document = decode_document(data, path=source)
    is_so = is_cassetter(document) if source_format == "cassetter" else is_vcr(document)
    # Of a test that asked nothing both write a list of nothing, which looks like neither.
    if not is_so and not (isinstance(document, dict) and document.get("interactions") == []):
        msg = f"{source!r} is not a cassette of {'cassetter' if source_format == 'cassetter' else 'VCR.py'}"
        raise InvalidCassette(msg, path=source)
    return _stored(source, path, import_vcr(source), {"name": stem_of(source)}, replace=replace)


def _is_vcr(path: str) -> bool:
    if is_foreign(path):
        return True
    if any(os.path.lexists(path + journal) for journal in (JOURNAL, REWRITE)):
        return False
    is_json, document = decoded(expand(read_file(path), compression_of(path), path=path).decode(errors="replace"))
    return is_json and is_vcr(document)


def http_of_texts(source: str, texts: list[Found], path: str, *, replace: bool, failed: Failed | None) -> Converted:
    """Write one HTTP cassette with the calls of many text cassettes."""
    interactions: list[HttpInteraction] = []
    dropped: list[str] = []
    for one in texts:
        made = unless_it_fails(one, partial(_interaction_of, one.path), failed)
        if made is None:
            continue
        if isinstance(made, str):
            dropped.append(f"{os.path.basename(one.path)}: {made}")
        else:
            interactions.append(made[0])
            dropped += [f"{os.path.basename(one.path)}: {what}" for what in made[1]]
    if not interactions:
        return Converted(source, None, dropped=tuple(dropped))
    cassette = Cassette(tuple(interactions), metadata={"name": stem_of(source), "tags": ["text"]})
    scan = SecretScan()
    scan.refuse(scan.cassette(cassette), path=path)
    write(path, encode_cassette(cassette), replace=replace)
    return Converted(source, path, calls=len(interactions), dropped=tuple(dropped))


def _interaction_of(path: str) -> tuple[HttpInteraction, list[str]] | str:
    """Return the interaction that a text cassette stands for, and what is assumed in it; or why there is none."""
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
    """Return why an answer is more than the text that is kept of it; None if it is not."""
    if sidecar.prompt.startswith(MARK):
        return "it answers more than one message, of which the text does not have all"
    if sidecar.tool_calls or sidecar.refusal is not None:
        return "it has tool calls or a refusal"
    if sidecar.finish_reason not in (None, "stop", "length"):
        return f"it ended with {sidecar.finish_reason!r}"
    return None
