"""Read ``logs.db``, the SQLite file of the command line tool llm: its tables up to 0.35, and those since 0.36.

Up to 0.35 each row of ``responses`` is a call, with the messages that were sent in ``prompt_json``; since 0.36 a row of
``turns`` is one, and its messages are a tree by content hash. Both are read, where a file has both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from ...cassettes.files.disk import MAX_BYTES
from ...cassettes.files.vcr import Imported
from ...protocols.openai_chat.request_reading import read as read_chat
from ...values.errors import InvalidCassette, InvalidRequest
from ...values.messages import Part, Reasoning, Text
from ...values.provider_json import Json, JsonObject
from ...values.request import Request
from .calls import Call, add_call, finish_reason, usage_of
from .exchanges import Exchanges
from .llm_columns import answering_model, call_read, column, end_word, options_read, tool_read
from .llm_turns import turns
from .source import Places, Source

__all__ = ["read", "recognizes"]

_SQLITE: Final = b"SQLite format 3\x00"
_ROWS: Final = "SELECT * FROM responses ORDER BY datetime_utc, id"


def recognizes(source: Source) -> bool:
    """Whether a file is a log of llm: a database with its tables."""
    if not source.head.startswith(_SQLITE):
        return False
    try:
        with closing(_opened(source.path)) as database:
            return bool({"responses", "turns"} & _tables(database)) and "conversations" in _tables(database)
    except sqlite3.Error:
        return False


def _opened(path: str) -> sqlite3.Connection:
    """Open a database for reading only, with no row larger than a cassette may be; what it defines is not trusted."""
    database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    database.execute("PRAGMA trusted_schema = OFF")
    database.row_factory = sqlite3.Row
    return database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def read(source: Source) -> Imported:
    """Read a log of llm.

    Raises:
        InvalidCassette: if it is damaged or another database, or there is no call in it.
    """
    places = Places(source.path, "log of llm")
    if not source.head.startswith(_SQLITE):
        places.refuse("$", "a SQLite database", "something else")
    found = Exchanges(places)
    try:
        with closing(_opened(source.path)) as database:
            tables = _tables(database)
            if not {"responses", "turns"} & tables:
                places.refuse("$", "the table 'responses' or 'turns'", ", ".join(sorted(tables)) or "no tables")
            for row in database.execute(_ROWS) if "responses" in tables else ():
                _add(found, _Row(dict(row), database, tables))
            if "turns" in tables:
                turns(found, database)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        msg = f"{source.path!r} is damaged, or no log of llm that is known: {error}"
        raise InvalidCassette(msg, path=source.path) from error
    found.say("times, fragments' sources, names of conversations, schemas")
    return found.imported()


@frozen
class _Row:
    """A row of ``responses``."""

    fields: JsonObject
    database: sqlite3.Connection
    tables: set[str]

    @property
    def where(self) -> str:
        """The place of the row, for people."""
        return f"response {self.fields.get('id')}"

    def value(self, name: str) -> Json:
        """Return the JSON in a column, its references to other columns resolved; None if there is none.

        Raises:
            InvalidRequest: if a reference leads nowhere.
        """
        return self._resolved(column(self.fields, name))

    def _resolved(self, value: Json) -> Json:
        """Return a value without references: ``{"$": id}``, or ``{"$r": [...]}`` for a text with some in it."""
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if [*value] == ["$"]:
            return self._referred(value["$"])
        if [*value] == ["$r"] and isinstance(value["$r"], list):
            return "".join([one if isinstance(one, str) else str(self._resolved(one)) for one in value["$r"]])
        if [*value] == ["$raw"]:
            return value["$raw"]
        return {name: self._resolved(item) for name, item in value.items()}

    def _referred(self, name: Json) -> Json:
        """Return the text of a fragment, ``f1``, or of a response, ``r:ID``.

        Raises:
            InvalidRequest: if it is not in the log.
        """
        name = str(name)
        if name.startswith("r:"):
            query, key = "SELECT response FROM responses WHERE id = ?", name[2:]
        else:
            query, key = "SELECT content FROM fragments WHERE id = ?", name[1:]
        row = self.database.execute(query, (key,)).fetchone()
        if row is None:
            msg = f"it refers to {name!r:.80}, which is not in the log"
            raise InvalidRequest(msg)
        return row[0]

    def rows(self, query: str) -> Iterator[JsonObject]:
        """Yield the rows of another table that belong to this one; none if the file has no such table."""
        if query.split(" FROM ")[1].split(maxsplit=1)[0] in self.tables:
            for row in self.database.execute(query, (self.fields.get("id"),)):
                yield dict(row)


def _add(found: Exchanges, row: _Row) -> None:
    answer, told = column(row.fields, "response_json"), row.fields.get("response")
    answer = answer if isinstance(answer, dict) else {}
    parts = _parts(row, told)
    if not parts:
        found.skip(row.where, "it has no answer")
        return
    try:
        request = _request(row)
    except InvalidRequest as error:
        found.skip(row.where, f"it cannot be asked again: {error}")
        return
    call = Call(
        provider="",
        model=answering_model(answer, row.fields),
        request=request,
        answer=parts,
        reason=finish_reason(end_word(answer) or "stop"),
        usage=usage_of(row.fields, cached="", written="", thought=""),  # the row has no parts of them
    )
    add_call(found, call, row.where)
    if any(True for _ in row.rows(_ATTACHMENTS)) and not _sent(row):
        found.say("attachments of calls whose messages llm did not keep")


_TOOLS: Final = (
    "SELECT t.* FROM tools t JOIN tool_responses r ON r.tool_id = t.id WHERE r.response_id = ? ORDER BY t.id"
)
_FRAGMENTS: Final = (
    "SELECT f.content FROM fragments f JOIN prompt_fragments p ON p.fragment_id = f.id WHERE p.response_id = ? "
    'ORDER BY p."order"'
)
_CALLS: Final = "SELECT * FROM tool_calls WHERE response_id = ? ORDER BY id"
_ATTACHMENTS: Final = "SELECT * FROM prompt_attachments WHERE response_id = ?"


def _sent(row: _Row) -> list[Json]:
    """Return the messages that were sent, where llm kept them, as it does for OpenAI's models."""
    sent = row.value("prompt_json")
    messages = sent.get("messages") if isinstance(sent, dict) else None
    return messages if isinstance(messages, list) else []


def _request(row: _Row) -> Request:
    """Return what was asked: the messages that were sent, or the prompt.

    Raises:
        InvalidRequest: for what no request can hold.
    """
    messages = [_without_nothing(one) for one in _sent(row)]
    if not messages:
        if row.fields.get("system"):
            messages.append({"role": "system", "content": str(row.fields["system"])})
        fragments = [str(one["content"]) for one in row.rows(_FRAGMENTS)]
        prompt = "\n".join([*fragments, str(row.fields.get("prompt") or "")])
        messages.append({"role": "user", "content": prompt})
    tools = tuple([tool_read(tool) for tool in row.rows(_TOOLS)])
    return evolve(read_chat({"messages": messages}), tools=tools, options=options_read(row.value("options_json")))


def _without_nothing(message: Json) -> Json:
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if value is not None}


def _parts(row: _Row, told: Json) -> list[Part]:
    """Return the parts of an answer: thinking, text, calls of tools."""
    parts: list[Part] = [Reasoning(str(text)) for text in (row.fields.get("reasoning"),) if text]
    parts += [Text(str(text)) for text in (told,) if text]
    for number, call in enumerate(row.rows(_CALLS)):
        parts.append(call_read(call, number))
    return parts
