"""One output item of a Responses answer while its pieces arrive: its texts, its tool input, what it repeats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolInputDelta,
    ToolInputStart,
)
from ...values.messages import ProviderMetadata
from ...values.provider_json import Json, JsonObject
from .agreement import agrees, rest_of

__all__ = ["CALLS", "Block", "Item", "Kind"]

#: What the texts of items are.
Kind: TypeAlias = Literal["output_text", "summary_text", "reasoning_text"]

#: Tool calls that the caller has to run, and the name of the field with what the model wrote.
CALLS: Final[Mapping[str, str]] = {"function_call": "arguments", "custom_tool_call": "input"}

#: Where an item has its texts of a kind, and what a text has beside its words.
_FIELDS: Final[Mapping[Kind, tuple[str, Mapping[str, Json]]]] = {
    "output_text": ("content", {"annotations": []}),
    "reasoning_text": ("content", {}),
    "summary_text": ("summary", {}),
}
_KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "message": ("output_text",),
    "reasoning": ("summary_text", "reasoning_text"),
}


class Block:
    """One text of an item: a part of a message, of a summary of thinking, or of the thinking itself.

    Attributes:
        whole: all of it, by an event of its own that said so.
        longest: the length of the longest text that was said to be all of it.
        gap: the sequence numbers of stream events that are missing in the middle of it, first and last.
        open: whether its beginning was told, and not its end.
    """

    __slots__ = ("gap", "id", "kind", "longest", "open", "pieces", "whole")

    def __init__(self, kind: Kind, id: str) -> None:
        self.kind = kind
        self.id = id
        self.pieces: list[str] = []
        self.whole: str | None = None
        self.longest = 0
        self.gap: tuple[int, int] | None = None
        self.open = False

    @property
    def text(self) -> str:
        """The streamed text."""
        return "".join(self.pieces)


class Item:
    """One output item.

    Args:
        type: its type, as in ``message``.
        index: its place in the output, by the provider's word.
        number: how many came before it.
        namespace: where the parts of the message keep what the provider wants to see again.
        twin: the item of the same id that came before. This one may be the same once more: its events are held back
            while it says what that one said.

    Attributes:
        raw: what the provider last said of it as a whole.
        final: whether that was said when the item, or the answer, was complete.
        blocks: its texts, by kind and number.
        wholes: all of its texts of a kind, joined, by the provider's last word on the item.
        thought: the text of thinking that is being written.
        pieces: what the model wrote for a tool.
        written: all that the model wrote for a tool, by an event that said so.
        arguments: what counts as written for a tool; known once the call is complete.
        checked: the `written` that was compared with `arguments` since.
        gap: the sequence numbers of stream events that are missing in the middle of `pieces`, first and last.
        started: whether the tool call has been announced.
        closed: whether it is complete.
        held: the events that are held back; None if none are.
    """

    __slots__ = (
        "_echo",
        "_echoed",
        "_longest",
        "_twin",
        "arguments",
        "blocks",
        "call_id",
        "checked",
        "closed",
        "final",
        "gap",
        "held",
        "id",
        "index",
        "name",
        "namespace",
        "number",
        "pieces",
        "raw",
        "started",
        "thought",
        "type",
        "wholes",
        "written",
    )

    def __init__(self, type: str, index: int | None, number: int, namespace: str, twin: Item | None = None) -> None:
        self.type = type
        self.index = index
        self.number = number
        self.id = ""
        self.call_id = ""
        self.name = ""
        self.raw: JsonObject = {}
        self.final = False
        self.blocks: dict[tuple[Kind, int], Block] = {}
        self.wholes: dict[Kind, str] = {}
        self.thought: Block | None = None
        self.pieces: list[str] = []
        self.written = ""
        self.arguments: str | None = None
        self.checked = ""
        self.gap: tuple[int, int] | None = None
        self.started = False
        self.closed = False
        self.held: list[Event] | None = None if twin is None else []
        self.namespace = namespace
        self._twin = twin
        self._echo = "" if twin is None else twin.said
        self._longest: dict[Kind, int] = {}  # length of the longest of the `wholes` so far
        self._echoed = 0  # how much of what the twin said this one has said, too

    # What is known of it

    @property
    def place(self) -> tuple[int, int]:
        """The place of the item in the output."""
        return self.number if self.index is None else self.index, self.number

    @property
    def shown(self) -> str:
        """The name of the item in messages."""
        name = self.call_id or self.id
        return f"output item {self.place[0]} ({name})" if name else f"output item {self.place[0]}"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of texts that it may have."""
        return _KINDS.get(self.type, ())

    @property
    def said(self) -> str:
        """Everything that was streamed of the item, of whichever kind, as it came."""
        if self.arguments is not None:
            return self.arguments
        return "".join([*self.pieces, *[piece for block in self.blocks.values() for piece in block.pieces]])

    def said_as(self, kind: Kind) -> str:
        """Return what was streamed of the texts of one kind, in their order."""
        return "".join([block.text for _, block in self._ordered(kind)])

    def contradicted(self, kind: Kind) -> tuple[str, str] | None:
        """Return what was streamed of the texts of one kind, and the provider's last word on them, if that differs."""
        if kind in self.wholes:
            pairs = [(self.said_as(kind), self.wholes[kind])]
        else:
            pairs = [(block.text, block.whole) for _, block in self._ordered(kind) if block.whole is not None]
        return next(((said, whole) for said, whole in pairs if not agrees(said, whole)), None)

    def gap_in(self, kind: Kind) -> tuple[int, int] | None:
        """Return the sequence numbers of events that are missing in a text of one kind that came nowhere whole."""
        if kind in self.wholes:
            return None
        return next((block.gap for _, block in self._ordered(kind) if block.gap and block.whole is None), None)

    def _ordered(self, kind: Kind) -> list[tuple[int, Block]]:
        found = [(number, block) for (of, number), block in self.blocks.items() if of == kind]
        return sorted(found, key=lambda pair: pair[0])

    def learn(self, raw: Mapping[str, Json], *, final: bool = False) -> None:
        """Take in what the provider says of it as a whole."""
        self.raw = {**self.raw, **raw}
        self.final = self.final or final
        for field in ("id", "call_id", "name"):
            value = raw.get(field)
            if isinstance(value, str) and value and not getattr(self, field):
                setattr(self, field, value)
        written = raw.get(CALLS.get(self.type, ""))
        if final and isinstance(written, str) and written.strip():
            self.written = written

    def parts(self, kind: Kind) -> list[tuple[int, str]]:
        """Return the texts of one kind with their numbers, as the provider last showed the item as a whole."""
        parts = self.raw.get(_FIELDS[kind][0])
        found: list[tuple[int, str]] = []
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            text = part.get("text") if isinstance(part, Mapping) and part.get("type") == kind else None
            if isinstance(text, str) and text:
                found.append((number, text))
        return found

    def merged(self) -> JsonObject:
        """Return the item as an answer in one piece shows it."""
        item = dict(self.raw)
        if self.type in CALLS and self.said:
            item[CALLS[self.type]] = self.said
        given = {name: self.final and bool(item.get(name)) for name in ("content", "summary")}
        for name in {_FIELDS[kind][0] for kind, _ in self.blocks}:
            item[name] = item.get(name) if given[name] else []
        for (kind, _), block in sorted(self.blocks.items()):
            name, more = _FIELDS[kind]
            if not given[name]:
                item[name] = [*item[name], {"type": kind, "text": block.text, **more}]
        return item

    # Events

    def block(self, kind: Kind, number: int) -> tuple[Block, list[Event]]:
        """Return one text of the item, and the events of its beginning if it is new."""
        found = self.blocks.get((kind, number))
        if found is None:
            stem = self.id or f"{'text' if kind == 'output_text' else 'reasoning'}-{self.number}"
            sign = "/" if kind == "reasoning_text" else ":"
            id = stem if number == 0 and kind == "output_text" else f"{stem}{sign}{number}"
            found = self.blocks[kind, number] = Block(kind, id)
        if found.open:
            return found, []
        found.open = True
        if kind == "output_text":
            return found, [TextStart(found.id)]
        ended = [] if self.thought is None or not self.thought.open else [self.ended(self.thought)]
        self.thought = found
        return found, [*ended, ReasoningStart(found.id)]

    def write(self, kind: Kind, number: int, text: str) -> tuple[Block, list[Event]]:
        """Take more of one text."""
        block, begun = self.block(kind, number)
        block.pieces.append(text)
        return block, [*begun, TextDelta(text, block.id) if kind == "output_text" else ReasoningDelta(text, block.id)]

    def grow(self, kind: Kind, *, grows: bool) -> Iterator[Event]:
        """Give what was not streamed of its texts, now that the item was shown as a whole.

        Args:
            kind: of the texts.
            grows: whether more of them may still be given; else they are only noted.
        """
        parts = self.parts(kind)
        whole, longest = "".join([text for _, text in parts]), self._longest.get(kind, 0)
        if longest and len(whole) <= longest:  # nothing can be new: what was said need not be looked through again
            self.wholes[kind] = whole or self.wholes[kind]
            return
        said = self.said_as(kind)
        if not whole or (not said and kind != "output_text" and agrees(self.said, whole)):
            return  # nothing is said of it; or the same thinking was streamed as that of another kind
        self.wholes[kind] = whole
        self._longest[kind] = len(whole)
        rest = rest_of(said, whole) if grows else None
        begin, behind = 0, len(whole) - len(rest or "")
        for number, text in parts if rest else ():
            end = begin + len(text)
            if end > behind:
                numbers = [of for of, _ in self._ordered(kind)]
                goes_on = begin < behind and numbers
                fresh = number if number not in numbers else numbers[-1] + 1
                yield from self.write(kind, numbers[-1] if goes_on else fresh, text[max(behind - begin, 0) :])[1]
            begin = end

    def write_input(self, text: str) -> Iterator[Event]:
        """Take more of what the model writes for a tool."""
        self.pieces.append(text)
        if self.started:
            yield ToolInputDelta(self.call_id, self.name, text)

    def start(self) -> Iterator[Event]:
        """Announce the tool call, unless it was announced before."""
        if not self.started:
            self.started = True
            yield ToolInputStart(self.call_id, self.name)
            if self.pieces:
                yield ToolInputDelta(self.call_id, self.name, "".join(self.pieces))

    def ended(self, block: Block, **facts: Json) -> Event:
        """End one text; return its event."""
        block.open = False
        if block.kind == "output_text":
            return TextEnd(block.id, provider_metadata=self.noted(**facts))
        kind = block.kind if block.kind == "reasoning_text" else None
        return ReasoningEnd(block.id, provider_metadata=self.noted(kind=kind, **facts))

    def noted(self, **facts: Json) -> ProviderMetadata | None:
        """Return what is to be sent back with a part of the message."""
        found = {name: value for name, value in {"item_id": self.id or None, **facts}.items() if value is not None}
        return {self.namespace: found} if found else None

    # What may be a repetition

    def passed(self, events: Iterable[Event]) -> Sequence[Event]:
        """Hold events back while the item says what its twin said; give all of them once it does not."""
        if self.held is None:
            return list(events)
        self.held += (given := list(events))
        for event in given:
            if isinstance(event, (TextDelta, ReasoningDelta, ToolInputDelta)):
                if not self._echo.startswith(event.text, self._echoed):
                    return self.released()
                self._echoed += len(event.text)
        return self.released() if self.closed and not self._is_twin() else ()

    def released(self) -> Sequence[Event]:
        """Give the events that were held back: it is an item of its own."""
        held, self.held = self.held or (), None
        return held

    def _is_twin(self) -> bool:
        if self._echoed != len(self._echo):
            return False
        return self.type in CALLS or bool(self.kinds) or (self._twin is not None and self.raw == self._twin.raw)
