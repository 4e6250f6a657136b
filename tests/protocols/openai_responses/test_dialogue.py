"""What is said on a WebSocket turn by turn: when a request goes on from the last answer, and what is left to say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite.protocols.openai_responses.dialogue import ResponsesDialogue
from tests.protocols.openai_responses.events import added, call, completed, done, message, text, thinking

HI: dict[str, Any] = {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
MORE: dict[str, Any] = {"role": "user", "content": [{"type": "input_text", "text": "And?"}]}
ANSWERED: dict[str, Any] = {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
CALLED = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
GAVE = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
ENCRYPTED = {"type": "reasoning", "summary": [], "encrypted_content": "other"}


def body(*turns: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": list(turns), "stream": True, **fields}).encode()


def heard(dialogue: ResponsesDialogue, *events: Any) -> list[str]:
    return [dialogue.hear(json.dumps(event).encode()) for event in events]


def answered(*output: Any) -> ResponsesDialogue:
    """A dialogue in which one request was answered with these items."""
    dialogue = ResponsesDialogue()
    dialogue.ask(body(HI))
    assert heard(dialogue, completed(*output)) == ["last"]
    return dialogue


@pytest.mark.parametrize(
    ("output", "turns", "left"),
    [
        ([message("Hello.")], [ANSWERED, MORE], [MORE]),
        ([message("Hello.")], [{"type": "item_reference", "id": "msg_1"}, MORE], [MORE]),
        ([thinking(encrypted_content="x"), message("Hello.")], [ENCRYPTED, ANSWERED, MORE], [MORE]),
        ([thinking(), message("Hello.")], [ANSWERED, MORE], [MORE]),
        ([call("{}")], [CALLED, GAVE], [GAVE]),
        ([{"type": "web_search_call", "id": "ws_1"}, message("Hello.")], [ANSWERED, MORE], [MORE]),
        ([], [MORE], [MORE]),
    ],
)
def test_what_is_left_to_say(output: list[Any], turns: list[Any], left: list[Any]) -> None:
    """A conversation that has the answer in it only needs what stands behind it."""
    dialogue = answered(*output)
    assert dialogue.continues(body(HI, *turns))
    asked = json.loads(dialogue.ask(body(HI, *turns)))
    assert (asked["input"], asked["previous_response_id"]) == (left, "resp_1")
    assert json.loads(dialogue.again())["input"] == [HI, *turns]


@pytest.mark.parametrize(
    "other",
    [
        body(HI, ANSWERED),  # nothing new
        body(HI, MORE),  # without the answer
        body(HI, "Hello.", MORE),
        body(HI, {**ANSWERED, "content": ["Hello.", None]}, MORE),
        body(MORE, ANSWERED, MORE),  # another beginning
        body(HI, {**ANSWERED, "content": [{"type": "output_text", "text": "Changed."}]}, MORE),
        body(HI, ANSWERED, MORE, previous_response_id="resp_0"),  # which says itself what it goes on from
        body(HI, ANSWERED, MORE, model="other"),
        b'{"model": "m", "input": "Hi."}',
    ],
)
def test_what_does_not_go_on(other: bytes) -> None:
    """Whatever is not the same conversation is said from its beginning."""
    dialogue = answered(message("Hello."))
    assert not dialogue.continues(other)
    asked, given = json.loads(dialogue.ask(other)), json.loads(other)
    assert (asked["input"], asked.get("previous_response_id")) == (given["input"], given.get("previous_response_id"))


def test_a_changed_call_does_not_go_on() -> None:
    """A tool call with other arguments is another conversation."""
    assert not answered(call("{}")).continues(body(HI, {**CALLED, "arguments": '{"a":1}'}, GAVE))


@pytest.mark.parametrize("kind", ["failed", "incomplete", "cancelled"])
def test_only_whole_answers_are_gone_on_from(kind: str) -> None:
    """After anything but a complete answer, the next turn says everything."""
    dialogue = answered(message("Hello."))
    dialogue.ask(body(HI, ANSWERED, MORE))
    assert heard(dialogue, text("a"), completed(status=kind)) == ["more", "last"]
    assert not dialogue.continues(body(HI, ANSWERED, MORE, MORE))


def test_an_end_that_does_not_say_how() -> None:
    """Where the event only says that it is over, the answer says whether it is whole."""
    for status, whole in (("completed", True), ("failed", False)):
        dialogue = ResponsesDialogue()
        dialogue.ask(body(HI))
        response = {"id": "resp_1", "status": status, "output": [message("Hello.")]}
        assert heard(dialogue, {"type": "response.done", "response": response}) == ["last"]
        assert dialogue.continues(body(HI, ANSWERED, MORE)) is whole
    dialogue.ask(body(HI))
    assert heard(dialogue, {"type": "response.completed", "response": {"output": []}}) == ["last"]
    assert not dialogue.continues(body(HI, MORE))


def test_items_that_were_streamed_count() -> None:
    """Where the last event has no output, the items that came before it are the answer."""
    dialogue = ResponsesDialogue()
    dialogue.ask(body(HI))
    item = message("Hello.")
    assert heard(dialogue, added(message()), text("Hello."), done(item), completed()) == ["more"] * 3 + ["last"]
    assert dialogue.continues(body(HI, ANSWERED, MORE))
    assert not dialogue.continues(body(HI, MORE))


@pytest.mark.parametrize("said", [b"", b"hello", b'"error"', b'["error"]', b"\xff", b'{"type": ["error"]}'])
def test_what_is_no_event_goes_by(said: bytes) -> None:
    """Whoever reads the answer says what is wrong with a message."""
    assert ResponsesDialogue().hear(said) == "more"


def test_errors_of_the_connection() -> None:
    """A forgotten answer is told again, once; an old connection is left; any other error is the answer."""
    forgotten = {"type": "error", "error": {"code": "previous_response_not_found"}}
    dialogue = answered(message("Hello."))
    dialogue.ask(body(HI, ANSWERED, MORE))
    assert heard(dialogue, forgotten) == ["again"]
    assert json.loads(dialogue.again())["input"] == [HI, ANSWERED, MORE]
    assert heard(dialogue, forgotten) == ["last"]
    late = answered(message("Hello."))
    late.ask(body(HI, ANSWERED, MORE))
    assert heard(late, text("a"), forgotten) == ["more", "last"]
    again = answered(message("Hello."))
    again.ask(body(HI, ANSWERED, MORE))
    too_old = {"type": "error", "error": {"code": "websocket_connection_limit_reached"}}
    assert heard(again, forgotten, too_old) == ["again", "elsewhere"]
    fresh = ResponsesDialogue()
    fresh.ask(body(HI))
    assert heard(fresh, forgotten) == ["last"]
    fresh.ask(body(HI))
    assert heard(fresh, {"type": "error", "code": "websocket_connection_limit_reached"}) == ["elsewhere"]
    fresh.ask(body(HI))
    assert heard(fresh, {"type": "error", "error": {"code": "server_error"}}) == ["last"]
