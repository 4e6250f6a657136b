"""Take out what looks like a key before anything is shown; the same text is looked at once."""

from __future__ import annotations

from typing import Final, final

from ..cassettes.scrub import scrub_value
from ..cassettes.secrets.redaction import REDACTED, Redaction
from ..cassettes.secrets.scan import SecretScan
from ..values.provider_json import Json

__all__ = ["Masks"]

#: How many characters of texts are kept at most, to be known when they come again.
_MOST: Final = 50_000_000


@final
class Masks:
    """Masks what is shown, as `mellite cassette show` does: by the names of fields and by look.

    A conversation is shown once for each of its calls, so most texts come again.

    Example:
        >>> Masks().value({"password": "hunter2", "text": ["sk-abcdefghijklmnopqrstuvwxyz"]})
        {'password': '[REDACTED]', 'text': ['[REDACTED]']}
    """

    def __init__(self) -> None:
        self._scan = SecretScan()
        self._redaction = Redaction()
        self._known: dict[str, str] = {}
        self._size = 0

    def value(self, value: Json) -> Json:
        """Return JSON without what looks like a key."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: REDACTED if each is not None and self._redaction.secret_field(name) else self.value(each)
            for name, each in value.items()
        }

    def _text(self, text: str) -> str:
        known = self._known.get(text)
        if known is not None:
            return known
        clean = str(scrub_value(text, self._scan, self._redaction))
        if self._size > _MOST:
            self._known.clear()
            self._size = 0
        self._known[text] = clean
        self._size += len(text)
        return clean
