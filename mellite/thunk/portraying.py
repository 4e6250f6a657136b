"""The portrait of a thunk, for notebooks and terminals: state, model, tokens, cost, texts and error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from ..values.backend_streams import name_of
from ..values.errors import ConfigurationError
from ..values.portrait import Passage, Portrait, duration, tokens, usd
from ..values.told_errors import error_line
from .call import CallInfo

if TYPE_CHECKING:
    from ..values.messages import ToolCall
    from ..values.records import GenerationMetadata

__all__ = ["Looked", "asked_of", "call_text", "cost_of", "facts_of", "passages_of", "portrait_of_thunk"]

T = TypeVar("T")

#: The most characters that are shown of what is not the answer.
_MOST_BESIDE: Final = 1_000

#: The most characters of the arguments of a tool call.
_MOST_ARGUMENTS: Final = 200


class Looked(Protocol):
    """A thunk, as far as it is looked at. Reading any of this generates nothing."""

    @property
    def call(self) -> CallInfo:
        """The call that the thunk stands for."""
        ...

    @property
    def state(self) -> str:
        """``pending``, ``running``, ``done``, ``failed`` or ``cancelled``."""
        ...

    @property
    def generation(self) -> GenerationMetadata:
        """Ids, model, usage, times and how it finished."""
        ...

    @property
    def thinking(self) -> str | None:
        """The model's thinking so far."""
        ...

    @property
    def partial(self) -> str:
        """The text so far."""
        ...

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer."""
        ...

    @property
    def error(self) -> Exception | None:
        """The error that made the generation fail."""
        ...


def portrait_of_thunk(thunk: Looked) -> Portrait:
    """Return what is to be seen of a thunk now."""
    return Portrait(kind="thunk", state=thunk.state, facts=facts_of(thunk), passages=passages_of(thunk))


def facts_of(thunk: Looked) -> tuple[tuple[str, str], ...]:
    """Return who was asked, how it ended, and what it took."""
    made = thunk.generation
    return (
        ("model", asked_of(thunk, made)),
        ("finish", made.finish_reason or ""),
        ("usage", tokens(made.usage)),
        ("cost", usd(cost_of(lambda: made.cost_usd))),
        ("time", duration(made.duration_ms)),
        ("attempts", f"{made.attempts} attempts" if (made.attempts or 1) > 1 else ""),
        ("replayed", "replayed" if made.replayed else ""),
    )


def asked_of(thunk: Looked, made: GenerationMetadata) -> str:
    """Return the provider and the model, where they are known."""
    return f"{made.provider}:{made.model}" if made.provider and made.model else name_of(thunk.call.asked)


def cost_of(read: Callable[[], T]) -> T | None:
    """Read what has a cost in it; None also where the price list cannot be read: looking does not fail for that."""
    try:
        return read()
    except ConfigurationError:
        return None


def passages_of(thunk: Looked) -> tuple[Passage, ...]:
    """Return the prompt, the thinking, the text, the calls of tools and the error, as far as there are any."""
    is_growing = thunk.state == "running"
    calls = "\n".join([call_text(call) for call in thunk.tool_calls])
    error = thunk.error
    passages = (
        Passage("prompt", thunk.call.request.text, most=_MOST_BESIDE),
        Passage("thinking", thunk.thinking or "", most=_MOST_BESIDE, is_growing=is_growing),
        Passage("text", thunk.partial, is_growing=is_growing),
        Passage("tool calls", calls, most=_MOST_BESIDE),
        Passage("refusal", thunk.generation.refusal or "", most=_MOST_BESIDE),
        Passage("error", "" if error is None else error_line(error), most=_MOST_BESIDE),
    )
    return tuple([passage for passage in passages if passage.text])


def call_text(call: ToolCall) -> str:
    """Return a call of a tool as it would stand in a program."""
    written = call.raw_arguments
    if written is None:
        written = "" if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False, default=str)
    cut = written if len(written) <= _MOST_ARGUMENTS else f"{written[:_MOST_ARGUMENTS]}…"
    return f"{call.name}({cut})"
