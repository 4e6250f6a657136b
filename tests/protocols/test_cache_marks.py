"""Which parts of a prompt are marked for the provider's cache."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from mellite.messages import CacheHint, Image, Message, Reasoning, Text, ToolCall, ToolResult
from mellite.protocols.cache_marks import MARKS, is_long, marked
from mellite.request import CachePolicy, Request, ToolDefinition

HINT = CacheHint()
HOUR = CacheHint(ttl_seconds=3600)
TOOLS = [ToolDefinition("first"), ToolDefinition("last")]
TALK = [
    Message.user("one"),
    Message.assistant("two"),
    Message.user("three", Image(b"x", media_type="image/png")),
    Message.assistant("four"),
]


def marks(prompt: Any, **fields: Any) -> list[tuple[Any, ...]]:
    """Where the marks stand: ("tools", number), ("system", number), (message, part)."""
    request = marked(Request.of(prompt, **fields))
    found: list[tuple[Any, ...]] = [("tools", at) for at, tool in enumerate(request.tools) if tool.cache]
    found += [("system", at) for at, text in enumerate(request.system) if text.cache]
    for at, message in enumerate(request.messages):
        found += [(at, number) for number, part in enumerate(message.content) if getattr(part, "cache", None)]
    return found


@pytest.mark.parametrize("cache", [None, "auto"])
def test_auto_marks_what_stays_the_same(cache: Any) -> None:
    """Unless told otherwise: the last tool, the first and last part of the system prompt, the last message."""
    assert marks(TALK, system=["a", "b", "c"], tools=TOOLS, cache=cache) == [
        ("tools", 1),
        ("system", 0),
        ("system", 2),
        (3, 0),
    ]
    assert marks("hi", system="a") == [("system", 0), (0, 0)]
    assert marks(TALK, cache=cache) == [(3, 0)]


def test_none_marks_nothing_but_the_callers_hints() -> None:
    """With the policy `none` only the caller's own hints are marks, and the request is left as it is."""
    request = Request.of([Message.user(Text("a", cache=HINT), "b")], system="s", tools=TOOLS, cache="none")
    assert marked(request) is request
    assert marks([Message.user(Text("a", cache=HINT), "b")], system="s", cache="none") == [(0, 0)]


@pytest.mark.parametrize(
    ("policy", "places"),
    [
        (CachePolicy(), []),
        (CachePolicy(tools=True), [("tools", 1)]),
        (CachePolicy(system=True), [("system", 0)]),
        (CachePolicy(messages="latest-user-message"), [(2, 1)]),
        (CachePolicy(messages="latest-assistant"), [(3, 0)]),
        (CachePolicy(messages=2), [(2, 1), (3, 0)]),
        (CachePolicy(messages=0), []),
        (CachePolicy(messages=99), [(0, 0), (1, 0), (2, 1), (3, 0)]),
    ],
)
def test_a_policy_says_what_to_mark(policy: CachePolicy, places: list[Any]) -> None:
    """Each field of a policy marks its section; of a message the last part."""
    assert marks(TALK, system="s", tools=TOOLS, cache=policy) == places


def test_system_messages_at_the_beginning_belong_to_the_system_prompt() -> None:
    """A system message at the beginning is marked like a part of the system prompt; a later one like a message."""
    system = CachePolicy(system=True)
    assert marks([Message.system("a"), Message.user("b")], system="s", cache=system) == [("system", 0), (0, 0)]
    assert marks([Message.user("b"), Message.system("a")], cache=system) == []
    assert marks([Message.user("b"), Message.system("a")], cache=CachePolicy(messages=1)) == [(1, 0)]
    assert marks([Message.system("a"), Message.user("b")], cache=CachePolicy(messages=9)) == [(1, 0)]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ([Text("a"), Text("")], 0),
        ([Text("a"), Text(" \n")], 0),
        ([Text("a"), Reasoning("b")], 0),
        ([ToolCall("c", "f", {})], 0),
        ([ToolResult("c", "f", "x")], 0),
    ],
)
def test_thinking_and_empty_texts_are_never_marked(content: list[Any], part: int) -> None:
    """Providers refuse marks on thinking and on empty texts: the last other part is marked."""
    assert marks([Message("assistant", content)]) == [(0, part)]


def test_a_message_of_thinking_alone_is_passed_over() -> None:
    """Where the last message cannot be marked, the one before is."""
    assert marks([Message.user("a"), Message.assistant(Reasoning("b"))]) == [(0, 0)]


def test_hints_count_and_stay(caplog: pytest.LogCaptureFixture) -> None:
    """The caller's hints take their place first, and what has a hint is not marked twice."""
    tools = [ToolDefinition("first", cache=HINT), ToolDefinition("last")]
    talk = [Message.user(Text("a", cache=HINT)), Message.user(Text("b", cache=HINT))]
    assert marks(talk, system=["s", "t"], tools=tools) == [("tools", 0), ("tools", 1), (0, 0), (1, 0)]
    assert not caplog.records


def test_more_hints_than_marks(caplog: pytest.LogCaptureFixture) -> None:
    """Of too many hints those of tools and system stay, then those of the latest messages; the log has a warning."""
    talk = [Message.user(Text(str(number), cache=HINT)) for number in range(6)]
    with caplog.at_level(logging.WARNING, "mellite"):
        assert marks(talk, system=Text("s", cache=HINT), cache="none") == [("system", 0), (3, 0), (4, 0), (5, 0)]
    assert "3 cache marks of a request are left out: a provider takes 4" in caplog.text
    assert len(marks(talk, system="s", tools=TOOLS)) == MARKS


def test_a_policy_that_asks_for_too_much_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A policy of the caller's own goes as far as the marks do, and the log says so."""
    everything = CachePolicy(tools=True, system=True, messages=4)
    assert marks(TALK, system=["a", "b"], tools=TOOLS, cache=everything) == [
        ("tools", 1),
        ("system", 0),
        ("system", 1),
        (3, 0),
    ]
    assert "3 cache marks" in caplog.text


def test_a_long_lifetime_goes_before_a_short_one() -> None:
    """A policy's mark lives as long as the caller's hints behind it: providers refuse the reverse."""
    request = marked(Request.of([Message.user(Text("a", cache=HOUR)), Message.user("b")], system="s"))
    assert request.system[0].cache is not None
    assert is_long(request.system[0].cache)
    assert request.messages[1].content[0].cache == HINT  # type: ignore[union-attr]
    policy = CachePolicy(system=True, ttl_seconds=7200)
    assert marked(Request.of("a", system="s", cache=policy)).system[0].cache == CacheHint(ttl_seconds=7200)


@pytest.mark.parametrize(("seconds", "long"), [(None, False), (300, False), (3599, False), (3600, True), (9999, True)])
def test_long_is_an_hour(seconds: int | None, long: bool) -> None:
    """From 3600 seconds on the long cache is meant."""
    assert is_long(CacheHint(ttl_seconds=seconds)) is long


PLACES = st.sampled_from([None, None, HINT, HOUR])
SPOKEN = st.one_of(
    st.builds(Text, st.sampled_from(["a", "", " "]), cache=PLACES),
    st.builds(Image, st.just(b"x"), media_type=st.just("image/png"), cache=PLACES),
    st.builds(Reasoning, st.just("b")),
    st.builds(ToolCall, st.just("c"), st.just("f"), cache=PLACES),
    st.builds(ToolResult, st.just("c"), st.just("f"), st.just("x"), cache=PLACES),
)
POLICIES = st.one_of(
    st.sampled_from([None, "auto", "none"]),
    st.builds(
        CachePolicy,
        tools=st.booleans(),
        system=st.booleans(),
        messages=st.sampled_from([None, 0, 1, 3, "latest-user-message", "latest-assistant"]),
        ttl_seconds=st.sampled_from([None, 300, 3600]),
    ),
)
MESSAGES = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.lists(SPOKEN, max_size=3).map(tuple))
REQUESTS = st.builds(
    Request,
    st.lists(MESSAGES, min_size=1, max_size=5).map(tuple),
    system=st.lists(st.builds(Text, st.sampled_from(["a", ""]), cache=PLACES), max_size=3).map(tuple),
    tools=st.lists(st.builds(ToolDefinition, st.just("f"), cache=PLACES), max_size=2).map(tuple),
    cache=POLICIES,
)


def parts_of(request: Request) -> list[Any]:
    """Everything that may be marked, in the order of the prompt."""
    return [*request.tools, *request.system, *[part for message in request.messages for part in message.content]]


def bare(request: Request) -> Request:
    """The request without its marks."""
    return attrs.evolve(
        request,
        tools=tuple([attrs.evolve(tool, cache=None) for tool in request.tools]),
        system=tuple([attrs.evolve(text, cache=None) for text in request.system]),
        messages=tuple(
            [
                attrs.evolve(
                    message,
                    content=tuple(
                        [attrs.evolve(part, cache=None) if hasattr(part, "cache") else part for part in message.content]
                    ),
                )
                for message in request.messages
            ]
        ),
    )


@settings(max_examples=150, derandomize=True)
@given(REQUESTS, st.integers(0, 4))
def test_any_request(request: Request, limit: int) -> None:
    """Whatever a request holds: never too many marks, hints go first, nothing else is changed, and once is enough."""
    words = [not isinstance(part, Text) or bool(part.text.strip()) for part in parts_of(request)]
    before = [getattr(part, "cache", None) for part in parts_of(request)]
    result = marked(request, limit=limit)
    after = [getattr(part, "cache", None) for part in parts_of(result)]
    assert sum(hint is not None for hint, real in zip(after, words, strict=True) if real) <= limit
    if sum(hint is not None for hint, real in zip(before, words, strict=True) if real) <= limit:
        assert all(new == old for new, old in zip(after, before, strict=True) if old is not None)
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is None and new is not None and not is_long(new):  # a short-lived mark never stands before a long one
            assert not [
                hint for hint, real in zip(after[at:], words[at:], strict=True) if real and hint and is_long(hint)
            ]
    assert bare(result) == bare(request)
    assert marked(result, limit=limit) is result
