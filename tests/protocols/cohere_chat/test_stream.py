"""Cohere's Chat: stream events and answers in one piece, finish reasons, tool plans, citations, thinking, errors."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import mellite
from mellite import Message, ModelOutputThunk
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ContextOverflow,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    ProviderInternal,
    RateLimited,
)
from mellite.events import Event, Finish, TextDelta, ToolCallEvent
from mellite.messages import Reasoning, Text, ToolCall
from mellite.protocols.cohere_chat import CohereChatRaw
from mellite.protocols.cohere_chat.body import lower
from mellite.protocols.cohere_chat.stream import halt, initial, step, unary
from mellite.providers.cohere import chat_route
from mellite.providers.recognize import route_of
from mellite.request import Request
from mellite.values.fold import fold

CITATION = {"start": 0, "end": 5, "text": "Sunny", "sources": [{"type": "tool", "id": "t:0"}], "type": "TEXT_CONTENT"}
USAGE = {
    "billed_units": {"input_tokens": 41, "output_tokens": 25},
    "tokens": {"input_tokens": 1441, "output_tokens": 54},
}


def content(index: int, **facts: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"message": {"content": facts}}}


def event(kind: str, **facts: Any) -> dict[str, Any]:
    return {"type": kind, **facts}


def call(index: int, **facts: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"message": {"tool_calls": facts}}}


START = event("message-start", id="a1", delta={"message": {"role": "assistant", "content": [], "tool_plan": ""}})
END = event("message-end", delta={"finish_reason": "COMPLETE", "usage": USAGE})
TEXT = [
    START,
    event("content-start", **content(0, type="text", text="")),
    event("content-delta", **content(0, text="Sun")),
    event("content-delta", **content(0, text="ny.")),
    event("citation-start", index=0, delta={"message": {"citations": CITATION}}),
    event("citation-end", index=0),
    event("content-end", index=0),
    END,
]
THOUGHT = [
    START,
    event("content-start", **content(0, type="thinking", thinking="")),
    event("content-delta", **content(0, thinking="Let me ")),
    event("content-delta", **content(0, thinking="see.")),
    event("content-end", index=0),
    event("content-start", **content(1, type="text", text="")),
    event("content-delta", **content(1, text="Sunny.")),
    event("content-end", index=1),
    END,
]
CALLS = [
    START,
    event("tool-plan-delta", delta={"message": {"tool_plan": "I will "}}),
    event("tool-plan-delta", delta={"message": {"tool_plan": "look."}}),
    event("tool-call-start", **call(0, id="t", type="function", function={"name": "weather", "arguments": ""})),
    event("tool-call-delta", **call(0, function={"arguments": '{"city":'})),
    event("tool-call-delta", **call(0, function={"arguments": '"Paris"}'})),
    event("tool-call-end", index=0),
    event("tool-call-start", **call(1, id="u", type="function", function={"name": "time", "arguments": "{}"})),
    event("tool-call-end", index=1),
    event("message-end", delta={"finish_reason": "TOOL_CALL", "usage": {**USAGE, "cached_tokens": 144}}),
]


def events_of(values: list[Any]) -> list[Event]:
    """The events of a stream to its end."""
    state = initial(Request.of("Hello."))
    found: list[Event] = []
    for value in values:
        found += step(
            state, json.dumps(value).encode(), value.get("type", "message") if isinstance(value, dict) else ""
        )
    return found if state.done else [*found, *halt(state)]


def ask(body: bytes, *, status: int = 200, stream: bool = True, **options: Any) -> ModelOutputThunk[str]:
    """A thunk that this body answers."""
    kind = "text/event-stream" if stream and status == 200 else "application/json"
    transport = ScriptedTransport([(status, {"content-type": kind}, [body])])
    route = chat_route(api_key="co-test", model=options.pop("model", "command-r7b-12-2024"))
    return LiveBackend(route, transport=transport, stream=stream).generate("Weather?", **options)


def sse(values: list[Any]) -> bytes:
    return b"".join([f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values])


@pytest.mark.anyio
async def test_text() -> None:
    """A streamed text with its citations, usage and cost; the raw answer is that of one in one piece."""
    thunk = await ask(sse(TEXT) + b"data: [DONE]\n\n").settle()
    assert await thunk == "Sunny."
    assert [delta async for delta in thunk] == ["Sun", "ny."]
    known = thunk.generation
    assert (known.provider, known.protocol, known.response_id) == ("cohere", "cohere-chat", "a1")
    assert (known.finish_reason, known.raw_finish_reason) == ("stop", "COMPLETE")
    assert known.usage is not None
    assert (known.usage.input_tokens, known.usage.output_tokens, known.usage.total_tokens) == (1441, 54, 1495)
    # What is charged are the billed units: $0.0375 and $0.15 a million.
    assert known.cost_usd == (41 * Decimal("0.0375") + 25 * Decimal("0.15")) / 1_000_000
    assert isinstance(thunk.raw, CohereChatRaw)
    message = {"role": "assistant", "content": [{"type": "text", "text": "Sunny."}], "citations": [CITATION]}
    assert thunk.raw.response == {"id": "a1", "finish_reason": "COMPLETE", "usage": USAGE, "message": message}
    assert thunk.message.content == (Text("Sunny.", provider_metadata={"cohere": {"citations": [CITATION]}}),)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_calls(*, stream: bool) -> None:
    """Tool calls, with the plan on the first of them; the same streamed and in one piece."""
    merged = events_of(CALLS)[-1]
    assert isinstance(merged, Finish)
    thunk = await ask(sse(CALLS) if stream else json.dumps(merged.response).encode(), stream=stream).settle()
    assert [(call.id, call.name, call.arguments) for call in thunk.tool_calls] == [
        ("t", "weather", {"city": "Paris"}),
        ("u", "time", {}),
    ]
    assert thunk.tool_calls[0].provider_metadata == {"cohere": {"tool_plan": "I will look."}}
    assert (thunk.value, thunk.thinking) == ("", None)  # a plan is neither
    assert thunk.generation.finish_reason == "tool-calls"
    assert thunk.generation.usage is not None
    assert thunk.generation.usage.cache_read_input_tokens == 144


@pytest.mark.anyio
async def test_history() -> None:
    """What came goes back as it came: the plan, the calls, the results, thinking, citations."""
    asked = await ask(sse(CALLS)).settle()
    thought = await ask(sse(THOUGHT)).settle()
    cited = await ask(sse(TEXT)).settle()
    history = [
        Message.system("Be brief."),
        Message.user("Weather?"),
        asked.message,
        Message.tool(mellite.messages.ToolResult("t", "weather", "Sunny"), mellite.messages.ToolResult("u", "time", 5)),
        thought.message,
        Message.system("Be briefer."),
        Message.user("And now?"),
        cited.message,
        Message.user("Thanks."),
    ]
    body = lower(Request.of(history, model="m"), stream=True)
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "t", "type": "function", "function": function},
                {"id": "u", "type": "function", "function": {"name": "time", "arguments": "{}"}},
            ],
            "tool_plan": "I will look.",
        },
        {"role": "tool", "tool_call_id": "t", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "u", "content": "5"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Let me see."}, {"type": "text", "text": "Sunny."}],
        },
        {"role": "user", "content": "<system-update>\nBe briefer.\n</system-update>"},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Sunny.", "citations": [CITATION]},
        {"role": "user", "content": "Thanks."},
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_plan_cites(*, stream: bool) -> None:
    """The citations of a plan, where there is no text for them to stand with, go back with it."""
    cited = {**CITATION, "type": "PLAN"}
    values = [*CALLS[:-1], event("citation-start", index=0, delta={"message": {"citations": cited}}), CALLS[-1]]
    merged = events_of(values)[-1]
    assert isinstance(merged, Finish)
    thunk = ask(sse(values) if stream else json.dumps(merged.response).encode(), stream=stream)
    thunk.result()
    answered = lower(Request.of([Message.user("Hi"), thunk.message], model="m"), stream=False)["messages"][1]
    assert (answered["tool_plan"], answered["citations"]) == ("I will look.", [cited])


def test_thinking_of_others_stays_here() -> None:
    """Thinking of another company is not sent as Cohere's."""
    history = [Message.user("Hi"), Message.assistant(Reasoning("Hm."), Text("Ho")), Message.user("Hi")]
    assert lower(Request.of(history, model="m"), stream=False)["messages"][1] == {"role": "assistant", "content": "Ho"}


@pytest.mark.parametrize("cut", range(1, len(THOUGHT)))
@pytest.mark.parametrize("values", [TEXT, THOUGHT, CALLS], ids=["text", "thought", "calls"])
def test_cut(values: list[Any], cut: int) -> None:
    """A stream that ends before its message-end has broken off, with [DONE] behind it or not; what came is kept."""
    thunk = ask(sse(values[: min(cut, len(values) - 1)]) + (b"data: [DONE]\n\n" if cut % 2 else b""))
    with pytest.raises(IncompleteStream) as caught:
        thunk.result()
    came = "".join(
        [
            value["delta"]["message"]["content"].get("text", "")
            for value in values[:cut]
            if "content-" in value["type"] and "delta" in value
        ]
    )
    assert caught.value.partial == came


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("ERROR_TOXIC", "content-filter"),
        ("NEW", "unknown"),
    ],
)
def test_reasons(word: str, reason: str) -> None:
    """Cohere's words for why an answer ended, and one that is not known."""
    ended = events_of([*TEXT[:-1], event("message-end", delta={"finish_reason": word})])[-1]
    assert isinstance(ended, Finish)
    assert (ended.reason, ended.raw_reason) == (reason, word)


@pytest.mark.parametrize("stream", [True, False])
def test_broken_off(*, stream: bool) -> None:
    """An answer that broke at the provider's is an error with the provider's words, and what had come."""
    end = event("message-end", delta={"finish_reason": "ERROR", "error": "the model is gone", "usage": USAGE})
    text = {"content": [{"type": "text", "text": "Sunny."}]}
    whole = {"id": "a1", "finish_reason": "ERROR", "message": text, "usage": USAGE}
    thunk = ask(sse([*TEXT[:-1], end]) if stream else json.dumps(whole).encode(), stream=stream)
    with pytest.raises(ProviderInternal, match="finish reason 'ERROR'") as caught:
        thunk.result()
    assert caught.value.retryable
    assert caught.value.partial == "Sunny."
    assert caught.value.usage is not None
    assert ("the model is gone" in str(caught.value)) is stream


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("rate limit exceeded, limit is 1000 requests per minute", RateLimited),
        ("too many tokens: the prompt has 5003", ContextOverflow),
        ({"message": "slow down", "code": 429}, RateLimited),
        ("nobody knows", ProviderInternal),
    ],
)
@pytest.mark.parametrize("word", ["ERROR", "COMPLETE", None])
def test_the_error_at_the_end(error: Any, kind: type[MelliteError], word: str | None) -> None:
    """What the end of an answer says went wrong has the class of its words, whatever reason stands beside it."""
    end = event("message-end", delta={"finish_reason": word, "error": error, "usage": USAGE})
    with pytest.raises(MelliteError) as caught:
        ask(sse([*TEXT[:-1], end])).result()
    assert type(caught.value) is kind
    assert (caught.value.partial, caught.value.usage is None) == ("Sunny.", False)


def test_types_that_only_the_events_names_say() -> None:
    """Gateways leave the type out of the JSON, and name the event alone."""
    named = [(value["type"], {name: fact for name, fact in value.items() if name != "type"}) for value in TEXT]
    body = "".join([f"event: {kind}\ndata: {json.dumps(value)}\n\n" for kind, value in named])
    assert ask(body.encode()).result() == "Sunny."


@pytest.mark.parametrize("end", [{}, {"finish_reason": None}, {"finish_reason": "null"}, None])
def test_an_end_without_a_reason(end: Any) -> None:
    """A stream that never says why it ended is not whole."""
    with pytest.raises(IncompleteStream) as caught:
        ask(sse([*TEXT[:-1], event("message-end", delta=end)])).result()
    assert caught.value.partial == "Sunny."


@pytest.mark.parametrize(
    ("beside", "kind"),
    [
        ({"error": {"message": "gone", "code": 500}, "message": {"content": []}}, ProviderInternal),
        ({"object": "error", "type": "x", "message": {"detail": [{"msg": "gone"}]}}, MelliteError),
    ],
)
def test_an_error_beside_a_message(beside: Any, kind: type[MelliteError]) -> None:
    """An object that says it is an error is one, also where its message is an object."""
    with pytest.raises(kind, match="gone"):
        ask(json.dumps(beside).encode(), stream=False).result()


def test_odd_citations_and_bare_bills() -> None:
    """What is not a citation goes nowhere; what is billed counts where no tokens are told."""
    odd = [event("citation-start", delta={"message": {"citations": each}}) for each in (None, "x", 5, [None])]
    end = event("message-end", delta={"finish_reason": "COMPLETE", "usage": {"billed_units": USAGE["billed_units"]}})
    thunk = ask(sse([*TEXT[:-2], *odd, end]))
    assert thunk.result() == "Sunny."
    assert thunk.message.content == (Text("Sunny.", provider_metadata={"cohere": {"citations": [CITATION]}}),)
    usage = thunk.generation.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (41, 25)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "invalid api token", AuthenticationError),
        (429, "You are using a Trial key, which is limited to 10 API calls / minute.", RateLimited),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
            ContextOverflow,
        ),
        (200, "internal server error", MelliteError),
    ],
)
def test_errors(status: int, message: str, kind: type[MelliteError]) -> None:
    """Errors of HTTP, and one inside a 200, each of its kind and in Cohere's words."""
    with pytest.raises(kind) as caught:
        ask(json.dumps({"id": "e1", "message": message}).encode(), status=status, stream=False).result()
    assert message in str(caught.value)


def test_a_bare_message_in_a_stream_is_an_error() -> None:
    """What stands in a stream as in an error answer, without a type, is the error; what had come is kept."""
    bare = b'data: {"id": "e1", "message": "who knows"}\n\n'
    with pytest.raises(MelliteError, match="who knows") as caught:
        ask(sse(TEXT[:3]) + bare).result()
    assert caught.value.partial == "Sun"


@pytest.mark.parametrize(
    "value",
    [
        5,
        event("content-delta", delta=5),
        event("content-start", **content(0, type=5)),
        event("content-delta", **content(0, text=5)),
        event("message-end", delta={"finish_reason": 5}),
        event("tool-call-start", delta={"message": {"tool_calls": "x"}}),
    ],
)
def test_nonsense(value: Any) -> None:
    """What is not an event of an answer is named."""
    with pytest.raises(InvalidProviderOutput):
        events_of([START, value])


def test_options() -> None:
    """Options in Cohere's words; a tool that must be used is the only one that is offered."""
    tools = [
        mellite.request.ToolDefinition(name=name, description="", input_schema={"type": "object"})
        for name in ("f", "g")
    ]
    asked = Request.of(
        "Hi", model="m", tools=tools, tool_choice="g", top_k=5, top_p=0.5, stop=["x"], reasoning_budget=100, seed=1
    )
    body = lower(asked, stream=False)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == "REQUIRED"
    assert (body["k"], body["p"], body["stop_sequences"], body["seed"]) == (5, 0.5, ["x"], 1)
    assert body["thinking"] == {"type": "enabled", "token_budget": 100}
    for none in ({"reasoning_effort": "none"}, {"reasoning_budget": 0}):
        assert lower(Request.of("Hi", **none), stream=False)["thinking"] == {"type": "disabled"}


def test_tools_that_may_be_used() -> None:
    """To choose freely is Cohere's default and is not said; one strict tool makes all of them strict."""
    loose, strict = [mellite.request.ToolDefinition("f", strict=strict) for strict in (None, True)]
    assert {"tool_choice", "strict_tools"}.isdisjoint(lower(Request.of("Hi", tools=[loose]), stream=False))
    asked = lower(Request.of("Hi", tools=[strict], tool_choice="auto"), stream=False)
    assert ("tool_choice" in asked, asked["strict_tools"]) == (False, True)
    assert lower(Request.of("Hi", tools=[loose], tool_choice="none"), stream=False)["tool_choice"] == "NONE"
    with pytest.raises(mellite.errors.UnsupportedOption, match="reasoning_budget"):
        lower(Request.of("Hi", reasoning_effort="high"), stream=False)


def test_documents() -> None:
    """Documents of text stand beside the messages, for the model to cite; others are refused."""
    note = mellite.messages.Document(b"Closed on Mondays.", media_type="text/plain", filename="hours.txt")
    body = lower(Request.of([Message.user("When?", note)], model="m"), stream=False)
    assert body["documents"] == [{"data": {"text": "Closed on Mondays.", "title": "hours.txt"}}]
    assert body["messages"] == [{"role": "user", "content": "When?"}]
    with pytest.raises(mellite.errors.InvalidRequest, match="application/pdf"):
        lower(
            Request.of([Message.user(mellite.messages.Document(b"%PDF", media_type="application/pdf"))]), stream=False
        )


def test_a_recorded_request_finds_its_route() -> None:
    """The URL of a recorded request says which protocol it spoke; Cohere's may stand behind a proxy's path."""
    for base in ("https://api.cohere.com/v2", "https://proxy.test/co/v2"):
        route = route_of(f"{base}/chat", {"model": "m", "messages": [], "stream": True})
        assert route is not None
        assert (route.protocol.id, route.model, route.endpoint.url()) == ("cohere-chat", "m", f"{base}/chat")
        assert route.options.stream is True


def test_calls_by_the_way() -> None:
    """Odd calls: arguments as an object, a list of calls in one event, a known reason that is not about calls."""
    calls = [{"id": "t", "function": {"name": "f", "arguments": {"a": 1}}}]
    found = events_of([START, event("tool-call-start", index=0, delta={"message": {"tool_calls": calls}}), END])
    calls_found = [each.call for each in found if isinstance(each, ToolCallEvent)]
    assert calls_found == [ToolCall("t", "f", {"a": 1}, raw_arguments='{"a":1}')]
    ended = found[-1]
    assert isinstance(ended, Finish)
    assert ended.reason == "tool-calls"


FIELDS = (
    "arguments", "citations", "content", "delta", "error", "finish_reason", "function", "id", "index", "input_tokens",
    "message", "name", "text", "thinking", "tokens", "tool_calls", "tool_plan", "type", "usage",
)  # fmt: skip
KINDS = st.sampled_from([value["type"] for value in (*TEXT, *THOUGHT, *CALLS)])
WORDS = st.sampled_from(["", "text", "thinking", "COMPLETE", "ERROR", "{", "\ud800", "f"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
EVENTS = VALUES | st.fixed_dictionaries(
    {"type": KINDS},
    optional={"index": st.integers(0, 2) | VALUES, "delta": st.fixed_dictionaries({"message": VALUES}) | VALUES},
)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=6), st.booleans())
def test_any_stream(values: list[Any], ends: bool) -> None:
    """Any JSON in any place of a stream: one Finish at the end of an answer that folds, or a typed error."""
    try:
        found = events_of([*values, *([END] if ends else [])])
    except MelliteError:
        return
    assert [type(each) for each in found].count(Finish) == 1
    assert isinstance(found[-1], Finish)
    said = "".join([each.text for each in found if isinstance(each, TextDelta)])
    assert fold(found).text == said


@settings(max_examples=150)
@given(VALUES | st.fixed_dictionaries({"message": VALUES}, optional={"usage": VALUES, "finish_reason": VALUES}))
def test_any_answer(value: Any) -> None:
    """Any JSON in any place of an answer in one piece, likewise."""
    try:
        found = list(unary(json.dumps(value).encode()))
    except MelliteError:
        return
    assert isinstance(found[-1], Finish)
