"""Every error that mellite raises, in one tree.

    MelliteError
    ├── ConfigurationError      UnknownProvider, UnknownOption, MissingExtra, InvalidCredential
    ├── RequestError            InvalidRequest, UnsupportedOption, ContextOverflow, PayloadTooLarge
    │                           CannotTravel            what cannot be sent to another process, an InvalidRequest
    ├── ProviderError           AuthenticationError(kind), RateLimited, QuotaExceeded, ContentPolicy,
    │                           ProviderInternal, UnknownProviderError, BatchFailed
    ├── TransportError          ConnectError, ConnectionLost, FirstByteTimeout, IdleTimeout, TotalTimeout
    ├── InvalidProviderOutput   IncompleteStream, OutputTooLarge
    ├── OutputValidationError   an answer that does not fit the output type
    ├── BackendError            any foreign exception out of a backend, as ``__cause__``
    ├── GenerationCancelled
    ├── ToolFailure, ToolDefect
    ├── RunStopped              a run stopped before the model had answered
    ├── CircuitOpen             a backend that failed too often, and is not asked for a while
    ├── HookFailed              a hook raised, and its errors are to be raised
    ├── SamplingError           StreamRejected
    ├── BudgetSpent             what many calls may cost together is spent
    ├── WorkerMismatch          a worker has another mellite than the client
    ├── CassetteError           CassetteMiss, CassetteMismatch, InvalidCassette, InvalidCassetteName,
    │                           UnsafeCassette, RecordingForbidden
    ├── JournalError            JournalInUse, InvalidJournal, JournalDiverged, OutcomeUnknown
    └── SyncInsideLoop

Each says what happened, to what, and what to do. None of them ever holds a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .mellite_error import MelliteError
from .public_names import publish

__all__ = [
    "AuthenticationError",
    "BackendError",
    "BatchFailed",
    "BudgetSpent",
    "CannotTravel",
    "CassetteError",
    "CassetteMismatch",
    "CassetteMiss",
    "CircuitOpen",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "ContentPolicy",
    "ContextOverflow",
    "FirstByteTimeout",
    "GenerationCancelled",
    "HookFailed",
    "IdleTimeout",
    "IncompleteStream",
    "InvalidCassette",
    "InvalidCassetteName",
    "InvalidCredential",
    "InvalidJournal",
    "InvalidProviderOutput",
    "InvalidRequest",
    "JournalDiverged",
    "JournalError",
    "JournalInUse",
    "MelliteError",
    "MissingExtra",
    "OutcomeUnknown",
    "OutputTooLarge",
    "OutputValidationError",
    "PayloadTooLarge",
    "ProviderError",
    "ProviderInternal",
    "QuotaExceeded",
    "RateLimited",
    "RecordingForbidden",
    "RequestError",
    "RunStopped",
    "SamplingError",
    "StreamRejected",
    "SyncInsideLoop",
    "ToolDefect",
    "ToolFailure",
    "TotalTimeout",
    "TransportError",
    "UnknownOption",
    "UnknownProvider",
    "UnknownProviderError",
    "UnsafeCassette",
    "UnsupportedOption",
    "WorkerMismatch",
]


class ConfigurationError(MelliteError):
    """mellite was set up wrongly; nothing was sent."""


class UnknownProvider(ConfigurationError):
    """No provider or backend has this name."""


class UnknownOption(ConfigurationError):
    """No generation option has this name; ``option`` holds it and ``nearest`` the closest one there is."""

    option: str | None = None
    nearest: str | None = None


class MissingExtra(ConfigurationError):
    """A feature needs a package that is not installed; the message gives the pip command."""


class InvalidCredential(ConfigurationError):
    """A key that cannot be sent, for instance because it holds a line break."""


class RequestError(MelliteError):
    """The request cannot be answered as it is; asking again unchanged does not help."""


class InvalidRequest(RequestError):
    """The request is malformed; ``parameter`` names the offending part, if known."""

    parameter: str | None = None


class CannotTravel(InvalidRequest):
    """Something cannot be sent to another process; ``attribute`` says what, as in ``backend.lock``."""

    attribute: str | None = None


class UnsupportedOption(RequestError):
    """The route or backend cannot honour ``option``."""

    option: str | None = None


class ContextOverflow(RequestError):
    """The prompt is longer than the model can read."""


class PayloadTooLarge(RequestError):
    """The request has more bytes than the provider, or a limit set here, allows."""


class ProviderError(MelliteError):
    """The provider answered with an error."""


class AuthenticationError(ProviderError):
    """The provider did not accept the credentials; ``kind`` says why, as far as it is known."""

    kind: Literal["missing", "invalid", "expired", "insufficient-permissions", "unknown"] = "unknown"


class RateLimited(ProviderError):
    """Too many requests for now; ``retry_after`` says how long to wait, in seconds, if the provider did.

    ``rate_limits`` has the limits named in the headers, as in ``{"tokens": {"limit": "60000", "remaining": "0"}}``.
    """

    default_retryable = True
    rate_limits: Mapping[str, Mapping[str, str]] | None = None


class QuotaExceeded(ProviderError):
    """The account has no budget left."""


class ContentPolicy(ProviderError):
    """The provider refused the content."""


class ProviderInternal(ProviderError):
    """Something broke on the provider's side, or it is overloaded."""

    default_retryable = True


class UnknownProviderError(ProviderError):
    """An error answer that fits no other class."""


class BatchFailed(ProviderError):
    """A batch failed, expired, was cancelled, or lost this call; ``batch_id`` is the provider's id of it."""

    batch_id: str | None = None


class TransportError(MelliteError):
    """The bytes of a request or answer did not get through."""


class ConnectError(TransportError):
    """No connection could be made: refused, no such host, TLS."""

    default_retryable = True


class ConnectionLost(TransportError):
    """The connection broke before the answer was complete.

    ``ending`` says how, if known: ``cut`` if the other side closed it cleanly but too early, as in a body without its
    last chunk, or ``reset`` if it failed.
    """

    default_retryable = True
    ending: Literal["cut", "reset"] | None = None


class FirstByteTimeout(TransportError):
    """The answer did not begin in time."""

    default_retryable = True


class IdleTimeout(TransportError):
    """The answer stopped arriving: no event for too long (comments and pings do not count)."""

    default_retryable = True


class TotalTimeout(TransportError):
    """The answer was not complete within the total time allowed."""


class InvalidProviderOutput(MelliteError):
    """The answer breaks the provider's protocol: not JSON, wrong types, events after the end."""


class IncompleteStream(InvalidProviderOutput):
    """The stream stopped without its finish event; the text so far is in ``partial``."""

    default_retryable = True


class OutputTooLarge(InvalidProviderOutput):
    """An answer has more bytes or more JSON values than allowed: ``max_answer_bytes``, ``max_answer_values``."""


class OutputValidationError(MelliteError):
    """The answer is complete but does not match the requested output type.

    ``path`` says where it does not, as in ``$.items[2].price``, and ``value`` is the value there; ``partial`` is the
    whole text.
    """

    path: str | None = None
    value: Any = None


class BackendError(MelliteError):
    """A backend raised something that is not mellite's; the original is ``__cause__``."""


class GenerationCancelled(MelliteError):
    """The generation was cancelled; ``reason`` says why, if that was given."""

    reason: str | None = None


class ToolFailure(MelliteError):
    """The exception for a tool to raise so that the model is told that it failed."""


class ToolDefect(MelliteError):
    """A tool raised an exception not meant for the model, so the run failed; the exception is ``__cause__``.

    ``tool`` is its name, ``arguments`` its arguments, with likely keys removed, and ``call_id`` the id of the call.
    """

    tool: str | None = None
    arguments: Any = None
    call_id: str | None = None


class RunStopped(MelliteError):
    """A run stopped before the model had answered in the requested output type; ``stop_reason`` says why.

    Its steps, messages and usage remain, and it can be forked or resumed.
    """

    stop_reason: str | None = None


class CircuitOpen(MelliteError):
    """A backend was not asked: it failed too often in a row. ``retry_after`` says when it will be, in seconds."""

    default_retryable = True


class HookFailed(MelliteError):
    """A hook whose errors are raised has failed; ``__cause__`` is what it raised, and ``hook`` its name."""

    hook: str | None = None


class SamplingError(MelliteError):
    """Sampling gave no answer; ``errors`` has what went wrong in each sample, and ``__cause__`` is a group of them."""

    errors: tuple[Exception, ...] = ()


class StreamRejected(SamplingError):
    """A stream failed its requirements and no attempts remained; ``failures`` says which, in every attempt."""

    failures: tuple[Any, ...] = ()


class BudgetSpent(MelliteError):
    """The budget for many calls is spent: no more were begun, and those not sent are still pending.

    ``spent`` is the amount spent, a Decimal of USD or a number of tokens, and ``limit`` the most allowed. The calls in
    flight may have exceeded it.
    """

    spent: Any = None
    limit: Any = None


class WorkerMismatch(MelliteError):
    """A worker has another version of mellite than the client: ``here`` is the client's, ``there`` the worker's."""

    here: str | None = None
    there: str | None = None


class CassetteError(MelliteError):
    """Something is wrong with a cassette; ``path`` names the file, if there is one."""

    path: str | None = None


class CassetteMiss(CassetteError):
    """Nothing was recorded for this request."""


class CassetteMismatch(CassetteError):
    """Something was recorded, but for a different request."""


class InvalidCassette(CassetteError):
    """A damaged cassette; ``offset`` is the byte where reading failed, if known. The file is left as it is."""

    offset: int | None = None


class InvalidCassetteName(CassetteError):
    """A name that is empty, or would leave the cassette directory."""


class UnsafeCassette(CassetteError):
    """A cassette would have held something that looks like a secret, and was not written; ``findings`` says where."""

    findings: tuple[Any, ...] = ()


class RecordingForbidden(CassetteError):
    """Recording was requested where it is forbidden (``CI=true``)."""


class JournalError(MelliteError):
    """Something is wrong with the journal of a run; ``path`` names its directory."""

    path: str | None = None


class JournalInUse(JournalError):
    """Another process, or another block of this one, has the journal open."""


class InvalidJournal(JournalError):
    """A damaged journal; ``offset`` is the byte where reading failed, if known. It is left as it is."""

    offset: int | None = None


class JournalDiverged(JournalError):
    """A program makes a different call than it did when its journal was written.

    ``call`` is the number of the call that was expected, and ``diff`` says where its request differs.
    """

    call: int | None = None
    diff: str | None = None


class OutcomeUnknown(JournalError):
    """A run-once call had begun when its process died; its outcome is unknown, so it is not run again.

    ``tool`` is its name, ``arguments`` its arguments, with likely keys removed, and ``call_id`` the number of the call
    in the journal, for ``journal.resolve`` and ``mellite journal resolve``.
    """

    tool: str | None = None
    arguments: Any = None
    call_id: int | None = None


class SyncInsideLoop(MelliteError):
    """A blocking call was made inside a running event loop; the message says what to await instead."""


publish(globals(), "mellite.errors")
