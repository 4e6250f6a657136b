"""Errors of Bedrock's Converse: exceptions in a stream, error answers of AWS, and nonsense of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mellite
from mellite.cassettes import ScriptedTransport
from mellite.errors import (
    AuthenticationError,
    ContextOverflow,
    InvalidProviderOutput,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
    UnknownProviderError,
)
from mellite.events import ToolCallEvent
from mellite.protocols.bedrock_converse import classify
from mellite.protocols.bedrock_converse.stream import unary
from tests.protocols.bedrock_converse.converse import BEGIN, SAYS_A, begin, called, end, events_of, more, text
from tests.protocols.streams import SPECS, wire
from tests.wire.frames import message as frame

# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        ("throttlingException", "Too many tokens, please wait before trying again.", RateLimited),
        ("serviceUnavailableException", "Try later.", ProviderInternal),
        ("internalServerException", "Broken.", ProviderInternal),
        ("modelStreamErrorException", "The model broke.", ProviderInternal),
        ("modelTimeoutException", "Too slow.", ProviderInternal),
        ("validationException", "Malformed input.", InvalidRequest),
        ("validationException", "Input is too long for requested model.", ContextOverflow),
        ("accessDeniedException", "No.", AuthenticationError),
        ("newException", "What?", UnknownProviderError),
    ],
)
def test_exceptions_inside_the_stream(name: str, message: str, kind: type[MelliteError]) -> None:
    """An exception in the middle of a stream is a typed error with AWS's own words, and what was used by then."""
    with pytest.raises(kind, match=message) as caught:
        events_of([*SAYS_A, end()[1], {name: {"message": message}}])
    assert type(caught.value) is kind
    assert caught.value.retryable is (kind in (RateLimited, ProviderInternal))
    assert caught.value.usage is not None
    assert caught.value.code == name.lower()  # type: ignore[attr-defined]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("ThrottlingException", "Slow down.", RateLimited),
        ("InternalServerException", "Broken.", ProviderInternal),
        ("ValidationException", "Input is too long for requested model.", ContextOverflow),
        ("AccessDeniedException", "", AuthenticationError),
        ("Whatever", "What?", UnknownProviderError),
    ],
)
async def test_error_frames(code: str, said: str, kind: type[MelliteError]) -> None:
    """An error may also come as a frame of its own, with code and message in headers; the text before it is kept."""
    headers = {":message-type": "error", ":error-code": code, ":error-message": said}
    body = [wire("converse", [BEGIN, text(0, "Half")]), frame(headers, b"")]
    backend = mellite.backend(SPECS["converse"], api_key="sk-test", transport=ScriptedTransport([body]), retries=0)
    with pytest.raises(kind, match=said or code) as caught:
        await backend.generate("Hi")
    assert type(caught.value) is kind
    assert caught.value.partial == "Half"


def test_what_the_models_own_host_said() -> None:
    """Behind AWS's message stands that of the model's own host, where there is another."""
    said = {"message": "The model broke.", "originalMessage": "out of memory", "originalStatusCode": 500}
    with pytest.raises(ProviderInternal, match=r"The model broke\.: out of memory"):
        events_of([{"modelStreamErrorException": said}])
    with pytest.raises(ProviderInternal, match=r"stream: out of memory$"):
        events_of([{"modelStreamErrorException": {"originalMessage": "out of memory"}}])


def test_an_error_without_a_type() -> None:
    """An error that only has a code and a message is one, too; without either it says so."""
    with pytest.raises(ProviderInternal, match="Broken"):
        events_of([*SAYS_A, {"error": {"code": "InternalServerException", "message": "Broken."}}])
    for value in ({}, None, "x"):
        with pytest.raises(MelliteError, match="error inside the stream"):
            events_of([{"error": value}])


@pytest.mark.parametrize(
    ("status", "type", "message", "kind"),
    [
        (400, "ValidationException", "The provided model identifier is invalid.", InvalidRequest),
        (400, "ValidationException:http://internal.amazon.com/coral/", "prompt is too long: 9 tokens", ContextOverflow),
        (400, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", RateLimited),
        (400, "ServiceQuotaExceededException", "Your quota is used up.", QuotaExceeded),
        (403, "AccessDeniedException", "You don't have access to the model.", AuthenticationError),
        (403, "ExpiredTokenException", "The security token included in the request is expired", AuthenticationError),
        (403, "UnrecognizedClientException", "The security token is invalid.", AuthenticationError),
        (403, "InvalidSignatureException", "The request signature we calculated does not match.", AuthenticationError),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", InvalidRequest),
        (408, "ModelTimeoutException", "The model timed out.", ProviderInternal),
        (424, "ModelErrorException", "The model has broken.", ProviderInternal),
        (429, "ModelNotReadyException", "The model is not ready.", RateLimited),
        (500, "InternalServerException", "Broken.", ProviderInternal),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", ProviderInternal),
    ],
)  # fmt: skip
def test_http_errors(status: int, type: str, message: str, kind: type[MelliteError]) -> None:
    """AWS names the type of an error in a header, or in the body; the message is the provider's own."""
    body = json.dumps({"message": message}).encode()
    named = json.dumps({"Message": message, "__type": f"com.amazon.coral.service#{type.partition(':')[0]}"}).encode()
    for error in (classify(status, {"x-amzn-errortype": type}, body), classify(status, {}, named)):
        assert isinstance(error, kind)
        assert error.provider_message == message  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("ExpiredTokenException", "expired"),
        ("AccessDeniedException", "insufficient-permissions"),
        ("UnrecognizedClientException", "invalid"),
        ("InvalidSignatureException", "invalid"),
        ("MissingAuthenticationTokenException", "invalid"),
    ],
)
def test_what_is_wrong_with_a_key(type: str, kind: str) -> None:
    """A key that is wrong, expired or not allowed to do this are told apart, though AWS says 403 to all."""
    error = classify(403, {"x-amzn-errortype": type}, b'{"message": "No."}')
    assert isinstance(error, AuthenticationError)
    assert error.kind == kind


@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Bad Gateway</title></html>", b"[1]", b"\xff\xfe", b'"x"', b"null"]
)
def test_error_answers_that_are_no_error_objects(body: bytes) -> None:
    """Whatever a proxy sends with an error status is an error of that status."""
    assert isinstance(classify(502, {}, body), ProviderInternal)


# --- nonsense -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [], 5, "x", {"contentBlockDelta": 5}, {"contentBlockDelta": {"contentBlockIndex": "0"}},
        {"contentBlockDelta": {"delta": 5}}, text(0, 5), more(0, reasoningContent="x"),  # type: ignore[arg-type]
        more(0, reasoningContent={"text": 5}), more(0, toolUse={"input": "x"}), begin(0, toolUse={}),
        begin(0, toolUse={"toolUseId": "a", "name": 5}), begin(0, toolUse=[]), {"contentBlockStart": {"start": 5}},
        {"messageStop": {}}, {"messageStop": {"stopReason": 5}}, {"metadata": 5}, b"{", b"NaN", b"\xff", b"",
        b'{"metadata": {"usage": {"inputTokens": NaN}}}',
    ],
)  # fmt: skip
def test_nonsense_in_a_stream(value: Any) -> None:
    """Wrong types and broken JSON in the middle of a stream are InvalidProviderOutput, and never anything else."""
    with pytest.raises(InvalidProviderOutput) as caught:
        events_of([*SAYS_A, value, *end()])
    assert type(caught.value) is InvalidProviderOutput


def test_a_piece_of_arguments_belongs_to_its_call() -> None:
    """Arguments under the number of a text, or that are not text, are refused."""
    with pytest.raises(InvalidProviderOutput, match="tool"):
        events_of([text(0, "a"), more(0, toolUse={"input": "{}"})])
    with pytest.raises(InvalidProviderOutput, match="tool"):
        events_of([*called(0, "a", "f")[:1], more(0, toolUse={"input": {}})])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{}", b'{"output": {}}', b'{"output": {"message": {"content": 5}}}',
        b'{"output": {"message": {"content": [5]}}}', b'{"output": {"message": {"content": [{"text": 5}]}}}',
        b'{"output": {"message": {"content": [{"toolUse": {}}]}}}',
        b'{"output": {"message": {"content": []}}, "stopReason": 5}',
        b'{"output": {"message": {"content": [{"citationsContent": {"content": 5}}]}}}',
    ],
)  # fmt: skip
def test_nonsense_in_one_piece(body: bytes) -> None:
    """What is not an answer of Converse is InvalidProviderOutput."""
    with pytest.raises(InvalidProviderOutput):
        unary(body)


def test_an_error_object_that_came_with_status_200() -> None:
    """An error in place of an answer is that error, whatever the status said."""
    with pytest.raises(RateLimited, match="Slow down"):
        unary(b'{"__type": "ThrottlingException", "message": "Slow down."}')


def test_deep_json_is_refused() -> None:
    """Arguments nested a hundred thousand levels deep are not read, and do no harm."""
    deep = "[" * 100_000
    events = events_of([*called(0, "a", "f", deep), *end()])
    assert [event.call.arguments for event in events if isinstance(event, ToolCallEvent)] == [None]
    with pytest.raises(InvalidProviderOutput):
        events_of([f'{{"contentBlockDelta": {deep}'])
