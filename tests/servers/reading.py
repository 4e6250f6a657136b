"""Every recorded answer of real providers, read by the official SDKs: `python -m tests.servers.reading`.

`nox -s serve` brings the SDKs. Each answer is read twice: from a bare server that sends the recorded bytes, and from
`mellite serve`, which finds it in a cassette of all of them. Both must give the same objects, or fail in the same way.
Needs the corpora, in which nothing is recorded of Ollama.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anthropic
import boto3
import cohere
import openai
from attrs import define
from botocore.config import Config
from google import genai

from mellite.cassettes import Body, Cassette, HttpInteraction, RecordedRequest, RecordedResponse
from mellite.server.paths import Call, call_of
from mellite.server.running import RunningServer, Settings
from tests.conftest import CORPORA

KEY: Final = "sk-made-up"
FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})


@define
class Row:
    """One recorded answer, and what an SDK asked when it was sent."""

    number: int
    protocol: str
    uri: str
    status: int
    headers: dict[str, str]
    body: bytes
    streams: bool
    path: str = ""
    asked: bytes = b""

    @property
    def call(self) -> Call | None:
        """What the recorded URL means."""
        return call_of(urlsplit(self.uri).path, urlsplit(self.uri).query)

    @property
    def model(self) -> str:
        """The model that the URL names."""
        found = re.search(r"/model/([^/]+)/", self.uri)
        if found is not None:
            return found[1].replace("%3A", ":").replace("%2F", "/")
        return (self.call.model if self.call is not None else None) or "m-1"

    def interaction(self) -> HttpInteraction:
        """The answer as a cassette has it, behind what the SDK asked."""
        url = self.uri if self.call is not None else f"https://recorded.example{self.path}"
        request = RecordedRequest("POST", url, headers={}, body=Body.of(self.asked))
        response = RecordedResponse(self.status, headers=self.headers, body=Body.of(self.body))
        return HttpInteraction(request, response)


def rows(corpora: Path) -> Iterator[Row]:
    """All recorded answers."""
    expected = {row["key"]: row for row in map(json.loads, (corpora / "expected.jsonl").read_text().splitlines())}
    with gzip.open(corpora / "interactions.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            row: dict[str, Any] = json.loads(line)
            told = expected[row["key"]]
            headers = {name: value for name, value in row["headers"].items() if name not in FRAMING}
            body = base64.b64decode(row["body_b64"])
            streams = told["streaming"] or "stream" in urlsplit(row["uri"]).path.rpartition("/")[2]
            yield Row(number, told["protocol"], row["uri"], told["status"], headers, body, streams)


@contextmanager
def bare_server(sent: list[Row]) -> Iterator[str]:
    """A server that sends the recorded bytes of the row whose number stands before the path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            _, number, rest = self.path.split("/", 2)
            row = sent[int(number)]
            row.path, row.asked = f"/{rest}", self.rfile.read(int(self.headers["content-length"]))
            self.send_response(row.status)
            for name, value in row.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(row.body)))
            self.end_headers()
            self.wfile.write(row.body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# --- what each SDK makes of an answer -------------------------------------------------------------


def dumped(value: Any) -> Any:
    """An object of an SDK as plain data, without what says how the answer was framed."""
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name != "ResponseMetadata"}
    found = value.model_dump(warnings=False)
    found.pop("sdk_http_response", None)
    return found


def said(row: Row) -> Any:
    """A prompt that no other row has."""
    return f"Tell me of number {row.number}."


def openai_chat(base: str, row: Row) -> Any:
    """OpenAI's SDK, Chat Completions."""
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        asked: Any = [{"role": "user", "content": said(row)}]
        found: Any = client.chat.completions.create(model="m-1", messages=asked, stream=row.streams)
        return [dumped(each) for each in found] if row.streams else dumped(found)


def openai_responses(base: str, row: Row) -> Any:
    """OpenAI's SDK, Responses."""
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
        found: Any = client.responses.create(model="m-1", input=said(row), stream=row.streams)
        return [dumped(each) for each in found] if row.streams else dumped(found)


def anthropic_messages(base: str, row: Row) -> Any:
    """Anthropic's SDK; of a stream its events, and the message that its helper makes of them."""
    asked: Any = {"model": "m-1", "messages": [{"role": "user", "content": said(row)}]}
    with anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
        if row.protocol == "anthropic-count-tokens":
            return dumped(client.messages.count_tokens(**asked))
        if row.streams:
            with client.messages.stream(max_tokens=99, **asked) as events:
                return [dumped(each) for each in events], dumped(events.get_final_message())
        return dumped(client.messages.create(max_tokens=99, **asked))


def gemini(base: str, row: Row) -> Any:
    """Google's SDK."""
    client = genai.Client(api_key=KEY, http_options={"base_url": base})
    if row.streams:
        return [dumped(each) for each in client.models.generate_content_stream(model=row.model, contents=said(row))]
    return dumped(client.models.generate_content(model=row.model, contents=said(row)))


def bedrock(base: str, row: Row) -> Any:
    """Amazon's SDK."""
    keys = {"aws_access_key_id": "made-up", "aws_secret_access_key": "made-up", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("bedrock-runtime", endpoint_url=base, config=config, **keys)
    asked: Any = {"messages": [{"role": "user", "content": [{"text": said(row)}]}]}
    if row.protocol == "bedrock-count-tokens":
        return dumped(client.count_tokens(modelId=row.model, input={"converse": asked}))
    if row.streams:
        return list(client.converse_stream(modelId=row.model, **asked)["stream"])
    return dumped(client.converse(modelId=row.model, **asked))


def cohere_chat(base: str, row: Row) -> Any:
    """Cohere's SDK."""
    client = cohere.ClientV2(api_key=KEY, base_url=base)
    asked: Any = [{"role": "user", "content": said(row)}]
    return dumped(client.chat(model="m-1", messages=asked))


READERS: Final[dict[str, Callable[[str, Row], Any]]] = {
    "anthropic-count-tokens": anthropic_messages,
    "anthropic-messages": anthropic_messages,
    "bedrock-converse": bedrock,
    "bedrock-count-tokens": bedrock,
    "cohere-chat": cohere_chat,
    "gemini": gemini,
    "mistral-chat": openai_chat,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
}


def read(base: str, row: Row) -> Any:
    """What an SDK makes of an answer, or the error that it raises."""
    try:
        return READERS[row.protocol](base, row)
    except Exception as error:  # each SDK has errors of its own
        told = {name: getattr(error, name, None) for name in ("status_code", "code", "body", "details")}
        return type(error).__name__, str(error).replace(base, ""), told


def main() -> int:
    """Read every answer twice; print what differs, and return how much that is."""
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY"):
        os.environ.pop(name, None)
    found = list(rows(CORPORA))
    with bare_server(found) as url:
        plain = [read(f"{url}/{row.number}", row) for row in found]
    different = 0
    counts: Counter[str] = Counter()
    with RunningServer(Settings(source=Cassette(tuple([row.interaction() for row in found])))) as server:
        for row, expected in zip(found, plain, strict=True):
            failed = isinstance(expected, tuple) and len(expected) == 3
            counts[f"{row.protocol}{', streamed' if row.streams else ''}{', errors' if failed else ''}"] += 1
            if failed and row.status == 200:
                print(f"{row.number}, {row.uri}: the SDK cannot read it: {expected[:2]!r:.300}")
            again = read(server.url, row)
            if again != expected:
                different += 1
                print(f"{row.number}, {row.uri}: {again!r:.1000}, not {expected!r:.1000}")
    for kind, count in sorted(counts.items()):
        print(f"{kind}: {count}")
    print(f"{len(found)} answers, {different} that the SDKs read differently")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
