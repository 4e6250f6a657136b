"""Half a surrogate pair in whatever of a request is encoded: a typed error, and never one of Python's codecs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mellite
from mellite import Message
from mellite.cassettes import ScriptedTransport
from mellite.errors import BackendError, InvalidRequest, MelliteError
from mellite.messages import Document, Image, Text, ToolCall, ToolResult
from mellite.request import HttpOptions, ToolDefinition

HALF = "\ud800"
SPECS = ["anthropic", "azure", "bedrock", "cohere", "google", "groq", "openai", "openai-chat", "vertex", "xai"]
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s" * 20, "AWS_REGION": "eu-west-1",
    "AZURE_OPENAI_API_KEY": "k" * 20, "AZURE_RESOURCE_NAME": "r",
    "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


async def error_of(spec: str, prompt: Any = "hi", **options: Any) -> tuple[MelliteError | None, int]:
    """The error that comes of asking, and how many requests were sent."""
    transport = ScriptedTransport([(500, {}, "no")])
    backend = mellite.backend(spec, api_key="k" * 20, transport=transport)
    try:
        await backend.generate(prompt, **options)
    except MelliteError as error:
        return error, len(transport.requests)
    return None, len(transport.requests)


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
async def test_the_model(spec: str) -> None:
    """A model of that name is refused by every provider, whether its id stands in the URL or in the body."""
    for asked, options in ((f"{spec}:m{HALF}", {}), (f"{spec}:m", {"model": HALF})):
        error, sent = await error_of(asked, **options)
        assert isinstance(error, InvalidRequest)
        assert (error.parameter, sent) == ("model", 0)
        str(error).encode()


@pytest.mark.anyio
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    "http",
    [
        HttpOptions(query={"a": HALF}), HttpOptions(query={HALF: "a"}),
        HttpOptions(headers={"x-a": HALF}), HttpOptions(headers={f"x{HALF}": "a"}),
    ],
)  # fmt: skip
async def test_what_is_added_to_http(spec: str, http: HttpOptions) -> None:
    """Query and headers that hold one are refused before anything is sent."""
    error, sent = await error_of(f"{spec}:m", http=http)
    assert isinstance(error, InvalidRequest)
    assert sent == 0


ELSEWHERE: dict[str, Callable[[], dict[str, Any]]] = {
    "the body": lambda: {"http": HttpOptions(body={f"a{HALF}": HALF})},
    "metadata": lambda: {"metadata": {HALF: HALF}},
    "a stop": lambda: {"stop": [HALF]},
    "the system": lambda: {"system": HALF},
    "a tool": lambda: {"tools": [ToolDefinition(f"t{HALF}", HALF, input_schema={"properties": {HALF: {}}})]},
    "a choice": lambda: {"tools": [ToolDefinition("t", "d")], "tool_choice": f"t{HALF}"},
    "text": lambda: {"prompt": [Message.user(HALF, Text(HALF))]},
    "a picture": lambda: {"prompt": [Message.user(Image(url=f"https://example.com/{HALF}", media_type="image/png"))]},
    "a type": lambda: {"prompt": [Message.user(Image(data=b"x", media_type=f"image/{HALF}"))]},
    "a file": lambda: {"prompt": [Message.user(Document(data=b"x", media_type="application/pdf", filename=HALF))]},
    "a call": lambda: {
        "prompt": [
            Message.user("hi"),
            Message.assistant(ToolCall(f"c{HALF}", f"n{HALF}", {HALF: HALF})),
            Message.tool(ToolResult(f"c{HALF}", f"n{HALF}", HALF)),
        ]
    },
}


@pytest.mark.anyio
@pytest.mark.parametrize("where", ELSEWHERE)
@pytest.mark.parametrize("spec", SPECS)
async def test_anywhere_else(spec: str, where: str) -> None:
    """In what is only said it is sent as U+FFFD, or refused with a type of mellite's; no codec's error comes out."""
    try:
        error, _ = await error_of(f"{spec}:m", **ELSEWHERE[where]())
    except MelliteError as refused:  # where the request is made
        error = refused
    assert error is not None
    assert not isinstance(error, BackendError)
