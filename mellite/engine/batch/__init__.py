"""Calls at half the price: the batch services of OpenAI, Anthropic, Google, Mistral and OpenAI-compatible providers.

`submit` makes batches of thunks and keeps their ids in a journal; `status` reports their progress, `fetch` settles
thunks with their answers, `cancel` stops them, `estimate` estimates their cost. ``mellite.engine.map(..., on="batch")``
submits, waits and fetches.

How it is put together: `lines`, `limits` and `splitting` are pure. `places` says which service takes a call, `ledger`
keeps what was sent and what came back beside the journal, `spooling` fills files. `sending` asks over mellite's own
transports, `services` knows each provider's API, `making` goes from a file to a batch to its results. `answers` has
a result read by the route's own reader of answers, as if it had just come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .estimating import Estimate as Estimate, estimate as estimate
    from .fetching import fetch as fetch
    from .submitting import BatchStatus as BatchStatus, cancel as cancel, status as status, submit as submit
else:
    from ...values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            ".estimating": "Estimate estimate",
            ".fetching": "fetch",
            ".submitting": "BatchStatus cancel status submit",
        },
    )
