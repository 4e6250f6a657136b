"""What is wrong with a request is said before a socket is opened."""

from __future__ import annotations

import pytest

from mellite.errors import InvalidCredential, InvalidRequest
from mellite.wire.transports.default import HttpRequest
from tests.wire.transports.support import KEY, Make, leaks_nothing, post


class TestValidation:
    """What is wrong with a request is said before a socket is opened."""

    URLS = (
        "",
        "example.com/v1",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://:80/",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/#fragment",
        "http://127.0.0.1/a/../b",
        "http://127.0.0.1/a/%2E%2e/b",
        "http://127.0.0.1/%",
        "http://127.0.0.1/é",
        "http://exämple.com/",
        "http://models..example/",
        f"http://{'a' * 64}.example/",
        "http://127.0.0.1\\@example.com/",
        "http://127.0.0.1/\0",
    )

    @pytest.mark.anyio
    @pytest.mark.parametrize("url", URLS)
    async def test_bad_urls(self, make: Make, url: str) -> None:
        """A URL that could mean something else, or nothing, is refused, and its query is not shown."""
        transport = make()
        with pytest.raises(InvalidRequest) as caught:
            await transport.open(post(f"{url}?key={KEY}"))
        assert caught.value.parameter == "url"
        assert "password" not in str(caught.value).replace("a user or password", "")
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "value", [f"{KEY}\r\nx: y", f"{KEY}\n", f"{KEY}\0", f"{KEY}é", f"{KEY}€", f" {KEY}", f"{KEY}\x7f"]
    )
    @pytest.mark.parametrize("name", ["authorization", "x-api-key", "X-Goog-Api-Key", "cookie"])
    async def test_bad_credentials(self, make: Make, name: str, value: str) -> None:
        """A credential that cannot be sent is InvalidCredential, and is not shown."""
        with pytest.raises(InvalidCredential) as caught:
            await make().open(HttpRequest("POST", "http://127.0.0.1:1/", headers={name: value}))
        assert name.lower() in str(caught.value)
        leaks_nothing(caught.value)

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("x-a", "1\r\nx-b: 2"),
            ("x-a", "€"),
            ("x a", "1"),
            ("", "1"),
            ("x-a:", "1"),
            ("x\r\ny", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
        ],
    )
    async def test_bad_headers(self, make: Make, name: str, value: str) -> None:
        """A header that would break the request, or its framing, is InvalidRequest."""
        with pytest.raises(InvalidRequest) as caught:
            await make().open(HttpRequest("POST", "http://127.0.0.1:1/", headers={name: value}))
        assert caught.value.parameter == "headers"

    @pytest.mark.anyio
    async def test_bad_method(self, make: Make) -> None:
        """A method is one word."""
        with pytest.raises(InvalidRequest, match="method"):
            await make().open(HttpRequest("GET / HTTP/1.1\r\n", "http://127.0.0.1:1/"))

    def test_headers_are_str(self) -> None:
        """Headers of another type are refused when the request is made."""
        with pytest.raises(InvalidRequest, match="'x-a'"):
            HttpRequest("GET", "http://127.0.0.1/", headers={"x-a": 1})  # type: ignore[dict-item]

    def test_repr(self) -> None:
        """The repr of a request shows neither header values nor query nor body."""
        shown = repr(post(f"http://127.0.0.1/v1?key={KEY}#{KEY}", KEY.encode()))
        assert KEY not in shown
        assert shown == "HttpRequest('POST', 'http://127.0.0.1/v1?...', headers=['authorization'], body=<20 bytes>)"
