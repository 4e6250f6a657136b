"""Bodies for Bedrock's Converse, held against AWS's own description of the API, as it ships with botocore."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from mellite.messages import Audio, CacheHint, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult, Video
from mellite.providers.bedrock import converse_route
from mellite.request import Request, ToolDefinition
from tests.protocols.bedrock_converse.converse import CLAUDE, NOVA

WEATHER = ToolDefinition("get_weather", "Get the weather.", strict=True, cache=CacheHint(ttl_seconds=3600))
GROUNDING = ToolDefinition("nova_grounding", native={"bedrock": {"systemTool": {"name": "nova_grounding"}}})
PNG = Image(b"\x89PNG", media_type="image/png")
FILE = Document(
    b"a", media_type="text/plain", filename="a.txt",
    provider_metadata={"bedrock": {"citations": {"enabled": True}, "context": "c"}},
)  # fmt: skip
FILM = Video(
    url="s3://bucket/film.mp4", media_type="video/mp4", provider_metadata={"bedrock": {"bucketOwner": "1" * 12}}
)
SOUND = Audio(b"a", media_type="audio/wav")
HOSTED = {"toolUseId": "h", "type": "nova_grounding_result", "status": "success", "content": [{"text": "x"}]}
THOUGHT = (
    Reasoning("Hm.", provider_metadata={"bedrock": {"signature": "s"}}),
    Reasoning("", provider_metadata={"bedrock": {"redactedContent": "aGk="}}),
)
CITED = Text(
    "a", provider_metadata={"bedrock": {"citations": [{"title": "T", "source": "s", "sourceContent": [{"text": "x"}]}]}}
)
RAN = (
    ToolCall(
        "h", "nova_grounding", {}, provider_executed=True, provider_metadata={"bedrock": {"type": "server_tool_use"}}
    ),
    ToolResult(
        "h", "nova_grounding", "x", provider_executed=True, provider_metadata={"bedrock": {"toolResult": HOSTED}}
    ),
)
CALLS = (ToolCall("c|1", "get_weather", {"city": "Paris"}), ToolCall("c2", "get_weather", None, raw_arguments='{"c'))
RESULTS = (
    ToolResult("c|1", "get_weather", [Text("See:"), PNG, FILE, FILM]),
    ToolResult("c2", "get_weather", {"temperature": 22}),
)
EVERYTHING = [
    Message.system("Be brief."),
    Message.user("a", PNG, FILE, FILM, SOUND),
    Message.assistant(*THOUGHT, CITED, *RAN, *CALLS),
    Message.tool(*RESULTS),
    Message.system("Be briefer."),
    Message.user(Text("b", cache=CacheHint())),
]  # fmt: skip


@pytest.fixture(scope="module")
def converse() -> Shape:
    """What Converse takes, by AWS's own word."""
    model = Loader().load_service_model("bedrock-runtime", "service-2")
    shape: Shape = ServiceModel(model).operation_model("Converse").input_shape
    return shape


def decoded(value: Any, shape: Any) -> Any:
    """A body as the SDK takes it, with bytes where JSON has base64; a field that AWS does not know is an error."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "string":
        assert not shape.enum or value in shape.enum, f"{shape.name}: {value!r}"
        assert re.fullmatch(shape.metadata.get("pattern", ".*"), value, re.DOTALL), f"{shape.name}: {value!r}"
    if shape.type_name == "list":
        return [decoded(item, shape.member) for item in value]
    if shape.type_name != "structure" or shape.is_document_type:
        return value
    assert value.keys() <= shape.members.keys(), f"{shape.name}: {value.keys() - shape.members.keys()}"
    if shape.is_tagged_union:
        assert len(value) == 1, f"{shape.name} is one of several: {value}"
    return {name: decoded(item, shape.members[name]) for name, item in value.items()}


@pytest.mark.parametrize("model", [CLAUDE, NOVA, "us.amazon.nova-2-lite-v1:0", "qwen.qwen3-32b-v1:0"])
@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "hi"},
        {"prompt": EVERYTHING, "tools": [WEATHER, GROUNDING], "tool_choice": "get_weather", "system": "s"},
        {"prompt": EVERYTHING, "tools": [WEATHER], "tool_choice": "required", "output": dict[str, int]},
        {"prompt": EVERYTHING},
        {"prompt": "hi", "max_tokens": 5, "temperature": 0.5, "top_p": 1, "stop": ["A"], "top_k": 3},
        {"prompt": "hi", "reasoning_effort": "low", "reasoning_budget": 1024, "drop_unsupported": True, "output": dict},
        {
            "prompt": "hi",
            "provider_options": {
                "bedrock": {
                    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
                    "performanceConfig": {"latency": "optimized"},
                    "serviceTier": {"type": "flex"},
                    "requestMetadata": {"a": "b"},
                }
            },
        },
    ],
)
def test_bodies_have_the_shape_that_amazon_describes(converse: Shape, model: str, asked: dict[str, Any]) -> None:
    """Every field is one that AWS knows, of its type; of fields that exclude each other there is one."""
    http = converse_route(api_key="k", model=model).prepare(Request.of(**asked))
    report = ParamValidator().validate(decoded(json.loads(http.body), converse), converse)
    assert not report.has_errors(), report.generate_report()
