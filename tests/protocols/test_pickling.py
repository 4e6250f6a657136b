"""A pickle of a protocol holds its name and its dialect, and no other function of mellite."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

import pytest
from attrs import evolve

from mellite.protocols import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    openai_chat,
    openai_responses,
)
from mellite.request import Request
from mellite.wire.protocol import Protocol

PROTOCOLS: dict[str, Protocol[Any]] = {
    "anthropic": anthropic_messages.protocol(anthropic_messages.AnthropicDialect(names_model=False, max_tokens=99)),
    "bedrock": bedrock_converse.protocol(),
    "cohere": cohere_chat.protocol(),
    "gemini": gemini.protocol(gemini.GeminiDialect(namespaces=("vertex",), enums="vertex")),
    "chat": openai_chat.protocol(openai_chat.ChatDialect(seed="random_seed", more_options=frozenset({"top_k"}))),
    "responses": openai_responses.protocol(evolve(openai_responses.OPENAI, store=False)),
}


def names_in(data: bytes) -> set[str]:
    """Return the modules and names that a pickle refers to."""
    texts = [str(argument) for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)]
    return {text for text in texts if text.startswith("mellite")}


@pytest.mark.parametrize("spoken", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_pickle_holds_a_name_and_a_dialect(spoken: Protocol[Any]) -> None:
    """What is read says the same as what was written, and nothing in between has names that may change."""
    data = pickle.dumps(spoken)
    assert names_in(data) == {"mellite.wire.protocol", f"mellite.protocols.{spoken.id.replace('-', '_')}"}
    again = pickle.loads(data)
    request = Request.of("Hello.", model="m", seed=5) if "seed" in spoken.options else Request.of("Hello.", model="m")
    assert (again.id, again.options, again.elsewhere) == (spoken.id, spoken.options, spoken.elsewhere)
    assert again.lower(request, stream=True) == spoken.lower(request, stream=True)
    assert names_in(pickle.dumps(again)) == names_in(data)


@pytest.mark.parametrize("spoken", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_changed_protocol_keeps_its_change(spoken: Protocol[Any]) -> None:
    """A protocol of which something was replaced is another one, and its pickle holds what was put there."""
    changed = evolve(spoken, elsewhere="somewhere", classify=classified)
    again = pickle.loads(pickle.dumps(changed))
    assert (again.elsewhere, again.classify, again.step) == ("somewhere", classified, spoken.step)


def classified(status: int, headers: object, body: bytes) -> Exception:
    raise NotImplementedError
