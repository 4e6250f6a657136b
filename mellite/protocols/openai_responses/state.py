"""The parser's state in a Responses answer: the items, the open text, refusals, sequence numbers."""

from __future__ import annotations

from typing import NamedTuple

from ...values.provider_json import Json
from ..answer_state import AnswerState
from .agreement import SequenceNumbers
from .dialect import ResponsesDialect
from .items import Items
from .pieces import Block, Item

__all__ = ["Flow", "State"]


class Flow(NamedTuple):
    """The text that is open at the moment; the next event is likely to add to it.

    Args:
        type: of the events that bring it, in the provider's word.
        place: of its item: the index in the output or, without one, the id.
        number: which text of the item it is; None for what goes to a tool.
        grown: the text, or the item of the call.
    """

    type: Json
    place: int | str | None
    number: int | None
    grown: Block | Item


class State(AnswerState):
    """The state of the parser in one answer.

    Attributes:
        flow: what flows at the moment.
        items: the output items.
        piece_of: the text or the call that the event at hand is a piece of.
        refusals: what the model said in place of an answer, by item and part.
        sequence: the sequence numbers of the events.
    """

    __slots__ = ("flow", "items", "piece_of", "refusals", "sequence")

    def __init__(self, dialect: ResponsesDialect) -> None:
        super().__init__()
        self.items = Items(dialect.namespace)
        self.flow: Flow | None = None
        self.piece_of: Block | Item | None = None
        self.refusals: dict[tuple[Json, int], str] = {}
        self.sequence = SequenceNumbers()
