"""`mellite demo`: awaits, streams, copies and cancels thunks on the cassettes that ship with the package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ..backends.by_name import backend
from ..backends.fake import Scripted
from ..strategies.gathering import gather
from ..values.errors import GenerationCancelled, RateLimited

if TYPE_CHECKING:
    from ..thunk.thunk import ModelOutputThunk

__all__ = ["run"]

CASSETTES = Path(__file__).parent.with_name("demo_cassettes")

Say = Callable[[str], None]


def run() -> int:
    """Run the demo; return the exit code."""
    title, code, note = _printers()
    note("mellite: model outputs that have not been generated yet. No network, no key: all from cassettes.")
    for number, part in enumerate((awaiting, streaming, copying, cancelling, failing), 1):
        title(f"\n{number}. {part.__doc__}")
        anyio.run(part, code, note)
    note("\nNext: docs/tutorial.md, or `mellite generate --help`.")
    return 0


def _printers() -> tuple[Say, Say, Say]:
    """Return what prints a title, a line of code and a remark: in colour on a terminal, plain in a pipe."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
        except ModuleNotFoundError:
            pass  # the cli extra is not installed: plain text does as well
        else:
            console = Console(highlight=False)

            def styled(style: str) -> Say:
                return lambda text: console.print(text, style=style, markup=False)

            return styled("bold"), styled("cyan"), styled("default")
    return print, print, print


async def awaiting(code: Say, note: Say) -> None:
    """A thunk is generated when it is awaited: once, for everybody."""
    code('   thunk = mellite.backend("cassette:...").generate("Why is the sky blue?", model="demo")')
    thunk = backend(f"cassette:{CASSETTES / 'text'}").generate("Why is the sky blue?", model="demo")
    note(f"   {thunk.state}: nothing has been sent")
    code("   await mellite.gather(thunk, thunk, thunk)")
    answers = [each.value for each in await gather(thunk, thunk, thunk)]
    note(f"   {thunk.state}: three consumers, one generation, the same text for all: {len(set(answers)) == 1}")
    note(f"   {answers[0]}")


async def streaming(code: Say, note: Say) -> None:
    """The same thunk can be streamed, by one or by many, also afterwards."""
    thunk = backend(f"cassette:{CASSETTES / 'chat.json'}").generate("Name three rivers.", system="Be brief.")
    code("   async for delta in thunk: ...")
    pieces = [repr(delta) async for delta in thunk]
    note(f"   {' '.join(pieces)}")
    made = thunk.generation
    used = made.usage
    tokens = f"{used.input_tokens} + {used.output_tokens} tokens" if used else "no usage"
    note(f"   {made.response_model}, finish {made.finish_reason!r}, {tokens}, id {made.response_id}")
    chunks = thunk.raw.streamed_chunks or []
    note(f"   thunk.raw keeps all that the provider sent: {len(chunks)} chunks, merged to one response")


async def copying(code: Say, note: Say) -> None:
    """A copy of a thunk makes its own call; that is how to sample."""
    rolls = Scripted(["heads", "tails", "heads", "heads", "tails"])
    question: ModelOutputThunk[str] = rolls.generate("Toss a coin.")
    code("   samples = await mellite.gather(*thunk.resample(5))")
    samples = await gather(*question.resample(5))
    votes = [sample.value for sample in samples if sample.value is not None]
    note(f"   {votes} -> {max(set(votes), key=votes.count)!r} wins; the thunk itself is still {question.state}")


async def cancelling(code: Say, note: Say) -> None:
    """Stop when you have seen enough; what arrived is kept."""
    slow = Scripted([["One ", "two ", "three ", "four ", "five ", "six."]], delay=0.02)
    thunk = slow.generate("Count.")
    code('   async for delta in thunk:\n       if "three" in delta: await thunk.cancel_generation("enough")')
    try:
        async for delta in thunk:
            if "three" in delta:
                await thunk.cancel_generation("enough")
    except GenerationCancelled as cancelled:
        note(f"   {type(cancelled).__name__}: {cancelled}")
    note(f"   state {thunk.state!r}, kept {thunk.partial!r}")


async def failing(code: Say, note: Say) -> None:
    """A failure is a value, too: nothing is lost, and siblings keep their results."""
    busy = RateLimited("the provider asked to wait", retry_after=2.0)
    flaky = Scripted(["fine", busy])
    code("   for thunk in await mellite.gather(*flaky.generate('Try.').resample(2)):")
    for thunk in await gather(*flaky.generate("Try.").resample(2)):
        if thunk.error is not None:
            note(f"   failed: {type(thunk.error).__name__}: {thunk.error}")
        else:
            note(f"   done: {thunk.value!r}")
