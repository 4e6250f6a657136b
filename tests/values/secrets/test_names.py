"""The table of names: which headers, parameters, fields and variables are secret, and that redaction goes by it."""

from __future__ import annotations

import json

import pytest

from mellite.cassettes import Redaction
from mellite.values.secrets.names import NAMES, VARIABLE_WORDS, is_secret_header, named_secrets, plain_name

PLAIN = Redaction()
VALUE = "correct horse battery"


def test_sources() -> None:
    """Each row says where its name is documented, and no name stands there twice."""
    assert [row for row in (*NAMES, *VARIABLE_WORDS) if not row.source.startswith("https://")] == []
    names = [plain_name(row.name) for row in NAMES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row.name)
def test_every_name(row: object) -> None:
    """The value of each name is left out in the places that its row says, however the name is written."""
    name, places = row.name, row.places
    for written in (name, name.upper(), name.replace("_", "-"), name.replace("-", "_")):
        if "header" in places:
            assert is_secret_header(written)
            assert PLAIN.headers({written: VALUE}, {written.lower()}) == {written.lower(): "[REDACTED]"}
        if "query" in places:
            assert (
                PLAIN.url(f"https://example.com/?a=b&{written}=v")
                == f"https://example.com/?a=b&{written}=%5BREDACTED%5D"
            )
            assert "=v" not in PLAIN.url(f"https://example.com/#{written}=v&a=b")
        if "field" in places:
            assert PLAIN.json({"a": [{written: VALUE}]}) == {"a": [{written: "[REDACTED]"}]}
            assert VALUE not in PLAIN.json({"arguments": json.dumps({"a": {written: VALUE}})})["arguments"]


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "prompt_tokens",
        "signature",
        "thoughtSignature",
        "encrypted_content",
        "code",
        "key",
        "pwd",
        "session_id",
    ],
)
def test_fields_that_answers_need(name: str) -> None:
    """Fields that are not secrets, or without which an answer could not be sent back, stay in JSON."""
    assert PLAIN.json({name: "x"}) == {name: "x"}


def test_json_in_strings() -> None:
    """JSON that is a string in JSON loses its secrets, at several levels; what has none stays as it was written."""
    inner = json.dumps({"user": "me", "passwd": VALUE, "more": json.dumps([{"id_token": VALUE}])}, indent=1)
    clean = PLAIN.json({"arguments": inner, "list": [inner], "other": '{"a": 1}', "text": "{not JSON"})
    assert json.loads(clean["arguments"]) == {
        "user": "me",
        "passwd": "[REDACTED]",
        "more": '[{"id_token":"[REDACTED]"}]',
    }
    assert clean["list"] == [clean["arguments"]]
    assert (clean["other"], clean["text"]) == ('{"a": 1}', "{not JSON")
    assert PLAIN.json(json.loads(json.dumps(clean))) == clean
    redacted = json.dumps(json.loads(clean["arguments"]), indent=2)
    assert PLAIN.text(redacted) == clean["arguments"], "the same form, whatever blanks there were"


@pytest.mark.parametrize(
    "name",
    ["DB_PASS", "MYSQL_PWD", "AZURE_DEVOPS_PAT", "SENTRY_DSN", "STORAGE_SAS", "SMTP_PASSPHRASE", "GH_TOKEN", "APP_JWT"],
)
def test_variables(name: str) -> None:
    """The values of such variables are looked for."""
    small = f"{name.lower()}2"
    assert named_secrets({name: VALUE, small: f"{VALUE}2"}) == {VALUE: name, f"{VALUE}2": small}


@pytest.mark.parametrize("name", ["PATH", "PATTERN", "COMPASS", "GIT_AUTHOR_NAME", "PYTHONPATH", "SASS_STYLE", "PWDX"])
def test_other_variables(name: str) -> None:
    """The values of these are not."""
    assert named_secrets({name: VALUE}) == {}


def test_places_are_no_secrets() -> None:
    """Where something is, is not a secret; an address with a password in it is one."""
    assert (
        named_secrets({"OLD_PWD": "/home/me/work", "API_URL": "https://example.com/v1/", "KEY_FILE": "~/.keys/a"}) == {}
    )
    dsn = "https://0123456789abcdef@o1.ingest.example.com/1"
    assert named_secrets({"SENTRY_DSN": dsn}) == {dsn: "SENTRY_DSN"}
