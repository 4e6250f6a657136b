"""Budget forcing: make a model think longer, or stop its thinking and make it answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from attrs import evolve, field, frozen

from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, MelliteError
from ...values.events import Event, ReasoningDelta, TextDelta
from ...values.messages import Message, Part, Reasoning, Text, ToolCall
from ...values.signatures import write_signature
from ...values.whole_numbers import check_count
from ..asking_again import with_request
from .round import Round
from .sample import AnySample, Sample
from .strategy import Strategy

__all__ = ["BudgetForcing", "rough_tokens"]

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"

_SPENT: Final = "its budget of thinking is spent"


def rough_tokens(text: str) -> float:
    """Estimate the tokens of a text without a tokenizer: four characters, as in English, make one."""
    return len(text) / 4


@frozen
class BudgetForcing(Strategy):
    """Keep the thinking of a model between two bounds by further turns of the conversation. Works with any chat model.

    After too little thinking, the next turn asks the model to think again. Thinking that gets too long is cut off: the
    generation is cancelled, unless it has ended, and the next turn asks for the final answer. So one attempt may be
    several calls. All are in ``samples`` and paid for; the winner is the last one's thunk.

    Thinking is what the provider marks as such, and text between ``<think>`` and ``</think>`` at the start of an
    answer. It is measured in tokens: by `count` while it arrives, then by the provider's own count, if it gives one. In
    the next turn, signed thinking goes back as it came; other thinking goes back as text, because most providers drop
    earlier thinking.

    The other arguments are those of `Strategy`, except for ``inner``; this strategy can itself be the inner one of
    another. Without requirements, the first answer is taken.

    Args:
        most: the maximum tokens of thinking.
        least: the minimum tokens of thinking.
        rounds: how often at most to ask the model to think again.
        again: the words that ask it to think again.
        final: the words that ask for the final answer.
        answer_tokens: the longest final answer, in tokens.
        count: how to estimate the tokens of a text while the model thinks.

    Example:
        >>> import asyncio
        >>> from mellite.backends import Scripted
        >>> from mellite.events import Finish, ReasoningDelta
        >>> endless = [ReasoningDelta("Hmm, let me see. ")] * 1000 + ["never", Finish("stop")]
        >>> thunk = Scripted([endless, "It is 42."]).generate("What is 6 times 7?")
        >>> result = asyncio.run(BudgetForcing(100).sample(thunk))
        >>> result.value, [sample.status for sample in result.samples]
        ('It is 42.', ['cancelled', 'passed'])
    """

    most: int = 4096
    least: int = field(default=0, kw_only=True)
    rounds: int = field(default=3, kw_only=True)
    again: str = field(default="Wait. Think about it again, look for mistakes, and answer again.", kw_only=True)
    final: str = field(default="Stop thinking here. Give the final answer now.", kw_only=True)
    answer_tokens: int | None = field(default=None, kw_only=True)
    count: Callable[[str], float] = field(default=rough_tokens, kw_only=True)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_count("most", self.most)
        check_count("least", self.least, least=0)
        check_count("rounds", self.rounds, least=0)
        if self.answer_tokens is not None:
            check_count("answer_tokens", self.answer_tokens)
        if self.least > self.most:
            msg = f"'least' ({self.least}) must not be more than 'most' ({self.most})"
            raise InvalidRequest(msg, parameter="least")
        if self.inner is not None:
            msg = (
                "BudgetForcing takes no inner strategy, it makes its attempts itself; make it the inner one of another"
            )
            raise InvalidRequest(msg, parameter="inner")

    def _is_one_call(self) -> bool:
        return False

    async def _attempt(self, round: Round, copy: AnyThunk) -> AnySample:
        spent, thunk = 0.0, copy
        turn = 0
        while True:
            meter = _Meter(self.count, self.most - spent)
            sample = await round.generated(thunk, meter.watching(thunk))
            spent += meter.total(thunk)
            if round.stopped is not None or not (meter.cut or thunk.state == "done"):
                break
            if meter.cut and thunk.cancelled:
                sample = await round.generated(self._next(copy, thunk, self.final, last=True))
                break
            if spent >= self.least or turn == self.rounds:
                break
            turn += 1
            thunk = self._next(copy, thunk, self.again)
        checked = round.checked(sample)
        return checked if isinstance(checked, Sample) else await checked

    def _next(self, copy: AnyThunk, so_far: AnyThunk, said: str, *, last: bool = False) -> AnyThunk:
        """Make the thunk of the next turn of the conversation."""
        bounded = last and self.answer_tokens is not None
        following = copy.resample(1, max_tokens=self.answer_tokens)[0] if bounded else copy.resample(1)[0]
        messages = (*so_far.call.request.messages, Message.assistant(*_turn(so_far)), Message.user(said))
        return with_request(following, evolve(following.call.request, messages=messages))


class _Meter:
    """Counts the thinking in an answer while it arrives, and cuts it off."""

    def __init__(self, count: Callable[[str], float], most: float) -> None:
        self._count = count
        self._most = most
        self._counted = 0.0
        self._head = ""  # of the text, until it is known whether it begins with thinking
        self._tail = ""  # of thinking within the text, where its end may be cut in two
        self._inside: bool | None = None
        self.cut = False

    def watching(self, thunk: AnyThunk) -> Callable[[], Awaitable[object]]:
        """Return a function that waits until a thunk is settled, and cancels it if its thinking gets too long."""

        async def drive() -> None:
            async with thunk:  # closes the connection before this ends, also when this is cancelled
                with suppress(MelliteError):  # the thunk keeps the error
                    async for event in thunk.events():
                        if self._add(event) and self._counted > self._most:
                            self.cut = True
                            await thunk.cancel_generation(_SPENT)
                            break
                await thunk.settle()

        return drive

    def total(self, thunk: AnyThunk) -> float:
        """Return the tokens of thinking in an answer: the provider's count, or else the estimate."""
        usage = thunk.generation.usage
        return (usage.reasoning_tokens if usage is not None else None) or self._counted

    def _add(self, event: Event) -> bool:
        """Count the thinking in an event, and tell whether there was any."""
        thought = ""
        if isinstance(event, ReasoningDelta):
            thought = event.text
        elif isinstance(event, TextDelta) and self._inside is not False:
            thought = self._in_text(event.text)
        self._counted += self._count(thought) if thought else 0.0
        return bool(thought)

    def _in_text(self, text: str) -> str:
        """Return the thinking in the next piece of text."""
        if self._inside is None:
            self._head += text
            head = self._head.lstrip()
            if _OPEN.startswith(head):
                return ""
            self._inside = head.startswith(_OPEN)
            if not self._inside:
                return ""
            text = head.removeprefix(_OPEN)
        seen = len(self._tail)
        joined = self._tail + text
        end = joined.find(_CLOSE)
        if end >= 0:
            self._inside = False
            return joined[seen:end]
        self._tail = joined[1 - len(_CLOSE) :]
        return text


def _turn(thunk: AnyThunk) -> list[Part]:
    """Return what the model has said so far, as the content of a message that every provider passes on to it."""
    parts = [part for part in thunk.message.content if not isinstance(part, ToolCall)]
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    said: list[Part] = [*parts]
    if thunk.state != "done" or not all(part.provider_metadata or part.encrypted for part in thoughts):
        text = "".join([part.text for part in parts if isinstance(part, Text)])
        if text.lstrip().startswith(_OPEN) and _CLOSE not in text:
            text = f"{text}\n{_CLOSE}"
        thinking = "".join([part.text for part in thoughts])
        said = [Text(f"{_OPEN}\n{thinking}\n{_CLOSE}\n{text}" if thinking else text)]
    return said if any(isinstance(part, Text) and part.text for part in said) else [*said, Text("(no answer yet)")]


write_signature(BudgetForcing, {"count": "rough_tokens"})
