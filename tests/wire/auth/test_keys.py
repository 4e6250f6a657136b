"""Keys: where they come from, what is refused, and that they never show."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from types import FrameType

import attrs
import pytest

from mellite.errors import AuthenticationError, InvalidCredential, MelliteError
from mellite.providers.catalog import find
from mellite.request import Request
from mellite.wire.auth.keys import Auth, Credential, Environment, Given, Scrubber, bearer, header, none, remove
from mellite.wire.endpoint import Endpoint
from mellite.wire.http import HttpRequest

KEY = "sk-sentinel-4711-do-not-show"
REQUEST = HttpRequest("POST", "https://example.com/")


def sent(auth: Auth) -> dict[str, str | None]:
    return dict(auth.headers(REQUEST))


def test_bearer_sends_the_key_as_a_token() -> None:
    """A bearer key is sent as ``Authorization: Bearer``, a header key as its header, none as nothing."""
    assert sent(bearer(KEY)) == {"authorization": f"Bearer {KEY}"}
    assert sent(header("X-Api-Key", KEY)) == {"x-api-key": KEY}
    assert sent(none()) == {}


def test_environment_is_read_when_the_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first variable that is set and not empty wins, as the environment is at call time."""
    auth = bearer(Environment("MELLITE_TEST_A", "MELLITE_TEST_B"))
    monkeypatch.setenv("MELLITE_TEST_A", "")
    monkeypatch.setenv("MELLITE_TEST_B", "from-b")
    assert sent(auth) == {"authorization": "Bearer from-b"}
    monkeypatch.setenv("MELLITE_TEST_A", "from-a")
    assert sent(auth) == {"authorization": "Bearer from-a"}


def test_a_missing_key_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is an AuthenticationError of kind 'missing' that names every variable that was read."""
    monkeypatch.delenv("MELLITE_TEST_A", raising=False)
    monkeypatch.delenv("MELLITE_TEST_B", raising=False)
    with pytest.raises(AuthenticationError, match="MELLITE_TEST_A or MELLITE_TEST_B") as caught:
        sent(bearer(Environment("MELLITE_TEST_A", "MELLITE_TEST_B")))
    assert caught.value.kind == "missing"


def test_an_empty_key_is_a_missing_one() -> None:
    """An empty key given in code counts as missing."""
    with pytest.raises(AuthenticationError) as caught:
        sent(bearer(""))
    assert caught.value.kind == "missing"


@pytest.mark.parametrize("bad", ["\n", "\r\nX-A: b", "\0", " ", "é", "\u4e00", "\x7f", "\t"])
def test_a_key_that_would_break_its_header_is_refused(bad: str) -> None:
    """A key with a control character, a space or anything but ASCII is InvalidCredential, and is not shown."""
    with pytest.raises(InvalidCredential) as caught:
        sent(bearer(KEY + bad))
    assert f"position {len(KEY)}" in str(caught.value)
    assert KEY not in "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


def test_or_else_falls_through_only_where_the_key_is_missing() -> None:
    """`or_else` uses the second where the first is missing, and does not hide a broken key."""
    missing = bearer(Environment("MELLITE_TEST_NEVER_SET"))
    assert sent(missing.or_else(header("x-api-key", KEY))) == {"x-api-key": KEY}
    assert sent(bearer(KEY).or_else(missing)) == {"authorization": f"Bearer {KEY}"}
    with pytest.raises(InvalidCredential):
        sent(bearer("a b").or_else(bearer(KEY)))


def test_and_then_sends_both() -> None:
    """`and_then` sends the headers of both, the second winning; an optional one may be missing."""
    both = bearer(KEY).and_then(header("x-org", "org-1"))
    assert sent(both) == {"authorization": f"Bearer {KEY}", "x-org": "org-1"}
    optional = bearer(KEY).and_then(header("x-org", Environment("MELLITE_TEST_NEVER_SET"), optional=True))
    assert sent(optional) == {"authorization": f"Bearer {KEY}"}


@pytest.mark.anyio
async def test_an_optional_key_that_is_missing_costs_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for optional keys makes no exception, which would cost as much as writing the request."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    auth = find("openai-chat:gpt-4o-mini", api_key=KEY).auth
    made: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is MelliteError.__init__.__code__:
            made.append(type(frame.f_locals["self"]).__name__)

    sys.setprofile(watch)
    try:
        await auth.ready()
        headers = sent(auth)
    finally:
        sys.setprofile(None)
    assert headers == {"authorization": f"Bearer {KEY}"}
    assert made == []


@pytest.mark.anyio
async def test_an_optional_key_of_ones_own_may_be_missing() -> None:
    """A credential that has to be made ready is asked for an optional key, too; that it has none is not an error."""

    class Vault(Credential):
        asked = 0

        async def ready(self) -> None:
            self.asked += 1
            self.reveal()

        def reveal(self) -> str:
            msg = "the vault is empty"
            raise AuthenticationError(msg, kind="missing")

        def describe(self) -> str:
            return "the vault"

    vault = Vault()
    auth = header("x-org", vault, optional=True)
    await auth.ready()
    assert sent(auth) == {}
    assert vault.asked == 1
    with pytest.raises(AuthenticationError, match="the vault is empty"):
        await header("x-org", vault).ready()


def test_a_key_is_in_no_representation() -> None:
    """repr, str, vars, asdict, copies' reprs and pickles of auth never hold the key."""
    auth = bearer(KEY).and_then(header("x-api-key", KEY)).or_else(bearer(Environment("MELLITE_TEST_A")))
    shown = [repr(auth), str(auth), repr(attrs.asdict(auth)), repr(copy.deepcopy(auth)), repr(Scrubber([KEY]))]  # type: ignore[arg-type]
    assert not [text for text in shown if KEY in text]
    assert KEY.encode() not in pickle.dumps(auth)
    assert not [name for name in dir(Given(KEY)) if KEY in repr(getattr(Given(KEY), name, ""))]


def test_a_copy_keeps_the_key_and_a_pickle_does_not() -> None:
    """Copy and deepcopy work with the key; a pickled one says that it is missing and has to be given again."""
    for twin in (copy.copy(bearer(KEY)), copy.deepcopy(bearer(KEY))):
        assert sent(twin) == {"authorization": f"Bearer {KEY}"}
    with pytest.raises(AuthenticationError, match="never pickled") as caught:
        sent(pickle.loads(pickle.dumps(bearer(KEY))))
    assert caught.value.kind == "missing"


def test_environment_keys_survive_pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Auth from the environment is pickled by the names of its variables."""
    monkeypatch.setenv("MELLITE_TEST_A", KEY)
    data = pickle.dumps(bearer(Environment("MELLITE_TEST_A")))
    assert KEY.encode() not in data
    assert sent(pickle.loads(data)) == {"authorization": f"Bearer {KEY}"}


def test_a_key_must_be_text() -> None:
    """A key of another type is refused at once."""
    with pytest.raises(InvalidCredential, match="int"):
        bearer(4711)  # type: ignore[arg-type]


def test_scrubber_takes_keys_out_of_texts() -> None:
    """The key is removed bare, as the whole header value, and percent-encoded; short texts are left alone."""
    scrubber = Scrubber(["Bearer sk/4711+x", "ab"])
    assert scrubber.scrub("Bearer sk/4711+x, sk/4711+x, sk%2F4711%2Bx, ab") == (
        "[REDACTED], [REDACTED], [REDACTED], ab"
    )


def test_remove_takes_a_header_away() -> None:
    """`remove` takes away what the route, the caller or an auth before it has set; and sends no key by itself."""
    assert sent(bearer(KEY).and_then(remove("Authorization"))) == {"authorization": None}
    assert sent(remove("authorization").and_then(bearer(KEY))) == {"authorization": f"Bearer {KEY}"}
    route = find("groq:m", api_key=KEY).with_(headers={"Authorization": "Bearer other", "x-a": "b"})
    gone = route.with_(auth=remove("authorization").and_then(header("api-key", KEY)))
    headers = gone.prepare(Request.of("hi")).headers
    assert ("authorization" in headers, headers["api-key"], headers["x-a"]) == (False, KEY, "b")
    plain = route.with_(auth=remove("authorization"), endpoint=Endpoint("http://example.com/v1"))
    assert "authorization" not in plain.prepare(Request.of("hi")).headers
