"""AWS access keys that AWS's own tools keep: profiles, programs that print one, what is missing, and nothing shown."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import anyio
import pytest

from mellite.errors import AuthenticationError, MissingExtra
from mellite.wire.auth.aws_profile import DefaultKeys, ProfileKeys
from mellite.wire.auth.sigv4 import GivenKeys, RevealedKeys, SigV4
from mellite.wire.endpoint import Setting
from mellite.wire.http import HttpRequest
from tests.wire.answers import shown

SECRET = "secret-sentinel-4711"
PRINTS = '{"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": "%s", "SessionToken": "t"}' % SECRET  # noqa: UP031


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's environment, and a config of our own with a few profiles."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "prints.txt").write_text(PRINTS)
    (tmp_path / "broken.txt").write_text(PRINTS.replace("}", ""))
    (tmp_path / "old.txt").write_text(PRINTS.replace("}", ', "Expiration": "2020-01-01T00:00:00Z"}'))
    program = f"{sys.executable} -c \"print(open('{tmp_path}/%s.txt').read())\""
    file = tmp_path / "config"
    file.write_text(
        f"[profile work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = {SECRET}\n"
        f"[profile program]\ncredential_process = {program % 'prints'}\n"
        f"[profile broken]\ncredential_process = {program % 'broken'}\n"
        f"[profile old]\ncredential_process = {program % 'old'}\n"
        f"[profile failing]\ncredential_process = {sys.executable} -c 'raise SystemExit(3)'\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)  # nothing may ask it: it is not on this machine
    return file


@pytest.mark.anyio
async def test_keys_of_profiles() -> None:
    """A profile has its key in the file, or from the program that it names; without a name it is the one in use."""
    work, program = ProfileKeys("work"), ProfileKeys("program")
    await work.ready()
    await program.ready()
    assert work.reveal() == RevealedKeys("AKIAWORK", SECRET, None)
    assert program.reveal() == RevealedKeys("AKIAPROGRAM", SECRET, "t")


@pytest.mark.anyio
async def test_the_profile_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name it is the profile of AWS_PROFILE; the key is looked for once, however many wait."""
    monkeypatch.setenv("AWS_PROFILE", "work")
    keys = ProfileKeys()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(keys.ready)
    assert keys.reveal().id == "AKIAWORK"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("profile", "kind", "match"),
    [
        ("nobody", "missing", "'nobody'.*could not be found"),
        (None, "missing", "the AWS profile in use has no access key"),
        ("failing", "unknown", "'failing' gives no access key"),
        ("broken", "unknown", "'broken' gives no access key"),
        ("old", "expired", "'old' gives no access key"),
    ],
)
async def test_profiles_without_a_key(profile: str | None, kind: str, match: str) -> None:
    """What is missing or broken is an AuthenticationError that names the profile, and shows nothing of a key."""
    with pytest.raises(AuthenticationError, match=match) as caught:
        await ProfileKeys(profile).ready()
    assert caught.value.kind == kind
    assert SECRET not in shown(caught.value)
    cause = caught.value.__cause__ or caught.value.__context__
    assert cause is None


def test_a_key_that_was_not_looked_for() -> None:
    """`prepare()` cannot wait: it says what to do first."""
    with pytest.raises(AuthenticationError, match=r"await auth\.ready\(\)"):
        ProfileKeys("work").reveal()


@pytest.mark.anyio
async def test_keys_of_profiles_are_not_shown_and_not_pickled() -> None:
    """Repr and pickle have how to look for the key, not the key; copies share what was found."""
    keys = ProfileKeys("work")
    await keys.ready()
    assert SECRET not in repr(keys)
    assert copy.deepcopy(keys).reveal() == keys.reveal()
    data = pickle.dumps(keys)
    assert SECRET.encode() not in data
    again = pickle.loads(data)
    await again.ready()
    assert again.reveal() == keys.reveal()


@pytest.mark.anyio
async def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the key is that of the environment, else that of the profile in use; a signer waits for it."""
    monkeypatch.setenv("AWS_PROFILE", "work")
    request = HttpRequest("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/")
    auth = SigV4(DefaultKeys(), service="bedrock", region=Setting("us-east-1"))
    with pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        auth.headers(request)
    await auth.ready()
    assert "AKIAWORK" in (auth.headers(request)["authorization"] or "")
    assert auth.advice() == "check the AWS profile in use"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    await auth.ready()
    assert "AKIAENV" in (auth.headers(request)["authorization"] or "")
    assert auth.advice() == "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


@pytest.mark.anyio
async def test_no_key_anywhere() -> None:
    """Without any key the error names the variables and says what was looked for."""
    with pytest.raises(AuthenticationError, match=r"AWS_ACCESS_KEY_ID and .*has no access key") as caught:
        await DefaultKeys().ready()
    assert caught.value.kind == "missing"


@pytest.mark.anyio
async def test_a_profile_that_is_broken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is there but gives no key is told as that, not as no key at all."""
    monkeypatch.setenv("AWS_PROFILE", "failing")
    with pytest.raises(AuthenticationError, match="gives no access key") as caught:
        await DefaultKeys().ready()
    assert caught.value.kind == "unknown"


@pytest.mark.anyio
async def test_without_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where botocore is not installed, a profile that was asked for is a MissingExtra; else it is only said."""
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(MissingExtra, match=r"mellite\[bedrock\]"):
        await ProfileKeys("work").ready()
    with pytest.raises(AuthenticationError, match=r"mellite\[bedrock\]") as caught:
        await DefaultKeys().ready()
    assert caught.value.kind == "missing"


@pytest.mark.anyio
async def test_given_keys_have_nothing_to_wait_for() -> None:
    """A signer with a key given in code is ready at once."""
    await SigV4(GivenKeys("AKIA", SECRET), service="bedrock", region=Setting("us-east-1")).ready()
