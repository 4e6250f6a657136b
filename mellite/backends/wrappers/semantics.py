"""The words of OpenTelemetry's conventions for generative AI, and those of ours; in two versions.

They are written out here, because the conventions are not stable, and the package that has them as constants marks all
of them as moved. What dashboards know stays the default; ``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental``
asks for the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

__all__ = ["COST_BUCKETS", "DURATION_BUCKETS", "TOKEN_BUCKETS", "Profile", "profile_of", "provider_of"]

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
SERVER: Final = "server.address"
PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

REQUEST_MODEL: Final = "gen_ai.request.model"
STREAM: Final = "gen_ai.request.stream"
STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"

#: Option of mellite -> attribute.
OPTIONS: Final[Mapping[str, str]] = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "mellite.request.reasoning_effort",
    "reasoning_budget": "mellite.request.reasoning_budget",
}

#: Those that are floats also where an integer was given: an attribute has one type in a store.
FLOATS: Final = frozenset([OPTIONS[name] for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty")])

RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"

#: Count of a `mellite.Usage` -> attribute.
COUNTS: Final[Mapping[str, str]] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}

TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
WORKFLOW: Final = "gen_ai.workflow.name"

SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
CONTENT_EVENT: Final = "gen_ai.client.inference.operation.details"

COST: Final = "operation.cost"
STATE: Final = "mellite.state"
REPLAYED: Final = "mellite.replayed"
ATTEMPTS: Final = "mellite.attempts"
STRATEGY: Final = "mellite.strategy"
STOP_REASON: Final = "mellite.stop_reason"
STEPS: Final = "mellite.steps"
FLOW_ID: Final = "mellite.flow.id"
STEP_ID: Final = "mellite.step.id"
SAMPLES: Final = "mellite.samples"
SUCCESS: Final = "mellite.success"

CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"

DURATION: Final = "gen_ai.client.operation.duration"
FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
PER_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"
TOKENS: Final = "gen_ai.client.token.usage"
INPUT_OR_OUTPUT: Final = "gen_ai.token.type"
RETRIES: Final = "mellite.retries"

#: The bounds of buckets that the conventions recommend: seconds of a call or a chunk, and numbers of tokens.
DURATION_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BUCKETS: Final = tuple([4**power for power in range(14)])

#: For the cost of a call, in USD, they recommend none.
COST_BUCKETS: Final = (0.00001, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0)

#: Provider as mellite calls it -> as the conventions do, where that differs.
_PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}


def provider_of(name: str) -> str:
    """Return what the conventions call a provider.

    Example:
        >>> provider_of("bedrock"), provider_of("openai")
        ('aws.bedrock', 'openai')
    """
    return _PROVIDERS.get(name, name)


@frozen(kw_only=True)
class Profile:
    """One version of the conventions, as far as the versions differ.

    Args:
        sampling: the operation of a sampling strategy.
        workflow: the attribute that names the strategy; None where there is none.
        stream: the attribute that says whether an answer was streamed; None where there is none.
    """

    sampling: str
    workflow: str | None = None
    stream: str | None = None


_KNOWN: Final = Profile(sampling="sample")
_LATEST: Final = Profile(sampling="invoke_workflow", workflow=WORKFLOW, stream=STREAM)


def profile_of(opted_in: str | None) -> Profile:
    """Return the version that the value of ``OTEL_SEMCONV_STABILITY_OPT_IN`` asks for.

    Example:
        >>> profile_of("http, gen_ai_latest_experimental").stream
        'gen_ai.request.stream'
    """
    words = {word.strip() for word in (opted_in or "").split(",")}
    return _LATEST if "gen_ai_latest_experimental" in words else _KNOWN
