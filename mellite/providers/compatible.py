"""Companies and local servers that offer OpenAI's Chat Completions: a table with one row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from attrs import evolve, field, frozen

from ..protocols.openai_chat import ChatDialect, protocol
from ..values.empty import EMPTY
from ..values.errors import ConfigurationError
from ..wire.auth.keys import bearer
from ..wire.endpoint import Endpoint, Setting
from ..wire.route import Route
from .environment_keys import key_of

__all__ = ["HOSTS", "Host", "any_route", "chat_route", "maker_of"]


@frozen
class Host:
    """One company, or one kind of local server.

    Args:
        name: the provider's name, as in ``groq:llama-3.3-70b-versatile``.
        base_url: the base URL.
        keys: environment variables that may hold the key, in order; none for servers without keys.
        base_urls: environment variables that may hold another base URL.
        key_required: whether a call needs a key.
        dialect: the differences from OpenAI's protocol.
        settings: the words in `base_url` that differ from account to account.
    """

    name: str
    base_url: str
    keys: tuple[str, ...] = field(default=(), kw_only=True)
    base_urls: tuple[str, ...] = field(default=(), kw_only=True)
    key_required: bool = field(default=True, kw_only=True)
    dialect: ChatDialect = field(default=ChatDialect(), kw_only=True)
    settings: Mapping[str, Setting] = field(default=EMPTY, kw_only=True)


_TOP_K: Final = frozenset({"top_k"})
ACCOUNT: Final = Setting(variables=("CLOUDFLARE_ACCOUNT_ID",))
ZAI: Final = ChatDialect(json_schema=False, tool_stream=True, unforced_models="")
_LOCAL: Final = ChatDialect(more_options=_TOP_K)

# The differences are from the companies' own references and from recorded answers of their servers. Where no difference
# is known, the request is OpenAI's, and the server refuses what it does not accept.
_ROWS: Final = (
    Host("baseten", "https://inference.baseten.co/v1", keys=("BASETEN_API_KEY",)),
    Host(
        "cerebras",
        "https://api.cerebras.ai/v1",
        keys=("CEREBRAS_API_KEY",),
        dialect=ChatDialect(
            reasoning_field="reasoning", no_options=frozenset({"frequency_penalty", "presence_penalty"})
        ),
    ),
    Host(
        "cloudflare-workers-ai",
        "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
        keys=("CLOUDFLARE_API_KEY", "CLOUDFLARE_WORKERS_AI_TOKEN", "CLOUDFLARE_API_TOKEN"),
        settings={"account": ACCOUNT},
    ),
    Host("deepinfra", "https://api.deepinfra.com/v1/openai", keys=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")),
    Host(
        "deepseek",
        "https://api.deepseek.com/v1",
        keys=("DEEPSEEK_API_KEY",),
        dialect=ChatDialect(json_schema=False, reasoning_required=True, unforced_models="deepseek-reasoner"),
    ),
    Host(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        keys=("FIREWORKS_API_KEY",),
        dialect=ChatDialect(more_options=_TOP_K),
    ),
    Host(
        "groq",
        "https://api.groq.com/openai/v1",
        keys=("GROQ_API_KEY",),
        dialect=ChatDialect(
            max_tokens="max_completion_tokens",
            reasoning_field="reasoning",
            schema_models="openai/gpt-oss|moonshotai/kimi",  # https://console.groq.com/docs/structured-outputs
        ),
    ),
    Host("huggingface", "https://router.huggingface.co/v1", keys=("HF_TOKEN", "HUGGINGFACE_API_KEY")),
    # Mistral and Perplexity report the usage of every stream unasked. Their SDKs (mistralai 3.7, perplexityai 0.46)
    # have no `stream_options`, and Mistral answers 422 to it: https://github.com/BerriAI/litellm/issues/8978
    Host(
        "mistral",
        "https://api.mistral.ai/v1",
        keys=("MISTRAL_API_KEY",),
        dialect=ChatDialect(
            seed="random_seed",
            stream_usage=False,
            reasoning_field=None,
            assistant_after_tool=True,
            tool_ids="mistral",
        ),
    ),
    Host("moonshot", "https://api.moonshot.ai/v1", keys=("MOONSHOT_API_KEY",)),
    Host("nvidia", "https://integrate.api.nvidia.com/v1", keys=("NVIDIA_API_KEY",)),
    Host(
        "openrouter",
        "https://openrouter.ai/api/v1",
        keys=("OPENROUTER_API_KEY",),
        dialect=ChatDialect(
            max_tokens="max_completion_tokens",
            reasoning_field="reasoning",
            reasoning_object=True,
            tool_ids="claude",
            empty_tools=True,
            more_options=frozenset({"reasoning_budget", "top_k"}),
            cache_models=r"(anthropic|qwen)/",
        ),
    ),
    Host(
        "perplexity",
        "https://api.perplexity.ai",
        keys=("PERPLEXITY_API_KEY",),
        dialect=ChatDialect(stream_usage=False, more_options=_TOP_K),
    ),
    Host(
        "together",
        "https://api.together.xyz/v1",
        keys=("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY"),
        dialect=ChatDialect(more_options=_TOP_K),
    ),
    Host(
        "xai",
        "https://api.x.ai/v1",
        keys=("XAI_API_KEY",),
        dialect=ChatDialect(max_tokens="max_completion_tokens"),
    ),
    Host(
        "zai",
        "https://api.z.ai/api/paas/v4",
        keys=("ZAI_API_KEY", "Z_AI_API_KEY"),
        dialect=ZAI,
    ),
    Host(
        "zai-coding",
        "https://api.z.ai/api/coding/paas/v4",
        keys=("ZAI_API_KEY", "Z_AI_API_KEY"),
        dialect=ZAI,
    ),
    # Servers on this machine, or at the URL in the variable; they demand a key only if they were started with one.
    Host(
        "llama.cpp",
        "http://localhost:8080/v1",
        keys=("LLAMA_API_KEY",),
        base_urls=("LLAMA_BASE_URL",),
        key_required=False,
        dialect=_LOCAL,
    ),
    Host(
        "lmstudio",
        "http://localhost:1234/v1",
        keys=("LMSTUDIO_API_KEY",),
        base_urls=("LMSTUDIO_BASE_URL",),
        key_required=False,
        dialect=_LOCAL,
    ),
    Host(
        "ollama",
        "http://localhost:11434/v1",
        keys=("OLLAMA_API_KEY",),
        base_urls=("OLLAMA_BASE_URL",),
        key_required=False,
    ),
    Host(
        "vllm",
        "http://localhost:8000/v1",
        keys=("VLLM_API_KEY",),
        base_urls=("VLLM_BASE_URL",),
        key_required=False,
        dialect=_LOCAL,
    ),
)

#: Every row, by name.
HOSTS: Final = {host.name: host for host in _ROWS}


def chat_route(
    host: Host, *, api_key: str | None = None, base_url: str | None = None, model: str | None = None
) -> Route:
    """Make the route to one host over Chat Completions.

    The route reads ``provider_options`` under ``openai`` and under the host's name, which wins. With *base_url*, no key
    of the environment is sent, as that is for the host only.

    Raises:
        ConfigurationError: if `base_url` is not a URL.

    Example:
        >>> chat_route(HOSTS["groq"], api_key="gsk-test").endpoint.url()
        'https://api.groq.com/openai/v1/chat/completions'
    """
    send = bearer if host.key_required else partial(bearer, optional=True)
    if base_url is None:
        endpoint = Endpoint(host.base_url, "/chat/completions", variables=host.base_urls, settings=host.settings)
    else:
        endpoint = Endpoint(base_url, "/chat/completions")
    return Route(
        id=f"{host.name}-chat",
        provider=host.name,
        protocol=protocol(evolve(host.dialect, namespaces=("openai", host.name))),
        endpoint=endpoint,
        auth=key_of(api_key, host.keys, host.base_url, elsewhere=base_url is not None, send=send),
        model=model,
    )


def any_route(*, api_key: str | None = None, base_url: str | None = None, model: str | None = None) -> Route:
    """Make the route to any server with Chat Completions, for ``openai-compatible:...``; the key is optional.

    Raises:
        ConfigurationError: if *base_url* is missing or no URL.

    Example:
        >>> any_route(base_url="http://localhost:9000/v1", model="mine").endpoint.url()
        'http://localhost:9000/v1/chat/completions'
    """
    if base_url is None:
        msg = "openai-compatible is any server that speaks Chat Completions: say which one with base_url=..."
        raise ConfigurationError(msg, provider="openai-compatible")
    host = Host("openai-compatible", base_url, key_required=False, dialect=_LOCAL)
    return chat_route(host, api_key=api_key, base_url=base_url, model=model)


def maker_of(host: Host) -> Callable[..., Route]:
    """Return the function that makes a host's route, for the catalog."""
    return partial(chat_route, host)
