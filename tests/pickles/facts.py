"""What is in an object, in JSON: the same facts for an object and for what became of its pickle.

A fact names no module, so that it stays true when modules move. It needs nothing of mellite but what the object brings.
"""

from __future__ import annotations

import asyncio
import copy
import json
import lzma
import pickle
import re
import sys
from collections.abc import Mapping, Sequence, Set as AbstractSet
from contextlib import suppress
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

PROTOCOLS = range(2, 6)
"""Those of pickle in which each object was kept."""

_COMPANIES = [
    *("ANTHROPIC", "AZURE_OPENAI", "BASETEN", "CEREBRAS", "CLOUDFLARE", "COHERE", "DEEPINFRA", "DEEPSEEK"),
    *("FIREWORKS", "GEMINI", "GOOGLE_VERTEX", "GROQ", "HUGGINGFACE", "MISTRAL", "MOONSHOT", "NVIDIA", "OPENAI"),
    *("OPENROUTER", "PERPLEXITY", "TOGETHER", "XAI", "ZAI"),
]

KEYS: Mapping[str, str] = {
    **{f"{name}_API_KEY": f"made-up-{name.lower()}" for name in _COMPANIES},
    "AWS_ACCESS_KEY_ID": "made-up-id",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AZURE_RESOURCE_NAME": "made-up",
    "CLOUDFLARE_ACCOUNT_ID": "made-up",
    "CLOUDFLARE_API_TOKEN": "made-up-cloudflare",
    "GITHUB_COPILOT_TOKEN": "made-up-copilot",
    "GOOGLE_CLOUD_PROJECT": "made-up",
    "GOOGLE_VERTEX_ACCESS_TOKEN": "made-up-vertex",
}
"""The environment in which facts are told: keys that nobody has."""


def facts(value: Any) -> Any:
    """Whatever it is, as JSON."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.name if isinstance(value, Enum) else value
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, Mapping):
        return {str(key): facts(each) for key, each in value.items()}
    if isinstance(value, AbstractSet):
        return sorted([facts(each) for each in value])
    if isinstance(value, Sequence):
        return [facts(each) for each in value]
    return _of_an_object(value)


def _of_an_object(value: Any) -> Any:
    if isinstance(value, type):
        return f"class {value.__name__}"
    if isinstance(value, BaseException):
        return _named(value, says=str(value), cause=facts(value.__cause__), **_plain(vars(value)))
    if hasattr(type(value), "settle"):
        return _of_a_thunk(value)
    if hasattr(type(value), "prepare"):
        return _of_a_backend(value)
    if hasattr(type(value), "feed"):
        chunker = copy.deepcopy(value)
        return _named(value, pieces=[*chunker.feed(_TEXT), *chunker.end()])
    if isinstance(value, partial):
        return _named(value, function=facts(value.func), args=facts(value.args))
    fields = getattr(type(value), "__attrs_attrs__", None)
    if fields is not None:
        return _of_a_value(value, [field.name for field in fields])
    if hasattr(value, "__struct_fields__"):
        return _of_a_value(value, value.__struct_fields__)
    if callable(value) and hasattr(value, "__name__"):
        return f"function {value.__name__.lstrip('_')}"
    return _named(value, **_shown(value))


def _named(value: object, /, **said: Any) -> dict[str, Any]:
    """The facts of an object by name; what is None or empty is left out, as a newer version may have more of that."""
    return {"class": type(value).__name__, **{name: each for name, each in said.items() if each not in _NOTHING}}


_NOTHING: list[Any] = [None, [], {}]


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts(each) for name, each in found.items() if name[0] != "_"}


def _of_a_value(value: Any, names: Sequence[str]) -> dict[str, Any]:
    said = {name: getattr(value, name) for name in names if name[0] != "_"}
    for name in ("cost_usd", "streamed_chunks", "text", "usage"):  # not kept as they are, but made of what is
        if name not in said and isinstance(getattr(type(value), name, None), property):
            said[name] = getattr(value, name)
    said.pop("log", None)  # of a raw answer; `streamed_chunks` tells what is in it
    return _named(value, **{name: facts(each) for name, each in said.items()})


def _of_a_thunk(thunk: Any) -> dict[str, Any]:
    """All that a thunk says, and what a copy of one that is pending answers."""
    call = thunk._call
    said = {"lineage": call.lineage, "state": thunk.state, "copies": thunk._copies}
    said["request"] = facts(call.request)  # before a thunk that is part of it is settled
    asked = thunk.resample(1)[0] if thunk.state == "pending" else thunk
    events = asyncio.run(_events(asked))
    said |= {name: getattr(asked, name) for name in ("value", "error", "cancelled", "thinking", "tool_calls")}
    if asked is thunk:
        said |= {name: getattr(thunk, name) for name in ("parsed_repr", "partial", "generation", "raw")}
    said["events"] = [f"{type(each).__name__} {getattr(each, 'text', '')}".strip() for each in events]
    return _named(thunk, backend=call.backend.describe(), **{name: facts(each) for name, each in said.items()})


async def _events(thunk: Any) -> list[Any]:
    """The events of a thunk; what went wrong with it is among the facts anyway."""
    await thunk.settle()
    found: list[Any] = []
    with suppress(Exception):
        async for event in thunk.events():
            found.append(event)  # noqa: PERF401 - all that came before it raises
    return found


_TEXT = 'One two. {"a": 1}\nThree?\n\nFour'


def _of_a_backend(backend: Any) -> dict[str, Any]:
    """What a live backend would send for a small request."""
    from mellite import Request, ToolDefinition
    from mellite.errors import MelliteError

    told = backend.describe()
    tool = ToolDefinition("weather", "The weather.", input_schema={"type": "object", "properties": {}})
    try:
        sent = backend.prepare(Request.of("Hello.", system="Be brief.", tools=[tool]))
    except MelliteError as error:
        return _named(backend, name=told, error=facts(error))
    headers = {name: re.sub(r"\d{8}/.*|\d{8}T\d+Z", "...", text) for name, text in sent.headers.items()}
    return _named(backend, name=told, method=sent.method, url=sent.url, headers=headers, body=sent.body.decode())


def _shown(value: object) -> dict[str, Any]:
    return {"shown": re.sub(r" at 0x\w+|(?<=<)mellite\.[\w.]+\.", "", repr(value))}


def main(file: Path) -> None:
    """Read the pickles of a file, one after the other, and print the facts of each."""
    with lzma.open(file) as pickles:
        told = [facts(pickle.load(pickles)) for _ in PROTOCOLS]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
