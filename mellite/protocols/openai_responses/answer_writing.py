"""Write an answer as OpenAI Responses does: its stream of events, the whole response, and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ...values.errors import MelliteError
from ...values.events import Finish, FinishReason
from ...values.messages import ToolCall, ToolResult
from ...values.provider_json import Json, JsonObject
from ..answer_blocks import AnswerWriter, Block, json_line, kept, texts_of
from ..citations import Citation
from ..openai_writing import error_body, usage_written

__all__ = ["ResponsesWriter", "error_body"]

#: Why an answer is incomplete; every other one is completed.
_INCOMPLETE: Final[Mapping[FinishReason, str]] = {"length": "max_output_tokens", "content-filter": "content_filter"}

#: Fields of the request that the response says again, and what they are by default.
_REPEATED: Final[Mapping[str, Json]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
_REFUSED: Final = "refusal"


class ResponsesWriter(AnswerWriter):
    r"""Writes OpenAI Responses.

    Example:
        >>> from mellite.values.events import TextDelta
        >>> writer = ResponsesWriter(model="m", id="1")
        >>> writer.write(TextDelta("Hi!")).split(b"\n", 1)[0]
        b'event: response.created'
    """

    _number = 0

    def start(self) -> None:
        """Write the response without its output."""
        begun = self._response("in_progress", [])
        self._event("response.created", response=begun)
        self._event("response.in_progress", response=begun)

    def begin(self, block: Block) -> None:
        """Write the beginning of an item."""
        item = {**self._item(block, whole=False), "status": "in_progress"}
        if block.kind == "reasoning" or (block.kind == "hosted" and "status" not in block.native):
            del item["status"]
        self._event("response.output_item.added", output_index=block.index, item=item)
        if block.kind == "text":
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self._event("response.content_part.added", **self._place(block), content_index=0, part=part)

    def grow(self, block: Block, text: str) -> None:
        """Write more of an item."""
        place = self._place(block)
        if block.kind == "text":
            self._event("response.output_text.delta", **place, content_index=0, delta=text, logprobs=[])
        elif block.kind == "call":
            if not self._is_custom(block):
                self._event("response.function_call_arguments.delta", **place, delta=text)
        else:
            if len(block.pieces) == 1:
                part = {"type": "summary_text", "text": ""}
                self._event("response.reasoning_summary_part.added", **place, summary_index=0, part=part)
            self._event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=text)

    def cite(self, block: Block) -> None:
        """Write what a text cites; after the item has ended, readers find it in the whole response, too."""
        for number, one in enumerate(_text_part(block)["annotations"]):
            where = {**self._place(block), "content_index": 0, "annotation_index": number}
            self._event("response.output_text.annotation.added", **where, annotation=one)

    def end(self, block: Block) -> None:
        """Write the end of an item."""
        place, text = self._place(block), block.text
        if block.kind == "text":
            part = _text_part(block)
            self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
            self._event("response.content_part.done", **place, content_index=0, part=part)
        elif block.kind == "reasoning":
            if text:
                part = {"type": "summary_text", "text": text}
                self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
                self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
        elif block.kind == "hosted":
            pass  # all that there is, the item says
        elif self._is_custom(block):
            self._event("response.custom_tool_call_input.delta", **place, delta=_input(block))
            self._event("response.custom_tool_call_input.done", **place, input=_input(block))
        else:
            self._event("response.function_call_arguments.done", **place, name=block.name, arguments=text)
        self._event("response.output_item.done", output_index=block.index, item=self._item(block, whole=True))

    def hosted(self, part: ToolCall | ToolResult) -> JsonObject | None:
        """Return the item of a tool that OpenAI ran: call and result are one, which is kept as the result."""
        item = part.result.value if isinstance(part, ToolResult) else None
        return dict(item) if isinstance(item, Mapping) and "openai" in (part.provider_metadata or {}) else None

    def conclude(self, finish: Finish) -> None:
        """Write a refusal, if there was nothing else, and the whole response."""
        if self._declined(finish):
            index = len(self.blocks)
            item = {**self._refused(finish), "content": [], "status": "in_progress"}
            place: JsonObject = {"item_id": item["id"], "output_index": index, "content_index": 0}
            part: JsonObject = {"type": "refusal", "refusal": ""}
            self._event("response.output_item.added", output_index=index, item=item)
            self._event("response.content_part.added", **place, part=part)
            self._event("response.refusal.delta", **place, delta=finish.refusal)
            self._event("response.refusal.done", **place, refusal=finish.refusal)
            self._event("response.content_part.done", **place, part={**part, "refusal": finish.refusal})
            self._event("response.output_item.done", output_index=index, item=self._refused(finish))
        whole = self.whole()
        self._event(f"response.{whole['status']}", response=whole)

    def failed(self, error: MelliteError, body: JsonObject) -> None:  # noqa: ARG002 - the same for every error
        """Write that the response failed."""
        said = body["error"]
        response = self._response("failed", self._output())
        response["error"] = {"code": said.get("code") or said.get("type"), "message": said.get("message")}
        self._event("response.failed", response=response)

    def whole(self) -> JsonObject:
        """Return the whole response."""
        finish = self.finish or Finish("unknown")
        output = self._output()
        if self._declined(finish):
            output.append(self._refused(finish))
        why = _INCOMPLETE.get(finish.reason)
        response = self._response("completed" if why is None else "incomplete", output)
        response["incomplete_details"] = None if why is None else {"reason": why}
        response["usage"] = usage_written(finish.usage, taken="input", given="output")
        return response

    def _output(self) -> list[JsonObject]:
        return [self._item(block, whole=True) for block in self.blocks]

    def _declined(self, finish: Finish) -> bool:
        return bool(finish.refusal) and not texts_of(self.blocks, "text")

    def _refused(self, finish: Finish) -> JsonObject:
        part = {"type": _REFUSED, "refusal": finish.refusal}
        return {
            "id": f"msg_{self.id}_r",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }

    def _response(self, status: str, output: list[JsonObject]) -> JsonObject:
        repeated = {name: self.fields.get(name, default) for name, default in _REPEATED.items()}
        return {
            "id": f"resp_{self.id}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": output,
            **repeated,
            "store": self.fields.get("store") is not False,
            "usage": None,
        }

    def _item(self, block: Block, *, whole: bool) -> JsonObject:
        if block.kind == "hosted":
            return dict(block.native)
        id = self._item_id(block)
        if block.kind == "text":
            content = [_text_part(block)] if whole else []
            message = {"id": id, "type": "message", "status": "completed", "role": "assistant", "content": content}
            return {**message, **kept(phase=block.noted("openai").get("phase"))}
        if block.kind == "reasoning":
            summary = [{"type": "summary_text", "text": block.text}] if whole and block.text else []
            known = block.noted("openai").get("encrypted_content")
            return {"id": id, "type": "reasoning", "summary": summary, **kept(encrypted_content=known)}
        call: JsonObject = {"id": id, "status": "completed", "call_id": block.event_id, "name": block.name}
        if self._is_custom(block):
            return {**call, "type": "custom_tool_call", "input": _input(block) if whole else ""}
        return {**call, "type": "function_call", "arguments": block.text if whole else ""}

    def _item_id(self, block: Block) -> str:
        if block.kind == "hosted":
            return str(block.native.get("id") or block.event_id)
        prefix = {"text": "msg", "reasoning": "rs", "call": "ctc" if self._is_custom(block) else "fc"}[block.kind]
        return f"{prefix}_{self.id}_{block.index}"

    def _is_custom(self, block: Block) -> bool:
        """Return whether a call is of a tool that takes text, as the client has said."""
        if block.kind != "call":
            return False
        tools = self.fields.get("tools")
        return any(
            isinstance(tool, Mapping) and tool.get("type") == "custom" and tool.get("name") == block.name
            for tool in (tools if isinstance(tools, list) else ())
        )

    def _place(self, block: Block) -> JsonObject:
        return {"item_id": self._item_id(block), "output_index": block.index}

    def _event(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self.put(b"event: %b\ndata: %b\n\n" % (kind.encode(), json_line(event)))


def _text_part(block: Block) -> JsonObject:
    """Return a text with what it cites."""
    cited = [found for one in block.citations if (found := _annotation(one)) is not None]
    return {"type": "output_text", "text": block.text, "annotations": cited, "logprobs": []}


def _annotation(one: Citation) -> JsonObject | None:
    """Return a citation as an annotation; None for a document of another vendor."""
    if one.vendor == "openai-responses":
        return one.raw
    span = {"start_index": one.start, "end_index": one.end}
    return {"type": "url_citation", "url": one.url, "title": one.title or one.url, **span} if one.url else None


def _input(block: Block) -> str:
    """Return the text that a tool is given that takes text; models that know only objects put it into one."""
    raw = block.text
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    if isinstance(value, str):
        return value
    inner = value.get("input") if isinstance(value, dict) and len(value) == 1 else None
    return inner if isinstance(inner, str) else raw
