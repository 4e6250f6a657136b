"""Recorded answers with random damage: each comes out as a valid answer or as one of mellite's errors, nothing else.

One in five is damaged in the name of a JSON field only, by bytes that are not UTF-8. Such an answer must be an error or
have all of its text: one that is "done" with less counts as silent.

    python -m tests.fuzzing --count 200000 --jobs 2

Every piece of damage has a number and is made anew from it: `--only 4711` repeats one.
"""

from __future__ import annotations

import argparse
import base64
import collections
import concurrent.futures
import contextlib
import gzip
import json
import os
import pickle
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import anyio

from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import BackendError, MelliteError
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.wire.aws import EventStreamDecoder
from tests.corpus_adapter import PROVIDERS
from tests.wire.frames import message

SLOWEST = 2.0
"""Seconds of CPU that one answer may take."""

MEMORY = 256 * 1024 * 1024
"""Bytes that a run may grow by."""

REASONS = {"stop", "length", "tool-calls", "content-filter", "error", "unknown"}


class Recorded(NamedTuple):
    """An answer as it was recorded."""

    key: str
    provider: str
    streaming: bool
    status: int
    headers: dict[str, str]
    body: bytes


def recorded(corpora: Path) -> list[Recorded]:
    """All recorded answers of the protocols that mellite speaks."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as file:
        stored = {(row["set"], row["key"]): row for row in map(json.loads, file)}
    found = []
    for line in (corpora / "expected.jsonl").read_text().splitlines():
        row = json.loads(line)
        kept = stored.get(("expected.jsonl", row["key"]))
        if row["protocol"] in PROVIDERS and kept is not None:
            headers = {name: value for name, value in kept["headers"].items() if name != "content-encoding"}
            body = base64.b64decode(kept["body_b64"])
            provider = PROVIDERS[row["protocol"]]
            found.append(Recorded(row["key"], provider, row["streaming"], row["status"], headers, body))
    return found


# --- damage ---------------------------------------------------------------------------------------

WORDS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"data: ", b"event: ", b"[DONE]", b"null", b"{}", b"[]",
    b'"', b"\\", b"\\ud800", b"-1", b"1e999", b"NaN", b"{" * 200, b"[" * 200, b"9" * 400, b",", b":", b"error",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, "", "x", "\ud800", "stop", "error", "{", [], [None], [[]], {}, {"a": None},
    {"type": "text", "text": 5}, {"index": "0"}, {"error": {"message": "boom", "code": 500}}, "y" * 5000,
)  # fmt: skip


def damaged(body: bytes, random: Random) -> bytes:
    """The body with one to three pieces of damage."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        body = _damage_values(body, random) if random.random() < 0.5 else _damage_bytes(body, random)
    return body


def _damage_bytes(body: bytes, random: Random) -> bytes:
    at = random.randrange(len(body) + 1)
    end = min(len(body), at + random.choice((1, 1, 2, 8, 64, 1000)))
    kind = random.randrange(6)
    if kind == 0 and body:
        at = min(at, len(body) - 1)
        return body[:at] + bytes([body[at] ^ (1 << random.randrange(8))]) + body[at + 1 :]
    if kind == 1:
        return body[:at] + body[end:]
    if kind == 2:
        return body[:at] + random.choice(WORDS) + body[at:]
    if kind == 3:
        return body[:end] + body[at:]
    if kind == 4:
        return body[:at]
    return body[:at] + random.randbytes(end - at) + body[end:]


NAME = re.compile(rb'"([A-Za-z_]+)" ?:')
STRAY = (b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf")
"""Bytes that are not UTF-8 where a letter of ASCII follows."""


def misnamed(body: bytes, random: Random) -> bytes:
    """The body with stray bytes in the name of one field, put in or in the place of a letter."""
    reframed = _in_a_frame(body, random, misnamed)
    if reframed is not None:
        return reframed
    names = list(NAME.finditer(body))
    if not names:
        return body
    found = random.choice(names)
    at = random.randrange(found.start(1), found.end(1))
    return body[:at] + random.choice(STRAY) + body[at + random.randrange(2) :]


def _in_a_frame(body: bytes, random: Random, change: Callable[[bytes, Random], bytes]) -> bytes | None:
    """An AWS event stream with one payload changed and the checksums right; None if it is another body."""
    with contextlib.suppress(MelliteError):
        frames = EventStreamDecoder().feed(body) if body[:1] == b"\0" else []
        if frames:
            chosen = random.randrange(len(frames))
            payloads = [frame.payload for frame in frames]
            payloads[chosen] = change(payloads[chosen], random)
            texts = [{name: str(value) for name, value in frame.headers.items()} for frame in frames]
            return b"".join(map(message, texts, payloads))
    return None


def _damage_values(body: bytes, random: Random) -> bytes:
    """One JSON value in it changed, left out or put in again; the bytes around it stay what they are."""
    reframed = _in_a_frame(body, random, _changed)
    if reframed is not None:
        return reframed
    lines = body.split(b"\n")
    places = [at for at, line in enumerate(lines) if line.startswith(b"data: {")]
    if not places:
        return _changed(body, random)
    at = random.choice(places)
    lines[at] = b"data: " + _changed(lines[at][len(b"data: ") :], random)
    return b"\n".join(lines)


def _changed(data: bytes, random: Random) -> bytes:
    try:
        value = json.loads(data)
    except ValueError:
        return data
    holders = [inner for inner in _walk([value]) if inner]
    holder = random.choice(holders)
    key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    kind = random.randrange(4)
    if kind == 0 and not (isinstance(holder, list) and holder[0] is value):
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 2:
        holder[key] = random.choice((holder[key], [holder[key]], {"x": holder[key]}, str(holder[key])))
    else:
        holder[key] = random.choice(VALUES)
    with contextlib.suppress(ValueError, RecursionError):
        return json.dumps(value).encode()
    return data


def _walk(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _walk(inner)


# --- what comes of it -----------------------------------------------------------------------------


def pieces(body: bytes, random: Random) -> list[bytes]:
    """The body, cut anywhere."""
    cuts = sorted(random.randrange(len(body) + 1) for _ in range(random.choice((0, 1, 5))))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


async def ask(answer: Recorded, body: bytes, random: Random) -> tuple[str, str]:
    """What comes of a damaged answer, checked: the name of an error or why it is finished, and its text."""
    route = find(f"{answer.provider}:fuzzed", api_key="k")
    transport = ScriptedTransport([(answer.status, answer.headers, pieces(body, random))])
    thunk = LiveBackend(route, transport=transport, stream=answer.streaming).generate("What was recorded.")
    try:
        await thunk
        word = thunk.generation.finish_reason or "none"
        assert thunk.state == "done"
        assert word in REASONS
    except MelliteError as raised:
        word = type(raised).__name__
        if isinstance(raised, BackendError):  # which stands for somebody else's exception
            raise
    check(thunk)
    with contextlib.suppress(MelliteError):  # what was answered can be sent back, or it is said why not
        route.prepare(Request.of([Message.user("What was recorded."), thunk.message, Message.user("Go on.")]))
    return word, thunk.partial


def check(thunk: ModelOutputThunk[str]) -> None:
    """Whatever a thunk holds can be shown, stored and taken along."""
    assert isinstance(thunk.partial, str)
    json.dumps([thunk.raw.response, thunk.raw.streamed_chunks, thunk.partial, thunk.thinking])
    repr((thunk, thunk.message, thunk.tool_calls, thunk.generation, thunk.generate_log))
    twin = pickle.loads(pickle.dumps(thunk))
    assert (twin.state, twin.partial) == (thunk.state, thunk.partial)


EVERY = 5
"""Of so many answers one is damaged in a name only."""


def run(corpora: Path, numbers: Iterable[int]) -> tuple[collections.Counter[str], list[str], float]:
    """Do damage by these numbers: what came of it, what is wrong, and the slowest in seconds of CPU."""
    answers = recorded(corpora)
    whole: dict[str, str] = {}
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    slowest = 0.0

    async def main() -> None:
        nonlocal slowest
        for number in numbers:
            random = Random(number)
            answer = random.choice(answers)
            names_only = number % EVERY == EVERY - 1
            body = (misnamed if names_only else damaged)(answer.body, random)
            before = time.process_time()
            try:
                word, text = await ask(answer, body, random)
                counts[word] += 1
                if names_only and word in REASONS:
                    if answer.key not in whole:
                        whole[answer.key] = (await ask(answer, answer.body, random))[1]
                    if text != whole[answer.key]:
                        wrong.append(
                            f"{number}: {answer.key}: silent: {len(text)} of {len(whole[answer.key])} characters"
                        )
            except Exception as error:  # what must not happen, whatever it is
                wrong.append(f"{number}: {answer.key}: {type(error).__name__}: {error} {error.__cause__!r}")
            slowest = max(slowest, time.process_time() - before)

    anyio.run(main)
    return counts, wrong, slowest


def verdict(counts: collections.Counter[str], wrong: list[str], slowest: float, grown: int) -> list[str]:
    """What is wrong with a whole run, as sentences; empty is good."""
    out = list(wrong)
    if slowest > SLOWEST:
        out.append(f"one answer took {slowest:.1f} s of CPU")
    if grown > MEMORY:
        out.append(f"the run took {grown / 1e6:,.0f} MB of memory")
    if not counts.keys() & REASONS or len(counts) < 3:
        out.append(f"the damage shows nothing: {dict(counts)}")
    return out


def memory() -> int:
    """The most memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _job(corpora: Path, numbers: range) -> tuple[collections.Counter[str], list[str], float, int]:
    recorded(corpora)
    before = memory()
    return (*run(corpora, numbers), memory() - before)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int)
    given = parser.parse_args()
    corpora = Path(os.environ.get("MELLITE_CORPORA") or Path(__file__).parent.parent.parent / "shared" / "corpora")
    begun = time.monotonic()
    if given.only is not None:
        parts = [_job(corpora, range(given.only, given.only + 1))]
    else:
        size = -(-given.count // given.jobs)
        ranges = [range(at, min(at + size, given.count)) for at in range(0, given.count, size)]
        shifted = [range(each.start + given.start, each.stop + given.start) for each in ranges]
        with concurrent.futures.ProcessPoolExecutor(given.jobs) as pool:
            parts = list(pool.map(partial(_job, corpora), shifted))
    counts = sum((part[0] for part in parts), collections.Counter[str]())
    wrong = [sentence for part in parts for sentence in part[1]]
    slowest, grown = max(part[2] for part in parts), max(part[3] for part in parts)
    sys.stdout.write(f"{sum(counts.values()):,} answers in {time.monotonic() - begun:,.0f} s, the slowest in ")
    sys.stdout.write(f"{slowest:.2f} s of CPU, {grown / 1e6:,.0f} MB more memory: {dict(counts.most_common())}\n")
    troubles = wrong if given.only is not None else verdict(counts, wrong, slowest, grown)
    sys.exit("\n".join([f"{len(troubles)} troubles:", *troubles[:50]]) if troubles else 0)


if __name__ == "__main__":
    main()
