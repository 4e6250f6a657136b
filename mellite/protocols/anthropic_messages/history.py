"""What Claude insists on in a conversation: its own signatures on thinking, calls last, no space at the very end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from ...values.messages import Message, Part, Reasoning, Text
from ...values.request import Request
from .. import history

__all__ = ["mend", "noted", "signature_of"]

_RULES: Final = history.HistoryRules(ids="claude", calls_last=True)


def mend(request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request with a history that Anthropic takes, and a sentence for each thing that was changed.

    Beside what all protocols need, thinking without Anthropic's signature is left out, as it cannot be checked and
    would be refused, and so is space at the end of a last assistant message, which Claude is to continue.

    Example:
        >>> request = Request.of([Message.user("Hi."), Message.assistant(Reasoning("Hm."), "Hello. ")])
        >>> mend(request)[0].messages[-1].text
        'Hello.'
    """
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
    last = messages[-1] if messages else None
    end = last.content[-1] if last is not None and last.role == "assistant" and last.content else None
    if last is not None and isinstance(end, Text) and end.text != end.text.rstrip():
        messages[-1] = evolve(last, content=(*last.content[:-1], evolve(end, text=end.text.rstrip())))
        more.append("space at the end of the text that is to be continued is left out")
    if tuple(messages) == request.messages:
        return request, changes
    return evolve(request, messages=tuple(messages)), (*changes, *dict.fromkeys(more))


def _is_ours(part: Part) -> bool:
    if not isinstance(part, Reasoning):
        return True
    return signature_of(part) is not None or bool(_facts(part) & {"block", "redacted_data"})


def _facts(part: Reasoning) -> set[str]:
    return set((part.provider_metadata or {}).get("anthropic") or ())


def signature_of(part: Reasoning) -> str | None:
    """Anthropic's signature of some thinking; None for what another provider thought, whatever it encrypted."""
    own = noted(part.provider_metadata, "signature")
    if isinstance(own, str) and own:
        return own
    return part.encrypted or None if not part.provider_metadata else None


def noted(metadata: Mapping[str, Mapping[str, Any]] | None, name: str) -> Any:
    """What an earlier answer noted of a part, to be sent back."""
    return ((metadata or {}).get("anthropic") or {}).get(name)
