"""Differences between the companies that speak Chat Completions."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

__all__ = ["OPENAI", "ChatDialect"]


@frozen(kw_only=True)
class ChatDialect:
    """The differences of one company's Chat Completions: facts, not code. The defaults suit nearly every host.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win.
        max_tokens: the name of the field for it; likewise `seed`.
        store: whether to say ``store: false``, so that the answer is not kept.
        strict_tools: whether a tool definition may say ``strict``.
        stream_usage: whether the usage of a stream has to be asked for; likewise `tool_stream`, the pieces of calls.
        json_schema: whether the answer can be held to a JSON Schema.
        schema_models: a regular expression for the only models that can be, and not beside tools; None for all.
        unforced_models: a regular expression for the models that cannot be forced to call a tool.
        reasoning_field: where the thinking of earlier turns goes; None where a host refuses to see it again.
        reasoning_required: whether an assistant message must have it, if only empty.
        reasoning_object: whether effort and budget go into a ``reasoning`` object, and ``reasoning_details`` come back.
        assistant_after_tool: whether an assistant must speak between a tool's result and the user.
        tool_ids: which ids of tool calls it takes, see `mellite.protocols.history.HistoryRules`.
        empty_tools: whether it wants ``tools: []`` where the history has tool calls but the request no tools.
        more_options: options that it takes beyond those of OpenAI.
        no_options: options of OpenAI that it does not take.
        finish_required: whether a stream without a finish reason has broken off.
        cache_models: a regular expression for the models for which texts can be marked for the provider's cache.
    """

    namespaces: tuple[str, ...] = ("openai",)
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: Literal["seed", "random_seed"] = "seed"
    store: bool = False
    strict_tools: bool = False
    stream_usage: bool = True
    tool_stream: bool = False
    json_schema: bool = True
    schema_models: str | None = None
    unforced_models: str | None = None
    reasoning_field: Literal["reasoning_content", "reasoning"] | None = "reasoning_content"
    reasoning_required: bool = False
    reasoning_object: bool = False
    assistant_after_tool: bool = False
    tool_ids: Literal["any", "claude", "mistral", "openai"] = "any"
    empty_tools: bool = False
    more_options: frozenset[str] = frozenset()
    no_options: frozenset[str] = frozenset()
    finish_required: bool = True
    cache_models: str | None = None


#: The dialect of OpenAI itself.
OPENAI: Final = ChatDialect(max_tokens="max_completion_tokens", store=True, strict_tools=True, tool_ids="openai")
