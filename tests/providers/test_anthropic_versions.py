"""Which version of Anthropic's API is asked for, and that a recording of one answers requests of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import evolve

import mellite
from mellite.backends import LiveBackend
from mellite.cassettes import ReplayTransport, ScriptedTransport
from mellite.errors import CassetteMismatch, CassetteMiss, UnsupportedOption
from mellite.providers import vertex_anthropic
from mellite.providers.anthropic import messages_route
from mellite.providers.catalog import find
from mellite.request import HttpOptions, Request
from mellite.wire.http import HttpRequest
from mellite.wire.route import Route

KEY = "sk-ant-sentinel-4711-do-not-show"
OLD, NEW = "2023-06-01", "2026-10-21"
TAKES, REFUSES = "claude-sonnet-4-5", "claude-opus-4-8"  # whether the model takes temperature, in any version
SAMPLING: list[dict[str, Any]] = [{"temperature": 0.5}, {"temperature": 1.0}, {"top_p": 0.9}, {"top_k": 5}]
ANSWER = '{"id":"msg_1","model":"claude","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn"}'


def asked(model: str = TAKES, *, route: Route | None = None, **options: Any) -> HttpRequest:
    """What would be sent."""
    made = messages_route(api_key=KEY, model=model) if route is None else route
    return made.prepare(Request.of("hi", **options))


def named(version: str, model: str = TAKES) -> Route:
    return messages_route(api_key=KEY, model=model, version=version)


def body_of(request: HttpRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body)
    return body


# --- which version --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [TAKES, REFUSES, "claude-opus-5-5", "glm-5"])
def test_the_newest_version_is_asked_for(model: str) -> None:
    """Whatever the model, unless a request needs another version."""
    assert asked(model, max_tokens=5, stop="x").headers["anthropic-version"] == NEW
    assert asked(route=find(f"anthropic:{model}", api_key=KEY)).headers["anthropic-version"] == NEW


@pytest.mark.parametrize("option", SAMPLING)
def test_an_option_of_the_older_version_asks_for_that(option: dict[str, Any]) -> None:
    """What only the older version takes is sent in that version, by whatever way it is given."""
    (name,) = option
    ways: list[dict[str, Any]] = [
        option,
        {"provider_options": {"anthropic": option}},
        {"http": HttpOptions(body=option)},
    ]
    for given in ways:
        http = asked(**given)
        assert (http.headers["anthropic-version"], body_of(http)[name]) == (OLD, option[name])


@pytest.mark.parametrize("option", SAMPLING)
def test_a_model_that_does_not_take_it(option: dict[str, Any]) -> None:
    """No version helps where the model takes no such option: it is refused as the model's, or left out."""
    with pytest.raises(UnsupportedOption, match=REFUSES):
        asked(REFUSES, **option)
    http = asked(REFUSES, drop_unsupported=True, **option)
    assert http.headers["anthropic-version"] == NEW
    assert option.keys().isdisjoint(body_of(http))


@pytest.mark.parametrize("option", SAMPLING)
def test_a_version_that_was_named_does_not_take_it(option: dict[str, Any]) -> None:
    """Whoever names the version gets it, and an error for what it does not take, or the option left out."""
    (name,) = option
    with pytest.raises(UnsupportedOption, match=rf"{name}.*{NEW}") as caught:
        asked(route=named(NEW), **option)
    assert caught.value.option == name
    http = asked(route=named(NEW), drop_unsupported=True, **option)
    assert http.headers["anthropic-version"] == NEW
    assert name not in body_of(http)


def test_a_version_that_was_named_is_asked_for() -> None:
    """In code, for the route or for one call; the one for the call counts."""
    assert asked(route=named(OLD)).headers["anthropic-version"] == OLD
    assert asked(route=named(OLD), temperature=0).headers["anthropic-version"] == OLD
    header = HttpOptions(headers={"Anthropic-Version": OLD})
    assert asked(http=header).headers["anthropic-version"] == OLD
    assert asked(route=named(NEW), http=header, temperature=0).headers["anthropic-version"] == OLD
    live = mellite.backend(f"anthropic:{TAKES}", api_key=KEY, http=header)
    assert isinstance(live, LiveBackend)
    assert live.prepare(live.generate("hi")._call.request).headers["anthropic-version"] == OLD
    with pytest.raises(UnsupportedOption, match=NEW):
        asked(http=HttpOptions(headers={"anthropic-version": NEW}), temperature=0)


def test_the_version_on_vertex_stands_in_the_body() -> None:
    """There the older version has a name of its own."""

    def sent(model: str = TAKES, version: str | None = None, **options: Any) -> str | None:
        route = vertex_anthropic.messages_route(access_token="t", project="p", model=model, version=version)
        http = asked(route=route, **options)
        assert "anthropic-version" not in http.headers
        found: str | None = body_of(http).get("anthropic_version")
        return found

    assert sent() == NEW
    assert sent(temperature=0) == "vertex-2023-10-16"
    assert sent(version="vertex-2023-10-16") == "vertex-2023-10-16"
    assert sent(provider_options={"anthropic": {"anthropic_version": "vertex-2023-10-16"}}) == "vertex-2023-10-16"
    with pytest.raises(UnsupportedOption, match=rf"top_k.*{NEW}"):
        sent(version=NEW, top_k=5)


def test_a_route_can_be_given_another_version() -> None:
    """The version is a field of the route, which is a value."""
    route = messages_route(api_key=KEY, model=TAKES)
    assert route.versions is not None
    older = route.with_(versions=evolve(route.versions, named=OLD))
    assert asked(route=older).headers["anthropic-version"] == OLD
    assert asked(route=route).headers["anthropic-version"] == NEW


# --- recordings of another version ----------------------------------------------------------------


def recording(path: Path, headers: dict[str, str], *, url: str, body: bytes) -> Path:
    """A cassette with one call, as other tools write it: with all headers, the secret ones without their values."""
    headers = {"content-type": "application/json", **headers}
    request = {"method": "POST", "url": url, "headers": headers, "body": body.decode()}
    response = {"status": 200, "headers": {"content-type": "application/json"}, "body": ANSWER}
    interaction = {"transport": "http", "request": request, "response": response}
    path.write_text(json.dumps({"version": 1, "metadata": {}, "interactions": [interaction]}))
    return path


SENDS = {
    "before 2.0": {"x-api-key": "[REDACTED]", "anthropic-version": OLD},
    "from 2.0 on": {"authorization": "[REDACTED]", "anthropic-version": NEW},
    "both": {"authorization": "[REDACTED]", "x-api-key": "[REDACTED]", "anthropic-version": OLD},
}


@pytest.mark.anyio
@pytest.mark.parametrize("match", ["cursor", "pool"])
@pytest.mark.parametrize("headers", SENDS.values(), ids=SENDS)
async def test_a_recording_of_another_version_answers(
    headers: dict[str, str], match: Literal["cursor", "pool"], tmp_path: Path
) -> None:
    """Neither the version nor the header that the key was sent in makes a request another one."""
    http = asked(stream=False)
    path = recording(tmp_path / "old.json", headers, url=http.url, body=http.body)
    backend = LiveBackend(messages_route(api_key=KEY, model=TAKES), transport=ReplayTransport(path, match=match))
    assert await backend.generate("hi", stream=False) == "Hello."


@pytest.mark.anyio
@pytest.mark.parametrize("match", ["cursor", "pool"])
async def test_a_recording_of_another_version_on_vertex_answers(
    match: Literal["cursor", "pool"], tmp_path: Path
) -> None:
    """The version does not count where it stands in the body, either."""
    route = vertex_anthropic.messages_route(access_token="t", project="p", model=TAKES)
    http = asked(route=route, stream=False)
    body = json.dumps({**body_of(http), "anthropic_version": "vertex-2023-10-16"}).encode()
    path = recording(tmp_path / "old.json", {"authorization": "[REDACTED]"}, url=http.url, body=body)
    backend = LiveBackend(route, transport=ReplayTransport(path, match=match))
    assert await backend.generate("hi", stream=False) == "Hello."


@pytest.mark.anyio
@pytest.mark.parametrize("match", ["cursor", "pool"])
async def test_what_still_counts(match: Literal["cursor", "pool"], tmp_path: Path) -> None:
    """A request without any key, or with another body, is another request; no message holds the key."""
    http = asked(stream=False)
    path = recording(tmp_path / "old.json", SENDS["before 2.0"], url=http.url, body=http.body)
    elsewhere = messages_route(base_url="https://api.anthropic.com", model=TAKES)
    for route, prompt in ((elsewhere, "hi"), (messages_route(api_key=KEY, model=TAKES), "Hello?")):
        backend = LiveBackend(route, transport=ReplayTransport(path, match=match))
        with pytest.raises((CassetteMismatch, CassetteMiss)) as caught:
            await backend.generate(prompt, stream=False)
        assert KEY not in str(caught.value)


@pytest.mark.anyio
async def test_no_key_is_recorded_whichever_way_it_is_sent(tmp_path: Path) -> None:
    """What a cassette keeps of a call has no key in it."""
    path = tmp_path / "new.json"
    async with mellite.cassettes.use(path, mode="all", live=ScriptedTransport([ANSWER]), even_in_ci=True) as recorder:
        backend = LiveBackend(messages_route(api_key=KEY, model=TAKES), transport=recorder)
        assert await backend.generate("hi", stream=False) == "Hello."
    assert KEY not in path.read_text()
