"""The words and numbers by which servers say what went wrong, as tables: what to look for, and who says it.

A word that only occurs somewhere in a text proves little, so phrases are long or bound to the fields that hold codes.
A new row comes with a source, and a test that the phrase is found and that nothing near it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, final

from ..values.errors import (
    AuthenticationError,
    ContentPolicy,
    ContextOverflow,
    InvalidRequest,
    MelliteError,
    ProviderInternal,
    QuotaExceeded,
    RateLimited,
)

__all__ = [
    "ANTHROPIC_STATUSES",
    "AUTHENTICATION",
    "AUTHENTICATION_CODES",
    "AWS_KEY",
    "BUSY",
    "INVALID_CODES",
    "MINIMAX",
    "NO_OVERFLOW",
    "NO_QUOTA",
    "OVERFLOW",
    "POLICY",
    "QUOTA",
    "RATE",
    "SERVER_CODES",
    "TOO_LARGE",
    "ZAI",
    "Finder",
    "Words",
    "found",
]

#: The HTTP statuses of Anthropic's kinds of errors: https://platform.claude.com/docs/en/api/errors
ANTHROPIC_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Words(NamedTuple):
    """One row of a table.

    Args:
        pattern: a regular expression for text in lower case.
        source: who says so: a server, or the page that lists it.
    """

    pattern: str
    source: str


@final
class Finder:
    """Finds any of the rows of a table. It is compiled when it is first asked: most processes meet no such error."""

    __slots__ = ("_pattern", "_rows")

    def __init__(self, rows: tuple[Words, ...]) -> None:
        self._rows = rows
        self._pattern: re.Pattern[str] | None = None

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in a text."""
        if self._pattern is None:
            self._pattern = re.compile("|".join([f"(?:{row.pattern})" for row in self._rows]), re.DOTALL)
        return self._pattern.search(text)


def found(rows: tuple[Words, ...]) -> Finder:
    """Return what finds any of the rows.

    Example:
        >>> found((Words("too long", "a server"), Words("too large", "a server"))).search("it is too large") is not None
        True
    """
    return Finder(rows)


#: The prompt is longer than the model can read. Searched in codes and message.
OVERFLOW: Final = (
    Words(r"context[ _]length[ _]exceeded", "OpenAI's code; Ollama, Cerebras, Groq"),
    Words(
        r"exceeds? (the |this |your )?(model'?s? )?(maximum |available )?context (window|length|size|limit)", "OpenAI"
    ),
    Words(r"input tokens exceed the configured limit", "OpenAI Responses"),
    Words(r"exceeded this model context window limit", "Cloudflare Workers AI"),
    Words(r"context_?window_?exceeded_?error", "LiteLLM's class"),
    Words(r"prompt (is )?too long", "Anthropic, Fireworks; Ollama"),
    Words(r"input length and .?max_tokens.? exceed context limit", "Anthropic"),
    Words(r"model_context_window_exceeded", "Anthropic's stop reason, sent as a code by gateways"),
    Words(r"input is too long for requested model|too many input tokens", "Bedrock: Claude; Titan"),
    Words(r"input token count.{0,80}exceeds the maximum", "Gemini"),
    Words(r"input token count is \d+ but (the )?model only supports up to", "Vertex AI"),
    Words(r"maximum prompt length is \d", "xAI"),
    Words(r"reduce the length of the (messages|prompt)", "Groq, Cerebras, vLLM"),
    Words(r"maximum context length (is |of )?\(?\d", "OpenAI, OpenRouter, DeepSeek, vLLM, SGLang"),
    Words(r"token count of \d+ exceeds the limit of \d|model_max_prompt_tokens_exceeded", "GitHub Copilot"),
    Words(r"exceed_context_size_error|context size has been exceeded", "llama.cpp's type and message"),
    Words(r"greater than the context length", "LM Studio"),
    Words(r"when context the overflows|context length of only \d+ tokens", "LM Studio of 2025"),
    Words(r"context length is only \d+ tokens", "vLLM"),
    Words(r"(decoder )?prompt \(length \d+\) is longer than the maximum model length", "vLLM"),
    Words(r"prompt length \(\d+\) exceeds maximum input length", "TensorRT-LLM"),
    Words(r"input length.{0,80}exceeds.{0,80}(context|maximum allowed) length", "vLLM, SGLang"),
    Words(r"input \(\d+ tokens\) is longer than the model's context length", "SGLang"),
    Words(r"exceeds maximum allowed input length", "SGLang, Parasail"),
    Words(r"inputs` tokens \+ `max_new_tokens` must be <=|inputs` must have less than \d+ tokens", "TGI, Together"),
    Words(r"context window exceeds limit", "MiniMax"),
    Words(r"exceeded model token limit", "Moonshot, Kimi for Coding"),
    Words(r"prompt exceeds max(imum)? (context )?length", "https://docs.z.ai/api-reference/api-code (1261)"),
    Words(r"range of input length should be", "DashScope: help.aliyun.com/zh/model-studio/error-code"),
    Words(r"exceeded (max )?context length", "Ollama"),
    Words(r"too large for model with \d+ maximum context length", "Mistral"),
    Words(r"number of input tokens \d+ cannot exceed the total tokens limit", "watsonx.ai"),
    Words(r"tokens in request more than max tokens allowed", "hosts of open models, by way of gateways"),
    Words(r"prompt has \d+ tokens, but the configured context size is", "Docker Model Runner"),
    Words(r"exceed max message tokens", "DashScope, of pictures and text"),
    Words(r"too many tokens|token limit exceeded", "Cohere; the common form, unless a time is named with it"),
)

#: What speaks of a rate or a bill, whatever else it says of tokens.
NO_OVERFLOW: Final = (
    Words(r"^\s*(throttling error:|service unavailable:)", "Bedrock, by way of the AWS SDKs"),
    Words(r"rate[ _-]?limit|too[ _]many[ _]requests|throttl\w*exception", "codes of OpenAI and of AWS"),
    Words(r"please wait before trying again", "Bedrock: Too many tokens, please wait before trying again"),
    Words(r"(per|a|/) ?(second|minute|min|hour|day|month)\b|\b(tpm|rpm|tpd|rpd)\b", "OpenAI, Groq: limits in time"),
    Words(r"\b(daily|hourly|monthly|weekly)\b", "limits in time, of gateways"),
)

#: More bytes than the server takes.
TOO_LARGE: Final = (
    Words(r"request entity too large|payload too large|payload size exceeds", "RFC 9110; nginx; Gemini"),
    Words(r"request_too_large|request too large", "Anthropic's type; OpenAI and Groq, of a request above the limit"),
)

#: The content is refused.
POLICY: Final = (
    Words(r"content[ _-]?(policy|filter)|content management policy|responsible_?ai_?policy", "OpenAI, Azure, LiteLLM"),
    Words(r"moderation_blocked|(input|prompt|request) (was|has been) flagged", "OpenAI images; OpenRouter"),
    Words(r"violates? (our |x\.?ai'?s )?usage (guidelines|policy|policies)", "xAI, OpenAI"),
    Words(r"data_?inspection_?failed", "DashScope's code"),
)

#: The account has nothing left, and waiting a minute does not change that.
QUOTA: Final = (
    Words(
        r"(insufficient|not[ _]enough)[ _-](quota|balance|credits?|funds)", "OpenAI's code; DeepSeek, MiniMax, Novita"
    ),
    Words(r"balance is (insufficient|not enough|too low)|credit balance is too low", "SiliconFlow; Anthropic"),
    Words(r"quota[ _-]exceeded|servicequotaexceeded", "GitHub Copilot; AWS"),
    Words(r"exceeded[ _](your[ _])?current[ _](token[ _])?quota", "OpenAI; Moonshot's type and message"),
    Words(r"billing_error|billing_not_active|billing[ _]hard[ _]limit|check your billing details", "Anthropic; OpenAI"),
    Words(
        r"(spend|spending|usage)[ _]limit[ _](has been |was )?(exceeded|reached)|specified api usage limits", "OpenAI"
    ),
    Words(r"used all available credits|monthly spending limit", "xAI"),
    Words(r"usage_not_included|usage_limit_reached|credit_balance_exhausted", "ChatGPT's plans; OpenAI"),
    Words(r"used up your daily free allocation", "Cloudflare Workers AI"),
    Words(r"out of call volume quota", "Azure API Management"),
    Words(r"\barrearage\b|accountoverdue|account is in arrears", "DashScope, Volcengine, Z.ai: unpaid bills"),
    Words(r"credit limit exceeded|\bcredit_limit\b", "Together"),
    Words(r"key limit exceeded", "OpenRouter, of the limit that the owner of a key gave it"),
    Words(r"budget_exceeded|exceededbudget|budget has been exceeded", "LiteLLM's proxy"),
    Words(r"insufficient_user_quota|quota is not enough", "one-api and its descendants"),
    Words(r"exceeded your monthly included credits", "Hugging Face Inference Providers"),
    Words(r"account balance is negative|credit balance is (negative|exhausted)", "Together and other hosts"),
)

#: Quotas that are back in a moment, so that they are rates.
NO_QUOTA: Final = (
    Words(r"per[ _]?(minute|second)", "Gemini's quotaId, as in GenerateRequestsPerMinutePerProjectPerModel"),
    Words(r"throttling", "DashScope: Throttling.AllocationQuota"),
)

#: The key is wrong, in the codes of an error.
AUTHENTICATION_CODES: Final = (
    Words(r"\b(authentication_error|permission_error)\b", "Anthropic"),
    Words(r"\b(invalid_api_key|invalid_authentication(_error)?|permission_denied(_error)?)\b", "OpenAI; Moonshot"),
    Words(r"\b(api_key_invalid|unauthenticated)\b", "Google: https://cloud.google.com/apis/design/errors"),
    Words(r"\b(auth_error|authenticationerror|permissiondeniederror)\b", "LiteLLM's types and classes"),
    Words(r"\b(accessdeniedexception|unrecognizedclientexception)\b", "AWS"),
    Words(r"\b(invalidapikey|invalid_token|unauthorized)\b", "DashScope; OAuth 2 (RFC 6750)"),
)

#: The key is wrong, in the words of a server that answers with 400.
AUTHENTICATION: Final = (
    Words(r"(incorrect|invalid|no|missing) api key (was )?(provided|supplied|found)", "xAI, OpenAI"),
    Words(r"api key not (valid|found)|api key (has )?expired", "Gemini"),
    Words(r"\bauthentication (error|fail(s|ed|ure))\b|no api key found in request", "Cloudflare; DeepSeek; Kong"),
)

#: AWS says 403 to keys that are wrong, too.
AWS_KEY: Final = (
    Words(r"unrecognizedclient|invalidclienttoken|(invalid|incomplete)signature|missingauthentication", "AWS's codes"),
)

#: Too much for now. In codes of any answer; in words where nothing or 429 was said.
RATE: Final = (
    Words(r"rate[ _-]?limit|too[ _-]?many[ _-]?requests", "OpenAI, Anthropic; RFC 6585"),
    Words(r"throttlingexception|throttling error:|throttling\.", "AWS; DashScope"),
    Words(r"rate increased too quickly", "Cerebras and OpenAI, of a sudden rush"),
    Words(r"(tokens|requests) per (second|minute|min|hour|day)\b", "OpenAI, Groq"),
    Words(r"concurrency (is )?(too high|limit)|high concurrency usage|too many concurrent", "Z.ai, Moonshot"),
    Words(r"please wait before trying again", "Bedrock: Too many tokens, please wait before trying again"),
    Words(r"service_?tier_?capacity_?exceeded|service tier capacity exceeded", "Mistral, with HTTP 429"),
)

#: It is the server's fault, in the codes of an error.
SERVER_CODES: Final = (
    Words(r"\b(api_error|overloaded_error|timeout_error)\b", "Anthropic"),
    Words(r"\b(internal_?(server_?)?error|server_error|server_is_overloaded|slow_down)\b", "OpenAI"),
    Words(r"\b(internalserverexception|serviceunavailableexception|modelstreamerrorexception)\b", "AWS"),
    Words(r"\b(modeltimeoutexception|modelerrorexception)\b", "Bedrock"),
    Words(r"\b(bad_?gateway\w*|gateway_?timeout\w*|apiconnectionerror|timeout)\b", "LiteLLM's classes; gateways"),
    Words(r"exhausted|unavailable|overloaded", "Google, Moonshot and most others"),
    Words(r"^(incomplete_)?generation$", "TGI's types of errors while it generates"),
)

#: It is the server's fault, in the words of a stream that says no status and no code.
BUSY: Final = (
    Words(r"overloaded|at capacity|no available (workers|instances|channels?)", "Anthropic; gateways"),
    Words(r"over capacity|capacity temporarily exceeded", "Groq; Cloudflare Workers AI"),
    Words(r"(system|service|server) is too busy", "SiliconFlow; DeepSeek"),
    Words(r"request failed during generation", "TGI"),
    Words(r"temporarily unavailable|service unavailable|upstream connect error", "RFC 9110; Envoy"),
    Words(r"internal server error|bad gateway|gateway time-?out", "RFC 9110; transformers serve, Starlette"),
)

#: The request is at fault, in the codes of an error.
INVALID_CODES: Final = (
    Words(r"invalid_(request|prompt|parameter)|invalid[_-]argument|invalidparameter", "OpenAI; Google, xAI; DashScope"),
    Words(r"not_?found|validation|bad_?request|unprocessable", "OpenAI; AWS; vLLM's types, LiteLLM's classes"),
)

Numbers = Mapping[str, type[MelliteError]]

#: Z.ai's own codes, sent as text: https://docs.z.ai/api-reference/api-code
ZAI: Final[Numbers] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1220", "1311"), AuthenticationError),
    **dict.fromkeys(("1110", "1112", "1113", "1121", "1304", "1308", "1309", "1310"), QuotaExceeded),
    **dict.fromkeys(("1120", "1200", "1230", "1234"), ProviderInternal),
    **dict.fromkeys(("1210", "1211", "1212", "1213", "1214", "1215", "1221", "1222"), InvalidRequest),
    "1261": ContextOverflow,
    "1301": ContentPolicy,
    **dict.fromkeys(("1302", "1303", "1305", "1312", "1313"), RateLimited),
}

#: MiniMax's codes, in the ``base_resp`` of an HTTP 200: https://platform.minimax.io/docs/api-reference/errorcode
MINIMAX: Final[Numbers] = {
    **dict.fromkeys(("1000", "1001", "1024", "1033"), ProviderInternal),
    **dict.fromkeys(("1002", "1041"), RateLimited),
    **dict.fromkeys(("1004", "2049"), AuthenticationError),
    **dict.fromkeys(("1008", "2056"), QuotaExceeded),
    **dict.fromkeys(("1026", "1027"), ContentPolicy),
    "1039": ContextOverflow,
    "2013": InvalidRequest,
}
