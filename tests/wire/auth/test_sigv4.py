"""Signatures for AWS: the same as AWS's own SDK makes, and nothing of the key in sight."""

from __future__ import annotations

import copy
import pickle
import random
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mellite.errors import AuthenticationError, ConfigurationError, InvalidCredential, InvalidRequest
from mellite.wire.auth.keys import bearer
from mellite.wire.auth.sigv4 import AwsKeys, EnvironmentKeys, GivenKeys, RevealedKeys, SigV4
from mellite.wire.endpoint import Setting
from mellite.wire.http import HttpRequest, check_request
from tests.wire.answers import shown

ID, SECRET, TOKEN = "AKIASENTINEL", "secret/sentinel+4711=", "token-sentinel/0815"
NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-micro-v1%3A0/converse"
REQUEST = HttpRequest("POST", URL, headers={"content-type": "application/json"}, body=b'{"messages":[]}')


def signer(keys: AwsKeys | None = None, *, now: datetime = NOW, region: str | None = "us-east-1") -> SigV4:
    return SigV4(keys or GivenKeys(ID, SECRET), service="bedrock", region=Setting(region), clock=lambda: now)


def random_request(rnd: random.Random) -> HttpRequest:
    """Any request that may be sent: odd paths, queries, ports, headers and bodies."""
    steps = [
        "".join(rnd.choices("abXYZ019-._~:;,!*'()$&+=@ é%/", k=rnd.randint(1, 8))) for _ in range(rnd.randint(0, 4))
    ]
    path = "/" + "/".join([quote(step, safe=rnd.choice(["", "~:", ":;@+=,$&!*'()~-._"])) for step in steps])
    path += rnd.choice(["", "/"])
    names = rnd.choices(["a", "b", "A", "a%20b", "a+b", "x-y"], k=rnd.randint(0, 4))
    query = "&".join([name + rnd.choice(["", "=", "=1", "=a%2Fb", "=%C3%A9"]) for name in names])
    host = rnd.choice(
        ["bedrock-runtime.eu-west-1.amazonaws.com", "example.com:8443", "example.com:443", "example.com:80", "[::1]:99"]
    )
    headers = {"content-type": "application/json"}
    for name in rnd.choices(["x-a", "X-B", "user-agent", "x-amz-meta", "expect", "accept", "x-amzn-trace-id"], k=2):
        headers[name] = "".join(rnd.choices('ab  cZ,;="', k=rnd.randint(0, 9))).strip() or "v"
    url = f"{rnd.choice(['https', 'http'])}://{host}{path}{f'?{query}' if query else ''}"
    return HttpRequest("POST", url, headers=headers, body=rnd.randbytes(rnd.randint(0, 300)))


def test_random_requests_are_signed_as_by_botocore() -> None:
    """Of 50 random requests, with and without a session token, every header is the one that AWS's own signer makes."""
    rnd = random.Random(4)
    signed = 0
    while signed < 50:
        request = random_request(rnd)
        try:
            check_request(request)
        except InvalidRequest:
            continue
        token = rnd.choice([None, TOKEN])
        theirs = AWSRequest(method="POST", url=request.url, headers=dict(request.headers), data=request.body)
        SigV4Auth(Credentials(ID, SECRET, token), "bedrock", "us-east-1").add_auth(theirs)
        time = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        ours = signer(GivenKeys(ID, SECRET, token), now=time).headers(request)
        assert ours["authorization"] == theirs.headers["Authorization"], request.url
        assert ours["x-amz-date"] == theirs.headers["X-Amz-Date"]
        assert ours.get("x-amz-security-token") == theirs.headers.get("X-Amz-Security-Token") == token
        signed += 1


def test_what_is_signed() -> None:
    """Host, date, content type and token are signed in one scope; what proxies change is not, the body is."""
    headers = signer(GivenKeys(ID, SECRET, TOKEN)).headers(REQUEST)
    scope = f"{ID}/20261121/us-east-1/bedrock/aws4_request"
    names = "content-type;host;x-amz-date;x-amz-security-token"
    assert headers["authorization"].startswith(
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature="
    )
    more = HttpRequest(
        "POST", URL, headers={**REQUEST.headers, "user-agent": "x", "authorization": "y"}, body=REQUEST.body
    )
    assert signer(GivenKeys(ID, SECRET, TOKEN)).headers(more) == headers
    other = HttpRequest("POST", URL, headers=REQUEST.headers, body=REQUEST.body + b" ")
    assert signer(GivenKeys(ID, SECRET, TOKEN)).headers(other)["authorization"] != headers["authorization"]


def test_the_time_is_that_of_the_world() -> None:
    """A clock of another time zone gives the same signature: AWS reads the time as UTC."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert signer(now=elsewhere).headers(REQUEST) == signer().headers(REQUEST)


def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables are read at each call; an empty session token is none; what is missing is named."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        signer(EnvironmentKeys()).headers(REQUEST)
    assert caught.value.kind == "missing"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    with pytest.raises(AuthenticationError, match="variable AWS_SECRET_ACCESS_KEY,"):
        signer(EnvironmentKeys()).headers(REQUEST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    assert signer(EnvironmentKeys()).headers(REQUEST) == signer().headers(REQUEST)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    assert signer(EnvironmentKeys()).headers(REQUEST) == signer(GivenKeys(ID, SECRET, TOKEN)).headers(REQUEST)


def test_a_region_is_needed() -> None:
    """Without a region there is nothing to sign for: a ConfigurationError, before any key is looked at."""
    with pytest.raises(ConfigurationError, match="no region"):
        signer(region=None).headers(REQUEST)


@pytest.mark.parametrize("broken", ["a\nb", "a b", "ä", "a\0", "\ud800"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_key_that_cannot_be_sent(broken: str, place: int) -> None:
    """A line break, a space or a letter beyond ASCII in any part of a key is refused, and not shown."""
    parts = [ID, SECRET, TOKEN]
    parts[place] += broken
    with pytest.raises(InvalidCredential, match=f"the {('id', 'secret', 'token')[place]} has") as caught:
        signer(GivenKeys(*parts)).headers(REQUEST)
    for part in (ID, SECRET, TOKEN):
        assert part not in shown(caught.value)


def test_an_empty_key_is_missing() -> None:
    """A key given in code that is empty counts as none, so that something else may be tried."""
    with pytest.raises(AuthenticationError) as caught:
        signer(GivenKeys(ID, "")).headers(REQUEST)
    assert caught.value.kind == "missing"
    fallback = signer(GivenKeys("", "")).or_else(bearer("sk-other")).headers(REQUEST)
    assert fallback == {"authorization": "Bearer sk-other"}


def test_keys_are_not_shown_and_not_pickled() -> None:
    """repr, vars and pickle of a signer hold no part of the key; copies share it, after unpickling it is missing."""
    auth = SigV4(GivenKeys(ID, SECRET, TOKEN), service="bedrock", region=Setting("us-east-1"))
    for text in (repr(auth), repr(auth.keys), repr(auth.keys.reveal()), auth.describe(), auth.advice()):
        assert not any(part in text for part in (ID, SECRET, TOKEN))
    data = pickle.dumps(auth)
    assert not any(part.encode() in data for part in (ID, SECRET, TOKEN))
    assert copy.deepcopy(auth).keys.reveal() == RevealedKeys(ID, SECRET, TOKEN)
    with pytest.raises(AuthenticationError, match="never pickled"):
        pickle.loads(data).headers(REQUEST)
