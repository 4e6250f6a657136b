"""Images, documents, films and sounds for Bedrock's Converse: formats, bytes, S3, names of documents."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mellite.errors import InvalidRequest
from mellite.messages import Audio, CacheHint, Content, Document, Image, Message, Video
from tests.protocols.bedrock_converse.converse import body_of

PNG = b"\x89PNG"


def messages_of(*messages: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of(list(messages))["messages"]
    return found


def blocks_of(*parts: Content) -> list[dict[str, Any]]:
    """The blocks of one message of the user."""
    found: list[dict[str, Any]] = messages_of(Message.user(*parts))[0]["content"]
    return found


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(PNG, media_type="image/jpeg"), {"image": {"format": "jpeg"}}),
        (Video(PNG, media_type="video/quicktime"), {"video": {"format": "mov"}}),
        (Audio(PNG, media_type="audio/mpeg"), {"audio": {"format": "mp3"}}),
        (Document(PNG, media_type="application/pdf"), {"document": {"format": "pdf", "name": "document pdf"}}),
        (Document(PNG, media_type="text/markdown", filename="a.b/notes (1).md"),
         {"document": {"format": "md", "name": "notes (1)"}}),
        (Document(PNG, media_type="text/csv; charset=utf-8", filename="Größe_2.csv"),
         {"document": {"format": "csv", "name": "Gr--e-2"}}),
    ],
)  # fmt: skip
def test_media_are_bytes_in_a_format(part: Any, block: dict[str, Any]) -> None:
    """Each kind of media has its block, its format, and its bytes in base64; names have the letters that are taken."""
    (kind,) = block
    source = {"source": {"bytes": base64.b64encode(PNG).decode()}}
    assert blocks_of(part) == [{kind: {**block[kind], **source}}]


def test_documents_have_names_of_their_own() -> None:
    """Two documents of one name are told apart, in one message or several, and long names are cut."""
    same = Document(PNG, media_type="application/pdf", filename="a.pdf")
    long = Document(PNG, media_type="application/pdf", filename="b" * 300)
    talk = messages_of(Message.user(same, same, long), Message.assistant("x"), Message.user(same, long))
    names = [block["document"]["name"] for message in talk for block in message["content"] if "document" in block]
    assert names == ["a", "a (2)", "b" * 200, "a (3)", f"{'b' * 192} (2)"]


def test_media_by_url() -> None:
    """S3 and data URLs are taken, with what else Bedrock knows of a document; others nobody fetches."""
    film = Video(url="s3://bucket/a.mp4", media_type="video/mp4", provider_metadata={"bedrock": {"bucketOwner": "1"}})
    assert blocks_of(film) == [
        {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/a.mp4", "bucketOwner": "1"}}}}
    ]
    facts = {"bedrock": {"citations": {"enabled": True}, "context": "c"}}
    report = Document(url="s3://bucket/a.pdf", media_type="application/pdf", provider_metadata=facts)
    (block,) = blocks_of(report)
    assert (block["document"]["citations"], block["document"]["context"]) == ({"enabled": True}, "c")
    assert blocks_of(Image(url="data:image/gif;base64,R0lG")) == [
        {"image": {"format": "gif", "source": {"bytes": "R0lG"}}}
    ]
    with pytest.raises(InvalidRequest, match="not by URL"):
        blocks_of(Image(url="https://example.com/a.png", media_type="image/png"))


@pytest.mark.parametrize(
    "part",
    [
        Image(PNG),
        Image(PNG, media_type="image/tiff"),
        Document(PNG, media_type="text/x"),
        Image(b"", media_type="image/png"),
    ],
)
def test_media_that_bedrock_does_not_take(part: Any) -> None:
    """An unknown type and no bytes at all are refused before anything is sent."""
    with pytest.raises(InvalidRequest, match="Bedrock Converse takes"):
        blocks_of(part)


def test_cache_points_never_follow_documents() -> None:
    """A cache point behind documents or films, where Bedrock refuses it, goes before them, or nowhere."""
    file = Document(PNG, media_type="application/pdf", cache=CacheHint())
    film = Video(PNG, media_type="video/mp4")
    kinds = [next(iter(block)) for block in blocks_of("a", film, file)]
    assert kinds == ["text", "cachePoint", "video", "document"]
    assert [next(iter(block)) for block in blocks_of(file, "a")] == ["document", "text"]
