"""The parser's state in a Chat answer: the open blocks, the calls, why the answer ended."""

from __future__ import annotations

from ...values.errors import MelliteError
from ..answer_state import AnswerState
from ..tool_inputs import ToolInputs
from .answer import Merged
from .dialect import ChatDialect

__all__ = ["State"]


class State(AnswerState):
    """The state of the parser in one answer.

    Args:
        dialect: how the company differs.
    """

    __slots__ = (
        "blocks",
        "dialect",
        "failure",
        "finish_word",
        "has_details",
        "inputs",
        "merged",
        "misses",
        "old_call",
        "plain",
        "reasoning_id",
        "refusal",
        "text_open",
    )

    def __init__(self, dialect: ChatDialect) -> None:
        super().__init__()
        self.dialect = dialect
        self.plain = ""  # what flows, so that the next chunk is likely to be more of it: "text", thinking, "arguments"
        self.misses = 0
        self.text_open = False
        self.reasoning_id = ""  # the open block
        self.blocks = 0  # of thinking, so far
        self.has_details = False
        self.refusal: list[str] = []
        self.inputs = ToolInputs()
        self.old_call = False  # the only call comes in the form that `tool_calls` replaced
        self.merged = Merged()
        self.finish_word: str | None = None
        self.failure: MelliteError | None = None  # of the choice, to be raised at the end

    def go_on(self) -> None:
        """Content has come: a finish reason before it was none."""
        if self.finish_word:
            self.finish_word = None
            self.complete = False
