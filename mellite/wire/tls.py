"""TLS settings: which certificates to trust, and which one to show."""

from __future__ import annotations

import functools
import os
import re
import ssl
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

from ..values.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CaPath", "CertPaths", "system_tls", "tls_context", "tls_settings"]

#: A file of certificates in PEM, or a folder of such files.
CaPath: TypeAlias = "str | os.PathLike[str]"

#: A file that holds certificate and key, or the two files.
CertPaths: TypeAlias = "CaPath | tuple[CaPath, CaPath]"

#: Files of a folder that hold certificates: by their ending, or by the name that OpenSSL's `rehash` gives them.
_CERTIFICATES: Final = re.compile(r".*\.(?:pem|crt|cer)|[0-9a-f]{8}\.\d+", re.IGNORECASE)

#: Systems that keep their certificates elsewhere than in files.
_WITH_A_STORE: Final = ("darwin", "win32")


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return TLS settings with the system's certificates. Cached for the process: loading them takes milliseconds."""
    return system_tls()


def tls_settings(
    ca: CaPath | None, cert: CertPaths | None, ssl_context: ssl.SSLContext | None
) -> ssl.SSLContext | None:
    """Return the TLS settings that a transport was given, or None for those of the system. Files are read now.

    Args:
        ca: the certificates to trust instead of the system's.
        cert: the client's certificate and key.
        ssl_context: whole settings, instead of either.

    Raises:
        ConfigurationError: for a file that cannot be used, which the message names; or for settings of both kinds.
    """
    if ca is None and cert is None:
        return ssl_context
    if ssl_context is not None:
        name = "ca" if ca is not None else "cert"
        msg = f"{name}= and ssl_context= cannot both be given: load the certificates into the context, or leave it out"
        raise ConfigurationError(msg)
    context = system_tls() if ca is None else _trusting(ca)
    if cert is not None:
        _show(context, cert)
    return context


def system_tls() -> ssl.SSLContext:
    """Return new settings that trust what the system trusts.

    On macOS and Windows that is known to the system alone, and asked for by truststore where that is installed. On
    Linux it is in the files that OpenSSL reads; truststore would read them again for every connection, which takes
    50 ms. SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's: where one is set, it decides.
    """
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if sys.platform in _WITH_A_STORE and not named:
        try:
            import truststore
        except ModuleNotFoundError:
            pass
        else:
            return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


def _trusting(ca: CaPath) -> ssl.SSLContext:
    """Return settings that trust what is in a file or folder, and nothing else; as strict as Python's own."""
    from pathlib import Path

    first, *others = _files_of(Path(ca))
    context = _trust(first, None)
    for path in others:
        _trust(path, context)
    return context


def _files_of(ca: Path) -> list[Path]:
    """Return the file, or the files with certificates of a folder.

    Raises:
        ConfigurationError: if there is no such file in the folder.
    """
    if not ca.is_dir():
        return [ca]
    files = sorted(path for path in ca.iterdir() if _CERTIFICATES.fullmatch(path.name) and path.is_file())
    if not files:
        msg = f"the folder {str(ca)!r} in ca= holds no certificates: no file in it ends in .pem, .crt or .cer"
        raise ConfigurationError(msg)
    return files


def _trust(path: Path, context: ssl.SSLContext | None) -> ssl.SSLContext:
    """Trust the certificates in a file, by settings that are there or by new ones, which trust nothing else."""
    _check_readable("ca", path, "CERTIFICATE")
    try:
        if context is None:
            return ssl.create_default_context(cafile=path)
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        msg = f"the certificates in {str(path)!r}, from ca=, cannot be used: {_reason(error)}"
        raise ConfigurationError(msg) from None
    return context


def _show(context: ssl.SSLContext, cert: CertPaths) -> None:
    """Have a client certificate shown to servers that ask for one."""
    from pathlib import Path

    first, second = cert if isinstance(cert, tuple) else (cert, cert)
    certificate, key = Path(first), Path(second)
    _check_readable("cert", certificate, "CERTIFICATE")
    _check_readable("cert", key, "PRIVATE KEY")
    asked: list[bool] = []

    def password() -> bytes:  # without it, OpenSSL would ask at the terminal, and wait
        asked.append(True)
        return b""

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        why = "the key is encrypted; decrypt it, or load it with its password into ssl_context=" if asked else ""
        files = repr(str(certificate)) if key == certificate else f"{str(certificate)!r} and {str(key)!r}"
        msg = f"the client certificate in {files}, from cert=, cannot be used: {why or _reason(error)}"
        raise ConfigurationError(msg) from None


def _check_readable(option: str, path: Path, kind: str) -> None:
    """Refuse a file that is not there, or holds no PEM of a kind: OpenSSL would not say which file that was.

    Raises:
        ConfigurationError: in that case.
    """
    try:
        holds = f"{kind}-----".encode() in path.read_bytes()  # not kept: tracebacks may show local variables
    except OSError as error:
        msg = f"the file {str(path)!r}, from {option}=, cannot be read: {os.strerror(error.errno or 0)}"
        raise ConfigurationError(msg) from None
    if not holds:
        msg = f"the file {str(path)!r}, from {option}=, holds no {kind.lower()} in PEM, which begins with -----BEGIN"
        raise ConfigurationError(msg)


def _reason(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, in its words."""
    return str(error.reason or "it is damaged").replace("_", " ").lower()
