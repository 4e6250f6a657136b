"""The same steps for every server: asked through mellite and through the official SDK, and what differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import attrs

import mellite
from tests.servers.asking import COUNT, FAIL, HELLO, LONGEST, RIVERS, THINK, WEATHER, Asked, Said
from tests.servers.ours import asking, said, thunk_of
from tests.servers.sdks import SDKS

__all__ = ["STEPS", "Difference", "Seat", "run"]

COMPARED: Final = ("text", "thinking", "calls", "reason", "taken", "given", "status")
AT_ONCE: Final = 100


@attrs.frozen
class Seat:
    """One server, spoken to over one protocol.

    Args:
        server: its name.
        provider: mellite's name for who speaks the protocol.
        base: its address.
        model: the model to ask for.
    """

    server: str
    provider: str
    base: str = attrs.field(repr=False)
    model: str = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.server} {self.provider}"


@attrs.frozen
class Difference:
    """Where mellite and the SDK, or mellite and itself, do not say the same; with mellite's error, if it had one."""

    seat: str
    step: str
    field: str
    ours: object
    theirs: object
    message: str | None = None


async def compared(seat: Seat, step: str, asked: Asked, *, stream: bool) -> tuple[list[Difference], Said]:
    """The differences in one answer, and what mellite read."""
    async with asking(seat.provider, seat.base, seat.model) as backend:
        ours = said(await thunk_of(backend, asked, stream=stream).settle())
    ask = SDKS[seat.provider]
    theirs = await anyio.to_thread.run_sync(lambda: ask(seat.base, seat.model, asked, stream=stream))
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in COMPARED]
    found = [Difference(seat.name, step, *pair, message=ours.message) for pair in pairs if pair[1] != pair[2]]
    return found, ours


async def whole(seat: Seat, _: Path) -> list[Difference]:
    """One answer in one piece."""
    return (await compared(seat, "whole", RIVERS, stream=False))[0]


async def streamed(seat: Seat, _: Path) -> list[Difference]:
    """One answer in pieces."""
    return (await compared(seat, "streamed", RIVERS, stream=True))[0]


async def thinking(seat: Seat, _: Path) -> list[Difference]:
    """An answer that is thought about first, in pieces and in one."""
    found = (await compared(seat, "thinking", THINK, stream=True))[0]
    return found + (await compared(seat, "thinking, whole", THINK, stream=False))[0]


async def tools(seat: Seat, _: Path) -> list[Difference]:
    """A tool is called, in one piece and in pieces, and its result given back."""
    found, first = await compared(seat, "tools", WEATHER, stream=True)
    found += (await compared(seat, "tools, whole", WEATHER, stream=False))[0]
    answered = attrs.evolve(WEATHER, called=first.call_id or "call_1")
    return found + (await compared(seat, "tool result", answered, stream=True))[0]


async def two_turns(seat: Seat, _: Path) -> list[Difference]:
    """A question about the answer before it."""
    found = (await compared(seat, "two turns", LONGEST, stream=True))[0]
    async with asking(seat.provider, seat.base, seat.model) as backend:  # the same with the very message that came
        first = await thunk_of(backend, RIVERS, stream=True).settle()
        history = [mellite.Message.user(RIVERS.text), first.message, mellite.Message.user(LONGEST.text)]
        second = await backend.generate(history, temperature=0, max_tokens=600).settle()
        by_hand = await thunk_of(backend, LONGEST, stream=True).settle()
    ours, theirs = said(second), said(by_hand)
    if (ours.text, ours.status) != (theirs.text, theirs.status):
        found.append(Difference(seat.name, "two turns", "history", ours, theirs, message=ours.message))
    return found


async def errors(seat: Seat, _: Path) -> list[Difference]:
    """A request that is refused."""
    return (await compared(seat, "errors", FAIL, stream=True))[0]


async def cancel(seat: Seat, _: Path) -> list[Difference]:
    """A long answer is cancelled after two pieces; what came is kept, and the next call is answered."""
    async with asking(seat.provider, seat.base, seat.model) as backend:
        thunk = thunk_of(backend, COUNT, stream=True)
        deltas = 0
        async for _delta in thunk.events():
            deltas += isinstance(_delta, mellite.events.TextDelta)
            if deltas == 2:
                await thunk.cancel_generation("seen enough")
                break
        after = said(await thunk_of(backend, HELLO, stream=True).settle())
        fresh = said(await thunk_of(backend, HELLO, stream=False).settle())
    found = []
    if deltas == 2 and not (thunk.cancelled and thunk.partial):
        found.append(Difference(seat.name, "cancel", "state", thunk.state, "cancelled"))
    if after.text != fresh.text or not after.text:
        found.append(Difference(seat.name, "cancel", "the next call", after, fresh))
    return found


async def at_once(seat: Seat, _: Path) -> list[Difference]:
    """A hundred calls at once, all answered alike."""
    async with asking(seat.provider, seat.base, seat.model) as backend:
        thunks = [thunk_of(backend, HELLO, stream=bool(number % 2)) for number in range(AT_ONCE)]
        results = await mellite.gather(*thunks)
    texts = {said(result).text or repr(result.error) for result in results}
    return [] if len(texts) == 1 else [Difference(seat.name, "100 at once", "texts", sorted(texts), "one text")]


async def replayed(seat: Seat, folder: Path) -> list[Difference]:
    """What was recorded comes again from the cassette, equal to what came live."""
    path = folder / f"{seat.server}-{seat.provider}.json"
    found: list[Difference] = []
    kept: list[list[object]] = []
    for mode in ("all", "none"):
        async with (
            mellite.cassettes.use(path, mode=mode, even_in_ci=True) as transport,
            asking(seat.provider, seat.base, seat.model, transport=transport) as backend,
        ):
            answers: list[object] = []
            for asked, stream in ((RIVERS, True), (WEATHER, True), (THINK, False), (FAIL, True)):
                thunk = await thunk_of(backend, asked, stream=stream).settle()
                answers.append((said(thunk), [str(event) for event in [each async for each in _events(thunk)]]))
            kept.append(answers)
    for number, (live, again) in enumerate(zip(*kept, strict=True)):
        if live != again:
            found.append(Difference(seat.name, "record, replay", f"answer {number + 1}", again, live))
    return found


async def _events(thunk: mellite.ModelOutputThunk[str]) -> Any:
    if thunk.error is None:
        async for event in thunk.events():
            if not isinstance(event, mellite.events.ResponseStart):  # headers are stored by an allow-list
                yield event


STEPS: Final[Mapping[str, Callable[[Seat, Path], Awaitable[list[Difference]]]]] = {
    "whole": whole,
    "streamed": streamed,
    "thinking": thinking,
    "tools": tools,
    "errors": errors,
    "cancel": cancel,
    "100 at once": at_once,
    "record, replay": replayed,
    "two turns": two_turns,
}


def run(seat: Seat, folder: Path) -> dict[str, list[Difference]]:
    """Every step at one seat; a step that raises is a difference, too."""
    found = {}
    for name, step in STEPS.items():
        try:
            found[name] = anyio.run(step, seat, folder)
        except Exception as error:
            found[name] = [Difference(seat.name, name, "raised", repr(error), "")]
    return found
