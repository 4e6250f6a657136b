"""The files of batches: their lines, read and written, how they are cut, and what a ledger finds again."""

from __future__ import annotations

import json

import pytest
from attrs import asdict

from mellite.engine.batch.ledger import BatchCall, Ledger
from mellite.engine.batch.limits import LIMITS, BatchLimits
from mellite.engine.batch.lines import Result, custom_id_of, request_line, result_of
from mellite.engine.batch.places import BatchPlace
from mellite.engine.batch.splitting import Filling
from mellite.errors import InvalidJournal, InvalidProviderOutput, PayloadTooLarge

BODY = b'{"model":"m","messages":[{"role":"user","content":"gr\xc3\xb6\xc3\x9fe\\nx"}],"stream":false}'

LINES = {
    "openai": {"custom_id": "m1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}},
    "mistral": {"custom_id": "m1", "body": {}},
    "anthropic": {"custom_id": "m1", "params": {"model": "m"}},
    "gemini": {"key": "m1", "request": {"model": "m"}},
}


@pytest.mark.parametrize("format", LINES)
def test_a_line_has_what_its_service_wants(format):
    """Each format names the request in its own way, and holds the body as it is sent, which does not stream."""
    line = request_line(format, "m1", url="/v1/chat/completions", body=BODY)
    assert b"\n" not in line
    (inside,) = LINES[format].keys() & {"body", "params", "request"}
    messages = [{"role": "user", "content": "größe\nx"}]
    assert json.loads(line) == {**LINES[format], inside: {**LINES[format][inside], "messages": messages}}


OPENAI = {"id": "r", "custom_id": "m1", "response": None, "error": None}
RESULTS = {
    "openai answered": (
        "openai",
        {**OPENAI, "response": {"status_code": 200, "request_id": "q", "body": {"a": 1.0}}},
        Result("m1", body=b'{"a": 1.0}', request_id="q"),
    ),
    "openai refused": (
        "openai",
        {**OPENAI, "response": {"status_code": 429, "request_id": "q", "body": {"error": {}}}},
        Result("m1", status=429, body=b'{"error": {}}', request_id="q"),
    ),
    "openai expired": (
        "openai",
        {**OPENAI, "error": {"code": "batch_expired", "message": "late"}},
        Result("m1", "expired", message="late"),
    ),
    "openai cancelled": ("openai", {**OPENAI, "error": {"code": "batch_cancelled"}}, Result("m1", "cancelled")),
    "anthropic answered": (
        "anthropic",
        {"custom_id": "m1", "result": {"type": "succeeded", "message": {"id": "x"}}},
        Result("m1", body=b'{"id": "x"}'),
    ),
    "anthropic overloaded": (
        "anthropic",
        {
            "custom_id": "m1",
            "result": {"type": "errored", "error": {"type": "error", "error": {"type": "overloaded_error"}}},
        },
        Result("m1", status=529, body=b'{"type": "error", "error": {"type": "overloaded_error"}}'),
    ),
    "anthropic expired": ("anthropic", {"custom_id": "m1", "result": {"type": "expired"}}, Result("m1", "expired")),
    "anthropic canceled": ("anthropic", {"custom_id": "m1", "result": {"type": "canceled"}}, Result("m1", "cancelled")),
    "gemini answered": ("gemini", {"key": "m1", "response": {"x": []}}, Result("m1", body=b'{"x": []}')),
    "gemini exhausted": (
        "gemini",
        {"key": "m1", "error": {"code": 8, "message": "quota"}},
        Result("m1", status=429, body=b'{"error": {"code": 429, "message": "quota"}}'),
    ),
    "gemini cancelled": ("gemini", {"key": "m1", "error": {"code": 1}}, Result("m1", "cancelled")),
}


@pytest.mark.parametrize("case", RESULTS)
def test_a_result_is_read(case):
    """What a service says of a request, and the body of its answer as the very bytes that came."""
    format, line, expected = RESULTS[case]
    assert result_of(format, json.dumps(line).encode()) == expected


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"custom_id": 3}', b'{"result": {}}', b"\xff"])
@pytest.mark.parametrize("format", LINES)
def test_what_is_no_result_is_an_error(format, line):
    """A line that is cut or something else is an error that shows how it begins."""
    with pytest.raises(InvalidProviderOutput, match="a line of the results is not a result of a batch"):
        result_of(format, line)


def test_ids_of_equal_calls_differ():
    """Equal calls, and those that are asked again, have ids of their own."""
    ids = {custom_id_of("k"), custom_id_of("k", 1), custom_id_of("k", 0, 1), custom_id_of("k:1")}
    assert len(ids) == 4
    assert {len(id) for id in ids} == {41}


def test_files_are_cut_by_number_and_by_bytes():
    """A file takes as many lines, and as many bytes, as its service, and no line in two pieces."""
    limits = BatchLimits(requests=3, bytes=1_064, source="", date="")
    filling = Filling(limits)
    assert [filling.takes(size) for size in (99, 99, 99, 99)] == [True, True, True, False]
    filling = Filling(limits)
    assert [filling.takes(size) for size in (599, 399, 1)] == [True, True, False]
    assert (filling.requests, filling.bytes) == (2, 1_000)
    with pytest.raises(PayloadTooLarge, match="fits in no batch"):
        filling.takes(1_000)


def test_each_limit_says_where_it_is_from():
    """Each row of the table has a source and a date."""
    assert {
        name for name, row in LIMITS.items() if not (row.source.startswith("https://") and row.date >= "2026")
    } == set()


PLACE = BatchPlace(
    format="openai",
    provider="openai",
    protocol="openai-chat",
    model="m",
    url="https://api.openai.com/v1/chat/completions",
    base="https://api.openai.com/v1",
    path="/v1/chat/completions",
    headers={},
)


def test_a_ledger_is_found_again(tmp_path):
    """What was noted is there when the ledger is opened again; a note that was being written is not."""
    ledger = Ledger(str(tmp_path))
    calls = [BatchCall(id="m1", key="k", metadata={"n": 1}), BatchCall(id="m2", key="k", nth=1)]
    part = ledger.plan(ledger.new_name(), PLACE, b"a\nb\n", calls)
    ledger.note(part, file="f")
    ledger.note(part, id="batch_1", results=("u",))
    ledger.take("m1")
    ledger.close()
    notes = tmp_path / "batches" / "notes"
    notes.write_bytes(notes.read_bytes() + b'{"note": "known", "part"')
    for _ in range(2):
        again = Ledger(str(tmp_path))
        (found,) = again.parts.values()
        assert asdict(found, recurse=False) == asdict(part, recurse=False)
        assert (again.ids, again.taken, again.next_nth("k")) == ({"m1": part.name, "m2": part.name}, {"m1"}, 2)
        assert list(again.calls(found)) == calls
        assert again.lines(found) == b"a\nb\n"
        again.take("m1")
        again.note(found, ended="completed")
        part.ended = "completed"
        again.close()
    notes.write_bytes(b"no\n")
    with pytest.raises(InvalidJournal, match="line 1: this is not a note of a batch"):
        Ledger(str(tmp_path))
