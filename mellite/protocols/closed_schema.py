"""The form of JSON Schema that Claude is held to, at Anthropic and on Bedrock, whose other models take the same.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from __future__ import annotations

from typing import Final

from .schema_projection import SchemaRules

__all__ = ["CLOSED_RULES"]

#: Nothing is open or refers to itself; limits of numbers, texts and arrays are refused.
CLOSED_RULES: Final = SchemaRules(
    keywords=frozenset({"const", "default"}),
    formats=frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}),
    cycles="never",
    min_items=frozenset({0, 1}),
    most_optional=24,
    most_unions=16,
)
