"""The conversation as the messages of Cohere's Chat: texts, images, thinking, tool calls, documents beside them."""

from __future__ import annotations

from typing import Final

from ...values.errors import InvalidRequest
from ...values.messages import Document, Image, Message, Reasoning, Text, ToolCall, ToolResult
from ...values.provider_json import JsonObject
from ...values.request import Request
from ..media import IMAGE_TYPES, LARGEST, data_url, media_type_of, web_url
from ..message_parts import as_turns, noted, only, plain_turns, split_system, system_update, texts_of, unsupported
from ..tool_calls import arguments_text, result_text

__all__ = ["WHO", "ConversationWriter"]

#: The protocol's name in messages.
WHO: Final = "Cohere Chat"
_NAMESPACE: Final = "cohere"
_DOCUMENT_TYPES: Final = frozenset({"text/csv", "text/html", "text/markdown", "text/plain"})


class ConversationWriter:
    """Writes the conversation of one request.

    Attributes:
        messages: the ``messages`` of the body.
        documents: the documents of all messages, which stand beside them.
    """

    def __init__(self) -> None:
        self.messages: list[JsonObject] = []
        self.documents: list[JsonObject] = []

    def write(self, request: Request) -> None:
        """Write the system prompt, then the conversation.

        Cohere takes no system message further on ("system turn must be the first in the list"), so that later ones go
        as text of the user.

        Raises:
            InvalidRequest: for a part that a message of its role cannot carry.
        """
        system, turns = split_system(request, who=WHO)
        texts = ["".join([part.text for part in parts]) for parts in system] if system else ()
        if texts and any(texts):
            self.messages.append({"role": "system", "content": "\n".join([text for text in texts if text])})
        plain = plain_turns(request)
        if plain is not None:
            self.messages += as_turns(plain)
            return
        for message in turns:
            self._add(message)

    def _add(self, message: Message) -> None:
        if message.role == "user":
            self.messages.append({"role": "user", "content": self._user_content(message)})
        elif message.role == "assistant":
            self._assistant(message)
        elif message.role == "tool":
            self._tool(message)
        else:
            text = "".join([part.text for part in texts_of(message, who=WHO)])
            self.messages.append({"role": "user", "content": system_update(text)})

    def _user_content(self, message: Message) -> str | list[JsonObject]:
        only(message, (Text, Image, Document), who=WHO)
        shown: list[Text | Image] = []
        for part in message.content:
            if isinstance(part, Document):
                self.documents.append(_document(part))
            elif isinstance(part, (Text, Image)):
                shown.append(part)
        if all(isinstance(part, Text) for part in shown):
            return "".join([part.text for part in shown if isinstance(part, Text)])
        return [_user_part(part) for part in shown]

    def _assistant(self, message: Message) -> None:
        only(message, (Text, Reasoning, ToolCall, ToolResult), who=WHO)
        entry: JsonObject = {"role": "assistant"}
        content = _assistant_content(message)
        if content:
            entry["content"] = content
        calls = [call for call in message.tool_calls if not call.provider_executed]
        if calls:
            entry["tool_calls"] = [_call(call) for call in calls]
        plans = [plan for call in calls if isinstance(plan := noted(call, _NAMESPACE, "tool_plan"), str) and plan]
        if plans:
            entry["tool_plan"] = plans[0]
        citations = [each for part in message.content for each in noted(part, _NAMESPACE, "citations") or ()]
        if citations:
            entry["citations"] = citations
        if len(entry) > 1:
            self.messages.append(entry)

    def _tool(self, message: Message) -> None:
        only(message, (ToolResult,), who=WHO)
        media: list[Image] = []
        for result in message.content:
            if isinstance(result, ToolResult) and not result.provider_executed:
                text, seen = result_text(result)
                self.messages.append({"role": "tool", "tool_call_id": result.id, "content": text})
                for part in seen:
                    if not isinstance(part, Image):
                        raise unsupported(part, "tool", ["Text", "Image"], who=WHO)
                    media.append(part)
        if media:  # a result is text alone: its images follow as one message of the user
            self.messages.append({"role": "user", "content": [_user_part(part) for part in media]})


def _assistant_content(message: Message) -> str | list[JsonObject]:
    """Return the text of an assistant's message; as blocks, if there is thinking of Cohere's own."""
    content: list[JsonObject] = []
    for part in message.content:
        if isinstance(part, Text) and part.text:
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Reasoning) and part.text and _NAMESPACE in (part.provider_metadata or {}):
            content.append({"type": "thinking", "thinking": part.text})
    if all(entry["type"] == "text" for entry in content):
        return "".join([entry["text"] for entry in content])
    return content


def _call(call: ToolCall) -> JsonObject:
    function = {"name": call.name, "arguments": arguments_text(call)}
    return {"id": call.id, "type": "function", "function": function}


def _user_part(part: Text | Image) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    image: JsonObject = {"url": web_url(part, who=WHO) or data_url(part, IMAGE_TYPES, who=WHO)}
    detail = noted(part, _NAMESPACE, "detail")
    return {"type": "image_url", "image_url": image if detail is None else {**image, "detail": detail}}


def _document(part: Document) -> JsonObject:
    """Write a document for the model to cite: text, with its file name as the title."""
    media_type_of(part, _DOCUMENT_TYPES, who=WHO)
    if not part.data or len(part.data) > LARGEST:
        msg = f"{WHO} takes Document parts as 1 to {LARGEST:,} bytes of text, not by URL; mellite fetches nothing"
        raise InvalidRequest(msg, parameter="messages")
    try:
        text = part.data.decode()
    except UnicodeDecodeError as error:
        msg = f"{WHO} takes Document parts as text in UTF-8; {part.filename or 'this one'} is something else"
        raise InvalidRequest(msg, parameter="messages") from error
    return {"data": {"text": text, **({"title": part.filename} if part.filename else {})}}
