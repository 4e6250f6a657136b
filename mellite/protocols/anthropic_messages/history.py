"""Claude's rules for a conversation: its own signatures on thinking, calls last, no space at the very end."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from ...values.messages import Message, Part, Reasoning
from ...values.request import Request
from .. import history
from ..message_parts import noted

__all__ = ["mend", "signature_of"]

_RULES: Final = history.HistoryRules(ids="claude", calls_last=True)


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request with a history that Anthropic takes, and a sentence for each thing that was changed.

    Beside what all protocols need, thinking without Anthropic's signature is left out, as it cannot be checked and
    would be refused, and so is space at the end of a last assistant message, which Claude is to continue.

    Example:
        >>> request = Request.of([Message.user("Hi."), Message.assistant(Reasoning("Hm."), "Hello. ")])
        >>> mend(request)[0].messages[-1].text
        'Hello.'
    """
    if request.messages and request.messages[-1].role == "user" and history.is_text(request):
        return request, ()
    request, changes = history.mend(request, rules=_RULES)
    messages: list[Message] = []
    more: list[str] = []
    for message in request.messages:
        if message.role == "assistant" and not all(_is_ours(part) for part in message.content):
            kept = tuple([part for part in message.content if _is_ours(part)])
            if any(isinstance(part, Reasoning) and part.text for part in message.content if not _is_ours(part)):
                more.append("thinking without a signature of Anthropic is left out")
            message = evolve(message, content=kept)  # noqa: PLW2901 - what follows sees the changed one
        messages.append(message)
    if tuple(messages) != request.messages:
        request = evolve(request, messages=tuple(messages))
    trimmed = history.without_last_space(request)
    if trimmed is not request:
        more.append(history.LAST_SPACE)
    return trimmed, (*changes, *dict.fromkeys(more))


def _is_ours(part: Part) -> bool:
    if not isinstance(part, Reasoning):
        return True
    return signature_of(part) is not None or bool(_facts(part) & {"block", "redacted_data"})


def _facts(part: Reasoning) -> set[str]:
    return set((part.provider_metadata or {}).get("anthropic") or ())


def signature_of(part: Reasoning) -> str | None:
    """Return Anthropic's signature of some thinking; None for thinking of another provider, whatever it encrypted."""
    own = noted(part, "anthropic", "signature")
    if isinstance(own, str) and own:
        return own
    return part.encrypted or None if not part.provider_metadata else None
