"""What the official SDKs read beside generations: models, and what an answer cites: python -m tests.servers.beside."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anthropic
import boto3
import botocore.config
import cohere
import ollama
import openai
from google import genai

import mellite
from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse, ScriptedTransport
from mellite.server.running import RunningServer, Settings

KEY: Final = "sk-made-up"
NAME: Final = "some/model:1"
URL: Final = "https://example.com/rhein"
CITING: Final = Path(__file__).with_name("cited.json")
"""An answer of Chat Completions that cites a page."""


def clients(url: str) -> dict[str, Any]:
    """Each SDK, as it finds a server."""
    settings = botocore.config.Config(retries={"total_max_attempts": 1})
    return {
        "openai": openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0),
        "anthropic": anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0),
        "google": genai.Client(api_key=KEY, http_options={"base_url": url}),
        "cohere": cohere.ClientV2(api_key=KEY, base_url=url),
        "ollama": ollama.Client(host=url),
        "boto3": boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=settings,
        ),
    }


#: SDK -> the names of the models that it lists, and the name of one that it asks for.
MODELS: Final[dict[str, tuple[Callable[[Any], list[str]], Callable[[Any], str]]]] = {
    "openai": (lambda sdk: [one.id for one in sdk.models.list()], lambda sdk: sdk.models.retrieve(NAME).id),
    "anthropic": (lambda sdk: [one.id for one in sdk.models.list()], lambda sdk: sdk.models.retrieve(NAME).id),
    "google": (
        lambda sdk: [one.name.removeprefix("models/") for one in sdk.models.list()],
        lambda sdk: sdk.models.get(model=f"models/{NAME}").name.removeprefix("models/"),
    ),
    "cohere": (lambda sdk: [one.name for one in sdk.models.list().models], lambda sdk: sdk.models.get(NAME).name),
    "ollama": (
        lambda sdk: [one.model for one in sdk.list().models],
        lambda sdk: sdk.show(NAME).modelfile.removeprefix("FROM "),
    ),
}


def models(source: Any, names: list[str]) -> list[str]:
    """What is wrong with the models that a source has."""
    found = []
    with RunningServer(Settings(source=source)) as server:
        sdks = clients(server.url)
        for name, (every, one) in MODELS.items():
            if every(sdks[name]) != names:
                found.append(f"{name} lists {every(sdks[name])}")
            if one(sdks[name]) != NAME:
                found.append(f"{name} gets {one(sdks[name])}")
    return found


def recorded() -> Cassette:
    """A recording in which one model was asked."""
    request = RecordedRequest("POST", "https://api.openai.com/v1/chat/completions", body=Body(f'{{"model":"{NAME}"}}'))
    return Cassette((HttpInteraction(request, RecordedResponse(200, body=Body("{}"))),))


def openai_cites(sdk: Any) -> list[str]:
    """With Chat, with Responses, and streamed."""
    asked: Any = [{"role": "user", "content": "Hi."}]
    chat = sdk.chat.completions.create(model="m", messages=asked).choices[0].message
    response = sdk.responses.create(model="m", input="Hi.")
    with sdk.responses.stream(model="m", input="Hi.") as stream:
        streamed = stream.until_done().get_final_response()
    found = [chat.annotations[0].url_citation.url]
    return found + [each.output[0].content[0].annotations[0].url for each in (response, streamed)]


def anthropic_cites(sdk: Any) -> list[str]:
    """Whole, and streamed."""
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]}
    whole = sdk.messages.create(**asked)
    with sdk.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    return [each.content[0].citations[0].url for each in (whole, streamed)]


def google_cites(sdk: Any) -> list[str]:
    """Whole, and streamed."""
    whole = sdk.models.generate_content(model="m", contents="Hi.")
    *_, last = sdk.models.generate_content_stream(model="m", contents="Hi.")
    return [each.candidates[0].grounding_metadata.grounding_chunks[0].web.uri for each in (whole, last)]


def cohere_cites(sdk: Any) -> list[str]:
    """Whole, and streamed."""
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi."}]}
    found = sdk.chat(**asked).message.citations
    for event in sdk.chat_stream(**asked):
        if event.type == "citation-start":
            found.append(event.delta.message.citations)
    return [each.sources[0].document["url"] for each in found]


def boto3_cites(sdk: Any) -> list[str]:
    """Whole, and streamed."""
    asked: Any = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hi."}]}]}
    (block,) = sdk.converse(**asked)["output"]["message"]["content"]
    found = block["citationsContent"]["citations"]
    for event in sdk.converse_stream(**asked)["stream"]:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        found += [delta["citation"]] if "citation" in delta else []
    return [each["location"]["web"]["url"] for each in found]


#: SDK -> the pages that it reads, and in how many ways it asks.
CITES: Final[dict[str, tuple[Callable[[Any], list[str]], int]]] = {
    "openai": (openai_cites, 3),
    "anthropic": (anthropic_cites, 2),
    "google": (google_cites, 2),
    "cohere": (cohere_cites, 2),
    "boto3": (boto3_cites, 2),
}


def cited() -> list[str]:
    """What is wrong with the sources that each SDK reads in an answer of OpenAI's."""
    found = []
    for name, (read, times) in CITES.items():
        transport = ScriptedTransport([(200, {"content-type": "application/json"}, CITING.read_bytes())] * times)
        backend = mellite.backend("openai-chat:m", api_key=KEY, transport=transport)
        with RunningServer(Settings(source=backend)) as server:
            told = read(clients(server.url)[name])
        if told != [URL] * times:
            found.append(f"{name} reads {told}")
    return found


def main() -> int:
    """Ask with every SDK; print what is wrong, and return how much that is."""
    warnings.simplefilter("ignore", DeprecationWarning)
    checks = {
        "models of a backend": models("fake:echo", ["Echo"]),
        "models of a cassette": models(recorded(), [NAME]),
        "what is cited": cited(),
    }
    for what, found in checks.items():
        print(f"{what}: {'; '.join(found) or 'as it should be'}")
    return sum(map(len, checks.values()))


if __name__ == "__main__":
    sys.exit(main())
