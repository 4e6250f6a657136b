"""One list of thunks that is taken through every engine: what is asked, and what can be compared of what came of it.

The local batch services answer live calls, too, so that one server in its own process stands behind all engines.
"""

from __future__ import annotations

from decimal import Decimal

import mellite
from mellite import engine
from mellite.errors import ContextOverflow, InvalidRequest, OutputValidationError

#: What a call costs in a batch, beside one of its own.
SHARE = {"batch": Decimal("0.5")}


def asked():
    """Thunks of many kinds at one server: equal ones, some with a type, one that is cut off, some that fail."""
    backend = mellite.backend("openai-chat:gpt-4o-mini")
    options = {"stream": False, "max_tokens": 50}
    prompts = [*[f"prompt {number}, größe" for number in range(20)], "the same", "the same", "the same"]
    yield from [backend.generate(prompt, **options) for prompt in [*prompts, "be long", "refuse me", "overflow"]]
    yield from [backend.generate(prompt, output=list[int], **options) for prompt in ("]2 ,1[", "no list")]


async def told(thunk):
    """What can be compared of a settled thunk, wherever it was asked."""
    made, error = thunk.generation, thunk.error
    return {
        "state": thunk.state,
        "text": thunk.value,
        "parsed": await thunk if thunk.state == "done" else None,
        "usage": None if made.usage is None else made.usage.counts(),
        "finish": (made.finish_reason, made.raw_finish_reason),
        "answer": (made.response_id, made.response_model, made.provider),
        "error": None if error is None else (type(error), error.status, error.retryable, str(error)),
    }


async def settled(on):
    """Settle the list on an engine, and hold what is the same everywhere; return what came, and what it cost."""
    thunks = await engine.map(asked(), on=on, collect=list, progress=False)
    facts = [await told(thunk) for thunk in thunks]
    assert [fact["text"] for fact in facts[:20]] == [f"prompt {number}, größe"[::-1] for number in range(20)]
    assert [fact["error"][0] for fact in facts if fact["error"]] == [
        InvalidRequest,
        ContextOverflow,
        OutputValidationError,
    ]
    assert [fact["parsed"] for fact in facts].count([1, 2]) == 1
    assert [fact["finish"][0] for fact in facts].count("length") == 1
    share = SHARE.get(on, Decimal(1)) if isinstance(on, str) else Decimal(1)
    costs = [None if thunk.generation.cost_usd is None else thunk.generation.cost_usd / share for thunk in thunks]
    assert sum(cost or 0 for cost in costs) > 0
    return facts, costs
