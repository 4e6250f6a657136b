"""What is known of a call, put into its errors: provider, model, status, usage and the like; and safe headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..values.errors import AuthenticationError, MelliteError
from .auth.keys import Auth, Scrubber
from .http import HttpResponse

if TYPE_CHECKING:
    from typing import Self

    from ..values.usage import Usage

__all__ = ["Informing", "request_id", "safe_headers"]

#: The response headers that are kept: none of them can hold a secret.
_KEPT_HEADERS: Final = frozenset(
    {"content-encoding", "content-length", "content-type", "date", "retry-after", "retry-after-ms", "server"}
)
#: Headers with the id of a request, in order: what everybody calls it, then each company's own name, then what only a
#: part of the way knows.
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
#: LiteLLM hands on the headers of the provider behind it with this before their names.
_BEHIND: Final = "llm_provider-"
_KEPT_WORDS: Final = ("ratelimit", "processing-ms", "openai-version", "openai-model", "upstream-service-time")


_NO_KEY: Final = Scrubber()

#: What of an error no server wrote: names that were asked for, and the text of the answer, which is the model's.
_OURS: Final = frozenset({"provider", "model", "partial"})


class Informing:
    """Puts into every error that leaves its block what is known, and takes the key out of what a server wrote.

    Attributes:
        scrubber: knows the key, once it has been put on the request.
        response: the answer, once it is there.
        usage: asks what has been used by now, once there is something to ask.
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
        if isinstance(error, MelliteError):
            self._inform(error)

    def _inform(self, error: MelliteError) -> None:
        if error.provider is None:  # else it has been here before
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
            error.request_id = request_id(self.response) or error.request_id  # a body may name another server's

    def _clean(self, text: str) -> str:
        """A text without the key that was sent, and without what looks like another: of a gateway's own, for one."""
        from ..values.secrets.shapes import masked

        return masked(self.scrubber.scrub(text))


def request_id(response: HttpResponse) -> str | None:
    """The provider's id of the request, under whatever name it has."""
    for before in ("", _BEHIND):
        for name in _REQUEST_IDS:
            value = response.headers.get(before + name)
            if value:
                return value
    return None


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that cannot hold a secret: by a list of those, not of the others."""
    return {name: value for name, value in headers.items() if _is_kept(name)}


@lru_cache(maxsize=512)
def _is_kept(name: str) -> bool:
    name = name.removeprefix(_BEHIND)
    return name in _KEPT_HEADERS or name in _REQUEST_IDS or any(word in name for word in _KEPT_WORDS)
