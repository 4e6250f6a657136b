"""Did you mean: misspelled options, words of other libraries, models without a provider, keywords of errors."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import mellite
from mellite import errors
from mellite.backends import Echo
from mellite.errors import InvalidRequest, MelliteError, RateLimited, StreamRejected, UnknownOption, UnknownProvider
from mellite.request import Options, Timeouts
from mellite.values.spelling import nearest

DOORS = {
    "generate": lambda **options: mellite.generate(Echo(), "Hi.", **options),
    "backend.generate": lambda **options: Echo().generate("Hi.", **options),
    "Request": lambda **options: mellite.Request.of("Hi.", **options),
    "backend": lambda **options: mellite.backend("openai:gpt-4o-mini", **options),
    "fake": lambda **options: mellite.backend("fake:echo", **options),
    "stream": lambda **options: mellite.stream("Hi.", backend=Echo(), **options),
    "stream of a thunk": lambda **options: mellite.stream(Echo().generate("Hi."), **options),
}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Any:
    """Each place that takes options."""
    return DOORS[request.param]


@pytest.mark.parametrize(
    ("name", "near", "said"),
    [
        ("temprature", "temperature", "did you mean 'temperature'?"),
        ("maxTokens", "max_tokens", "did you mean 'max_tokens'?"),
        ("system_prompt", "system", "did you mean 'system'?"),
        ("sytem", "system", "did you mean 'system'?"),
        ("timeout", "timeouts", "timeouts=mellite.Timeouts(total=30)"),
        ("response_format", "output", "output=MyType"),
        ("max_completion_tokens", "max_tokens", "did you mean 'max_tokens'?"),
        ("stop_sequences", "stop", "did you mean 'stop'?"),
        ("n", None, "thunk.resample(3)"),
        ("max_retries", None, "'retries', an argument of mellite.backend"),
        ("key", None, "did you mean 'api_key', an argument of mellite.backend(...)?"),
        ("api_kei", None, "did you mean 'api_key', an argument of mellite.backend(...)?"),
        ("base_urls", None, "did you mean 'base_url', an argument of mellite.backend(...)?"),
        ("max_concurency", None, "did you mean 'max_concurrency', an argument of mellite.backend(...)?"),
        ("max_answer_byte", None, "did you mean 'max_answer_bytes', an argument of mellite.backend(...)?"),
        ("requirments", None, "did you mean 'requirements', an argument of mellite.stream(...)"),
        ("chunkin", None, "did you mean 'chunking', an argument of mellite.stream(...)?"),
        ("extra_headers", None, "mellite.HttpOptions(body=..., headers=..., query=...)"),
        ("max_steps", None, "stop_when=mellite.stop.steps(5)"),
        ("max_turns", None, "stop_when=mellite.stop.steps(5)"),
        ("max_usd", None, "strategies take max_usd="),
        ("budget", None, "limits=[mellite.Budget(usd=5)]"),
        ("zzz", None, "provider_options={'NAME': {...}}"),
        ("store", None, "provider_options={'NAME': {...}}"),
        ("cancel", None, "provider_options={'NAME': {...}}"),
        ("speed", None, "provider_options={'NAME': {...}}"),
    ],
)
def test_options(door: Any, name: str, near: str | None, said: str) -> None:
    """An option that does not exist is answered with the nearest, or with the way that is taken here."""
    with pytest.raises(UnknownOption) as caught:
        door(**{name: "a-made-up-value"})
    assert (caught.value.option, caught.value.nearest) == (name, near)
    assert said in str(caught.value)
    assert "a-made-up-value" not in str(caught.value)


def test_arguments_of_a_backend() -> None:
    """A key in a call is told to be the backend's, without being shown."""
    for name in ("api_key", "base_url", "transport", "max_concurrency", "max_answer_bytes"):
        with pytest.raises(UnknownOption, match=r"mellite\.backend\(\.\.\.\), not of a call") as caught:
            Echo().generate("Hi.", **{name: "sk-a-made-up-value"})
        assert "sk-a" not in str(caught.value)


def test_what_is_advised_exists() -> None:
    """No advice names what does not exist."""
    thunk = Echo().generate("Hi.")
    assert mellite.gather(thunk.resample(3))
    assert mellite.BestOfN(3, score=len)
    assert mellite.stream(thunk, attempts=3)
    assert mellite.run(Echo(), "Hi.", stop_when=mellite.stop.steps(5) | mellite.stop.usd("0.50"))
    assert mellite.BestOfN(3, score=len, max_usd="0.50")
    assert mellite.engine.map([thunk], limits=[mellite.Budget(usd=5)])
    assert Options(timeouts=Timeouts(total=30))
    assert mellite.HttpOptions(body={}, headers={}, query={})


def test_far_names_are_no_guess() -> None:
    """Names that have little in common are not guessed at; other words come before likeness."""
    assert [nearest(name, ["seed", "stop", "model"]) for name in ("user", "sed", "tpo", "x", "")] == [
        None,
        "seed",
        None,
        None,
        None,
    ]
    assert nearest("Humn", ["user"], aliases={"human": "user"}) == "user"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gpt-4o-mini", "write PROVIDER:MODEL, as in 'openai:gpt-4o-mini'; such a model is known of openai, azure"),
        ("claude-haiku-4-5", "as in 'anthropic:claude-haiku-4-5'; such a model is known of anthropic, azure"),
        ("gemini-2.5-flash", "as in 'google:gemini-2.5-flash'"),
        ("meta-llama/Llama-3.3-70B-Instruct", "such a model is known of openrouter"),
        ("opneai:gpt-4o-mini", "did you mean 'openai'?"),
        ("no-such-thing-at-all", "write PROVIDER:MODEL, as in 'openai:gpt-4o-mini'; there are anthropic"),
    ],
)
def test_a_model_without_a_provider(spec: str, said: str) -> None:
    """A model alone says how backends are named, and which providers have such a model."""
    with pytest.raises(UnknownProvider) as caught:
        mellite.backend(spec)
    assert said in str(caught.value)


# --- errors ---------------------------------------------------------------------------------------

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", CLASSES, ids=errors.__all__)
def test_a_misspelled_keyword_of_an_error(kind: type[MelliteError]) -> None:
    """An error takes only what it declares; a misspelled keyword is a TypeError that names the nearest."""
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) .*'retry_afer'; did you mean 'retry_after'\?"):
        kind("slow down", retry_afer=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzz'; there are "):
        kind("slow down", zzz=2)


def test_what_errors_declare() -> None:
    """Each takes its own attributes and those of its parents, and keeps them in a pickle."""
    assert RateLimited("x", rate_limits={"tokens": {"limit": "1"}}).rate_limits == {"tokens": {"limit": "1"}}
    assert (RateLimited("x").provider_message, RateLimited("x", provider_message="slow").provider_message) == (
        None,
        "slow",
    )
    rejected = pickle.loads(pickle.dumps(StreamRejected("x", failures=("one",), errors=(ValueError("no"),))))
    assert (rejected.failures, str(rejected.errors[0]), rejected.retryable) == (("one",), "no", False)
    with pytest.raises(TypeError, match="parameter"):
        RateLimited("x", parameter="n")


def test_errors_of_ones_own() -> None:
    """A subclass takes what it declares."""

    class Refused(InvalidRequest):
        """A rule of one's own."""

        rule: str | None = None

    error = Refused("no", rule="polite", parameter="prompt", status=400)
    assert (error.rule, error.parameter, error.status, Refused("no").rule) == ("polite", "prompt", 400, None)
    with pytest.raises(TypeError, match="'ruel'; did you mean 'rule'"):
        Refused("no", ruel="polite")
