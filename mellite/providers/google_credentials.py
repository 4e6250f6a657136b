"""Access tokens for Google Cloud by application default credentials: of a user's gcloud login, or of a Google machine.

How they are found: https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from attrs import frozen

from ..protocols.json_values import decode_json
from ..values.errors import AuthenticationError, ConfigurationError, InvalidProviderOutput, ProviderInternal
from ..values.options import Timeouts
from ..values.provider_json import Json
from ..wire.auth.keys import Credential, Scrubber
from ..wire.auth.tokens import Refreshing, Token
from ..wire.bounds import AnswerBounds
from ..wire.environment import variable
from ..wire.http import HttpRequest, Transport
from ..wire.response import open_response
from ..wire.transports.default import default_transport

__all__ = ["Login"]

FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_TOKENS: Final = "https://oauth2.googleapis.com/token"
_MACHINE: Final = "metadata.google.internal"
_OWN_TOKEN: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
_ON_GOOGLE: Final = ("GCE_METADATA_HOST", "K_SERVICE", "GAE_ENV", "CLOUD_RUN_JOB")
_PRODUCT: Final = "/sys/class/dmi/id/product_name"
_TIMEOUTS: Final = Timeouts(first_byte=10, idle=10, total=20)
_BOUNDS: Final = AnswerBounds(max_bytes=64 * 1024)
_NAME: Final = "Google's application default credentials"


@frozen(init=False)
class Login(Credential):
    """An access token for Google Cloud: from the environment, else fetched when needed.

    The token is fetched with the file that ``gcloud auth application-default login`` has written, or the one that
    ``GOOGLE_APPLICATION_CREDENTIALS`` names; without a file, and on Google's own machines, from the metadata server.
    Elsewhere no request is made. Key files of service accounts need a signature that mellite does not make: use
    ``google-auth`` in the function of a `mellite.wire.auth.tokens.Refreshing`.

    Args:
        variables: environment variables that may hold an access token.
        transport: sends the requests for tokens; by default over the network.

    Example:
        >>> Login("GOOGLE_VERTEX_ACCESS_TOKEN").describe()
        "GOOGLE_VERTEX_ACCESS_TOKEN or Google's application default credentials"
    """

    variables: tuple[str, ...]
    fetched: Refreshing

    def __init__(self, *variables: str, transport: Transport | None = None) -> None:
        object.__setattr__(self, "variables", variables)
        object.__setattr__(self, "fetched", Refreshing(partial(_fetch, transport), name=_NAME))

    async def ready(self) -> None:
        """Fetch a token unless a valid one is there.

        Raises:
            AuthenticationError: if there are no credentials, or they are refused.
            ConfigurationError: if the file with the credentials cannot be used.
        """
        if self._given() is None:
            self._look()
            await self.fetched.ready()

    def is_ready(self) -> bool:
        """Return whether a valid token is there."""
        return self._given() is not None or self.fetched.is_ready()

    def reveal(self) -> str:
        """Return the token.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no token.
        """
        token = self._given()
        if token is not None:
            return token
        self._look()
        return self.fetched.reveal()

    def describe(self) -> str:
        """Return where the token comes from, for messages."""
        return " or ".join([*self.variables, self.fetched.describe()])

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the variables that may hold a token; the credentials of gcloud are in a file."""
        return tuple((name,) for name in self.variables)

    def _given(self) -> str | None:
        for name in self.variables:
            value = variable(name)
            if value:
                return value
        return None

    def _look(self) -> None:
        if _file() is None and not _on_google():
            variables = " or ".join(self.variables)
            way = f"set the environment variable {variables}, or " if variables else ""
            msg = f"no credentials of Google: {way}log in with 'gcloud auth application-default login'"
            raise AuthenticationError(msg, kind="missing")


async def _fetch(transport: Transport | None) -> Token:
    found = _file()
    if found is not None:
        asked, secrets = _as_user(found)
    else:
        host = os.environ.get("GCE_METADATA_HOST") or _MACHINE
        asked = HttpRequest("GET", f"http://{host}{_OWN_TOKEN}", headers={"metadata-flavor": "Google"})
        secrets = Scrubber()
    own = transport or (_directly() if found is None else default_transport())
    try:
        return await _token(own, asked, secrets)
    finally:
        close = getattr(own, "aclose", None)
        if transport is None and close is not None:
            await close()


def _directly() -> Transport:
    """Make a transport that uses no proxy: one could read the machine's token, which is sent in the clear."""
    from ..wire.transports.http1 import Http1Transport

    return Http1Transport(proxy=None)


async def _token(transport: Transport, asked: HttpRequest, secrets: Scrubber) -> Token:
    shown = asked.url
    reader = await open_response(partial(transport.open, asked), _TIMEOUTS, shown=shown, bounds=_BOUNDS)
    try:
        body = await reader.rest()
    finally:
        await reader.abandon()
    status = reader.response.status
    if status >= 500:
        msg = f"HTTP {status} from {shown}, which gives out access tokens; try again"
        raise ProviderInternal(msg, status=status)
    try:
        answer = decode_json(body)
    except InvalidProviderOutput:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    life = answer.get("expires_in") if isinstance(answer, dict) else None
    if status == 200 and isinstance(token, str) and token:
        return Token(token, expires_in=_seconds(life))
    said = answer if isinstance(answer, dict) else {}
    why = secrets.scrub(" ".join([str(said[name]) for name in ("error", "error_description") if said.get(name)])[:200])
    del body, answer, said, token  # keep secrets out of tracebacks with local variables
    msg = f"{_NAME} were refused with HTTP {status}: {why or 'no reason'}; run 'gcloud auth application-default login'"
    raise AuthenticationError(msg, kind="expired" if "invalid_grant" in why else "invalid", status=status)


def _seconds(life: object) -> float | None:
    """Return how long a token is good for; some servers that stand in for Google's write the number as text."""
    if isinstance(life, str) and life.isascii() and life.isdigit():
        return float(life)
    return float(life) if isinstance(life, (int, float)) else None


def _file() -> Path | None:
    """Return the path of the file with the credentials: as named in the environment, or gcloud's if it exists."""
    named = os.environ.get(FILE, "").strip()
    if named:
        return Path(named)
    folder = os.environ.get("CLOUDSDK_CONFIG", "").strip()
    # Unlike pathlib's, these do not raise where a user has no home folder, or none that may be read, as in a container.
    file = os.path.join(folder or os.path.expanduser("~/.config/gcloud"), "application_default_credentials.json")
    return Path(file) if os.path.isfile(file) else None


def _on_google() -> bool:
    """Return whether this machine is one of Google's, without network access."""
    if any(os.environ.get(name) for name in _ON_GOOGLE):
        return True
    try:
        return "Google" in Path(_PRODUCT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _as_user(file: Path) -> tuple[HttpRequest, Scrubber]:
    """Make the request for an access token with a user's credentials, and a scrubber for the secrets in it."""
    known = _read(file)
    names = ("client_id", "client_secret", "refresh_token")
    kind = known.get("type")
    missing = [name for name in names if not isinstance(known.get(name), str) or not known[name]]
    if kind != "authorized_user" or missing:
        del known  # keep secrets out of tracebacks with local variables
        raise _unusable(file, kind, missing)
    form = {"grant_type": "refresh_token", **{name: known[name] for name in names}}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = HttpRequest("POST", _TOKENS, headers=headers, body=urlencode(form).encode())
    return request, Scrubber([known["client_secret"], known["refresh_token"]])


def _unusable(file: Path, kind: object, missing: Sequence[str]) -> ConfigurationError:
    if kind == "authorized_user":
        msg = f"{str(file)!r} has no {missing[0]}; run 'gcloud auth application-default login' again"
    else:
        msg = (
            f"{str(file)!r} holds credentials of the type {kind!r}, with which mellite cannot log in; let google-auth "
            "do it, and give the token as access_token=..., or as a mellite.wire.auth.tokens.Refreshing that fetches it"
        )
    return ConfigurationError(msg)


def _read(file: Path) -> Mapping[str, Json]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read {str(file)!r}, which {FILE} names: {error.strerror or error}"
        raise ConfigurationError(msg) from None
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        msg = f"{str(file)!r} holds no credentials of Google, which are a JSON object"
        raise ConfigurationError(msg)
    return known
