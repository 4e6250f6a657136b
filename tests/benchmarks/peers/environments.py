"""Which other clients there are, each in a pinned version, and the virtual environments that they are installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Final

import attrs


@attrs.frozen
class Peer:
    """A client of others: what is installed, the module that asks with it, and what it takes to import it."""

    name: str
    requirement: str
    module: str
    imports: str
    beside: tuple[str, ...] = ()
    """What is installed with it, in the version that the floor has here."""

    @property
    def title(self) -> str:
        """The name with the version, as the table shows it."""
        return f"{self.name} {self.requirement.partition('==')[2]}"


PEERS: Final = (
    Peer("openai", "openai==3.57.0", "ask_openai", "from openai import AsyncOpenAI"),
    Peer("anthropic", "anthropic==2.14.0", "ask_anthropic", "from anthropic import AsyncAnthropic"),
    Peer("litellm", "litellm==1.108.7", "ask_litellm", "from litellm import acompletion"),
    Peer(
        "pydantic-ai",
        "pydantic-ai-slim[openai]==2.68.0",
        "ask_pydantic_ai",
        "from pydantic_ai import Agent; from pydantic_ai.models.openai import OpenAIChatModel",
    ),
    Peer("mellea", "mellea==0.8.0", "ask_mellea", "import mellea; from mellea.backends.openai import OpenAIBackend"),
    Peer("vcrpy", "vcrpy==9.4.2", "ask_vcrpy", "import vcr", ("aiohttp", "msgspec")),
)


def cache_folder() -> Path:
    """Return the folder that keeps the environments from run to run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mellite-benchmarks"


def installed(peer: Peer, folder: Path) -> Path:
    """Install a peer below a folder, unless that has been done, and return its Python.

    Raises:
        subprocess.CalledProcessError: if pip cannot install it; what pip says is on stderr.
        subprocess.TimeoutExpired: if that takes more than ten minutes.
    """
    wanted = [peer.requirement, *[f"{name}=={version(name)}" for name in peer.beside]]
    place = folder / "-".join([peer.name, *[each.partition("==")[2] for each in wanted], sys.implementation.cache_tag])
    python, done = place / ("Scripts" if os.name == "nt" else "bin") / "python", place / "installed"
    if not done.exists():
        venv.create(place, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted]
        subprocess.run(command, check=True, timeout=600, stdout=sys.stderr)
        done.touch()
    return python
