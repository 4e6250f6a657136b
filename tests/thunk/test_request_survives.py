"""No field of a request is lost between the caller and the backend."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

import mellite
from mellite.events import Event, Finish, TextDelta
from mellite.request import CachePolicy, HttpOptions, Options, Request, ToolChoice, ToolDefinition

pytestmark = pytest.mark.anyio

FULL = Request(
    (mellite.Message.user("Hello."),),
    "m",
    system=(mellite.Text("Be brief."),),
    tools=(ToolDefinition("look"),),
    tool_choice=ToolChoice("none"),
    options=Options(temperature=0),
    provider_options={"acme": {"a": 1}},
    http=HttpOptions(body={"b": 2}),
    cache=CachePolicy(tools=True),
    output=dict,
    output_mode="tool",
    metadata={"why": "test"},
)
"""A request in which no field has its default."""


class Heard(mellite.Backend):
    """A backend that keeps the requests it was sent."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.requests.append(request)
        yield TextDelta("{}")
        yield Finish("stop")


def fields_of(request: Request) -> dict[str, Any]:
    """The fields by name, without the lineage that a generation notes in the metadata."""
    values = {name: getattr(request, name) for name in attrs.fields_dict(Request)}
    return {**values, "metadata": {name: value for name, value in request.metadata.items() if name != "lineage"}}


def test_the_example_is_full() -> None:
    """A field that is added to Request has to be added to the example."""
    plain = fields_of(Request((mellite.Message.user("Hi."),)))
    assert [name for name, value in fields_of(FULL).items() if value == plain[name]] == []


async def test_a_backend_gets_every_field() -> None:
    backend = Heard()
    await backend.generate(FULL)
    assert fields_of(backend.requests[0]) == fields_of(FULL)


async def test_a_backend_gets_every_field_where_thunks_are_resolved() -> None:
    """A prompt that holds a thunk is asked as its text; nothing else changes."""
    backend = Heard()
    inner = mellite.backends.Constant("Hello.").generate("What do you say?")
    asked = attrs.evolve(FULL, messages=(mellite.Message("user", [inner]),))
    await backend.generate(asked)
    assert fields_of(backend.requests[0]) == fields_of(FULL)


async def test_copies_ask_with_every_field() -> None:
    """Copies ask the same; an option of theirs replaces just that one."""
    backend = Heard()
    for twin in (*backend.generate(FULL).resample(1), *backend.generate(FULL).resample(1, temperature=1)):
        await twin
    same, hotter = map(fields_of, backend.requests)
    assert same == fields_of(FULL)
    assert hotter == {**fields_of(FULL), "options": Options(temperature=1)}


@pytest.mark.parametrize("copied", [lambda thunk: pickle.loads(pickle.dumps(thunk)), copy.copy, copy.deepcopy])
async def test_a_copied_thunk_asks_with_every_field(copied: Any) -> None:
    twin = copied(Heard().generate(FULL))
    await twin
    (request,) = twin._call.backend.requests
    assert fields_of(request) == fields_of(FULL)
