"""The first paragraph of each how-to has the words that people search for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.pages import PAGES

#: How-to -> what somebody types who needs it.
SEARCHED: Final = {
    "add-a-provider": ("provider", "custom endpoint", "gateway"),
    "ask-bedrock": ("AWS Bedrock", "Converse"),
    "ask-claude": ("Claude", "Anthropic", "thinking", "prompt caching"),
    "ask-cohere": ("Cohere", "Command"),
    "ask-gemini": ("Gemini", "Vertex AI", "thinking"),
    "ask-openai": ("OpenAI", "Responses API", "Chat Completions"),
    "ask-your-own-server": ("local model", "OpenAI-compatible", "Ollama", "vLLM", "base URL"),
    "await-thunks": ("LLM", "async", "parallel", "streaming", "timeout"),
    "call-a-model-as-a-step": ("workflow", "prompt template", "retries"),
    "choose-a-provider": ("provider", "model", "API key"),
    "count-tokens": ("tokens",),
    "define-tools": ("JSON Schema", "function calling"),
    "get-structured-output": ("structured output", "pydantic", "JSON Schema"),
    "give-a-model-tools": ("function calling", "tool use"),
    "hold-a-conversation": ("system prompt", "chat history", "multi-turn"),
    "import-recordings": ("HAR", "VCR"),
    "keep-a-log": ("log", "SQLite", "cost"),
    "look-after-cassettes": ("cassettes", "diff", "stale"),
    "look-at-calls": ("viewer", "browser", "cost"),
    "make-many-calls": ("parallel", "concurrency limit", "progress bar"),
    "read-the-log": ("logging", "JSON"),
    "record-and-replay": ("record HTTP", "replay", "offline"),
    "record-any-client": ("vcrpy", "httpx", "requests", "aiohttp"),
    "record-safely": ("API keys", "secrets", "redaction"),
    "record-tests": ("pytest", "CI", "record"),
    "resume-a-run": ("resume", "crash", "durable execution", "checkpoint"),
    "retry-and-limit": ("retries", "back-off", "rate limits", "429", "circuit breaker", "cache"),
    "run-an-agent": ("agent", "tools"),
    "run-over-many": ("dataset", "CSV", "JSONL"),
    "sample": ("best of n", "majority vote", "self-consistency", "rejection sampling"),
    "send-files": ("images", "PDF", "audio", "vision", "multimodal"),
    "serve-any-client": ("mock", "proxy", "server", "OpenAI"),
    "set-options": ("temperature", "max tokens", "stop", "timeouts"),
    "stream-with-validation": ("streaming", "guardrails", "validate"),
    "test-offline": ("test", "offline", "mock"),
    "trace-calls": ("OpenTelemetry", "traces", "span"),
    "use-a-proxy": ("proxy", "certificate", "CA"),
    "use-batch-services": ("batch", "half the price"),
    "use-hooks": ("hook", "personal data", "log"),
    "use-notebooks": ("notebook", "Jupyter", "marimo", "progress bar"),
    "use-mcp-tools": ("MCP", "Model Context Protocol", "stdio"),
    "use-the-command-line": ("command line", "terminal"),
    "write-generative-functions": ("LLM function", "docstring", "structured output"),
}

HOW_TOS: Final = [page for page in PAGES if page.parent.name == "how-to"]


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_has_what_people_search_for(page: Path) -> None:
    """Title and first paragraph together have the words of the table."""
    assert page.stem in SEARCHED, "say in SEARCHED which words people type who need this page"
    title, _, rest = page.read_text(encoding="utf-8").partition("\n\n")
    first = rest.partition("\n\n")[0]
    begin = " ".join([*title.split(), *first.split()]).casefold()
    assert [word for word in SEARCHED[page.stem] if word.casefold() not in begin] == []
