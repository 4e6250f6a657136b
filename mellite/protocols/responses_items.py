"""The output items of one Responses answer while their pieces arrive: texts, thinking, tool calls; and their events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from ..errors import InvalidProviderOutput
from ..events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
)
from ..messages import ProviderMetadata, ToolCall, ToolResult, ToolValue
from ..wire.protocol import wrong
from .responses_answer import HOSTED, arguments_of_hosted
from .toolcalls import parse_arguments

__all__ = ["Block", "Item", "Items", "Kind"]


#: What the texts of items are.
Kind: TypeAlias = Literal["output_text", "summary_text", "reasoning_text"]

#: Tool calls that whoever asked has to run, and the name of the field with what the model wrote.
_CALLS: Final[Mapping[str, str]] = {"function_call": "arguments", "custom_tool_call": "input"}

#: Calls of tools that OpenAI defines and whoever asked has to run; and what to call those tools.
_OTHER_CALLS: Final[Mapping[str, str]] = {
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
}


class Block:
    """One text of an item: a part of a message, of a summary of thinking, or of the thinking itself."""

    __slots__ = ("id", "kind", "pieces")

    def __init__(self, kind: Kind, id: str) -> None:
        self.kind = kind
        self.id = id
        self.pieces: list[str] = []


class Item:
    """One output item.

    Attributes:
        raw: what the provider last said of it as a whole.
        blocks: its texts, by kind and number.
        thought: the text of thinking that is being written.
        pieces: what the model wrote for a tool.
        started: whether the tool call has been announced.
        closed: whether it is complete.
    """

    __slots__ = (
        "blocks",
        "call_id",
        "closed",
        "id",
        "index",
        "name",
        "number",
        "pieces",
        "raw",
        "started",
        "thought",
        "type",
    )

    def __init__(self, type: str, index: int | None, number: int) -> None:
        self.type = type
        self.index = index  # its place in the output, by the provider's word
        self.number = number  # how many came before it
        self.id = ""
        self.call_id = ""
        self.name = ""
        self.raw: dict[str, Any] = {}
        self.blocks: dict[tuple[Kind, int], Block] = {}
        self.thought: Block | None = None
        self.pieces: list[str] = []
        self.started = False
        self.closed = False

    def learn(self, raw: Mapping[str, Any]) -> None:
        """Take in what the provider says of it as a whole."""
        self.raw = {**self.raw, **raw}
        for field in ("id", "call_id", "name"):
            value = raw.get(field)
            if isinstance(value, str) and value and not getattr(self, field):
                setattr(self, field, value)

    def merged(self) -> dict[str, Any]:
        """The item as an answer in one piece shows it."""
        texts: dict[Kind, tuple[str, dict[str, Any]]] = {
            "output_text": ("content", {"annotations": []}),
            "reasoning_text": ("content", {}),
            "summary_text": ("summary", {}),
        }
        item = dict(self.raw)
        if self.type in _CALLS and self.pieces and not item.get(_CALLS[self.type]):
            item[_CALLS[self.type]] = "".join(self.pieces)
        given = {name: bool(item.get(name)) for name in ("content", "summary")}
        for (kind, _), block in sorted(self.blocks.items()):
            name, more = texts[kind]
            if not given[name]:
                item[name] = [*(item.get(name) or []), {"type": kind, "text": "".join(block.pieces), **more}]
        return item


class Items:
    """All output items of one answer.

    Args:
        namespace: where the parts of the message keep what the provider wants to see again.

    Attributes:
        id_stem: what to call a tool call that never gets an id; its number is put behind it.
    """

    __slots__ = ("_all", "_by_id", "_by_index", "_namespace", "id_stem")

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._all: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._by_index: dict[int, Item] = {}
        self.id_stem = "call"

    @property
    def has_calls(self) -> bool:
        """Whether there is a tool call for whoever asked to run."""
        return any(item.started and item.closed for item in self._all)

    def merged(self) -> list[dict[str, Any]]:
        """The output as an answer in one piece shows it."""
        placed = sorted(self._all, key=lambda item: item.number if item.index is None else item.index)
        return [item.merged() for item in placed]

    # Which item

    def of(self, event: Mapping[str, Any], *types: str) -> Item:
        """The item that a piece belongs to; a new one, of the first type, where none was announced."""
        index, id = event.get("output_index"), event.get("item_id")
        if isinstance(index, int):
            item = self._by_index.get(index)
        elif isinstance(id, str):
            item = self._by_id.get(id)
        else:
            item = self._all[-1] if self._all else None
        if item is None or item.type not in types or item.closed:
            item = self._new(types[0], index)
            self._learn(item, {"type": types[0], "id": id})
        return item

    def _known(self, raw: Mapping[str, Any], index: Any) -> Item:
        """The item that the provider speaks of as a whole; a new one if it is new."""
        type = raw.get("type")
        if not isinstance(type, str):
            raise wrong(type, "the type of an output item", "a text")
        item = self._by_index.get(index) if isinstance(index, int) else self._named(raw)
        if item is not None and item.type == type and not (item.closed and item.id != (raw.get("id") or item.id)):
            return item
        return self._new(type, index)

    def _named(self, raw: Mapping[str, Any]) -> Item | None:
        names = [name for name in (raw.get("id"), raw.get("call_id")) if isinstance(name, str)]
        return next((item for name in names if (item := self._by_id.get(name)) is not None), None)

    def _new(self, type: str, index: Any) -> Item:
        item = Item(type, index if isinstance(index, int) else None, len(self._all))
        self._all.append(item)
        if item.index is not None:
            self._by_index[item.index] = item
        return item

    def _learn(self, item: Item, raw: Mapping[str, Any]) -> None:
        item.learn(raw)
        for name in (item.id, item.call_id):
            if name:
                self._by_id[name] = item

    # What arrives of it

    def added(self, raw: Mapping[str, Any], index: Any) -> Iterator[Event]:
        """An item begins."""
        item = self._known(raw, index)
        self._learn(item, raw)
        if item.type in _CALLS and item.call_id and item.name:
            yield from self._start(item)

    def done(self, raw: Mapping[str, Any], index: Any) -> Iterator[Event]:
        """An item is complete."""
        item = self._known(raw, index)
        self._learn(item, raw)
        yield from self._close(item)

    def block(self, item: Item, kind: Kind, number: int) -> tuple[Block, list[Event]]:
        """One text of an item, and the events of its beginning if it is new."""
        found = item.blocks.get((kind, number))
        if found is None:
            stem = item.id or f"{'text' if kind == 'output_text' else 'reasoning'}-{item.number}"
            sign = "/" if kind == "reasoning_text" else ":"
            id = stem if number == 0 and kind == "output_text" else f"{stem}{sign}{number}"
            found = item.blocks[kind, number] = Block(kind, id)
            if kind == "output_text":
                return found, [TextStart(id)]
        if kind == "output_text" or found is item.thought:
            return found, []
        ended = [] if item.thought is None else [self._ended(item, item.thought)]
        item.thought = found
        return found, [*ended, ReasoningStart(found.id)]

    def input(self, item: Item, text: str) -> Iterator[Event]:
        """More of what the model writes for a tool."""
        item.pieces.append(text)
        if item.started:
            yield ToolInputDelta(item.call_id, item.name, text)

    def _close(self, item: Item, *, cut_short: bool = False) -> Iterator[Event]:
        """An item is complete, as far as it got.

        Args:
            cut_short: the answer hit its limit, so that a call which is not whole is no call.
        """
        if item.closed:
            return
        item.closed = True
        if item.type == "message":
            yield from self._close_message(item)
        elif item.type == "reasoning":
            yield from self._close_reasoning(item)
        elif item.type in _CALLS:
            yield from self._close_call(item, cut_short=cut_short or item.raw.get("status") == "incomplete")
        elif item.type in _OTHER_CALLS and not _is_contained(item):
            yield from self._close_other_call(item)
        elif item.type in HOSTED:
            yield from self._close_hosted(item)
        elif item.type in ("shell_call", "shell_call_output"):
            yield from self._close_contained(item)
        elif isinstance(item.raw.get("encrypted_content"), str):  # such as what is left of a history made shorter
            yield from self._kept(item, {"item": item.raw})

    def finish(self, output: list[Any], *, cut_short: bool) -> Iterator[Event]:
        """The answer is over: give what was not streamed, and close what is still open.

        Args:
            output: all items, by the provider's word; some hosts leave it empty.
            cut_short: the answer hit its limit, so that a call which is not whole is no call.
        """
        more = len(output) - len(self._all)
        for index, raw in enumerate(output):
            if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str):
                raise wrong(raw, "an output item", "an object with a type")
            item = self._by_index.get(index) or self._named(raw)
            if item is not None and item.type != raw["type"]:
                item = None
            if item is None and more > 0:
                more -= 1
                item = self._known(raw, index)
            if item is not None and not item.closed:
                self._learn(item, raw)
                yield from self._close(item, cut_short=cut_short)
        for item in self._all:
            yield from self._close(item, cut_short=cut_short)

    # Ends

    def _close_message(self, item: Item) -> Iterator[Event]:
        yield from self._unsaid(item, "output_text", item.raw.get("content"))
        metadata = self._noted(item, phase=item.raw.get("phase"))
        for block in item.blocks.values():
            yield TextEnd(block.id, provider_metadata=metadata)

    def _close_reasoning(self, item: Item) -> Iterator[Event]:
        yield from self._unsaid(item, "summary_text", item.raw.get("summary"))
        yield from self._unsaid(item, "reasoning_text", item.raw.get("content"))
        encrypted = item.raw.get("encrypted_content")
        if item.thought is not None:
            yield self._ended(item, item.thought, encrypted_content=encrypted)
        elif item.id or encrypted:
            yield from self._kept(item, {"item_id": item.id or None, "encrypted_content": encrypted})

    def _unsaid(self, item: Item, kind: Kind, parts: Any) -> Iterator[Event]:
        """What of its texts only came with the end of their item."""
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            text = part.get("text") if isinstance(part, Mapping) and part.get("type") == kind else None
            if not isinstance(text, str) or not text:
                continue
            known = item.blocks.get((kind, number))
            said = "" if known is None else "".join(known.pieces)
            if len(text) > len(said) and text.startswith(said):
                block, events = self.block(item, kind, number)
                yield from events
                left = text[len(said) :]
                block.pieces.append(left)
                yield TextDelta(left, block.id) if kind == "output_text" else ReasoningDelta(left, block.id)

    def _kept(self, item: Item, facts: Mapping[str, Any]) -> Iterator[Event]:
        """An empty block of thinking, for what is only there to be sent back."""
        id = item.id or f"reasoning-{item.number}"
        noted = {name: value for name, value in facts.items() if value is not None}
        yield ReasoningStart(id)
        yield ReasoningEnd(id, provider_metadata={self._namespace: noted})

    def _start(self, item: Item) -> Iterator[Event]:
        if not item.started:
            item.started = True
            yield ToolInputStart(item.call_id, item.name)
            if item.pieces:
                yield ToolInputDelta(item.call_id, item.name, "".join(item.pieces))

    def _close_call(self, item: Item, *, cut_short: bool) -> Iterator[Event]:
        if not item.name:
            if cut_short:
                return
            raise wrong(item.name, f"the name of tool call {item.call_id or item.id!r}", "a text")
        item.call_id = item.call_id or item.id or f"{self.id_stem}_{item.number}"
        written = item.raw.get(_CALLS[item.type])
        raw = written if isinstance(written, str) and written else "".join(item.pieces)
        if raw and not item.pieces:  # it only came as a whole
            yield from self.input(item, raw)
        yield from self._start(item)
        is_custom = item.type == "custom_tool_call"
        kind = item.type if is_custom else None
        metadata = self._noted(item, kind=kind, namespace=item.raw.get("namespace"))
        yield ToolInputEnd(item.call_id, item.name, provider_metadata=metadata)
        try:
            arguments = parse_arguments(raw)
        except InvalidProviderOutput:
            arguments = None
            if not is_custom:  # whose input may be any text
                yield ToolInputError(item.call_id, item.name, raw=raw)
            if cut_short:
                item.started = False
                return
        yield ToolCallEvent(ToolCall(item.call_id, item.name, arguments, raw_arguments=raw, provider_metadata=metadata))

    def _close_other_call(self, item: Item) -> Iterator[Event]:
        item.started = True
        item.call_id = item.call_id or item.id or f"{self.id_stem}_{item.number}"
        arguments = item.raw.get("action", item.raw.get("operation"))
        metadata = self._noted(item, item=item.raw)
        yield ToolCallEvent(ToolCall(item.call_id, _OTHER_CALLS[item.type], arguments, provider_metadata=metadata))

    def _close_hosted(self, item: Item) -> Iterator[Event]:
        id = item.id or item.call_id or f"{self.id_stem}_{item.number}"
        name = HOSTED[item.type]
        metadata = self._noted(item)
        error = item.raw.get("error")
        result = ToolValue("json", item.raw) if error is None else ToolValue("error", error)
        arguments = arguments_of_hosted(item.raw)
        yield ToolCallEvent(ToolCall(id, name, arguments, provider_executed=True, provider_metadata=metadata))
        yield ToolResultEvent(ToolResult(id, name, result, provider_executed=True, provider_metadata=metadata))

    def _close_contained(self, item: Item) -> Iterator[Event]:
        """A call of a shell in a container of the provider; what came of it is an item of its own."""
        id = item.call_id or item.id or f"{self.id_stem}_{item.number}"
        metadata = self._noted(item)
        if item.type == "shell_call":
            arguments = arguments_of_hosted(item.raw)
            yield ToolCallEvent(ToolCall(id, "shell", arguments, provider_executed=True, provider_metadata=metadata))
        else:
            result = ToolValue("json", item.raw.get("output"))
            yield ToolResultEvent(ToolResult(id, "shell", result, provider_executed=True, provider_metadata=metadata))

    # What goes back

    def _ended(self, item: Item, block: Block, **facts: Any) -> ReasoningEnd:
        kind = block.kind if block.kind == "reasoning_text" else None
        return ReasoningEnd(block.id, provider_metadata=self._noted(item, kind=kind, **facts))

    def _noted(self, of: Item, **facts: Any) -> ProviderMetadata | None:
        noted = {"item_id": of.id or None, **facts}
        found = {name: value for name, value in noted.items() if value is not None}
        return {self._namespace: found} if found else None


def _is_contained(item: Item) -> bool:
    """Whether a shell call ran in a container of the provider."""
    environment = item.raw.get("environment")
    kind = environment.get("type") if isinstance(environment, Mapping) else None
    return item.type == "shell_call" and isinstance(kind, str) and kind.startswith("container")
