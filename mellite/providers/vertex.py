"""Google Vertex AI: URL of project and region, keys and access tokens, for Gemini."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import quote, urlsplit

from ..protocols.gemini import GOOGLE, GeminiDialect, protocol
from ..wire.auth.keys import Auth, Credential, Environment, bearer, header, none
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from .environment_keys import withheld
from .google_credentials import Login

__all__ = ["VertexEndpoint", "gemini_route"]

VERSION: Final = "v1beta1"
BASE_URL_VARIABLE: Final = "GOOGLE_VERTEX_BASE_URL"
PROJECTS: Final = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_VERTEX_PROJECT")
LOCATIONS: Final = ("GOOGLE_CLOUD_LOCATION", "GOOGLE_VERTEX_LOCATION")
TOKENS: Final = ("GOOGLE_VERTEX_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN")
KEY: Final = "GOOGLE_VERTEX_API_KEY"

_ACCESS_TOKEN: Final = "ya29."  # noqa: S105 - the prefix of Google's access tokens
_MULTI_REGIONS: Final = frozenset({"eu", "us"})


def model_path(model: str) -> str:
    """Return a model's path in URLs of Vertex AI, below project and location; the id may name its collection.

    Example:
        >>> model_path("gemini-2.5-flash"), model_path("endpoints/4711")
        ('publishers/google/models/gemini-2.5-flash', 'endpoints/4711')
    """
    found = re.fullmatch(r"(models|endpoints|publishers/[a-z0-9-]+/models)/([^/]+)", model)
    collection, name = ("models", model) if found is None else found.groups()
    collection = "publishers/google/models" if collection == "models" else collection
    return f"{collection}/{quote(name, safe='')}"


class VertexEndpoint(Endpoint):
    """The endpoint of Vertex AI, with a host for each region and a path for each project."""

    __slots__ = ()

    def base(self) -> str:
        location = self.settings["location"].of("location")
        host = os.environ.get(BASE_URL_VARIABLE, "").strip() or _host(location)
        if urlsplit(Endpoint(host).base()).path.strip("/"):
            return host
        project = self.settings["project"]
        start = f"{host.rstrip('/')}/{VERSION}"
        if not project.is_given and self._is_express():
            return start
        return f"{start}/projects/{project.of('project')}/locations/{location}"

    def unsaid(self) -> list[str]:
        host = os.environ.get(BASE_URL_VARIABLE, "").strip()
        if host and urlsplit(Endpoint(host).base()).path.strip("/"):
            return []
        needed = ["location"] if self._is_express() else ["location", "project"]
        return [name for name in needed if not self.settings[name].is_given]

    def _is_express(self) -> bool:
        """Return whether the environment holds a key, which belongs to a project and makes naming one needless."""
        return bool(os.environ.get(KEY))


_Vertex = VertexEndpoint  # as pickles of earlier versions call it


class _Express(VertexEndpoint):
    """The endpoint of Vertex AI for a key given in code, which makes naming a project needless."""

    __slots__ = ()

    def _is_express(self) -> bool:
        return True


def _host(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def gemini_route(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    project: str | None = None,
    location: str | None = None,
    access_token: str | Credential | None = None,
) -> Route:
    """Make the route to Gemini on Google Vertex AI, for ``vertex:...``.

    By default the environment is read when a call is made: the project from ``GOOGLE_CLOUD_PROJECT``, the location from
    ``GOOGLE_CLOUD_LOCATION`` (else ``global``), and the credentials from ``GOOGLE_VERTEX_API_KEY``,
    ``GOOGLE_VERTEX_ACCESS_TOKEN``, ``CLOUDSDK_AUTH_ACCESS_TOKEN`` or the application default credentials (see
    `mellite.providers.google_credentials`). An access token needs a project, a key does not.

    Args:
        api_key: a key of Vertex AI; or an access token, which begins with ``ya29.``.
        base_url: another server with this protocol: everything before ``/publishers``. No credentials of the
            environment are sent there.
        model: the model's id; ``endpoints/4711`` for a deployed model.
        project: the project's id.
        location: the region, as in ``europe-west4``, ``eu`` or ``global``.
        access_token: an access token, as from ``gcloud auth print-access-token``; or a
            `mellite.wire.auth.tokens.Refreshing` that fetches one, as they expire after an hour. By default mellite
            fetches one with the application default credentials.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> route = gemini_route(access_token="ya29.test", project="my-project", location="europe-west4")
        >>> route.endpoint.url(model="gemini-2.5-flash")[:72]
        'https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/my-proje'
    """
    if access_token is None and api_key is not None and api_key.startswith(_ACCESS_TOKEN):
        access_token, api_key = api_key, None
    settings = {
        "location": Setting(location, variables=LOCATIONS, default="global"),
        "project": Setting(project, variables=PROJECTS),
    }
    endpoint = (Endpoint if base_url is not None else VertexEndpoint if api_key is None else _Express)(
        base_url or "https://aiplatform.googleapis.com",
        "/{model}:generateContent",
        streaming_path="/{model}:streamGenerateContent",
        streaming_query={"alt": "sse"},
        settings=settings,
        model_path=model_path,
    )
    return Route(
        id="vertex-gemini",
        provider="vertex",
        protocol=protocol(GeminiDialect(namespaces=(*GOOGLE.namespaces, "vertex"), enums="vertex")),
        endpoint=endpoint,
        auth=_auth(api_key, access_token, elsewhere=base_url is not None),
        model=model,
    )


def _auth(api_key: str | None, access_token: str | Credential | None, *, elsewhere: bool) -> Auth:
    if access_token is not None:
        return bearer(access_token)
    if api_key is not None:
        return header("x-goog-api-key", api_key)
    if elsewhere:
        return none(withheld(" or ".join([*TOKENS, KEY]), "https://aiplatform.googleapis.com"))
    return header("x-goog-api-key", Environment(KEY)).or_else(bearer(Login(*TOKENS)))
