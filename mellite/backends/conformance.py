"""Checks for people who write their own backend or protocol: call one from a test, it says what is wrong.

`check_backend` drives a backend through thunks as users do, on every event loop that is installed. `check_protocol`
feeds recorded answers to a protocol in every way in which a network may cut or break them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, NoReturn, cast, get_args

import anyio
from attrs import field, frozen

from ..thunk.backend import generate
from ..thunk.call import Streams
from ..thunk.thunk import ModelOutputThunk
from ..values.backend_streams import name_of
from ..values.errors import IncompleteStream, MelliteError
from ..values.events import Event, Finish, TextDelta
from ..values.fold import fold
from ..values.request import Request
from ..values.type_names import a_type_name
from ..wire.framing import Framing, SseDecoder
from ..wire.protocol import Protocol

__all__ = ["Recorded", "check_backend", "check_protocol"]

_EVENT_TYPES: Final = get_args(Event)
_SECONDS: Final = 30.0


# --- backends -------------------------------------------------------------------------------------


def check_backend(
    make: Callable[[], Streams], prompt: str = "Say hello.", *, seconds: float = _SECONDS, **options: Any
) -> None:
    """Make sure that a backend does what thunks need of it.

    Checked, on asyncio and, where it is installed, on trio: that it answers with events of `mellite.events`, the last
    of them its only `Finish`; that the deltas add up to the text; that an answer may be stopped at any time, and its
    stream then ends at once; that several answers may run at once; that one backend works in one event loop after
    another.

    Args:
        make: makes a backend; called several times.
        prompt: what to ask; the backend must answer it with some text, as often as it is asked.
        seconds: how long one answer may take.
        **options: as for `mellite.generate`.

    Raises:
        AssertionError: if it does not; it says in what.

    Example:
        >>> from mellite.backends import Echo
        >>> check_backend(Echo)
    """
    loops = ["asyncio", *(["trio"] if find_spec("trio") else [])]
    ask = partial(_Ask, prompt=prompt, options=options)
    for loop in loops:
        for check in (_answers, _events_end_once, _stops, _runs_at_once):
            _timed(check, ask(make()), loop, seconds)
    backend = ask(make())
    for loop in [*loops, *loops]:
        _timed(_answers, backend, loop, seconds)


@frozen
class _Ask:
    """A backend, and what to ask it."""

    backend: Streams
    prompt: str = field(kw_only=True)
    options: dict[str, Any] = field(kw_only=True)

    def thunk(self) -> ModelOutputThunk[str]:
        return cast("ModelOutputThunk[str]", generate(self.backend, self.prompt, **self.options))

    def fail(self, what: str, error: BaseException | None = None) -> NoReturn:
        msg = f"{name_of(self.backend)} {what}"
        raise AssertionError(msg) from error


def _timed(check: Callable[[_Ask], Awaitable[None]], ask: _Ask, loop: str, seconds: float) -> None:
    async def timed() -> None:
        try:
            with anyio.fail_after(seconds):
                await check(ask)
        except TimeoutError as error:
            ask.fail(f"did not answer within {seconds} s ({check.__name__.strip('_')}, {loop})", error)
        finally:
            close = getattr(ask.backend, "aclose", None)
            if close is not None:
                await close()

    anyio.run(timed, backend=loop)


async def _answers(ask: _Ask) -> None:
    thunk = ask.thunk()
    await thunk.settle()
    if thunk.error is not None:
        ask.fail(f"failed to answer {ask.prompt!r}: {thunk.error}", thunk.error)
    if not thunk.value:
        ask.fail(f"answered {ask.prompt!r} with no text at all")


async def _events_end_once(ask: _Ask) -> None:
    seen: list[Event] = []
    async for event in ask.backend.stream(ask.thunk().call.request):
        if not isinstance(event, _EVENT_TYPES):
            ask.fail(f"yielded {a_type_name(type(event))}, which is not an event of mellite.events")
        seen.append(event)
    finishes = sum(isinstance(event, Finish) for event in seen)
    if finishes != 1 or not isinstance(seen[-1], Finish):
        ask.fail(f"ended its stream with {finishes} Finish events; there must be one, and it must be the last")
    deltas = [event.text for event in seen if isinstance(event, TextDelta)]
    if "".join(deltas) != fold(seen).text:
        ask.fail("sent deltas that do not add up to the text")


async def _stops(ask: _Ask) -> None:
    thunk = ask.thunk()
    events = aiter(thunk.events())
    await anext(events)
    await thunk.cancel_generation("enough")
    if thunk.state not in ("cancelled", "done"):
        ask.fail(f"could not be stopped: it is {thunk.state}, {thunk.error}", thunk.error)
    stream: Any = ask.backend.stream(ask.thunk().call.request)
    async for _ in stream:
        break
    try:
        if hasattr(stream, "aclose"):
            await stream.aclose()
    except Exception as error:
        ask.fail(f"could not be closed after its first event: {error!r}", error)


async def _runs_at_once(ask: _Ask) -> None:
    thunks = [ask.thunk() for _ in range(5)]
    async with anyio.create_task_group() as tasks:
        for thunk in thunks:
            tasks.start_soon(thunk.settle)
    for thunk in thunks:
        if thunk.error is not None:
            ask.fail(f"failed when it was asked five times at once: {thunk.error}", thunk.error)


# --- protocols ------------------------------------------------------------------------------------


@frozen
class Recorded:
    """One answer of a provider, as it came.

    Args:
        body: the bytes.
        streaming: whether it is a stream, or an answer in one piece.
    """

    body: bytes
    streaming: bool = True


_ORDER: Final = 20261121
_CUTS: Final = 5
_DAMAGED: Final = 200


def check_protocol(
    protocol: Protocol[Any],
    recordings: Iterable[Recorded | bytes],
    *,
    framing: Callable[[], Framing] = SseDecoder,
    request: Request | None = None,
) -> None:
    r"""Make sure that a protocol reads recorded answers, however they are cut, and survives those that are damaged.

    Checked: that a request can be lowered; that every recording gives events with exactly one `Finish` at the end; the
    same events wherever the bytes are cut; `IncompleteStream` where a stream breaks off before it is complete; nothing
    but errors of `mellite.errors` for damaged bytes, in a few hundred ways, the same in each run.

    Args:
        protocol: what is checked.
        recordings: answers that were recorded; bytes alone are a stream.
        framing: makes a decoder for one stream.
        request: what the answers are to.

    Raises:
        AssertionError: if it does not; it says in what.

    Example:
        >>> from mellite.protocols.openai_chat import OPENAI, protocol
        >>> chunk = b'data: {"choices": [{"delta": {"content": "Hi."}, "finish_reason": "stop"}]}\n\n'
        >>> check_protocol(protocol(OPENAI), [chunk + b"data: [DONE]\n\n"])
    """
    asked = request if request is not None else Request.of("Say hello.", model="a-model")
    check = _Check(protocol, framing=framing, request=asked)
    for stream in (True, False):
        if not isinstance(protocol.lower(asked, stream=stream), dict):
            check.fail(f"lowers a request (stream={stream}) to something that is not a JSON object")
    answers = [Recorded(each) if isinstance(each, bytes) else each for each in recordings]
    if not answers:
        check.fail("was given no recordings to read")
    for number, recorded in enumerate(answers, 1):
        check.recording(recorded, f"recording {number}")


@frozen
class _Check:
    protocol: Protocol[Any]
    framing: Callable[[], Framing] = field(kw_only=True)
    request: Request = field(kw_only=True)

    def fail(self, what: str, error: BaseException | None = None) -> NoReturn:
        msg = f"protocol {self.protocol.id!r} {what}"
        raise AssertionError(msg) from error

    def recording(self, recorded: Recorded, name: str) -> None:
        body = recorded.body
        try:
            events = self.read([body]) if recorded.streaming else list(self.protocol.unary(body))
        except MelliteError as error:
            self.fail(f"cannot read {name}: {error}", error)
        finishes = sum(isinstance(event, Finish) for event in events)
        if finishes != 1 or not isinstance(events[-1], Finish):
            self.fail(f"ends {name} with {finishes} Finish events; there must be one, and it must be the last")
        if recorded.streaming:
            self.cuts(body, events, name)
            self.breaks(body, name)
        self.damages(recorded, name)

    def read(self, pieces: Iterable[bytes]) -> list[Event]:
        """The events of a stream that arrives in these pieces."""
        state, decoder = self.protocol.initial(self.request), self.framing()
        events: list[Event] = []
        for piece in pieces:
            for frame in decoder.feed(piece):
                if frame.raw and not state.done:
                    events += self.protocol.step(state, frame.raw, frame.event)
        return events if state.done else [*events, *self.protocol.halt(state)]

    def cuts(self, body: bytes, events: Sequence[Event], name: str) -> None:
        for cut, pieces in _cuts(body):
            try:
                found = self.read(pieces)
            except MelliteError as error:
                self.fail(f"cannot read {name} when its bytes arrive {cut}: {error}", error)
            if found != events:
                self.fail(f"gives other events for {name} when its bytes arrive {cut}")

    def breaks(self, body: bytes, name: str) -> None:
        """A stream that stops before it is complete is not an answer."""
        state, decoder = self.protocol.initial(self.request), self.framing()
        for number, frame in enumerate(decoder.feed(body)):
            if state.complete or state.done:
                return
            try:
                self.read([body[: _end_of(self.framing, body, number)]])
            except IncompleteStream:
                pass
            else:
                self.fail(f"takes {name} for complete after {number} of its stream events, and it was not")
            if frame.raw:
                self.protocol.step(state, frame.raw, frame.event)

    def damages(self, recorded: Recorded, name: str) -> None:
        chance = random.Random(_ORDER)  # noqa: S311 - the same damage each time, not a secret
        for number in range(_DAMAGED):
            body = _damaged(recorded.body, chance)
            try:
                _ = self.read([body]) if recorded.streaming else self.protocol.unary(body)
            except MelliteError:
                continue
            except Exception as error:
                what = f"raises {type(error).__name__} for {name} with damage {number}: {error}"
                self.fail(what, error)


def _cuts(body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    yield "byte by byte", [body[at : at + 1] for at in range(len(body))]
    chance = random.Random(_ORDER)  # noqa: S311 - the same cuts each time, not a secret
    for _ in range(_CUTS):
        places = sorted(chance.choices(range(len(body) + 1), k=7))
        yield f"cut at {places}", [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def _end_of(framing: Callable[[], Framing], body: bytes, frames: int) -> int:
    """The least number of bytes that hold so many frames whole: found by halving, as more bytes never hold fewer."""
    low, high = 0, len(body)
    while low < high:
        middle = (low + high) // 2
        if len(framing().feed(body[:middle])) >= frames:
            high = middle
        else:
            low = middle + 1
    return low


def _damaged(body: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) + 1)
        kind = chance.randrange(3)
        if kind == 0 and at < len(damaged):
            damaged[at] = chance.randrange(256)
        elif kind == 1:
            damaged[at:at] = chance.randbytes(chance.randint(1, 9))
        else:
            del damaged[at : at + chance.randint(1, 40)]
    return bytes(damaged)
