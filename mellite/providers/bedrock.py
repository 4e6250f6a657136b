"""AWS Bedrock: URL of the region, and keys, for Converse."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from ..protocols.bedrock_converse import protocol
from ..wire.auth.aws_profile import DefaultKeys, ProfileKeys
from ..wire.auth.keys import Auth, Environment, bearer, none
from ..wire.auth.sigv4 import AwsKeys, SigV4
from ..wire.aws import EventStreamDecoder
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from .environment_keys import withheld

__all__ = ["converse_route"]

BASE_URL: Final = "https://bedrock-runtime.{region}.amazonaws.com"
BASE_URL_VARIABLES: Final = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")
REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
REGION: Final = "us-east-1"
TOKEN: Final = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - the name of the variable

#: Bedrock's own hosts. Others of AWS's run what a customer put there: API Gateway, S3, load balancers.
_HOST: Final = re.compile(
    r"(vpce-[a-z0-9-]+\.)?bedrock-runtime(-fips)?\.[a-z0-9-]+\.(vpce\.)?(amazonaws\.com(\.cn)?|api\.aws)"
)


def converse_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    region: str | None = None,
    keys: AwsKeys | None = None,
    profile: str | None = None,
) -> Route:
    """Make the route to AWS Bedrock over Converse, for ``bedrock:...``: models of many companies.

    By default the environment is read when a call is made: the region from ``AWS_REGION`` or ``AWS_DEFAULT_REGION``
    (else ``us-east-1``), and a key from ``AWS_BEARER_TOKEN_BEDROCK``, or from ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, with which each request is signed. Without any of these, the
    key is the one that AWS's own tools would use, if ``mellite[bedrock]`` is installed.

    Args:
        api_key: an API key of Bedrock.
        base_url: another server with this protocol, or a private endpoint. Unless the host is one of Bedrock's, no key
            of the environment is sent there.
        model: the id of a model or an inference profile, or an ARN.
        region: the region, as in ``eu-central-1``.
        keys: the source of an AWS access key, such as ``GivenKeys(id, secret, token)`` of `mellite.wire.auth.sigv4`.
        profile: the name of a profile of AWS's own tools; needs ``mellite[bedrock]``.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> route = converse_route(api_key="test", region="eu-central-1")
        >>> route.endpoint.url(model="eu.amazon.nova-micro-v1:0", streaming=True)
        'https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.amazon.nova-micro-v1%3A0/converse-stream'
    """
    place = Setting(region or _region_in(base_url or ""), variables=REGIONS, default=REGION)
    endpoint = Endpoint(
        base_url or BASE_URL,
        "/model/{model}/converse",
        streaming_path="/model/{model}/converse-stream",
        variables=BASE_URL_VARIABLES if base_url is None else (),
        settings={"region": place},
    )
    if profile is not None and keys is None:
        keys = ProfileKeys(profile)
    elsewhere = base_url is not None and not _is_amazons(base_url)
    return Route(
        id="bedrock-converse",
        provider="bedrock",
        protocol=protocol(),
        endpoint=endpoint,
        auth=_auth(api_key, keys, place, elsewhere=elsewhere),
        framing=EventStreamDecoder,
        model=model,
    )


def _auth(api_key: str | None, keys: AwsKeys | None, region: Setting, *, elsewhere: bool) -> Auth:
    if api_key is not None:
        return bearer(api_key)
    if keys is not None:
        return SigV4(keys, service="bedrock", region=region)
    default = DefaultKeys()
    if elsewhere:
        return none(withheld(f"{TOKEN} or {default.describe()}", "AWS"))
    return bearer(Environment(TOKEN)).or_else(SigV4(default, service="bedrock", region=region))


def _is_amazons(base_url: str) -> bool:
    """Return whether the host is one of Bedrock's: of a region, of a private endpoint, or for IPv6."""
    parts = urlsplit(base_url)
    return parts.scheme == "https" and _HOST.fullmatch((parts.hostname or "").lower()) is not None


def _region_in(base_url: str) -> str | None:
    """Return the region in the name of an AWS host, as the signature must name the same one; None if there is none."""
    found = re.search(r"[./](?:bedrock-runtime(?:-fips)?)\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", base_url)
    return found[1] if found else None
