"""Differences between the companies that speak Responses."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["OPENAI", "ResponsesDialect"]


@frozen(kw_only=True)
class ResponsesDialect:
    """The differences of one company's Responses API: facts, not code.

    Args:
        namespaces: whose entries of ``provider_options`` go into the body; later ones win. Under the last of them the
            parts of an answer keep what the company wants to see again: ids, phases, encrypted thinking.
        store: whether to say ``store: false``, so that the answer is not kept, unless the caller says otherwise.
        strict_tools: whether a tool definition says ``strict``, which counts as true where it is missing.
        reasoning_models: a regular expression for the models that think, and give their thinking away encrypted.
        message_ids: whether messages of the assistant go back with their id, as items of the answer.
        more_options: options that it takes beyond those of OpenAI.
        no_options: options of OpenAI that it does not take.
    """

    namespaces: tuple[str, ...] = ("openai",)
    store: bool = True
    strict_tools: bool = True
    reasoning_models: str | None = None
    message_ids: bool = False
    more_options: frozenset[str] = frozenset()
    no_options: frozenset[str] = frozenset()

    @property
    def namespace(self) -> str:
        """Where the parts of an answer keep what the company wants to see again."""
        return self.namespaces[-1]


#: The dialect of OpenAI itself. Other models refuse to be asked for encrypted thinking.
OPENAI: Final = ResponsesDialect(reasoning_models=r"(.*/)?(o\d|codex-|gpt-([5-9]|\d\d)(?!.*-chat))")
