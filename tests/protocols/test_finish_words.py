"""Why an answer ended, in the words of many servers and gateways, over every protocol."""

from __future__ import annotations

from typing import Any

import pytest

from mellite.errors import IncompleteStream, ProviderInternal
from tests.protocols.anthropic_messages import claude
from tests.protocols.bedrock_converse import converse
from tests.protocols.gemini.chunks import call, chunk
from tests.protocols.openai_chat.chunks import call as chat_call, delta
from tests.protocols.streams import asked, whole

PROTOCOLS = ("chat", "claude", "cohere", "converse", "gemini")


def said(name: str, word: Any, *, calls: bool = False) -> list[Any]:
    """A stream of text, or of one call, that ends with this word."""
    if name == "chat":
        first = delta(tool_calls=[chat_call(0, "a", "f", "{}")]) if calls else delta(content="a")
        return [first, delta(word)]
    if name == "claude":
        block = claude.block(0, "tool_use", **claude.CALL) if calls else claude.SAYS_A[1:]
        return [claude.begin(), *block, *claude.end(word)]
    if name == "converse":
        block = converse.called(0, "t", "f", "{}") if calls else [converse.text(0, "a")]
        return [converse.BEGIN, *block, *converse.end(word)]
    if name == "cohere":
        function = {"id": "t", "function": {"name": "f", "arguments": "{}"}}
        message = {"tool_calls": function} if calls else {"content": {"text": "a"}}
        kind = "tool-call-start" if calls else "content-delta"
        return [
            {"type": kind, "index": 0, "delta": {"message": message}},
            {"type": "message-end", "delta": {"finish_reason": word}},
        ]
    return [chunk(call() if calls else "a"), chunk("", finish=word)]


def in_one_piece(name: str, word: Any) -> Any:
    if name == "chat":
        return {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": word}]}
    if name == "claude":
        return {"id": "m", "content": [{"type": "text", "text": "a"}], "stop_reason": word}
    if name == "cohere":
        return {"message": {"content": [{"type": "text", "text": "a"}]}, "finish_reason": word}
    return converse.answer({"text": "a"}, reason=word) if name == "converse" else chunk("a", finish=word)


WORDS = [
    ("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ("eos_token", "stop"), ("stop_sequence", "stop"),
    ("STOP_SEQUENCE", "stop"), ("COMPLETE", "stop"), ("eos", "stop"), ("normal", "stop"), ("completed", "stop"),
    ("FINISH_REASON_STOP", "stop"), ("length", "length"), ("max_tokens", "length"), ("MAX_TOKENS", "length"),
    ("model_length", "length"), ("ERROR_LIMIT", "length"), ("time_limit", "length"), ("tool_calls", "tool-calls"),
    ("tool-calls", "tool-calls"), ("TOOL_CALL", "tool-calls"), ("tool_use", "tool-calls"),
    ("FUNCTION_CALL", "tool-calls"), ("content_filter", "content-filter"), ("content-filter", "content-filter"),
    ("refusal", "content-filter"), ("SAFETY", "content-filter"), ("sensitive", "content-filter"),
    ("ERROR_TOXIC", "content-filter"), ("guardrail_intervened", "content-filter"),
    ("MALFORMED_FUNCTION_CALL", "error"), ("malformed_tool_use", "error"), ("repetition", "error"),
    ("never_heard_of", "unknown"), ("OTHER", "unknown"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_a_word_means_the_same_over_every_protocol(name: str) -> None:
    """Gateways let another protocol's word through: each has its meaning everywhere, and is kept as it came."""
    for word, reason in WORDS:
        for thunk in (asked(name, said(name, word)), whole(name, in_one_piece(name, word))):
            await thunk
            found = (thunk.generation.finish_reason, thunk.generation.raw_finish_reason)
            assert found == (reason, word)


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_calls_without_a_known_reason_are_tool_calls(name: str) -> None:
    """Calls that somebody has to answer make the reason tool-calls, unless a limit or a filter is the reason."""
    for word, reason in (
        ("stop", "tool-calls"),
        ("never_heard_of", "tool-calls"),
        ("OTHER", "tool-calls"),
        ("length", "length"),
        ("SAFETY", "content-filter"),
    ):
        thunk = asked(name, said(name, word, calls=True))
        await thunk
        assert (thunk.generation.finish_reason, len(thunk.tool_calls)) == (reason, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    "word", ["error", "ERROR", "abort", "network_error", "insufficient_system_resource", "TIMEOUT"]
)
async def test_a_word_may_say_that_something_broke(name: str, word: str) -> None:
    """What came before such a word is not an answer: a ProviderInternal that can be retried, with the text so far."""
    with pytest.raises(ProviderInternal, match=word) as caught:
        await asked(name, said(name, word))
    assert (caught.value.partial, caught.value.retryable) == ("a", True)
    with pytest.raises(ProviderInternal, match=word):
        await whole(name, in_one_piece(name, word))


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("word", ["null", "FINISH_REASON_UNSPECIFIED"])
async def test_a_word_may_say_that_more_is_to_come(name: str, word: str) -> None:
    """DashScope writes "null", and clients of Google's enums their zeroth name: that is not an end."""
    with pytest.raises(IncompleteStream) as caught:
        await asked(name, said(name, word))
    assert caught.value.partial == "a"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "number", "word", "reason"),
    [
        ("gemini", 1, "STOP", "stop"),
        ("gemini", 2, "MAX_TOKENS", "length"),
        ("gemini", 8, "PROHIBITED_CONTENT", "content-filter"),
        ("gemini", 10, "MALFORMED_FUNCTION_CALL", "error"),
        ("vertex", 1, "STOP", "stop"),
        ("vertex", 8, "SPII", "content-filter"),
        ("vertex", 10, "MODEL_ARMOR", "content-filter"),
        ("vertex", 99, "99", "unknown"),
    ],
)
async def test_finish_reasons_as_numbers(name: str, number: int, word: str, reason: str) -> None:
    """Google's enums may come as numbers, which AI Studio and Vertex AI count differently."""
    answer: Any = chunk("a")
    answer["candidates"][0]["finishReason"] = number
    going: Any = chunk("b")
    going["candidates"][0]["finishReason"] = 0
    for thunk in (asked(name, [going, answer]), whole(name, answer)):
        await thunk
        assert (thunk.generation.raw_finish_reason, thunk.generation.finish_reason) == (word, reason)
    with pytest.raises(IncompleteStream):
        await asked(name, [answer, going])


@pytest.mark.anyio
async def test_other_enums_as_numbers() -> None:
    """Why a prompt was blocked, and how code that Gemini ran came out, may be numbers, too."""
    blocked = whole("vertex", {"promptFeedback": {"blockReason": 1}})
    await blocked
    assert (blocked.generation.finish_reason, blocked.generation.raw_finish_reason) == ("content-filter", "SAFETY")
    code = {"executableCode": {"language": 1, "code": "print(42)"}}
    for outcome, kind in ((1, "text"), (2, "error")):
        ran = whole("vertex", chunk(code, {"codeExecutionResult": {"outcome": outcome, "output": "42"}}, finish="STOP"))
        await ran
        assert ran.message is not None
        assert [getattr(part, "result", None) and part.result.type for part in ran.message.content][-1] == kind  # type: ignore[union-attr]
