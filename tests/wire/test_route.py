"""A route: what it sends, whatever comes back as typed errors and events."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import brotli
import pytest
from attrs import evolve
from backports import zstd

from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    ContextOverflow,
    IncompleteStream,
    InvalidCredential,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    OutputTooLarge,
    ProviderInternal,
    RateLimited,
    UnknownProviderError,
    UnsupportedOption,
)
from mellite.events import Event, Finish, RawChunk, ResponseStart
from mellite.providers.openai import chat_route
from mellite.request import HttpOptions, Options, Request, ToolDefinition
from mellite.wire.auth.keys import Auth
from mellite.wire.endpoint import Endpoint
from mellite.wire.http import HttpRequest, check_request
from tests.wire.answers import DONE, JSON, KEY, STREAM, WHOLE, body_of, chunk, received, route, run, shown, text_of

# --- what is sent ---------------------------------------------------------------------------------


def test_prepare_compiles_without_sending() -> None:
    """`prepare` gives method, URL, headers and body; the content type is JSON whatever the caller's headers say."""
    http = route().prepare(Request.of("hi", http=HttpOptions(headers={"Content-Type": "text/plain", "X-A": "1"})))
    assert (http.method, http.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert http.headers == {"authorization": f"Bearer {KEY}", "content-type": "application/json", "x-a": "1"}
    assert body_of(http)["messages"] == [{"role": "user", "content": "hi"}]


def test_the_requests_own_values_win_over_the_routes() -> None:
    """Defaults of the route stand under options, provider options and HTTP additions of the request."""
    mine = route(
        options=Options(temperature=0.1, max_tokens=5),
        provider_options={"openai": {"user": "a", "service_tier": "flex"}},
        http=HttpOptions(body={"x": {"a": 1, "b": 1}}, headers={"x-a": "1", "x-b": "1"}, query={"q": "1"}),
        headers={"x-c": "1"},
    )
    http = mine.prepare(
        Request.of(
            "hi",
            model="other",
            temperature=0.9,
            provider_options={"openai": {"user": "b"}},
            http=HttpOptions(body={"x": {"b": 2}}, headers={"x-b": "2"}),
        )
    )
    body = body_of(http)
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("other", 0.9, 5)
    assert (body["user"], body["service_tier"], body["x"]) == ("b", "flex", {"a": 1, "b": 2})
    assert [http.headers[name] for name in ("x-a", "x-b", "x-c")] == ["1", "2", "1"]
    assert http.url.endswith("?q=1")


def test_an_option_that_a_route_cannot_honour_is_refused_by_name() -> None:
    """UnsupportedOption names option and route; drop_unsupported leaves it out instead."""
    with pytest.raises(UnsupportedOption, match=r"'openai-chat'.*'top_k'") as caught:
        route().prepare(Request.of("hi", top_k=3))
    assert caught.value.option == "top_k"
    assert "top_k" not in body_of(route().prepare(Request.of("hi", top_k=3, drop_unsupported=True)))


def test_a_model_must_be_named_somewhere() -> None:
    """Neither the request nor the route names a model: InvalidRequest says so."""
    with pytest.raises(InvalidRequest, match="needs a model"):
        chat_route(api_key=KEY).prepare(Request.of("hi"))


def test_a_key_does_not_travel_over_plain_http() -> None:
    """A key for a plain http URL of another machine is refused; on this machine, or without a key, it is not."""
    with pytest.raises(ConfigurationError, match="plain http") as caught:
        chat_route(api_key=KEY, base_url="http://example.com/v1", model="m").prepare(Request.of("hi"))
    assert KEY not in shown(caught.value)
    for base in (
        "http://192.168.1.2/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example.com/v1",
        "http://notlocalhost/v1",
    ):
        with pytest.raises(ConfigurationError, match="plain http"):
            chat_route(api_key=KEY, base_url=base, model="m").prepare(Request.of("hi"))
    for base in ("http://localhost:8000/v1", "http://a.localhost/v1", "http://127.1.2.3/v1", "http://[::1]:1/v1",
                 "https://example.com/v1"):  # fmt: skip
        assert chat_route(api_key=KEY, base_url=base, model="m").prepare(Request.of("hi")).headers["authorization"]
    typed = Request.of("hi", http=HttpOptions(headers={"content-type": "text/plain"}))
    unsigned = chat_route(base_url="http://example.com/v1", model="m").prepare(typed)
    assert unsigned.headers == {"content-type": "application/json"}


class Badge(Auth):
    """Somebody's own way to say who is asking, with a line break where the key was copied."""

    def headers(self, request: HttpRequest) -> dict[str, str]:
        return {"x-badge-key": f"{KEY}\r\nx-admin: 1"}

    def describe(self) -> str:
        return "the badge"


def test_a_request_is_checked_once_with_what_auth_adds_to_it() -> None:
    """What `prepare` gives has passed the check, headers of auth included; a changed copy has not."""
    http = route().prepare(Request.of("hi"))
    assert http.checked
    check_request(http)
    changed = evolve(http, headers={"x-a": "1\r\nx-b: 2"})
    assert not changed.checked
    with pytest.raises(InvalidRequest, match="line break"):
        check_request(changed)
    with pytest.raises(InvalidCredential, match="x-badge-key") as caught:
        route().with_(auth=Badge()).prepare(Request.of("hi"))
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize(
    "base",
    ["", "example.com/v1", "ftp://example.com", "https://", "https://a b/", "https://a\r\nx: y/", "https://u:p@a/",
     "https://a/#x", "https://[::1", "https://a:99999/"],
)  # fmt: skip
def test_a_base_url_is_checked_when_it_is_given(base: str) -> None:
    """What is not an http or https URL is a ConfigurationError, which does not repeat a password."""
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(base)
    assert "u:p" not in str(caught.value)


def test_a_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_BASE_URL moves the endpoint at call time, and a broken one names the variable."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1/?a=b")
    url = route().prepare(Request.of("hi", http=HttpOptions(query={"c": "d"}))).url
    assert url == "https://proxy.example.com/v1/chat/completions?a=b&c=d"
    monkeypatch.setenv("OPENAI_BASE_URL", "nonsense")
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL"):
        route().prepare(Request.of("hi"))


def test_a_model_id_stays_inside_its_place_in_the_path() -> None:
    """A model id in a path is percent-encoded, so that it leads nowhere else."""
    endpoint = Endpoint("https://a", "/models/{model}:run")
    assert endpoint.url(model="../x?y#z\r\n") == "https://a/models/..%2Fx%3Fy%23z%0D%0A:run"


def test_lone_surrogates_become_replacement_characters() -> None:
    """Half a surrogate pair, which no server takes, is sent as U+FFFD; a pair in two halves as its character."""
    body = body_of(route().prepare(Request.of("a\ud800b \ud83d\ude00", http=HttpOptions(body={"x": ("\udc00",)}))))
    assert body["messages"][0]["content"] == "a\ufffdb \U0001f600"
    assert body["x"] == ["\ufffd"]


def test_what_json_cannot_hold_is_an_invalid_request() -> None:
    """An object in the body that is not JSON is InvalidRequest, not a TypeError."""
    with pytest.raises(InvalidRequest, match="object"):
        route().prepare(Request.of("hi", http=HttpOptions(body={"x": object()})))


def test_the_lineage_goes_to_the_transport_but_not_on_the_wire() -> None:
    """Notes for cassettes stand in the context of the HTTP request only."""
    http = route().prepare(Request.of("hi", metadata={"lineage": (0, 2)}))
    assert http.context["lineage"] == (0, 2)
    assert b"lineage" not in http.body


def test_with_merges_defaults_and_replaces_fields() -> None:
    """`with_` changes a route into another one and leaves the first as it was."""
    first = route()
    second = first.with_(options=Options(seed=1), model="other", provider="mine")
    assert (second.model, second.provider, second.options.seed) == ("other", "mine", 1)
    assert (first.model, first.provider, first.options.seed) == ("gpt-test", "openai", None)
    with pytest.raises(TypeError):
        first.with_(nonsense=1)


def test_a_route_is_pickled_without_its_key() -> None:
    """A route given a key pickles without it, and says so when it is used."""
    data = pickle.dumps(route(options=Options(seed=1)))
    assert KEY.encode() not in data
    twin = pickle.loads(data)
    assert twin.options.seed == 1
    with pytest.raises(AuthenticationError, match="never pickled"):
        twin.prepare(Request.of("hi"))


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_start_says_what_is_known_of_the_response() -> None:
    """ResponseStart has provider, model, status, request id, the body that was sent, and headers without secrets."""
    headers = {
        "x-request-id": "req_1",
        "set-cookie": "session=1",
        "x-ratelimit-remaining-requests": "9",
        "x-api-key": "k",
    }
    events = await run((200, headers, STREAM), temperature=0)
    start = events[0]
    assert isinstance(start, ResponseStart)
    assert (start.provider, start.protocol, start.model) == ("openai", "openai-chat", "gpt-test")
    assert (start.status, start.request_id, start.streaming, start.attempts) == (200, "req_1", True, 1)
    assert start.request_body["temperature"] == 0
    assert set(start.headers or {}) == {"content-type", "x-request-id", "x-ratelimit-remaining-requests"}


@pytest.mark.anyio
async def test_each_stream_event_is_kept_as_it_came() -> None:
    """With keep_raw there is one RawChunk per stream event, before what it stands for; without, there is none."""
    events = await run([STREAM[:50], STREAM[50:51], STREAM[51:]])
    raw = [event.data for event in events if isinstance(event, RawChunk)]
    assert b"".join(b"data: %s\n\n" % data for data in raw) == STREAM
    assert type(events[1]) is RawChunk
    assert not [event for event in await run(STREAM, keep_raw=False) if isinstance(event, RawChunk)]


CODED: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", CODED)
async def test_any_cut_of_the_bytes_gives_the_same_events(encoding: str | None) -> None:
    """Streamed byte by byte, compressed or not, the events are those of the body in one piece."""
    whole = [event for event in await run(STREAM) if not isinstance(event, ResponseStart)]
    headers = {"content-type": "text/event-stream", **({"content-encoding": encoding} if encoding else {})}
    body = CODED[encoding](STREAM)
    events = await run((200, headers, [body[at : at + 1] for at in range(len(body))]))
    assert [event for event in events if not isinstance(event, ResponseStart)] == whole


@pytest.mark.anyio
async def test_reading_stops_at_the_end_of_the_answer() -> None:
    """After [DONE] nothing more is read as an answer, and the response is closed."""
    transport = ScriptedTransport([[STREAM, chunk("never")]])
    events = [event async for event in route().stream(Request.of("hi"), transport)]
    assert text_of(events) == "Hello, you."
    assert isinstance(events[-1], Finish)


@pytest.mark.anyio
async def test_an_answer_in_one_piece_gives_the_same_text() -> None:
    """stream=False asks for and reads an answer in one piece."""
    transport = ScriptedTransport([WHOLE])
    events = [event async for event in route().stream(Request.of("hi", stream=False), transport)]
    assert text_of(events) == "Hello."
    assert "stream" not in body_of(transport.requests[0])
    assert isinstance(events[0], ResponseStart)
    assert events[0].streaming is False


@pytest.mark.anyio
async def test_json_where_a_stream_was_asked_is_read_as_what_it_is() -> None:
    """A whole answer instead of a stream is taken; the events say that it did not stream."""
    for headers in (JSON, {"content-type": "text/event-stream"}, {}):
        events = await run((200, headers, [b" \r\n", WHOLE[:9], WHOLE[9:]]))
        assert text_of(events) == "Hello."
        starts = [event.streaming for event in events if isinstance(event, ResponseStart)]
        assert [said for said in starts if said is not None][-1] is False


@pytest.mark.anyio
async def test_a_stream_where_one_piece_was_asked_is_read_as_what_it_is() -> None:
    """Server-sent events instead of an answer in one piece are taken too."""
    events = await run((200, {"content-type": "text/event-stream"}, STREAM), stream=False)
    assert text_of(events) == "Hello, you."


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {"content-type": "text/event-stream"}])
async def test_a_web_page_with_status_200_is_no_answer(stream: bool, headers: dict[str, str]) -> None:
    """HTML under HTTP 200 is InvalidProviderOutput that shows how it begins."""
    with pytest.raises(InvalidProviderOutput, match=r"web page.*502 Bad Gateway") as caught:
        await run((200, headers, b"<html><body>502 Bad Gateway</body></html>"), stream=stream)
    assert caught.value.status == 200


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_json_error_with_status_200_is_an_error(stream: bool) -> None:
    """An error object under HTTP 200 is the error that it says."""
    with pytest.raises(RateLimited, match="Slow down"):
        await run((200, JSON, b'{"error": {"message": "Slow down.", "code": 429}}'), stream=stream)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b'{"error": {"message": "Slow down."}}', RateLimited),
        (400, b'{"error": {"message": "x", "code": "context_length_exceeded"}}', ContextOverflow),
        (401, b'{"error": {"message": "no such key: %s"}}' % KEY.encode(), AuthenticationError),
        (503, b"<html><title>Service Unavailable</title></html>", ProviderInternal),
        (418, b"", UnknownProviderError),
        (400, b'{"error": {"message": "cut', InvalidRequest),
    ],
)
async def test_an_http_error_has_its_type_and_what_is_known(status: int, body: bytes, kind: type[MelliteError]) -> None:
    """An HTTP error becomes its type, with provider, model, status and request id, and never a key."""
    headers = {"x-request-id": "req_1", "retry-after": "2"}
    with pytest.raises(kind) as caught:
        await run((status, headers, body))
    error = caught.value
    assert (error.provider, error.model, error.status, error.request_id) == ("openai", "gpt-test", status, "req_1")
    assert error.retry_after == 2
    assert KEY not in shown(error)


@pytest.mark.anyio
async def test_a_refused_key_says_which_to_check() -> None:
    """An AuthenticationError says where the key came from, or that none was sent, and why."""
    with pytest.raises(AuthenticationError, match="check the key given in code") as caught:
        await run((401, {}, b'{"error": {"message": "wrong key"}}'))
    assert caught.value.kind == "invalid"
    elsewhere = chat_route(base_url="https://example.com/v1", model="m")
    with pytest.raises(AuthenticationError, match=r"no key was sent: OPENAI_API_KEY .*api_key="):
        await run((401, {}, b"{}"), of=elsewhere)


@pytest.mark.anyio
async def test_a_redirect_is_not_followed() -> None:
    """A redirect is an error that names where it leads; nothing is sent there."""
    transport = ScriptedTransport([(307, {"location": "https://evil.example.com/v1"}, b"")])
    with pytest.raises(UnknownProviderError, match=r"evil\.example\.com"):
        await anext(_past_start(route().stream(Request.of("hi"), transport)))
    assert len(transport.requests) == 1


async def _past_start(stream: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(stream):
        async for event in stream:
            if not isinstance(event, ResponseStart):
                yield event


@pytest.mark.anyio
async def test_only_the_beginning_of_a_large_error_body_is_read() -> None:
    """An error answer without end is read up to a bound, and its status still counts."""
    pieces = [b"x" * 65536] * 400
    reached: list[bool] = []
    transport = ScriptedTransport([(500, {}, [*pieces, lambda: reached.append(True)])])
    events, error = await received(route().stream(Request.of("hi"), transport))
    assert isinstance(error, ProviderInternal)
    assert not reached
    assert len(str(error)) < 3000
    assert len(events) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [ConnectionLost("broken"), TimeoutError()])
async def test_an_error_status_counts_although_its_body_breaks_off(trouble: Exception) -> None:
    """An error answer whose body does not arrive is still the error of its status."""
    with pytest.raises(RateLimited):
        await run((429, {}, [b'{"error"', trouble]))


CUT = chunk("Hel") + chunk("lo")[:-1]  # the blank line after an event is what makes it one


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", DONE, b": ping\n\n", chunk("Hel"), chunk("Hel") + DONE, CUT])
async def test_a_stream_without_an_end_is_incomplete(body: bytes) -> None:
    """A clean end before the finish reason is IncompleteStream, and the text so far has been given."""
    events, error = await received(route().stream(Request.of("hi"), ScriptedTransport([body])))
    assert isinstance(error, IncompleteStream)
    assert text_of(events) == ("Hel" if b"Hel" in body else "")
    assert not [event for event in events if isinstance(event, Finish)]


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [ConnectionLost("broken"), TimeoutError()])
async def test_trouble_after_the_finish_reason_does_not_matter(trouble: Exception) -> None:
    """A connection that breaks, or a stream that stalls, after the finish reason leaves a good answer."""
    events = await run([chunk("Hello"), chunk(finish="stop"), trouble])
    assert text_of(events) == "Hello"
    assert isinstance(events[-1], Finish)


@pytest.mark.anyio
async def test_a_broken_connection_is_an_error_after_all_that_came() -> None:
    """A connection that breaks before the finish reason is ConnectionLost, after the events before it."""
    answer = [chunk("Hel") + chunk("lo")[:9], ConnectionLost("broken")]
    events, error = await received(route().stream(Request.of("hi"), ScriptedTransport([answer])))
    assert isinstance(error, ConnectionLost)
    assert (text_of(events), error.provider, error.status) == ("Hel", "openai", 200)


@pytest.mark.anyio
async def test_events_before_a_broken_one_in_the_same_bytes_are_given() -> None:
    """What came whole in the same read as a broken event is not lost."""
    body = chunk("Hello") + b"data: {nonsense\n\n" + chunk("never")
    events, error = await received(route().stream(Request.of("hi"), ScriptedTransport([body])))
    assert isinstance(error, InvalidProviderOutput)
    assert text_of(events) == "Hello"
    assert [event.data for event in events if isinstance(event, RawChunk)][-1] == b"{nonsense"


@pytest.mark.anyio
async def test_a_damaged_line_is_not_passed_over() -> None:
    """A line of bytes that are not text, which the rules of framing pass over, is not a silent gap in the answer."""
    pieces = [chunk("Hello"), b"\xff\xfe\xed\xa0\x80" + chunk(", you.") + chunk("!") + chunk(finish="stop") + DONE]
    events, error = await received(route().stream(Request.of("hi"), ScriptedTransport([pieces])))
    assert isinstance(error, InvalidProviderOutput)
    assert "damaged" in str(error)
    assert text_of(events) == "Hello"
    assert not [event for event in events if isinstance(event, Finish)]
    unknown = "größe: 1\n".encode() + b": caf\xe9\n\n"  # an unknown field, and a comment in Latin-1
    assert text_of(await run(unknown + STREAM)) == "Hello, you."


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [{"content-encoding": name} for name in ("gzip", "br", "zstd", "compress")])
async def test_a_body_that_is_not_what_its_encoding_says_is_typed(headers: dict[str, str]) -> None:
    """A lying or unknown content encoding is InvalidProviderOutput, never silence."""
    with pytest.raises(InvalidProviderOutput):
        await run((200, headers, STREAM))


@pytest.mark.anyio
async def test_a_compressed_stream_that_is_cut_is_an_error() -> None:
    """A gzip body that ends too soon is an error, although the HTTP client would not notice."""
    for body in (gzip.compress(chunk("Hello") * 40), gzip.compress(WHOLE)):
        for cut in (1, 8, 12):  # all the text is there, but for the checksum or not even that
            with pytest.raises(InvalidProviderOutput, match="ends too soon"):
                await run((200, {"content-encoding": "gzip"}, body[:-cut]))


@pytest.mark.anyio
async def test_one_event_without_end_is_too_large() -> None:
    """A line that never ends is OutputTooLarge at the bound of the framing."""
    piece = b"A" * 1_000_000
    with pytest.raises(OutputTooLarge):
        await run([b"data: ", *([piece] * 40)])


@pytest.mark.anyio
async def test_an_answer_in_one_piece_has_a_bound_too() -> None:
    """A JSON answer without end is OutputTooLarge."""
    with pytest.raises(OutputTooLarge):
        await run([b'{"a": "', *([b"A" * 4_000_000] * 18)], stream=False)


@pytest.mark.anyio
async def test_json_too_deep_to_read_is_typed() -> None:
    """JSON nested 100,000 deep, in a stream or in one piece, is InvalidProviderOutput."""
    deep = b"[" * 100_000 + b"]" * 100_000
    for answer in (b"data: " + deep + b"\n\n", b'{"choices": ' + deep + b"}"):
        with pytest.raises(InvalidProviderOutput):
            await run(answer)
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    for answer in (b'data: {"choices":[{"delta":' + nested + b"}]}\n\n" + chunk(finish="stop") + DONE,):
        _, error = await received(route().stream(Request.of("hi"), ScriptedTransport([answer])))
        assert error is None or isinstance(error, InvalidProviderOutput)


@pytest.mark.anyio
async def test_tools_ride_along() -> None:
    """Tools of the request are in the body that is sent and in what the start event says was sent."""
    tool = ToolDefinition("get_weather", "Get the weather.")
    transport = ScriptedTransport([STREAM])
    events = [event async for event in route().stream(Request.of("hi", tools=[tool]), transport)]
    assert isinstance(events[0], ResponseStart)
    assert events[0].request_body == body_of(transport.requests[0])
    assert events[0].request_body["tools"][0]["function"]["name"] == "get_weather"
