"""The request body of Anthropic Messages: options, thinking, tools, output types, provider options."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest

from mellite.errors import InvalidRequest, UnsupportedOption
from mellite.messages import CacheHint, Message, Text
from mellite.protocols.anthropic_messages import AnthropicDialect
from mellite.protocols.anthropic_messages.body import lower
from mellite.protocols.anthropic_messages.models import facts_of
from mellite.protocols.anthropic_messages.schema import held_to
from mellite.request import Request, ToolDefinition
from tests.protocols.anthropic_messages.claude import body_of

WEATHER = ToolDefinition("get_weather", "Get the weather.", input_schema={"properties": {"city": {"type": "string"}}})
OLD, NEW = "claude-3-5-haiku-20241022", "claude-opus-4-8"


# --- options --------------------------------------------------------------------------------------


def test_a_plain_body() -> None:
    """Texts are blocks, the longest answer is always named, and nothing else is sent."""
    assert body_of("Hi.", system=["Be brief.", ""]) == {
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}],
        "max_tokens": 32_000,
    }
    assert body_of("Hi.", stream=True)["stream"] is True


def test_options_have_their_fields() -> None:
    """Sampling options, limits and stop texts have fields of their own."""
    body = body_of("Hi.", temperature=0, top_p=0.5, top_k=3, max_tokens=80, stop=["x", "y"])
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0, 0.5, 3)
    assert (body["max_tokens"], body["stop_sequences"]) == (80, ["x", "y"])


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-2.1", 4096),
        ("claude-3-haiku-20240307", 4096),
        (OLD, 8192),
        ("claude-3-7-sonnet-latest", 32_000),
        ("anthropic/claude-sonnet-4.5", 32_000),
        ("glm-5", 32_000),
    ],
)
def test_the_longest_answer_depends_on_the_model(model: str, tokens: int) -> None:
    """Where the caller does not say, the answer may be as long as the model can, within reason."""
    assert body_of("Hi.", model=model)["max_tokens"] == tokens


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_new_models_take_no_sampling_options(name: str) -> None:
    """A model that is known to refuse an option is not asked: the error names both, unless it may be left out."""
    with pytest.raises(UnsupportedOption, match=f"'anthropic-messages'.*'{name}'.*{NEW}") as caught:
        body_of("Hi.", model=NEW, **{name: 1})
    assert caught.value.option == name
    assert name not in body_of("Hi.", model=NEW, drop_unsupported=True, **{name: 1})


# --- thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "thinking", "effort"),
    [
        ("claude-sonnet-4-5", {"reasoning_budget": 2000}, {"type": "enabled", "budget_tokens": 2000}, None),
        ("claude-sonnet-4-5", {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 4096}, None),
        ("claude-sonnet-4-5", {"reasoning_effort": "minimal"}, {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-3-7-sonnet", {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-haiku-4-5", {"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 16_384}, None),
        ("claude-opus-4-5", {"reasoning_effort": "high"}, None, "high"),
        ("claude-opus-4-6", {"reasoning_effort": "high"}, {"type": "adaptive", "display": "summarized"}, "high"),
        ("claude-opus-4-6", {"reasoning_budget": 2000}, {"type": "enabled", "budget_tokens": 2000}, None),
        ("claude-opus-4-6", {"reasoning_budget": 2000, "reasoning_effort": "low"},
         {"type": "enabled", "budget_tokens": 2000}, "low"),
        (NEW, {"reasoning_effort": "xhigh"}, {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (NEW, {"reasoning_effort": "none"}, {"type": "disabled"}, None),
        (NEW, {"reasoning_budget": 0}, {"type": "disabled"}, None),
        (OLD, {"reasoning_effort": "none"}, None, None),
        ("glm-5", {"reasoning_effort": "high"}, None, "high"),
        ("glm-5", {"reasoning_budget": 99}, {"type": "enabled", "budget_tokens": 99}, None),
    ],
)  # fmt: skip
def test_thinking(model: str, options: dict[str, Any], thinking: Any, effort: str | None) -> None:
    """Effort and budget are said the way that the model understands."""
    body = body_of("Hi.", model=model, **options)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (OLD, {"reasoning_effort": "low"}),
        (OLD, {"reasoning_budget": 2000}),
        (NEW, {"reasoning_budget": 2000}),
        ("claude-sonnet-4-5", {"reasoning_effort": "max"}),
    ],
)
def test_thinking_that_a_model_cannot_do_is_refused(model: str, options: dict[str, Any]) -> None:
    """A model that cannot be told so is not asked, unless that may be left out."""
    (name,) = options
    with pytest.raises(UnsupportedOption, match=f"'{name}'") as caught:
        body_of("Hi.", model=model, **options)
    assert caught.value.option == name
    assert "thinking" not in body_of("Hi.", model=model, drop_unsupported=True, **options)


def test_thinking_counts_towards_the_longest_answer() -> None:
    """The limit leaves room to answer; one of the caller's that does not is refused."""
    assert body_of("Hi.", reasoning_budget=40_000)["max_tokens"] == 44_096
    assert body_of("Hi.", reasoning_budget=2000)["max_tokens"] == 32_000
    with pytest.raises(InvalidRequest, match="max_tokens"):
        body_of("Hi.", reasoning_budget=2000, max_tokens=2000)
    with pytest.raises(InvalidRequest, match="reasoning_budget"):
        body_of("Hi.", reasoning_budget=-1)


def test_thinking_in_provider_options() -> None:
    """Thinking may be told in Anthropic's own words, which win; a budget has two spellings and must be there."""
    own = {"thinking": {"type": "enabled", "budgetTokens": 50_000}}
    body = body_of("Hi.", reasoning_budget=2000, provider_options={"anthropic": own})
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 50_000}
    assert body["max_tokens"] > 50_000
    shown = {"reasoning_effort": "low", "model": NEW}
    for own, thinking in (
        ({"type": "disabled"}, {"type": "disabled"}),
        ({"display": "omitted"}, {"type": "adaptive", "display": "omitted"}),
    ):
        assert body_of("Hi.", provider_options={"anthropic": {"thinking": own}}, **shown)["thinking"] == thinking
    with pytest.raises(InvalidRequest, match="budget_tokens"):
        body_of("Hi.", provider_options={"anthropic": {"thinking": {"type": "enabled"}}})


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-3-5-sonnet-20241022", (3, 5)),
        ("claude-3-opus-latest", (3, 0)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-opus-4-6@20260101", (4, 6)),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
        ("anthropic/claude-4.7-opus", (4, 7)),
        ("claude-haiku-5-5", (5, 5)),
        ("claude-sonnet-5.5", (5, 5)),
        ("claude-2.1", (2, 1)),
    ],
)
def test_models_are_known_by_their_version(model: str, version: tuple[int, int]) -> None:
    """A version is read out of a name in any of the forms that Anthropic, clouds and gateways use."""
    facts = facts_of(model)
    assert bool(facts.thinking) is (version >= (3, 7))
    assert ("adaptive" in facts.thinking) is (version >= (4, 6))
    assert facts.sampling is (version < (4, 7))


# --- tools ----------------------------------------------------------------------------------------


def test_tools() -> None:
    """Tools have a JSON Schema with an object at its root; strictness is said where it was."""
    strict = attrs.evolve(WEATHER, strict=True)
    assert body_of("Hi.", tools=[strict, ToolDefinition("now", input_schema={})])["tools"] == [
        {
            "name": "get_weather",
            "description": "Get the weather.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            "strict": True,
        },
        {"name": "now", "input_schema": {"type": "object"}},
    ]


def test_tools_of_anthropics_own() -> None:
    """A tool whose native notes name a type is one of Anthropic's; other notes are added to a tool of the caller's."""
    search = ToolDefinition("web_search", native={"anthropic": {"type": "web_search_20250305", "max_uses": 3}})
    late = attrs.evolve(WEATHER, native={"anthropic": {"defer_loading": True}, "openai": {"x": 1}})
    tools = body_of("Hi.", tools=[search, late])["tools"]
    assert tools[0] == {"name": "web_search", "type": "web_search_20250305", "max_uses": 3}
    assert (tools[1]["defer_loading"], "x" in tools[1]) == (True, False)
    assert "cache_control" not in body_of("Hi.", tools=[late], cache="auto")["tools"][0]  # which would be refused
    with pytest.raises(InvalidRequest, match="web_search"):
        body_of("Hi.", tools=[attrs.evolve(search, native={"anthropic": 5})])


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("get_weather", {"type": "tool", "name": "get_weather"}),
    ],
)
def test_tool_choice(choice: Any, sent: Any) -> None:
    """Each choice has its word; the tools are always sent, so that the cache holds."""
    body = body_of("Hi.", tools=[WEATHER], tool_choice=choice)
    assert body.get("tool_choice") == sent
    assert len(body["tools"]) == 1


def test_one_tool_at_a_time() -> None:
    """That tools are to be asked for one by one is said with the choice."""
    one = {"tools": [WEATHER], "parallel_tool_calls": False}
    assert body_of("Hi.", **one)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    forced = body_of("Hi.", tool_choice="required", **one)["tool_choice"]
    assert forced == {"type": "any", "disable_parallel_tool_use": True}
    assert "tool_choice" not in body_of("Hi.", tools=[WEATHER], parallel_tool_calls=True)
    assert "tool_choice" not in body_of("Hi.", tool_choice="auto", parallel_tool_calls=False)


@pytest.mark.parametrize(("tools", "choice"), [([WEATHER], "other"), ([], "get_weather"), ([], "required")])
def test_a_choice_among_tools_that_are_not_there_is_refused(tools: list[Any], choice: str) -> None:
    """To force a tool, it must be among the tools."""
    with pytest.raises(InvalidRequest, match="tool_choice"):
        body_of("Hi.", tools=tools, tool_choice=choice)


# --- output types ---------------------------------------------------------------------------------


@attrs.frozen
class City:
    """A city."""

    name: str
    rivers: list[str]
    nick: str | None = None


class Rated(msgspec.Struct):
    """With limits that Anthropic does not know."""

    stars: int = msgspec.field()
    notes: dict[str, int] | None = None


def test_output_types_become_a_schema() -> None:
    """An output type is sent as a JSON Schema whose objects are closed."""
    form = body_of("Hi.", output=City)["output_config"]["format"]
    assert form["type"] == "json_schema"
    schema = form["schema"]
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["name", "rivers"], False)
    wrapped = body_of("Hi.", output=list[int])["output_config"]["format"]["schema"]
    assert wrapped["properties"] == {"value": {"type": "array", "items": {"type": "integer"}}}
    both = body_of("Hi.", model=NEW, output=City, reasoning_effort="low")["output_config"]
    assert (both["effort"], both["format"]["type"]) == ("low", "json_schema")


def test_limits_that_are_not_known_are_told_in_words() -> None:
    """Keywords that the server refuses go into the description; known ones stay."""
    assert held_to(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "description": "A form.",
            "properties": {
                "minimum": {"type": "integer", "minimum": 1, "description": "How few."},
                "mail": {"type": "string", "format": "email", "pattern": "@"},
                "either": {"oneOf": [{"type": "object", "properties": {}, "maxProperties": 2}, {"type": "null"}]},
                "some": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1},
                "many": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2},
                "pair": {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
            },
            "$defs": {"x": {"const": "minimum", "default": {"oneOf": 1}}},
        }
    ) == {
        "type": "object",
        "description": "A form.",
        "properties": {
            "minimum": {"type": "integer", "description": 'How few.\n\n{"minimum":1}'},
            "mail": {"type": "string", "format": "email", "description": '{"pattern":"@"}'},
            "either": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {},
                        "additionalProperties": False,
                        "description": '{"maxProperties":2}',
                    },
                    {"type": "null"},
                ]
            },
            "some": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1},
            "many": {
                "type": "array",
                "items": {"type": "string", "description": '{"maxLength":3}'},
                "description": '{"minItems":2}',
            },
            "pair": {
                "type": "array",
                "items": {"type": "null"},
                "minItems": 1,
                "description": '{"prefixItems":[{"type":"null"}]}',
            },
        },
        "additionalProperties": False,
        "$defs": {"x": {"const": "minimum", "type": "string", "default": {"oneOf": 1}}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        *[{"type": "string", "format": name} for name in ("date", "date-time", "duration", "email", "hostname", "ipv4",
                                                          "ipv6", "time", "uri", "uuid")],
        {"$ref": "#/$defs/minimum", "$defs": {"minimum": {"type": "integer"}}},
        {"type": ["string", "null"], "default": {"minimum": 1}, "enum": ["minimum", None]},
        {"type": "object", "properties": {"x": {"const": 1, "type": "integer"}}, "additionalProperties": False},
    ],
)  # fmt: skip
def test_what_answers_can_be_held_to_stays(schema: dict[str, Any]) -> None:
    """Keywords that the server knows are sent as they are, and values that only look like keywords, too."""
    assert held_to(schema) == schema


def test_words_may_be_in_any_script() -> None:
    """What goes into the description stays readable."""
    assert held_to({"type": "string", "examples": ["é"]})["description"] == '{"examples":["é"]}'


@pytest.mark.parametrize("value", [True, {}, {"type": "string"}, None])
def test_objects_that_are_not_closed_are_refused(value: Any) -> None:
    """Whatever an object says of further keys, but that there are none, is nothing to be held to."""
    with pytest.raises(InvalidRequest, match="open-ended"):
        held_to({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": value}}})


@pytest.mark.parametrize("output", [dict[str, int], Rated])
def test_open_ended_output_types_are_refused(output: Any) -> None:
    """Keys that nobody can list are nothing that an answer can be held to."""
    with pytest.raises(InvalidRequest, match="dict") as caught:
        body_of("Hi.", output=output, output_mode="native")
    assert caught.value.parameter == "output"
    assert body_of("Hi.", output=output)["tool_choice"] == {"type": "tool", "name": "answer"}


def test_old_models_cannot_be_held_to_a_type() -> None:
    """An older model has to call a tool; to want a schema is refused, unless it may be dropped."""
    with pytest.raises(UnsupportedOption, match="'native'"):
        body_of("Hi.", model=OLD, output=City, output_mode="native")
    for told in ({}, {"drop_unsupported": True, "output_mode": "native"}):
        body = body_of("Hi.", model=OLD, output=City, **told)
        assert "output_config" not in body
        assert [tool["name"] for tool in body["tools"]] == ["answer"]


# --- provider options, dialects, cache ------------------------------------------------------------


def test_provider_options_go_into_the_body() -> None:
    """Options of the provider's own stand in the body as they are; some have two spellings; objects are merged."""
    own = {
        "serviceTier": "auto", "container": "c_1", "outputConfig": {"task_budget": 5}, "mcpServers": [],
        "cacheControl": {"type": "ephemeral"}, "contextManagement": {"edits": []}, "max_tokens": 7,
    }  # fmt: skip
    body = body_of("Hi.", model=NEW, reasoning_effort="low", provider_options={"anthropic": own, "other": {"x": 1}})
    assert (body["service_tier"], body["container"], body["mcp_servers"]) == ("auto", "c_1", [])
    assert (body["cache_control"], body["context_management"]) == ({"type": "ephemeral"}, {"edits": []})
    assert body["output_config"] == {"effort": "low", "task_budget": 5}
    assert body["max_tokens"] == 7
    assert body_of("Hi.", max_tokens=8, provider_options={"anthropic": own})["max_tokens"] == 8
    assert "x" not in body


@pytest.mark.parametrize(
    "own", [{"model": "x"}, {"messages": []}, {"stream": False}, {"system": "x"}, {"tools": []}, 5]
)
def test_provider_options_cannot_replace_the_request(own: Any) -> None:
    """What a request says itself cannot be said again in provider options."""
    with pytest.raises(InvalidRequest, match="anthropic"):
        body_of("Hi.", provider_options={"anthropic": own})


def test_clouds_have_the_model_in_the_url() -> None:
    """A dialect may leave out the model and the streaming."""
    cloud = AnthropicDialect(names_model=False, says_stream=False, cache=False, max_tokens=9)
    hinted = Message.user(Text("Hi.", cache=CacheHint()))
    body = lower(Request.of(hinted, model=NEW), stream=True, dialect=cloud)
    assert body == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}],
        "max_tokens": 9,
    }


def test_cache_marks() -> None:
    """Marks stand on the blocks; an hour is said in words; one for the whole request counts like the others."""
    hint = CacheHint(ttl_seconds=3600)
    body = body_of([Message.user(Text("a", cache=hint))], tools=[attrs.evolve(WEATHER, cache=CacheHint())])
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    body = body_of("a", system=["s", "t"], tools=[WEATHER], cache="auto")
    assert str(body).count("cache_control") == 4
    own = {"anthropic": {"cache_control": {"type": "ephemeral"}}}
    body = body_of("a", system=["s", "t"], tools=[WEATHER], cache="auto", provider_options=own)
    assert str(body).count("cache_control") == 4
