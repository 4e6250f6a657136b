"""Repair a history that providers would refuse: missing, late and stray tool results, ids and names of calls."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final, Literal, TypeAlias, TypeGuard

from attrs import evolve, field, frozen

from ..values.messages import Message, Part, Text, ToolCall, ToolResult, ToolValue
from ..values.request import Request
from .tool_calls import result_text

__all__ = ["LAST_SPACE", "LOOSE", "CallIds", "HistoryRules", "is_text", "mend", "without_last_space"]


#: Which ids of tool calls a protocol takes; see `HistoryRules`.
CallIds: TypeAlias = Literal["any", "claude", "mistral", "openai", "responses"]


@frozen(kw_only=True)
class HistoryRules:
    """What a protocol insists on in a conversation with tools. That each call has one result after it, all do.

    Args:
        ids: which ids of tool calls it takes: any; up to 40 characters (``openai``) or 64 (``responses``); nine letters
            and digits (``mistral``); up to 64 letters, digits, ``_`` and ``-`` (``claude``).
        calls_last: whether tool calls must be the last parts of an assistant message.
        stray_results: results without a call become text of the user, or stay where the server may know the call
            (``keep``).
        approvals: whether a result may answer a call that the provider makes, which says that it may make it.
    """

    ids: CallIds = "any"
    calls_last: bool = False
    stray_results: Literal["keep", "text"] = "text"
    approvals: bool = False


#: The rules of a protocol that insists on nothing but a result after each call.
LOOSE: Final = HistoryRules()

#: What is said where `without_last_space` has changed something.
LAST_SPACE: Final = "space at the end of the text that is to be continued is left out"

#: What the model reads where a tool call was never answered.
_NO_RESULT: Final = ToolValue("error", "There is no result: the call was not answered.")


def mend(request: Request, *, rules: HistoryRules) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that the provider takes, and a sentence for each thing that was changed.

    A call without a result gets one that says so; a late result moves up to its call; of two results for one call the
    later counts; a result without a call becomes text; ids are made unique and brought into the form that is taken.
    Nothing is changed in a history that is in order.

    Example:
        >>> asked = Message.assistant(ToolCall("call_1", "get_weather", {"city": "Paris"}))
        >>> request, changes = mend(Request.of([Message.user("Weather?"), asked]), rules=HistoryRules())
        >>> request.messages[-1].role, changes
        ('tool', ("tool call 'call_1' has no result: it gets one that says so",))
    """
    if is_text(request) or _is_in_order(request, rules):
        return request, ()
    mender = _Mender(request, rules)
    messages = tuple(mender.mended())
    if not mender.changes:
        return request, ()
    return evolve(request, messages=messages), tuple(mender.changes)


def without_last_space(request: Request) -> Request:
    """Return the request without white space at the end of the text that the model is to continue.

    Claude refuses to go on with a text that ends with white space.
    """
    last = request.messages[-1] if request.messages else None
    end = last.content[-1] if last is not None and last.role == "assistant" and last.content else None
    if last is None or not isinstance(end, Text) or end.text == end.text.rstrip():
        return request
    last = evolve(last, content=(*last.content[:-1], evolve(end, text=end.text.rstrip())))
    return evolve(request, messages=(*request.messages[:-1], last))


def _is_call(part: Part) -> TypeGuard[ToolCall]:
    """Tell whether a part is a call that the caller has to answer."""
    return isinstance(part, ToolCall) and not part.provider_executed


def _is_result(part: Part) -> TypeGuard[ToolResult]:
    """Tell whether a part is a result of a tool that ran here."""
    return isinstance(part, ToolResult) and not part.provider_executed


def is_text(request: Request) -> bool:
    """Check that the history is text alone, as most are: there is nothing to put in order."""
    for message in request.messages:
        for part in message.content:
            if type(part) is not Text:
                return False
    return True


def _is_in_order(request: Request, rules: HistoryRules) -> bool:
    """Check cheaply that the history needs no repair; may return False negatives."""
    check = _Check(request, rules)
    for message in request.messages:
        if check.waiting and message.role != "tool":
            return False
        called = False
        for part in message.content:
            if isinstance(part, (ToolCall, ToolResult)) and not part.provider_executed:
                if not check.takes(part, message.role):
                    return False
                called = called or isinstance(part, ToolCall)
            elif called and rules.calls_last:
                return False
    return not check.waiting


class _Check:
    """The calls of a history that has been in order so far; `waiting` are the ids of those without a result."""

    def __init__(self, request: Request, rules: HistoryRules) -> None:
        self.waiting: set[str] = set()
        self._request = request
        self._rules = rules
        self._ids: _Ids | None = None  # made with the first call: most histories have none
        self._tools: set[str] = set()

    def takes(self, part: ToolCall | ToolResult, role: str) -> bool:
        """Take the next call or result; return whether it may stay as it is."""
        if isinstance(part, ToolCall):
            return role != "assistant" or self._takes_call(part)
        if role != "tool" or part.id not in self.waiting:
            return False
        self.waiting.remove(part.id)
        return True

    def _takes_call(self, call: ToolCall) -> bool:
        if self._ids is None:
            self._ids, self._tools = _Ids(self._rules.ids), {tool.name for tool in self._request.tools}
        if self._ids.of(call.id) != call.id or not (call.name in self._tools or _NAME.fullmatch(call.name)):
            return False
        self.waiting.add(call.id)
        return True


@frozen
class _Answer:
    """A result, and where it stood: which message, which part of it."""

    result: ToolResult
    place: tuple[int, int]


@frozen
class _Turn:
    """An assistant message with calls, by the numbers of their parts, and their results, None where there is none."""

    message: int
    calls: Mapping[int, ToolCall]
    answers: Mapping[int, _Answer | None] = field(kw_only=True)


class _Mender:
    def __init__(self, request: Request, rules: HistoryRules) -> None:
        self.changes: list[str] = []
        self._messages = request.messages
        self._rules = rules
        self._ids = _Ids(rules.ids)
        self._tools = {tool.name for tool in request.tools}
        self._turns = {turn.message: turn for turn in self._paired()}
        self._called = {call.id for turn in self._turns.values() for call in turn.calls.values()}
        self._asked = set(self._approvals()) if rules.approvals else set()
        self._claimed = {
            answer.place for turn in self._turns.values() for answer in turn.answers.values() if answer is not None
        }

    def _paired(self) -> Iterator[_Turn]:
        """Give each call its result: the last with its id before the same id is used again."""
        turns: dict[int, dict[int, ToolCall]] = defaultdict(dict)
        calls: dict[str, list[int]] = defaultdict(list)
        answers: dict[str, list[_Answer]] = defaultdict(list)
        for position, message in enumerate(self._messages):
            for number, part in enumerate(message.content):
                if _is_result(part):
                    answers[part.id].append(_Answer(part, (position, number)))
                elif _is_call(part) and message.role == "assistant":
                    calls[part.id].append(position)
                    turns[position][number] = part
        for position, asked in turns.items():
            waiting: dict[str, list[_Answer]] = {}
            for id in {call.id for call in asked.values()}:
                end = min([at for at in calls[id] if at > position], default=len(self._messages))
                among = [answer for answer in answers[id] if position <= answer.place[0] < end]
                waiting[id] = among[-sum(call.id == id for call in asked.values()) :]
            found = {number: waiting[call.id].pop(0) if waiting[call.id] else None for number, call in asked.items()}
            yield _Turn(position, asked, answers=found)

    def _approvals(self) -> Iterator[str]:
        """Give the ids of calls that wait for a yes or a no: the provider makes them, and there is no result."""
        parts = [part for message in self._messages for part in message.content]
        answered = {part.id for part in parts if isinstance(part, ToolResult) and part.provider_executed}
        for part in parts:
            if isinstance(part, ToolCall) and part.provider_executed and part.id not in answered:
                yield part.id

    def mended(self) -> Iterator[Message]:
        """Give the messages as they are to be sent."""
        for position, message in enumerate(self._messages):
            turn = self._turns.get(position)
            if turn is not None:
                yield from self._turn(message, turn)
            elif any(_is_result(part) for part in message.content):
                yield from self._left_over(position, message)
            else:
                yield message

    def _turn(self, message: Message, turn: _Turn) -> Iterator[Message]:
        """Give a message with calls, and right after it the results, also those from the message itself."""
        calls = {number: self._call(call) for number, call in turn.calls.items()}
        parts = [calls.get(number, part) for number, part in enumerate(message.content) if not _is_result(part)]
        if self._rules.calls_last:
            parts = self._calls_last(parts)
        yield message if tuple(parts) == message.content else evolve(message, content=parts)
        missing: list[ToolResult] = []
        found: dict[int, list[ToolResult]] = defaultdict(list)
        for number, call in calls.items():
            answer = turn.answers[number]
            if answer is None:
                self.changes.append(f"tool call {turn.calls[number].id!r} has no result: it gets one that says so")
                missing.append(ToolResult(call.id, call.name, _NO_RESULT))
            else:
                found[answer.place[0]].append(evolve(answer.result, id=call.id, name=call.name))
        for position in sorted(found):
            between = self._messages[turn.message + 1 : position + 1]
            if position == turn.message or not all(each.role == "tool" for each in between):
                names = ", ".join([repr(result.id) for result in found[position]])
                self.changes.append(f"the result of tool call {names} is moved up to its call")
            yield self._results(position, found[position])
        if missing:
            yield Message("tool", tuple(missing))
        yield from self._strays_of(message, turn)

    def _strays_of(self, message: Message, turn: _Turn) -> Iterator[Message]:
        """Give what becomes of results in a message with calls that answer none of them."""
        unclaimed = [
            part
            for number, part in enumerate(message.content)
            if _is_result(part) and (turn.message, number) not in self._claimed
        ]
        rest = [part for result in unclaimed for part in self._stray(result)]
        if rest:
            yield Message("tool" if all(isinstance(part, ToolResult) for part in rest) else "user", tuple(rest))

    def _results(self, position: int, results: list[ToolResult]) -> Message:
        """Return the results as a message: the one that they came in, where it has nothing else."""
        message = self._messages[position]
        if message.role == "tool" and message.content == tuple(results):
            return message
        if message.role == "tool" and len(message.content) == len(results):
            return evolve(message, content=tuple(results))
        return Message("tool", tuple(results))

    def _call(self, call: ToolCall) -> ToolCall:
        id = self._ids.of(call.id)
        if id != call.id:
            self.changes.append(f"the id of tool call {call.id!r} is sent as {id!r}")
        name = call.name
        if name not in self._tools and not _NAME.fullmatch(name):
            name = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "unknown"
            self.changes.append(f"the name of tool call {call.id!r}, {call.name[:80]!r}, is sent as {name!r}")
        return call if (id, name) == (call.id, call.name) else evolve(call, id=id, name=name)

    def _calls_last(self, parts: list[Part]) -> list[Part]:
        ordered = sorted(parts, key=lambda part: _is_call(part) or _is_result(part))
        if ordered != parts:
            self.changes.append("what an assistant says behind its tool calls is moved before them")
        return ordered

    def _left_over(self, position: int, message: Message) -> Iterator[Message]:
        """Give what remains of a message with results, once those that belong to calls are with them."""
        rest: list[Part] = []
        for number, part in enumerate(message.content):
            if not _is_result(part):
                rest.append(part)
            elif (position, number) not in self._claimed:
                rest += self._stray(part)
        if not rest:
            return
        if tuple(rest) == message.content:
            yield message
        else:
            kept = any(isinstance(part, ToolResult) for part in rest)
            role = message.role if kept or message.role != "tool" else "user"
            yield evolve(message, role=role, content=tuple(rest))

    def _stray(self, result: ToolResult) -> Sequence[Part]:
        if result.id in self._called:
            self.changes.append(f"tool call {result.id!r} has a later result: the earlier one is left out")
            return ()
        if self._rules.stray_results == "keep" or result.id in self._asked:
            return (result,)
        self.changes.append(f"tool result {result.id!r} answers no call: it is sent as text of the user")
        text, media = result_text(result)
        return (Text(f"Result of the tool {result.name!r}: {text}"), *media)


_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


# Ids of calls


#: Form -> what must not stand in an id, what is put there instead, and how many characters are left.
_FORMS: Final[Mapping[str, tuple[re.Pattern[str] | None, str, int]]] = {
    "any": (None, "", 1000),
    "claude": (re.compile(r"[^a-zA-Z0-9_-]"), "_", 64),
    "mistral": (re.compile(r"[^a-zA-Z0-9]"), "", 9),
    "openai": (None, "", 40),
    "responses": (None, "", 64),
}


def _hashed(text: str) -> str:
    from hashlib import blake2s  # a first call without tools needs none of it

    return blake2s(text.encode("utf-8", "replace"), digest_size=15).hexdigest()


class _Ids:
    """Gives every call of a history an id of its own, in the form that is taken; the same for the same history."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._used: set[str] = set()

    def of(self, id: str) -> str:
        short = self._shaped(id or "call")
        for number in count():
            if short not in self._used:
                break
            short = self._shaped(_hashed(f"{id}/{number}"))
        self._used.add(short)
        return short

    def _shaped(self, id: str) -> str:
        pattern, put, length = _FORMS[self._form]
        shaped = (id if pattern is None else pattern.sub(put, id))[:length]
        return shaped.ljust(length, "0") if self._form == "mistral" else shaped
