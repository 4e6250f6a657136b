"""Redaction: what goes, what stays, and that doing it twice changes nothing."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from mellite.cassettes import Redaction
from mellite.values.secrets.names import environment_secrets
from mellite.values.secrets.shapes import looks_secret

PLAIN = Redaction()


def test_headers() -> None:
    """Only allowed headers are kept, by lower-case name and sorted; a sensitive one keeps its name."""
    headers = {"X-Id": "1", "Content-Type": "a/b", "Authorization": "Bearer x", "Accept": "*/*", "cookie": "c"}
    assert PLAIN.headers(headers, PLAIN.request_headers) == {"accept": "*/*", "content-type": "a/b"}
    assert list(PLAIN.headers(headers, PLAIN.request_headers)) == ["accept", "content-type"]
    more = Redaction(request_headers=frozenset({"X-ID", "Authorization"}), sensitive_headers=frozenset({"Accept"}))
    assert more.headers(headers, more.request_headers) == {
        "accept": "[REDACTED]",
        "authorization": "[REDACTED]",
        "content-type": "a/b",
        "x-id": "1",
    }


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://example.com/a?b=c", "https://example.com/a?b=c"),
        ("https://example.com/a?key=v&key=w", "https://example.com/a?key=%5BREDACTED%5D&key=%5BREDACTED%5D"),
        ("https://example.com/?Api-Key=v&x=%20+", "https://example.com/?Api-Key=%5BREDACTED%5D&x=%20+"),
        ("https://example.com/?%6bey=v", "https://example.com/?%6bey=%5BREDACTED%5D"),
        ("https://example.com/?key", "https://example.com/?key"),
        ("https://u:p@example.com:8/", "https://%5BREDACTED%5D@example.com:8/"),
        ("https://example.com/back#key=v&x=y", "https://example.com/back#key=%5BREDACTED%5D&x=y"),
        ("https://[::1/", "[REDACTED]"),
        ("", ""),
    ],
)
def test_urls(url: str, redacted: str) -> None:
    """Users, passwords and the values of secret parameters go, the rest stays as it was written."""
    assert PLAIN.url(url) == redacted
    assert PLAIN.url(redacted) == redacted


@pytest.mark.parametrize("name", ["token", "Token", "api_key", "API-Key", "apiKey", "refresh.token", "clientSecret"])
def test_secret_fields(name: str) -> None:
    """A field is secret by the letters and digits of its name, at any depth, whatever its value is."""
    assert PLAIN.json({"a": [{name: {"x": 1}}]}) == {"a": [{name: "[REDACTED]"}]}


def wrapped(value: str, *, times: int) -> str:
    """JSON in a string of JSON in a string of JSON; in lists as well as in objects."""
    for layer in range(times):
        value = json.dumps({"a": value} if layer % 2 else ["b", value])
    return value


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_secret_fields_in_strings(times: int) -> None:
    """What tools are called with is JSON in a string, which may hold some more: four deep, nothing secret stays."""
    inside = json.dumps({"token": "hunter2", "x": 1})
    said = PLAIN.text(wrapped(inside, times=times))
    assert "hunter2" not in said
    assert "[REDACTED]" in said
    assert "hunter2" not in str(PLAIN.json([wrapped(inside, times=times)]))


@pytest.mark.parametrize("name", ["max_tokens", "x_secret", "tokens", "passwords", "key", ""])
def test_harmless_fields(name: str) -> None:
    """Only the whole name counts."""
    assert PLAIN.json({name: 1}) == {name: 1}


def test_more_of_everything() -> None:
    """The arguments add to the defaults."""
    more = Redaction(query=frozenset({"Sess"}), json_fields=frozenset({"my-id"}))
    assert more.url("https://example.com/?sess=1&key=2").count("REDACTED") == 2
    assert more.json({"MyId": 1, "token": 2}) == {"MyId": "[REDACTED]", "token": "[REDACTED]"}


@example("//0")
@given(st.text(max_size=60))
def test_any_url(text: str) -> None:
    """Whatever the text is, redacting it twice is redacting it once."""
    for url in (text, f"https://example.com/{text}", f"https://{text}@example.com/?key={text}&{text}"):
        once = PLAIN.url(url)
        assert PLAIN.url(once) == once


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["token", "a", "b", "api key"]), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_json(value: Any) -> None:
    """Redacting twice is redacting once, and the shape stays."""
    once = PLAIN.json(copy.deepcopy(value))
    assert PLAIN.json(copy.deepcopy(once)) == once
    assert type(once) is type(value)


def test_environment() -> None:
    """The value of a variable with a secret's name counts from 12 characters on."""
    environment = {
        "OPENAI_API_KEY": "x" * 12,
        "SHORT_KEY": "x" * 11,
        "my_password": "correct horse",
        "PATH": "/usr/bin:/bin",
    }
    assert environment_secrets(environment) == ("x" * 12, "correct horse")
    assert looks_secret("a correct horse b", environment_secrets(environment))
    assert not looks_secret("skip-this-one, max_tokens, sk-short, Bearer of news")
