"""The configuration of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from ...values.errors import InvalidRequest

__all__ = ["LLMCallConfig"]

_FOREVER: Final = 1e15


@frozen
class LLMCallConfig:
    """The configuration of a step ``ai.llm_call``: model, prompt, timeout and retries.

    Args:
        provider: any provider of `mellite.backend`, in any case; ``fake`` and ``local`` answer offline.
        model: the model's id.
        prompt: the prompt; ignored if there is a `template`. One of the two is needed.
        template: a template, instead of `prompt`.
        vars: name -> value, for the placeholders of either; see `apply_vars`. None if there are none.
        timeout_ms: how long each attempt may take, in milliseconds; less than 1 counts as 1.
        max_retries: how often to retry failures that may pass, and timeouts.
        temperature: None leaves it to the provider.
        top_p: None leaves it to the provider.
        extra: more fields of the request's JSON body.

    Raises:
        InvalidRequest: for a value of the wrong type, or a negative `max_retries`.
    """

    provider: str
    model: str
    prompt: str | None = field(default=None, kw_only=True)
    template: str | None = field(default=None, kw_only=True)
    vars: Mapping[str, Any] | None = field(default=None, kw_only=True)
    timeout_ms: float = field(default=30000, kw_only=True)
    max_retries: int = field(default=2, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    top_p: float | None = field(default=None, kw_only=True)
    extra: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for name in ("provider", "model"):
            _check(name, isinstance(getattr(self, name), str), "a str", getattr(self, name))
        for name in ("prompt", "template"):
            given = getattr(self, name)
            _check(name, given is None or isinstance(given, str), "a str or None", given)
        for name in ("vars", "extra"):
            given = getattr(self, name)
            _check(name, given is None or isinstance(given, Mapping), "a mapping or None", given)
        timeout, retries = self.timeout_ms, self.max_retries
        is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
        _check("timeout_ms", is_number and abs(timeout) < _FOREVER, "a number of milliseconds", timeout)
        is_count = isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0
        _check("max_retries", is_count, "a whole number from 0 on", retries)

    @property
    def timeout_s(self) -> float:
        """The timeout of an attempt, in seconds."""
        return max(0.001, self.timeout_ms / 1000)


def _check(name: str, is_right: object, wanted: str, value: object) -> None:
    if not is_right:
        msg = f"{name!r} must be {wanted}, not {value!r:.100}"
        raise InvalidRequest(msg, parameter=name)
