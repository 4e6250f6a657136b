"""Answers to a model whose call of a tool cannot be made as it wrote it, each a `ToolFailure`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Final, NoReturn

from ...values.errors import ToolFailure
from ...values.messages import ToolCall
from ...values.provider_json import Json
from ...values.spelling import did_you_mean

__all__ = ["arguments_of", "no_handler", "not_bound", "surplus", "too_late", "unknown_tool"]

#: How much of what the model wrote is shown on each side of a mistake, in characters.
_SHOWN: Final = 40
_LONGEST_NAME: Final = 80


def unknown_tool(name: str, known: Iterable[str]) -> ToolFailure:
    """Return the failure of a call of a tool that does not exist, with the nearest name.

    Example:
        >>> unknown_tool("get_wether", ["get_weather", "get_time"])
        ToolFailure("There is no tool 'get_wether'; did you mean 'get_weather'?")
    """
    names = list(known)
    said = did_you_mean(name[:_LONGEST_NAME], names, otherwise="the tools are") if names else "there are no tools"
    return ToolFailure(f"There is no tool {name[:_LONGEST_NAME]!r}; {said}")


def no_handler(name: str) -> ToolFailure:
    """Return the failure of a call of a tool that is a definition only."""
    return ToolFailure(f"The tool {name!r} has no handler here, so that it cannot be called.")


def not_bound(error: Exception, *, replaced: bool = False) -> ToolFailure:
    """Return the failure of arguments that do not fit the tool, with the path to what does not.

    Args:
        error: what is wrong with them.
        replaced: whether they are not the model's, but those that an approval put in their place.
    """
    whose = "The arguments that were put in place of yours" if replaced else "The arguments"
    return ToolFailure(f"{whose} do not fit the tool, which was not called. {error}")


def too_late(seconds: float) -> ToolFailure:
    """Return the failure of a tool that took too long."""
    return ToolFailure(f"The tool did not finish within {seconds:g} seconds, and was left.")


def surplus(count: int, most: int) -> ToolFailure:
    """Return the failure of each call that is too many."""
    return ToolFailure(
        f"Not run: {count} calls were asked for at once, and only the first {most} of them are run. "
        "Ask for fewer at a time."
    )


def arguments_of(call: ToolCall) -> Json:
    """Return the arguments that the model wrote; nothing, and null, stand for no arguments.

    Raises:
        ToolFailure: if what it wrote is not JSON, showing where that breaks.

    Example:
        >>> arguments_of(ToolCall("call_1", "f", None, raw_arguments='{"city": "Paris" "unit": "C"}'))
        Traceback (most recent call last):
        mellite.errors.ToolFailure: The arguments are not JSON, so that the tool was not called. ...
    """
    raw = call.raw_arguments
    if call.arguments is not None:
        return call.arguments
    if raw is None or not raw.strip() or raw.strip() == "null":
        return {}
    msg = f"The arguments are not JSON, so that the tool was not called. {_where_it_breaks(raw)}"
    raise ToolFailure(msg)


def _where_it_breaks(raw: str) -> str:
    try:
        json.loads(raw, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        return "They are nested too deeply."
    except json.JSONDecodeError as error:
        place, reason = error.pos, error.msg
        if reason.startswith("Unterminated"):  # its place is that of the quotation mark
            place, reason = len(raw), "a string has no end"
    except ValueError as error:
        word = str(error)
        place, reason = max(0, raw.find(word)), f"{word[:_SHOWN]} is not a number of JSON"
    else:
        return f"They are {raw[:_SHOWN]!r}."
    before, after = raw[max(0, place - _SHOWN) : place], raw[place : place + _SHOWN]
    if not after.strip():
        return f"They end at character {place}, after {before!r}: {reason}."
    return f"They break at character {place}, after {before!r} and before {after!r}: {reason}."


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
