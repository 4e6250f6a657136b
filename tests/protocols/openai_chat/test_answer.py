"""What a chat completion used, and how a streamed one is put together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.protocols.openai_chat.chunks import DONE, WEATHER, call, called, delta, events_of, finish_of, read

# --- usage ----------------------------------------------------------------------------------------


def used(*reports: Any, where: str = "usage") -> Any:
    chunks = [{"choices": [], where: report} for report in reports]
    return read([delta(content="a"), delta("stop"), *chunks, DONE]).usage


def test_usage_is_inclusive_and_split() -> None:
    """The usage of OpenAI: inclusive totals, a split that does not overlap, and the raw object."""
    raw = {
        "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    usage = used(raw)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.reasoning_tokens) == (10, 7, 17, 5)
    assert (usage.non_cached_input_tokens, usage.cache_read_input_tokens, usage.cache_write_input_tokens) == (5, 4, 1)
    assert usage.raw == raw


def test_zeros_never_overwrite_real_usage() -> None:
    """A later report of nothing but zeros does not replace a real one; a later real one does."""
    real = {"prompt_tokens": 45, "completion_tokens": 2, "total_tokens": 47}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert used(real, zeros).total_tokens == 47
    assert used(zeros, real).total_tokens == 47
    assert used(real, {**real, "total_tokens": 48}).total_tokens == 48


@pytest.mark.parametrize(
    "report",
    [{"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 7}, {"cached_tokens": 3}, {"num_cached_tokens": 3}],
)
def test_cache_hits_have_many_names(report: dict[str, int]) -> None:
    """DeepSeek, Together and Mistral tell cache hits in fields of their own."""
    usage = used({"prompt_tokens": 10, "completion_tokens": 1, **report})
    assert (usage.cache_read_input_tokens, usage.non_cached_input_tokens, usage.total_tokens) == (3, 7, 11)


def test_thinking_that_is_counted_apart_is_added() -> None:
    """XAI leaves thinking out of the output: the total tells, and output becomes inclusive."""
    usage = used({"prompt_tokens": 21, "completion_tokens": 2, "total_tokens": 307,
                  "completion_tokens_details": {"reasoning_tokens": 284}})  # fmt: skip
    assert (usage.output_tokens, usage.reasoning_tokens, usage.total_tokens) == (286, 284, 307)
    usage = used({"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}})
    assert (usage.output_tokens, usage.total_tokens) == (5, 6)


def test_usage_stands_in_many_places() -> None:
    """Usage is read from the chunk, from the choice (Moonshot) and from `x_groq`; nothing at all is None, not 0."""
    report = {"prompt_tokens": 1, "completion_tokens": 2}
    assert used({"usage": report}, where="x_groq").total_tokens == 3
    chunk = delta("stop")
    chunk["choices"][0]["usage"] = report
    assert read([delta(content="a"), chunk, DONE]).usage.total_tokens == 3  # type: ignore[union-attr]
    assert read([delta(content="a"), delta("stop"), DONE]).usage is None


@pytest.mark.parametrize(
    "report", [5, "x", [], {}, {"prompt_tokens": "x", "completion_tokens": -1}, {"prompt_tokens": True}]
)
def test_usage_that_makes_no_sense_is_unknown(report: Any) -> None:
    """A usage report of the wrong types does not cost the answer; its counts are None."""
    usage = used(report)
    assert usage is None or (usage.input_tokens, usage.output_tokens) == (None, None)


# --- the merged answer ----------------------------------------------------------------------------


def test_a_streamed_answer_is_merged_to_the_shape_of_a_whole_one() -> None:
    """The response of the Finish has the shape of a chat completion, with every field that came."""
    meta = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    logprobs = [{"content": [{"token": token, "logprob": -0.1}], "refusal": None} for token in "ab"]

    def piece(finish: str | None = None, logprob: Any = None, **fields: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": fields, "logprobs": logprob, "finish_reason": finish, "native": "x"}
        return {**meta, "choices": [choice], "usage": None, "obfuscation": "zzz"}

    events = events_of([
        piece(role="assistant", content="", refusal=None),
        piece(reasoning_content="Hm."),
        piece(logprob=logprobs[0], content="a", annotations=[{"url": "u"}]),
        piece(logprob=logprobs[1], content="b"),
        piece(tool_calls=[call(0, "call_1", "f", '{"x":', type="function")]),
        piece(tool_calls=[call(0, arguments="1}")]),
        piece("tool_calls"),
        {**meta, "service_tier": "default", "choices": [], "usage": usage, "x_new": {"k": 1}},
        DONE,
    ])  # fmt: skip
    finish = finish_of(events)
    assert finish.response == {
        **meta,
        "object": "chat.completion",
        "service_tier": "default",
        "usage": usage,
        "x_new": {"k": 1},
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "reasoning_content": "Hm.",
                    "annotations": [{"url": "u"}],
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
                    ],
                },
                "logprobs": {"content": [*logprobs[0]["content"], *logprobs[1]["content"]], "refusal": None},
                "finish_reason": "tool_calls",
                "native": "x",
            }
        ],
    }
    assert finish.logprobs == finish.response["choices"][0]["logprobs"]


def test_pieces_of_details_are_told_apart_by_index_and_type() -> None:
    """OpenRouter gives the summary of a thought and its encrypted form the same index: they stay two."""
    pieces = [
        {"type": "reasoning.summary", "summary": "Hm", "index": 0},
        {"summary": "m.", "index": 0},
        {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "index": 0},
        {"type": "reasoning.text", "text": "A", "index": 1},
    ]
    folded = read([*[delta(reasoning_details=[piece]) for piece in pieces], delta("stop"), DONE])
    assert folded.finish is not None
    assert folded.finish.response["choices"][0]["message"]["reasoning_details"] == [
        {"type": "reasoning.summary", "summary": "Hmm.", "index": 0},
        {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "index": 0},
        {"type": "reasoning.text", "text": "A", "index": 1},
    ]


def test_an_answer_without_text_has_null_content() -> None:
    """Where no content came, the merged message says null; where an empty one came, it is empty."""
    nothing = finish_of(called(WEATHER)).response["choices"][0]["message"]
    assert nothing["content"] is None
    empty = finish_of(events_of([delta(content=""), delta("stop"), DONE])).response["choices"][0]["message"]
    assert empty["content"] == ""


@pytest.mark.slow
def test_merging_takes_linear_time() -> None:
    """A hundred thousand deltas, on the short way and on the long one, merge in linear time."""
    for more in ({}, {"odd": 1}):
        chunks = [json.dumps({**delta(content="word "), **more})] * 100_000
        assert (
            len(finish_of(events_of([*chunks, delta("stop"), DONE])).response["choices"][0]["message"]["content"])
            == 500_000
        )
