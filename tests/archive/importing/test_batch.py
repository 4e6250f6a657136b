"""Results of batches, paired with their requests by id, in the formats of five providers; and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mellite
from mellite.archive.replay import replay_all
from mellite.cassettes import load_cassette
from mellite.errors import InvalidCassette
from tests.archive.importing.replays import answers, converted

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def lines(path: Path, *values: Any) -> Path:
    """A file with a line of JSON for each value, and an empty one."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join([f"{json.dumps(value)}\n" for value in values]) + "\n")
    return path


def chat_request(id: str, text: str, **more: Any) -> Any:
    """A line of what is sent to OpenAI."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": id, "method": "POST", "url": CHAT, "body": body, **more}


def chat_result(id: str, text: str, **more: Any) -> Any:
    """A line of what OpenAI gives back."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-1",
        "choices": [choice],
        "usage": USAGE,
    }
    response = {"status_code": 200, "request_id": "req_1", "body": body}
    return {"id": f"batch_req_{id}", "custom_id": id, "response": response, "error": None, **more}


def test_openai(tmp_path: Path) -> None:
    """Answers find their questions whatever the order; an error answer is one, and what expired is left out."""
    asked = [chat_request("1", "Name a river."), chat_request("2", "Name a lake."), chat_request("3", "Hi")]
    lines(tmp_path / "requests.jsonl", *asked, chat_request("4", "Late?"), chat_request("9", "Not in it."))
    refused = {"status_code": 429, "request_id": "r", "body": {"error": {"message": "slow down", "type": "rate_limit"}}}
    expired = {"code": "batch_expired", "message": "This request could not be executed before it expired."}
    source = lines(
        tmp_path / "results.jsonl",
        chat_result("2", "Lake Como."),
        chat_result("3", "", response=refused),
        chat_result("4", "", response=None, error=expired),
        chat_result("1", "The Loire."),
    )
    done = converted(source, tmp_path / "out" / "a.json")
    assert (done.calls, done.dropped[0]) == (3, "line 3: it was not answered (batch_expired)")
    assert done.dropped[-1] == "the file of requests beside it is requests.jsonl"
    assert answers(tmp_path / "out" / "a.json", "Name a river.", "Name a lake.") == ["The Loire.", "Lake Como."]
    backend = mellite.backend(f"cassette:{tmp_path / 'out' / 'a.json'}", retries=0)
    with pytest.raises(mellite.errors.RateLimited, match="slow down"):
        backend.generate("Hi").result()


def test_responses_and_compression(tmp_path: Path) -> None:
    """The endpoint is that of the request, and files may be compressed."""
    import gzip

    asked = {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-5", "input": "Hi"}}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]}
    answer = {"id": "r", "object": "response", "model": "gpt-5", "status": "completed", "output": [item]}
    result = chat_result("1", "", response={"status_code": 200, "request_id": "r", "body": answer})
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(json.dumps(asked).encode()))
    (tmp_path / "out.jsonl.gz").write_bytes(gzip.compress(json.dumps(result).encode()))
    done = converted(tmp_path / "out.jsonl.gz", tmp_path / "made" / "a.json", source_format="batch")
    assert done.calls == 1
    ((url, thunk),) = replay_all(tmp_path / "made" / "a.json")
    assert thunk is not None
    assert (url, thunk.result()) == ("https://api.openai.com/v1/responses", "Hello!")


def test_hosts_of_the_same_api(tmp_path: Path) -> None:
    """Mistral's requests name no URL, and Azure's no version."""
    body = {"model": "mistral-small-latest", "messages": [{"role": "user", "content": "Hi"}]}
    lines(tmp_path / "in.jsonl", {"custom_id": "1", "body": body}, chat_request("2", "Hi", url="/chat/completions"))
    converted(lines(tmp_path / "r.jsonl", chat_result("1", "a"), chat_result("2", "b")), tmp_path / "x" / "a.json")
    assert [one.request.url for one in load_cassette(tmp_path / "x" / "a.json").http] == [
        "https://api.mistral.ai/v1/chat/completions",
        "https://api.openai.com/v1/chat/completions",
    ]


@pytest.mark.parametrize("form", ["lines", "request"])
def test_anthropic(tmp_path: Path, form: str) -> None:
    """Requests stand in lines, or in the JSON that was sent; the reason of an error is nested twice."""

    def params(text: str) -> Any:
        return {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": text}]}

    asked = [
        {"custom_id": id, "params": params(text)} for id, text in (("a", "Name a river."), ("b", "Hi"), ("c", "x"))
    ]
    if form == "lines":
        lines(tmp_path / "in.jsonl", *asked)
    else:
        (tmp_path / "in.json").write_text(json.dumps({"requests": asked}, indent=1))
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "The Loire."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": None}
    source = lines(
        tmp_path / "results.jsonl",
        {"custom_id": "c", "result": {"type": "expired"}},
        {"custom_id": "b", "result": {"type": "errored", "error": error}},
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
    )
    done = converted(source, tmp_path / "out" / "a.json")
    assert (done.calls, done.dropped[0]) == (2, "line 1: it was not answered (expired)")
    assert answers(tmp_path / "out" / "a.json", "Name a river.", max_tokens=64) == ["The Loire."]
    backend = mellite.backend(f"cassette:{tmp_path / 'out' / 'a.json'}", retries=0)
    with pytest.raises(mellite.errors.ProviderError, match="Overloaded"):
        backend.generate("Hi", max_tokens=64).result()
    assert [one.response.status for one in load_cassette(tmp_path / "out" / "a.json").http] == [529, 200]


GENERATED = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "The Loire."}]}, "finishReason": "STOP"}],
    "modelVersion": "gemini-2.5-flash",
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
}


def test_gemini(tmp_path: Path) -> None:
    """Google's names are read in both ways of writing, and the caller's own are left alone."""
    tool = {
        "function_declarations": [
            {"name": "f", "parameters": {"type": "object", "properties": {"a_b": {"type": "string"}}}}
        ]
    }
    contents = [{"role": "user", "parts": [{"text": "Name a river."}]}]
    asked = {"contents": contents, "generation_config": {"temperature": 0, "max_output_tokens": 9}}
    lines(tmp_path / "in.jsonl", {"key": "1", "request": asked}, {"key": "2", "request": {**asked, "tools": [tool]}})
    failed = {"key": "3", "error": {"code": 3, "message": "no"}}
    source = lines(
        tmp_path / "out.jsonl", {"key": "2", "response": GENERATED}, {"key": "1", "response": GENERATED}, failed
    )
    done = converted(source, tmp_path / "x" / "a.json")
    assert (done.calls, done.dropped[0].partition(":")[0]) == (2, "line 3")
    assert answers(tmp_path / "x" / "a.json", "Name a river.", temperature=0, max_tokens=9) == ["The Loire."]
    (one, _) = load_cassette(tmp_path / "x" / "a.json").http
    assert one.request.url.endswith("/v1beta/models/gemini-2.5-flash:generateContent")
    declared = json.loads(one.request.body.text)["tools"][0]["functionDeclarations"][0]
    assert [*declared["parameters"]["properties"]] == ["a_b"]


def test_vertex(tmp_path: Path) -> None:
    """Vertex AI repeats the request in each line."""
    asked = {"contents": [{"role": "user", "parts": [{"text": "Name a river."}]}]}
    line = {"status": "", "processed_time": "2026-11-30T10:00:00", "request": asked, "response": GENERATED}
    broken = {**line, "status": "Bad request", "response": {}}
    done = converted(lines(tmp_path / "out.jsonl", broken, line), tmp_path / "x" / "a.json")
    assert (done.calls, done.dropped[0]) == (1, "line 1: it was not answered")
    assert answers(tmp_path / "x" / "a.json", "Name a river.") == ["The Loire."]


def test_bedrock(tmp_path: Path) -> None:
    """Bedrock repeats the request; Converse and Claude's own format are known, others are left out."""
    content = [{"role": "user", "content": [{"text": "Name a river."}]}]
    told = {
        "output": {"message": {"role": "assistant", "content": [{"text": "The Loire."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    }
    message = {"type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_reason": "end_turn"}
    claude = {
        **message,
        "content": [{"type": "text", "text": "Hello!"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    asked = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    source = lines(
        tmp_path / "in.jsonl.out",
        {"recordId": "1", "modelInput": {"messages": content}, "modelOutput": told},
        {"recordId": "2", "modelInput": {"inputText": "x"}, "modelOutput": {"results": []}},
        {"recordId": "3", "modelInput": {"messages": content}, "error": {"errorCode": 400, "errorMessage": "bad"}},
    )
    done = converted(source, tmp_path / "x" / "a.json")
    assert done.dropped[:2] == (
        "line 2: it is in the model's own format, which is not known",
        "line 3: it was not answered (400)",
    )
    assert answers(tmp_path / "x" / "a.json", "Name a river.") == ["The Loire."]
    source = lines(tmp_path / "claude.jsonl.out", {"recordId": "1", "modelInput": asked, "modelOutput": claude})
    converted(source, tmp_path / "x" / "b.json")
    assert answers(tmp_path / "x" / "b.json", "Hi", max_tokens=9) == ["Hello!"]


def test_results_alone(tmp_path: Path) -> None:
    """An answer without its question cannot be replayed: what is missing is said, and where it is to be."""
    source = lines(tmp_path / "results.jsonl", chat_result("1", "The Loire."))
    with pytest.raises(InvalidCassette, match="line 1: no file beside it has the request of its id: put the file"):
        converted(source, tmp_path / "a.json")
    lines(tmp_path / "requests.jsonl", chat_request("2", "Hi"))
    (tmp_path / "notes.json").write_text("{")
    (tmp_path / "more.txt").write_bytes(b"\xff")
    with pytest.raises(InvalidCassette, match="no file beside it has the request"):
        converted(source, tmp_path / "a.json")


def test_two_files_of_requests(tmp_path: Path) -> None:
    """Two files that ask different things with one id are refused; the same request twice is one."""
    source = lines(tmp_path / "results.jsonl", chat_result("1", "The Loire."))
    lines(tmp_path / "one.jsonl", chat_request("1", "Name a river."))
    lines(tmp_path / "two.jsonl", chat_request("1", "Name a river."))
    assert converted(source, tmp_path / "out" / "a.json").calls == 1
    lines(tmp_path / "two.jsonl", chat_request("1", "Name a lake."))
    with pytest.raises(InvalidCassette, match=r"one\.jsonl' and .*two\.jsonl' hold different requests with the id '1'"):
        converted(source, tmp_path / "out" / "b.json")


def test_folder(tmp_path: Path) -> None:
    """A folder with both files is converted: the requests are not results, and no trouble."""
    lines(tmp_path / "in" / "requests.jsonl", chat_request("1", "Name a river."))
    lines(tmp_path / "in" / "results.jsonl", chat_result("1", "The Loire."))
    assert converted(tmp_path / "in", tmp_path / "out").path == str(tmp_path / "out" / "results.json")
    assert converted(tmp_path / "in", tmp_path / "named", source_format="batch").calls == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"custom_id": "1"', "line 2' is damaged at byte 17"),
        ('{"custom_id": "1", "body": {}}', "at line 2 expected the result of a call, found an object"),
        ("[]", "at line 2 expected the result of a call, found a list"),
        ('{"custom_id": "1", "response": {"status_code": "200"}}', "status_code expected a whole number, found 200"),
        ('{"custom_id": "a", "result": {"type": "succeeded"}}', r"line 2: no file beside it has the request"),
    ],
)
def test_damaged_lines(tmp_path: Path, line: str, reason: str) -> None:
    """A line that is damaged, or no result, is refused by its number."""
    lines(tmp_path / "requests.jsonl", chat_request("1", "Hi"))
    expired = json.dumps(chat_result("1", "", response=None))
    (tmp_path / "results.jsonl").write_text(f"{expired}\n{line}\n")
    with pytest.raises(InvalidCassette, match=reason):
        converted(tmp_path / "results.jsonl", tmp_path / "a.json")
