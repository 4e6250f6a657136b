"""Several turns of Responses over one WebSocket: what to say when only what is new has to be said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from ...values.errors import InvalidProviderOutput
from ...values.provider_json import Json, JsonObject
from ..json_values import decode_json

__all__ = ["ResponsesDialogue"]

#: What a WebSocket does not take, as it always streams.
_NOT_SAID: Final = frozenset({"background", "stream", "stream_options"})
_LAST: Final = frozenset(
    {
        "error",
        "response.cancelled",
        "response.completed",
        "response.done",
        "response.failed",
        "response.incomplete",
    }
)
#: One of these stands in every message that matters here; the others need not be decoded.
_SIGNS: Final = (
    b"response.output_item.done",
    b'"error"',
    b"response.c",  # completed, cancelled, created
    b"response.done",
    b"response.failed",
    b"response.incomplete",
)
_OF_ANSWERS: Final = "response."
_CREATED: Final = "response.created"
_FORGOTTEN: Final = "previous_response_not_found"
_TOO_OLD: Final = "websocket_connection_limit_reached"

Heard = Literal["more", "last", "again", "elsewhere"]


class ResponsesDialogue:
    """The dialogue on one connection, so that the next turn only sends what is new.

    The server remembers the last answer on a connection, stored or not. A request that begins with all that was said
    until then, and with that answer, is made shorter by it.

    Example:
        >>> dialogue = ResponsesDialogue()
        >>> dialogue.ask(b'{"model": "m", "input": [{"role": "user", "content": "Hi."}], "stream": true}')
        b'{"type":"response.create","model":"m","input":[{"role":"user","content":"Hi."}]}'
        >>> dialogue.hear(b'{"type": "response.completed", "response": {"id": "resp_1", "output": []}}')
        'last'
        >>> turns = b'[{"role": "user", "content": "Hi."}, {"role": "user", "content": "And?"}]'
        >>> dialogue.ask(b'{"model": "m", "input": ' + turns + b"}")[-75:]
        b'"input":[{"role":"user","content":"And?"}],"previous_response_id":"resp_1"}'
    """

    __slots__ = ("_announces", "_asked", "_begun", "_fresh", "_known", "_output", "_shortened")

    def __init__(self) -> None:
        # The id, the model, the input and the output of the last turn.
        self._known: tuple[str, str, list[Json], list[Json]] | None = None
        self._asked: JsonObject = {}
        self._output: list[Json] = []
        self._shortened = False
        self._fresh = True  # nothing has been heard of this turn
        self._begun = False  # this turn was announced by the server, or it announces none
        self._announces = False  # every answer of this server begins with _CREATED

    def continues(self, body: bytes) -> bool:
        """Tell whether a request goes on where the last answer ended."""
        return self._rest(_message(body)) is not None

    def ask(self, body: bytes) -> bytes:
        """Start a turn; return the message that asks for it.

        Args:
            body: the JSON of the request as it would be sent over HTTP.
        """
        self._asked = _message(body)
        self._output = []
        self._fresh = True
        self._begun = False
        rest = self._rest(self._asked)
        self._shortened = rest is not None
        if rest is None or self._known is None:
            return _encoded(self._asked)
        return _encoded({**self._asked, "input": rest, "previous_response_id": self._known[0]})

    def again(self) -> bytes:
        """Return the same turn with all that was said before, for a server that has forgotten it."""
        self._shortened = False
        return _encoded(self._asked)

    def hear(self, message: bytes) -> Heard:
        """Take a message of the server; return what it means for the connection.

        Returns:
            ``more`` if the answer goes on; ``last`` if it is over; ``again`` if the server asks for all that was said
            before, with `again`; ``elsewhere`` if another connection is to be asked: this one has had its time, or says
            something before it announces the answer, which is left over from the turn before.
        """
        fresh, self._fresh = self._fresh, False
        if self._begun and not any(sign in message for sign in _SIGNS):
            return "more"
        event = _event(message)
        if event is None:
            return "more"  # the reader of the answer says what is wrong with it
        type = str(event.get("type"))
        if not self._begun and type.startswith(_OF_ANSWERS):
            if type == _CREATED:
                self._announces = True
            elif self._announces:
                return "elsewhere"  # it is left over from another turn
            self._begun = True
        if type == "response.output_item.done":
            self._output.append(event.get("item"))
        if type not in _LAST:
            return "more"
        self._known = None
        code = _code(event)
        if fresh and self._shortened and code == _FORGOTTEN:
            self._fresh = True
            return "again"
        if fresh and code == _TOO_OLD:
            return "elsewhere"
        if type in ("response.completed", "response.done"):
            self._remember(event.get("response"))
        return "last"

    def is_left_over(self, message: bytes) -> bool:
        """Tell whether a message that came between two turns is a part of an answer, whichever that is."""
        event = _event(message)
        return event is None or str(event.get("type")).startswith((_OF_ANSWERS, "error"))

    def _remember(self, response: Json) -> None:
        id = response.get("id") if isinstance(response, Mapping) else None
        said = self._asked.get("input")
        if isinstance(id, str) and isinstance(said, list) and response.get("status", "completed") == "completed":
            output = self._output or response.get("output")
            self._known = (id, str(self._asked.get("model")), said, output if isinstance(output, list) else [])

    def _rest(self, message: Mapping[str, Json]) -> list[Json] | None:
        """Return what is new in a message; None unless it continues the last answer implicitly."""
        turns = message.get("input")
        if self._known is None or not isinstance(turns, list) or "previous_response_id" in message:
            return None
        _, model, said, output = self._known
        if message.get("model") != model or turns[: len(said)] != said:
            return None
        return _behind(turns[len(said) :], output)


def _behind(turns: Sequence[Json], output: Sequence[Json]) -> list[Json] | None:
    """Return what follows an answer in a conversation; None if the answer is not there, or nothing follows it."""
    left = list(turns)
    for item in output:
        if not isinstance(item, Mapping):
            return None
        if left and _repeats(left[0], item):
            left.pop(0)
        elif item.get("type") in ("custom_tool_call", "function_call") or _texts(item):
            return None  # what must not be missing is missing, or was changed
    return left or None


def _repeats(turn: Json, item: Mapping[str, Json]) -> bool:
    """Tell whether a part of the conversation is this item of the answer."""
    if not isinstance(turn, Mapping):
        return False
    type = item.get("type")
    if turn.get("type") == "item_reference":
        return turn.get("id") == item.get("id")
    if type == "message":
        return turn.get("role") == "assistant" and _texts(turn) == _texts(item)
    if turn.get("type") != type:
        return False
    if type == "reasoning":
        return True  # it is encrypted anew each time that it is shown
    if type in ("custom_tool_call", "function_call"):
        return all(turn.get(name) == item.get(name) for name in ("call_id", "name", "arguments", "input"))
    return turn == item


def _texts(item: Mapping[str, Json]) -> list[Json]:
    content = item.get("content") if item.get("type", "message") == "message" else None
    parts = content if isinstance(content, list) else []
    return [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("text")]


def _event(message: bytes) -> JsonObject | None:
    try:
        event = decode_json(message)
    except InvalidProviderOutput:
        return None
    return event if isinstance(event, dict) else None


def _code(event: Mapping[str, Json]) -> Json:
    error = event.get("error")
    return error.get("code") if isinstance(error, Mapping) else event.get("code")


def _message(body: bytes) -> JsonObject:
    """Return the message that stands for an HTTP request."""
    asked = decode_json(body)
    said = asked if isinstance(asked, dict) else {}
    return {"type": "response.create", **{name: value for name, value in said.items() if name not in _NOT_SAID}}


def _encoded(message: Mapping[str, Json]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
