"""Asking again what was asked when the recordings were made gives the same bodies, byte for byte but for key order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocols.scenarios import DIFFERENT, SCENARIOS, ask_again

APART = ("openai-responses", "record-replay/")
"""Recordings that test_responses_recordings.py asks again, and those of no model."""


@pytest.fixture
def recordings(corpora: Path) -> Path:
    """The recordings of the main test suite of their project."""
    return corpora / "opencode" / "recordings"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_body(recordings: Path, name: str) -> None:
    """A scenario in mellite's own words makes the recorded URL and body, unless a request is named as other."""
    for number, asked in enumerate(ask_again(recordings, name)):
        reason = DIFFERENT.get((name, number))
        if reason is None:
            assert asked.url == asked.recorded_url
            assert asked.body == asked.recorded_body
        else:
            assert asked.body != asked.recorded_body, f"not so any more: {reason}"


def test_every_chat_recording_has_a_scenario(recordings: Path) -> None:
    """All 28 recorded requests of Chat Completions are built as they were recorded."""
    there = {str(path.relative_to(recordings).with_suffix("")) for path in recordings.rglob("*.json")}
    chat = {name for name in there if "chat" in name or "cloudflare" in name}
    assert chat <= SCENARIOS.keys() <= there
    assert all(name.startswith(APART) for name in there - SCENARIOS.keys())
    requests = [asked for name in chat for asked in ask_again(recordings, name)]
    assert len(requests) == 28
    assert not any(name in chat for name, _ in DIFFERENT)
