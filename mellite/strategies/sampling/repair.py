"""Repair: ask again, and tell the model what was wrong, in the same message or in a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

from attrs import evolve, field, frozen

from ...thunk.thunk import AnyThunk
from ...values.errors import InvalidRequest, OutputValidationError, SamplingError
from ...values.messages import Message, Text, ToolCall
from ...values.request import Request
from ...values.signatures import write_signature
from ...values.told_errors import error_line
from ..asking_again import told, with_request
from ..requirements import Requirement
from .round import Round
from .sample import AnySample
from .strategy import Strategy

__all__ = ["Feedback", "ModelFriendlyRepair", "MultiTurnRepair", "RepairSampling", "model_friendly", "plain"]

#: Writes what was wrong with a sample, for the model; "" if the model could do nothing better.
Feedback: TypeAlias = Callable[[AnySample, Sequence[Requirement]], str]


def plain(sample: AnySample, requirements: Sequence[Requirement]) -> str:
    """List the requirements that were not met, with the reasons that the checks gave."""
    faults = [f"- {what}: {reason}" if reason else f"- {what}" for what, reason in _faults(sample, requirements)]
    return "\n".join(["An earlier answer did not meet these requirements:", *faults]) if faults else ""


def model_friendly(sample: AnySample, requirements: Sequence[Requirement]) -> str:
    """Write steps to follow: what was found, what is wanted instead, what was right, and what to send back.

    Models do better when told where a fault is and how to mend it than when told that there is one. A check that raised
    is left out, because that is not the model's fault.
    """
    faults = _faults(sample, requirements)
    if not faults:
        return ""
    lines = ["Your answer was checked and needs changes. Do the following:"]
    for number, (what, reason) in enumerate(faults, 1):
        found = f" What the check found: {reason}" if reason else " Your answer did not do this."
        lines.append(f"{number}. Make sure of this: {what}.{found}")
    if kept := _met(sample, requirements):
        lines += ["These were right, keep them so:", *[f"- {what}" for what in kept]]
    lines += ["Your answer was:", *[f"> {line}" for line in _excerpt(sample.thunk.partial).splitlines()]]
    lines.append("Write the whole answer again with these changes, and nothing else.")
    return "\n".join(lines)


@frozen(kw_only=True)
class RepairSampling(Strategy):
    """Ask again in a single turn: the same prompt, followed by what was wrong with the latest answer.

    The arguments are those of `Strategy`, and:

    Args:
        feedback: tells the model what was wrong: `plain`, `model_friendly`, or your own function of the sample and the
            requirements.

    Example:
        >>> import asyncio
        >>> from mellite import Requirement, ValidationResult
        >>> from mellite.backends import Scripted
        >>> lower = Requirement("only small letters", lambda thunk: thunk.value.islower())
        >>> backend = Scripted(["Hello", "hello"])
        >>> result = asyncio.run(RepairSampling().sample(backend.generate("Greet me."), [lower]))
        >>> print(result.value, "|", backend.requests[1].text)
        hello | Greet me.
        <BLANKLINE>
        An earlier answer did not meet these requirements:
        - only small letters
    """

    _needs_requirements: ClassVar[bool] = True

    feedback: Feedback = field(default=plain)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not callable(self.feedback):
            msg = f"'feedback' must be a function of a sample and the requirements, not {self.feedback!r}"
            raise InvalidRequest(msg, parameter="feedback")

    def _copy(self, round: Round, thunk: AnyThunk) -> AnyThunk:
        copy = thunk.resample(1)[0]
        for sample in reversed(round.ordered()):
            said = self._said(sample, round.requirements)
            if said:
                return with_request(copy, self._repaired(thunk.call.request, sample.thunk, said))
        return copy

    def _said(self, sample: AnySample, requirements: Sequence[Requirement]) -> str:
        try:
            return self.feedback(sample, requirements)
        except Exception as error:
            name = getattr(self.feedback, "__name__", repr(self.feedback))
            msg = f"the feedback function {name} raised {error_line(error)}"
            raise SamplingError(msg) from error

    def _repaired(self, request: Request, failed: AnyThunk, said: str) -> Request:
        """Return the request to send next."""
        return told(request, said)


@frozen(kw_only=True)
class MultiTurnRepair(RepairSampling):
    """Ask again in a conversation: the failed answer, then what was wrong with it, and so on.

    The arguments are those of `RepairSampling`. Unlike there, the prompt grows with every turn.

    Example:
        >>> import asyncio
        >>> from mellite import Requirement
        >>> from mellite.backends import Scripted
        >>> lower = Requirement("only small letters", lambda thunk: thunk.value.islower())
        >>> backend = Scripted(["Hello", "hello"])
        >>> result = asyncio.run(MultiTurnRepair().sample(backend.generate("Greet me."), [lower]))
        >>> [message.role for message in backend.requests[1].messages], result.value
        (['user', 'assistant', 'user'], 'hello')
    """

    def _repaired(self, request: Request, failed: AnyThunk, said: str) -> Request:
        # A tool call would need its result after it, so it is left out. Providers would refuse an empty message.
        parts = [part for part in failed.message.content if not isinstance(part, ToolCall)]
        if not any(isinstance(part, Text) for part in parts):
            return super()._repaired(request, failed, said)
        asked = failed.call.request
        return evolve(request, messages=(*asked.messages, Message.assistant(*parts), Message.user(said)))


@frozen(kw_only=True)
class ModelFriendlyRepair(RepairSampling):
    """`RepairSampling` with feedback that models act on better: see `model_friendly`."""

    feedback: Feedback = field(default=model_friendly)


def _faults(sample: AnySample, requirements: Sequence[Requirement]) -> list[tuple[str, str | None]]:
    """Return what the model did not do, with the reasons; without checks that raised."""
    if isinstance(sample.error, OutputValidationError):
        return [(_shape(sample.thunk.call.request.output), str(sample.error))]
    pairs = zip(requirements, sample.validations, strict=False)
    return [
        (requirement.description, verdict.reason)
        for requirement, verdict in pairs
        if not verdict.passed and verdict.error is None
    ]


def _met(sample: AnySample, requirements: Sequence[Requirement]) -> list[str]:
    pairs = zip(requirements, sample.validations, strict=False)
    return [requirement.description for requirement, verdict in pairs if verdict.passed]


def _shape(output: Any) -> str:
    """Describe the JSON that is wanted, in words and as a JSON Schema."""
    from ...values.output import schema_of

    try:
        schema = schema_of(output)
    except InvalidRequest:  # a type without a schema
        return "the answer must be JSON, without any text around it"
    return f"the answer must be JSON that fits this JSON Schema, without any text around it: {json.dumps(schema)}"


def _excerpt(text: str, most: int = 2_000) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[...]\n{text[-most // 2 :]}"


write_signature(RepairSampling, {"feedback": "plain"})
write_signature(MultiTurnRepair, {"feedback": "plain"})
write_signature(ModelFriendlyRepair, {"feedback": "model_friendly"})
