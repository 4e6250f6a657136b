"""Holds what checks JSON Schemas against the test suite of JSON Schema, as the npm package that carries it has it.

    npm pack json-schema-test-suite && tar xzf json-schema-test-suite-*.tgz
    python -m tests.json_schema_suite package all
    python -m tests.json_schema_suite package top

The normal tests have a small table of their own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mellite.values.shapes import Mismatch, SchemaCheck

DRAFT = "http://json-schema.org/draft-04/schema#"

TOP = {"type", "enum", "const", "required", "additionalProperties", "properties", "description", "title"}
"""The keywords of which the check without a library knows all that is tested, where a schema has no others."""


OTHERWISE = {
    "format": "a format only says something",
    "zeroTerminatedFloats": "3.0 is an integer, as in all later drafts",
}
"""File of the suite -> why mellite says something else."""


class Case(NamedTuple):
    """A value, a schema, and whether it fits."""

    where: str
    schema: Any
    value: Any
    fits: bool


def cases(folder: Path) -> Iterator[Case]:
    """All cases of draft 4, which is the newest that the package has."""
    for path in sorted((folder / "tests" / "draft4").rglob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            for test in group["tests"]:
                where = f"{path.stem}: {group['description']}: {test['description']}"
                yield Case(where, group["schema"], test["data"], test["valid"])


def is_remote(schema: Any) -> bool:
    """Whether a schema refers to another document than that of the draft, which is refused when the check is made."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        remote = isinstance(reference, str) and not reference.startswith(("#", DRAFT))
        return remote or any(map(is_remote, schema.values()))
    return isinstance(schema, list) and any(map(is_remote, schema))


def fits(schema: Any, value: Any) -> bool | str:
    """What mellite says of a value; a text if it refuses the schema."""
    try:
        check = SchemaCheck({"$schema": DRAFT, **schema})
    except ValueError as error:
        return str(error)
    try:
        check.read(value)
    except Mismatch:
        return False
    return True


def keywords(schema: Any) -> set[str]:
    """The keywords at the top of a schema and of its properties, which is where the check without a library looks."""
    inside = [each for each in schema.get("properties", {}).values() if isinstance(each, dict)]
    return {*schema, *(keyword for each in inside for keyword in each)}


def is_at_the_top(schema: Any) -> bool:
    """Whether the check without a library claims to know all of a schema."""
    inside = schema.get("properties", {}).values()
    nested = any({"properties", "required", "additionalProperties"} & set(each) for each in inside)
    return keywords(schema) <= TOP and not nested and isinstance(schema.get("additionalProperties", True), bool)


def differences(folder: Path, *, top: bool) -> tuple[int, list[str]]:
    """How many cases there are, and those in which mellite says something else than the suite."""
    chosen = [case for case in cases(folder) if not top or is_at_the_top(case.schema)]
    said = [(case, fits(case.schema, case.value)) for case in chosen]
    return len(chosen), [
        f"{case.where}: {verdict}"
        for case, verdict in said
        if (isinstance(verdict, bool) if is_remote(case.schema) else verdict is not case.fits)
        and case.where.partition(":")[0] not in OTHERWISE
    ]


def main(folder: str, mode: str) -> int:
    """Print each case in which mellite says something else than the suite; the number of them is the exit status."""
    if mode == "top":
        sys.modules["jsonschema_rs"] = None  # type: ignore[assignment]  # as where it is not installed
    counted, wrong = differences(Path(folder), top=mode == "top")
    sys.stdout.writelines(f"{line}\n" for line in [*wrong, f"{counted} cases, {len(wrong)} of them answered otherwise"])
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
