"""A live backend on a replaying transport: the whole way from a request to a settled thunk, without a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ReplayTransport
from mellite.errors import CassetteMismatch, CassetteMiss
from mellite.providers.catalog import find

pytestmark = pytest.mark.anyio

URL = "https://api.deepseek.com/v1/chat/completions"
JSON = {"content-type": "application/json"}
RECORDING = "opencode/recordings/openai-compatible-chat/deepseek-streams-text.json"
ASKED: dict[str, Any] = {"system": "You are concise.", "max_tokens": 20, "temperature": 0}
PROMPT = "Reply with exactly: Hello!"


def deepseek(cassette: Cassette | Path, **options: Any) -> tuple[LiveBackend, ReplayTransport]:
    """A backend whose key is made up: no cassette needs one."""
    transport = ReplayTransport(cassette, **options)
    return LiveBackend(
        find("deepseek:deepseek-chat", api_key="sk-made-up-for-this-test"), transport=transport
    ), transport


@pytest.mark.parametrize("cut", [None, 1, 7, 1000, [100, 101, 102]])
async def test_recorded_answer(corpora: Path, cut: Any) -> None:
    """A request that is the recorded one gets the recorded answer, however its bytes are cut."""
    backend, transport = deepseek(corpora / RECORDING, cut=cut)
    thunk = backend.generate(PROMPT, **ASKED)
    assert await thunk == "Hello!"
    assert (thunk.generation.replayed, thunk.generation.provider) == (True, "deepseek")
    transport.check_used()


async def test_another_request(corpora: Path) -> None:
    """Another request fails the thunk with what differs, as a CassetteMismatch and not as something wrapped."""
    backend, transport = deepseek(corpora / RECORDING)
    thunk = await backend.generate("Reply with exactly: Bye!", **ASKED).settle()
    assert isinstance(thunk.error, CassetteMismatch)
    expected = '$.messages[1].content expected "Reply with exactly: Hello!", received "Reply with exactly: Bye!"'
    assert expected in str(thunk.error)
    assert "sk-made-up" not in str(thunk.error)
    assert transport.used == 0


async def test_a_copy_too_many(corpora: Path) -> None:
    """A second generation of what was recorded once is a miss."""
    backend, _ = deepseek(corpora / RECORDING)
    thunks = await mellite.gather(*backend.generate(PROMPT, **ASKED).resample(2))
    values, errors = {thunk.value for thunk in thunks}, {type(thunk.error) for thunk in thunks}
    assert (values, errors) == ({"Hello!", None}, {type(None), CassetteMiss})  # trio says which of them comes first


@pytest.mark.slow
async def test_thousands_of_interactions_cost_what_one_does() -> None:
    """Each request is compared with the one whose turn it is, and with no other."""
    recorded = [interaction(number) for number in range(2000)]
    backend, transport = deepseek(Cassette(tuple(recorded)))
    for number in range(2000):
        assert await backend.generate(str(number)) == f"answer {number}"
    transport.check_used()


def interaction(number: int) -> HttpInteraction:
    """A unary answer to the prompt of this number, recorded without what is the same in all."""
    asked = {
        "model": "deepseek-chat",
        "messages": [{"role": "user", "content": str(number)}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = {"choices": [{"message": {"content": f"answer {number}"}, "finish_reason": "stop"}]}
    return HttpInteraction(
        RecordedRequest("POST", URL, headers=JSON, body=Body(json.dumps(asked))),
        RecordedResponse(200, headers=JSON, body=Body(json.dumps(answer))),
    )
