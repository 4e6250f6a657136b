"""How far off estimates of tokens are, against what providers counted for recorded calls: the table of the docs.

``python -m tests.token_errors`` writes the table into docs/how-to/count-tokens.md. A recorded call counts if all it
sent is text and tools, or all it answered is text, in 30 tokens and more: who thinks has tokens that nobody sees.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mellite import Message, Request, ToolDefinition, count_tokens
from mellite.values.tokenizers import vocabulary_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "count-tokens.md"
BEGIN, END = "<!-- made by tests/token_errors.py -->\n", "<!-- until here -->\n"
FEWEST = 30

OUTPUT = ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens")
INPUT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens")
CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
"""What Anthropic and Bedrock count beside the input."""


class Measured(NamedTuple):
    """One count of a provider's, and what mellite says."""

    kind: str
    counted: int
    estimated: int
    exact: int | None
    """By the model's tokenizer, where there is one."""


def usage_of(usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first of these counts that is there; 0 for none."""
    return next((usage[name] for name in names if isinstance(usage.get(name), int) and usage[name]), 0)


def model_of(body: Any, url: str) -> str:
    """The model that was asked: by the body, or by the URL, as Bedrock and Gemini have it."""
    named = re.search(r"/models?/([^/:]+)", url)
    return (body.get("model") if isinstance(body, Mapping) else None) or (named[1] if named else "")


def texts(content: Any) -> list[str]:
    """The texts of a message's content.

    Raises:
        ValueError: if there is anything else in it.
    """
    parts = [content] if isinstance(content, (str, Mapping)) else content or []
    found = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part.get("text"), str) and part.get("type", "text").endswith("text"):
            found.append(part["text"])
        else:
            raise ValueError(part)
    return found


def tools_of(body: Mapping[str, Any]) -> list[ToolDefinition]:
    """The functions that a request offers.

    Raises:
        ValueError: if there is a tool that the provider runs itself: what it adds to a prompt is not known.
    """
    given = (body.get("toolConfig") or {}).get("tools") or body.get("tools") or []
    made = []
    for each in given:
        for tool in each.get("functionDeclarations") or [each.get("function") or each.get("toolSpec") or each]:
            schema = next((tool[name] for name in SCHEMAS if name in tool), None)
            if schema is None or "name" not in tool:
                raise ValueError(tool)
            schema = schema.get("json", schema)
            made.append(ToolDefinition(tool["name"], tool.get("description") or "", input_schema=schema))
    return made


SCHEMAS = ("parameters", "parametersJsonSchema", "input_schema", "inputSchema")


def request_of(body: Mapping[str, Any]) -> Request:
    """A recorded request of any protocol, as mellite has it.

    Raises:
        ValueError: if it holds anything but texts and tools.
    """
    system = body.get("system") or body.get("instructions") or body.get("systemInstruction") or []
    system = system.get("parts", system) if isinstance(system, Mapping) else system
    asked = body.get("messages") or body.get("contents") or body.get("input") or []
    messages = []
    for each in [{"role": "user", "content": asked}] if isinstance(asked, str) else asked:
        if each.get("tool_calls") or "role" not in each or each.get("type", "message") != "message":
            raise ValueError(each)
        said = texts(each.get("content", each.get("parts")))
        messages.append(Message.assistant(*said) if each["role"] in ("assistant", "model") else Message.user(*said))
    return Request.of(messages, system=texts(system) or None, tools=tools_of(body))


def measured(corpora: Path) -> Iterator[tuple[str, Measured]]:
    """Every count that can be compared, with its provider."""
    with gzip.open(corpora / "interactions.jsonl.gz", "rt", encoding="utf-8") as lines:
        sent = {row["key"]: row for row in map(json.loads, lines)}
    for line in (corpora / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        said = row["expect"]
        usage, body = said.get("usage") or {}, sent[row["key"]].get("request")
        model = said.get("model") or model_of(body, sent[row["key"]]["uri"])
        counted = usage_of(usage, INPUT)
        counted += sum(usage.get(name) or 0 for name in CACHED) if "promptTokenCount" not in usage else 0
        if counted >= FEWEST and isinstance(body, Mapping):
            try:
                request = request_of(body)
            except (ValueError, AttributeError, TypeError):
                request = None
            if request is not None:
                kind = "input with tools" if request.tools else "input"
                yield row["provider"], Measured(kind, counted, int(count_tokens(request, model=model)), None)
        hidden = any(said.get(key) for key in ("thinking", "tool_calls", "server_tools")) or "thinking" in str(usage)
        counted = usage_of(usage, OUTPUT)
        if said.get("text") and not hidden and counted >= FEWEST:
            estimate = int(count_tokens(said["text"], model="claude" if "claude" in model else None))
            exact = int(count_tokens(said["text"], model=model)) if vocabulary_of(model) else None
            if estimate / counted > 0.6:  # else it thought, and does not say so
                yield row["provider"], Measured("output", counted, estimate, exact)


def table(corpora: Path) -> str:
    """The table in Markdown: for each provider and kind of call the mean error of the estimate, and of how many."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for provider, each in measured(corpora):
        name = "Google, Vertex AI" if provider.startswith("google") else NAMES.get(provider, "others")
        for kind, tokens in ((each.kind, each.estimated), ("exact", each.exact)):
            if tokens is not None:
                found[name][kind].append(abs(tokens / each.counted - 1))
                found["all"][kind].append(abs(tokens / each.counted - 1))
    names = sorted(found, key=lambda name: (name == "all", name == "others", name.lower()))
    rows = [[name, *[_shown(found[name][kind]) for kind in KINDS]] for name in names]
    head = ["", "answers", "the same, by its tokenizer", "requests", "requests with tools"]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(line.replace("|  |", "| |") for line in lines) + "\n"


KINDS = ("output", "exact", "input", "input with tools")
NAMES = {
    "anthropic": "Anthropic",
    "bedrock": "Bedrock",
    "groq": "Groq",
    "mistral": "Mistral",
    "openai": "OpenAI",
    "openrouter": "OpenRouter",
}


def _shown(errors: list[float]) -> str:
    return f"{sum(errors) / len(errors):.0%} of {len(errors)}".replace("%", " %") if errors else "-"


def main() -> None:
    """Write the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = table(Path(os.environ.get("MELLITE_CORPORA", ROOT.parent / "shared" / "corpora")))
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")
    sys.stdout.write(made)


if __name__ == "__main__":
    main()
