"""The names that `mellite.cassettes` offers in completion, and those that it only gives when asked."""

from __future__ import annotations

import mellite.cassettes


def test_completion_offers_some_twenty_names() -> None:
    """What a program of today needs is offered; modules and the names for authors of tools are not."""
    offered = dir(mellite.cassettes)
    assert {"use", "ReplayTransport", "Redaction", "TextDirectory"} <= set(offered)
    assert len(offered) <= 24
    assert not {"files", "recording", "replaying", "Selection", "WebSocketEvent"} & set(offered)


def test_names_for_authors_of_tools_can_be_imported() -> None:
    """They come from the same path, with its name in tracebacks, and are not offered afterwards either."""
    from mellite.cassettes import Difference, Imported, Selection, Snapshot, WebSocketEvent, differences, snapshot

    made = (Difference, Imported, Selection, Snapshot, WebSocketEvent, differences, snapshot)
    assert {each.__module__ for each in made} == {"mellite.cassettes"}
    assert not {each.__name__ for each in made} & set(dir(mellite.cassettes))
