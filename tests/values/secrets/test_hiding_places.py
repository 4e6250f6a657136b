"""Made-up keys of all vendors in every place where a key may hide; and recorded traffic, in which there is none."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mellite.cassettes import (
    Body,
    HttpInteraction,
    RecordedRequest,
    RecordedResponse,
    WebSocketEvent,
    WebSocketInteraction,
    load_cassette,
)
from mellite.cassettes.interactions import Interaction
from mellite.cassettes.secrets.scan import SecretScan
from mellite.values.secrets.shapes import SHAPES
from tests.values.secrets.made_up import KEYS, kind

SCAN = SecretScan({})


def answer(body: str | bytes, **request: Any) -> HttpInteraction:
    """An interaction with this answer."""
    url, asked = request.pop("url", "https://example.com/v1"), request.pop("asked", Body(""))
    recorded = RecordedRequest("POST", url, body=asked, **request)
    return HttpInteraction(recorded, RecordedResponse(200, body=Body.of(body)))


def events(*texts: str) -> str:
    """A stream of Chat Completions."""
    made = [{"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return "".join([f"data: {json.dumps(event)}\n\n" for event in made]) + "data: [DONE]\n\n"


def called(arguments: dict[str, str]) -> str:
    """An answer that calls a tool, whose arguments are JSON in a string."""
    call = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": json.dumps(arguments)}}
    return json.dumps({"choices": [{"message": {"content": None, "tool_calls": [call]}}]})


def halves(key: str) -> tuple[str, str]:
    """A key cut in its middle."""
    return key[: len(key) // 2], key[len(key) // 2 :]


def lines(key: str) -> str:
    """Base64 of a file with a key in it, in lines of 76 characters."""
    before, after = "# a file of settings\n" * 6, "# and more\n" * 6
    return base64.encodebytes(f"{before}KEY={key}\n{after}".encode()).decode()


PLACES: dict[str, Callable[[str], Interaction]] = {
    "plain": lambda key: answer(f"It is {key}, then."),
    "behind a colour": lambda key: answer(f"\x1b[1;31m{key}\x1b[0m"),
    "behind a colour, in JSON": lambda key: answer(json.dumps({"log": f"\x1b[31m{key}\x1b[0m"})),
    "behind a colour that is written out": lambda key: answer(json.dumps({"log": rf"\x1b[38;5;9m{key}\033[m"})),
    "behind %20": lambda key: answer("", url=f"https://example.com/?q=it%20is%20{quote(key, safe='')}"),
    "behind %3D": lambda key: answer(json.dumps({"next": f"https://example.com/?u=k%3D{quote(key, safe='')}"})),
    "behind %253D": lambda key: answer(f"u=k%253D{quote(quote(key, safe=''), safe='')}"),
    "behind an underscore": lambda key: answer(json.dumps({"text": f"__{key}"})),
    "in the arguments of a tool": lambda key: answer(called({"command": f"export X='{key}'\n"})),
    "in the result of a tool": lambda key: answer(
        "", asked=Body(json.dumps({"messages": [{"role": "tool", "content": json.dumps({"stdout": f"\n{key}\n"})}]}))
    ),
    "in base64": lambda key: answer(json.dumps({"data": base64.b64encode(f"it is {key}\n".encode()).decode()})),
    "in base64 of 76 columns": lambda key: answer(lines(key).replace("\n", "\r\n")),
    "in base64 of 76 columns, in JSON": lambda key: answer(json.dumps({"content": lines(key)})),
    "in two events": lambda key: answer(events("It is ", *halves(key), ".")),
    "in two frames": lambda key: WebSocketInteraction(
        tuple([WebSocketEvent("server", "text", body=Body(json.dumps({"delta": half}))) for half in halves(key)])
    ),
    "in a header": lambda key: answer("", headers={"x-forwarded-for": key}),
    "in a query": lambda key: answer("", url=f"https://example.com/?x={quote(key, safe='')}"),
    "in variables": lambda key: answer(f"PATH=/usr/bin\nOTHER='{key}'\nHOME=/root\n"),
    "in bytes": lambda key: answer(b"\xff " + key.encode() + b"\xfe"),
    "in gzip": lambda key: answer(gzip.compress(f"it is {key}".encode())),
}


@pytest.mark.parametrize("place", PLACES)
def test_keys_of_all_vendors(place: str) -> None:
    """Each of more than 136 made-up keys is found in this place, and is called by its name."""
    hide = PLACES[place]
    assert SCAN.interaction(hide("nothing")) == ()
    missed = [
        name
        for name, key in KEYS.items()
        if kind(name) not in {one.reason.removesuffix(" in base64") for one in SCAN.interaction(hide("".join(key)))}
    ]
    assert missed == []


def test_how_many_there_are() -> None:
    """Every row of the table has a key of its own here, and each says where its form is published."""
    assert len({"".join(key) for key in KEYS.values()}) == len(SHAPES) >= 136
    assert [shape.name for shape in SHAPES if not shape.source.startswith("https://")] == []


@pytest.mark.parametrize(
    "text",
    [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 is the hash of nothing, and " + "0123456789abcdef" * 4,
        "01234567-89ab-cdef-0123-456789abcdef",
        "req_011CSHoEeqs5C35K2UUqR7Fy chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJ resp_67ccd2bed1ec8190b14f964abc054267",
        "toolu_01D7FLrfh4GYq7yT1ULFeyMV call_DdmO9pD3xa9XTPNJ32zg2hcA fp_44709d6fcb gen-1234567890-AbCdEfGhIjKlMnOp",
        "install-sk-learn-on-windows-with-this-guide, my_sk_learn_pipeline_estimator, a_re_evaluation_of_models",
        "https://example.com/v1/users/pat/api-key-rotation?sl=en&key=value#access",
        "SKILLS and SKATING, the DOSE was right, patterns_of_the_day.about_everything, SG.and.other.forms.of.the.time",
        "git clone https://github.com/owner/name.git && pip install name==1.0.0",
        "\x1b[31mred\x1b[0m and 100% sure, 50%20off",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Er=",
        "Authorization: Basic [REDACTED], Authorization: Basic authentication, basic_auth",
        "postgres://localhost:5432/db, redis://:@localhost, mailto:someone@example.com, http://a:b",
        "export OPENAI_API_KEY=your-api-key-goes-here APP_SECRET=$(cat /run/secrets/app) MY_TOKEN=${GH_TOKEN_2024}",
        "DB_PASSWORD=/run/secrets/db-2024-password MAX_TOKEN=128000 CACHE_KEY=user-profile-2024-01-01-version-2",
        "//registry.example.com/:_authToken=${NPM_TOKEN} pa-1-2-the-long-way-to-a-good-slug-about-everything 10.0.0.1",
        "secret_sauce_of_the_house secret_access_key: <your key here> AccountKey=...;EndpointSuffix=core.windows.net",
    ],
)
def test_ordinary_text(text: str) -> None:
    """Hashes, ids, addresses, slugs, pictures and placeholders are not secrets, also in JSON and in a stream."""
    for body in (text, json.dumps({"text": text}), events(text, text[::-1]), json.dumps(json.dumps([text]))):
        assert SCAN.interaction(answer(body)) == ()


def test_long_base64() -> None:
    """In pictures, encrypted thinking and signatures, short marks of keys come up by chance, and count for nothing."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    some = "".join([digits[(number * number + 7 * number) % 62] for number in range(400)])
    for mark in ("hf_", "r8_", "fw_", "sk_", "rk_", "re_"):
        assert SCAN.text(json.dumps({"encrypted_content": f"gAAAAABm{some}-{mark}{some}"})) == (), mark
        assert SCAN.text(f"mellite/values/errors.py,sha256={mark}{some[:40]},1234") == (), mark
    assert SCAN.text(f"hf_{some}") != ()


def test_nothing_is_found_in_recorded_traffic(corpora: Path) -> None:
    """None of 459 recorded answers, with their requests, holds anything that looks like a secret."""
    count = 0
    with gzip.open(corpora / "interactions.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            body = base64.b64decode(row["body_b64"])
            asked = Body(json.dumps(row["request"]))
            recorded = RecordedRequest(row["method"], row["uri"], body=asked)
            one = HttpInteraction(recorded, RecordedResponse(200, headers=row["headers"], body=Body.of(body)))
            assert SCAN.interaction(one) == (), row["key"]
            count += 1
    assert count == 459


def test_nothing_is_found_in_cassettes_of_others(corpora: Path) -> None:
    """None of the cassettes in other recorders' formats holds anything that looks like a secret."""
    paths = [*sorted((corpora / "opencode").rglob("*.json")), *sorted((corpora / "vcr").rglob("*.yaml"))]
    cassettes = [path for path in paths if path.suffix == ".yaml" or b'"interactions"' in path.read_bytes()]
    assert [path.name for path in cassettes if SCAN.cassette(load_cassette(path))] == []
    assert len(cassettes) >= 100
