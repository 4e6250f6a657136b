"""Read YAML from untrusted sources: plain values only, of bounded depth and size.

PyYAML's safe loader refuses tags that run code. But a few kilobytes of brackets crash its C parser, aliases of aliases
grow without bound when they are written out (https://en.wikipedia.org/wiki/Billion_laughs_attack), and of a duplicate
key the first value is lost. So the events of the parser are checked before anything is loaded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from attrs import define, field

from ...values.errors import InvalidCassette, MissingExtra

__all__ = ["decode_yaml"]

#: How deep values may be nested.
DEEPEST: Final = 200

#: How many values there may be, counting those that an alias stands for each time.
MOST: Final = 2_000_000

#: Tags of bytes in base64: YAML's own, and the one that Ruby writes.
BINARY: Final = frozenset({"tag:yaml.org,2002:binary", "!binary"})

#: The tags of plain values, as YAML 1.1 names them; "!" asks for the plain one. Any other tag may make an object.
PLAIN_TAGS: Final = BINARY | frozenset(
    {"!", *(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "map", "null", "seq", "str"))}
)


def decode_yaml(data: bytes, *, path: str | None = None) -> Any:
    r"""Decode one YAML document of plain values: mappings, lists, texts, numbers, booleans, null and ``!!binary``.

    A date is a text, as in JSON.

    Args:
        data: the bytes of the whole file, in UTF-8 or UTF-16.
        path: the file, for the error.

    Raises:
        InvalidCassette: if it is not YAML, has a tag for anything else, is too deep or too large, or has a duplicate
            key. The error names the file and the byte.
        MissingExtra: without the package PyYAML.

    Example:
        >>> decode_yaml(b"answer: 42\ncolours: [red, '2024-01-01', 2024-01-01]")
        {'answer': 42, 'colours': ['red', '2024-01-01', '2024-01-01']}
    """
    yaml = _yaml()
    loader = _loader(yaml)
    try:
        _Check(path, data, yaml).run(yaml.parse(data, Loader=loader))
        return yaml.load(data, Loader=loader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise _invalid(path, data, f"{reason:.200}", mark) from error


def _yaml() -> Any:
    try:
        return import_module("yaml")
    except ImportError as error:
        msg = "cassettes in YAML need the package PyYAML: pip install 'mellite[yaml]'"
        raise MissingExtra(msg) from error


def _loader(yaml: Any) -> Any:
    """Return PyYAML's safe loader, in C if it is available, changed so that dates are texts."""
    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    timestamp = "tag:yaml.org,2002:timestamp"
    resolvers = {
        first: [(tag, pattern) for tag, pattern in rows if tag != timestamp]
        for first, rows in safe.yaml_implicit_resolvers.items()
    }
    loader: Any = type("Loader", (safe,), {"yaml_implicit_resolvers": resolvers})
    for special in ("merge", "value"):  # "<<" and "=" are texts, except "<<" as a key
        loader.add_constructor(f"tag:yaml.org,2002:{special}", yaml.constructor.SafeConstructor.construct_yaml_str)
    loader.add_constructor("!binary", yaml.constructor.SafeConstructor.construct_yaml_binary)
    return loader


def _invalid(path: str | None, data: bytes, reason: str, mark: Any = None) -> InvalidCassette:
    name = "the cassette" if path is None else f"cassette {path!r}"
    # The parser counts characters, and the error names a byte.
    offset = None if mark is None else len(data.decode(errors="replace")[: mark.index].encode())
    where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
    return InvalidCassette(f"{name} is damaged{where}: {reason}", path=path, offset=offset)


@define
class _Open:
    """A mapping or list that is being read: its anchor, number of values, keys so far, and whether a key is next."""

    anchor: str | None
    size: int = 1
    keys: set[str] | None = None
    at_key: bool = True


@define
class _Check:
    """A check of the events of a parser, which refuses what must not be loaded."""

    path: str | None
    data: bytes
    yaml: Any
    sizes: dict[str, int] = field(factory=dict)
    waiting: list[_Open] = field(factory=list)

    def run(self, events: Iterator[Any]) -> None:
        yaml = self.yaml
        for event in events:
            self._refuse_tag(event)
            if isinstance(event, yaml.ScalarEvent):
                self._name(event)
                self._decodable(event)
                if event.anchor is not None:
                    self.sizes[event.anchor] = 1
                self._add(1, event)
            elif isinstance(event, yaml.AliasEvent):
                # An alias inside the value that it names would make that value contain itself. It has no size yet.
                if event.anchor not in self.sizes:
                    raise _invalid(
                        self.path, self.data, f"the alias {event.anchor!r:.80} stands for nothing", event.start_mark
                    )
                self._add(self.sizes[event.anchor], event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                if len(self.waiting) >= DEEPEST:
                    raise _invalid(self.path, self.data, f"it is nested more than {DEEPEST} deep", event.start_mark)
                keys = set[str]() if isinstance(event, yaml.MappingStartEvent) else None
                if event.anchor is not None:
                    self.sizes.pop(event.anchor, None)
                self.waiting.append(_Open(event.anchor, keys=keys))
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                done = self.waiting.pop()
                if done.anchor is not None:
                    self.sizes[done.anchor] = done.size
                self._add(done.size, event)

    def _name(self, event: Any) -> None:
        """If a text is a key, note it, and refuse a duplicate."""
        inside = self.waiting[-1] if self.waiting else None
        if inside is not None and inside.keys is not None and inside.at_key:
            if event.value in inside.keys:
                raise _invalid(self.path, self.data, f"the key {event.value!r:.80} is there twice", event.start_mark)
            inside.keys.add(event.value)

    def _refuse_tag(self, event: Any) -> None:
        """Refuse a tag that is not one of a plain value, before a loader acts on it."""
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in PLAIN_TAGS:
            reason = f"the tag {tag!r:.80} stands for no plain value"
            raise _invalid(self.path, self.data, reason, event.start_mark)

    def _decodable(self, event: Any) -> None:
        """Refuse malformed base64, in which the loader would ignore what it does not know."""
        if event.tag in BINARY:
            try:
                base64.b64decode("".join(event.value.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise _invalid(self.path, self.data, f"it is not base64: {error}", event.start_mark) from error

    def _add(self, size: int, event: Any) -> None:
        if not self.waiting:
            return
        inside = self.waiting[-1]
        inside.size += size
        inside.at_key = not inside.at_key
        if inside.size > MOST:
            raise _invalid(self.path, self.data, f"it comes to more than {MOST:,} values", event.start_mark)
