"""Text cassettes: recorded answers in files named by a DJB2 key of provider, model and prompt.

The format is that of other runtimes, byte for byte: a directory of ``<key>.txt``, the answer and one newline in each.
What they do not need lies beside it in ``<key>.json``: whose answer it is, in which chunks it came, what it cost.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, Final, cast

from attrs import field, frozen

from ..errors import CassetteMismatch, CassetteMiss, InvalidCassette, InvalidRequest
from ..request import EMPTY
from ..usage import Usage
from .codecs import decode_json
from .files import read_file

__all__ = ["Sidecar", "TextCassette", "TextDirectory", "call_digest", "djb2_key"]

_MASK: Final = (1 << 64) - 1
_FILE: Final = re.compile(r"(0|[1-9][0-9]{0,19})\.txt")
_SIDECAR_FILE: Final = re.compile(r"(?:0|[1-9][0-9]{0,19})\.json")

#: A text cassette and its sidecar are at most this long, in bytes.
_LIMIT: Final = 64 * 1024 * 1024

#: On a miss at most this many sidecars are compared, and this many characters of each prompt.
_COMPARED: Final = 2000
_COMPARED_LENGTH: Final = 400


def djb2_key(provider: str, model: str, prompt: str) -> int:
    """The key that names a text cassette: DJB2 with xor, in 64 bits, over the UTF-8 of the three texts.

    From 5381 on, each byte makes ``h = h * 33 ^ byte``, and between the texts a zero byte does. It is no protection
    against two calls with one key: what the sidecar says is. A lone surrogate counts as the three bytes that
    UTF-8 would have for it.

    Args:
        provider: as in ``openai``; upper and lower case differ.
        model: the model's id, empty for the provider's default.
        prompt: the text of the only user message, unchanged.

    Raises:
        InvalidRequest: if one of them is not a str.

    Example:
        >>> djb2_key("openai", "", "Say hello.")
        15023835511162652990
    """
    key = 5381
    for byte in _call_bytes(provider, model, prompt):
        key = (key * 33 ^ byte) & _MASK
    return key


def call_digest(provider: str, model: str, prompt: str) -> str:
    """The SHA-256 that a sidecar holds: of provider, model and prompt with a zero byte between, in hexadecimal.

    Example:
        >>> call_digest("openai", "", "Say hello.")[:16]
        'c8dbfbda2d4b0187'
    """
    return hashlib.sha256(_call_bytes(provider, model, prompt)).hexdigest()


def _call_bytes(provider: str, model: str, prompt: str) -> bytes:
    call: tuple[object, ...] = (provider, model, prompt)
    if not all(isinstance(item, str) for item in call):
        given = ", ".join([type(item).__name__ for item in call])
        msg = f"provider, model and prompt of a text cassette are str, not {given}"
        raise InvalidRequest(msg)
    return f"{provider}\0{model}\0{prompt}".encode(errors="surrogatepass")


@frozen
class Sidecar:
    """What mellite remembers beside a text cassette: the call, the chunks of its answer, what it used.

    Args:
        provider: whose answer it is.
        model: which model's; empty for the provider's default.
        prompt: what was asked.
        sha256: the digest of the three, see `call_digest`.
        chunks: the answer in the pieces in which it came; None if it was not recorded so.
        usage: the tokens used.
        extra: keys of the file that mellite does not know.
    """

    provider: str
    model: str
    prompt: str = field(kw_only=True)
    sha256: str | None = field(default=None, kw_only=True)
    chunks: tuple[str, ...] | None = field(default=None, kw_only=True)
    usage: Usage | None = field(default=None, kw_only=True)
    extra: Mapping[str, Any] = field(default=EMPTY, kw_only=True)


@frozen
class TextCassette:
    """One recorded answer.

    Args:
        path: the file.
        text: the answer, without the newline that ends the file.
        key: the DJB2 key that names the file.
        sidecar: what lies beside it, if anything does.
    """

    path: str
    text: str = field(repr=lambda text: f"<{len(text)} characters>")
    key: int = field(kw_only=True)
    sidecar: Sidecar | None = field(default=None, kw_only=True)

    @property
    def chunks(self) -> tuple[str, ...] | None:
        """The recorded pieces of the text; None if there are none, or if they are of an older text.

        The text may be edited by hand; then it wins.
        """
        chunks = None if self.sidecar is None else self.sidecar.chunks
        return chunks if chunks is not None and "".join(chunks) == self.text else None


def _path(path: str | PathLike[str]) -> str:
    return os.fspath(path)


@frozen
class TextDirectory:
    """A directory of text cassettes. Nothing is read before it is asked for, and nothing is kept.

    Args:
        path: the directory.

    Example:
        >>> TextDirectory("cassettes/text").read("openai", "", "Say hello.").text
        'Hello! It is good to meet you.'
    """

    path: str = field(converter=_path)

    def file(self, key: int) -> str:
        """Where the cassette of a key lies: its decimal digits and ``.txt``."""
        return os.path.join(self.path, f"{key}.txt")

    def read(self, provider: str, model: str, prompt: str) -> TextCassette:
        """The answer that was recorded for a call.

        Raises:
            CassetteMiss: if there is none; it names the key, the file and the nearest prompts.
            CassetteMismatch: if the file is the answer to another call with the same key.
            InvalidCassette: if the file, or its sidecar, is damaged.
        """
        cassette = self.find(provider, model, prompt)
        if cassette is None:
            raise self._miss(provider, model, prompt)
        return cassette

    def find(self, provider: str, model: str, prompt: str) -> TextCassette | None:
        """As `read`, but None if there is none."""
        key = djb2_key(provider, model, prompt)
        path = self.file(key)
        try:
            data = read_file(path, limit=_LIMIT)
        except CassetteMiss:
            return None
        sidecar = self.sidecar(key)
        if sidecar is not None and (sidecar.provider, sidecar.model, sidecar.prompt) != (provider, model, prompt):
            raise _collision(path, key, sidecar, (provider, model, prompt))
        return TextCassette(path, _text(data, path), key=key, sidecar=sidecar)

    def answer(self, key: int) -> TextCassette | None:
        """The answer that was recorded under a key, whatever call it belongs to; None if there is none.

        Raises:
            InvalidCassette: if the file, or its sidecar, is damaged.
        """
        path = self.file(key)
        try:
            data = read_file(path, limit=_LIMIT)
        except CassetteMiss:
            return None
        return TextCassette(path, _text(data, path), key=key, sidecar=self.sidecar(key))

    def sidecar(self, key: int) -> Sidecar | None:
        """What lies beside the cassette of a key; None if nothing does.

        Raises:
            InvalidCassette: if it is damaged.
        """
        path = os.path.join(self.path, f"{key}.json")
        try:
            data = read_file(path, limit=_LIMIT)
        except CassetteMiss:
            return None
        return _sidecar(data, path)

    def keys(self) -> tuple[int, ...]:
        """The keys of all cassettes here, in ascending order; none if there is no such directory.

        Raises:
            InvalidCassette: if the directory cannot be read.
        """
        return tuple(sorted([int(found[1]) for name in self._names() if (found := _FILE.fullmatch(name))]))

    def nearest(self, provider: str, model: str, prompt: str, *, count: int = 3) -> tuple[Sidecar, ...]:
        """The recorded calls most like this one, as far as sidecars tell; damaged ones are passed over."""
        import difflib

        matcher = difflib.SequenceMatcher(b=prompt[:_COMPARED_LENGTH], autojunk=False)
        scored: list[tuple[float, bool, bool, str, str, str, Sidecar]] = []
        for sidecar in self._sidecars():
            matcher.set_seq1(sidecar.prompt[:_COMPARED_LENGTH])
            if matcher.real_quick_ratio() < 0.5 or matcher.quick_ratio() < 0.5 or (ratio := matcher.ratio()) < 0.5:
                continue
            call = (sidecar.provider, sidecar.model, sidecar.prompt)
            scored.append((-ratio, sidecar.provider != provider, sidecar.model != model, *call, sidecar))
        scored.sort(key=lambda entry: entry[:-1])
        return tuple([entry[-1] for entry in scored[:count]])

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            msg = f"cannot list the cassette directory {self.path!r}: {reason}"
            raise InvalidCassette(msg, path=self.path) from error

    def _sidecars(self) -> Iterator[Sidecar]:
        names = sorted([name for name in self._names() if _SIDECAR_FILE.fullmatch(name)])
        for name in names[:_COMPARED]:
            try:
                sidecar = self.sidecar(int(name.removesuffix(".json")))
            except InvalidCassette:
                continue  # this is only to help: the damage is reported to whoever asks for that answer
            if sidecar is not None:
                yield sidecar

    def _miss(self, provider: str, model: str, prompt: str) -> CassetteMiss:
        key = djb2_key(provider, model, prompt)
        count = len(self.keys())
        there = f"there {'is 1 cassette' if count == 1 else f'are {count} cassettes'} in {self.path!r}"
        if not count and not os.path.isdir(self.path):
            there = f"there is no directory {self.path!r}"
        near = [_call(near.provider, near.model, near.prompt) for near in self.nearest(provider, model, prompt)]
        hint = f"; the nearest recorded: {'; '.join(near)}" if near else ""
        msg = f"no text cassette for {_call(provider, model, prompt)}: key {key}, file '{key}.txt', and {there}{hint}"
        return CassetteMiss(msg, path=self.file(key), provider=provider or None, model=model or None)


def _call(provider: str, model: str, prompt: str) -> str:
    short = prompt if len(prompt) <= 80 else prompt[:77] + "..."
    return f"{short!r} (provider {provider!r}, model {model!r})"


def _collision(path: str, key: int, sidecar: Sidecar, call: tuple[str, str, str]) -> CassetteMismatch:
    msg = (
        f"text cassette {path!r} is the answer to {_call(sidecar.provider, sidecar.model, sidecar.prompt)}, not to "
        f"{_call(*call)}, though both have the key {key}; change the prompt a little, or use another directory"
    )
    return CassetteMismatch(msg, path=path, provider=call[0] or None, model=call[1] or None)


def _text(data: bytes, path: str) -> str:
    try:
        # Exactly one newline, as the C, BEAM and Python runtimes do; a carriage return before it stays.
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        msg = f"text cassette {path!r} is damaged at byte {error.start}: it is not UTF-8"
        raise InvalidCassette(msg, path=path, offset=error.start) from error


def _sidecar(data: bytes, path: str) -> Sidecar:
    values = _object(decode_json(data, path=path, lone_surrogates=True), path, "an object")
    provider, model, prompt = [_string(values.pop(name, None), name, path) for name in ("provider", "model", "prompt")]
    digest = values.pop("sha256", None)
    if digest is not None and digest != call_digest(provider, model, prompt):
        raise _wrong(path, "'sha256' to be the digest of its provider, model and prompt", digest)
    return Sidecar(
        provider,
        model,
        prompt=prompt,
        sha256=digest,
        chunks=_chunks(values.pop("chunks", None), path),
        usage=_usage(values.pop("usage", None), path),
        extra=values or EMPTY,
    )


_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
)


def _usage(item: object, path: str) -> Usage | None:
    if item is None:
        return None
    values = _object(item, path, "'usage' to be an object")
    counts: dict[str, int | None] = {name: values.get(name) for name in _COUNTS}
    for name, count in counts.items():
        if count is not None and not (type(count) is int and count >= 0):
            raise _wrong(path, f"'usage.{name}' to be a count of tokens", count)
    raw = values.get("raw")
    return Usage.of(**counts, raw=None if raw is None else _object(raw, path, "'usage.raw' to be an object"))


def _chunks(item: object, path: str) -> tuple[str, ...] | None:
    if item is None:
        return None
    chunks = tuple(cast("list[object]", item)) if isinstance(item, list) else (None,)
    if not all(isinstance(chunk, str) for chunk in chunks):
        raise _wrong(path, "'chunks' to be a list of texts", chunks)
    return cast("tuple[str, ...]", chunks)


def _object(item: object, path: str, wanted: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _wrong(path, wanted, item)
    return cast("dict[str, Any]", item)


def _string(value: object, name: str, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, f"{name!r} to be a text", value)
    return value


def _wrong(path: str, wanted: str, value: object) -> InvalidCassette:
    shown = f"{value!r:.80}" if isinstance(value, (str, int, float)) else type(value).__name__
    return InvalidCassette(f"the sidecar {path!r} is damaged: expected {wanted}, found {shown}", path=path)
