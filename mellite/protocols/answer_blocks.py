"""Put the events of an answer into blocks, one open at a time, for those who write answers as a vendor does."""

from __future__ import annotations

import abc
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from attrs import define, field

from ..values.errors import MelliteError
from ..values.events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    ResponseStart,
    TextDelta,
    TextEnd,
    ToolCallEvent,
    ToolInputDelta,
    ToolInputEnd,
    ToolInputError,
    ToolInputStart,
    ToolResultEvent,
)
from ..values.messages import ProviderMetadata, ToolCall, ToolResult
from ..values.plain_data import plain_data
from ..values.provider_json import Json, JsonObject
from ..values.usage import Usage
from .citations import Citation, citations_of_block, citations_of_response
from .tool_calls import arguments_text

__all__ = ["AnswerWriter", "Block", "json_line", "kept", "texts_of"]


def json_line(value: object) -> bytes:
    """Write JSON in one line of ASCII: halves of surrogate pairs, which UTF-8 cannot hold, go out as escapes."""
    return json.dumps(value, separators=(",", ":"), default=plain_data).encode("ascii")


def kept(**values: Json) -> JsonObject:
    """Return the values that are not None.

    Example:
        >>> kept(name="look_up", id=None)
        {'name': 'look_up'}
    """
    return {name: value for name, value in values.items() if value is not None}


@define(eq=False)
class Block:
    """One piece of an answer: a text, some thinking, or a call of a tool.

    Args:
        kind: ``text``, ``reasoning`` or ``call``; ``hosted`` for what a provider ran itself.
        event_id: what its events call it; of a call, its id.
        index: which block of the answer it is, from 0 on.
        name: the tool.
        pieces: what has grown so far.
        metadata: what a provider wants to see again with it.
        native: of what a provider ran itself, how it stands in the answer.
        citations: the sources of a text, with passages counted from its beginning.
        is_over: whether its end has come, though what is cited may follow.
        is_cited: whether the sources have been written.
    """

    kind: str
    event_id: str
    index: int = field(kw_only=True)
    name: str = field(default="", kw_only=True)
    pieces: list[str] = field(factory=list, kw_only=True)
    metadata: ProviderMetadata = field(factory=dict, kw_only=True)
    native: JsonObject = field(factory=dict, kw_only=True)
    citations: list[Citation] = field(factory=list, kw_only=True)
    is_over: bool = field(default=False, kw_only=True)
    is_cited: bool = field(default=False, kw_only=True)

    @property
    def text(self) -> str:
        """The whole text, thinking, or JSON of the arguments."""
        return "".join(self.pieces)

    @property
    def arguments(self) -> Json:
        """The arguments of a call as JSON; as an object with the text that a model wrote, where that is not JSON."""
        raw = self.text
        try:
            return json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            return {"invalid_json": raw}

    def noted(self, namespace: str) -> Mapping[str, Json]:
        """Return what one provider wants to see again with it."""
        return self.metadata.get(namespace) or {}


class AnswerWriter(abc.ABC):
    """Writes the events of one answer as the stream of one vendor, or, when they are all there, as its whole answer.

    Blocks come one after the other, although the events of several may be mixed: a call that begins before another one
    has ended waits for it, and whatever ends a text or thinking is the beginning of something else. What a provider ran
    itself, and what that gave, is a block of its own where the vendor has a word for it, and else left out.

    Args:
        model: the model to name where the answer names none.
        id: the id of the answer, without the vendor's prefix.
        fields: what the client asked for about the form of the answer, such as ``stream_options``.
        created: when the answer was made, in seconds since 1970; now, by default.

    Attributes:
        blocks: those that have begun.
        finish: how the answer ended; None before.
        usage: the tokens used, as far as they are known.
    """

    #: The content type of the stream, and that of a whole answer.
    stream_type: ClassVar[str] = "text/event-stream"
    whole_type: ClassVar[str] = "application/json"

    def __init__(
        self, *, model: str, id: str, fields: Mapping[str, Json] | None = None, created: int | None = None
    ) -> None:
        self.model = model
        self.id = id
        self.fields: Mapping[str, Json] = fields or {}
        self.created = int(time.time()) if created is None else created
        self.blocks: list[Block] = []
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self._open: Block | None = None
        self._held: list[Event] = []
        self._over: set[str] = set()  # calls that have ended
        self._out: list[bytes] = []
        self._started = False

    # What each vendor writes

    @abc.abstractmethod
    def start(self) -> None:
        """Write what begins a stream."""

    @abc.abstractmethod
    def begin(self, block: Block) -> None:
        """Write the beginning of a block."""

    @abc.abstractmethod
    def grow(self, block: Block, text: str) -> None:
        """Write more of a block."""

    @abc.abstractmethod
    def end(self, block: Block) -> None:
        """Write the end of a block."""

    @abc.abstractmethod
    def cite(self, block: Block) -> None:
        """Write what a text cites: before its end, or after it, before `conclude`, if a backend says it last."""

    @abc.abstractmethod
    def conclude(self, finish: Finish) -> None:
        """Write what ends a stream."""

    @abc.abstractmethod
    def failed(self, error: MelliteError, body: JsonObject) -> None:
        """Write that the answer broke off; `body` is what an answer with an error status would say."""

    @abc.abstractmethod
    def whole(self) -> JsonObject:
        """Return the whole answer, once it has finished."""

    def hosted(self, part: ToolCall | ToolResult) -> JsonObject | None:  # noqa: ARG002 - for those that have a word for it
        """Return how a call that the provider ran itself, or its result, stands in an answer; None if it does not."""
        return None

    # What happens

    def put(self, data: bytes) -> None:
        """Add to what is sent next."""
        self._out.append(data)

    def _sent(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def write(self, event: Event) -> bytes:
        """Return what an event adds to the stream; nothing, for most that are not deltas."""
        self._take(event)
        return self._sent()

    def failure(self, error: MelliteError, body: JsonObject) -> bytes:
        """Return what tells in the middle of a stream that the answer broke off."""
        self.failed(error, body)
        return self._sent()

    def _take(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._grown("text", event.id, event.text)
        elif isinstance(event, ReasoningDelta):
            self._grown("reasoning", event.id, event.text)
        elif isinstance(event, (ToolInputStart, ToolInputDelta, ToolInputEnd, ToolCallEvent, ToolInputError)):
            self._on_call(event)
        elif isinstance(event, (ReasoningEnd, TextEnd)):
            self._ended(event)
        elif isinstance(event, ToolResultEvent):
            self._ran(event.result, event)
        elif isinstance(event, ResponseStart):
            self.model = event.response_model or self.model
        elif isinstance(event, Finish):
            self._finished(event)

    def _begun(self) -> None:
        if not self._started:
            self._started = True
            self.start()

    def _grown(self, kind: str, id: str, text: str) -> None:
        """Take more text or thinking."""
        block = self._open
        if block is None or block.kind != kind or block.event_id != id or block.is_over:
            if not text:
                return
            if block is not None and block.kind == "call" and not self._closes(block):
                self._held.append(TextDelta(text, id) if kind == "text" else ReasoningDelta(text, id))
                return
            block = self._begin(kind, id)
        if text:
            block.pieces.append(text)
            self.grow(block, text)

    def _begin(self, kind: str, id: str, name: str = "", **known: Any) -> Block:
        self._close()
        self._begun()
        block = self._open = Block(kind, id, index=len(self.blocks), name=name, **known)
        self.blocks.append(block)
        self.begin(block)
        return block

    def _close(self) -> None:
        block, self._open = self._open, None
        if block is not None:
            self._tell(block)
            self.end(block)
            if block.kind == "call":
                self._over.add(block.event_id)

    def _tell(self, block: Block) -> None:
        if block.citations and not block.is_cited:
            block.is_cited = True
            self.cite(block)

    def _closes(self, call: Block) -> bool:
        """Close a call whose arguments are whole already, so that what comes next need not wait."""
        try:
            whole = isinstance(msgspec.json.decode(call.text), dict)
        except (ValueError, RecursionError):
            whole = False
        if whole:
            self._close()
        return whole

    def _ended(self, event: ReasoningEnd | TextEnd) -> None:
        kind = "text" if isinstance(event, TextEnd) else "reasoning"
        block = self._open
        if block is not None and block.kind == kind and block.event_id == event.id:
            block.metadata = event.provider_metadata or {}
            if kind == "text":
                block.citations = citations_of_block(block.metadata, block.text)
                block.is_over = True  # what comes next ends it: the end of the answer may say what is cited
            else:
                self._close()
        elif block is not None and block.kind == "call" and not self._closes(block):
            self._held.append(event)
        elif not self._known(kind, event) and event.provider_metadata and kind == "reasoning":
            self._begin(kind, event.id, metadata=event.provider_metadata)  # nothing of it is shown
            self._close()

    def _known(self, kind: str, event: ReasoningEnd | TextEnd) -> bool:
        """Note what goes back with a block that something else has ended already; tell whether there is one."""
        for block in reversed(self.blocks):
            if block.kind == kind and block.event_id == event.id:
                block.metadata = event.provider_metadata or block.metadata
                block.citations = block.citations or citations_of_block(block.metadata, block.text)
                return True
        return False

    def _on_call(self, event: ToolInputStart | ToolInputDelta | ToolInputEnd | ToolCallEvent | ToolInputError) -> None:
        if isinstance(event, ToolCallEvent):
            id, name, hosted = event.call.id, event.call.name, event.call.provider_executed
        else:
            id, name, hosted = event.id, event.name, bool(getattr(event, "provider_executed", False))
        if hosted:
            self._over.add(id)
            if isinstance(event, ToolCallEvent):
                self._ran(event.call, event)
        if id in self._over:
            return
        block = self._open
        if block is None or block.kind != "call" or block.event_id != id:
            if block is not None and block.kind == "call" and not self._closes(block):
                self._held.append(event)
                return
            if isinstance(event, ToolInputEnd):
                return  # the call itself follows
            block = self._begin("call", id, name)
        if isinstance(event, ToolInputDelta):
            if event.text:
                block.pieces.append(event.text)
                self.grow(block, event.text)
        elif isinstance(event, ToolInputEnd):
            block.metadata = event.provider_metadata or block.metadata
        elif not isinstance(event, ToolInputStart):
            self._whole_call(block, event)

    def _ran(self, part: ToolCall | ToolResult, event: Event) -> None:
        """Take what the provider ran itself, or what that gave: it is whole, and a block of its own."""
        native = self.hosted(part) if part.provider_executed else None
        if native is None:
            return
        if self._open is not None and self._open.kind == "call" and not self._closes(self._open):
            self._held.append(event)
            return
        self._begin("hosted", part.id, part.name, native=native)
        self._close()

    def _whole_call(self, block: Block, event: ToolCallEvent | ToolInputError) -> None:
        """Take the end of a call; and its arguments, where no delta brought them."""
        if isinstance(event, ToolCallEvent):
            block.metadata = event.call.provider_metadata or block.metadata
        if not block.text:
            raw = arguments_text(event.call) if isinstance(event, ToolCallEvent) else event.raw
            block.pieces.append(raw)
            self.grow(block, raw)
        self._close()
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for event in held:
            self._take(event)

    def _cite(self, event: Finish) -> None:
        """Take what is cited from the end of an answer, for texts that have not said it."""
        texts = [block for block in self.blocks if block.kind == "text"]
        before = 0
        found = citations_of_response(event.response, texts_of(texts, "text"))
        for block in texts:
            behind = before + len(block.text)
            own = [one for one in found if before <= one.start < behind or (block is texts[-1] and one.start >= behind)]
            block.citations = block.citations or [one.moved(-before) for one in own]
            before = behind

    def _finished(self, event: Finish) -> None:
        while self._held:
            self._close()  # a call that never ended
            self._release()
        self._cite(event)
        self._close()
        self._begun()
        for block in self.blocks:
            self._tell(block)  # some have ended before the backend said what they cite
        self.finish = event
        self.usage = event.usage
        self.conclude(event)


def texts_of(blocks: Sequence[Block], kind: str) -> str:
    """Return all text, or all thinking, of some blocks."""
    return "".join([block.text for block in blocks if block.kind == kind])
