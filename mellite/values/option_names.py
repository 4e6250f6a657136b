"""The error for an option that does not exist: the nearest one, or how what it does elsewhere is done here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .errors import UnknownOption
from .spelling import nearest

__all__ = ["unknown_option"]

#: What OpenAI, Anthropic, Google, LangChain, LiteLLM, Ollama and others call options that exist here as well.
_OTHER_NAMES: Final = {
    "effort": "reasoning_effort",
    "engine": "model",
    "format": "output",
    "function_call": "tool_choice",
    "functions": "tools",
    "instructions": "system",
    "max_completion_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "model_id": "model",
    "model_name": "model",
    "num_predict": "max_tokens",
    "output_type": "output",
    "random_seed": "seed",
    "request_timeout": "timeouts",
    "response_format": "output",
    "response_model": "output",
    "response_schema": "output",
    "result_type": "output",
    "schema": "output",
    "stop_sequences": "stop",
    "streaming": "stream",
    "system_instruction": "system",
    "system_message": "system",
    "system_prompt": "system",
    "temp": "temperature",
    "thinking": "reasoning_budget",
    "thinking_budget": "reasoning_budget",
    "timeout": "timeouts",
}

#: How to write the value of some of them, as it is not written elsewhere.
_WRITTEN: Final = {
    "output": "output=MyType, the type of the parsed answer",
    "timeouts": "timeouts=mellite.Timeouts(total=30)",
}

_COPIES: Final = "for several answers make copies, as in mellite.gather(thunk.resample(3)), or mellite.BestOfN(3, ...)"
_ATTEMPTS: Final = (
    "did you mean 'retries', an argument of mellite.backend(...)? For answers that are not good enough it is "
    "mellite.stream(thunk, attempts=3)"
)
_BASE_URL: Final = "did you mean 'base_url', an argument of mellite.backend(...)?"
_KEY: Final = "did you mean 'api_key', an argument of mellite.backend(...)?"
_RAW: Final = "raw additions to the request are given as http=mellite.HttpOptions(body=..., headers=..., query=...)"
_ANYTHING_ELSE: Final = "what only one provider knows is given as provider_options={'NAME': {...}}"
_STEPS: Final = "a run ends by its conditions, as in mellite.run(..., stop_when=mellite.stop.steps(5))"
_BUDGET: Final = (
    "a run ends by stop_when=mellite.stop.usd('0.50'), strategies take max_usd=, and mellite.engine.map takes "
    "limits=[mellite.Budget(usd=5)]"
)
_PROMPT: Final = "the conversation is the first argument: generate([...], ...)"

#: How alike an option must be to what was written: with less, `cancel` is taken for `cache`, `truncation` for `tools`.
_ALIKE: Final = 0.75

#: What is an argument of another door, and which one.
_ARGUMENTS: Final = {
    "api_key": "mellite.backend(...)",
    "attempts": "mellite.stream(...)",
    "base_url": "mellite.backend(...)",
    "ca": "mellite.backend(...)",
    "cert": "mellite.backend(...)",
    "chunking": "mellite.stream(...)",
    "keep_raw": "mellite.backend(...)",
    "max_answer_bytes": "mellite.backend(...)",
    "max_answer_values": "mellite.backend(...)",
    "max_concurrency": "mellite.backend(...)",
    "max_request_bytes": "mellite.backend(...)",
    "proxy": "mellite.backend(...)",
    "repair": "mellite.stream(...)",
    "requirements": "mellite.stream(...) and of strategy.sample(...)",
    "transport": "mellite.backend(...)",
}

#: What is done in another way here.
_ELSEWHERE: Final = {
    "api_base": _BASE_URL,
    "apikey": _KEY,
    "auth_token": _KEY,
    "best_of": _COPIES,
    "budget": _BUDGET,
    "candidate_count": _COPIES,
    "concurrency": "it is an argument of mellite.gather(...); for all calls of a backend say "
    "mellite.backend(..., max_concurrency=...)",
    "endpoint": _BASE_URL,
    "extra_body": _RAW,
    "extra_headers": _RAW,
    "extra_query": _RAW,
    "headers": _RAW,
    "history": _PROMPT,
    "key": _KEY,
    "limits": _BUDGET,
    "max_budget": _BUDGET,
    "max_cost": _BUDGET,
    "max_iterations": _STEPS,
    "max_retries": _ATTEMPTS,
    "max_steps": _STEPS,
    "max_turns": _STEPS,
    "max_usd": _BUDGET,
    "messages": _PROMPT,
    "n": _COPIES,
    "num_retries": _ATTEMPTS,
    "prompt": _PROMPT,
    "recursion_limit": _STEPS,
    "retries": _ATTEMPTS,
    "speed": _ANYTHING_ELSE,
    "store": _ANYTHING_ELSE,
    "token": _KEY,
}


def unknown_option(name: str, known: Sequence[str]) -> UnknownOption:
    """Return the error for a keyword that is not an option, with what was probably meant.

    Args:
        name: what was written; never its value, which may be a key.
        known: the options that exist.

    Example:
        >>> print(unknown_option("timeout", ["temperature", "timeouts"]))
        there is no option 'timeout'; did you mean 'timeouts', as in timeouts=mellite.Timeouts(total=30)?
        >>> print(unknown_option("key", ["temperature"]))
        there is no option 'key'; did you mean 'api_key', an argument of mellite.backend(...)?
    """
    word = name.strip().lower().replace("-", "_")
    said, near = _ELSEWHERE.get(word), None
    if said is None:
        aliases = {other: meant for other, meant in _OTHER_NAMES.items() if meant in known}
        near = nearest(word, [*known, *_ARGUMENTS], aliases=aliases, cutoff=_ALIKE)
        if near is None:
            said = f"the options are {', '.join(sorted(known))}; {_ANYTHING_ELSE}"
        elif near in known:
            as_in = f", as in {_WRITTEN[near]}" if near in _WRITTEN and near != word else ""
            said = f"did you mean {near!r}{as_in}?"
        else:
            door = _ARGUMENTS[near]
            said = f"it is an argument of {door}, not of a call"
            if near != word:
                said = f"did you mean {near!r}, an argument of {door}?"
            near = None
    return UnknownOption(f"there is no option {name!r}; {said}", option=name, nearest=near)
