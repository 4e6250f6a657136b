"""Requirements: checks on an output, whole or while it streams; their verdicts; and the stock requirements.

    requirements = [
        mellite.requirements.length(max=200, unit="words"),
        mellite.requirements.not_contains("as an AI"),
        mellite.Requirement("names a source", lambda thunk: "http" in thunk.value),
    ]
    verdicts = await mellite.check(thunk, requirements)      # in the order given

A requirement never passes by accident: a check that raises, takes too long or gives no verdict fails, and says why in
``error``.
"""

from __future__ import annotations

from ...values.public_names import publish
from .checking import Subject, as_requirements, check, verdicts
from .requirement import CheckChunk, Requirement, custom
from .stock.formats import json, python_syntax
from .stock.judge import Judgement, judge
from .stock.similarity import similar, similarity
from .stock.texts import contains, length, not_contains, one_of, regex
from .stock.tool_calls import tool_called
from .verdict import ChunkVerdict, ValidationResult

__all__ = [
    "CheckChunk",
    "ChunkVerdict",
    "Judgement",
    "Requirement",
    "Subject",
    "ValidationResult",
    "as_requirements",
    "check",
    "contains",
    "custom",
    "json",
    "judge",
    "length",
    "not_contains",
    "one_of",
    "python_syntax",
    "regex",
    "similar",
    "similarity",
    "tool_called",
    "verdicts",
]

publish(globals(), "mellite.requirements", elsewhere={"thunk": "thunk.thunk"})
