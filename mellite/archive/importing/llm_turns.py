"""Read the tables of llm 0.36 and later: turns, and the messages of each, which are a tree by content hash."""

from __future__ import annotations

import sqlite3
from typing import Final

from attrs import frozen

from ...values.errors import InvalidRequest
from ...values.messages import (
    Audio,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolResult,
    ToolValue,
    Video,
)
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from .calls import Call, add_call, finish_reason, usage_of
from .exchanges import Exchanges
from .llm_columns import answering_model, call_read, column, end_word, options_read, tool_read

__all__ = ["turns"]

_TURNS: Final = "SELECT * FROM turns ORDER BY datetime_utc, id"
_MESSAGE: Final = "SELECT hash, parent_hash, role FROM messages WHERE hash = ?"
_PARTS: Final = "SELECT * FROM parts WHERE message_hash = ? ORDER BY position"
_TOOLS: Final = "SELECT t.* FROM tools t JOIN turn_tools u ON u.tool_id = t.id WHERE u.turn_id = ? ORDER BY t.id"
_FRAGMENT: Final = "SELECT content FROM fragments WHERE id = ?"
_ATTACHMENT: Final = "SELECT * FROM attachments WHERE id = ?"

#: The longest conversation that is read: one that refers to itself would have no end.
_LONGEST: Final = 10_000

_MEDIA: Final[dict[str, type[Media]]] = {"image/": Image, "audio/": Audio, "video/": Video}
_ROLES: Final[dict[str, Role]] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def turns(found: Exchanges, database: sqlite3.Connection) -> None:
    """Add each turn of a log as a call.

    Raises:
        InvalidCassette: if a conversation has no end, or a message an unknown role.
        sqlite3.Error: if the database is damaged.
    """
    tree = _Tree(database, found)
    for row in database.execute(_TURNS):
        _add(found, tree, dict(row))


def _add(found: Exchanges, tree: _Tree, row: JsonObject) -> None:
    where = f"turn {row.get('id')}"
    asked = tree.chain(row.get("parent_message_hash"), where)
    told = tree.chain(row.get("tip_message_hash"), where)[len(asked) :]
    if not asked or not told:
        found.skip(where, "it has no answer" if asked else "nobody knows what was asked")
        return
    system: list[Text] = []
    while asked and asked[0].role == "system":
        system += [part for part in asked.pop(0).content if isinstance(part, Text)]
    answer = column(row, "response_json")
    answer = answer if isinstance(answer, dict) else {}
    try:
        request = Request(
            tuple(asked),
            system=tuple(system),
            tools=tuple([tool_read(dict(tool)) for tool in tree.database.execute(_TOOLS, (row.get("id"),))]),
            options=options_read(column(row, "options_json")),
        )
    except InvalidRequest as error:
        found.skip(where, f"it cannot be asked again: {error}")
        return
    call = Call(
        provider="",
        model=answering_model(answer, row),
        request=request,
        answer=[part for message in told if message.role == "assistant" for part in message.content],
        reason=finish_reason(end_word(answer) or "stop"),
        usage=usage_of(row, cached="", written="", thought=""),  # the row has no parts of them
    )
    add_call(found, call, where)


@frozen
class _Tree:
    """The messages of a log."""

    database: sqlite3.Connection
    found: Exchanges

    def chain(self, tip: Json, where: str) -> list[Message]:
        """Return a message with all before it, oldest first; none if it is not there."""
        messages: list[Message] = []
        while tip is not None:
            row = self.database.execute(_MESSAGE, (tip,)).fetchone()
            if row is None:
                return []
            if len(messages) >= _LONGEST:
                self.found.places.refuse(where, f"at most {_LONGEST:,} messages", "a conversation without end")
            role = _ROLES.get(row["role"])
            if role is None:
                self.found.places.refuse(f"messages {row['hash']}", "system, user, assistant or tool", row["role"])
            messages.append(Message(role, self._parts(row["hash"], where)))
            tip = row["parent_hash"]
        messages.reverse()
        return messages

    def _parts(self, hash: str, where: str) -> list[Part]:
        parts: list[Part] = []
        for number, row in enumerate(self.database.execute(_PARTS, (hash,)).fetchall()):
            payload = column(dict(row), "payload")
            fields: JsonObject = {**(payload if isinstance(payload, dict) else {}), "type": row["type"]}
            if row["text"] is not None:
                fields["text"] = row["text"]
            part = self._part(fields, number)
            if part is None:
                self.found.skip(where, f"parts of the type {row['type']!r}")
            else:
                parts.append(part)
        return parts

    def _part(self, fields: JsonObject, number: int) -> Part | None:
        kind = fields["type"]
        if kind == "text":
            return Text(self._text(fields))
        if kind == "reasoning":
            return Reasoning(self._text(fields))
        if kind == "tool_call" and not fields.get("server_executed"):
            return call_read(fields, number)
        if kind == "tool_result" and not fields.get("server_executed"):
            id, name = str(fields.get("tool_call_id") or f"call_{number}"), str(fields.get("name"))
            failed, output = fields.get("exception"), str(fields.get("output") or "")
            return ToolResult(id, name, ToolValue("error", output or str(failed)) if failed else output)
        attachment = fields.get("attachment")
        return self._media(attachment.get("id")) if kind == "attachment" and isinstance(attachment, dict) else None

    def _text(self, fields: JsonObject) -> str:
        """Return the text of a part: its own, or put together of pieces and fragments."""
        pieces = fields.get("text_ref")
        if not isinstance(pieces, list):
            return str(fields.get("text") or "")
        return "".join([self._piece(piece) for piece in pieces if isinstance(piece, dict)])

    def _piece(self, piece: JsonObject) -> str:
        if "literal" in piece:
            return str(piece["literal"])
        row = self.database.execute(_FRAGMENT, (piece.get("fragment"),)).fetchone()
        return "" if row is None else str(row["content"])

    def _media(self, id: Json) -> Media | None:
        row = self.database.execute(_ATTACHMENT, (id,)).fetchone()
        if row is None or (row["content"] is None and row["url"] is None):  # a file that is not in the log
            return None
        made = next((one for begin, one in _MEDIA.items() if str(row["type"]).startswith(begin)), Document)
        if row["content"] is not None:
            return made(bytes(row["content"]), media_type=row["type"])
        return made(url=str(row["url"]), media_type=row["type"])
