"""Measure mellite beside aiohttp and msgspec. Exit code 1: a bar is missed; 2: something could not be measured."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.catalogue import BENCHMARKS
from tests.benchmarks.plot import svg
from tests.benchmarks.run import current_load, report, start, start_peers
from tests.benchmarks.table import markdown, show

PEERS: Final = "peers"
"""The comparison with other clients, which is not part of a run unless it is named."""


def chosen(names: Sequence[str], *, peers: bool) -> list[str]:
    """Return the benchmarks to run: those named, or all of mellite's; the peers last, if they are asked for."""
    wanted = [name for name in names if name != PEERS] if names else [*BENCHMARKS]
    return [*wanted, PEERS] if peers or PEERS in names else wanted


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="rough figures, in an eighth of the rounds")
    parser.add_argument("--peers", action="store_true", help="compare other clients too; installs them, in minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for a page")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in {*BENCHMARKS, PEERS}]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join([*BENCHMARKS, PEERS])}")
    load, began = current_load(), dt.datetime.now(dt.UTC)
    rows, failed = [], []
    absent: list[str] = []
    for name in chosen(asked.names, peers=asked.peers):
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            if name == PEERS:
                more, absent = start_peers(quick=asked.quick)
                rows += more
            else:
                rows += start(name, quick=asked.quick)
        except subprocess.CalledProcessError:  # its traceback is on stderr; the others took minutes
            failed.append(name)
    made = report(rows, [*failed, *absent], quick=asked.quick, load=load, began=began)
    show(made)
    if asked.json:
        asked.json.write_text(json.dumps(made.as_json(), indent=1) + "\n", encoding="utf-8")
    if asked.svg:
        asked.svg.write_text(svg(made), encoding="utf-8")
    if asked.markdown:
        asked.markdown.write_text(markdown(made.rows) + "\n", encoding="utf-8")
    return 2 if failed else 1 if made.missed else 0


if __name__ == "__main__":
    sys.exit(main())
