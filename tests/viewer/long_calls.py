"""Make a recording of a call that says a lot: a conversation of many messages, or one text, of some megabytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.viewer.viewing import recorded

_WORDS: Final = "Here is **some** text with `code`, [a link](https://example.org/a) and words that go on for a while.\n"

_LIST: Final = "- an item with **words** and `code`\n"


def long_call(path: Path, size: int, *, messages: int = 300, end: str = "The very end.") -> Path:
    """A cassette of one call of so many characters in so many messages, the last of which ends with some words."""
    recorded(path, "Yes, **all** of it.")
    stored = json.loads(path.read_text(encoding="utf-8"))
    asked = stored["interactions"][0]["request"]
    body = json.loads(asked["body"])
    body["messages"] = [
        {
            "role": "assistant" if number % 2 else "user",
            "content": f"Turn {number}.\n\n{_text(size // messages, _LIST if number % 3 else _WORDS)}",
        }
        for number in range(messages)
    ]
    body["messages"][-1]["content"] += f"\n{end}"
    asked["body"] = json.dumps(body)
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path


def _text(size: int, line: str) -> str:
    return line * (size // len(line))


def in_parts(path: Path, texts: Sequence[str]) -> Path:
    """A cassette from `recorded` whose first answer came in these parts, one every 10 ms."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    one = stored["interactions"][0]
    first, *others = one["response"]["body"].split("\n\n")[:-1]
    chunk = json.loads(first.removeprefix("data: "))
    pieces = []
    for text in texts:
        chunk["choices"][0]["delta"]["content"] = text
        pieces.append(f"data: {json.dumps(chunk)}")
    pieces += others
    one["response"]["body"] = "\n\n".join([*pieces, ""])
    sizes = [len(piece.encode()) + 2 for piece in pieces]
    one["mellite"] |= {
        "chunks": " ".join([f"{size}@10000" for size in sizes]),
        "endedUs": 5000 + 10000 * len(sizes),
    }
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path
