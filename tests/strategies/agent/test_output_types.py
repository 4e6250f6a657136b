"""A run whose answer has a type: the tools of the caller first, then the answer, of each protocol and in each mode."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import mellite
from mellite.cassettes import ScriptedTransport
from mellite.errors import OutputValidationError
from tests.backends.structured_answers import SPECS, Part, streamed, whole

pytestmark = pytest.mark.anyio


@attrs.frozen
class City:
    name: str
    people: int


OSLO = '{"name": "Oslo", "people": 7}'
ANSWERS: dict[str, Part] = {
    "native": OSLO,
    "tool": ("answer", [OSLO[:9], OSLO[9:]]),
    "text": f"Here:\n```json\n{OSLO}\n```",
}
LOOK: Part = ("count", ['{"place": "Oslo"}'])


def count(place: str) -> int:
    """Count the people."""
    return len(place)


def run(protocol: str, *answers: list[Part], stream: bool = True, **options: Any) -> mellite.Run[City]:
    make = streamed if stream else whole
    transport = ScriptedTransport([[make(protocol, *parts)] for parts in answers])
    backend = mellite.backend(SPECS[protocol], api_key="k", transport=transport)
    return mellite.run(backend, "How many?", tools=[count], output=City, stream=stream, **options)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", sorted(ANSWERS))
@pytest.mark.parametrize("protocol", sorted(SPECS))
async def test_tools_then_the_answer(protocol: str, mode: Any, stream: bool) -> None:
    """The tools run, whatever the model says beside their calls; then the answer ends the run, in its type."""
    if mode == "native" and protocol in ("cohere", "gemini"):
        mode, told = None, ANSWERS["tool"]  # these cannot be held to a schema beside tools
    else:
        told = ANSWERS[mode]
    going = run(protocol, ["Wait.", LOOK], [told], stream=stream, output_mode=mode)
    assert await going == City("Oslo", 7)
    assert (going.stop_reason, len(going.steps)) == ("answered", 2)
    assert [message.role for message in going.messages] == ["user", "assistant", "tool", "assistant"]
    assert [len(step.calls) for step in going.steps] == [1, 0]
    assert [partial async for partial in going.partials()][-1] == {"name": "Oslo", "people": 7}


@pytest.mark.parametrize("protocol", sorted(SPECS))
async def test_the_answer_beside_calls_ends_the_run(protocol: str) -> None:
    """Calling the tool for the answer ends the run, also if others are called beside it."""
    going = run(protocol, [LOOK, ANSWERS["tool"]], output_mode="tool")
    assert await going == City("Oslo", 7)
    assert (going.stop_reason, len(going.steps)) == ("answered", 1)


async def test_prose_in_place_of_a_call() -> None:
    """A model that was to call, and writes prose, has not answered."""
    going = run("chat", ["I do not know."], output_mode="tool")
    await going.settle()
    assert isinstance(going.error, OutputValidationError)
    assert going.error.partial == "I do not know."
