"""Take keys and other secrets out of what the log is about to keep: texts, JSON and errors."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Final, final

from ...cassettes.scrub import scrub_text
from ...cassettes.secrets.redaction import REDACTED, Redaction
from ...cassettes.secrets.scan import SecretScan
from ...values.secrets.json_masks import masked_json
from ...values.secrets.names import named_secrets

__all__ = ["Masks"]


@final
class Masks:
    """The secrets to mask: values of secret variables, secret fields of JSON, and what looks like a key."""

    def __init__(self) -> None:
        self._redaction: Final = Redaction()
        self._scan = SecretScan({})
        self._known: Mapping[str, str] = {}
        self._clean: Collection[str] = ()

    def look_at(self, texts: Iterable[str]) -> None:
        """Look at many texts at once, in place of those before; if there is nothing, `text` looks at none of them.

        One look at all of them takes half the time of one look at each.
        """
        plain = [text for text in texts if len(text) <= _LONG and text[:1] not in _NOT_PLAIN and "data:" not in text]
        self._clean = () if self._scan.text(_APART.join(plain)) else frozenset(plain)

    def renew(self) -> None:
        """Take note of the secrets that are in the environment now."""
        known = named_secrets(os.environ)
        if known != self._known:
            self._known, self._scan = known, SecretScan(known)

    def text(self, text: str) -> str:
        """Return a text without secrets, which can be kept: halves of surrogate pairs are written as escapes.

        Where a secret is hidden in a form that cannot be cut out, such as base64, nothing of the text is left.
        """
        clean = self._redaction.text(text)
        scan = self._scan
        if clean not in self._clean and scan.text(clean):  # far cheaper than masking
            clean = scrub_text(clean, scan)
            if scan.text(clean):
                return REDACTED
        return clean if clean.isascii() else clean.encode("utf-8", "backslashreplace").decode()

    def json(self, value: object) -> str:
        """Return a value as JSON without secrets; what JSON has no word for as a text."""
        try:
            written = _encoded(value)
        except (ValueError, RecursionError):  # it holds itself, or is too deep
            return _encoded(masked_json(repr(value)[:_MOST]))
        if self._scan.text(written) or self._redaction.text(written) != written:
            written = self.text(_encoded(masked_json(json.loads(written))))
        return written


#: Keeps texts apart: no word and no line goes on after it.
_APART: Final = '\n"\n'

#: Texts that are longer, and what may be JSON or a stream of events, are looked at one by one.
_LONG: Final = 20_000
_NOT_PLAIN: Final = ("{", "[")

#: So much is kept of a value that cannot be written as JSON, in characters.
_MOST: Final = 10_000


def _encoded(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=_as_json, separators=(",", ":"))
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _as_json(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
