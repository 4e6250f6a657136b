"""Write one line five times, let a judge score each, and keep the best.

Offline, from its cassette:     python docs/examples/best_of_five.py
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/best_of_five.py
Shows: sampling over copies, a plain check and a judge, budgets, what became of each sample.
"""

import asyncio
import sys
from pathlib import Path

import mellite
from mellite import BestOfN
from mellite.requirements import judge, length

HERE = Path(__file__).parent


async def main() -> int:
    # keyed: each copy gets the answer that was recorded for that very copy
    async with mellite.cassettes.use(HERE / "cassettes" / "best_of_five.json", match="keyed") as transport:
        writer = mellite.backend("openai:gpt-4o-mini", transport=transport)
        referee = mellite.backend("openai:gpt-4o", transport=transport)

        line = writer.generate(
            "Write one line for the label of a jar of honey from a town garden.",
            temperature=1,
            max_tokens=60,
        )
        plain = judge(referee, "It is plain: things that one can see or taste, no big words.", temperature=0)
        best = BestOfN(5, score=plain, max_usd="0.05", deadline=60)
        result = await best.sample(line, [length(max=12, unit="words")])

        for sample in result.samples:
            mark = "*" if sample.thunk is result.winner else " "
            score = "-" if sample.score is None else f"{sample.score:.1f}"
            print(f"{mark} {score:3} {sample.status:8} {sample.thunk.value}")
        print(f"[{result.stop_reason}: {len(result.samples)} samples, ${result.cost_usd}]")
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
