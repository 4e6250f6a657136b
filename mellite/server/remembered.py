"""Earlier answers, for clients of Responses that name the previous one and send only what is new."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..values.errors import InvalidRequest
from ..values.provider_json import Json, JsonObject

__all__ = ["RememberedResponses"]

_MOST: Final = 1000
_FORGOTTEN: Final = "previous_response_not_found"


class RememberedResponses:
    """The conversations that led to the last answers.

    Args:
        most: how many answers to remember.

    Example:
        >>> known = RememberedResponses()
        >>> known.note("resp_1", {"input": "Hi."}, [{"type": "message", "role": "assistant", "content": "Yes?"}])
        >>> len(known.completed({"input": "Go on.", "previous_response_id": "resp_1"})["input"])
        3
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: OrderedDict[str, list[Json]] = OrderedDict()

    def completed(self, body: JsonObject) -> JsonObject:
        """Return the body of a request with the conversation to which it belongs.

        Raises:
            InvalidRequest: if it names an answer that is not known.
        """
        before = body.get("previous_response_id")
        if before is None:
            return body
        known = self._known.get(before) if isinstance(before, str) else None
        if known is None:
            msg = f"the answer {before!r:.80} is not known here: send the whole conversation"
            raise InvalidRequest(msg, parameter="previous_response_id", code=_FORGOTTEN)
        rest = {name: value for name, value in body.items() if name != "previous_response_id"}
        return {**rest, "input": [*known, *_items(body.get("input"))]}

    def note(self, id: str, body: JsonObject, output: list[JsonObject]) -> None:
        """Remember an answer.

        Args:
            id: the id of the answer.
            body: the body of its request, with the whole conversation.
            output: the items of the answer.
        """
        self._known[id] = [*_items(body.get("input")), *output]
        while len(self._known) > self._most:
            self._known.popitem(last=False)


def _items(value: Json) -> list[Json]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return list(value) if isinstance(value, list) else []
