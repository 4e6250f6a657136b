"""Read orders out of the free text of a CSV file, into attrs classes, and write them as a table.

Offline, from its cassette:     python docs/examples/extract.py
Live, which records it anew:    OPENAI_API_KEY=... RECORD=true python docs/examples/extract.py FILE.csv
FILE.csv has the columns id and text. What no order could be read from is listed for a human.
"""

import asyncio
import csv
import sys
from pathlib import Path
from typing import Literal

import attrs
from attrs.validators import ge

import mellite

HERE = Path(__file__).parent


@attrs.frozen
class Order:
    """An order: the model gets these fields, and answers are checked against them."""

    item: str
    quantity: int = attrs.field(validator=ge(1))
    customer: str
    address: str
    urgency: Literal["normal", "urgent"]


async def main(file: str = str(HERE / "orders.csv")) -> int:
    with open(file, encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))

    async with mellite.cassettes.use(HERE / "cassettes" / "extract.json", match="pool") as transport:
        backend = mellite.backend("openai:gpt-4o-mini", transport=transport)
        thunks = [
            backend.generate(
                f"Read the order out of this mail. A quantity that is not said is 0.\n\n{row['text']}",
                output=Order,
                temperature=0,
            )
            for row in rows
        ]
        results = await mellite.gather(thunks, concurrency=8)

    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["id", *(field.name for field in attrs.fields(Order))])
    failed = []
    for row, thunk in zip(rows, results, strict=True):
        if thunk.error is None:
            table.writerow([row["id"], *attrs.astuple(await thunk)])
        else:
            failed.append(f"{row['id']}: {thunk.error}")
    for line in failed:
        print(line, file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(min(asyncio.run(main(*sys.argv[1:2])), 1))
