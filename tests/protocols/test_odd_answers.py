"""Good answers in a form that nobody expects: filtered without a message, input given twice, usage in odd places."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mellite import ModelOutputThunk, backend
from mellite.cassettes import ScriptedTransport
from mellite.errors import InvalidProviderOutput, MelliteError, ProviderInternal
from tests.protocols.anthropic_messages import claude
from tests.protocols.bedrock_converse import converse
from tests.protocols.gemini.chunks import chunk
from tests.protocols.openai_chat.chunks import call as chat_call, delta
from tests.protocols.streams import asked, whole, wire

BOM = b"\xef\xbb\xbf"
FILTERED = {
    "index": 0,
    "finish_reason": "content_filter",
    "content_filter_results": {
        "hate": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": True, "detected": True},
        "violence": {},
    },
}
PARIS = {"city": "Paris"}


# --- filtered -------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("chat", {"choices": [FILTERED], "usage": {"prompt_tokens": 7, "completion_tokens": 0}}),
        ("chat", {"choices": [{**FILTERED, "message": None}], "usage": {"prompt_tokens": 7}}),
        ("claude", {"id": "m", "content": None, "stop_reason": "refusal", "usage": {"input_tokens": 7}}),
        ("converse", {"output": {"message": None}, "stopReason": "guardrail_intervened", "usage": {"inputTokens": 7}}),
        ("converse", {"output": {}, "stopReason": "content_filtered", "usage": {"inputTokens": 7}}),
        ("gemini", {"candidates": [{"finishReason": "SAFETY"}], "usageMetadata": {"promptTokenCount": 7}}),
    ],
)
async def test_an_answer_that_was_filtered_has_no_message(name: str, body: Any) -> None:
    """Where a filter let nothing through, the answer is empty, says so, and has its usage and raw response."""
    thunk = whole(name, body)
    assert await thunk == ""
    assert thunk.generation.finish_reason == "content-filter"
    assert thunk.generation.usage is not None
    assert thunk.generation.usage.input_tokens == 7
    assert thunk.raw is not None
    assert thunk.raw.response == body


@pytest.mark.anyio
async def test_a_stream_that_was_filtered_keeps_what_came() -> None:
    """In a stream, Azure's last choice has no delta: the text so far stays."""
    thunk = asked(
        "chat", [{"choices": [], "prompt_filter_results": []}, delta(content="Half"), {"choices": [FILTERED]}]
    )
    assert await thunk == "Half"
    assert thunk.generation.finish_reason == "content-filter"
    assert thunk.generation.refusal == "filtered: hate (high), jailbreak"


@pytest.mark.anyio
@pytest.mark.parametrize(("word", "kind"), [("stop", InvalidProviderOutput), ("error", ProviderInternal)])
async def test_a_choice_without_a_message_is_no_answer_elsewhere(word: str, kind: type[MelliteError]) -> None:
    """Without a filter, a choice without a message is refused."""
    with pytest.raises(kind):
        await whole("chat", {"choices": [{"index": 0, "finish_reason": word}]})


# --- the input of tools ---------------------------------------------------------------------------


def written(name: str, given: Any, *pieces: str) -> list[Any]:
    """A stream with one call: the input that its block begins with, and the pieces that deltas bring."""
    if name == "claude":
        deltas = [claude.written(0, piece) for piece in pieces]
        block = claude.block(0, "tool_use", *deltas, **{**claude.CALL, "input": given})
        return [claude.begin(), *block, *claude.end("tool_use")]
    return [converse.BEGIN, *converse.called(0, "t", "get_weather", *pieces, input=given), *converse.end("tool_use")]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["claude", "converse"])
@pytest.mark.parametrize(
    ("given", "pieces", "raw"),
    [
        (PARIS, ['{"city":', '"Paris"}'], '{"city":"Paris"}'),
        (PARIS, ['{"city": "Paris"}'], '{"city": "Paris"}'),
        (PARIS, [], '{"city":"Paris"}'),
        (PARIS, ["", " "], None),
        ({}, ['{"city":"Paris"}'], '{"city":"Paris"}'),
        ("", ['{"city":"Paris"}'], '{"city":"Paris"}'),
        ('{"city":"Paris"}', [], '{"city":"Paris"}'),
        ({}, ["{}", '{"city":"Paris"}'], None),
        ({"city": "Paris"}, ["{}"], None),
        ({"city": "Paris"}, ["{}", '{"city":"Paris"}'], None),
    ],
)
async def test_input_at_the_start_and_in_deltas(name: str, given: Any, pieces: list[str], raw: str | None) -> None:
    """Input that a block begins with counts once, and only if no delta brings it."""
    thunk = asked(name, written(name, given, *pieces))
    await thunk
    (call,) = thunk.tool_calls
    assert call.arguments == PARIS
    assert raw is None or call.raw_arguments == raw
    assert thunk.raw is not None
    assert '"Paris"' in json.dumps(thunk.raw.response)


@pytest.mark.anyio
async def test_a_message_that_begins_with_all_of_it() -> None:
    """A gateway that puts the whole content into `message_start` is read; blocks that follow come instead of it."""
    content = [{"type": "text", "text": "Hello"}]
    assert await asked("claude", [claude.begin(content=content), *claude.end()]) == "Hello"
    again = [claude.begin(content=content), *claude.block(0, "text", claude.text(0, "Hello"), text=""), *claude.end()]
    assert await asked("claude", again) == "Hello"


@pytest.mark.anyio
async def test_a_delta_that_says_nothing() -> None:
    """A delta that is null is passed over, as an event that is null."""
    null = {"type": "content_block_delta", "index": 0, "delta": None}
    block = claude.block(0, "text", null, claude.text(0, "Hello"), text="")
    assert await asked("claude", [claude.begin(), *block, *claude.end()]) == "Hello"
    place = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0}
    done = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}
    assert await asked("responses", [{**place, "delta": None}, {**place, "delta": "Hello"}, done]) == "Hello"


@pytest.mark.anyio
async def test_a_choice_that_is_text() -> None:
    """A choice without a message or a delta, as of the older Completions, says its text; beside a delta that counts."""
    said = [{"choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in ("Hel", "lo")]
    assert await asked("chat", [*said, delta("stop")]) == "Hello"
    both = [{"choices": [{"index": 0, "text": "Hello", "delta": {"content": "Hello"}}]}, delta("stop")]
    assert await asked("chat", both) == "Hello"
    assert await whole("chat", {"choices": [{"text": "Hello", "finish_reason": "stop"}]}) == "Hello"


# --- byte order marks -----------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("chat", {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}),
        ("claude", {"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}),
        ("cohere", {"message": {"content": [{"type": "text", "text": "a"}]}, "finish_reason": "COMPLETE"}),
        ("converse", converse.answer({"text": "a"})),
        ("gemini", chunk("a", finish="STOP")),
        ("responses", {"status": "completed", "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]}),
    ],
)  # fmt: skip
async def test_a_byte_order_mark_before_a_body(name: str, body: Any) -> None:
    """A byte order mark before the JSON of an answer in one piece is passed over."""
    assert await whole(name, BOM + json.dumps(body).encode()) == "a"


@pytest.mark.anyio
async def test_a_byte_order_mark_in_the_middle_of_a_stream_loses_nothing_in_silence() -> None:
    """Two streams put one behind the other have one before a line, which browsers pass over: that is refused."""
    marked = "data: null\n\n\ufeffdata: " + json.dumps(delta(content="b"))
    lines = [json.dumps(delta(content="a")), marked.removeprefix("data: "), json.dumps(delta("stop"))]
    with pytest.raises(InvalidProviderOutput, match="damaged") as caught:
        await asked("chat", lines)
    assert caught.value.partial == ""  # nobody knows where in these bytes the gap is


# --- usage ----------------------------------------------------------------------------------------


async def tokens(thunk: ModelOutputThunk[str]) -> tuple[int | None, int | None, int | None]:
    await thunk
    usage = thunk.generation.usage
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, usage.reasoning_tokens


@pytest.mark.anyio
async def test_groqs_usage_stands_in_x_groq() -> None:
    """Groq gives the usage of a stream in `x_groq`, and there it also says why it stopped early."""
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    last = {**delta("stop"), "x_groq": {"id": "req_1", "usage": used}}
    assert await tokens(asked("chat", [delta(content="a"), last])) == (3, 2, None)
    broken = {**delta(), "x_groq": {"id": "req_1", "error": "internal_server_error"}}
    with pytest.raises(MelliteError, match="internal_server_error") as caught:
        await asked("chat", [delta(content="a"), broken])
    assert caught.value.partial == "a"


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["mistral", "perplexity"])
async def test_hosts_that_give_usage_unasked(host: str) -> None:
    """Mistral refuses to be asked for the usage of a stream, and gives it, as Perplexity does, without."""
    last = {**delta("stop"), "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    transport = ScriptedTransport([[wire("chat", [delta(content="a"), last])]])
    thunk = backend(f"{host}:m", api_key="sk-test", transport=transport).generate("Hi")
    assert await tokens(thunk) == (3, 2, None)
    assert "stream_options" not in json.loads(transport.requests[0].body)


@pytest.mark.anyio
async def test_usage_in_every_delta_of_claude() -> None:
    """Dynamo counts in every delta: what it says of the input at the end is right, at the start it is not."""
    deltas = [{**claude.text(0, "a"), "usage": {"input_tokens": 5, "output_tokens": 1}}]
    start = claude.begin(usage={"input_tokens": 5, "output_tokens": 0})
    end = claude.end(usage={"input_tokens": 15, "output_tokens": 4})
    assert await tokens(asked("claude", [start, *claude.block(0, "text", *deltas, text=""), *end])) == (15, 4, None)
    broken = asked("claude", [start, claude.start(0, "text", text=""), *deltas])
    with pytest.raises(MelliteError) as caught:
        await broken
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 1


def counted(name: str, input: int, output: int, reasoning: int, total: int | None) -> Any:
    """An answer in one piece with these counts."""
    known = {} if total is None else {"total": total}
    if name == "gemini":
        counts = {"promptTokenCount": input, "candidatesTokenCount": output, "thoughtsTokenCount": reasoning}
        return chunk("a", finish="STOP", usageMetadata={**counts, **{f"{key}TokenCount": known[key] for key in known}})
    totals: dict[str, Any] = {f"{key}_tokens": known[key] for key in known}
    if name == "claude":
        totals |= {"input_tokens": input, "output_tokens": output}
        totals["output_tokens_details"] = {"thinking_tokens": reasoning}
        return {"content": [], "stop_reason": "end_turn", "usage": totals}
    details = {"reasoning_tokens": reasoning}
    if name == "responses":
        totals |= {"input_tokens": input, "output_tokens": output, "output_tokens_details": details}
        return {"status": "completed", "output": [], "usage": totals}
    totals |= {"prompt_tokens": input, "completion_tokens": output}
    totals |= details if name == "flat" else {"completion_tokens_details": details}
    return {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": totals}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("names", "counts", "expected"),
    [
        # the total says that thinking is inside of the output
        ("chat flat responses gemini", (5, 9, 7, 14), (9, 7)),
        ("chat flat responses gemini", (5, 9, 9, 14), (9, 9)),
        ("chat flat responses gemini", (5, 9, 12, 14), (9, 9)),  # more than all is all
        # the total says that it is counted apart
        ("chat flat responses gemini", (5, 9, 7, 21), (16, 7)),
        ("chat flat responses gemini", (5, 2, 284, 291), (286, 284)),
        # no total, or one that tells neither
        ("chat flat responses", (5, 9, 7, None), (9, 7)),
        ("chat flat responses", (5, 2, 284, None), (286, 284)),
        ("chat flat responses", (5, 9, 12, 16), (9, 9)),
        ("gemini", (5, 9, 7, None), (16, 7)),
        ("gemini", (5, 9, 7, 100), (16, 7)),
        ("claude", (5, 9, 7, None), (9, 7)),
        ("claude", (5, 9, 12, None), (9, 9)),
    ],
)
async def test_the_total_decides_whether_thinking_is_added(names: str, counts: Any, expected: Any) -> None:
    """Thinking is added to the output only where it is counted apart, and is never more than the output."""
    for name in names.split():
        thunk = whole("chat" if name == "flat" else name, counted(name, *counts))
        assert await tokens(thunk) == (counts[0], *expected), name


# --- servers people run themselves ----------------------------------------------------------------


@pytest.mark.anyio
async def test_transformers_gives_a_call_in_one_delta_and_no_done() -> None:
    """`transformers serve` sends a call whole and ends without [DONE]."""
    thunk = asked(
        "chat", [delta(role="assistant"), delta(tool_calls=[chat_call(0, "a", "f", '{"x":1}')]), delta("tool_calls")]
    )
    await thunk
    assert [(each.name, each.arguments) for each in thunk.tool_calls] == [("f", {"x": 1})]
    assert thunk.generation.finish_reason == "tool-calls"
