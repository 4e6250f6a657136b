"""Research a subject in three stages, and go on where it stopped when the program is started again.

Offline, from its cassette:     python docs/examples/research.py [FOLDER]   (kill it, and run it again)
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/research.py FOLDER
What was answered is kept in the journal in FOLDER (runs/research if you name none) and never asked, or paid, again.
"""

import asyncio
import sys
from pathlib import Path

import mellite
from mellite import Message

CASSETTE = Path(__file__).parent / "cassettes" / "research.json"
SUBJECT = "How did small harbours warn ships of fog before radio?"


async def main(folder: str = "runs/research") -> None:
    # speed=1: recorded answers take their time, so that there is time to kill this
    async with (
        mellite.cassettes.use(CASSETTE, match="pool", speed=1) as transport,
        mellite.journal(folder) as journal,
    ):
        backend = mellite.backend("openai:gpt-4o-mini", transport=transport)

        plan = await backend.generate(f"Write four short questions to research.\n\n{SUBJECT}", output=list[str])
        print(f"{len(plan)} questions", flush=True)

        findings = [backend.generate(f"{question} Answer in two sentences.", temperature=0) for question in plan]
        found = 0
        async for _ in mellite.as_completed(findings, concurrency=2):
            found += 1
            print(f"{found} of {len(findings)} looked into", flush=True)

        for finding in findings:
            print(f"- {finding.error or finding.value}")
        good = [finding for finding in findings if finding.error is None]
        report = backend.generate(Message.user(f"Write a report of three sentences. {SUBJECT}\n", *good))
        print(f"\n{await report}\n")
        print(f"[{journal.replayed} calls from the journal, {journal.live} asked]")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
