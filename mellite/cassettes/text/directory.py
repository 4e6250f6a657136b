"""Text cassettes: recorded answers in files named by a DJB2 key of provider, model and prompt.

The format is that of other runtimes, byte for byte: a directory of files ``<key>.txt``, each with an answer and one
newline. What they do not need is beside it in ``<key>.json``: the call, the chunks of the answer, the tokens used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from os import PathLike
from typing import Final

from attrs import field, frozen

from ...values.errors import CassetteMismatch, CassetteMiss, InvalidCassette, MissingExtra
from ...values.public_names import publish
from ..compression import ENDINGS, Compression, compress, compression_of, expand
from ..files.disk import read_file
from ..files.storing import TEMPORARY, clear_temporary, store_file, unwritable
from ..secrets.scan import SecretScan
from .rendering import MARK
from .sidecar import Sidecar, call_bytes, encode_sidecar, read_sidecar

__all__ = ["TextCassette", "TextDirectory", "djb2_key"]

_MASK: Final = (1 << 64) - 1
_FILE: Final = re.compile(r"(0|[1-9][0-9]{0,19})\.txt(?:\.gz|\.lz4)?")
_SIDECAR_FILE: Final = re.compile(r"(?:0|[1-9][0-9]{0,19})\.json(?:\.gz|\.lz4)?")
_LONE: Final = re.compile(r"[\ud800-\udfff]")

#: The endings after ``.txt``, in the order in which they are looked for.
_ENDINGS: Final = ("", *ENDINGS)

#: A text cassette and its sidecar are at most this long, in bytes.
_LIMIT: Final = 64 * 1024 * 1024

#: How many sidecars are looked at on a miss, how many of those closely, and how many characters of each prompt.
_COMPARED: Final = 2000
_COMPARED_CLOSELY: Final = 16
_COMPARED_LENGTH: Final = 400


def djb2_key(provider: str, model: str, prompt: str) -> int:
    """Return the key that names a text cassette: DJB2 with xor, in 64 bits, over the UTF-8 of the three texts.

    It starts at 5381; each byte makes ``h = h * 33 ^ byte``, with a zero byte between the texts
    (http://www.cse.yorku.ca/~oz/hash.html). Two calls may have the same key; the sidecar tells them apart. A lone
    surrogate counts as the three bytes that UTF-8 would have for it.

    Args:
        provider: as in ``openai``; case matters.
        model: the model's id; empty for the provider's default.
        prompt: the text of the only user message, unchanged.

    Raises:
        InvalidRequest: if one of them is not a str.

    Example:
        >>> djb2_key("openai", "", "Say hello.")
        15023835511162652990
    """
    key = 5381
    for byte in call_bytes(provider, model, prompt):
        key = (key * 33 ^ byte) & _MASK
    return key


@frozen
class TextCassette:
    """One recorded answer.

    Args:
        path: the file.
        text: the answer, without the newline that ends the file.
        key: the DJB2 key that names the file.
        sidecar: its sidecar, if there is one.
    """

    path: str
    text: str = field(repr=lambda text: f"<{len(text)} characters>")
    key: int = field(kw_only=True)
    sidecar: Sidecar | None = field(default=None, kw_only=True)

    @property
    def chunks(self) -> tuple[str, ...] | None:
        """The recorded pieces of the text; None if there are none, or the text was edited after it was recorded."""
        chunks = None if self.sidecar is None else self.sidecar.chunks
        return chunks if chunks is not None and _merged("".join(chunks)) == self.text else None


def _path(path: str | PathLike[str]) -> str:
    return os.fspath(path)


@frozen
class TextDirectory:
    """A directory of text cassettes. Files are read on demand, and nothing is cached.

    Any number of processes and threads may read and write one directory.

    Args:
        path: the directory.

    Example:
        >>> TextDirectory("cassettes/text").read("openai", "", "Say hello.").text
        'Hello! It is good to meet you.'
    """

    path: str = field(converter=_path)

    def file(self, key: int) -> str:
        """Return the path of the cassette of a key: its decimal digits and ``.txt``."""
        return os.path.join(self.path, f"{key}.txt")

    def read(self, provider: str, model: str, prompt: str) -> TextCassette:
        """Read the answer that was recorded for a call.

        Raises:
            CassetteMiss: if there is none. The error names the key, the file and the nearest prompts.
            CassetteMismatch: if the file is the answer to another call with the same key.
            InvalidCassette: if the file, or its sidecar, is damaged.
        """
        cassette = self.find(provider, model, prompt)
        if cassette is None:
            raise self._miss(provider, model, prompt)
        return cassette

    def find(self, provider: str, model: str, prompt: str) -> TextCassette | None:
        """Read an answer as `read` does, but return None if there is none."""
        call = (provider, model, prompt)
        found = self.answer(djb2_key(*call))
        if found is not None and found.sidecar is not None and found.sidecar.call != call:
            raise _collision(found.path, found.key, found.sidecar, call)
        return found

    def answer(self, key: int) -> TextCassette | None:
        """Read the answer that was recorded under a key, whatever call it belongs to; None if there is none.

        Raises:
            InvalidCassette: if the file, or its sidecar, is damaged.
            MissingExtra: for a file in LZ4 without the package lz4.
        """
        plain = self.file(key)
        # Twice, because another process may just be replacing the file by one with another compression.
        for ending in (*_ENDINGS, *_ENDINGS):
            data = _whole(plain + ending)
            if data is not None:
                sidecar = self.sidecar(key, ending)
                path = plain + ending
                return TextCassette(path, _text(data, path, sidecar), key=key, sidecar=sidecar)
        return None

    def sidecar(self, key: int, ending: str = "") -> Sidecar | None:
        """Read the sidecar of a key; None if there is none.

        Args:
            key: the key.
            ending: the ending of the compressed cassette, as in ``.gz``. Its sidecar has the same, or none.

        Raises:
            InvalidCassette: if it is damaged.
        """
        plain = os.path.join(self.path, f"{key}.json")
        for path in dict.fromkeys((plain + ending, plain)):
            data = _whole(path)
            if data is not None:
                return read_sidecar(data, path)
        return None

    def record(
        self, text: str, sidecar: Sidecar, *, compression: Compression | None = None, replace: bool = False
    ) -> TextCassette:
        """Store an answer and its sidecar, durably. Several processes may do so at the same time.

        Args:
            text: the answer.
            sidecar: the call, and what else is known of the answer.
            compression: the compression of both files.
            replace: whether to replace the answer that was recorded for this call; if not, the first one is kept.

        Returns:
            What is stored now: this answer, or an earlier one.

        Raises:
            CassetteMismatch: if the existing file is the answer to another call with the same key.
            InvalidCassette: if the existing file is damaged; it is not overwritten.
            UnsafeCassette: if something in the call or the answer looks like a secret.
            CassetteError: if it cannot be written.
            MissingExtra: for LZ4 without the package lz4.
        """
        key = djb2_key(*sidecar.call)
        ending = next((ending for ending, name in ENDINGS.items() if name == compression), "")
        path = self.file(key) + ending
        _check_safe(text, sidecar, path)
        files = compress(_bytes(text), compression), compress(encode_sidecar(sidecar), compression)
        beside = os.path.join(self.path, f"{key}.json{ending}")
        there = self.find(*sidecar.call)
        if there is not None and not replace:
            return there
        # The sidecar is written first, as a claim: of two calls with one key only one is ever written.
        if not store_file(beside, files[1], replace=False):
            claimed = self.sidecar(key, ending)
            if claimed is not None and claimed.call != sidecar.call:
                raise _collision(path, key, claimed, sidecar.call)
            if store_file(path, files[0], replace=replace):
                store_file(beside, files[1])
        else:
            store_file(path, files[0], replace=replace)
        if replace:
            self._remove_others(key, ending)
        found = self.find(*sidecar.call)
        if found is None:  # another process has replaced the file with another compression, and removed this one
            store_file(beside, files[1])
            store_file(path, files[0])
            found = TextCassette(path, text, key=key, sidecar=sidecar)
        return found

    def tidy(self) -> None:
        """Remove the temporary files of writers that have died. Call this before a recording.

        Raises:
            InvalidCassette: if the directory cannot be read.
            CassetteError: if something cannot be removed.
        """
        for name in self._names():
            stem = name.removesuffix(TEMPORARY)
            if stem != name and (_FILE.fullmatch(stem) or _SIDECAR_FILE.fullmatch(stem)):
                path = os.path.join(self.path, stem)
                try:
                    clear_temporary(path)
                except OSError as error:
                    unwritable(path, error)

    def _remove_others(self, key: int, ending: str) -> None:
        """Remove the files of the same key with another compression, which have been replaced."""
        for other in _ENDINGS:
            for path in (self.file(key) + other, os.path.join(self.path, f"{key}.json{other}")):
                if other != ending:
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        unwritable(path, error)

    def keys(self) -> tuple[int, ...]:
        """Return the keys of all cassettes here, in ascending order; empty if there is no such directory.

        Raises:
            InvalidCassette: if the directory cannot be read.
        """
        return tuple(sorted({int(found[1]) for name in self._names() if (found := _FILE.fullmatch(name))}))

    def nearest(self, provider: str, model: str, prompt: str, *, count: int = 3) -> tuple[Sidecar, ...]:
        """Return the recorded calls that are most like this one. Damaged sidecars are skipped.

        This reads many files and may take a while: in async code call it in a thread.
        """
        import difflib

        matcher = difflib.SequenceMatcher(b=prompt[:_COMPARED_LENGTH], autojunk=False)

        def order(ratio: float, one: Sidecar) -> tuple[float, bool, bool, str, str, str]:
            return (-ratio, one.provider != provider, one.model != model, one.provider, one.model, one.prompt)

        # A full comparison takes milliseconds. Counting letters, in microseconds, finds the candidates for it.
        likely: list[tuple[tuple[float, bool, bool, str, str, str], Sidecar]] = []
        for sidecar in self._sidecars():
            matcher.set_seq1(sidecar.prompt[:_COMPARED_LENGTH])
            if matcher.real_quick_ratio() >= 0.5 and (ratio := matcher.quick_ratio()) >= 0.5:
                likely.append((order(ratio, sidecar), sidecar))
        likely.sort(key=lambda entry: entry[0])
        scored: list[tuple[tuple[float, bool, bool, str, str, str], Sidecar]] = []
        for _, sidecar in likely[:_COMPARED_CLOSELY]:
            matcher.set_seq1(sidecar.prompt[:_COMPARED_LENGTH])
            if (ratio := matcher.ratio()) >= 0.5:
                scored.append((order(ratio, sidecar), sidecar))
        scored.sort(key=lambda entry: entry[0])
        return tuple([sidecar for _, sidecar in scored[:count]])

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
                key, _, ending = name.partition(".json")
                sidecar = self.sidecar(int(key), ending)
            except (InvalidCassette, MissingExtra):
                continue  # this is only a hint; the damage is reported when that answer is read
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
    prompt = prompt.removeprefix(MARK)
    short = prompt if len(prompt) <= 80 else prompt[:77] + "..."
    return f"{short!r} (provider {provider!r}, model {model!r})"


def _collision(path: str, key: int, sidecar: Sidecar, call: tuple[str, str, str]) -> CassetteMismatch:
    msg = (
        f"text cassette {path!r} is the answer to {_call(sidecar.provider, sidecar.model, sidecar.prompt)}, not to "
        f"{_call(*call)}, though both have the key {key}; change the prompt a little, or use another directory"
    )
    return CassetteMismatch(msg, path=path, provider=call[0] or None, model=call[1] or None)


def _whole(path: str) -> bytes | None:
    """Read and decompress a file; None if there is none."""
    try:
        data = read_file(path, limit=_LIMIT)
    except CassetteMiss:
        return None
    return expand(data, compression_of(path), path=path, limit=_LIMIT)


def _text(data: bytes, path: str, sidecar: Sidecar | None) -> str:
    try:
        # Remove exactly one newline, as the C, BEAM and Python runtimes do, and keep a carriage return before it.
        text = data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        msg = f"text cassette {path!r} is damaged at byte {error.start}: it is not UTF-8"
        raise InvalidCassette(msg, path=path, offset=error.start) from error
    if "\ufffd" in text and sidecar is not None and sidecar.chunks is not None:
        whole = _merged("".join(sidecar.chunks))
        return whole if _LONE.sub("\ufffd", whole) == text else text
    return text


def _bytes(text: str) -> bytes:
    """Encode a text as the content of a file. A lone surrogate, which only the chunks can keep, becomes U+FFFD."""
    return f"{_LONE.sub(chr(0xFFFD), _merged(text))}\n".encode()


def _merged(text: str) -> str:
    """Return a text with its surrogate pairs joined, since a model may send their halves in two pieces."""
    if _LONE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _check_safe(text: str, sidecar: Sidecar, path: str) -> None:
    scan = SecretScan()
    calls = repr([(call.arguments, call.raw_arguments) for call in sidecar.tool_calls]) if sidecar.tool_calls else ""
    places = {"$.prompt": sidecar.prompt, "$.text": text, "$.tool_calls": calls, "$.refusal": sidecar.refusal or ""}
    scan.refuse([found for where, value in places.items() for found in scan.text(value, where)], path=path)


publish(globals(), "mellite.cassettes", "TextCassette", "TextDirectory", "djb2_key")
