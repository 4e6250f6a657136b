"""Where a request goes: another path and query for streams, words that differ per account, model ids in the path."""

from __future__ import annotations

from typing import Any

import pytest

from mellite.errors import ConfigurationError
from mellite.wire.endpoint import Endpoint, Setting

ASKED = Endpoint(
    "https://a.example.com/v1",
    "/models/{model}:ask",
    streaming_path="/models/{model}:stream",
    query={"v": "1"},
    streaming_query={"alt": "sse"},
)


def test_streams_may_have_a_path_and_query_of_their_own() -> None:
    """Where the answer is streamed, the streaming path and query stand in the URL, and only there."""
    assert ASKED.url(model="m") == "https://a.example.com/v1/models/m:ask?v=1"
    assert ASKED.url(model="m", streaming=True) == "https://a.example.com/v1/models/m:stream?v=1&alt=sse"


def test_one_path_serves_both() -> None:
    """Without a streaming path, streams go where the others go."""
    endpoint = Endpoint("https://a.example.com", "/chat")
    assert endpoint.url(streaming=True) == endpoint.url() == "https://a.example.com/chat"


def test_the_callers_query_wins() -> None:
    """A value given for one call replaces that of the endpoint, also that of its streams."""
    assert ASKED.url(model="m", query={"v": "2", "alt": "json"}, streaming=True).endswith("?v=2&alt=json")


def test_settings_fill_the_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is what was given, else what the first variable says that is set, else its default."""
    monkeypatch.delenv("MELLITE_TEST_A", raising=False)
    monkeypatch.delenv("MELLITE_TEST_B", raising=False)
    variables = ("MELLITE_TEST_A", "MELLITE_TEST_B")

    def url(value: str | None) -> str:
        place = Setting(value, variables=variables, default="eu")
        return Endpoint("https://{place}.example.com/{place}", "/x", settings={"place": place}).url()

    assert url(None) == "https://eu.example.com/eu/x"
    monkeypatch.setenv("MELLITE_TEST_B", "us")
    assert url(None) == "https://us.example.com/us/x"
    monkeypatch.setenv("MELLITE_TEST_A", "asia")
    assert url(None) == "https://asia.example.com/asia/x"
    assert url("mars") == "https://mars.example.com/mars/x"


def test_a_variable_is_read_without_what_stands_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL or a word with a line break behind it, as from a file, counts without; a blank one is not set."""
    endpoint = Endpoint("https://{place}.example.com", "/x", variables=("MELLITE_TEST_A",),
                        settings={"place": Setting(variables=("MELLITE_TEST_B",), default="eu")})  # fmt: skip
    for blank in ("", " \n"):
        monkeypatch.setenv("MELLITE_TEST_A", blank)
        monkeypatch.setenv("MELLITE_TEST_B", blank)
        assert endpoint.url() == "https://eu.example.com/x"
    monkeypatch.setenv("MELLITE_TEST_B", " us\n")
    assert endpoint.url() == "https://us.example.com/x"
    monkeypatch.setenv("MELLITE_TEST_A", " https://mine.example.com/v1\r\n")
    assert endpoint.url() == "https://mine.example.com/v1/x"


def test_values_of_a_query_that_are_equal_are_not_the_same() -> None:
    """1 and True, which Python takes for equal, stand in the URL as they were given, whichever came first."""
    endpoint = Endpoint("https://a.example.com", "/x")
    for value, written in ((1, "1"), (True, "True"), (1.0, "1.0"), (1, "1")):
        query: Any = {"n": value}
        assert endpoint.url(query=query) == f"https://a.example.com/x?n={written}"


@pytest.mark.parametrize("value", ["https://me:hunter2@a.example.com", "me:hunter2@a"])
def test_a_setting_that_may_hold_a_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A whole URL where one word belongs is refused by the name of its variable; its password is in no message."""
    monkeypatch.setenv("MELLITE_TEST_A", value)
    endpoint = Endpoint("https://{place}.example.com", settings={"place": Setting(variables=("MELLITE_TEST_A",))})
    with pytest.raises(ConfigurationError, match="MELLITE_TEST_A must be letters") as caught:
        endpoint.url()
    assert "hunter2" not in repr(caught.value)


def test_a_missing_setting_says_where_to_set_it() -> None:
    """A setting that nobody gave is a ConfigurationError with its name and its variables."""
    endpoint = Endpoint("https://{region}.example.com", settings={"region": Setting(variables=("MELLITE_NOT_SET",))})
    with pytest.raises(ConfigurationError, match=r"no region.*MELLITE_NOT_SET.*region="):
        endpoint.url()
    with pytest.raises(ConfigurationError, match="no region: give region="):
        Endpoint("https://{region}.example.com", settings={"region": Setting()}).url()


@pytest.mark.parametrize(
    "value", ["a/b", "evil.example.com/", "a#", "a?b", "a@b", "a:1", ".", "..", "-a", "a b", "a\r\n"]
)
def test_a_setting_leads_nowhere_else(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that could change the host or the path is refused, given in code or by a variable."""
    place = "https://{place}.example.com"
    with pytest.raises(ConfigurationError, match="place"):
        Endpoint(place, settings={"place": Setting(value)}).url()
    monkeypatch.setenv("MELLITE_TEST_A", f"{value}/x")
    with pytest.raises(ConfigurationError, match="MELLITE_TEST_A"):
        Endpoint(place, settings={"place": Setting(variables=("MELLITE_TEST_A",))}).url()


def test_a_variable_replaces_settings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL of the environment needs none of the settings."""
    monkeypatch.setenv("MELLITE_TEST_A", "https://proxy.example.com/v9")
    endpoint = Endpoint("https://{p}.a.example.com", "/x", variables=("MELLITE_TEST_A",), settings={"p": Setting()})
    assert endpoint.url() == "https://proxy.example.com/v9/x"


def test_a_model_id_may_be_spelled_as_a_path() -> None:
    """An endpoint whose model ids are paths says itself how they are spelled."""
    endpoint = Endpoint("https://a.example.com", "/{model}:ask", model_path=lambda model: f"kind/{model}")
    assert endpoint.url(model="m") == "https://a.example.com/kind/m:ask"
