"""Modes and filters: what the caller and the environment say about recording."""

from __future__ import annotations

import pytest

from mellite.cassettes.modes import MODES, Selection, in_ci, mode_of, permitted
from mellite.errors import ConfigurationError, RecordingForbidden


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "none"),
        ({"RECORD": ""}, "none"),
        ({"RECORD": "false"}, "none"),
        ({"RECORD": "0"}, "none"),
        ({"RECORD": "true"}, "rewrite"),
        ({"RECORD": " TRUE "}, "rewrite"),
        ({"RECORD": "1"}, "rewrite"),
        ({"RECORD": "once"}, "once"),
        ({"RECORD": "new-episodes"}, "new_episodes"),
        ({"MOCHI_LLM_CASSETTE_RECORD": "1"}, "new_episodes"),
        ({"MOCHI_LLM_CASSETTE_RECORD": "0"}, "none"),
        ({"RECORD": "true", "MOCHI_LLM_CASSETTE_RECORD": "1"}, "rewrite"),
        ({"RECORD": "false", "MOCHI_LLM_CASSETTE_RECORD": "1"}, "new_episodes"),
    ],
)
def test_the_environment_says(environment: dict[str, str], mode: str) -> None:
    """RECORD=true means rewrite, MOCHI_LLM_CASSETTE_RECORD=1 new_episodes, nothing means none."""
    assert mode_of(environment) == mode


@pytest.mark.parametrize("mode", MODES)
def test_the_caller_wins(mode: str) -> None:
    """What is asked for in code counts more than the environment."""
    assert mode_of({"RECORD": "true", "MOCHI_LLM_CASSETTE_RECORD": "1"}, mode) == mode


@pytest.mark.parametrize(("environment", "asked"), [({"RECORD": "rewrit"}, None), ({}, "rewrit"), ({}, "")])
def test_unknown_modes(environment: dict[str, str], asked: str | None) -> None:
    """A mode that does not exist is told, with those that do."""
    with pytest.raises(ConfigurationError, match=r"is one of none, once, new_episodes, all, rewrite, not '(rewrit)?'"):
        mode_of(environment, asked)


@pytest.mark.parametrize(
    ("value", "found"),
    [("true", True), ("1", True), ("yes", True), ("", False), ("false", False), ("0", False), (" False ", False)],
)
def test_ci(value: str, *, found: bool) -> None:
    """CI is on unless it says no."""
    assert in_ci({"CI": value}) is found


def test_in_ci_nothing_is_recorded() -> None:
    """With CI=true modes that may replay only replay; the others are refused, unless it is forced."""
    ci = {"CI": "true"}
    assert [permitted(mode, ci) for mode in MODES[:3]] == ["none", "none", "none"]
    for mode in ("all", "rewrite"):
        with pytest.raises(RecordingForbidden, match=f"the mode '{mode}' records everything, but CI='true' is set"):
            permitted(mode, ci)
        assert permitted(mode, ci, even_in_ci=True) == mode
        assert permitted(mode, {"CI": "false"}) == mode


TAGS = ["prefix:openai-chat", "provider:openai", "protocol:openai-chat", "Tool", "tool-loop"]


@pytest.mark.parametrize(
    ("environment", "meant"),
    [
        ({}, True),
        ({"RECORDED_PREFIX": "openai-chat"}, True),
        ({"RECORDED_PREFIX": "OpenAI-Chat, other"}, True),
        ({"RECORDED_PREFIX": "openai"}, False),
        ({"RECORDED_PROVIDER": "groq,openai"}, True),
        ({"RECORDED_PROVIDER": "groq"}, False),
        ({"RECORDED_TAGS": "tool"}, True),
        ({"RECORDED_TAGS": "provider:openai,tool"}, True),
        ({"RECORDED_TAGS": "tool,image"}, False),
        ({"RECORDED_TEST": "drives a tool"}, True),
        ({"RECORDED_TEST": "drives-a-tool"}, True),
        ({"RECORDED_TEST": "openai-chat/drives"}, True),
        ({"RECORDED_TEST": "nothing, Tool Loop"}, True),
        ({"RECORDED_TEST": "streams"}, False),
        ({"RECORDED_TEST": "drives", "RECORDED_PROVIDER": "groq"}, False),
        ({"RECORDED_TEST": " , "}, True),
    ],
)
def test_selections(environment: dict[str, str], *, meant: bool) -> None:
    """Lists with commas, upper or lower case: any prefix, any provider, all tags, a part of a name; all must hold."""
    selection = Selection.of(environment)
    assert selection.has("openai-chat/drives-a-tool-loop", test="Drives a tool loop!", tags=TAGS) is meant


def test_groups() -> None:
    """The group is what is given, or the tag prefix:, or the cassette's folder."""
    selection = Selection(prefixes=("mine",))
    assert selection.has("mine/case")
    assert selection.has("other/case", tags=["prefix:mine"])
    assert not selection.has("mine/case", tags=["prefix:other"])
    assert selection.has("other/case", prefix="Mine")
