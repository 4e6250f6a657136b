"""The short way to the text of a whole answer says what the long way says, or nothing."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from attrs import evolve

import mellite
from mellite.protocols import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    openai_chat,
    openai_responses,
)
from mellite.thunk.outcome import Clock, conclude
from mellite.values.usage import spent
from mellite.wire.parsing import each
from mellite.wire.protocol import Protocol
from tests.providers.answers import ANSWERS

MODULES = (anthropic_messages, bedrock_converse, cohere_chat, gemini, openai_chat, openai_responses)
PROTOCOLS: dict[str, Protocol[Any]] = {each.id: each for each in (module.protocol() for module in MODULES)}

#: An answer with what real hosts put around a text.
RICH: dict[str, Any] = {
    "anthropic-messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Hello!", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
    },
    "bedrock-converse": {
        "metrics": {"latencyMs": 551},
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}},
        "stopReason": "stop_sequence",
        "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "serverToolUsage": {}},
    },
    "cohere-chat": {
        "id": "c1",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello!"}], "citations": []},
        "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 5}, "tokens": {"input_tokens": 5.0, "output_tokens": 2}},
    },
    "gemini": {
        "candidates": [
            {
                "content": {"parts": [{"text": "Hello!", "thoughtSignature": "Eq8B"}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
                "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
            }
        ],
        "usageMetadata": {"promptTokenCount": 5, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}]},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    },
    "openai-chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1741570283,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}},
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
    },
    "openai-responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1741570283,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5-mini",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}],
            },
        ],
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
        "usage": {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}},
    },
}
BY_PROTOCOL = pytest.mark.parametrize("id", RICH)


def holds(id: str, body: bytes) -> bool:
    """Check that the short way says what the long way says; return whether it says anything."""
    protocol = PROTOCOLS[id]
    text = protocol.plain(body)
    if text is None:
        return False
    events = list(each(protocol.unary, body))
    outcome = conclude(events, request=mellite.Request.of("hi"), backend="test", clock=Clock())
    assert (outcome.state, outcome.text, outcome.parsed, outcome.error) == ("done", text, text, None)
    assert (outcome.thinking, outcome.tool_calls, outcome.generation.refusal) == (None, (), None)
    assert outcome.generation.finish_reason == "stop"
    usage = outcome.generation.usage
    assert protocol.plain_spent(body) == (None if usage is None else spent(usage))
    assert list(outcome.compact.events()) == events
    assert text.encode().decode() == text
    return True


@BY_PROTOCOL
def test_answers_of_text_are_taken(id: str) -> None:
    """Answers of text, bare and as real hosts send them, go the short way."""
    assert holds(id, ANSWERS[id].whole)
    assert PROTOCOLS[id].plain(json.dumps(RICH[id], indent=1).encode()) == "Hello!"
    assert holds(id, json.dumps(RICH[id]).encode())


@BY_PROTOCOL
def test_few_calls(id: str) -> None:
    """The short way is a handful of function calls."""
    protocol, body, seen = PROTOCOLS[id], json.dumps(RICH[id]).encode(), []

    def note(_frame: FrameType, event: str, _what: object) -> None:
        if event in ("call", "c_call"):
            seen.append(event)

    before = sys.getprofile()
    sys.setprofile(note)
    protocol.plain(body)
    sys.setprofile(before)
    assert len(seen) <= 10


# What is more than a text, or none

MORE: dict[str, dict[str, Any]] = {
    "anthropic-messages": {
        "cut short": {"stop_reason": "max_tokens"},
        "refused": {"stop_reason": "refusal"},
        "paused": {"stop_reason": "pause_turn"},
        "no reason": {"stop_reason": None},
        "an error": {"type": "error", "error": {"message": "Overloaded"}},
        "called an error": {"type": "error"},
        "two texts": {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]},
        "thinking": {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello!"}]},
        "citations": {"content": [{"type": "text", "text": "Hello!", "citations": [{"cited_text": "x"}]}]},
        "no text": {"content": [{"type": "text", "text": ""}]},
        "nothing": {"content": []},
    },
    "bedrock-converse": {
        "cut short": {"stopReason": "max_tokens"},
        "stopped": {"stopReason": "guardrail_intervened"},
        "two texts": {"output": {"message": {"content": [{"text": "Hel"}, {"text": "lo!"}]}}},
        "thinking": {"output": {"message": {"content": [{"reasoningContent": {}}, {"text": "Hello!"}]}}},
        "no text": {"output": {"message": {"content": [{"text": ""}]}}},
        "nothing": {"output": {"message": {"content": []}}},
        "a call in the block": {"output": {"message": {"content": [{"text": "Hello!", "toolUse": {}}]}}},
    },
    "cohere-chat": {
        "cut short": {"finish_reason": "MAX_TOKENS"},
        "broken off": {"finish_reason": "TIMEOUT"},
        "a plan": {"message": {"content": [{"type": "text", "text": "Hello!"}], "tool_plan": "I will."}},
        "calls": {"message": {"content": [{"type": "text", "text": "Hello!"}], "tool_calls": [{"id": "1"}]}},
        "citations": {"message": {"content": [{"type": "text", "text": "Hello!"}], "citations": [{"start": 0}]}},
        "an error": {"error": "it broke"},
        "no text": {"message": {"content": [{"type": "text", "text": ""}]}},
    },
    "gemini": {
        "cut short": {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}, "finishReason": "MAX_TOKENS"}]},
        "filtered": {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}, "finishReason": "SAFETY"}]},
        "a number": {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}, "finishReason": 1}]},
        "no reason": {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}}]},
        "thinking": {
            "candidates": [{"content": {"parts": [{"text": "Hello!", "thought": True}]}, "finishReason": "STOP"}]
        },
        "two texts": {
            "candidates": [{"content": {"parts": [{"text": "Hel"}, {"text": "lo!"}]}, "finishReason": "STOP"}]
        },
        "another candidate": {
            "candidates": [{"content": {"parts": [{"text": "Hello!"}]}, "finishReason": "STOP", "index": 1}]
        },
        "blocked": {"promptFeedback": {"blockReason": "SAFETY"}},
        "an error": {"error": {"code": 503}},
        "no text": {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]},
    },
    "openai-chat": {
        "cut short": {"choices": [{"message": {"content": "Hello!"}, "finish_reason": "length"}]},
        "filtered": {"choices": [{"message": {"content": "Hello!"}, "finish_reason": "content_filter"}]},
        "no reason": {"choices": [{"message": {"content": "Hello!"}, "finish_reason": None}]},
        "refused": {"choices": [{"message": {"content": "", "refusal": "No."}, "finish_reason": "stop"}]},
        "refused behind a text": {
            "choices": [{"message": {"content": "Hello!", "refusal": "No."}, "finish_reason": "stop"}]
        },
        "thinking": {"choices": [{"message": {"content": "Hello!", "reasoning": "Hm."}, "finish_reason": "stop"}]},
        "a call": {"choices": [{"message": {"content": "Hello!", "tool_calls": [{}]}, "finish_reason": "stop"}]},
        "an old call": {
            "choices": [{"message": {"content": "Hello!", "function_call": {"name": "f"}}, "finish_reason": "stop"}]
        },
        "parts": {"choices": [{"message": {"content": [{"type": "text", "text": "Hi"}]}, "finish_reason": "stop"}]},
        "new in the message": {"choices": [{"message": {"content": "Hello!", "x": 1}, "finish_reason": "stop"}]},
        "new in the choice": {"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop", "x": 1}]},
        "two choices": {"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}] * 2},
        "the choice failed": {
            "choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop", "error": {"code": 502}}]
        },
        "an error": {"error": {"message": "it broke"}},
        "called an error": {"object": "error"},
        "MiniMax's error": {"base_resp": {"status_code": 1008}},
        "no text": {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
        "no choice": {"choices": []},
    },
    "openai-responses": {
        "cut short": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        "cut short, it says": {"incomplete_details": {"reason": "content_filter"}},
        "failed": {"status": "failed", "error": {"code": "server_error"}},
        "running": {"status": "in_progress"},
        "no status": {"status": None},
        "two messages": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}] * 2},
        "two texts": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}] * 2}]},
        "refused": {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        "a call": {"output": [*RICH["openai-responses"]["output"], {"type": "function_call", "name": "f"}]},
        "thinking": {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                RICH["openai-responses"]["output"][1],
            ]
        },
        "white space": {"output": [{"type": "message", "content": [{"type": "output_text", "text": " \n"}]}]},
        "no text": {"output": [{"type": "message", "content": [{"type": "output_text", "text": ""}]}]},
        "nothing": {"output": []},
        "tools without end": {"tools": [{"a": [[]] * 200}] * 2},
    },
}


@pytest.mark.parametrize(("id", "what"), [(id, what) for id in MORE for what in MORE[id]])
def test_more_than_a_text(id: str, what: str) -> None:
    """Whatever is more than one text that ended by itself, or less, or in doubt, goes the long way."""
    assert PROTOCOLS[id].plain(json.dumps({**RICH[id], **MORE[id][what]}).encode()) is None


@BY_PROTOCOL
def test_no_json_and_odd_json(id: str) -> None:
    """Bytes that are not JSON, or JSON that only the long way reads, say nothing."""
    body = json.dumps(RICH[id]).encode()
    for odd in (b"", b"[]", b"null", b"\xef\xbb\xbf" + body, body + b"x", body[:-1], body.replace(b"Hello", b"\xff")):
        assert PROTOCOLS[id].plain(odd) is None
    for said in (rb"\ud83d", b"\xed\xa0\xbd", b"a\x00b"):
        assert PROTOCOLS[id].plain(body.replace(b"Hello", said)) is None
    usage = "usageMetadata" if id == "gemini" else "usage"
    for number in ("NaN", "1e400", "9" * 5000, "[" * 2000 + "]" * 2000):
        whole = json.dumps({**RICH[id], usage: {"n": "N"}}).replace('"N"', number)
        assert PROTOCOLS[id].plain(whole.encode()) is None


@BY_PROTOCOL
def test_long_answers(id: str) -> None:
    """A long answer goes the long way, and one that is not quite so long the short one."""
    body = json.dumps(RICH[id])
    assert PROTOCOLS[id].plain(body.replace("Hello!", "é" * 40_000).encode()) is None
    assert holds(id, body.replace("Hello!", "é" * 30_000).encode())


# Any change of an answer


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values inside of a value."""
    yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*place, key))


class Verbatim(str):
    """JSON that no Python value is written as."""

    __slots__ = ()


class Again(str):
    """The name of a field that is there once more."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def written(value: Any) -> str:
    """A value as JSON."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


ODD = [
    *[None, True, False, 0, 1, -1, 2**70, 1.5, "", " ", "a", "é", "stop", "end_turn", "STOP", "error", "length"],
    *["failed", "completed", "COMPLETE", "content_filter", "null", [], {}, [None], {"error": "x"}, {"a": {"b": [1]}}],
    *map(Verbatim, ["NaN", "1e400", "-0", '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', "[" * 60 + "]" * 60]),
]
NAMES = sorted(
    {place[-1] for id in RICH for place in places(RICH[id]) if place and isinstance(place[-1], str)}
    | {"error", "errors", "detail", "success", "code", "base_resp", "refusal", "thought", "reasoning", "audio"}
    | {"functionCall", "tool_calls", "promptFeedback", "blockReason", "stop_details", "logprobs", "summary"}
)


def changed(rnd: random.Random, value: Any) -> bytes:
    """A body with one to three changes of its JSON, and sometimes one of its bytes."""
    value = copy.deepcopy(value)
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 3))):
        *way, key = rnd.choice([place for place in places(value) if place] or [(None,)])
        inside = value
        for step in way:
            inside = inside[step]
        new = copy.deepcopy(rnd.choice(ODD))
        kind = rnd.randrange(6)
        if not inside:
            continue
        if kind == 0:
            del inside[key]
        elif kind == 1 or (kind < 5 and isinstance(inside, list)):
            inside[key] = new
        elif kind == 2:
            inside[rnd.choice(NAMES)] = new
        elif kind == 3:
            inside[Again(rnd.choice((key, rnd.choice(NAMES))))] = new
        elif kind == 4:
            inside[rnd.choice(NAMES)] = inside.pop(key)
        elif isinstance(inside, list):
            inside.insert(key, copy.deepcopy(inside[key]))
    body = bytearray(written(value).encode("utf-8", "surrogatepass"))
    if rnd.random() < 0.3:
        at = rnd.randrange(len(body))
        body[at : at + rnd.choice((0, 1))] = rnd.choice(
            (b"", b"\xff", b'"', b"\\", b"{", b"]", b",", b"0", b"\xed\xa0")
        )
    return bytes(body)


@BY_PROTOCOL
def test_any_change(id: str) -> None:
    """Fields that go, come, come twice, change their names or values; damaged bytes: never more than the long way."""
    rnd = random.Random(f"plain {id}")
    taken = sum([holds(id, changed(rnd, RICH[id])) for _ in range(1_500)])
    assert taken > 150


def test_recorded_answers(corpora: Path) -> None:
    """Of every recorded answer of every provider, read by every protocol, the two ways say the same."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        bodies = [base64.b64decode(json.loads(line)["body_b64"]) for line in lines]
    taken = {id: sum([holds(id, body) for body in bodies]) for id in PROTOCOLS}
    assert min(taken.values()) >= 2
    assert sum(taken.values()) > 100


# A protocol that somebody changed


def test_changed_protocols_read_all_themselves() -> None:
    """What is made of a protocol with another `unary` never goes the short way past it."""
    chat = PROTOCOLS["openai-chat"]
    body = json.dumps(RICH["openai-chat"]).encode()
    assert evolve(chat, unary=lambda _: []).plain(body) is None
    assert pickle.loads(pickle.dumps(chat)).plain(body) == copy.copy(chat).plain(body) == "Hello!"


def test_protocols_of_earlier_versions() -> None:
    """A protocol that was pickled before there was a short way has none."""
    old = evolve(PROTOCOLS["openai-chat"], elsewhere="changed")
    state = {name: value for name, value in old.__getstate__().items() if name != "_plain"}
    restored = Protocol.__new__(Protocol)
    restored.__setstate__(state)
    assert restored.plain(ANSWERS["openai-chat"].whole) is None


#: Reports in which thinking is counted beside the answer, as the total shows; of all, 16 tokens with 11 of the answer.
APART = {
    "openai-chat": {
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 16,
            "completion_tokens_details": {"reasoning_tokens": 9},
        }
    },
    "openai-responses": {
        "usage": {
            "input_tokens": 5,
            "output_tokens": 2,
            "total_tokens": 16,
            "output_tokens_details": {"reasoning_tokens": 9},
        }
    },
    "gemini": {
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 9,
            "totalTokenCount": 16,
        }
    },
    "anthropic-messages": {
        "usage": {
            "input_tokens": 2,
            "cache_read_input_tokens": 1,
            "cache_creation_input_tokens": 2,
            "output_tokens": 11,
            "output_tokens_details": {"thinking_tokens": 9},
        }
    },
}


@pytest.mark.parametrize("id", APART)
def test_tokens_beside_the_answer_are_counted(id: str) -> None:
    """Thinking, and what was read from a cache or written to it."""
    assert PROTOCOLS[id].plain_spent(json.dumps(APART[id]).encode()) == (16, 11)
