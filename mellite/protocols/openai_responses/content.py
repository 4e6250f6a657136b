"""The conversation as the input items of OpenAI Responses: messages, thinking, tool calls and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ...values.errors import InvalidRequest
from ...values.messages import Document, Image, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from ..json_values import shown
from ..media import IMAGE_TYPES, data_url, web_url
from ..message_parts import noted, only, plain_turns, split_system, texts_of, unsupported
from ..tool_calls import arguments_text, result_text
from .answer import APPROVAL

__all__ = ["ConversationWriter"]

_WHO: Final = "OpenAI Responses"
_APPROVAL_ID: Final = "mcpr_"  # begins the ids of requests for approval; the request may be in an answer that is stored
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_FILE_TYPES: Final = frozenset(
    {
        "application/json",
        "application/msword",
        "application/pdf",
        "application/rtf",
        "application/xml",
        f"{_OFFICE}presentationml.presentation",
        f"{_OFFICE}spreadsheetml.sheet",
        f"{_OFFICE}wordprocessingml.document",
        "text/css",
        "text/csv",
        "text/html",
        "text/javascript",
        "text/markdown",
        "text/plain",
        "text/xml",
    }
)


class ConversationWriter:
    """Writes the conversation of one request.

    Args:
        namespace: where the parts of an answer keep what goes back.
        stored: whether the provider keeps its answers, so that an item of one can be named instead of repeated.
        message_ids: whether messages of the assistant have their id.

    Attributes:
        items: the ``input`` of the body.
    """

    def __init__(self, *, namespace: str, stored: bool, message_ids: bool) -> None:
        self._namespace = namespace
        self._stored = stored
        self._message_ids = message_ids
        self.items: list[JsonObject] = []
        self._named: set[str] = set()  # items that were referred to
        self._kinds: dict[str, str] = {}  # tool calls that are not functions, by id
        self._said: JsonObject | None = None  # the message that the next text may belong to
        self._thought: tuple[Json, JsonObject] | None = None  # likewise the thinking, with its id

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation; later system messages are updates by the developer.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry.
        """
        system, turns = split_system(request, who=_WHO)
        if system:
            text = "\n".join(["".join([part.text for part in parts]) for parts in system])
            if text:
                self.items.append({"role": "system", "content": text})
        plain = plain_turns(request)
        if plain is not None:
            self._take_turns(plain)
            return
        for message in turns:
            self._add(message)

    def _take_turns(self, texts: Sequence[str]) -> None:
        """Write the texts of user and model taking turns."""
        is_user = True
        for text in texts:
            if is_user:
                self.items += ({"role": "user", "content": [{"type": "input_text", "text": text}]},)
            else:
                said = [{"type": "output_text", "text": text}]
                self.items += ({"type": "message", "role": "assistant", "content": said},)
            is_user = not is_user

    def _add(self, message: Message) -> None:
        if message.role == "user":
            self.items.append({"role": "user", "content": [_content(part, "user") for part in message.content]})
        elif message.role == "system":
            self.items.append(
                {"role": "developer", "content": "".join([part.text for part in texts_of(message, who=_WHO)])}
            )
        elif message.role == "tool":
            only(message, (ToolResult,), who=_WHO)
            for part in message.content:
                self._part(part)
        else:
            only(message, (Text, Reasoning, ToolCall, ToolResult), who=_WHO)
            self._assistant(message)

    # What the model said

    def _assistant(self, message: Message) -> None:
        self._said = self._thought = None
        for part in message.content:
            if not isinstance(part, Text):
                self._said = None
            if not isinstance(part, Reasoning):
                self._thought = None
            if isinstance(part, Text):
                self._text(part)
            elif isinstance(part, Reasoning):
                self._reasoning(part)
            else:
                self._part(part)

    def _text(self, part: Text) -> None:
        """Write a text: those of one item are one message again, and so are neighbours without an item."""
        if not part.text:
            return
        known = self._noted(part)
        head: JsonObject = {"type": "message", "role": "assistant"}  # llama.cpp and Dynamo need the type
        if self._message_ids and "item_id" in known:
            head["id"] = known["item_id"]
        if known.get("phase"):
            head["phase"] = known["phase"]
        if self._said is None or {**self._said, "content": None} != {**head, "content": None}:
            self._said = {**head, "content": []}
            self.items.append(self._said)
        self._said["content"].append({"type": "output_text", "text": part.text})

    def _reasoning(self, part: Reasoning) -> None:
        """Send thinking back whole, to the provider that made it: a summary alone means nothing to the model."""
        known = self._noted(part)
        if "item" in known:  # something to be sent back as it is, of which the provider shows nothing
            self.items.append(dict(known["item"]))
            return
        id = known.get("item_id")
        if self._stored and id:
            self._refer(id)
            return
        encrypted = known.get("encrypted_content") or (None if part.provider_metadata else part.encrypted)
        shown = known.get("kind") == "reasoning_text"
        if self._thought is None or self._thought[0] != id:
            self._thought = (id, {"type": "reasoning", "summary": []})
        item = self._thought[1]
        if encrypted:
            item["encrypted_content"] = encrypted
        if part.text and shown:
            item.setdefault("content", []).append({"type": "reasoning_text", "text": part.text})
        elif part.text:
            item["summary"].append({"type": "summary_text", "text": part.text})
        if (encrypted or shown) and not (self.items and self.items[-1] is item):
            self.items.append(item)

    # Tools

    def _part(self, part: Part) -> None:
        if isinstance(part, ToolCall):
            self._call(part)
        elif isinstance(part, ToolResult):
            self._result(part)

    def _call(self, call: ToolCall) -> None:
        known = self._noted(call)
        if call.provider_executed:
            asked = known.get("item")
            if isinstance(asked, Mapping) and asked.get("type") == APPROVAL:
                self._kinds[call.id] = APPROVAL
                self.items.append(dict(asked))
            else:
                self._hosted(known.get("item_id"))
            return
        if "item" in known:  # a call of another kind, which only the provider's own words can repeat
            item = dict(known["item"])
            self._kinds[call.id] = item["type"]
        elif known.get("kind") == "custom_tool_call":
            self._kinds[call.id] = "custom_tool_call"
            text = call.raw_arguments if call.raw_arguments is not None else arguments_text(call)
            item = {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": text}
        else:
            item = {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": arguments_text(call),
                **({"namespace": known["namespace"]} if known.get("namespace") else {}),
            }
        self.items.append(item)

    def _result(self, result: ToolResult) -> None:
        if result.provider_executed:
            self._hosted(self._noted(result).get("item_id"))
            return
        kind = self._kinds.get(result.id, APPROVAL if result.id.startswith(_APPROVAL_ID) else "function_call")
        if kind == APPROVAL:
            self.items.append(_approval(result))
            return
        value = result.result
        output: Json
        if kind not in ("function_call", "custom_tool_call") and value.type == "json":
            output = value.value
        elif value.type == "content":
            parts = value.value if isinstance(value.value, (list, tuple)) else (value.value,)
            output = [_content(part, "tool") for part in parts]
        else:
            output = result_text(result)[0]
        self.items.append({"type": f"{kind}_output", "call_id": result.id, "output": output})

    def _hosted(self, id: Json) -> None:
        """Refer to what the provider ran itself, where it keeps answers; else the answer must do."""
        if self._stored and id:
            self._refer(id)

    def _refer(self, id: str) -> None:
        if id not in self._named:
            self._named.add(id)
            self.items.append({"type": "item_reference", "id": id})

    def _noted(self, part: Part) -> Mapping[str, Json]:
        """Return all that an earlier answer noted of a part, to be sent back."""
        metadata = getattr(part, "provider_metadata", None)
        known = metadata.get(self._namespace) if metadata else None
        return known if isinstance(known, Mapping) else {}


def _approval(result: ToolResult) -> JsonObject:
    """Write the answer to a request for approval: yes or no, and why.

    Raises:
        InvalidRequest: if the result says neither.
    """
    value: Json = result.result.value
    reason: Json = None
    if result.result.type == "error":
        value, reason = False, result_text(result)[0]
    elif isinstance(value, Mapping) and value.keys() <= {"approve", "reason"}:
        value, reason = value.get("approve"), value.get("reason")
    if not isinstance(value, bool):
        msg = (
            f"the result for {result.id!r} answers a request for approval of the tool {result.name!r}: give True or "
            f'False, or {{"approve": False, "reason": "..."}}, not {shown(value)}'
        )
        raise InvalidRequest(msg, parameter="messages")
    answer = {"type": "mcp_approval_response", "approval_request_id": result.id, "approve": value}
    return answer if reason is None else {**answer, "reason": str(reason)}


def _content(part: Part, role: str) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        shown = web_url(part, who=_WHO) or data_url(part, IMAGE_TYPES, who=_WHO)
        return {"type": "input_image", "image_url": shown, **_detail(part)}
    if isinstance(part, Document):
        url = web_url(part, who=_WHO)
        if url is not None and not url.startswith("data:"):
            return {"type": "input_file", "file_url": url}
        name = part.filename or "document"
        return {"type": "input_file", "filename": name, "file_data": url or data_url(part, _FILE_TYPES, who=_WHO)}
    raise unsupported(part, role, ["Text", "Image", "Document"], who=_WHO)


def _detail(part: Media) -> JsonObject:
    detail = noted(part, "openai", "detail")
    return {} if detail is None else {"detail": detail}
