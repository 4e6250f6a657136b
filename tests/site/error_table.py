"""The table of errors: the tree of `mellite.errors`, with what each means and what to do about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

from mellite import errors
from mellite.errors import MelliteError
from tests.site.cells import cell

#: What to do about each error. A test holds this to the tree.
TO_DO: Final = {
    "AuthenticationError": "Look at `kind`: set the variable that the message names, renew the key, or ask for access.",
    "BackendError": "Look at `__cause__`: it is a bug of the backend, or an error that it should translate.",
    "BatchFailed": "Look the batch up at the provider by `batch_id`; send it again.",
    "BudgetSpent": "Raise the `Budget`, or continue later with the thunks that are still pending.",
    "CannotTravel": "Leave out what `attribute` names, or make it in the other process.",
    "CassetteError": "Catch this to catch all errors of cassettes.",
    "CassetteMismatch": "Look at the difference in the message; record again if it is intended "
    "([stale cassettes](how-to/look-after-cassettes.md)).",
    "CassetteMiss": "Record the call ([how](how-to/record-and-replay.md)), or correct the request.",
    "CircuitOpen": "Wait for `retry_after` seconds, or ask another provider (`mellite.FallbackTo`).",
    "ConfigurationError": "Fix what the message names.",
    "ConnectError": "Check the base URL, proxy and certificates ([how](how-to/use-a-proxy.md)); ask again.",
    "ConnectionLost": "Ask again; what had arrived is in `partial`.",
    "ContentPolicy": "Change the prompt, or ask another model.",
    "ContextOverflow": "Send less: `chat.trimmed(tokens=...)`, or `mellite.count_tokens` before asking.",
    "FirstByteTimeout": "Ask again, or raise `Timeouts(first_byte=...)`.",
    "GenerationCancelled": "Nothing, if you cancelled it; `reason` says who did. A copy asks again.",
    "HookFailed": "Fix the hook that `hook` names, or have its errors only logged.",
    "IdleTimeout": "Ask again, or raise `Timeouts(idle=...)` for models that pause long.",
    "IncompleteStream": "Ask again; what had arrived is in `partial`.",
    "InvalidCassette": "Restore the file from version control; `offset` says where it is damaged.",
    "InvalidCassetteName": "Give a name that stays inside the directory.",
    "InvalidCredential": "Set the key again, without line breaks or blanks.",
    "InvalidJournal": "Begin a new journal; the damaged one is left as it is.",
    "InvalidProviderOutput": "Check that the base URL is that of an API. If it is, report the answer.",
    "InvalidRequest": "Fix the part that `parameter` names.",
    "JournalDiverged": "Look at `diff`: undo the change, begin a new journal, or fork before it (`fork_at=`).",
    "JournalError": "Catch this to catch all errors of journals.",
    "JournalInUse": "End the other process, or use another directory.",
    "MelliteError": "Catch this to catch them all.",
    "MissingExtra": "Run the pip command in the message.",
    "OutcomeUnknown": "Find out whether it was done, then say so: `mellite journal resolve`.",
    "OutputTooLarge": "Raise `max_answer_bytes` or `max_answer_values`, if the answer is right.",
    "OutputValidationError": "Sample again with a repair strategy ([how](how-to/sample.md)), or loosen the type; "
    "`path` and `value` say where it failed.",
    "PayloadTooLarge": "Send less; files by their URL or id.",
    "ProviderError": "Catch this to catch all error answers of providers.",
    "ProviderInternal": "Ask again later, or ask another provider (`mellite.FallbackTo`).",
    "QuotaExceeded": "Pay, or use another account. Waiting does not help.",
    "RateLimited": "Wait for `retry_after` seconds; `mellite.RateLimit` waits before sending.",
    "RecordingForbidden": "Record on your own machine, without `CI=true`, and commit the cassette.",
    "RequestError": "Catch this to catch all faults of a request.",
    "RunStopped": "Look at `stop_reason`; fork or resume the run, with a later `stop_when`.",
    "SamplingError": "Look at `errors`, one for each sample.",
    "StreamRejected": "Look at `failures`; raise `attempts`, or change the requirements.",
    "SyncInsideLoop": "Write `await`, as the message says.",
    "ToolDefect": "Fix the tool; raise `ToolFailure` in it for what the model should know.",
    "ToolFailure": "Raise it in a tool; the model reads it and continues.",
    "TotalTimeout": "Raise `Timeouts(total=...)`, or ask for less.",
    "TransportError": "Catch this to catch all connection errors and timeouts.",
    "UnknownOption": "Use the option that the message names.",
    "UnknownProvider": "Use the name that the message suggests ([providers](providers.md)).",
    "UnknownProviderError": "Read `provider_message` and `status`; report it if it should be another error.",
    "UnsafeCassette": "Look at `findings`; redact it ([how](how-to/record-safely.md)), or allow what is not a secret.",
    "UnsupportedOption": "Leave `option` out, or allow that with `drop_unsupported=True`.",
    "WorkerMismatch": "Install the same version of mellite on both sides.",
}


def rows() -> Iterator[str]:
    """Yield a table for each branch of the tree, and one for those errors that have no branch."""
    branches = children(MelliteError)
    for parent in branches:
        if children(parent):
            yield from (f"### `{parent.__name__}`", "", f"{said(parent)} {TO_DO[parent.__name__]}", "")
            yield from table(children(parent))
    yield from ("### Others", "")
    yield from table([each for each in branches if not children(each)])


def table(kinds: list[type[MelliteError]]) -> Iterator[str]:
    """Yield a row for each error, and for those below it."""
    yield from ("| error | what happened | again? | what to do |", "|---|---|---|---|")
    for kind in [each for parent in kinds for each in (parent, *children(parent))]:
        again = "yes" if kind.default_retryable else "no"
        yield f"| `{kind.__name__}` | {said(kind)} | {again} | {TO_DO[kind.__name__]} |"
    yield ""


def said(kind: type[MelliteError]) -> str:
    """Return the first paragraph of the docstring of an error."""
    return cell((inspect.getdoc(kind) or "").partition("\n\n")[0])


def children(kind: type[MelliteError]) -> list[type[MelliteError]]:
    """Return the errors right below one, by name; those that a program adds are left out."""
    there = [each for each in kind.__subclasses__() if getattr(errors, each.__name__, None) is each]
    return sorted(there, key=lambda each: each.__name__)
