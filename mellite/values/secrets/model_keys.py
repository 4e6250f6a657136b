"""The forms of keys of model providers, and of the tools around models."""

from __future__ import annotations

from typing import Final

from .keyshape import KeyShape

__all__ = ["MODEL_KEYS"]

_KINGFISHER: Final = "https://github.com/mongodb/kingfisher/tree/main/crates/kingfisher-rules/data/rules"

MODEL_KEYS: Final[tuple[KeyShape, ...]] = (
    KeyShape("Anthropic key", "sk-ant-", rest=r"[A-Za-z0-9_-]{16,}", source="https://docs.claude.com/en/api/overview"),
    KeyShape(
        "OpenRouter key",
        "sk-or-",
        rest=r"[A-Za-z0-9_-]{16,}",
        source="https://openrouter.ai/docs/api-reference/authentication",
    ),
    KeyShape(
        "Langfuse key",
        "sk-lf-",
        rest=r"[0-9a-f-]{20,}",
        source="https://langfuse.com/faq/all/where-are-langfuse-api-keys",
    ),
    KeyShape(
        "Helicone key",
        "sk-helicone-",
        rest=r"[a-z0-9-]{16,}",
        source="https://docs.helicone.ai/helicone-headers/helicone-auth",
    ),
    # OpenAI, DeepSeek, Moonshot, Alibaba's models, LiteLLM. Not words with hyphens, as in sk-learn-for-beginners: there
    # is a run of 16 letters or digits somewhere.
    KeyShape(
        "key of OpenAI's form",
        "sk-",
        rest=r"(?=[A-Za-z0-9_-]{0,60}[A-Za-z0-9]{16})[A-Za-z0-9_-]{20,}",
        source="https://platform.openai.com/docs/api-reference/authentication",
    ),
    KeyShape(
        "Google key", "AIza", rest=r"[A-Za-z0-9_-]{20,}", source="https://cloud.google.com/docs/authentication/api-keys"
    ),
    KeyShape("Google key", "AQ.", rest=r"[A-Za-z0-9_-]{30,}", source="https://ai.google.dev/gemini-api/docs/api-key"),
    KeyShape(
        "Bedrock key",
        "ABSK",
        rest=r"[A-Za-z0-9+/]{40,}",
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html",
    ),
    KeyShape(
        "Bedrock key",
        "bedrock-api-key-",
        rest=r"[A-Za-z0-9+/=]{20,}",
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html",
    ),
    KeyShape(
        "Azure OpenAI key",
        "JQQJ9",
        rest=r"[A-Za-z0-9]{20,40}",
        source="https://learn.microsoft.com/en-us/azure/ai-services/openai/reference",
        lead="[A-Za-z0-9]{52}",
        lead_length=52,
    ),
    KeyShape("Groq key", "gsk_", rest=r"[A-Za-z0-9]{20,}", source="https://console.groq.com/docs/quickstart"),
    KeyShape("xAI key", "xai-", rest=r"[A-Za-z0-9_]{20,}", source="https://docs.x.ai/docs/tutorial"),
    KeyShape(
        "Hugging Face token", "hf_", rest=r"[A-Za-z0-9]{20,}", source="https://huggingface.co/docs/hub/security-tokens"
    ),
    KeyShape(
        "Hugging Face token", "api_org_", rest=r"[A-Za-z]{34}", source="https://huggingface.co/docs/hub/security-tokens"
    ),
    KeyShape("Replicate token", "r8_", rest=r"[A-Za-z0-9]{20,}", source="https://replicate.com/docs/reference/http"),
    KeyShape(
        "Fireworks key", "fw_", rest=r"[A-Za-z0-9]{20,}", source="https://docs.fireworks.ai/api-reference/introduction"
    ),
    KeyShape(
        "Perplexity key", "pplx-", rest=r"[A-Za-z0-9]{20,}", source="https://docs.perplexity.ai/guides/getting-started"
    ),
    KeyShape("Cerebras key", "csk-", rest=r"[A-Za-z0-9]{20,}", source="https://inference-docs.cerebras.ai/quickstart"),
    KeyShape(
        "NVIDIA key", "nvapi-", rest=r"[A-Za-z0-9_-]{20,}", source="https://docs.api.nvidia.com/nim/docs/api-quickstart"
    ),
    KeyShape("Together key", "tgp_v1_", rest=r"[A-Za-z0-9_-]{20,}", source="https://docs.together.ai/docs/quickstart"),
    KeyShape(
        "Llama API key",
        "LLM|",
        rest=r"\d{8,20}\|[A-Za-z0-9_-]{20,}",
        source="https://llama.developer.meta.com/docs",
        word=False,
        needs="|",
    ),
    KeyShape(
        "Z.ai key",
        ".",
        rest=r"[A-Za-z0-9]{16}(?![A-Za-z0-9])",
        source="https://docs.z.ai/guides/overview/quick-start",
        lead="[0-9a-f]{32}",
        lead_length=32,
    ),
    KeyShape(
        "Pinecone key",
        "pcsk_",
        rest=r"[A-Za-z0-9]{5,6}_[A-Za-z0-9]{40,}",
        source="https://github.com/trufflesecurity/trufflehog/pull/4917",
    ),
    KeyShape(
        "Voyage key",
        "pa-",
        rest=r"(?=[A-Za-z0-9_-]{0,27}[A-Za-z0-9]{16})[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])",
        source="https://docs.voyageai.com/docs/api-key-and-installation",
    ),
    KeyShape("Jina key", "jina_", rest=r"[A-Za-z0-9_-]{32,}", source="https://jina.ai/embeddings/"),
    KeyShape("RunPod key", "rpa_", rest=r"[A-Z0-9]{30,}", source="https://docs.runpod.io/get-started/api-keys"),
    KeyShape("E2B key", "e2b_", rest=r"[0-9a-f]{40}", source="https://e2b.dev/docs/api-key"),
    KeyShape("Firecrawl key", "fc-", rest=r"[0-9a-f]{32}", source="https://docs.firecrawl.dev/introduction"),
    KeyShape(
        "Tavily key", "tvly-", rest=r"[A-Za-z0-9-]{20,}", source="https://docs.tavily.com/documentation/quickstart"
    ),
    KeyShape("Apify token", "apify_api_", rest=r"[A-Za-z0-9]{20,}", source=f"{_KINGFISHER}/apify.yml"),
    KeyShape(
        "Browserbase key", "bb_live_ bb_test_", rest=r"[A-Za-z0-9_-]{20,}", source=f"{_KINGFISHER}/browserbase.yml"
    ),
    KeyShape(
        "LangSmith key",
        "lsv2_",
        rest=r"[A-Za-z0-9_]{20,}",
        source="https://docs.smith.langchain.com/administration/how_to_guides/organization_management/create_account_api_key",
    ),
    KeyShape(
        "Logfire token",
        "pylf_v",
        rest=r"\d{1,2}_[A-Za-z0-9_]{20,}",
        source="https://logfire.pydantic.dev/docs/how-to-guides/create-write-tokens/",
    ),
    KeyShape(
        "Weights & Biases key",
        "wandb_v1_",
        rest=r"[A-Za-z0-9_]{30,}",
        source="https://docs.wandb.ai/platform/app/settings-page/user-settings",
    ),
)
"""Keys of models and of the tools around them."""
