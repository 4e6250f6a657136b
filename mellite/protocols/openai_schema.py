"""The form of JSON Schema that OpenAI, and who speaks like it, holds answers and arguments to.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from .output_modes import Form
from .schema_projection import SchemaRules

__all__ = ["OPENAI_FORM", "has_schemas", "has_tools"]

#: Every property is required, so one that may be absent is nullable; nothing is open; ``oneOf``, ``default`` and what
#: limits the length of texts is refused.
_RULES: Final = SchemaRules(
    keywords=frozenset(
        {"const", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maximum", "minItems", "minimum", "multipleOf",
         "pattern"}
    ),
    formats=frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}),
    all_required=True,
    bare_references=True,
    most_properties=5000,
    most_values=1000,
    deepest=10,
)  # fmt: skip

OPENAI_FORM: Final = Form(who="OpenAI", rules=_RULES, loosely=True)

#: OpenAI's models from before structured outputs, and those of them that cannot call tools, either.
_OLD: Final = re.compile(r"(?:.*/)?(?:gpt-3\.5|gpt-4$|gpt-4-|gpt-4o-2024-05|chatgpt-4o|o1-mini|o1-preview)")
_WITHOUT_TOOLS: Final = re.compile(r"(?:.*/)?(?:chatgpt-4o|o1-mini|o1-preview)")


@lru_cache(maxsize=256)
def has_schemas(model: str | None) -> bool:
    """Tell whether a model can be held to a JSON Schema, as all can that are not known to be older than that.

    Example:
        >>> has_schemas("gpt-4o-mini"), has_schemas("gpt-4-turbo")
        (True, False)
    """
    return _OLD.match(model or "") is None


@lru_cache(maxsize=256)
def has_tools(model: str | None) -> bool:
    """Tell whether a model can call tools, as far as is known."""
    return _WITHOUT_TOOLS.match(model or "") is None
