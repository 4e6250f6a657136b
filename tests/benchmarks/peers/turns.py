"""The side of a client: it waits for its turn, does the work that it is told, and says how long that took."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

Ask = Callable[[str], Awaitable[str]]
"""Asks a model, which is the name of the work, and returns the text of the answer."""

REPLY = "turn "
"""How a reply begins; libraries print what they like between replies."""


async def take_turns(works: Mapping[str, Ask]) -> None:
    """Do one turn for each line of stdin, the name of a work and how often; nothing runs between the turns.

    Each reply tells the CPU seconds of the turn, those of the process so far, and the last answer's text.
    """
    for line in sys.stdin:
        work, times = line.split()
        ask, said = works[work], ""
        gc.collect()
        began = time.process_time()
        for _ in range(int(times)):
            said = await ask(work)
        ended = time.process_time()
        print(REPLY + json.dumps([ended - began, ended, said]), flush=True)
    os._exit(0)  # what a client does on its way out is not measured, and may take seconds
