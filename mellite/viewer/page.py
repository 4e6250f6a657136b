"""The page that shows calls: as it is served, and as one file with all that it shows, for a CI artifact."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from ..archive.log.choosing import Wanted
from ..values.provider_json import JsonObject
from ..values.public_names import publish
from .differences import Numbered
from .json_texts import Packing, embedded, squeezed
from .rows import Source
from .sources import path_of, source_at

__all__ = ["SCRIPTS", "TYPES", "html", "page_file", "served_page"]

#: The scripts of the page, each behind those that it needs; ``main.js`` starts.
SCRIPTS: Final = (
    "dom.js",
    "format.js",
    "choosing.js",
    "aligning.js",
    "comparing.js",
    "long_texts.js",
    "source.js",
    "json_tree.js",
    "markdown.js",
    "copying.js",
    "list.js",
    "call.js",
    "timeline.js",
    "runs.js",
    "diff.js",
    "costs.js",
    "live.js",
    "main.js",
)

_STYLE: Final = "style.css"
_SCRIPT: Final = "page.js"

#: The kinds of files that the page consists of, by their endings.
TYPES: Final = {"js": "text/javascript", "css": "text/css"}

#: How many calls one file holds at most: the newest ones. A file of more opens slowly.
_MOST_CALLS: Final = 2000

#: How much of each text of a call stands in the list; all of it is shown with the call.
_BRIEF: Final = 600

_IMPORT: Final = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?function|const|class|let)", re.MULTILINE)

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{policy}<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>mellite view</title>
<link rel="icon" href="data:,">
{style}
</head>
<body>
<noscript><p>This page needs JavaScript, which comes with it: nothing is loaded from anywhere else.</p></noscript>
<div id="app"></div>
{scripts}
</body>
</html>
"""


def page_file(name: str) -> str | None:
    """Return a file that the page asks for, its style or all its scripts as one; None for any other name."""
    if name == _STYLE:
        return _read(name)
    return _joined() if name == _SCRIPT else None


def _read(name: str) -> str:
    return (files("mellite.viewer") / "page_files" / name).read_text(encoding="utf-8")


def served_page() -> str:
    """Return the page as it is served, with links to its files."""
    return _HEAD.format(
        policy="",
        style=f'<link rel="stylesheet" href="files/{_STYLE}">',
        scripts=f'<script type="module" src="files/{_SCRIPT}"></script>',
    )


def html(source: str | os.PathLike[str] | Any) -> str:
    """Return a self-contained HTML page that shows all calls of a source, without a server or a network.

    Args:
        source: as for `mellite.viewer.serve`. Of more than 2,000 calls, the newest 2,000 are shown.

    Raises:
        InvalidRequest: if `source` is not a path and has none.
        CassetteMiss: if nothing is there.
        MelliteError: if it is damaged, or cannot be read.

    Example:
        >>> page = html("mellite/demo_cassettes/chat.json")
        >>> "Name three rivers." in page, "http://" in page
        (True, False)
    """
    path = path_of(source)
    # In a thread of its own, because answers are read as they are generated, and here may run an event loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_page_of, path).result()


def _page_of(path: str) -> str:
    rows, details = _everything(source_at(path))
    style, script = _read(_STYLE), _joined()
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    data = (
        f'<script type="application/json" id="rows">{embedded(rows)}</script>\n'
        f'<script type="application/octet-stream" id="details">{squeezed(details)}</script>\n'
    )
    return _HEAD.format(
        policy=f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
        style=f"<style>{style}</style>",
        scripts=f'{data}<script type="module">{script}</script>',
    )


def _everything(source: Source) -> tuple[JsonObject, JsonObject]:
    """Return what the list shows, and what is shown of each call and run."""
    found = source.calls(Wanted(), 0, _MOST_CALLS)
    packing = Packing()
    runs = source.runs()[:_MOST_CALLS]
    trees = {str(run["id"]): source.run(str(run["id"])) for run in runs}
    calls: JsonObject = {}
    timelines: JsonObject = {}
    for id in dict.fromkeys(
        [*[row.id for row in found.calls], *[id for tree in trees.values() for id in _calls_in(tree)]]
    ):
        # All messages are in it, so that the prompt, which is all of them as one text, need not be.
        calls[id] = packing.packed({**(source.call(id) or {}), "prompt": None})
        timeline = source.timeline(id)
        if timeline is not None:
            timelines[id] = timeline
    compared = Numbered()
    sides = {id: packing.packed(source.masked(compared.told(entry))) for id in calls for entry in source.entries(id)}
    members = {id: [entry.name for entry in source.entries(id)] for id in trees}
    rows = {
        "kind": source.kind,
        "name": os.path.basename(os.path.normpath(source.name)),
        "problems": [*source.problems],
        "total": found.total,
        "calls": [row.brief(_BRIEF).as_json() for row in found.calls],
        "runs": [*runs],
        "facets": source.facets(),
        "costs": source.costs(),
    }
    told = {"calls": calls, "timelines": timelines, "runs": trees, "compared": {"calls": sides, "runs": members}}
    return rows, {**told, "kept": packing.kept}


def _calls_in(tree: JsonObject | None) -> Iterator[str]:
    """Yield the ids of the calls in a run, those of tools as well."""
    for part in () if tree is None else tree["parts"]:
        if part["call"]:
            yield part["call"]
        yield from _calls_in(part)


@cache
def _joined() -> str:
    """Return all scripts as one: what they import from each other stands above, so that no import is needed."""
    return "\n".join([_EXPORT.sub("", _IMPORT.sub("", _read(name))) for name in SCRIPTS])


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()


publish(globals(), "mellite.viewer", "html")
