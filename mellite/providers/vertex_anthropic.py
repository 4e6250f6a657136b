"""Claude on Google Vertex AI: URL of project and region, and access tokens, for Anthropic's Messages."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from attrs import evolve

from ..protocols.anthropic_messages import AnthropicDialect, protocol
from ..wire.auth.keys import Credential, bearer, none
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from ..wire.versions import Versions
from .anthropic import OLDER_FIELDS, VERSION
from .environment_keys import withheld
from .google_credentials import Login
from .vertex import LOCATIONS, PROJECTS, TOKENS, VertexEndpoint

__all__ = ["messages_route"]

#: The URL names the model, so the body does not.
DIALECT: Final = AnthropicDialect(names_model=False)

#: The body names the version, instead of a header; the older version has another name than at Anthropic.
VERSIONS: Final = Versions(
    newest=VERSION, older="vertex-2023-10-16", older_fields=OLDER_FIELDS, field="anthropic_version"
)


class _Endpoint(VertexEndpoint):
    """The endpoint of Vertex AI without keys: a project must always be named."""

    __slots__ = ()

    def _is_express(self) -> bool:
        return False


def model_path(model: str) -> str:
    """Return the path of one of Anthropic's models in URLs of Vertex AI, below project and location.

    Example:
        >>> model_path("claude-sonnet-4-5@20250929")
        'publishers/anthropic/models/claude-sonnet-4-5@20250929'
    """
    name = re.sub(r"^(publishers/anthropic/)?models/|^anthropic/", "", model)
    return f"publishers/anthropic/models/{quote(name, safe='@')}"


def messages_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    project: str | None = None,
    location: str | None = None,
    access_token: str | Credential | None = None,
    version: str | None = None,
) -> Route:
    """Make the route to Claude on Google Vertex AI, for ``vertex-anthropic:...``.

    By default the environment is read when a call is made: the project from ``GOOGLE_CLOUD_PROJECT``, the location from
    ``GOOGLE_CLOUD_LOCATION`` (else ``global``), and the access token from ``GOOGLE_VERTEX_ACCESS_TOKEN`` or
    ``CLOUDSDK_AUTH_ACCESS_TOKEN``, else by the application default credentials (see
    `mellite.providers.google_credentials`).

    Args:
        api_key: an access token, too, as Vertex AI has no keys for Claude.
        base_url: another server with this protocol: everything before ``/publishers``. No credentials of the
            environment are sent there.
        model: the model's id, as in ``claude-sonnet-4-5@20250929``.
        project: the project's id.
        location: the region, as in ``europe-west1``, ``eu`` or ``global``.
        access_token: an access token, as from ``gcloud auth print-access-token``; or a
            `mellite.wire.auth.tokens.Refreshing` that fetches one, as they expire after an hour.
        version: the version of the API, as in ``vertex-2023-10-16``; see `mellite.providers.anthropic.messages_route`.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> route = messages_route(access_token="ya29.test", project="my-project", model="claude-sonnet-4-5")
        >>> route.endpoint.url(model=route.model).removeprefix("https://aiplatform.googleapis.com/v1beta1/projects/")
        'my-project/locations/global/publishers/anthropic/models/claude-sonnet-4-5:rawPredict'
    """
    settings = {
        "location": Setting(location, variables=LOCATIONS, default="global"),
        "project": Setting(project, variables=PROJECTS),
    }
    endpoint = (_Endpoint if base_url is None else Endpoint)(
        base_url or "https://aiplatform.googleapis.com",
        "/{model}:rawPredict",
        streaming_path="/{model}:streamRawPredict",
        settings=settings,
        model_path=model_path,
    )
    token = access_token or api_key
    if token is not None:
        auth = bearer(token)
    elif base_url is not None:
        auth = none(withheld(" or ".join(TOKENS), "https://aiplatform.googleapis.com"))
    else:
        auth = bearer(Login(*TOKENS))
    return Route(
        id="vertex-anthropic",
        provider="vertex",
        protocol=protocol(DIALECT),
        endpoint=endpoint,
        auth=auth,
        model=model,
        versions=evolve(VERSIONS, named=version),
    )
