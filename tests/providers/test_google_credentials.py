"""Access tokens of Google Cloud: from the environment, for a user by what gcloud left, for one of Google's machines."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from mellite.backends import LiveBackend
from mellite.cassettes import ScriptedTransport
from mellite.errors import AuthenticationError, ConfigurationError, MelliteError, ProviderInternal
from mellite.providers import vertex
from mellite.providers.google_credentials import Login
from mellite.request import Request
from tests.wire.proxy import proxying
from tests.wire.server import answer, serve

SECRETS = ("client-sentinel-4711", "refresh-sentinel-4711", "ya29.sentinel-4711", "-----BEGIN PRIVATE KEY-----")
USER = {
    "type": "authorized_user", "client_id": "id-1", "client_secret": SECRETS[0], "refresh_token": SECRETS[1],
    "quota_project_id": "p-1",
}  # fmt: skip
GIVEN = json.dumps({"access_token": SECRETS[2], "expires_in": 3599, "token_type": "Bearer"}).encode()
WHOLE = b'{"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}]}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where gcloud would leave its file; nothing of this machine's."""
    for variable in (
        "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "K_SERVICE", "GAE_ENV", "CLOUD_RUN_JOB", *vertex.TOKENS,
        *vertex.PROJECTS, vertex.KEY,
    ):  # fmt: skip
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    return tmp_path


def leave(folder: Path, content: Any) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "application_default_credentials.json").write_text(text)


async def revealed(login: Login) -> str:
    await login.ready()
    return login.reveal()


def shown(error: BaseException) -> str:
    """All that a traceback with locals would print, but for the frame of the test."""
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.anyio
async def test_a_token_of_the_environment_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in a variable is used as it is, and nobody is asked."""
    leave(folder, USER)
    transport = ScriptedTransport([])
    monkeypatch.setenv("GOOGLE_VERTEX_ACCESS_TOKEN", "ya29.mine")
    assert await revealed(Login(*vertex.TOKENS, transport=transport)) == "ya29.mine"


@pytest.mark.anyio
async def test_a_home_that_cannot_be_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no credentials, as that of another user's in a container: what is missing is told, not the folder."""
    monkeypatch.delenv("CLOUDSDK_CONFIG")
    monkeypatch.setenv("HOME", f"/{'a' * 300}")
    with pytest.raises(AuthenticationError, match="no credentials of Google"):
        await revealed(Login(transport=ScriptedTransport([])))


@pytest.mark.anyio
async def test_a_user_is_logged_in(folder: Path) -> None:
    """What gcloud left is exchanged for a token at Google, once for as long as it is good."""
    leave(folder, USER)
    transport = ScriptedTransport([GIVEN])
    login = Login(transport=transport)
    assert [await revealed(login) for _ in range(3)] == [SECRETS[2]] * 3
    (asked,) = transport.requests
    assert (asked.method, asked.url) == ("POST", "https://oauth2.googleapis.com/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"], "client_id": ["id-1"], "client_secret": [SECRETS[0]],
        "refresh_token": [SECRETS[1]],
    }  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(("life", "asked"), [(30, 3), (30.5, 3), ("30", 3), (3599, 1), ("3599", 1), (None, 1)])
async def test_a_token_is_good_for_as_long_as_google_says(folder: Path, life: Any, asked: int) -> None:
    """A token that is about to expire is fetched again; one whose time is not told is kept."""
    leave(folder, USER)
    given = json.dumps({"access_token": SECRETS[2], "expires_in": life}).encode()
    transport = ScriptedTransport([given] * 3)
    login = Login(transport=transport)
    for _ in range(3):
        assert await revealed(login) == SECRETS[2]
    assert len(transport.requests) == asked


@pytest.mark.anyio
async def test_the_file_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOOGLE_APPLICATION_CREDENTIALS names another file; one that is not there is an error, not a detour."""
    other = folder / "other.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(other))
    with pytest.raises(ConfigurationError, match=r"other\.json.*GOOGLE_APPLICATION_CREDENTIALS"):
        await revealed(Login(transport=ScriptedTransport([])))
    other.write_text(json.dumps(USER))
    assert await revealed(Login(transport=ScriptedTransport([GIVEN]))) == SECRETS[2]


@pytest.mark.anyio
async def test_a_machine_of_google_is_asked_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Google runs the program, its metadata server gives the token."""
    monkeypatch.setenv("K_SERVICE", "my-service")
    transport = ScriptedTransport([GIVEN])
    assert await revealed(Login(transport=transport)) == SECRETS[2]
    (asked,) = transport.requests
    path = "computeMetadata/v1/instance/service-accounts/default/token"
    assert (asked.method, asked.url) == ("GET", f"http://metadata.google.internal/{path}")
    assert dict(asked.headers) == {"metadata-flavor": "Google"}


@pytest.mark.anyio
async def test_a_machine_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server is part of the machine: no proxy of the environment gets its token to see."""
    monkeypatch.setenv("K_SERVICE", "my-service")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serve() as server, proxying() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        script = server.script(answer(GIVEN, 200, {"content-type": "application/json"}))
        monkeypatch.setenv("GCE_METADATA_HOST", script.url.removeprefix("http://"))
        assert await revealed(Login()) == SECRETS[2]
        assert proxy.asked() == []
        assert script.requests(1)[0].header("metadata-flavor") == "Google"
        server.no_connections()  # what was opened for the token alone is closed with it


@pytest.mark.anyio
async def test_without_credentials_nobody_is_asked() -> None:
    """Where there is nothing to log in with, it is said what to do, before and without asking anybody."""
    login = Login("GOOGLE_VERTEX_ACCESS_TOKEN", transport=ScriptedTransport([]))
    for act in (login.ready, lambda: revealed(login)):
        with pytest.raises(AuthenticationError, match=r"GOOGLE_VERTEX_ACCESS_TOKEN.*gcloud auth") as caught:
            await act()
        assert caught.value.kind == "missing"
    with pytest.raises(AuthenticationError, match="gcloud auth"):
        login.reveal()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "JSON object"), ("[]", "JSON object"), ("{" * 5000, "JSON object"), ("{}", "type None"),
        ({"type": "service_account", "private_key": SECRETS[3]}, "service_account.*google-auth"),
        ({**USER, "refresh_token": ""}, "no refresh_token"), ({**USER, "client_secret": 5}, "no client_secret"),
    ],
)  # fmt: skip
@pytest.mark.anyio
async def test_a_file_that_is_no_login(folder: Path, content: Any, told: str) -> None:
    """A file of another kind is a ConfigurationError that shows nothing of what is in it."""
    leave(folder, content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        await revealed(Login(transport=ScriptedTransport([])))
    assert not [secret for secret in SECRETS if secret in shown(caught.value)]


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (400, {"error": "invalid_grant", "error_description": f"Bad {SECRETS[1]}"}, AuthenticationError,
         "invalid_grant Bad"),
        (401, {"error": "invalid_client"}, AuthenticationError, "invalid_client"),
        (200, {"token": 1}, AuthenticationError, "no reason"), (200, "<html>", AuthenticationError, "no reason"),
        (200, {"access_token": ""}, AuthenticationError, "no reason"), (503, "", ProviderInternal, "503"),
    ],
)  # fmt: skip
@pytest.mark.anyio
async def test_a_login_that_is_refused(
    folder: Path, status: int, body: Any, kind: type[MelliteError], told: str
) -> None:
    """A refusal says why and what to do, and shows no secret, not even one that comes back."""
    leave(folder, USER)
    raw = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(kind, match=told) as caught:
        await revealed(Login(transport=ScriptedTransport([(status, {}, raw.encode())])))
    assert not [secret for secret in SECRETS if secret in shown(caught.value)]
    if isinstance(caught.value, AuthenticationError):
        assert caught.value.kind == ("expired" if "invalid_grant" in told else "invalid")


@pytest.mark.anyio
async def test_a_call_over_vertex_logs_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thunk over Vertex logs in when it is driven, and its pickled backend holds no token."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p-1")
    backend = LiveBackend(vertex.gemini_route(model="m"), transport=ScriptedTransport([WHOLE]))
    with pytest.raises(AuthenticationError, match="gcloud auth"):
        backend.prepare(Request.of("hi"))
    leave(folder, USER)
    login = Login(transport=ScriptedTransport([GIVEN]))
    transport = ScriptedTransport([WHOLE])
    backend = LiveBackend(vertex.gemini_route(model="m", access_token=login), transport=transport)
    assert await backend.generate("hi", stream=False) == "Hello."
    assert transport.requests[0].headers["authorization"] == f"Bearer {SECRETS[2]}"
    assert SECRETS[2].encode() not in pickle.dumps(LiveBackend(vertex.gemini_route(model="m")))
