"""A text that grows is masked as the whole of it is, wherever it is cut; and no beginning of a key is ever said."""

from __future__ import annotations

import random
import string
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest

from mellite.values.secrets.growing import GrowingMask
from mellite.values.secrets.keyshape import KeyShape
from mellite.values.secrets.shapes import REDACTED, SHAPES, masked
from tests.values.secrets.made_up import KEYS, made_up

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE owIB\nAAKC\n-----END RSA PRIVATE KEY-----"
AROUND = (
    "It is {key}, or so.",
    '{{"a":"{key}","n":[1,2]}}',
    "<b>{key}</b> and {key}",
    "钥匙是{key}。完",
    "x={key}\r\n\tnext",
    "a[31m{key} sha256={key} {key}",
)
BESIDE = (
    "Bearer Bearer not a key",
    "Authorization: Bearer  short",
    "Authorization:\n\tBasic dXNlcjpwYXNzd29yZA==",
    "https://me,you:hünter2@example.com/ and https://example.com/a,b:c@d",
    "https://" + "long," * 90 + "a:secret@example.com",
    f"{PEM} between {PEM.replace('RSA ', '')} and -----BEGIN CERTIFICATE----- nothing",
    f"{PEM[:50]} goes on and on, to its end",
    "-----BEGIN -----BEGIN A B C D PRIVATE KEY x -----END B PRIVATE KEY----- rest PRIVATE KEY",
    '"secretAccessKey" : "0123456789abcdefghij/+ABCDEFGHIJKLMNOPQR", x',
    f"tid={'0a' * 16};a,b=ü;exp=1234567890 tid=0a, no",
    "https://example.com/?state=1%2F%2F0abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMN&page=2",
    f"[{REDACTED}] [REDACTED], sk-",
    "",
)


def said(pieces: Sequence[str]) -> list[str]:
    """What is said after each piece, and when all have come."""
    mask, shown = GrowingMask(), [""]
    for piece in pieces:
        shown.append(shown[-1] + mask.add(piece))
    return [*shown[1:], shown[-1] + mask.end()]


def cut(text: str, size: int) -> list[str]:
    """A text in pieces of a size."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def check(text: str, pieces: Sequence[str]) -> None:
    """What is said is at each moment a beginning of what the whole text says, and in the end all of it."""
    whole = masked(text)
    shown = said(pieces)
    assert shown[-1] == whole
    assert [each for each in shown if not whole.startswith(each)] == []


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_each_kind_in_pieces(name: str) -> None:
    """A key is masked wherever it is cut, letter by letter or once, in prose, JSON, markup and text without blanks."""
    key = "".join(KEYS[name])
    for around in AROUND:
        text = around.format(key=key)
        for size in (1, 7, len(text)):
            check(text, cut(text, size))
        for place in range(0, len(text), 1 + len(text) // 15):
            check(text, [text[:place], text[place:]])


@pytest.mark.parametrize("text", BESIDE)
def test_what_is_nearly_a_key_in_pieces(text: str) -> None:
    """What only begins as a key, goes on over blanks, or is percent-encoded, is said as the whole text says it."""
    for size in (1, 2, 3, 11, 64, 1000):
        check(text, cut(text, size))


def test_random_texts_in_random_pieces() -> None:
    """Keys, what is nearly one, and words, in any order and cut anywhere, are said as the whole text says it."""
    chance = random.Random(7)
    keys = ["".join(each) for each in KEYS.values()]
    # A percent-encoded word ends at a blank for the whole text and is told apart with what stands beside it.
    beside = [each for each in BESIDE if "%" not in each]
    for _ in range(300):
        text = "".join(
            chance.choice(
                [chance.choice(keys), chance.choice(beside), chance.choice((" ", "\n", ",", "中", '"', "a "))]
            )
            for _ in range(chance.randrange(1, 9))
        )
        if "%" in text:
            continue
        places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(12)))
        check(text, [text[one:other] for one, other in zip([0, *places], [*places, len(text)], strict=True)])


def test_shapes_say_what_may_stand_in_them() -> None:
    """A kind of key in which a blank or the like may stand says so, or a text would be cut there."""
    breaks = [*string.whitespace, *"<>{}],", "ü", "中"]

    def goes_over(shape: KeyShape, key: str) -> bool:
        for place in range(len(key)):
            for character in breaks:
                for text in (key[:place] + character + key[place:], key[:place] + character + key[place + 1 :]):
                    if any(found.start() < place < found.end() for found in shape.matches(text)):
                        return True
        return False

    silent = [shape.name for shape in SHAPES if not shape.opening and goes_over(shape, "".join(made_up(shape)))]
    assert silent == []


def looked_at(pieces: Sequence[str]) -> int:
    """How many characters functions of the masks are handed while a text comes."""
    total = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal total
        if event == "call" and frame.f_code.co_name == "masked":
            total += len(frame.f_locals["text"])

    mask = GrowingMask()
    sys.setprofile(count)
    try:
        for piece in pieces:
            mask.add(piece)
        mask.end()
    finally:
        sys.setprofile(None)
    return total


@pytest.mark.parametrize(
    "word", ["many words ", "bearer ", "-----BEGIN A ", "https://a,b", '{"a":[1,2],', "x", "中文", PEM]
)
def test_each_character_is_masked_once(word: str) -> None:
    """What a text of any kind costs grows with its length and not with how often it has grown."""
    text = word * (200_000 // len(word))
    assert looked_at(cut(text, 50)) <= len(text)
