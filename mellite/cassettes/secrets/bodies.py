"""Take the values of secret JSON fields out of a body, and keep the sizes of its pieces in step."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from ..bodies import Body, decoded
from .redaction import Redaction

__all__ = ["may_have_fields", "redacted_body", "resized"]

# Names are compared by their letters and digits alone, in lower case. Quotes are kept: names are cut out at them.
_LOWER: Final = bytes(range(256)).lower()
_IGNORED: Final = bytes([byte for byte in range(256) if byte != ord('"') and not bytes([byte]).isalnum()])

# Escaped letters and digits, and the Kelvin sign, which is a k in lower case.
_ROUNDABOUT: Final = re.compile(rb"\\u00[2-7]|\\u212[aA]|\xe2\x84\xaa")


def redacted_body(data: bytes, redaction: Redaction) -> bytes:
    r"""Return a body without the values of secret JSON fields, in the events of a stream, too.

    A body that has none is returned as it is, the same object.

    Example:
        >>> redacted_body(b'data: {"api_key":"x"}\n\n', Redaction())
        b'data: {"api_key":"[REDACTED]"}\n\n'
    """
    if not _may_name(data, redaction.json_fields):
        return data
    if not data.lstrip().startswith((b"{", b"[")):
        lines = data.split(b"\n")
        clean = [_redacted_line(line, redaction) if line.startswith(b"data:") else line for line in lines]
        return data if clean == lines else b"\n".join(clean)
    return _redacted_json(data, redaction)


def may_have_fields(body: Body, redaction: Redaction) -> bool:
    """Cheap check whether a stream has a secret JSON field; may return True where it has none, or is not a stream."""
    lines = body.lines
    if lines is None:
        return True
    strings: list[str] = []
    for one in lines.strings:
        if isinstance(one, str):
            strings.append(one)
        else:
            strings.append(one.first)
            for texts in one.texts.values():
                strings += dict.fromkeys(texts)
    return _may_name('"'.join(strings).encode(), redaction.json_fields)


def _may_name(data: bytes, fields: frozenset[str]) -> bool:
    """Cheap check whether a body has one of some fields; may return True where it has none."""
    if not _as_bytes(fields).isdisjoint(data.translate(_LOWER, _IGNORED).split(b'"')):
        return True
    return (b"\\" in data or b"\xe2" in data) and _ROUNDABOUT.search(data) is not None


@lru_cache(maxsize=8)
def _as_bytes(fields: frozenset[str]) -> frozenset[bytes]:
    return frozenset([name.encode() for name in fields])


def _redacted_line(line: bytes, redaction: Redaction) -> bytes:
    """Return the ``data:`` line of an event without its secrets."""
    payload = line[5:].strip()
    clean = _redacted_json(payload, redaction)
    return line if clean is payload else line.replace(payload, clean)


def _redacted_json(data: bytes, redaction: Redaction) -> bytes:
    """Return JSON without its secrets; the same object if there are none, or this is not JSON."""
    is_json, value = decoded(data.decode("utf-8", "surrogateescape"))
    if not is_json:
        return data
    try:
        before = msgspec.json.encode(value)
        after = msgspec.json.encode(redaction.json(value))
    except (ValueError, RecursionError):  # half of a surrogate pair, or too deep
        return data
    return data if before == after else after


def resized(before: bytes, after: bytes, sizes: Sequence[int]) -> list[int]:
    r"""Return the sizes of the pieces of a body after some of its lines were changed.

    A cut between two lines stays between them. A cut within a changed line stays as near as that line allows.

    Example:
        >>> resized(b"data: secret\n\ndata: b\n", b"data: x\n\ndata: b\n", [14, 4, 4])
        [9, 4, 4]
    """
    old, new = before.split(b"\n"), after.split(b"\n")
    if len(old) != len(new):
        ends = [min(end, len(after)) for end in accumulate(sizes)]
        ends[-1:] = [len(after)] if ends else []
    else:
        starts = list(accumulate([len(line) + 1 for line in old], initial=0))
        moved = list(accumulate([len(line) + 1 for line in new], initial=0))
        ends = []
        for end in accumulate(sizes):
            line = max(0, bisect_left(starts, end) - 1)  # the line of the last byte before the cut
            rest = end - starts[line]
            whole = rest >= len(old[line])  # the cut is behind the line, or behind the break after it
            ends.append(moved[line] + (len(new[line]) + rest - len(old[line]) if whole else min(rest, len(new[line]))))
    return [end - start for start, end in pairwise([0, *ends])]
