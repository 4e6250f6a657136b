"""Comparing requests: what counts, what does not, and what is said about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from mellite.cassettes import Redaction, Snapshot, differences, snapshot

URL = "https://example.com/v1"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def taken(body: Any = "", *, url: str = URL, method: str = "POST", **headers: str) -> Snapshot:
    """A snapshot; a body that is not text is its JSON."""
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return snapshot(method, url, headers=headers, body=text, redaction=Redaction())


def said(expected: Any, received: Any, **options: Any) -> list[str]:
    """The differences of two bodies, in words."""
    return [str(difference) for difference in differences(taken(expected), taken(received), **options)]


@given(json_values)
def test_reflexive(value: Any) -> None:
    """A request is the same as itself, however its JSON is written."""
    one = taken(json.dumps(value, sort_keys=True, separators=(",", ":")))
    other = taken(json.dumps(value, indent=3, ensure_ascii=False))
    assert differences(one, other) == []


@given(json_values, json_values)
def test_symmetric_and_right(one: Any, other: Any) -> None:
    """Two bodies differ in both directions or in none: only where their JSON, redacted, is another."""
    there, back = said(one, other), said(other, one)
    assert len(there) == len(back)
    redacted = [canonical(Redaction().json(json.loads(json.dumps(value)))) for value in (one, other)]
    assert (there == []) == (redacted[0] == redacted[1])


def canonical(value: Any) -> Any:
    """A value whose equality is that of JSON: true is not 1."""
    if isinstance(value, dict):
        return {name: canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return (isinstance(value, bool), value)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes(one: bytes, other: bytes) -> None:
    """Any bodies can be compared; equal bytes are equal, and what is said can be printed."""
    assert said(one, one) == []
    for line in said(one, other):
        line.encode()


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"step": 2}, {"step": 3}, ["$.step expected 2, received 3"]),
        ({"a": 1}, {}, ["$.a expected 1, received nothing"]),
        ({}, {"a": None}, ["$.a expected nothing, received null"]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["$.a[2] expected nothing, received 3"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["$.a[0] expected 1, received 2", "$.a[1] expected 2, received 1"]),
        ({"a b": {"c": 1}}, {"a b": {"c": "1"}}, ['$["a b"].c expected 1, received "1"']),
        ({"a": 1}, {"a": True}, ["$.a expected 1, received true"]),
        ({"a": {}}, {"a": []}, ["$.a expected {}, received []"]),
        ({"a": 0.0}, {"a": -0.0}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 2**70}, {"a": 2**70 + 1}, [f"$.a expected {2**70}, received {2**70 + 1}"]),
        ([1], [2], ["$[0] expected 1, received 2"]),
        (1, 2, ["$ expected 1, received 2"]),
        ("no json", "no  json", ['body expected "no json", received "no  json"']),
        ("no json", {"a": 1}, ['body expected "no json", received {"a":1}']),
        ("", {}, ["body expected nothing, received {}"]),
        ("NaN", "Infinity", ['body expected "NaN", received "Infinity"']),
        ({"a": "\ud800"}, {"a": "\ud801"}, ['$.a expected "\\ud800", received "\\ud801"']),
        ("[" * 100_000, "[" * 100_000, []),
    ],
)
def test_bodies(one: Any, other: Any, words: list[str]) -> None:
    """Differences are named with their JSON paths, in the order of the recorded body."""
    assert said(one, other) == words


def test_deep_json() -> None:
    """JSON as deep as the parser takes it, or deeper, is compared without running out of stack."""
    for depth in (500, 900, 5000):
        one, other = "[" * depth + "1" + "]" * depth, "[" * depth + "2" + "]" * depth
        assert said(one, one) == []
        assert len(said(one, other)) == 1


def test_at_most_eight() -> None:
    """Of many differences the first eight are told, of headers and of the body each."""
    one, other = {f"k{number}": 1 for number in range(20)}, {f"k{number}": 2 for number in range(20)}
    assert [line.split()[0] for line in said(one, other)] == [f"$.k{number}" for number in range(8)]
    headers = {f"x-{number}": "a" for number in range(20)}
    recorded, sent = [
        snapshot("GET", URL, headers=given, body="", redaction=Redaction(), also=headers) for given in (headers, {})
    ]
    assert len(differences(recorded, sent)) == 8


def test_long_values_are_cut_around_the_difference() -> None:
    """Of long values 300 characters are shown, from shortly before the place where they part."""
    one, other = "a" * 1000 + "X" + "b" * 1000, "a" * 1000 + "Y" + "b" * 1000
    (line,) = said({"p": one}, {"p": other})
    assert len(line) < 700
    assert line.count("a" * 40 + "X") == line.count("a" * 40 + "Y") == 1
    (line,) = said({"p": "short"}, {"p": other})
    assert line.startswith('$.p expected "short", received "aaa')
    assert len(line) < 350


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("sk-" + "a1" * 12, ()),
        ("sk-ant-api03-" + "a1" * 12, ()),
        ("AIza" + "Sy" * 12, ()),
        ("Bearer " + "t0" * 10, ()),
        ("AKIA" + "ABCD" * 4, ()),
        ("ghp_" + "a1" * 12, ()),
        ("xai-" + "a1" * 12, ()),
        ("gsk_" + "a1" * 12, ()),
        ("hf_" + "a1" * 12, ()),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", ()),
        ("-----BEGIN RSA PRIVATE KEY-----", ()),
        ({"nested": ["my own secret phrase"]}, ("own secret",)),
    ],
)
def test_secrets_are_masked(value: Any, secrets: tuple[str, ...]) -> None:
    """A value that looks like a key, or holds a known one, is not shown, whichever side it is on."""
    assert said({"a": value}, {"a": 1}, secrets=secrets) == ['$.a expected "[REDACTED]", received 1']
    assert said({"a": 1}, {"a": value}, secrets=secrets) == ['$.a expected 1, received "[REDACTED]"']


def test_keys_of_json_are_masked_too() -> None:
    """A secret that is the name of a field is not shown in the path."""
    key = "sk-" + "a1" * 12
    assert key not in said({key: 1}, {key: 2})[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/a", "https://example.com/a"),
        ("http://example.com:80/a?", "http://example.com/a"),
        ("https://example.com/a%7eb%2f", "https://example.com/a~b%2F"),
        ("https://example.com/a?x=1#part", "https://example.com/a?x=1"),
        ("https://user:pass@example.com/", "https://other@example.com/"),
        ("https://example.com/?api_key=one&b=2", "https://example.com/?api_key=two&b=2"),
        ("https://example.com/?API%5Fkey=one", "https://example.com/?API%5Fkey=[REDACTED]"),
        ("wss://[::1]:443/x", "wss://[::1]/x"),
    ],
)
def test_same_urls(one: str, other: str) -> None:
    """URLs are compared in their normal form and without their secrets."""
    assert differences(taken(url=one), taken(url=other)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "http://example.com/a"),
        ("https://example.com:8443/a", "https://example.com/a"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
        ("https://example.com/?x=1", "https://example.com/?x=2"),
        ("https://example.com/?x=1&y=2", "https://example.com/?y=2&x=1"),
        ("https://user@example.com/", "https://example.com/"),
        ("https://example.com/?key=a", "https://example.com/"),
        ("not a url", "another"),
        ("https://[::1/x", "https://example.com/"),
    ],
)
def test_other_urls(one: str, other: str) -> None:
    """A difference in scheme, host, port, path or query counts."""
    (difference,) = differences(taken(url=one), taken(url=other))
    assert difference.section == "url"


def test_methods() -> None:
    """The method counts, but not whether it is in upper case."""
    assert differences(taken(method="post"), taken(method="POST")) == []
    (difference,) = differences(taken(method="GET"), taken(method="POST"))
    assert str(difference) == 'method expected "GET", received "POST"'


def test_headers_that_count() -> None:
    """Of the headers those count that cassettes keep by default, and those that the recording has."""
    assert differences(taken(authorization="a", accept="b"), taken(accept="b", **{"user-agent": "c"})) == []
    (difference,) = differences(taken(Accept="one"), taken(accept="two"))
    assert str(difference) == 'header \'accept\' expected "one", received "two"'
    recorded, sent = [
        snapshot("GET", URL, headers={"x-version": value}, body="", redaction=Redaction(), also=["X-Version"])
        for value in "12"
    ]
    assert [difference.path for difference in differences(recorded, sent)] == ["x-version"]


def test_sensitive_headers_are_only_names() -> None:
    """A header with a key counts as there or not there, if it counts at all."""
    redaction = Redaction(request_headers=frozenset({"X-Api-Key"}))
    one, other, none = [
        snapshot("GET", URL, headers=headers, body="", redaction=redaction)
        for headers in ({"x-api-key": "1"}, {"X-API-KEY": "2"}, {})
    ]
    assert differences(one, other) == []
    assert [str(found) for found in differences(one, none)] == [
        "header 'x-api-key' expected \"[REDACTED]\", received nothing"
    ]
