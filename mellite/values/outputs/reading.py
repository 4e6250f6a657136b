"""Read an answer in its output type: find the JSON in the text, take it out of its wrapping, and convert it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from ..errors import OutputValidationError
from ..events import Finish
from ..json_texts import BOM, strict_json
from ..output import converted, parse
from ..provider_json import Json
from ..type_names import type_name
from .plan import WRAPPED, OutputMode

__all__ = ["answer_in", "explained", "read_answer", "read_json"]

_FENCED: Final = re.compile(r"^[ \t]*```[ \t]*\w*[ \t]*\r?\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_OPENING: Final = re.compile(r"[{\[]")
_MOST_TRIES: Final = 200  # brackets in prose at which no JSON begins
_SHOWN: Final = 80


def read_answer(text: str, output: Any, *, mode: OutputMode | None = None, key: str | None = None) -> Any:
    """Return an answer in its output type.

    Args:
        text: the text of the answer.
        output: the type, or a `mellite.Json`; str gives the text as it is.
        mode: how the answer was held to the type; in the text mode, the JSON may stand in prose.
        key: the key of an object that the answer stands under.

    Raises:
        OutputValidationError: if it does not fit.
    """
    if output is str:
        return text
    try:
        value = answer_in(text, mode=mode, key=key)
    except OutputValidationError as error:
        if hasattr(output, "model_validate_json"):
            return parse(text, output)  # it may read more than JSON
        msg = f"the answer does not fit the output type {type_name(output)}: {error}"
        raise OutputValidationError(msg, path="$", value=text) from None
    try:
        return converted(value, output)
    except OutputValidationError:
        # A backend that does not tell how the answer was held to its type may replay one that was wrapped.
        if mode is None and key is None and _is_wrapped(value):
            return converted(value[WRAPPED], output)
        raise


def _is_wrapped(value: Json) -> bool:
    return isinstance(value, dict) and value.keys() == {WRAPPED}


def explained(error: OutputValidationError, finish: Finish | None) -> OutputValidationError:
    """Return the error for an answer that does not fit, with the reason if that is how the answer ended."""
    if finish is None or (finish.reason not in ("length", "content-filter") and not finish.refusal):
        return error
    if finish.refusal or finish.reason == "content-filter":
        why = f"the model refused to answer: {(finish.refusal or 'its answer was filtered')[:_SHOWN]!r}"
    else:
        why = "the answer was cut, as long as it was allowed to be; allow more with max_tokens"
    return OutputValidationError(f"{why}; {error}", path=error.path, value=error.value)


def answer_in(text: str, *, mode: OutputMode | None = None, key: str | None = None) -> Json:
    r"""Return the plain JSON data of an answer.

    The JSON may stand in a fenced block, which models write where nothing holds them to JSON.

    Raises:
        OutputValidationError: if the text is not JSON.

    Example:
        >>> answer_in('{"value": [1, 2]}', key="value"), answer_in("```json\n[1, 2]\n```")
        ([1, 2], [1, 2])
    """
    try:
        value = read_json(text.removeprefix(BOM))
    except ValueError as error:
        candidates = [*itertools.islice(_candidates(text, everywhere=mode == "text"), 1)]
        if not candidates:
            said = text.strip()
            shown = f"{said[:_SHOWN]}..." if len(said) > _SHOWN else said
            msg = f"it is not JSON ({error}): it begins {shown!r}" if said else "it is empty"
            raise OutputValidationError(msg) from None
        value = candidates[0]
    if key is not None and isinstance(value, dict) and value.keys() == {key}:
        return value[key]
    return value


def read_json(text: str) -> Json:
    """Return the data of a JSON text: of a key that comes twice, the last value counts.

    Raises:
        ValueError: if it is not JSON.
    """
    try:
        return strict_json(text)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


def _refuse(word: str) -> Json:
    msg = f"{word} is not JSON"
    raise ValueError(msg)


def _candidates(text: str, *, everywhere: bool) -> Iterator[Json]:
    """Give the JSON that the text holds, the best of it first.

    Args:
        text: the text.
        everywhere: whether it may stand in the middle of prose, and not only in one fenced block around all of it.
    """
    blocks = [found for found in _FENCED.finditer(text) if everywhere or found[0].strip() == text.strip()]
    for block in reversed(blocks):
        try:
            yield read_json(block[1])
        except ValueError:
            continue
    if everywhere:
        yield from sorted(_in_prose(text), key=lambda value: len(json.dumps(value)), reverse=True)


def _in_prose(text: str) -> list[Json]:
    """Return the objects and arrays in a text, the last one first."""
    read = json.JSONDecoder(parse_constant=_refuse).raw_decode
    found: list[Json] = []
    at, tries = 0, 0
    while tries < _MOST_TRIES:
        opening = _OPENING.search(text, at)
        if opening is None:
            break
        try:
            value, at = read(text, opening.start())
            found.append(value)
        except (ValueError, RecursionError):
            tries += 1
            at = opening.end()
    return found[::-1]
