"""How each protocol is served: what reads its requests, and what writes its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve, frozen

from ..protocols.answer_blocks import AnswerWriter
from ..protocols.anthropic_messages import answer_writing as anthropic_writing, request_reading as anthropic_reading
from ..protocols.openai_chat import answer_writing as chat_writing, request_reading as chat_reading
from ..values.errors import InvalidRequest
from ..values.provider_json import Json, JsonObject
from ..values.request import Request
from .paths import Call

__all__ = ["DIALECTS", "Asked", "Dialect", "asked"]


@frozen(kw_only=True)
class Dialect:
    """How one protocol is served.

    Args:
        read: gives the request that a body stands for.
        writer: makes what writes an answer.
        streams: whether an answer is streamed where neither path nor body say so.
    """

    read: Callable[[Json], Request]
    writer: Callable[..., AnswerWriter]
    streams: bool = False


#: Protocol -> how it is served.
DIALECTS: Final[Mapping[str, Dialect]] = {
    "anthropic-messages": Dialect(read=anthropic_reading.read, writer=anthropic_writing.AnthropicWriter),
    "openai-chat": Dialect(read=chat_reading.read, writer=chat_writing.ChatWriter),
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
        InvalidRequest: if it is no JSON object.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"the body of the request is no JSON: {error}"
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
