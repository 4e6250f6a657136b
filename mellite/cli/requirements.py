"""Requirements as they are written on the command line: json, contains=Paris, max-words=50."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ..values.errors import InvalidRequest
from ..values.spelling import did_you_mean

if TYPE_CHECKING:
    from ..strategies.requirements import Requirement

__all__ = ["HELP", "NAMES", "requirements_of"]

#: The help text of ``--require``.
HELP: Final = (
    "What an answer must meet; may be given several times: json, json=SCHEMA_FILE, contains=TEXT, not-contains=TEXT, "
    "regex=PATTERN, not-regex=PATTERN, full-match=PATTERN, min-words=N, max-words=N, min-chars=N, max-chars=N, "
    "one-of='A|B', similar=TEXT, python, tool, tool=NAME."
)


def requirements_of(specs: Sequence[str]) -> list[Requirement]:
    """Return the requirements that ``--require`` names.

    Raises:
        InvalidRequest: for an unknown name, or a value that it cannot take.
        MissingExtra: if one of them needs a package that is not installed.

    Example:
        >>> [each.description for each in requirements_of(["max-words=5", "contains=Paris"])]
        ['The answer has at most 5 words.', "The answer contains 'Paris'."]
    """
    return [_requirement(spec) for spec in specs]


def _requirement(spec: str) -> Requirement:
    name, given, value = spec.partition("=")
    make = _MAKERS.get(name)
    if make is None:
        msg = f"there is no requirement {name!r}; {did_you_mean(name, NAMES)}"
        raise InvalidRequest(msg, parameter="require")
    return make(value if given else None)


def _needed(name: str, value: str | None) -> str:
    """Return the value of a requirement that needs one."""
    if not value:
        msg = f"the requirement {name!r} needs a value: {name}=..."
        raise InvalidRequest(msg, parameter="require")
    return value


def _json(value: str | None) -> Requirement:
    from ..strategies import requirements

    if value is None:
        return requirements.json()
    import json

    try:
        with open(value, encoding="utf-8") as file:
            schema = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        msg = f"the JSON Schema {value!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidRequest(msg, parameter="require") from error
    return requirements.json(schema=schema)


def _with_text(name: str, maker: str, **more: bool) -> Callable[[str | None], Requirement]:
    """Make what turns a text into the requirement that `maker`, of mellite.requirements, makes of it."""

    def make(value: str | None) -> Requirement:
        from ..strategies import requirements

        made: Requirement = getattr(requirements, maker)(_needed(name, value), **more)
        return made

    return make


def _with_number(name: str, bound: str, unit: str) -> Callable[[str | None], Requirement]:
    """Make what turns a number into a requirement on the length of an answer."""

    def make(value: str | None) -> Requirement:
        from ..strategies import requirements

        try:
            limits = {bound: int(_needed(name, value))}
        except ValueError as error:
            msg = f"the requirement {name!r} needs a whole number, not {value!r}"
            raise InvalidRequest(msg, parameter="require") from error
        return requirements.length(**limits, unit="words" if unit == "words" else "chars")

    return make


def _one_of(value: str | None) -> Requirement:
    from ..strategies.requirements import one_of

    return one_of(_needed("one-of", value).split("|"))


def _python(value: str | None) -> Requirement:
    from ..strategies.requirements import python_syntax

    if value is not None:
        msg = "the requirement 'python' takes no value"
        raise InvalidRequest(msg, parameter="require")
    return python_syntax()


def _tool(value: str | None) -> Requirement:
    from ..strategies.requirements import tool_called

    return tool_called(None if value is None else _needed("tool", value))


_MAKERS: Final[dict[str, Callable[[str | None], Requirement]]] = {
    "json": _json,
    "contains": _with_text("contains", "contains"),
    "not-contains": _with_text("not-contains", "not_contains"),
    "regex": _with_text("regex", "regex"),
    "not-regex": _with_text("not-regex", "regex", forbid=True),
    "full-match": _with_text("full-match", "regex", full=True),
    "min-words": _with_number("min-words", "min", "words"),
    "max-words": _with_number("max-words", "max", "words"),
    "min-chars": _with_number("min-chars", "min", "chars"),
    "max-chars": _with_number("max-chars", "max", "chars"),
    "one-of": _one_of,
    "similar": _with_text("similar", "similar"),
    "python": _python,
    "tool": _tool,
}

#: All names of requirements.
NAMES: Final = tuple(_MAKERS)
