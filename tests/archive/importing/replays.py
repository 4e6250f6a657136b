"""Convert files of other tools, and ask the cassettes that they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mellite
from mellite.archive.convert import Converted, convert

DATA = Path(__file__).parent / "data"


def converted(source: Path, target: Path, **options: Any) -> Converted:
    """What one conversion did."""
    (done,) = convert(str(source), str(target), **options)
    return done


def answers(path: Path, *prompts: Any, **options: Any) -> list[Any]:
    """What a backend answers from a cassette, one prompt after the other."""
    backend = mellite.backend(f"cassette:{path}")
    return [backend.generate(prompt, **options).result() for prompt in prompts]
