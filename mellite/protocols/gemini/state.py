"""The parser's state in a Gemini answer: the open block, the call being written, why the answer ended."""

from __future__ import annotations

from collections.abc import Mapping

from ...values.usage import Usage
from ..answer_state import AnswerState
from ..json_values import decode_json
from .answer import Merged, usage_of
from .calls import Written

__all__ = ["State"]


class State(AnswerState):
    """The state of the parser in one answer.

    Attributes:
        numbers: the names of finish reasons that come as numbers.
    """

    __slots__ = (
        "block",
        "block_id",
        "blocked",
        "blocks",
        "calls",
        "code_id",
        "finish_word",
        "hosted",
        "id_stem",
        "last_usage",
        "merged",
        "message",
        "misses",
        "numbers",
        "plain",
        "written",
    )

    def __init__(self, numbers: Mapping[int, str]) -> None:
        super().__init__()
        self.numbers = numbers
        self.plain = ""  # what is flowing, "text" or "reasoning", so that the next chunk is likely to be more of it
        self.misses = 0
        self.block = ""  # the open one: "text", "reasoning" or none
        self.block_id = ""
        self.blocks = {"text": 0, "reasoning": 0}  # so far
        self.calls = 0  # that the caller has to answer
        self.written: Written | None = None  # the call whose arguments are streamed
        self.code_id = ""  # of the code that was run last
        self.hosted = 0  # calls of the provider's own tools without an id
        self.id_stem = ""
        self.merged = Merged()
        self.finish_word: str | None = None
        self.blocked: str | None = None
        self.message: str | None = None  # the provider's own words about the end
        self.last_usage: bytes | memoryview = b""  # the last of many, undecoded

    @property
    def counts(self) -> Usage | None:
        """The usage so far: the last report is decoded when it is asked for."""
        if self.last_usage:
            raw = decode_json(bytes(self.last_usage))
            self.last_usage = b""
            if isinstance(raw, dict):
                self.usage = usage_of(raw).replacing(self.usage)
        return self.usage

    def go_on(self) -> None:
        """Content has come: a finish reason before it was none, as after each round of Gemini's own tools."""
        if self.complete:
            self.complete = False
            self.finish_word = self.blocked = self.message = None
