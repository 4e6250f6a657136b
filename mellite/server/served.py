"""One request that a server has answered, as tests and the log of `mellite serve` see it."""

from __future__ import annotations

import json
from typing import Final

from attrs import define, field

from ..cassettes.secrets.redaction import Redaction
from ..values.provider_json import Json

__all__ = ["Served"]

_PLAIN: Final = Redaction()


@define(eq=False)
class Served:
    """A request that came, and what became of it.

    Attributes:
        method: ``POST`` and the like.
        path: the path with its query, as the client wrote it.
        protocol: whose API was asked, as in ``openai-chat``; empty for no known one.
        body: the bytes of the body.
        status: the status that was answered; None before.
        error: why it failed, or broke off; empty if it did not.
        seconds: how long it took.
    """

    method: str
    path: str
    protocol: str = field(default="", kw_only=True)
    body: bytes = field(default=b"", kw_only=True, repr=lambda body: f"<{len(body)} bytes>")
    status: int | None = field(default=None, kw_only=True)
    error: str = field(default="", kw_only=True)
    seconds: float = field(default=0.0, kw_only=True)

    @property
    def shown_path(self) -> str:
        """The path to be printed: without the keys that some clients send in its query.

        Example:
            >>> Served("POST", "/v1beta/models/m:generateContent?key=AIza-made-up&alt=sse").shown_path
            '/v1beta/models/m:generateContent?key=%5BREDACTED%5D&alt=sse'
        """
        return _PLAIN.url(self.path)

    @property
    def json(self) -> Json:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def model(self) -> str | None:
        """The model that the body names."""
        body = self.json
        model = body.get("model") if isinstance(body, dict) else None
        return model if isinstance(model, str) else None
