"""Count the tokens of a text exactly, where a tokenizer of the model ships in an installed package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Final

__all__ = ["counted", "vocabulary_of"]

#: Vocabulary -> the models that have it, with any date and size after the name, as in OpenAI's own table:
#: https://github.com/openai/tiktoken/blob/main/tiktoken/model.py
_FAMILIES: Final = (
    ("o200k_base", re.compile(r"(gpt-5|(gpt-4o|chatgpt-4o|gpt-4\.[15]|gpt-oss|o[134])(?![^-]))[a-z0-9.-]*")),
    ("cl100k_base", re.compile(r"(gpt-4|gpt-3\.5|gpt-35-turbo|text-embedding-(3|ada-002))(?![^-])[a-z0-9-]*")),
)

#: How much is counted in one go, in characters: nothing else of the process runs meanwhile.
_CHUNK: Final = 50_000

#: The longest piece that is counted in one go where no place to cut is found. A text without spaces and punctuation in
#: as much as that is not language.
_LONGEST: Final = 250_000

#: Where no token goes across, in both vocabularies: before a space that follows something else, and between a letter
#: and a punctuation mark. An apostrophe may belong to the word before it.
_CUT: Final = re.compile(r"(?<=[^\s])(?= )|(?<=[A-Za-zぁ-ゖァ-ヺ一-龥가-힣])(?=[,.;:!?()\n。、])")

#: Counts the tokens of a text.
_Count = Callable[[str], int]


def vocabulary_of(model: str) -> str | None:
    """Return the name of the vocabulary that a model reads with; None if it is in no package.

    Args:
        model: a model's id, also with its provider in front, or fine-tuned.

    Example:
        >>> vocabulary_of("openai:gpt-5-mini-2025-08-07"), vocabulary_of("ft:gpt-3.5-turbo:acme::x")
        ('o200k_base', 'cl100k_base')
        >>> vocabulary_of("claude-opus-4-8") is None
        True
    """
    for part in re.split(r"[:/]", model.strip().lower()):
        for vocabulary, names in _FAMILIES:
            if names.fullmatch(part):
                return vocabulary
    return None


def counted(text: str, model: str) -> tuple[int, bool] | None:
    """Count the tokens of a text, and say whether the number is exact.

    It is not where the text has half a surrogate pair, which no provider takes, or is so long without a place to cut
    that it was cut anywhere.

    Args:
        text: the text, without what marks a message.
        model: whose tokens.

    Returns:
        None if no tokenizer of the model is installed.
    """
    vocabulary = vocabulary_of(model)
    count = _tokenizer(vocabulary) if vocabulary is not None else None
    if count is None:
        return None
    is_exact = True
    try:
        text.encode()
    except UnicodeEncodeError:
        text, is_exact = text.encode("utf-8", "replace").decode(), False
    total = 0
    for chunk, is_whole in _chunks(text):
        total += count(chunk)
        is_exact = is_exact and is_whole
    return total, is_exact


def _chunks(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text; each piece comes with whether its end is one of a token."""
    start = 0
    while len(text) - start > _CHUNK:
        end = start + _LONGEST
        found = _CUT.search(text, start + _CHUNK, end)
        is_whole = found is not None or len(text) <= end
        stop = found.start() if found is not None else min(end, len(text))
        yield text[start:stop], is_whole
        start = stop
    yield text[start:], True


@cache
def _tokenizer(vocabulary: str) -> _Count | None:
    """Return what counts with a vocabulary; None if the package is not installed, or not as it was.

    The first one takes about 0.3 s. The package's own __init__ takes twenty times as long, as it unpacks all its
    vocabularies in Python, and has no count; so only its compiled module is loaded, in which there is one.
    """
    package = find_spec("bpe_openai")
    places = package.submodule_search_locations if package is not None else None
    spec = PathFinder.find_spec("bpe_openai._bindings", places) if places is not None else None
    if spec is None or spec.loader is None:
        return None
    try:
        bindings = module_from_spec(spec)
        spec.loader.exec_module(bindings)
        count: _Count = bindings.tokenizer_for_encoding(vocabulary).count
        return count if count("One, two.") == 4 else None
    except (AttributeError, ImportError, TypeError, ValueError):
        return None  # a later version, which has it elsewhere
