"""The output items of one Responses answer while they arrive: which item an event speaks of, and whether all agrees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ...values.errors import InvalidProviderOutput
from ...values.events import Event
from ...values.provider_json import Json, JsonObject
from ..json_values import wrong
from .agreement import agrees, aligned, contradiction, lost, rest_of, same_arguments, text_of
from .ends import closing
from .pieces import CALLS, Block, Item, Kind

__all__ = ["Items"]

_FEW: Final = 8  # texts of an item


class Items:
    """All output items of one answer.

    Items are told apart by their place in the output, else by their ids, else by their order. What the provider says
    last of an item counts: texts grow by it where it only goes on, and `check` refuses what contradicts it.

    Args:
        namespace: where the parts of the message keep what the provider wants to see again.

    Attributes:
        id_stem: what to call a tool call that never gets an id; its number is put after it.
    """

    __slots__ = ("_all", "_by_id", "_by_index", "_missing", "_namespace", "_spoken", "id_stem")

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._all: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._by_index: dict[int, Item] = {}
        self._missing: list[Item] = []  # streamed, but not among the items of the whole answer
        self._spoken: dict[str, tuple[int, int]] = {}  # type of items -> the last of them that has said something
        self.id_stem = "call"

    @property
    def has_calls(self) -> bool:
        """Whether there is a tool call for the caller to run, or to approve."""
        return any(item.started and item.closed and item.held is None for item in self._all)

    def merged(self) -> list[JsonObject]:
        """Return the output as an answer in one piece shows it."""
        return [item.merged() for item in sorted(self._all, key=lambda item: item.place) if item.held is None]

    # Which item

    def of(self, event: Mapping[str, Json], type: str) -> Item:
        """Find the item that a piece belongs to, or make a new one where none was announced."""
        index, id = event.get("output_index"), event.get("item_id")
        names = [name for name in (id, event.get("call_id")) if isinstance(name, str) and name]
        named = [item for name in names if (item := self._by_id.get(name)) is not None and item.type == type]
        if isinstance(index, int):
            found = self._by_index.get(index)
            if found is None and named and (named[0].index is None or type in CALLS):
                found = named[0]
        elif names:
            found = named[0] if named else None
        else:
            found = self._all[-1] if self._all else None
        if found is None or found.type != type or found.closed:
            twin = named[0] if named and id == named[0].id else None
            found = self._new(type, index, twin)
            self._learn(found, {"type": type, "id": id, "call_id": event.get("call_id")})
        return found

    def _of_whole(self, event: Mapping[str, Json], type: str) -> Item:
        """Find the item of which an event shows a text as a whole; it may be complete by then."""
        index = event.get("output_index")
        found = [self._by_index.get(index)] if isinstance(index, int) else []
        names = [event.get("item_id"), event.get("call_id")]
        found += [self._by_id.get(name) for name in names if isinstance(name, str) and name]
        if not found:
            found = [item for item in self._all[-1:] if item.type == type]
        return next((item for item in found if item is not None and item.type == type), None) or self.of(event, type)

    def _of_item(self, raw: Mapping[str, Json], index: Json) -> Item:
        """Find the item that the provider shows as a whole, or make a new one if it is new."""
        type = raw.get("type")
        if not isinstance(type, str):
            raise wrong(type, "the type of an output item", "a text")
        named = self._named(raw, type)
        found = self._by_index.get(index) if isinstance(index, int) else named
        if found is not None and found.type == type and not (found.closed and found.id != (raw.get("id") or found.id)):
            return found
        if named is not None and not named.closed and (named.index is None or type in CALLS):
            if isinstance(index, int):
                self._by_index[index] = named
                named.index = index if named.index is None else named.index
            return named
        return self._new(type, index, named)

    def _named(self, raw: Mapping[str, Json], type: str) -> Item | None:
        """Return the item of this type that has one of these ids, and no other call id."""
        ids = [raw.get("id"), raw.get("call_id")]
        for name in ids:
            item = self._by_id.get(name) if isinstance(name, str) and name else None
            if item is not None and item.type == type:
                return item if not ids[1] or not item.call_id or item.call_id == ids[1] else None
        return None

    def _new(self, type: str, index: Json, twin: Item | None = None) -> Item:
        item = Item(type, index if isinstance(index, int) else None, len(self._all), self._namespace, twin)
        self._all.append(item)
        if item.index is not None:
            self._by_index[item.index] = item
        return item

    def _learn(self, item: Item, raw: Mapping[str, Json], *, final: bool = False) -> None:
        item.learn(raw, final=final)
        for name in (item.id, item.call_id):
            if name:
                self._by_id[name] = item

    # What arrives of them

    def added(self, raw: Mapping[str, Json], index: Json) -> Sequence[Event]:
        """Take the beginning of an item."""
        item = self._of_item(raw, index)
        self._learn(item, raw)
        return item.passed(item.start() if item.type in CALLS and item.call_id and item.name else ())

    def done(self, raw: Mapping[str, Json], index: Json) -> Sequence[Event]:
        """Take a complete item."""
        item = self._of_item(raw, index)
        self._learn(item, raw, final=True)
        return self._passed(item, self._complete(item))

    def text(self, item: Item, kind: Kind, number: int, text: str) -> tuple[Block, Sequence[Event]]:
        """Take more of a text of a message or of thinking."""
        block, events = item.write(kind, number, text)
        return block, self._passed(item, events)

    def whole_text(self, event: Mapping[str, Json], kind: Kind, number: int, whole: str) -> Sequence[Event]:
        """Take a text of a message or of thinking as a whole; give what was not streamed of it."""
        item = self._of_whole(event, "message" if kind == "output_text" else "reasoning")
        block = item.blocks.get((kind, number))
        if block is not None and len(whole) <= block.longest:  # nothing can be new: see `Item.grow`
            block.whole = whole
            return ()
        if block is None and len(item.blocks) <= _FEW:  # some hosts count texts, or name their kind, only here
            block = next((other for other in item.blocks.values() if agrees(other.text, whole)), None)
        rest = rest_of("" if block is None else block.text, whole)
        events: list[Event] = []
        if rest and self._may_grow(item):
            block, events = item.write(kind, number, rest)
            if item.closed:
                events.append(item.ended(block))
        if block is not None:
            block.whole, block.longest = whole, len(whole)
        return self._passed(item, events)

    def input(self, item: Item, text: str) -> Sequence[Event]:
        """Take more of what the model writes for a tool."""
        return item.passed(item.write_input(text))

    def whole_input(self, event: Mapping[str, Json], type: str, whole: str) -> Sequence[Event]:
        """Take all that the model wrote for a tool; give what was not streamed of it."""
        item = self._of_whole(event, type)
        self._learn(item, {"name": event.get("name"), "call_id": event.get("call_id")})
        known, item.written = item.written, whole
        if item.closed:
            self._check_call(item)
            return ()
        rest = rest_of("".join(item.pieces), whole) if len(whole) > len(known) else None
        return item.passed(item.write_input(rest)) if rest else ()

    def _passed(self, item: Item, events: Iterable[Event]) -> Sequence[Event]:
        """Note how far the texts of this type of item have come; see `Item.passed`."""
        passed = item.passed(events)
        if item.held is None and item.blocks:
            self._spoken[item.type] = max(item.place, self._spoken.get(item.type, item.place))
        return passed

    def _may_grow(self, item: Item) -> bool:
        """Tell whether texts of an item may still grow: not where a later item of its type has said something."""
        return item.place >= self._spoken.get(item.type, item.place)

    # The end

    def finish(self, output: Sequence[Json], *, cut_short: bool) -> Iterator[Event]:
        """Finish the answer: give what was not streamed, and close what is still open.

        Args:
            output: all items, by the provider's word; some hosts leave it empty.
            cut_short: the answer hit its limit, so that a call which is not whole is not a call.

        Raises:
            InvalidProviderOutput: for what is not an output item, and for a call that contradicts what was
                streamed of it.
        """
        pairs = list(zip(output, aligned(self._all, output), strict=True))
        agrees = self._says_the_same(output)
        missing = dict.fromkeys(item for item in self._all if item.held is None)
        for index, (raw, known) in enumerate(pairs):
            if known is None and agrees and raw["type"] == "message":
                continue  # its text was streamed as that of others
            item = self._new(raw["type"], index) if known is None else known
            missing.pop(item, None)
            yield from item.released()
            self._learn(item, raw, final=True)
            agreed = agrees and item.type == "message"
            yield from self._passed(item, self._complete(item, cut_short=cut_short, grows=not agreed))
            if agreed:
                item.wholes["output_text"] = item.said_as("output_text")
        types = {raw["type"] for raw, _ in pairs if raw["type"] != "message" or text_of(raw)}
        self._missing = [item for item in missing if item.type in types and not (agrees and item.type == "message")]
        for item in self._all:
            if not item.closed:
                yield from item.passed(self._complete(item, cut_short=cut_short))

    def _says_the_same(self, output: Sequence[Json]) -> bool:
        """Tell whether all texts of the whole answer are those that were streamed, in whichever items and parts."""
        messages = sorted(
            [item for item in self._all if item.type == "message" and item.held is None], key=lambda item: item.place
        )
        said = "".join([item.said_as("output_text") for item in messages])
        whole = "".join([text_of(raw) for raw in output if raw["type"] == "message"])
        return bool(whole) and agrees(said, whole)

    def _complete(self, item: Item, *, cut_short: bool = False, grows: bool = True) -> Iterator[Event]:
        """Give what completes an item, or what else has become known of one that is complete."""
        grows = grows and self._may_grow(item)
        if not item.closed:
            yield from closing(item, id=f"{self.id_stem}_{item.number}", cut_short=cut_short, grows=grows)
        elif item.type in CALLS:
            if not cut_short:
                self._check_call(item)
        else:
            for kind in item.kinds:
                yield from item.grow(kind, grows=grows)
            yield from [item.ended(block) for block in item.blocks.values() if block.open]

    def _check_call(self, item: Item) -> None:
        """Refuse other arguments for a call that was given already."""
        said, written = item.arguments or "", item.written
        if written is item.checked:
            return
        item.checked = written
        if written and not same_arguments(said, written, is_json=item.type == "function_call"):
            place = f"the arguments of {item.shown}"
            raise contradiction(place, said, written)

    def check(self) -> None:
        """Refuse an answer of which something was streamed that is not so in the whole.

        Raises:
            InvalidProviderOutput: names the place.
        """
        for item in self._all:
            if item.held is not None:
                continue
            for kind in item.kinds:
                differs, gap = item.contradicted(kind), item.gap_in(kind)
                place = f"the text of {item.shown}" if kind == "output_text" else f"the thinking of {item.shown}"
                # Hosts put thinking otherwise in the end; it only counts where events are known to be missing.
                if differs is not None and (kind == "output_text" or any(block.gap for block in item.blocks.values())):
                    raise contradiction(place, *differs)
                if gap is not None and kind == "output_text":
                    raise lost(place, gap)
            if item.gap is not None and item.type in CALLS and not item.written:
                place = f"the arguments of {item.shown}"
                raise lost(place, item.gap)
        for item in self._missing:
            if item.said or item.type in CALLS:
                msg = f"{item.shown} was streamed, but is not in the answer as a whole"
                raise InvalidProviderOutput(msg)
