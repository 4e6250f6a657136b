"""Streams as six protocols send them, made at random, with made-up keys planted in every place a text can have."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from zlib import crc32

from tests.values.secrets.made_up import KEYS

SECRET = "correct horse battery staple"
"""A value that is known to be secret, and of no known form."""

WORDS = (
    "Hello",
    " world",
    " and",
    " sk",
    "-",
    " Bearer",
    "\n",
    ' "quoted"',
    " \\",
    "é",
    " 12",
    "",
    "{",
    "}",
    ":",
    "@",
    "_",
)
FIELDS = ("password", "api_key", "apiKey", "token", "access-token", "secret")

Event = dict[str, Any]


def made(chance: random.Random) -> bytes:
    """Return the body of one stream."""
    count = chance.choice([2, 3, 5, 9, 20, 40])
    pieces = [chance.choice(WORDS) for _ in range(count)]
    plant(pieces, chance)
    protocol = chance.choice(list(PROTOCOLS))
    events = PROTOCOLS[protocol](pieces, chance)
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        disturb(events, chance)
    data = bedrock(events) if protocol == "bedrock" else lines(events, chance, protocol)
    return data[: chance.randrange(len(data))] if chance.random() < 0.1 else data


def key(chance: random.Random) -> str:
    """Return a key of a random kind, perhaps in another form."""
    plain = SECRET if chance.random() < 0.1 else "".join(chance.choice(list(KEYS.values())))
    forms: Sequence[Callable[[str], str]] = (
        str,
        str,
        str,
        lambda text: base64.b64encode(f"{chance.choice(WORDS)}{text}".encode()).decode(),
        lambda text: quote(text, safe=""),
        lambda text: json.dumps({chance.choice(FIELDS): text}),
        lambda text: json.dumps(json.dumps([text])),
        lambda text: f"\x1b[31m{text}\x1b[0m",
        lambda text: f"{text[:5]}\x1b[1m{text[5:]}",
        lambda text: "".join([f"\\u{ord(letter):04x}" for letter in text]),
        lambda text: "\n".join(base64.b64encode(text.encode() * 3).decode()[at : at + 64] for at in range(0, 300, 64)),
    )
    return chance.choice(forms)(plain)


def plant(pieces: list[str], chance: random.Random) -> None:
    """Put keys into the pieces of a text: whole, or cut over several."""
    for _ in range(chance.choice([0, 1, 1, 2])):
        text = key(chance)
        cuts = sorted(chance.sample(range(len(text) + 1), min(len(text), chance.choice([0, 0, 1, 2, 8]))))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        place = chance.randrange(len(pieces) + 1)
        pieces[place:place] = parts


def disturb(events: list[Event], chance: random.Random) -> None:
    """Change one event: a key or a secret field somewhere in it, once more, elsewhere, or another event in between."""
    place = chance.randrange(len(events))
    event = json.loads(json.dumps(events[place]))
    inside = event
    while chance.random() < 0.7 and any(isinstance(value, dict) for value in inside.values()):
        inside = chance.choice([value for value in inside.values() if isinstance(value, dict)])
    change = chance.randrange(7)
    if change == 0:
        inside[chance.choice(FIELDS)] = chance.choice(["x", "hunter2", key(chance)])
    elif change == 1:
        inside[key(chance)] = "x"
    elif change == 2 and inside:
        inside[chance.choice(list(inside))] = key(chance)
    elif change == 3:
        inside["number"] = chance.choice([0, -1, 1.5, 10**20, 123456789012, None, True, [1, 2, 3]])
    elif change == 4:
        events.insert(chance.randrange(len(events) + 1), events[place])
        return
    elif change == 5:
        events.insert(place, {"type": "ping"})
        return
    else:
        inside["index"] = chance.randrange(3)
    if chance.random() < 0.5:
        events[place] = event
    else:  # in all events that are like it
        for number, other in enumerate(events):
            if other.keys() == events[place].keys():
                events[number] = {**other, **{name: event[name] for name in event if name not in other}}


def chat(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Chat Completions, perhaps of several answers at once."""
    known = {"id": f"chatcmpl-{chance.randrange(10**9)}", "object": "chat.completion.chunk", "created": 1741569952}
    padded, answers, field = chance.random() < 0.5, chance.choice([1, 1, 2]), chance.choice(["content", "arguments"])

    def event(delta: Event, number: int) -> Event:
        more = {"obfuscation": "x" * chance.randrange(12)} if padded else {}
        return {**known, "choices": [{"index": number % answers, "delta": delta, "finish_reason": None}], **more}

    deltas = [
        {"content": text} if field == "content" else {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        for text in pieces
    ]
    usage = {**known, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(pieces)}}
    opening = event({"role": "assistant", "content": chance.choice(["", "Well"])}, 0)
    return [opening, *map(event, deltas, range(len(deltas))), event({}, 0), usage]


def responses(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Responses, whose events have a number each."""
    kind = chance.choice(["output_text", "function_call_arguments"])
    item = f"msg_{chance.randrange(10**9)}"
    events: list[Event] = [{"type": "response.created", "response": {"id": "resp_1", "output": []}}]
    events += [
        {
            "type": f"response.{kind}.delta",
            "item_id": item,
            "output_index": 0,
            "delta": text,
            "obfuscation": "y" * chance.randrange(9),
        }
        for text in pieces
    ]
    events.append({"type": f"response.{kind}.done", "item_id": item, "text": "".join(pieces)})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def anthropic(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Messages: thinking first, then text or what a tool is called with."""
    kind, field = chance.choice([("text_delta", "text"), ("input_json_delta", "partial_json")])
    half = chance.randrange(len(pieces) + 1)
    deltas = [
        {"type": "thinking_delta", "thinking": text} if number < half else {"type": kind, field: text}
        for number, text in enumerate(pieces)
    ]
    events = [
        {"type": "content_block_delta", "index": int(number >= half), "delta": delta}
        for number, delta in enumerate(deltas)
    ]
    return [{"type": "message_start", "message": {"id": "msg_1", "content": []}}, *events, {"type": "message_stop"}]


def gemini(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Gemini, which counts tokens in every event."""
    return [
        {
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 17, "candidatesTokenCount": chance.randrange(1000)},
            "modelVersion": "gemini-2.5-pro",
        }
        for text in pieces
    ]


def cohere(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Cohere's Chat."""
    number = chance.randrange(2)
    return [
        {"type": "content-delta", "index": number, "delta": {"message": {"content": {"text": text}}}} for text in pieces
    ]


def converse(pieces: Sequence[str], chance: random.Random) -> list[Event]:
    """Converse, whose events are padded."""
    return [
        {"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefghijklmnop"[: chance.randrange(16)]}
        for text in pieces
    ]


PROTOCOLS: Mapping[str, Callable[[Sequence[str], random.Random], list[Event]]] = {
    "openai-chat": chat,
    "openai-responses": responses,
    "anthropic-messages": anthropic,
    "gemini": gemini,
    "cohere-chat": cohere,
    "bedrock": converse,
}


def lines(events: Sequence[Event], chance: random.Random, protocol: str) -> bytes:
    """Write events as a stream of lines."""
    newline = "\r\n" if protocol == "gemini" else "\n"
    separators = (", ", ": ") if chance.random() < 0.3 else (",", ":")
    readable, named = chance.random() < 0.5, protocol in ("openai-responses", "anthropic-messages", "cohere-chat")
    written: list[str] = []
    for event in events:
        text = json.dumps(event, separators=separators, ensure_ascii=readable)
        if protocol == "anthropic-messages":
            text = text[:-1] + " " * chance.randrange(9) + "}"
        name = f"event: {event.get('type', 'message')}{newline}" if named else ""
        written.append(f"{name}data: {text}{newline}{newline}")
    if chance.random() < 0.05:
        written.insert(chance.randrange(len(written)), f": {key(chance)}{newline}{newline}")
    return "".join([*written, f"data: [DONE]{newline}{newline}"]).encode("utf-8", "replace")


def bedrock(events: Sequence[Event]) -> bytes:
    """Write events as messages of an AWS event stream."""
    data = b""
    for event in events:
        payload = json.dumps(event).encode()
        headers = b"\x0b:event-type\x07\x00\x11contentBlockDelta"
        prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
        message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
        data += message + struct.pack(">I", crc32(message))
    return data
