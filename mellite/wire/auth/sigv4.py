"""Sign requests for AWS with Signature Version 4, which sends a signature and never the secret key.

The algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
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

#: Headers that clients and proxies on the way may change, so that they are left out of the signature.
_UNSIGNED: Final = frozenset({"authorization", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_UNSENDABLE: Final = re.compile(r"[^!-~]")
_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class RevealedKeys(NamedTuple):
    """An access key in the clear. Use it at once; do not keep it. The repr does not show it.

    Attributes:
        id: the access key's id, as in ``AKIA...``.
        secret: the secret access key.
        token: the session token of a temporary key, or None.
    """

    id: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return "<an AWS access key>"


class AwsKeys(abc.ABC):
    """The source of an AWS access key, which is looked up for each request."""

    __slots__ = ()

    @abc.abstractmethod
    def reveal(self) -> RevealedKeys:
        """Return the key that is valid now.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Return where the key comes from, for messages."""

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the environment variables that may hold the key: each group that is set as a whole gives one."""
        return ()

    async def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Make the key available. Awaited before `reveal` is called for a request."""


class GivenKeys(AwsKeys):
    """An access key given in code. Neither repr nor `vars` nor pickles show the key: after unpickling it is missing.

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
        """Return the key.

        Raises:
            AuthenticationError: with kind ``missing`` if the key was lost by pickling, or is empty.
        """
        token = self._token
        return RevealedKeys(self._id.reveal(), self._secret.reveal(), None if token is None else token.reveal())

    def describe(self) -> str:
        """Return the words for an access key given in code."""
        return "the AWS access key given in code"

    def __repr__(self) -> str:
        return "<an AWS access key given in code>"


@frozen
class EnvironmentKeys(AwsKeys):
    """An access key in ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``; read at call time.

    The session token is optional.

    Example:
        >>> EnvironmentKeys().describe()
        'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
    """

    @property
    def is_there(self) -> bool:
        """Whether the environment holds a key or a part of one."""
        return any(os.environ.get(name) for name in _VARIABLES[:2])

    def reveal(self) -> RevealedKeys:
        """Return the key that the environment holds now.

        Raises:
            AuthenticationError: with kind ``missing`` if a variable is not set.
        """
        missing = [name for name in _VARIABLES[:2] if not os.environ.get(name)]
        if missing:
            msg = f"no AWS access key: set the environment variable {' and '.join(missing)}, or give the key in code"
            raise AuthenticationError(msg, kind="missing")
        key_id, secret, token = [os.environ.get(name, "") for name in _VARIABLES]
        return RevealedKeys(key_id, secret, token or None)

    def describe(self) -> str:
        """Return the names of the variables."""
        return " and ".join(_VARIABLES[:2])

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the two variables, both of which are needed."""
        return (_VARIABLES[:2],)


def _now() -> datetime:
    return datetime.now(UTC)


@frozen
class SigV4(Auth):
    """An auth that signs the method, URL, headers and body of each request.

    Args:
        keys: the source of the access key.
        service: AWS's name of the service, as in ``bedrock``.
        region: the region of the service, as in ``us-east-1``.
        clock: returns the time, with a time zone.

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
        """Return the headers with the signature, its time and, for a temporary key, the session token.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
            InvalidCredential: if a header cannot hold the key.
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
        """Return where the key comes from, for messages."""
        return self.keys.describe()

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the variables that may hold the access key; see `AwsKeys.held_in`."""
        return self.keys.held_in()

    async def ready(self) -> None:
        """Make the access key available; see `AwsKeys.ready`."""
        await self.keys.ready()

    def is_ready(self) -> bool:
        """Return whether the access key needs no looking for."""
        return type(self.keys).ready is AwsKeys.ready


def _problem(keys: RevealedKeys) -> str | None:
    """Describe the character of a key that a header cannot hold, without showing the key; None if there is none."""
    for name, value in zip(RevealedKeys._fields, keys, strict=True):
        wrong = _UNSENDABLE.search(value or "")
        if wrong is not None:
            return f"the {name} has a character that is not printable ASCII at position {wrong.start()}"
    return None


# Nothing below may raise while a key is in a frame: tracebacks with local variables would show the key.


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
    """Return the canonical request, from which both sides compute the signature."""
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
    """Return the canonical path: without empty segments, and percent-encoded once more than the path that is sent."""
    steps = [step for step in path.split("/") if step]
    slash = "/" if path.endswith("/") and steps else ""
    return quote(f"/{'/'.join(steps)}{slash}", safe="/~")


def _host(url: str) -> str:
    """Return the host header that HTTP clients send: in lower case, with the port unless it is the default."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"
