"""The server that breaks every rule, in a process of its own: /fault/number/ of a URL says which."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Runs the server with an answer of one's own: both forms of it, and what it says to be.
_WITH_AN_ANSWER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from chaos_server import ChaosServer
streamed, whole, kind = json.loads(sys.argv[2])
print(ChaosServer(streamed.encode("latin-1"), whole.encode("latin-1"), kind).start().port, flush=True)
while True: time.sleep(3600)
"""


@contextlib.contextmanager
def chaos_server(corpora: Path, *, answer: tuple[bytes, bytes, str] | None = None) -> Iterator[str]:
    """Run the chaos server until the block ends; its URL is given.

    Args:
        corpora: the folder beside that of the server.
        answer: what the server has to say, as a stream and in one piece, and the type of the stream; by default fifty
            tokens over Chat Completions.
    """
    tools = corpora.parent / "tools"
    if answer is None:
        command = [sys.executable, str(tools / "chaos_server.py")]
    else:
        streamed, whole, kind = answer
        said = json.dumps([streamed.decode("latin-1"), whole.decode("latin-1"), kind])
        command = [sys.executable, "-c", _WITH_AN_ANSWER, str(tools), said]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
