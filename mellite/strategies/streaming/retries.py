"""The attempts at one answer: one generation after the other, until one meets all requirements or none may follow."""

from __future__ import annotations

from attrs import define, field

from ...thunk.thunk import AnyThunk
from ...values.chunking import Chunking
from ...values.errors import InvalidRequest
from ...values.told_errors import error_text
from ..asking_again import copy_with
from ..requirements import Requirement, ValidationResult, verdicts
from .attempt import Attempt
from .events import DoneEvent, ErrorEvent, Failure, FullValidationEvent, RetryEvent
from .outlet import Outlet
from .repair import Repair, is_futile, repaired

__all__ = ["Retries"]


@define(eq=False)
class Retries:
    """The attempts at one answer, and what is known of them.

    One task calls `run`, once. All else is read and called in the same event loop, so that no lock is needed.

    Args:
        origin: the thunk of the first attempt; the others are copies of it.
        requirements: the demands on the answer.
        chunking: how the text is cut.
        most: how many attempts there may be.
        repair: what further attempts are told.

    Attributes:
        outlet: where chunks and events are put for the consumer.
        success: whether an answer met all requirements.
        error: the error of the last attempt, unless a requirement failed it.
        failure: what failed the stream, whatever its attempts came to.
        failures: the failures of all attempts, in order.
        thunks: the thunk of each attempt, in order.
        validations: the verdicts on the last whole answer.
        judges: the thunks of the models that judged.
    """

    origin: AnyThunk
    requirements: tuple[Requirement, ...] = field(kw_only=True)
    chunking: Chunking = field(kw_only=True)
    most: int = field(kw_only=True)
    repair: Repair = field(kw_only=True)
    outlet: Outlet = field(factory=Outlet, init=False)
    success: bool = field(default=False, init=False)
    error: Exception | None = field(default=None, init=False)
    failures: list[Failure] = field(factory=list, init=False)
    thunks: list[AnyThunk] = field(factory=list, init=False)
    validations: list[ValidationResult | None] = field(factory=list, init=False)
    judges: list[AnyThunk] = field(factory=list, init=False)
    failure: Exception | None = field(default=None, init=False)
    _begun: list[Attempt] = field(factory=list, init=False)

    async def run(self) -> None:
        """Make attempts until one succeeds, one fails in a way that a retry cannot mend, or all are used up."""
        thunk = self.origin
        if thunk.is_computed() and thunk.value is None:
            thunk = thunk.resample(1)[0]  # it failed or was cancelled before the stream began
        for number in range(1, self.most + 1):
            last = number == self.most
            attempt = self._begin(thunk, number)
            await attempt.read(last=last)
            if attempt.error is None and not attempt.rejected:
                await self._validate(attempt)
            if self.failure is not None:
                return
            if attempt.error is None and not attempt.rejected:
                self.success = True
                return
            if attempt.error is not None:
                self._broke_off(attempt, attempt.error)
            self.failures += attempt.failures
            if attempt.error is not None and (last or is_futile(attempt.error)):
                self.error = attempt.error
                return
            if not last:
                try:
                    thunk = await self._next_thunk()
                except InvalidRequest as error:
                    self.error = error.with_traceback(None)
                    self.outlet.put(ErrorEvent(error, attempt=number))
                    return
                self.outlet.put(RetryEvent(tuple(attempt.failures), attempt=number + 1))

    def fail(self, error: Exception) -> None:
        """Take this for the error of the stream: no further attempt is made, and none has succeeded."""
        self.failure = self.error = error
        self.success = False

    def abandon(self) -> None:
        """Cancel all checks under way, and release nothing more."""
        for attempt in self._begun:
            attempt.abandon()

    def close(self) -> None:
        """Let go of the attempts, after the last task has ended. They refer to this object: that cycle is cut."""
        for attempt in self._begun:
            attempt.close()
        self._begun.clear()

    def _begin(self, thunk: AnyThunk, number: int) -> Attempt:
        self.thunks.append(thunk)
        self.validations = []
        attempt = Attempt(
            thunk,
            number=number,
            requirements=self.requirements,
            chunking=self.chunking,
            outlet=self.outlet,
            judged=self._judged,
        )
        self._begun.append(attempt)
        return attempt

    def _judged(self, result: ValidationResult | None) -> None:
        if result is not None and result.thunk is not None:
            self.judges.append(result.thunk)

    def _broke_off(self, attempt: Attempt, error: Exception) -> None:
        self.outlet.put(ErrorEvent(error, attempt=attempt.number))
        result = ValidationResult(passed=False, reason=error_text(error), error=error)
        attempt.failures.append(Failure(None, result, attempt=attempt.number))

    async def _validate(self, attempt: Attempt) -> None:
        """Judge the whole answer. A requirement without ``check`` has judged its chunks already, and passes."""
        outlet = self.outlet
        if outlet.detailed:
            outlet.put(DoneEvent(attempt.thunk, attempt=attempt.number))
        whole = [(index, each) for index, each in enumerate(self.requirements) if each.check is not None]
        found = await verdicts(
            [each for _, each in whole],
            attempt.thunk,
            attempt.thunk.call.context,
            until_failure=not self.repair,
        )
        validations: list[ValidationResult | None] = [ValidationResult(passed=True) for _ in self.requirements]
        for (index, requirement), result in zip(whole, found, strict=True):
            validations[index] = result
            self._judged(result)
            if result is not None and not result.passed:
                attempt.failures.append(Failure(requirement, result, attempt=attempt.number))
        self.validations = validations
        if outlet.detailed and self.requirements:
            outlet.put(FullValidationEvent(tuple(validations), attempt=attempt.number))

    async def _next_thunk(self) -> AnyThunk:
        """Return a fresh copy for the next attempt, with the reasons in its prompt if that is wanted."""
        request = await repaired(self.repair, self.origin.call.request, self.failures)
        return copy_with(self.origin, request)
