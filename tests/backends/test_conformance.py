"""`check_backend` and `check_protocol`: they pass for what is right, and say what is wrong with what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from attrs import evolve

import mellite
from mellite.backends import Constant, Echo, Failing, LiveBackend, Scripted
from mellite.backends.conformance import Recorded, check_backend, check_protocol
from mellite.cassettes import ScriptedTransport
from mellite.errors import IncompleteStream
from mellite.events import Event, Finish, TextDelta
from mellite.protocols import openai_chat
from tests.wire.answers import STREAM, WHOLE, route

CHAT = openai_chat.protocol(openai_chat.OPENAI)


class Made(mellite.Backend):
    """A backend that yields what it is given."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        for step in self.steps:
            await anyio.lowlevel.checkpoint()
            yield step


class Stubborn(mellite.Backend):
    """A backend that cannot be closed."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        try:
            yield TextDelta("a")
            await anyio.lowlevel.checkpoint()
            yield Finish("stop")
        finally:
            msg = "cannot be closed"
            raise RuntimeError(msg)


class Exclusive(mellite.Backend):
    """A backend that answers one at a time, and fails the others."""

    busy = False

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        if self.busy:
            msg = "busy"
            raise RuntimeError(msg)
        self.busy = True
        try:
            yield TextDelta("a")
            await anyio.lowlevel.checkpoint()
            yield Finish("stop")
        finally:
            self.busy = False


class OneLoop(mellite.Backend):
    """A backend that keeps what belongs to the event loop of its first call."""

    def __init__(self) -> None:
        self.home: object = None

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        here = anyio.get_current_task().id
        token = anyio.lowlevel.current_token()
        if self.home is None:
            self.home = token
        if self.home is not token and self.home != token:
            msg = f"attached to a different loop ({here})"
            raise RuntimeError(msg)
        yield TextDelta("a")
        yield Finish("stop")


class Silent(mellite.Backend):
    """A backend that never answers."""

    async def stream(self, request: mellite.Request) -> AsyncIterator[Event]:
        await anyio.sleep_forever()
        yield Finish("stop")


GOOD: dict[str, Callable[[], mellite.Backend]] = {
    "echo": Echo,
    "constant": lambda: Constant("Hello."),
    "scripted": lambda: Scripted([["Hel", "lo."]] * 30, delay=0.001),
    "live": lambda: LiveBackend(route(), transport=ScriptedTransport([STREAM] * 30)),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_good_backends(make: Callable[[], mellite.Backend]) -> None:
    """Our own backends pass."""
    check_backend(make)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "failing": (lambda: Failing(ValueError("odd")), "failed to answer 'Say hello.'.*odd"),
    "no text": (lambda: Made(Finish("stop")), "with no text at all"),
    "no finish": (lambda: Made(TextDelta("a")), "failed to answer"),
    "two finishes": (lambda: Made(TextDelta("a"), Finish("stop"), Finish("stop")), "failed to answer"),
    "nonsense": (lambda: Made(TextDelta("a"), "text", Finish("stop")), "failed to answer"),
    "cannot be closed": (Stubborn, "could not be closed|failed to answer"),
    "one at a time": (Exclusive, "five times at once.*busy"),
    "one loop": (OneLoop, "attached to a different loop"),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
def test_bad_backends(make: Callable[[], Any], said: str) -> None:
    """What is wrong with a backend is said."""
    with pytest.raises(AssertionError, match=said):
        check_backend(make)


def test_silent_backend() -> None:
    """A backend that never answers fails the check after the time that it is given."""
    with pytest.raises(AssertionError, match=r"did not answer within 0\.05 s"):
        check_backend(Silent, seconds=0.05)


def test_good_protocol() -> None:
    """Chat Completions passes, with a stream and with an answer in one piece."""
    check_protocol(CHAT, [STREAM, Recorded(WHOLE, streaming=False)])


def forgetful(state: Any, data: bytes, event: str) -> list[Event]:
    """A parser that fails for what it does not expect."""
    if b'"choices"' not in data and data != b"[DONE]":
        raise KeyError(data)
    return list(openai_chat.step(state, data, event))


def never_incomplete(state: Any) -> list[Event]:
    """A parser that takes any end for the end."""
    try:
        return list(openai_chat.halt(state))
    except IncompleteStream:
        return [Finish("stop")]


class Lossy:
    """A framing that loses what does not come whole."""

    damaged = False

    def feed(self, data: bytes) -> list[Any]:
        return openai_chat_frames(data)


def openai_chat_frames(data: bytes) -> list[Any]:
    from mellite.wire.framing import SseDecoder

    return list(SseDecoder().feed(data))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": forgetful}, "raises KeyError for recording 1 with damage"),
        ({"halt": never_incomplete}, "takes recording 1 for complete after 0 of its stream events"),
        ({"lower": lambda request, *, stream: None}, "not a JSON object"),
        ({"step": lambda state, data, event: [*openai_chat.step(state, data, event), Finish("stop")]}, "Finish events"),
    ],
    ids=["forgetful", "never incomplete", "lowers nothing", "too many ends"],
)
def test_bad_protocols(changes: dict[str, Any], said: str) -> None:
    """What is wrong with a protocol is said."""
    with pytest.raises(AssertionError, match=said):
        check_protocol(evolve(CHAT, **changes), [STREAM])


def test_bad_framing() -> None:
    """So is a framing that depends on how the bytes arrive."""
    with pytest.raises(AssertionError, match="when its bytes arrive byte by byte"):
        check_protocol(CHAT, [STREAM], framing=Lossy)


def test_unreadable_recording() -> None:
    """A recording that the protocol cannot read is named, and there must be one."""
    with pytest.raises(AssertionError, match="cannot read recording 2"):
        check_protocol(CHAT, [STREAM, b"data: nonsense\n\n"])
    with pytest.raises(AssertionError, match="no recordings"):
        check_protocol(CHAT, [])
