"""Put values into the places of a text that are written as ``{{name}}`` or ``{name}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .errors import InvalidRequest
from .public_names import publish
from .spelling import nearest

__all__ = ["apply_vars", "places_in"]

_PLACE: Final = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|\{([^\W\d]\w*)\}")


def apply_vars(template: str, vars: Mapping[str, Any] | None, *, strict: bool = True) -> str:
    """Return a text with its placeholders replaced by values.

    A placeholder is ``{{name}}``, with optional spaces around the name, or ``{name}``. Values are inserted once, as
    ``str(value)``: placeholders in a value stay. Everything else stays, too: braces of JSON, ``{name.attribute}``,
    ``{name:format}``.

    Args:
        template: the text.
        vars: name -> value; None if the text has no placeholders.
        strict: whether a placeholder without a value is an error; otherwise it stays as it is.

    Raises:
        InvalidRequest: for a placeholder without a value, with its name; for arguments of the wrong type.

    Example:
        >>> apply_vars('Hello, {{name}}! Answer as {"sum": 4}. {x.y}', {"name": "{name}"})
        'Hello, {name}! Answer as {"sum": 4}. {x.y}'
        >>> apply_vars("Hello, {nome}!", {"name": "Ada"})
        Traceback (most recent call last):
        mellite.errors.InvalidRequest: the template has a place for 'nome', and 'vars' has no value for it; did you ...
    """
    if not isinstance(template, str):
        msg = f"'template' must be a str, not {type(template).__name__}"
        raise InvalidRequest(msg, parameter="template")
    if vars is None:
        return template
    if not isinstance(vars, Mapping):
        msg = f"'vars' must be a mapping of names to values, or None, not {type(vars).__name__}"
        raise InvalidRequest(msg, parameter="vars")

    def put(place: re.Match[str]) -> str:
        name = place[1] or place[2]
        if name in vars:
            return str(vars[name])
        if not strict:
            return place[0]
        raise _missing(name, vars)

    return _PLACE.sub(put, template)


def places_in(template: str) -> list[str]:
    """Return the names of the places of a template, in order.

    Example:
        >>> places_in('{{ a }} and {b}, {"c": 1}')
        ['a', 'b']
    """
    return [first or second for first, second in _PLACE.findall(template)]


def _missing(name: str, given: Mapping[str, Any]) -> InvalidRequest:
    near = nearest(name, [each for each in given if isinstance(each, str)])
    hint = f"did you mean {near!r}?" if near is not None else "with strict=False the place stays as it is"
    msg = f"the template has a place for {name!r}, and 'vars' has no value for it; {hint}"
    return InvalidRequest(msg, parameter="vars")


publish(globals(), "mellite.steps")
