"""Looking for secrets takes time in proportion to the text, whatever is in it: one row of the table after the other.

What is compared is CPU time with CPU time of the same process: sixteen times the text may take up to 64 times as long.
It would take 256 times as long if each place were looked at from each other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import pytest

from mellite.cassettes.secrets.condensing import condensed
from mellite.cassettes.secrets.redaction import Redaction
from mellite.cassettes.secrets.scan import SecretScan
from mellite.values.secrets.keyshape import KeyShape
from mellite.values.secrets.names import named_secrets
from mellite.values.secrets.other_forms import decoded, long_words, plain_forms
from mellite.values.secrets.shapes import SHAPES, looks_secret, masked
from tests.values.secrets.made_up import HEX, made_up

FEW, MANY = 1_000, 16_000
ALLOWED = 64
NUMBERS = count()


def spent(look: Callable[[str], object], text: str) -> float:
    """The least CPU time of two looks at a text; not at the very same, so that nothing is remembered."""
    times = []
    for _ in range(2):
        another = f"{text}{next(NUMBERS)}"
        began = time.process_time_ns()
        look(another)
        times.append(time.process_time_ns() - began)
    return min(times)


def grows_too_fast(look: Callable[[str], object], piece: str) -> bool:
    """Whether sixteen times as many pieces take more than 64 times as long; asked again before that is believed."""
    few, many = piece * (FEW // len(piece) + 1), piece * (MANY // len(piece) + 1)
    return all(spent(look, many) > ALLOWED * max(spent(look, few), 1_000) for _ in range(3))


def hardest(shape: KeyShape) -> list[str]:
    """Texts that nearly are such keys, to be repeated: each part of one, and one that goes wrong at its very end."""
    one, other = made_up(shape)
    key, mark = one + other, next(mark for mark in shape.marks if mark in one + other)
    head = key[: key.index(mark) + len(mark)]
    return [
        f"-{mark}",
        f"_{head}a",
        f"{head}0-",
        f"{head}a.",
        f"{key[:-1]}!",
        f"{key[: len(key) // 2]}\x00",
        f"{head}{HEX[:32]};a=b;",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(0, len(SHAPES), 15))
def test_every_row(part: int) -> None:
    """Each row of the table takes linear time for what nearly is such a key, many times over."""
    slow = [
        (shape.name, piece)
        for shape in SHAPES[part : part + 15]
        for piece in hardest(shape)
        if grows_too_fast(lambda text, shape=shape: list(shape.matches(text)), piece)
    ]
    assert slow == []


LOOKS: dict[str, Callable[[str], object]] = {
    "scan": SecretScan({"correct horse battery": "MY_PASSWORD"}).text,
    "forms": plain_forms,
    "words": long_words,
    "base64": lambda text: decoded(long_words(text)),
    "stream": lambda text: condensed("$", f"data: {text}"),
    "mask": masked,
    "look": looks_secret,
    "JSON in a string": Redaction().text,
    "URL": Redaction().url,
    "variables": lambda text: named_secrets({"MY_KEY": text, "OTHER_KEY": f"https://{text}"}),
}
PIECES = (
    *(
        "\\",
        '\\"',
        "\\u00",
        "%25",
        "%",
        "\x1b[",
        "\x1b[1;",
        "{",
        '{"a":',
        '"',
        '""',
        "\n",
        "data: ",
        "data: {\n",
    ),
    *("a", "ab+/", "QUJD\n", "=", "-", "/@", "://a:", "@", "a=b&", "?key=", "Bearer ", "eyJ.", '{"a":"b"}\ndata: '),
    *("-----BEGIN PRIVATE KEY", '{"a":"\\"","i":1}\ndata: ', "tid=0123456789abcdef0123;a=b;"),
)


@pytest.mark.parametrize("look", LOOKS)
def test_everything_else(look: str) -> None:
    """So do the scan, the mask and the redaction as a whole."""
    assert [piece for piece in PIECES if grows_too_fast(LOOKS[look], piece)] == []
