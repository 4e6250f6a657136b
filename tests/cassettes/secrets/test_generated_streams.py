"""The quick look at a stream finds no less than the full scan, in thousands of streams with keys planted in them."""

from __future__ import annotations

import base64
import os
import random

import pytest

from mellite.cassettes import Body, HttpInteraction, RecordedRequest, RecordedResponse
from mellite.cassettes.secrets.bodies import may_have_fields, redacted_body
from mellite.cassettes.secrets.redaction import Redaction
from mellite.cassettes.secrets.scan import SecretScan
from tests.cassettes.secrets.generated_streams import SECRET, made

SCAN = SecretScan({SECRET: "MY_SECRET"})
SEEDS = range(int(os.environ.get("MELLITE_STREAMS", "100")))
EACH = 20


def stored(data: bytes) -> Body:
    """Return a body as a recording stores it."""
    binary = not data.startswith((b"data:", b"event:", b":"))
    return Body(base64.b64encode(data).decode(), encoding="base64") if binary else Body.of(data)


@pytest.mark.parametrize("ten", range(0, len(SEEDS), 10))
def test_findings_are_those_of_the_full_scan(ten: int) -> None:
    """What the scan of an interaction finds in a stream is what the full scan of its text finds."""
    found = 0
    for seed in SEEDS[ten : ten + 10]:
        chance = random.Random(seed)
        for number in range(EACH):
            body = stored(made(chance))
            if body.encoding == "base64":
                continue
            quick = SCAN.interaction(HttpInteraction(RecordedRequest("POST", "/"), RecordedResponse(200, body=body)))
            full = SCAN.text(body.text, "$.response.body")
            assert quick == full, f"seed {seed}, stream {number}"
            found += bool(full)
    assert found > 50, "there is nearly nothing to be found"


@pytest.mark.parametrize("ten", range(0, len(SEEDS), 10))
def test_fields_are_those_of_the_full_redaction(ten: int) -> None:
    """A stream in which the quick look sees no secret field has none."""
    none = 0
    for seed in SEEDS[ten : ten + 10]:
        chance = random.Random(seed)
        for number in range(EACH):
            data = made(chance)
            if not may_have_fields(stored(data), Redaction()):
                none += 1
                assert redacted_body(data, Redaction()) is data, f"seed {seed}, stream {number}"
    assert none > 20, "there is a field nearly everywhere"
