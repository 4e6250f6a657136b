"""For each protocol that is served, the reader of its requests and the writer of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from attrs import evolve, frozen

from ..protocols.answer_blocks import AnswerWriter
from ..protocols.anthropic_messages import answer_writing as anthropic_writing, request_reading as anthropic_reading
from ..protocols.bedrock_converse import answer_writing as converse_writing, request_reading as converse_reading
from ..protocols.cohere_chat import answer_writing as cohere_writing, request_reading as cohere_reading
from ..protocols.gemini import answer_writing as gemini_writing, request_reading as gemini_reading
from ..protocols.ollama_chat import answer_writing as ollama_writing, request_reading as ollama_reading
from ..protocols.openai_chat import answer_writing as chat_writing, request_reading as chat_reading
from ..protocols.openai_responses import answer_writing as responses_writing, request_reading as responses_reading
from ..values.errors import InvalidRequest
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from ..wire.aws import encoded_message
from .paths import Call

__all__ = ["DIALECTS", "Asked", "Dialect", "asked", "decoded", "writer_of"]


@frozen(kw_only=True)
class Dialect:
    """The reader and the writer of one protocol.

    Args:
        read: gives the request that a body stands for.
        writer: makes what writes an answer.
        error_body: gives the JSON that comes with an error status.
        streams: whether an answer is streamed where neither path nor body say so.
    """

    read: Callable[[Json], Request]
    writer: Callable[..., AnswerWriter]
    error_body: Callable[[int, str], JsonObject]
    streams: bool = False


#: Protocol -> how it is served.
DIALECTS: Final[Mapping[str, Dialect]] = {
    "anthropic-messages": Dialect(
        read=anthropic_reading.read,
        writer=anthropic_writing.AnthropicWriter,
        error_body=anthropic_writing.error_body,
    ),
    "bedrock-converse": Dialect(
        read=converse_reading.read,
        writer=partial(converse_writing.ConverseWriter, framed=encoded_message),
        error_body=converse_writing.error_body,
    ),
    "cohere-chat": Dialect(
        read=cohere_reading.read, writer=cohere_writing.CohereWriter, error_body=cohere_writing.error_body
    ),
    "gemini": Dialect(
        read=gemini_reading.read, writer=gemini_writing.GeminiWriter, error_body=gemini_writing.error_body
    ),
    "ollama-chat": Dialect(
        read=ollama_reading.read,
        writer=ollama_writing.OllamaWriter,
        error_body=ollama_writing.error_body,
        streams=True,
    ),
    "openai-chat": Dialect(read=chat_reading.read, writer=chat_writing.ChatWriter, error_body=chat_writing.error_body),
    "openai-responses": Dialect(
        read=responses_reading.read,
        writer=responses_writing.ResponsesWriter,
        error_body=responses_writing.error_body,
    ),
}


@frozen(kw_only=True)
class Asked:
    """A request that was read.

    Args:
        request: what is asked, with the model that the client named.
        streams: whether the answer is to be streamed.
        body: the body, decoded.
    """

    request: Request
    streams: bool
    body: JsonObject


def decoded(data: bytes) -> JsonObject:
    """Decode the body of a request.

    Raises:
        InvalidRequest: if it is not a JSON object.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"the body of the request is not JSON: {error}"
        raise InvalidRequest(msg, parameter="body") from None
    if not isinstance(body, dict):
        msg = f"the body of the request must be a JSON object, not {type(body).__name__}"
        raise InvalidRequest(msg, parameter="body")
    return body


def asked(call: Call, body: JsonObject) -> Asked:
    """Read the request of a call.

    Raises:
        InvalidRequest: for a body that is none, or holds something that a request of mellite's cannot.
    """
    dialect = DIALECTS[call.protocol]
    request = dialect.read(body)
    if call.model is not None:
        request = evolve(request, model=call.model)
    streams = call.streams
    if streams is None:
        said = body.get("stream")
        streams = dialect.streams if said is None else said is True
    return Asked(request=request, streams=streams, body=body)


def writer_of(call: Call, found: Asked, *, id: str) -> AnswerWriter:
    """Return what writes the answer to a request.

    Args:
        call: what was asked.
        found: the request.
        id: the id of the answer, without the vendor's prefix.
    """
    make = gemini_writing.GeminiArrayWriter if call.form == "array" else DIALECTS[call.protocol].writer
    return make(model=found.request.model or "unknown", id=id, fields=found.body)
