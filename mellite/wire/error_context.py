"""Add what is known of a call to its errors: provider, model, status, usage and request id. Also: safe headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..values.errors import AuthenticationError, MelliteError
from .auth.keys import Auth, Scrubber
from .http import Head, HttpResponse

if TYPE_CHECKING:
    from typing import Self

    from ..values.usage import Usage

__all__ = ["Informing", "request_id", "safe_headers"]

#: Response headers to keep; none of them can hold a secret.
_KEPT_HEADERS: Final = frozenset(
    {"content-encoding", "content-length", "content-type", "date", "retry-after", "retry-after-ms", "server"}
)
#: Headers with the id of a request, in order: the common names, then those of companies, then those of proxies and
#: networks on the way.
_REQUEST_IDS: Final = (
    "x-request-id",  # OpenAI, Groq, Fireworks, vLLM, Dynamo and most
    "request-id",  # Anthropic
    "x-amzn-requestid",  # Bedrock
    "x-amzn-request-id",
    "x-amz-request-id",
    "apim-request-id",  # Azure OpenAI
    "x-ms-request-id",  # Azure AI Foundry
    "x-goog-request-id",
    "x-litellm-call-id",  # LiteLLM's proxy
    "mistral-correlation-id",
    "x-generation-id",  # OpenRouter
    "x-ds-trace-id",  # DeepSeek
    "x-siliconcloud-trace-id",  # SiliconFlow
    "msh-request-id",  # Moonshot
    "x-tt-logid",  # Volcengine
    "x-bce-request-id",  # Baidu
    "nvcf-reqid",  # NVIDIA
    "x-databricks-request-id",
    "trace-id",  # MiniMax
    "x-log-id",  # Zhipu
    "inference-id",
    "cf-aig-log-id",  # Cloudflare's AI Gateway
    "x-portkey-trace-id",
    "x-vercel-id",
    "x-correlation-id",
    "x-trace-id",
    "cf-ray",
)
#: LiteLLM's proxy passes on the headers of its provider with this prefix.
_BEHIND: Final = "llm_provider-"
#: Every name of such a header -> its place in that order.
_RANKS: Final = {name: rank for rank, name in enumerate([*_REQUEST_IDS, *(_BEHIND + name for name in _REQUEST_IDS)])}
_KEPT_WORDS: Final = ("ratelimit", "processing-ms", "openai-version", "openai-model", "upstream-service-time")


_NO_KEY: Final = Scrubber()

#: Attributes of an error that no server wrote: names given by the caller, and the text of the answer, by the model.
_OURS: Final = frozenset({"provider", "model", "partial"})


class Informing:
    """A context manager that completes every `MelliteError` that leaves its block, and removes keys from the texts.

    Attributes:
        scrubber: removes the key; set once the key is on the request.
        response: the response, once its headers have arrived.
        usage: returns the usage so far; set once a stream is being parsed.
    """

    __slots__ = ("_auth", "_model", "_provider", "response", "scrubber", "usage")

    def __init__(self, provider: str, model: str | None, auth: Auth) -> None:
        self._provider = provider
        self._model = model
        self._auth = auth
        self.scrubber = _NO_KEY
        self.response: HttpResponse | None = None
        self.usage: Callable[[], Usage | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None and isinstance(error, MelliteError):
            self._inform(error)

    def _inform(self, error: MelliteError) -> None:
        if error.provider is None:  # an error that names a provider has been completed before
            error.provider = self._provider
            text = f"{error.provider}: {error}"
            if isinstance(error, AuthenticationError) and error.kind != "missing":
                text = f"{text} ({self._auth.advice()})"
            error.args = (self._clean(text),)
        for name, said in vars(error).items():
            if isinstance(said, str) and name not in _OURS:
                error.__dict__[name] = self._clean(said)
        if error.model is None:
            error.model = self._model
        if error.usage is None and self.usage is not None:
            error.usage = self.usage()
        if self.response is not None:
            if error.status is None:
                error.status = self.response.status
            # The header counts: a body may hold the id of a server behind this one.
            error.request_id = request_id(self.response) or error.request_id

    def _clean(self, text: str) -> str:
        """Return *text* without the key that was sent, and without what looks like a key, such as a gateway's own."""
        from ..values.secrets.shapes import masked

        return masked(self.scrubber.scrub(text))


def request_id(response: HttpResponse | Head) -> str | None:
    """Return the provider's id of the request, by whichever header names it."""
    headers = response.headers
    found: str | None = None
    rank = len(_RANKS)
    for name in headers:
        if name in _RANKS and _RANKS[name] < rank and headers[name]:
            found, rank = headers[name], _RANKS[name]
    return found


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that cannot hold a secret. Unknown headers are left out."""
    kept: dict[str, str] = {}
    for name in headers:
        if _is_kept(name):
            kept[name] = headers[name]
    return kept


@lru_cache(maxsize=512)
def _is_kept(name: str) -> bool:
    name = name.removeprefix(_BEHIND)
    return name in _KEPT_HEADERS or name in _REQUEST_IDS or any(word in name for word in _KEPT_WORDS)
