"""View the calls of a cassette, a journal, a log or a folder in a browser: a local page, or one file.

How it is put together. `mellite.viewer.sources` finds out what a path is; one module for each kind of source turns it
into the same few values (`mellite.viewer.rows`), and knows nothing of pages. `mellite.viewer.api` answers the paths of
the page with JSON, and knows nothing of HTTP, which is in `mellite.viewer.http_server` alone. The page itself is plain
HTML, CSS and JavaScript in ``page_files``, which `mellite.viewer.page` also puts together into one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .page import html as html
    from .running import Viewer as Viewer, serve as serve
else:
    from ..values.lazily import attach

    __getattr__, __dir__, __all__ = attach(__name__, {".page": "html", ".running": "Viewer serve"})
