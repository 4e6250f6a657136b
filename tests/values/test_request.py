"""Requests and their options: what they take, what typed signatures say of it, and pickles of them."""

from __future__ import annotations

import base64
import copy
import lzma
import math
import pickle
import typing
import zlib
from pathlib import Path
from typing import Any

import pytest
from attrs import fields_dict

from mellite.errors import InvalidRequest, RateLimited
from mellite.events import Finish, TextDelta
from mellite.request import (
    EMPTY,
    CachePolicy,
    HttpOptions,
    Options,
    Request,
    Timeouts,
    ToolChoice,
    ToolDefinition,
)
from mellite.values.options import GenerateOptions

WRITTEN_OUT = ("messages", "system", "tools", "output", "options")
"""Fields of a request that are not options of a call: arguments of their own, or what the options become."""

EXAMPLES: dict[str, Any] = {
    "max_tokens": 5,
    "temperature": 0,
    "top_p": 0.5,
    "top_k": 3,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "seed": 7,
    "stop": ["END"],
    "reasoning_effort": "low",
    "reasoning_budget": 100,
    "parallel_tool_calls": False,
    "timeouts": Timeouts(total=5),
    "stream": True,
    "drop_unsupported": True,
    "model": "m",
    "tool_choice": "none",
    "provider_options": {"acme": {"a": 1}},
    "http": HttpOptions(body={"a": 1}),
    "cache": CachePolicy(tools=True),
    "metadata": {"why": "test"},
    "output_mode": "tool",
}
"""A value for each option of a call."""

BEFORE_THE_MOVE = (
    "eNplVE1v1DAQbWmyu93lowgkVCQQXBAIqODOAUGBikJAVS+cIieZrU2TONhOS4Qq4AACybea/8uzs9tdxF52ZuyZee9lxt+iPxfi"
    "lfA7cXdtTFVjOmcvVVSWwtCWok8taeNs/OLt+/0P7tTZ4TzGz9nh3sw+dfe+O19hVJHW7IC0sxvzIovQ8G1vLu5HSpbkbNRqUjjP"
    "ZW2oRu2Jjfbp81LhyHjXDnZQVG4BUM5yTi6xlxslj0RBKq3IsIIZ5pI2++HsOVHgeLSI2kHNjDii2XlcyYJKH9adNlQ5frXvxa/Z"
    "9Wd0K1OCpluObyb8+izDSFlqT/ziPqxtmopaGCHrJZg1qzyfUspDZycF6VyJJtyxK86eF3XTmlQDesVmvLoGCQOZfaQcBMeg05Ay"
    "AnqduNZekK1ZSvFojRK4mXhgNxJ+s8c28djSnEuRk0c49gif9+4cHX+Mdgg7fp8/aDM7lAFZYDR8N7PPqIwr9jk18pAQTFAfs0GK"
    "mVaR213xWjRpg4NgHPoPMQ2TUedd2lDNSgxSYjcaRRoxWopFmqgI/0j1dxQxLWtRH6Q0nUpl/o1lbXFAPnalYYqVJZVpzxW2RzYy"
    "oiKoFGiM9ufOgsdUKG3SrDMA/sRGoiiDAeCGlW43hhJeVGKVb1xA/7Stdds0gOKB4nzjbMjOJItsxI1pfNPJDoz/9IsyWXSw7Cpz"
    "u6vaDjkxVAipMYRSHaw245u+wnM/ze9lKfJu8bnu/OK3f/OxF9+UqSZsR6EDnkE/Fc6OslaURqCvXQMH5PIbaLl2zLHG2Bnspsb9"
    "mJSSWLCL850MPpIme8zQG1EJzxTbHR0zYdwPt9dv85w2pu1WGD18f6/5ePYIpGHHhvgwRjC/S3Eb9jux64qM6lgGrX/ZSXBSNjUo"
    "9epp/+CseB5+gzRfBnaE/Qewwcv+5EzOQT8Rjr9Gd3acztyEf8EIYMgaiO8b432aAoQHMyrlARhkvWYxth3PAP9q1/3Tsh08UF7D"
    "k4J+/n15+Mj9BPV26y+1hwXg"
)
"""A pickle made when these classes stood in mellite/request.py, mellite/errors.py and so on; base64 of zlib."""


def test_typed_options_are_those_of_a_call() -> None:
    """Editors and type checkers offer what a call takes: the fields of Options, and the rest of a request."""
    rest = [name for name in fields_dict(Request) if name not in WRITTEN_OUT]
    typed = sorted(typing.get_type_hints(GenerateOptions))
    assert typed == sorted([*fields_dict(Options), *rest])
    assert typed == sorted(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_call_takes_each_typed_option(name: str) -> None:
    asked = Request.of("Hello.", **{name: EXAMPLES[name]})
    assert asked != Request.of("Hello.")
    assert Request.of("Hello.", **{name: None}) == Request.of("Hello.")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_empty_out_of_a_pickle_is_the_same_one(protocol: int) -> None:
    """Requests out of a pickle share it, too: it is found at its public path."""
    data = pickle.dumps(EMPTY, protocol)
    assert b"mellite.request" in data
    assert pickle.loads(data) is EMPTY


def test_a_pickle_from_before_the_move_is_read() -> None:
    kept = pickle.loads(zlib.decompress(base64.b64decode("".join(BEFORE_THE_MOVE))))
    assert kept["empty"] is EMPTY
    assert kept["request"] == Request.of(
        "Hello.",
        system="Be brief.",
        tools=[ToolDefinition("look")],
        tool_choice=ToolChoice("tool", "look"),
        temperature=0,
        timeouts=Timeouts(total=5),
        http=HttpOptions(body={"a": 1}),
        cache=CachePolicy(tools=True),
        metadata={"why": "test"},
    )
    assert isinstance(kept["error"], RateLimited)
    assert kept["error"].retry_after == 2.0
    assert kept["finish"] == Finish("stop")
    assert kept["delta"] == TextDelta("Hel")


CLOCKS = ("first_byte", "idle", "total", "connect")


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("value", [0, -1, True, "5", math.inf])
def test_a_clock_is_a_number_of_seconds(clock: str, value: Any) -> None:
    """What is not a time to wait is refused, by its name."""
    with pytest.raises(InvalidRequest, match=f"timeout '{clock}' must be a number of seconds above 0") as caught:
        Timeouts(**{clock: value})
    assert caught.value.parameter == clock


def test_copies_of_timeouts() -> None:
    """Copies and pickles keep every clock; a pickle of a version that had fewer has the usual time for the others."""
    timeouts = Timeouts(first_byte=1, idle=2, total=3, connect=None)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(timeouts, protocol)) == timeouts
    assert copy.copy(timeouts) == copy.deepcopy(timeouts) == timeouts
    with lzma.open(Path(__file__).parent.parent / "pickles" / "requests.pickle.xz") as file:
        old = pickle.load(file)
    assert {old["timeouts"], old["request"].options.timeouts} == {
        Timeouts(first_byte=1, idle=None, total=9.5, connect=10)
    }


@pytest.mark.parametrize(("name", "good", "bad"), [("stream", True, 1), ("seed", 1, True), ("seed", 0, 0.0)])
def test_what_equals_a_good_value_is_checked_too(name: str, good: Any, bad: Any) -> None:
    """A value that was good before does not let one of another type pass that equals it: 1 is not a flag."""
    assert Request.of("hi", **{name: good}).options.given() == {name: good}
    with pytest.raises(InvalidRequest, match=name):
        Request.of("hi", **{name: bad})


def test_equal_numbers_keep_their_types() -> None:
    """1 and 1.0 are written differently, in whichever order they come."""
    kinds = [type(Request.of("hi", temperature=value).options.temperature) for value in (1, 1.0, 1)]
    assert kinds == [int, float, int]


def test_a_list_of_stop_texts_is_read_at_each_call() -> None:
    """A list that changes between two calls counts as it is at each of them."""
    stop = ["END"]
    first = Request.of("hi", stop=stop)
    stop.append("STOP")
    assert (first.options.stop, Request.of("hi", stop=stop).options.stop) == (("END",), ("END", "STOP"))
