"""Answer questions about a folder of notes: an agent with two tools, shown while it works.

Offline, from its cassette:     python docs/examples/agent.py
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/agent.py "Your question?"
Shows: tools from functions, a run, its events as they come, limits on steps and cost.
"""

import asyncio
import sys
from pathlib import Path

import mellite
from mellite import ToolFailure, stop
from mellite.events import TextDelta, ToolCallEvent

HERE = Path(__file__).parent
NOTES = HERE / "notes"
QUESTION = "From which platform did the train to Bern leave, and what did the printers ask for?"


def list_notes() -> list[str]:
    """List the names of all notes."""
    return sorted(path.name for path in NOTES.glob("*.txt"))


def read_note(name: str) -> str:
    """Read one note.

    Args:
        name: the name of the note, as list_notes gives it.
    """
    if name not in list_notes():
        msg = f"there is no note {name!r}"
        raise ToolFailure(msg)
    return (NOTES / name).read_text(encoding="utf-8")


async def main(question: str = QUESTION) -> None:
    async with mellite.cassettes.use(HERE / "cassettes" / "agent.json") as transport:
        run = mellite.run(
            mellite.backend("openai:gpt-4o-mini", transport=transport),
            question,
            system="Answer from the notes alone, in two sentences at most.",
            tools=[list_notes, read_note],
            stop_when=stop.steps(8) | stop.usd("0.05"),
        )
        async for event in run.events():
            match event:
                case ToolCallEvent(call=call):
                    print("->", call.name, dict(call.arguments))
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case _:
                    pass
        print(f"\n[{run.stop_reason}: {len(run.steps)} steps, ${run.cost_usd}]")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
