"""Gemini on Google AI Studio and on Vertex AI: URLs, keys, projects and regions."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    IncompleteStream,
    InvalidProviderOutput,
    MelliteError,
    RateLimited,
    TransportError,
)
from mellite.protocols.gemini import GeminiRaw
from mellite.providers import google, vertex
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.wire.http import HttpRequest
from mellite.wire.route import Route

KEY = "AIza-sentinel-4711-do-not-show"
TOKEN = "ya29.sentinel-4711-do-not-show"
STUDIO = "https://generativelanguage.googleapis.com/v1beta/models"
WHOLE = b'{"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}], "modelVersion": "m1"}'
VARIABLES = (
    *google.KEYS, google.BASE_URL_VARIABLE, vertex.BASE_URL_VARIABLE, vertex.KEY, *vertex.PROJECTS, *vertex.LOCATIONS,
    *vertex.TOKENS, "GOOGLE_APPLICATION_CREDENTIALS",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's environment reaches a test."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))  # no login is found


def asked(route: Route, model: str = "gemini-2.5-flash", **options: Any) -> HttpRequest:
    return route.prepare(Request.of("hi", model=model, **options))


def signed(route: Route) -> dict[str, str]:
    return {name: value for name, value in asked(route).headers.items() if name != "content-type"}


# --- AI Studio ------------------------------------------------------------------------------------


def test_streams_have_a_url_of_their_own() -> None:
    """The model stands in the path, what is asked of it behind it, and nothing of both in the body."""
    route = google.gemini_route(api_key=KEY)
    assert asked(route).url == f"{STUDIO}/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert asked(route, stream=False).url == f"{STUDIO}/gemini-2.5-flash:generateContent"
    assert json.loads(asked(route).body) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-2.5-pro", "models/gemini-2.5-pro"), ("tunedModels/mine", "tunedModels/mine"),
        ("../files/x", "models/..%2Ffiles%2Fx"), ("models/../x", "models/models%2F..%2Fx"),
        ("a?key=b#c", "models/a%3Fkey%3Db%23c"),
    ],
)  # fmt: skip
def test_a_model_may_name_its_collection(model: str, path: str) -> None:
    """Ids may bring their collection along, and lead nowhere else."""
    url = asked(google.gemini_route(api_key=KEY), model).url
    assert url == f"{STUDIO.removesuffix('models')}{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("variable", google.KEYS)
def test_the_key_is_a_header(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes in a header, never in the URL, from any of the variables that are in use."""
    route = google.gemini_route()
    with pytest.raises(AuthenticationError, match="GEMINI_API_KEY") as caught:
        asked(route)
    assert caught.value.kind == "missing"
    monkeypatch.setenv(variable, KEY)
    assert signed(route) == {"x-goog-api-key": KEY}
    assert KEY not in asked(route).url


def test_another_server_gets_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL in code gets only the key that is given with it; one in the variable is Google's own business."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    elsewhere = google.gemini_route(base_url="https://proxy.example.com/v1beta")
    assert asked(elsewhere).url.startswith("https://proxy.example.com/v1beta/models/gemini")
    assert signed(elsewhere) == {}
    assert signed(google.gemini_route(base_url="https://proxy.example.com", api_key="k")) == {"x-goog-api-key": "k"}
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://proxy.example.com")
    assert asked(google.gemini_route()).url.startswith("https://proxy.example.com/v1beta/models/gemini")


# --- Vertex AI ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"), ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"), ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)  # fmt: skip
def test_every_region_has_its_host(location: str | None, host: str) -> None:
    """The region stands in the host and in the path; without one it is the global one."""
    route = vertex.gemini_route(access_token=TOKEN, project="p-1", location=location)
    path = f"v1beta1/projects/p-1/locations/{location or 'global'}/publishers/google/models/gemini-2.5-flash"
    assert asked(route).url == f"https://{host}/{path}:streamGenerateContent?alt=sse"
    assert asked(route, stream=False).url == f"https://{host}/{path}:generateContent"
    assert signed(route) == {"authorization": f"Bearer {TOKEN}"}


def test_what_is_not_given_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Project, region and token are looked up when a call is made, and what is missing is named."""
    route = vertex.gemini_route()
    with pytest.raises(ConfigurationError, match=r"no project.*GOOGLE_CLOUD_PROJECT"):
        asked(route)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p-2")
    with pytest.raises(AuthenticationError, match="GOOGLE_VERTEX_ACCESS_TOKEN") as caught:
        asked(route)
    assert caught.value.kind == "missing"
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "asia-east1")
    monkeypatch.setenv("GOOGLE_VERTEX_ACCESS_TOKEN", TOKEN)
    assert asked(route).url.startswith(
        "https://asia-east1-aiplatform.googleapis.com/v1beta1/projects/p-2/locations/asia"
    )
    assert signed(route) == {"authorization": f"Bearer {TOKEN}"}


def test_a_key_needs_no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """In express mode a key stands for its project; where there is a project, it is named all the same."""
    express = "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    given = vertex.gemini_route(api_key=KEY)
    assert (asked(given).url, signed(given)) == (express, {"x-goog-api-key": KEY})
    monkeypatch.setenv("GOOGLE_VERTEX_API_KEY", KEY)
    found = vertex.gemini_route()
    assert (asked(found).url, signed(found)) == (express, {"x-goog-api-key": KEY})
    assert "/projects/p-1/locations/global/" in asked(vertex.gemini_route(project="p-1")).url


def test_an_access_token_may_be_given_as_the_key() -> None:
    """What begins like an access token is sent like one."""
    assert signed(find("vertex:m", api_key=TOKEN, base_url="https://a.example.com")) == {
        "authorization": f"Bearer {TOKEN}"
    }


def test_vertex_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server gets nothing of the environment; the variable may name a host, or all before the publishers."""
    monkeypatch.setenv("GOOGLE_VERTEX_ACCESS_TOKEN", TOKEN)
    elsewhere = vertex.gemini_route(base_url="http://localhost:1/google-vertex/v1beta1")
    assert asked(elsewhere).url.startswith("http://localhost:1/google-vertex/v1beta1/publishers/google/models/gemini")
    assert signed(elsewhere) == {}
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://host.example.com")
    assert asked(vertex.gemini_route(project="p-1")).url.startswith("https://host.example.com/v1beta1/projects/p-1/")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://host.example.com/v1")
    assert asked(vertex.gemini_route()).url.startswith("https://host.example.com/v1/publishers/google/")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("endpoints/4711", "endpoints/4711"), ("publishers/google/models/g", "publishers/google/models/g"),
        ("models/g", "publishers/google/models/g"), ("../../p-2/x", "publishers/google/models/..%2F..%2Fp-2%2Fx"),
    ],
)  # fmt: skip
def test_a_model_of_ones_own(model: str, path: str) -> None:
    """Endpoints and publishers may be named; nothing leads out of the project."""
    url = asked(vertex.gemini_route(access_token=TOKEN, project="p-1"), model).url
    assert url.partition("/locations/global/")[2] == f"{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("value", ["p/../q", "p?x", "p#", "", "a b", "evil.example.com/"])
def test_a_project_stays_in_its_place(value: str) -> None:
    """A project or region that could change the URL is refused."""
    with pytest.raises(ConfigurationError):
        asked(vertex.gemini_route(access_token=TOKEN, project=value))
    with pytest.raises(ConfigurationError):
        asked(vertex.gemini_route(access_token=TOKEN, project="p-1", location=value or "a/b"))


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["google:m", "gemini/m", "vertex:m", "google-vertex/m"])
@pytest.mark.anyio
async def test_a_thunk_is_filled(spec: str) -> None:
    """A thunk over either is filled, streamed and in one piece, and its raw answer has its class."""
    stream = b'data: {"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}]}\r\n\r\n'
    transport = ScriptedTransport([stream, WHOLE])
    backend = LiveBackend(find(spec, api_key=KEY), transport=transport)
    for streaming in (True, False):
        thunk = backend.generate("hi", stream=streaming)
        assert await thunk == "Hello."
        assert isinstance(thunk.raw, GeminiRaw)
        assert thunk.generation.provider == ("vertex" if "vertex" in spec else "google")
        assert thunk.generation.protocol == "gemini"


def test_a_stream_that_is_refused_with_a_list() -> None:
    """Errors come as an object or as a list of one, and keep their type, their words and the status."""
    body = b'[{"error": {"code": 404, "message": "models/x is not found", "status": "NOT_FOUND"}}]'
    backend = LiveBackend(find("google:x", api_key=KEY), transport=ScriptedTransport([(404, {}, body)]))
    with pytest.raises(MelliteError, match=r"google: HTTP 404: models/x is not found") as caught:
        backend.generate("hi").result()
    assert caught.value.status == 404


def answered(body: bytes, *, stream: bool, kind: str = "application/json") -> Any:
    """A settled thunk over a server that answers so with HTTP 200."""
    transport = ScriptedTransport([(200, {"content-type": kind}, body)])
    thunk = LiveBackend(find("google:m", api_key=KEY), transport=transport, stream=stream).generate("hi")
    with contextlib.suppress(MelliteError):
        thunk.result()
    return thunk


def test_an_answer_in_another_form_than_asked_is_read() -> None:
    """One piece, or a list of pieces, where a stream was asked is an answer; so is a stream where one piece was."""
    assert answered(WHOLE, stream=True).value == "Hello."
    assert answered(b"[" + WHOLE + b"]", stream=True).value == "Hello."
    assert answered(b"data: " + WHOLE + b"\r\n\r\n", stream=False, kind="text/event-stream").value == "Hello."


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": {"code": 429, "message": "Slow down."}}', RateLimited),
        (b'[{"error": {"code": 429, "message": "Slow down."}}]', RateLimited),
        (b'data: {"error": {"code": 429, "message": "Slow down."}}\n\n', RateLimited),
        (b"<html><title>Oops</title>", InvalidProviderOutput), (b"{", InvalidProviderOutput),
        (b"", IncompleteStream), (b": nothing\n\n", IncompleteStream),
    ],
)  # fmt: skip
def test_what_is_no_answer_under_http_200_is_noticed(body: bytes, kind: type[MelliteError]) -> None:
    """Errors, web pages, halves of JSON and nothing at all are errors of their types, whatever the status says."""
    error = answered(body, stream=True).error
    assert type(error) is kind
    assert (error.provider, error.model, error.status) == ("google", "m", 200)


@pytest.mark.parametrize("trouble", [ConnectionLost("broken"), TimeoutError()])
def test_trouble_matters_until_the_finish_reason(trouble: Exception) -> None:
    """A connection that breaks or falls silent is an error with the text so far, unless the answer is complete."""
    said = b'data: {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]}\n\n'
    ended = b'data: {"candidates": [{"content": {"parts": [{"text": "lo."}]}, "finishReason": "STOP"}]}\n\n'
    for pieces, error in (([said, trouble], True), ([said, ended, trouble], False)):
        thunk = LiveBackend(find("google:m", api_key=KEY), transport=ScriptedTransport([pieces])).generate("hi")
        if error:
            with pytest.raises(TransportError) as caught:
                thunk.result()
            assert caught.value.partial == "Hel"
        else:
            assert thunk.result() == "Hello."


@pytest.mark.parametrize("name", ["google", "vertex"])
def test_a_backend_is_pickled_without_its_key(name: str) -> None:
    """A pickle has neither key nor token, and works again with one from the environment."""
    for key in (KEY, TOKEN):
        backend = mellite.backend(f"{name}:m", api_key=key)
        assert key.encode() not in pickle.dumps(backend)
        again = pickle.loads(pickle.dumps(backend))
        with pytest.raises((AuthenticationError, ConfigurationError)):
            again.prepare(Request.of("hi"))


def test_vertex_has_provider_options_of_its_own() -> None:
    """Under the name of vertex stands what only Vertex AI knows, beside what stands under google."""
    options = {"google": {"labels": {"a": "1"}, "cachedContent": "c"}, "vertex": {"labels": {"b": "2"}}}
    body = json.loads(asked(vertex.gemini_route(access_token=TOKEN, project="p-1"), provider_options=options).body)
    assert (body["labels"], body["cachedContent"]) == ({"a": "1", "b": "2"}, "c")
    assert "b" not in json.loads(asked(google.gemini_route(api_key=KEY), provider_options=options).body)["labels"]


def test_an_option_that_gemini_does_not_have_is_refused_by_name() -> None:
    """Both the option and the route are named."""
    with pytest.raises(MelliteError, match=r"'gemini'.*'parallel_tool_calls'"):
        asked(google.gemini_route(api_key=KEY), parallel_tool_calls=False)
