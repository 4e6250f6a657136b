"""Certificates by path: whom to trust, and what to show; and what is said of a file that cannot be used."""

from __future__ import annotations

import pickle
import ssl
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import trustme
import truststore
from cryptography.hazmat.primitives import serialization

from mellite.errors import ConfigurationError, ConnectError, ConnectionLost
from mellite.wire.tls import tls_context, tls_settings
from mellite.wire.transports.http1 import Http1Transport
from tests.wire.transports.http1.servers import serving
from tests.wire.transports.http1.test_tls import CA, GOOD, OTHER_CA, answer, ask, server_tls
from tests.wire.transports.support import whole

pytestmark = pytest.mark.anyio

ME = CA.issue_cert("me@example.com")
NOT_ME = CA.issue_cert("me@example.com")
FOREIGN = OTHER_CA.issue_cert("127.0.0.1")


@pytest.fixture(autouse=True)
def _fresh_system_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variables that name certificates, and nothing kept of what they named."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything in it that a test may name."""
    (tmp_path / "cas").mkdir()
    OTHER_CA.cert_pem.write_to_path(str(tmp_path / "cas" / "other.crt"))
    CA.cert_pem.write_to_path(str(tmp_path / "cas" / "ours.pem"))
    (tmp_path / "cas" / "README").write_text("Our certificates.")
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ME.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    ME.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    NOT_ME.private_key_pem.write_to_path(str(tmp_path / "other-key.pem"))
    ME.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    key = serialization.load_pem_private_key(ME.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    (tmp_path / "encrypted.pem").write_bytes(encrypted)
    (tmp_path / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "notes.pem").write_text("Ask Jane for the certificate.")
    (tmp_path / "empty").mkdir()
    return tmp_path


async def asked(transport: Http1Transport, cert: trustme.LeafCert = GOOD) -> bytes:
    """What a server with this certificate answers."""
    async with serving(answer, server_tls(cert)) as port, aclosing(transport):
        return await whole(await transport.open(ask(port), timeout=5))


async def refused(transport: Http1Transport, cert: trustme.LeafCert, why: str) -> None:
    """A server with this certificate is not trusted."""
    async with serving(answer, server_tls(cert)) as port, aclosing(transport):
        with pytest.raises(ConnectError, match=f"certificate is not trusted: {why}") as caught:
            await transport.open(ask(port), timeout=5)
    assert caught.value.retryable is False


@pytest.mark.parametrize("name", ["ca.pem", "cas"])
async def test_ca(folder: Path, name: str) -> None:
    """A file or a folder of certificates says whom to trust, as a str or a path."""
    assert await asked(Http1Transport(ca=folder / name)) == b"ok"
    assert await asked(Http1Transport(ca=str(folder / name))) == b"ok"


async def test_ca_of_a_pickle(folder: Path) -> None:
    """A pickle of a transport names the files, which are read again."""
    data = pickle.dumps(Http1Transport(ca=folder / "ca.pem"))
    assert await asked(pickle.loads(data)) == b"ok"
    (folder / "ca.pem").unlink()
    with pytest.raises(ConfigurationError, match=r"ca\.pem', from ca=, cannot be read"):
        pickle.loads(data)


async def test_every_file_of_a_folder(folder: Path) -> None:
    """All CAs of a folder are trusted."""
    assert await asked(Http1Transport(ca=folder / "cas"), FOREIGN) == b"ok"


async def test_no_other_ca(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA by path stands in the place of the system's, and changes nothing for other transports."""
    OTHER_CA.cert_pem.write_to_path(str(folder / "system.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "system.pem"))
    assert await asked(Http1Transport(), FOREIGN) == b"ok"
    await refused(Http1Transport(ca=folder / "ca.pem"), FOREIGN, "")
    await refused(Http1Transport(), GOOD, "")


def test_as_strict_as_the_system(folder: Path) -> None:
    """Settings by path differ from Python's own in whom they trust, and in nothing else."""
    own, usual = tls_settings(folder / "cas", None, None), ssl.create_default_context()
    assert own is not None
    for name in ("verify_flags", "verify_mode", "check_hostname", "options", "minimum_version"):
        assert getattr(own, name) == getattr(usual, name), name
    assert len(own.get_ca_certs()) == 2


async def test_host_names_are_checked(folder: Path) -> None:
    """A certificate of a trusted CA for another host is not trusted."""
    await refused(Http1Transport(ca=folder / "ca.pem"), CA.issue_cert("example.com"), r".*127\.0\.0\.1")


def hashed(path: Path) -> str:
    """The name under which OpenSSL looks for a certificate in a folder."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() + ".0"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_variables(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The variables of OpenSSL say what the system trusts."""
    path = folder / "ca.pem"
    if variable == "SSL_CERT_DIR":
        path = folder / "hashed"
        path.mkdir()
        CA.cert_pem.write_to_path(str(path / hashed(folder / "ca.pem")))
        assert await asked(Http1Transport(ca=path)) == b"ok"
    monkeypatch.setenv(variable, str(path))
    assert await asked(Http1Transport()) == b"ok"


@pytest.mark.parametrize("names", [("both.pem",), ("cert.pem", "key.pem")])
async def test_a_client_certificate(folder: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    """A server that asks for a certificate gets it, from one file or two; with the system's CAs, or others."""

    def want(tls: ssl.SSLContext) -> None:
        tls.verify_mode = ssl.CERT_REQUIRED
        CA.configure_trust(tls)

    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    first = folder / names[0]
    cert = (first, str(folder / names[1])) if len(names) == 2 else first
    async with serving(answer, server_tls(GOOD, want)) as port:
        for with_one in (Http1Transport(cert=cert), Http1Transport(ca=folder / "ca.pem", cert=cert)):
            async with aclosing(with_one):
                assert await whole(await with_one.open(ask(port), timeout=5)) == b"ok"
        async with aclosing(Http1Transport()) as without:
            with pytest.raises((ConnectError, ConnectionLost)):
                await without.open(ask(port), timeout=5)


UNUSABLE = {
    "no such CA": ({"ca": "gone.pem"}, r"gone\.pem', from ca=, cannot be read: No such file or directory"),
    "no PEM": ({"ca": "notes.pem"}, r"notes\.pem', from ca=, holds no certificate in PEM"),
    "a damaged CA": ({"ca": "damaged.pem"}, r"certificates in '.*damaged\.pem', from ca=, cannot be used: "),
    "an empty folder": ({"ca": "empty"}, r"folder '.*empty' in ca= holds no certificates"),
    "no such certificate": ({"cert": "gone.pem"}, r"gone\.pem', from cert=, cannot be read: No such file"),
    "a folder": ({"cert": "empty"}, r"empty', from cert=, cannot be read: Is a directory"),
    "no certificate": ({"cert": "key.pem"}, r"key\.pem', from cert=, holds no certificate in PEM"),
    "no key": ({"cert": "cert.pem"}, r"cert\.pem', from cert=, holds no private key in PEM"),
    "no such key": ({"cert": ("cert.pem", "gone.pem")}, r"gone\.pem', from cert=, cannot be read"),
    "another's key": (
        {"cert": ("cert.pem", "other-key.pem")},
        r"cert\.pem' and '.*other-key\.pem', from cert=, cannot be used: key values mismatch",
    ),
    "an encrypted key": (
        {"cert": ("cert.pem", "encrypted.pem")},
        r"encrypted\.pem', from cert=, cannot be used: the key is encrypted; decrypt it, or .* into ssl_context=",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used(folder: Path, name: str) -> None:
    """A transport with a file that cannot be used is not made; the error names file and argument."""
    given, why = UNUSABLE[name]
    paths = {
        argument: tuple(folder / each for each in value) if isinstance(value, tuple) else folder / value
        for argument, value in given.items()
    }
    with pytest.raises(ConfigurationError, match=why) as caught:
        Http1Transport(**paths)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    for cert in (ME, NOT_ME):
        assert cert.private_key_pem.bytes().decode().split("\n")[1] not in shown


@pytest.mark.parametrize("argument", ["ca", "cert"])
def test_both_kinds_of_settings(folder: Path, argument: str) -> None:
    """Paths and a context at once are an error that says what to do."""
    with pytest.raises(ConfigurationError, match=rf"{argument}= and ssl_context= cannot both be given: load the"):
        Http1Transport(**{argument: folder / "both.pem"}, ssl_context=ssl.create_default_context())  # type: ignore[arg-type]


def test_the_store_of_the_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has a store that is not a file, truststore asks it, unless a variable names certificates."""
    assert isinstance(tls_context(), truststore.SSLContext) is (sys.platform in ("darwin", "win32"))
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    assert not isinstance(tls_context(), truststore.SSLContext)


def test_system_settings_are_read_once() -> None:
    """One set of settings serves every connection of the process."""
    assert tls_context() is tls_context()
