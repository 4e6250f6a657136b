"""Tables of the options of a call: what each means, and where each stands in the request of each protocol."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mellite import Request
from mellite.backends import LiveBackend
from mellite.errors import UnsupportedOption
from mellite.providers.catalog import find
from mellite.request import GenerateOptions, Options
from tests.site.cells import bare_environment, cell, code

#: A value of each option that shows in the request.
VALUES: Final[dict[str, Any]] = {
    "max_tokens": 4077,
    "temperature": 0.25,
    "top_p": 0.35,
    "top_k": 7,
    "frequency_penalty": 0.45,
    "presence_penalty": 0.55,
    "seed": 99,
    "stop": "HALT",
    "reasoning_effort": "high",
    "reasoning_budget": 2048,
    "parallel_tool_calls": False,
    "stream": False,
}

#: Heading of a column -> the backend that is asked what it would send.
COLUMNS: Final = {
    "OpenAI Chat": "openai-chat:gpt-4.1",
    "OpenAI Responses": "openai:gpt-4.1",
    "Claude": "anthropic:claude-sonnet-4-5",
    "Gemini": "google:gemini-2.5-flash",
    "Bedrock Converse": "bedrock:anthropic.claude-sonnet-4-5-20250929-v1:0",
    "Cohere": "cohere:command-a-03-2025",
}

#: Options that are not fields of `Options`, in words.
OTHERS: Final = {
    "model": "another model of the same provider, for this call",
    "system": "the system prompt",
    "tools": "what the model may call: functions, `Tool`s, definitions ([Tools](how-to/give-a-model-tools.md))",
    "tool_choice": "whether the model may, must or must not call tools, or which one it must call",
    "output": "the type of the parsed answer ([Structured output](how-to/get-structured-output.md))",
    "output_mode": "how that type is enforced: `native`, `tool` or `text`",
    "cache": "which parts of the prompt the provider keeps ([Claude](how-to/ask-claude.md))",
    "metadata": "your own labels, never sent: for the log, hooks and traces",
    "provider_options": "fields that only one provider has, under its name",
    "http": "`HttpOptions`: raw additions to the body, the headers and the query",
}


def documented(thing: object) -> dict[str, str]:
    """Return what the `Args:` of a docstring say, by name."""
    _, _, rest = (inspect.getdoc(thing) or "").partition("Args:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", rest, re.MULTILINE)
    return {name: cell(said) for name, said in found}


def every_option() -> set[str]:
    """Return the names of all options that a call takes."""
    return {*GenerateOptions.__annotations__, "system", "tools", "output"}


def meanings() -> Iterator[str]:
    """Yield a row for each option of a call."""
    yield from ("| option | what it means |", "|---|---|")
    said = {**documented(Options), **OTHERS}
    for name, meaning in said.items():
        yield f"| `{name}` | {meaning.rstrip('.')} |"


def by_protocol() -> Iterator[str]:
    """Yield a row for each option that is sent: the field that it becomes, or that it is refused."""
    yield f"| option | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name in VALUES:
        yield f"| `{name}` | {' | '.join(becomes(backend, name) for backend in COLUMNS.values())} |"


def becomes(spec: str, option: str) -> str:
    """Return what an option becomes in the request of one backend, as a cell."""
    with bare_environment():
        backend = LiveBackend(find(spec, api_key="made-up", base_url="https://models.example.com/v1"))
    more: dict[str, Any] = {"tools": [look_up]} if option == "parallel_tool_calls" else {}
    plain = backend.prepare(Request.of("Hello.", **more))
    try:
        asked = backend.prepare(Request.of("Hello.", **more, **{option: VALUES[option]}))
    except UnsupportedOption as error:
        words = re.search(r"only with ('\w+')", str(error))
        return f"only `{words[1]}`" if words else "refused"
    fields = changed(json.loads(plain.body), json.loads(asked.body))
    return code(fields) if fields else "the URL"


def look_up(name: str) -> str:
    """Look a name up."""
    return name


def changed(before: Mapping[str, Any], after: Mapping[str, Any], at: str = "") -> list[str]:
    """Return the paths of the fields that differ between two bodies."""
    found = []
    for name in sorted({*before, *after}):
        one, other, path = before.get(name), after.get(name), f"{at}{name}"
        if one == other:
            continue
        if isinstance(other, Mapping):
            found += changed(one if isinstance(one, Mapping) else {}, other, f"{path}.")
        else:
            found.append(path)
    return found
