"""The parser's state in an Anthropic answer: the message so far, its blocks, and the usage."""

from __future__ import annotations

from collections.abc import Mapping

from ...values.messages import ToolCall
from ...values.provider_json import Json, JsonObject
from ...values.usage import Usage
from ..answer_state import AnswerState
from ..finish_words import is_unfinished
from ..json_values import wrong
from .answer import Block, merged_usage, usage_of

__all__ = ["State"]


class State(AnswerState):
    """The state of the parser in one answer.

    Attributes:
        blocks: the blocks, by their number.
        broken: calls whose arguments are not JSON, which are not calls where the answer was cut short.
        given: what the message began with; it counts if nothing else comes.
        message: all of the message but the blocks and the usage.
        names: of the server's own calls, by id.
        past: the blocks whose number was used again.
        used: the reports of usage, merged.
    """

    __slots__ = ("blocks", "broken", "given", "message", "names", "past", "used")

    def __init__(self) -> None:
        super().__init__()
        self.message: JsonObject = {}
        self.used: JsonObject = {}
        self.given: list[Json] = []
        self.blocks: dict[int, Block] = {}
        self.past: list[Block] = []
        self.names: dict[str, str] = {}
        self.broken: list[ToolCall] = []

    @property
    def counts(self) -> Usage | None:
        """The usage so far."""
        return usage_of(self.used) if self.used else None

    @property
    def is_under_way(self) -> bool:
        """Whether anything of the answer has come."""
        return self.started or bool(self.message)

    def go_on(self) -> None:
        """Content has come: a stop reason before it was none."""
        if self.complete:
            self.complete = False
            self.message["stop_reason"] = None

    def note(self, fields: Mapping[str, Json]) -> None:
        """Take over what is said of the whole message; what was known stays where nothing is said.

        Raises:
            InvalidProviderOutput: for a stop reason that is not text.
        """
        reason = fields.get("stop_reason")
        if reason is not None and not isinstance(reason, str):
            raise wrong(reason, "stop_reason", "a text")
        for name, value in fields.items():
            if name == "usage":
                if isinstance(value, dict):
                    self.used = merged_usage(self.used, value)
            elif value is not None or name not in self.message:
                self.message[name] = value
        self.complete = self.complete or bool(reason and not is_unfinished(reason))
