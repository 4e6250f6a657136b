"""Sign a request for AWS with Signature Version 4: only a signature is sent, never the secret key.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import abc
import hmac
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from ...values.errors import AuthenticationError, InvalidCredential
from ..endpoint import Setting
from .keys import Auth, Given

if TYPE_CHECKING:
    from ..http import HttpRequest

__all__ = ["AwsKeys", "EnvironmentKeys", "GivenKeys", "RevealedKeys", "SigV4"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"

#: What stands on the way between us and AWS may change these.
_UNSIGNED: Final = frozenset({"authorization", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_UNSENDABLE: Final = re.compile(r"[^!-~]")
_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class RevealedKeys(NamedTuple):
    """An access key in the clear; not to be kept.

    Attributes:
        id: the access key's id, as in ``AKIA...``.
        secret: its secret.
        token: the session token that belongs to a temporary key.
    """

    id: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return "<an AWS access key>"


class AwsKeys(abc.ABC):
    """Where an AWS access key comes from; it is looked up when a request is made."""

    __slots__ = ()

    @abc.abstractmethod
    def reveal(self) -> RevealedKeys:
        """The key as it is now.

        Raises:
            AuthenticationError: with kind ``missing`` if there is none.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Where it comes from, for messages."""

    async def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what has to be done before the key can be revealed."""


class GivenKeys(AwsKeys):
    """An access key given in code. Its repr, `vars` and pickle do not hold it: after unpickling it is missing.

    Example:
        >>> GivenKeys("AKIAEXAMPLE", "secret")
        <an AWS access key given in code>
    """

    __slots__ = ("_id", "_secret", "_token")

    def __init__(self, id: str, secret: str, token: str | None = None) -> None:
        self._id = Given(id)
        self._secret = Given(secret)
        self._token = None if token is None else Given(token)

    def reveal(self) -> RevealedKeys:
        """The key, unless it was lost by pickling."""
        token = self._token
        return RevealedKeys(self._id.reveal(), self._secret.reveal(), None if token is None else token.reveal())

    def describe(self) -> str:
        """That it was given in code."""
        return "the AWS access key given in code"

    def __repr__(self) -> str:
        return "<an AWS access key given in code>"


@frozen
class EnvironmentKeys(AwsKeys):
    """``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and, if it is set, ``AWS_SESSION_TOKEN``; read at call time.

    Example:
        >>> EnvironmentKeys().describe()
        'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
    """

    @property
    def is_there(self) -> bool:
        """Whether there is a key, or a part of one."""
        return any(os.environ.get(name) for name in _VARIABLES[:2])

    def reveal(self) -> RevealedKeys:
        """The key, by the environment as it is now."""
        missing = [name for name in _VARIABLES[:2] if not os.environ.get(name)]
        if missing:
            msg = f"no AWS access key: set the environment variable {' and '.join(missing)}, or give the key in code"
            raise AuthenticationError(msg, kind="missing")
        key_id, secret, token = [os.environ.get(name, "") for name in _VARIABLES]
        return RevealedKeys(key_id, secret, token or None)

    def describe(self) -> str:
        """The names of the variables."""
        return " and ".join(_VARIABLES[:2])


def _now() -> datetime:
    return datetime.now(UTC)


@frozen
class SigV4(Auth):
    """Sign each request: its method, its URL, its headers and its body, as they are sent.

    Args:
        keys: who signs.
        service: AWS's name of the service, as in ``bedrock``.
        region: where it runs, as in ``us-east-1``.
        clock: tells the time, with its time zone.

    Example:
        >>> from mellite.wire.http import HttpRequest
        >>> auth = SigV4(GivenKeys("AKIAEXAMPLE", "secret"), service="bedrock", region=Setting("us-east-1"))
        >>> sorted(auth.headers(HttpRequest("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/")))
        ['authorization', 'x-amz-date']
    """

    keys: AwsKeys
    service: str = field(kw_only=True)
    region: Setting = field(kw_only=True)
    clock: Callable[[], datetime] = field(default=_now, kw_only=True, repr=False)

    def headers(self, request: HttpRequest) -> Mapping[str, str]:
        """The signature, the time it was made and, for temporary keys, their session token.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
            InvalidCredential: if the key cannot be sent.
            ConfigurationError: if there is no region.
        """
        time = self.clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{time[:8]}/{self.region.of('region')}/{self.service}/aws4_request"
        keys = self.keys.reveal()
        problem = _problem(keys)
        if problem is not None:
            del keys  # a traceback shows the locals of this frame
            msg = f"{self.keys.describe()} cannot be sent: {problem}; look for a copying mistake"
            raise InvalidCredential(msg)
        return _signed(request, keys, time, scope)

    def describe(self) -> str:
        """Where the key comes from."""
        return self.keys.describe()

    async def ready(self) -> None:
        """Have the keys looked up, if that takes a while."""
        await self.keys.ready()


def _problem(keys: RevealedKeys) -> str | None:
    """What is wrong with a key; never the key itself."""
    for name, value in zip(RevealedKeys._fields, keys, strict=True):
        wrong = _UNSENDABLE.search(value or "")
        if wrong is not None:
            return f"the {name} has a character that is not printable ASCII at position {wrong.start()}"
    return None


# Nothing may fail below while a key is there: a traceback shows the locals.


def _signed(request: HttpRequest, keys: RevealedKeys, time: str, scope: str) -> dict[str, str]:
    added = {"x-amz-date": time}
    if keys.token is not None:
        added["x-amz-security-token"] = keys.token
    headers = {name: value for name, value in request.headers.items() if name not in _UNSIGNED}
    headers = {"host": _host(request.url), **headers, **added}
    canonical = _canonical(request, headers)
    digest = sha256(canonical.encode("utf-8", "replace")).hexdigest()
    signature = _signature(keys.secret, scope, f"{_ALGORITHM}\n{time}\n{scope}\n{digest}")
    signed = ";".join(sorted(headers))
    added["authorization"] = f"{_ALGORITHM} Credential={keys.id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    return added


def _signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: HttpRequest, headers: Mapping[str, str]) -> str:
    """The request in the one spelling that both sides make the signature of."""
    parts = urlsplit(request.url)
    names = sorted(headers)
    return "\n".join(
        [
            request.method,
            _path(parts.path),
            _query(parts.query),
            *[f"{name}:{' '.join(headers[name].split())}" for name in names],
            "",
            ";".join(names),
            sha256(request.body).hexdigest(),
        ]
    )


def _query(query: str) -> str:
    pairs = sorted([pair.partition("=")[::2] for pair in query.split("&")]) if query else []
    return "&".join([f"{name}={value}" for name, value in pairs])


def _path(path: str) -> str:
    """The path, percent-encoded once more than it is sent, without empty steps."""
    steps = [step for step in path.split("/") if step]
    slash = "/" if path.endswith("/") and steps else ""
    return quote(f"/{'/'.join(steps)}{slash}", safe="/~")


def _host(url: str) -> str:
    """What clients send as the host: in lower case, with the port unless it is the usual one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"
