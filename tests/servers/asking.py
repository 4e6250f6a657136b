"""What is asked of every server, and what an answer comes to: values that mellite's side and the SDKs' side share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

__all__ = ["COUNT", "FAIL", "HELLO", "LONGEST", "RIVERS", "THINK", "WEATHER", "WEATHER_TOOL", "Asked", "Said"]

WEATHER_TOOL: Final[Mapping[str, Any]] = {
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@frozen(kw_only=True)
class Asked:
    """One question, with what was said before it.

    Args:
        text: of the user's last turn.
        before: the user's turn before it, and the answer to it.
        tools: whether the tool for the weather is offered.
        called: the id of a call of that tool, whose result is then the last turn.
        broken: whether the request is to hold a temperature that is not a number.
    """

    text: str
    before: tuple[str, str] | None = None
    tools: bool = False
    called: str | None = None
    broken: bool = False


@frozen(kw_only=True)
class Said:
    """What came back, as far as every client says it.

    Args:
        text: of the answer.
        thinking: of the answer.
        calls: name and arguments of each tool call.
        reason: why it ended, in the server's word.
        taken: tokens read, those from a cache included; likewise `given`, tokens written, in the server's own figure.
        status: of an HTTP error.
        message: of the error; every client words it in its own way, so that it is not compared.
        call_id: of the first call; not compared either.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    reason: str | None = None
    taken: int | None = None
    given: int | None = None
    status: int | None = None
    message: str | None = None
    call_id: str | None = None


HELLO: Final = Asked(text="Say hello.")
RIVERS: Final = Asked(text="Name three rivers.")
LONGEST: Final = Asked(text="Which is longest?", before=("Name three rivers.", "The Amazon, the Nile and the Danube."))
THINK: Final = Asked(text="Think: what is two and two?")
COUNT: Final = Asked(text="Count to thirty.")
WEATHER: Final = Asked(text="What is the weather in Paris?", tools=True)
FAIL: Final = Asked(text="Fail.", broken=True)
RESULT: Final = "sunny, 22 degrees"
