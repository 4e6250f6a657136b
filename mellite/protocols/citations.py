"""Citations: which passage of an answer rests on which web page, read out of the answer of any vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from ..values.provider_json import Json, JsonObject

__all__ = ["Citation", "citations_of_block", "citations_of_response"]


@frozen(kw_only=True)
class Citation:
    """One source of a passage.

    Args:
        vendor: whose words `raw` are in, as in ``anthropic``.
        raw: the citation as the vendor has it; empty where it is not one object.
        url: the web page; None for a file or a document, which other vendors have no word for.
        title: of the page.
        quoted: what the page says there.
        start: where the passage begins in its text, in characters.
        end: where it ends.
    """

    vendor: str
    raw: JsonObject
    url: str | None
    title: str | None = None
    quoted: str = ""
    start: int = 0
    end: int = 0

    def moved(self, by: int) -> Citation:
        """Return the citation of a passage that stands so many characters later."""
        return evolve(self, start=self.start + by, end=self.end + by)


def citations_of_block(metadata: Mapping[str, Mapping[str, Json]], text: str) -> list[Citation]:
    """Return the citations that a block of text ended with.

    Args:
        metadata: what the block ended with, by vendor.
        text: the text of the block.

    Example:
        >>> cited = {"type": "web_search_result_location", "url": "https://example.com/", "title": "Rivers"}
        >>> [(one.url, one.end) for one in citations_of_block({"anthropic": {"citations": [cited]}}, "Blue.")]
        [('https://example.com/', 5)]
    """
    found: list[Citation] = []
    for vendor, read in _BLOCKS.items():
        for raw in _objects((metadata.get(vendor) or {}).get("citations")):
            found += read(raw, text)
    return found


def citations_of_response(response: Json, text: str) -> list[Citation]:
    """Return the citations of a whole answer; OpenAI and Google say them nowhere else.

    Args:
        response: the vendor's own final object.
        text: all text of the answer.
    """
    if not isinstance(response, Mapping):
        return []
    read = next((read for name, read in _RESPONSES.items() if name in response), None)
    return [] if read is None else [one for one in read(response, text) if one.end <= len(text)]


# What stands with a block


def _anthropic(raw: JsonObject, text: str) -> Iterator[Citation]:
    """Yield a citation, which Anthropic makes of a whole block."""
    url = _text(raw.get("url"))
    title = _text(raw.get("title"))
    yield Citation(
        vendor="anthropic", raw=raw, url=url, title=title, quoted=_said(raw.get("cited_text")), end=len(text)
    )


def _bedrock(raw: JsonObject, text: str) -> Iterator[Citation]:
    """Yield a citation, which Converse makes of a whole block, too."""
    quoted = "".join([_said(part.get("text")) for part in _objects(raw.get("sourceContent"))])
    url, title = _text(_object(_object(raw.get("location")).get("web")).get("url")), _text(raw.get("title"))
    yield Citation(vendor="bedrock", raw=raw, url=url, title=title, quoted=quoted, end=len(text))


def _cohere(raw: JsonObject, text: str) -> Iterator[Citation]:
    """Yield a citation for each source; one that names no page is kept once, for Cohere's own clients."""
    start, end = _span(raw, "start", "end")
    if not 0 <= start <= end <= len(text):
        start, end = 0, len(text)
    one = Citation(vendor="cohere", raw=raw, url=None, start=start, end=end)
    known: list[Citation] = []
    for source in _objects(raw.get("sources")):
        document = _object(source.get("document"))
        url = _text(document.get("url"))
        if url is not None:
            known.append(evolve(one, url=url, title=_text(document.get("title"))))
    yield from known or [one]


_BLOCKS: Final[Mapping[str, Callable[[JsonObject, str], Iterator[Citation]]]] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "cohere": _cohere,
}


# What stands in the whole answer


def _chat(response: Mapping[str, Json], text: str) -> Iterator[Citation]:  # noqa: ARG001 - it counts characters itself
    choices = _objects(response.get("choices"))
    for raw in _objects(_object(choices[0].get("message")).get("annotations") if choices else None):
        of = _object(raw.get("url_citation"))
        start, end = _span(of, "start_index", "end_index")
        url, title = _text(of.get("url")), _text(of.get("title"))
        yield Citation(vendor="openai-chat", raw=raw, url=url, title=title, start=start, end=end)


def _responses(response: Mapping[str, Json], text: str) -> Iterator[Citation]:  # noqa: ARG001
    yield from _converse(response)  # whose output is no list
    before = 0
    for item in _objects(response.get("output")):
        for part in _objects(item.get("content")) if item.get("type") == "message" else ():
            for raw in _objects(part.get("annotations")):
                start, end = _span(raw, "start_index", "end_index")
                url, title = _text(raw.get("url")), _text(raw.get("title"))
                one = Citation(vendor="openai-responses", raw=raw, url=url, title=title, start=start, end=end)
                yield one.moved(before)
            before += len(_said(part.get("text")))


def _messages(response: Mapping[str, Json], text: str) -> Iterator[Citation]:  # noqa: ARG001
    before = 0
    for block in _objects(response.get("content")):
        said = _said(block.get("text"))
        for raw in _objects(block.get("citations")):
            for one in _anthropic(raw, said):
                yield one.moved(before)
        before += len(said)


def _converse(response: Mapping[str, Json]) -> Iterator[Citation]:
    before = 0
    for block in _objects(_object(_object(response.get("output")).get("message")).get("content")):
        content = _object(block.get("citationsContent"))
        said = _said(block.get("text")) + "".join([_said(one.get("text")) for one in _objects(content.get("content"))])
        for raw in _objects(content.get("citations")):
            for one in _bedrock(raw, said):
                yield one.moved(before)
        before += len(said)


def _gemini(response: Mapping[str, Json], text: str) -> Iterator[Citation]:
    candidates = _objects(response.get("candidates"))
    known = _object(candidates[0].get("groundingMetadata")) if candidates else {}
    chunks = [_object(each.get("web")) for each in _objects(known.get("groundingChunks"))]
    data = text.encode(errors="surrogatepass")
    for support in _objects(known.get("groundingSupports")):
        segment = _object(support.get("segment"))
        start, end = [_characters(data, at) for at in _span(segment, "startIndex", "endIndex")]
        said = _text(segment.get("text"))
        if said is not None and text[start:end] != said:  # Google counts from the beginning of a part
            start = text.find(said)
            end = start + len(said)
        for number in support.get("groundingChunkIndices") or ():
            page = chunks[number] if isinstance(number, int) and 0 <= number < len(chunks) else {}
            url = _text(page.get("uri"))
            if url is not None and start >= 0:
                title = _text(page.get("title"))
                yield Citation(vendor="google", raw={}, url=url, title=title, start=start, end=end)


_RESPONSES: Final[Mapping[str, Callable[[Mapping[str, Json], str], Iterator[Citation]]]] = {
    "choices": _chat,
    "content": _messages,
    "output": _responses,
    "candidates": _gemini,
}


def _characters(data: bytes, count: int) -> int:
    """Return how many characters the first bytes of a text are."""
    return len(data[:count].decode(errors="replace"))


def _objects(value: Json) -> Sequence[JsonObject]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else ()


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _said(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _span(value: JsonObject, start: str, end: str) -> tuple[int, int]:
    first, last = value.get(start, 0), value.get(end, 0)
    whole = isinstance(first, int) and isinstance(last, int) and 0 <= first <= last
    return (first, last) if whole else (0, 0)
