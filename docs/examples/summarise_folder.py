"""Summarise every text file of a folder, then all of it in a sentence.

Offline, from its cassette:     python docs/examples/summarise_folder.py
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/summarise_folder.py FOLDER
Shows: many calls with a limit, failures that stop nothing, thunks inside a prompt.
"""

import asyncio
import sys
from pathlib import Path

import mellite
from mellite import Message

HERE = Path(__file__).parent


def summary(backend: mellite.Backend, path: Path) -> mellite.ModelOutputThunk[str]:
    """Make the thunk for one file; nothing is sent yet."""
    text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
    return backend.generate(
        f"Summarise this note in one sentence.\n\n{text}",
        system="Write plain sentences. Leave out what is not in the text.",
        temperature=0,
        max_tokens=200,
    )


async def main(folder: str = str(HERE / "notes")) -> int:
    paths = sorted(Path(folder).glob("*.txt"))
    async with mellite.cassettes.use(HERE / "cassettes" / "summarise_folder.json", match="pool") as transport:
        backend = mellite.backend("openai:gpt-4o-mini", transport=transport)
        summaries = {path: summary(backend, path) for path in paths}
        await mellite.gather(list(summaries.values()), concurrency=4)

        for path, thunk in summaries.items():
            print(f"{path.name}: {thunk.error or thunk.value}")
        done = [thunk for thunk in summaries.values() if thunk.error is None]
        if done:
            whole = backend.generate(Message.user("Say in one sentence what these notes are about.\n", *done))
            print(f"All: {await whole}")
    return len(summaries) - len(done)  # the files that failed


if __name__ == "__main__":
    sys.exit(min(asyncio.run(main(*sys.argv[1:2])), 1))
