"""Look for secrets in what is about to be stored, and refuse to store them.

Redaction takes out what is known to be secret. This is the safety net below it: shapes of keys and values of secret
variables, also in base64, compressed, escaped, or spread over the events of a stream.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec
from attrs import Factory, field, frozen

from ...values.errors import ConfigurationError, InvalidCassette, UnsafeCassette
from ...values.secrets.names import named_secrets
from ...values.secrets.other_forms import decoded, long_words, plain_forms
from ...values.secrets.shapes import masked, may_match, shapes_in
from ..alike import STREAM
from ..bodies import Body
from ..compression import expand
from ..interactions import Cassette, HttpInteraction, Interaction, WebSocketInteraction
from .condensing import Text, condensed, joined, leaves, together
from .redaction import REDACTED, Redaction

__all__ = ["Finding", "SecretScan", "allowed_texts", "credentials"]

#: A shorter credential could be a word of any text.
_SHORTEST: Final = 8
_LONGEST_BODY: Final = 64 * 1024 * 1024
#: Keeps texts apart: neither a word nor lines of base64 go on after it.
_APART: Final = '\n"\n'


@frozen
class Finding:
    """Something that looks like a secret: its path and the reason, never the secret itself."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def _forms(value: str) -> set[str]:
    """Return the forms in which a value can stand in texts: as it is, in a URL, without backslashes, as bytes."""
    plain = plain_forms(value)
    as_bytes = [text.encode(errors="replace").decode("latin-1") for text in (value, *plain)]
    return {value, *plain, quote(value, safe="", errors="replace"), *as_bytes}


def allowed_texts(allowed: Collection[str]) -> tuple[str, ...]:
    """Return the texts that may be stored though they look like secrets.

    Raises:
        ConfigurationError: for anything but a list of texts. A str would allow each of its letters.
    """
    if isinstance(allowed, (str, bytes)) or not isinstance(allowed, Iterable):
        msg = f"'allowed' is a list of texts, as in allowed=['sk-example-0123'], not a {type(allowed).__name__}"
        raise ConfigurationError(msg)
    texts = tuple(allowed)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        msg = "'allowed' is a list of texts; one of them is empty, or not a str"
        raise ConfigurationError(msg)
    return texts


@frozen
class SecretScan:
    """A search for secrets in interactions, cassettes and texts.

    Args:
        known: secret values -> what to call each in messages, such as the name of its variable. By default the values
            of the environment variables whose names sound secret, as ``OPENAI_API_KEY`` does.
        allowed: texts that look like secrets but are none, such as the key in an example.

    Raises:
        ConfigurationError: if `allowed` is not several texts.

    Example:
        >>> scan = SecretScan({"correct horse battery": "MY_PASSWORD"})
        >>> [str(one) for one in scan.text("Is it 'correct horse battery', or sk-abcdefghijklmnopqrstuvwxyz?")]
        ["$ (key of OpenAI's form)", '$ (the value of MY_PASSWORD)']
    """

    known: Mapping[str, str] = field(factory=lambda: named_secrets(os.environ), repr=lambda known: f"<{len(known)}>")
    allowed: Collection[str] = field(default=(), kw_only=True, converter=allowed_texts)
    _needles: tuple[tuple[str, str], ...] = field(
        default=Factory(
            lambda self: tuple([(form, name) for value, name in self.known.items() for form in _forms(value)]),
            takes_self=True,
        ),
        init=False,
        repr=False,
    )
    _last: tuple[Mapping[str, str], SecretScan] | None = field(default=None, init=False, repr=False, eq=False)

    def with_known(self, values: Iterable[str], name: str = "a credential of the request") -> SecretScan:
        """Return a scan that looks for more values, such as the key that a request was sent with."""
        more = {value: name for value in values if value not in self.known}
        if not more:
            return self
        last = self._last  # the calls of a backend mostly have one key
        if last is None or last[0] != more:
            last = more, SecretScan({**self.known, **more}, allowed=self.allowed)
            object.__setattr__(self, "_last", last)
        return last[1]

    def check(self, interaction: Interaction, *, path: str | None = None) -> None:
        """Make sure that an interaction can be stored.

        Args:
            interaction: what is about to be stored.
            path: the cassette, for the error.

        Raises:
            UnsafeCassette: if something in it looks like a secret; ``findings`` says where and what.
        """
        if not isinstance(interaction, HttpInteraction) or self._may_have(interaction):
            self.refuse(self.interaction(interaction), path=path)

    def refuse(self, findings: Iterable[Finding], *, path: str | None = None) -> None:
        """Raise the error for findings, if there are any.

        Raises:
            UnsafeCassette: with the findings.
        """
        found = tuple(findings)
        if found:
            name = "this" if path is None else f"cassette {path!r}"
            shown = ", ".join([str(one) for one in found[:8]]) + (f" and {len(found) - 8} more" if found[8:] else "")
            msg = (
                f"refusing to write {name} because it would hold possible secrets: {shown}; redact them, or allow them"
            )
            raise UnsafeCassette(msg, path=path, findings=found)

    def cassette(self, cassette: Cassette) -> tuple[Finding, ...]:
        """Find everything that looks like a secret in a cassette.

        Raises:
            InvalidCassette: if a body is damaged.
        """
        found = [*self._look([*_json("$.metadata", cassette.metadata), *_json("$", cassette.extra)])]
        for number, one in enumerate(cassette.interactions):
            found += self.interaction(one, f"$.interactions[{number}]")
        return tuple(found)

    def interaction(self, interaction: Interaction, where: str = "$") -> tuple[Finding, ...]:
        """Find everything that looks like a secret in one interaction.

        Raises:
            InvalidCassette: if a body is damaged.
        """
        if isinstance(interaction, HttpInteraction) and not self._may_have(interaction):
            return ()
        texts = (
            _http(interaction, where) if isinstance(interaction, HttpInteraction) else _websocket(interaction, where)
        )
        return self._look([*texts, *_json(where, interaction.extra)])

    def text(self, text: str, where: str = "$") -> tuple[Finding, ...]:
        """Find everything that looks like a secret in a text, which may be JSON or a stream of events."""
        return self._look(condensed(where, text))

    def _may_have(self, one: HttpInteraction) -> bool:
        """Cheap check whether a search may find something: what it would find in one of its texts is in this one."""
        texts = _together(one)
        if texts is None:
            return True
        text = _APART.join(texts)
        forms = plain_forms(text)
        for form in forms:
            long = long_words(form)
            if may_match(form, long) and any(self._shapes(form, long)):
                return True
            inside = decoded(long)
            if inside and any([*self._shapes(inside), *self._values(inside)]):
                return True
        return bool(self._needles) and any(self._values(text, *forms))

    def _look(self, texts: Sequence[Text]) -> tuple[Finding, ...]:
        # There is nearly always nothing, and then one look at all texts together is enough.
        if not any(self._reasons("\n".join([text for _, text in texts]))):
            return ()
        places = [place for where, text in texts for place in _places(where, text)]
        return tuple(
            dict.fromkeys([Finding(masked(where), reason) for where, text in places for reason in self._reasons(text)])
        )

    def _reasons(self, text: str) -> Iterator[str]:
        """Yield why a text looks as if it had a secret in it."""
        forms = plain_forms(text)
        for form in forms:
            long = long_words(form)
            yield from self._shapes(form, long)
            inside = decoded(long)
            if inside:
                yield from [f"{reason} in base64" for reason in (*self._shapes(inside), *self._values(inside))]
        yield from self._values(*forms, text)

    def _shapes(self, text: str, long: Sequence[str] | None = None) -> Iterator[str]:
        for shape, _ in shapes_in(text, long, allowed=self.allowed):
            yield shape.name

    def _values(self, *texts: str) -> Iterator[str]:
        found = {needle for text in texts for needle, _ in self._needles if needle in text}
        if found:
            yield from [f"the value of {name}" for needle, name in self._needles if needle in found - {*self.allowed}]


def credentials(headers: Mapping[str, str], url: str = "", *, redaction: Redaction | None = None) -> tuple[str, ...]:
    """Return the credentials of a request: values of secret headers and parameters, of 8 characters or more.

    Example:
        >>> credentials({"Authorization": "Bearer 0123456789abcdef"}, "https://example.com/?key=abcdefgh&alt=sse")
        ('0123456789abcdef', 'abcdefgh')
    """
    redaction = redaction or Redaction()
    found = [value.split()[-1] for name, value in headers.items() if value.split() and redaction.secret_header(name)]
    try:
        parts = urlsplit(url)
        found += [value for name, value in parse_qsl(parts.query) if redaction.secret_parameter(name)]
        found += [unquote(text) for text in (parts.netloc.rpartition("@")[0].partition(":")[2],)]
    except ValueError:
        pass  # not a URL, so nothing is sent
    return tuple(dict.fromkeys([value for value in found if len(value) >= _SHORTEST and value != REDACTED]))


# --- what to look at --------------------------------------------------------------------------------


def _together(one: HttpInteraction) -> list[str] | None:
    """Return all texts of an interaction, made in few steps; None if something in it is not JSON."""
    request, response = one.request, one.response
    extras = [request.extra or None, response.extra or None, one.extra or None]
    try:
        head = msgspec.json.encode(
            [request.method, request.url, request.headers or None, response.headers or None, extras]
        )
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    texts = [head.decode(), *_quick_body(request.body), *_quick_body(response.body)]
    if "%" in request.url:
        texts.append(unquote(request.url))
    return texts


def _quick_body(body: Body) -> list[str]:
    text = body.stored
    if isinstance(text, str) and body.encoding is None and "data:" not in text and not text.startswith(STREAM):
        return [text]  # neither a stream of events nor bytes in base64
    lines = body.lines
    texts = None if lines is None else together(lines)
    return [text for _, text in _body("", body)] if texts is None else texts


def _http(one: HttpInteraction, where: str) -> Iterator[Text]:
    yield f"{where}.request.method", one.request.method
    yield from _url(f"{where}.request.url", one.request.url)
    for side, name in ((one.request, "request"), (one.response, "response")):
        yield from _json(f"{where}.{name}.headers", side.headers)
        yield from _json(f"{where}.{name}", side.extra)
        yield from _body(f"{where}.{name}.body", side.body)


def _websocket(one: WebSocketInteraction, where: str) -> Iterator[Text]:
    if one.open is not None:
        yield from _url(f"{where}.open.url", one.open.url)
        yield from _json(f"{where}.open.headers", one.open.headers)
        yield from _json(f"{where}.open", one.open.extra)
    if one.connection is not None:
        yield from _url(f"{where}.connection.url", one.connection.url or "")
        yield from _json(f"{where}.connection.protocols", one.connection.protocols)
        yield from _json(f"{where}.connection", one.connection.extra)
        if one.connection.close is not None:
            yield f"{where}.connection.close.reason", one.connection.close.reason or ""
    for number, event in enumerate(one.events):
        yield from _body(f"{where}.events[{number}].body", event.body)
        yield from _json(f"{where}.events[{number}]", event.extra)
    yield from joined(
        f"{where}.events[*].body", [event.body.text for event in one.events if event.direction == "server"]
    )


def _url(where: str, url: str) -> Iterator[Text]:
    yield where, url
    if "%" in url:
        yield where, unquote(url)


def _json(where: str, value: object) -> Iterator[Text]:
    if value:
        try:
            yield where, msgspec.json.encode(value).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            yield where, repr(value)  # storing it will raise the error


def _body(where: str, body: Body) -> Iterator[Text]:
    if body.encoding != "base64":
        yield from condensed(where, body.characters)
        return
    data = body.data
    if data[:2] == b"\x1f\x8b":
        with suppress(InvalidCassette):  # not gzip after all, or cut off: look at it as it is
            data = expand(data, "gzip", limit=_LONGEST_BODY)
    yield from condensed(where, data.decode("latin-1"))
    yield from joined(where, _payloads(data))


def _places(where: str, text: str) -> Iterator[Text]:
    """Yield a text, or the texts inside it if it is JSON."""
    try:
        value = msgspec.json.decode(text) if text[:1] in "{[" else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, (dict, list)):
        yield where, text
        return
    for place, item in leaves(where, value):
        if isinstance(item, str):
            yield place, item
    yield where, "\n".join(_names(value))


def _names(value: object) -> Iterator[str]:
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            fields = cast("dict[str, object]", item)
            yield from fields
            waiting += fields.values()
        elif isinstance(item, list):
            waiting += cast("list[object]", item)


def _payloads(data: bytes) -> Iterator[str]:
    """Yield the payloads of AWS event stream messages, if a body has that form. No checksum is verified."""
    start = 0
    while start + 16 <= len(data):
        total, headers = [int.from_bytes(data[place : place + 4], "big") for place in (start, start + 4)]
        if not 16 + headers <= total <= len(data) - start:
            return
        yield data[start + 12 + headers : start + total - 4].decode(errors="replace")
        start += total
