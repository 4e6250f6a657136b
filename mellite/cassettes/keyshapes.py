"""What keys and other secrets look like: one row for each shape, and the variables that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import field, frozen

__all__ = ["SHAPES", "KeyShape", "environment_secrets", "named_secrets", "shapes_in", "words"]

# What does not stand before a key: it would be the middle of some other identifier, or of base64.
_START: Final = r"(?<![A-Za-z0-9_-])"


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source if source.startswith("(?<") else _START + source)


@frozen
class KeyShape:
    """One kind of secret that can be told by its look.

    Args:
        name: what it is called in messages.
        pattern: what it looks like.
        marks: texts of which every such secret has one in it; without any of them the pattern need not be tried.
        word: whether it is one long word, without blanks and punctuation but for ``_+/.=-``.
    """

    name: str
    pattern: re.Pattern[str] = field(converter=_pattern)
    marks: tuple[str, ...] = field(kw_only=True)
    word: bool = field(default=True, kw_only=True)


#: All shapes that are known. Sources: the providers' own documentation of their keys, and what they issued.
SHAPES: Final[tuple[KeyShape, ...]] = (
    # Not a name in capitals, as in "Bearer YOUR_API_KEY", which documentation is full of.
    KeyShape(
        "bearer token",
        r"(?i:bearer)\s+(?![A-Z_]+\b(?![.~+/=-]))[A-Za-z0-9._~+/=-]{16,}",
        marks=("earer", "EARER"),
        word=False,
    ),
    KeyShape("Anthropic key", r"sk-ant-[A-Za-z0-9_-]{16,}", marks=("sk-ant-",)),
    KeyShape("OpenRouter key", r"sk-or-[A-Za-z0-9_-]{16,}", marks=("sk-or-",)),
    KeyShape("key of OpenAI's form", r"sk-[A-Za-z0-9_-]{20,}", marks=("sk-",)),  # DeepSeek, Moonshot and others, too
    KeyShape("Stripe or Novita key", r"[sr]k_[A-Za-z0-9_]{20,}", marks=("sk_", "rk_")),
    KeyShape("Google key", r"AIza[A-Za-z0-9_-]{20,}", marks=("AIza",)),
    KeyShape("Google key", r"AQ\.[A-Za-z0-9_-]{30,}", marks=("AQ.",)),
    KeyShape("Google access token", r"ya29\.[A-Za-z0-9_-]{20,}", marks=("ya29.",)),
    KeyShape("Google client secret", r"GOCSPX-[A-Za-z0-9_-]{20,}", marks=("GOCSPX-",)),
    KeyShape("AWS key id", r"A[KS]IA[A-Z0-9]{16}", marks=("AKIA", "ASIA")),
    KeyShape(
        "AWS secret key",
        r"(?i:aws_?secret(?:_?access)?_?key)\W{1,6}[A-Za-z0-9/+]{40}",
        marks=("ecret", "ECRET"),
        word=False,
    ),
    KeyShape("Bedrock key", r"ABSK[A-Za-z0-9+/]{40,}", marks=("ABSK",)),
    KeyShape("Bedrock key", r"bedrock-api-key-[A-Za-z0-9+/=]{20,}", marks=("bedrock-api-key-",)),
    KeyShape("Azure OpenAI key", r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,40}", marks=("JQQJ9",)),
    KeyShape(
        "GitHub token",
        r"(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
        marks=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    KeyShape("GitHub Copilot token", r"tid=[0-9a-f]{20,};(?:[a-z0-9]+=[^;]*;)*exp=", marks=("tid=",), word=False),
    KeyShape("GitLab token", r"glpat-[A-Za-z0-9_-]{20,}", marks=("glpat-",)),
    KeyShape("Groq key", r"gsk_[A-Za-z0-9]{20,}", marks=("gsk_",)),
    KeyShape("xAI key", r"xai-[A-Za-z0-9_]{20,}", marks=("xai-",)),
    KeyShape("Hugging Face token", r"hf_[A-Za-z0-9]{20,}", marks=("hf_",)),
    KeyShape("Replicate token", r"r8_[A-Za-z0-9]{20,}", marks=("r8_",)),
    KeyShape("Fireworks key", r"fw_[A-Za-z0-9]{20,}", marks=("fw_",)),
    KeyShape("Perplexity key", r"pplx-[A-Za-z0-9]{20,}", marks=("pplx-",)),
    KeyShape("Cerebras key", r"csk-[A-Za-z0-9]{20,}", marks=("csk-",)),
    KeyShape("NVIDIA key", r"nvapi-[A-Za-z0-9_-]{20,}", marks=("nvapi-",)),
    KeyShape("Together key", r"tgp_v1_[A-Za-z0-9_-]{20,}", marks=("tgp_v1_",)),
    KeyShape("Vercel key", r"vc[kp]_[A-Za-z0-9]{20,}", marks=("vck_", "vcp_")),
    KeyShape("Cloudflare token", r"cf(?:[au]t|k)_[A-Za-z0-9]{20,}", marks=("cfut_", "cfat_", "cfk_")),
    KeyShape("Z.ai key", r"(?<=[0-9a-f]{32})\.[A-Za-z0-9]{16}(?![A-Za-z0-9])", marks=(".",)),
    KeyShape("Slack token", r"xox[abeprs]-[A-Za-z0-9-]{20,}", marks=("xox",)),
    KeyShape("npm token", r"npm_[A-Za-z0-9]{30,}", marks=("npm_",)),
    KeyShape("Databricks token", r"dapi[0-9a-f]{32}", marks=("dapi",)),
    KeyShape("LangSmith key", r"lsv2_[A-Za-z0-9_]{20,}", marks=("lsv2_",)),
    KeyShape("Tavily key", r"tvly-[A-Za-z0-9-]{20,}", marks=("tvly-",)),
    KeyShape("JSON web token", r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*", marks=("eyJ",)),
    KeyShape(
        "user and password in a URL",
        r"[a-z][a-z0-9+]{1,15}://[^\s/?#@:\"'<>{}\[\]]{1,80}:[^\s/?#@\"'<>{}\[\]]{3,}@",
        marks=("@",),
        word=False,
    ),
    KeyShape("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY", marks=("PRIVATE KEY",), word=False),
)

# The name of a variable that holds a secret, by its words, as in OPENAI_API_KEY.
_SECRET_NAME: Final = re.compile(r"API|AUTH|BEARER|CREDENTIAL|KEY|PASSWORD|PASSWD|SECRET|TOKEN")
_SHORTEST: Final = 12
_HARMLESS: Final = frozenset({"fixture", "test", "test-key"})
# Where something is, not what it is: a file, an address without a password in it.
_PLACE: Final = re.compile(r"(?:~?/|\.{1,2}/|[A-Za-z]:\\)[^\r\n]*|[a-z][a-z0-9+.-]*:/?/?[^@?\s]*/[^@?\s]*", re.DOTALL)


def shapes_in(text: str, long: Sequence[str] | None = None) -> Iterator[tuple[KeyShape, str]]:
    """The secrets that a text has in it, by their look: of each kind the first.

    Args:
        text: what to look at.
        long: its long words, if they are known already.

    Example:
        >>> [shape.name for shape, _ in shapes_in("Use sk-ant-api03-abcdefghijklmnop.")]
        ['Anthropic key', "key of OpenAI's form"]
    """
    joined = "\n".join(words(text) if long is None else long)
    for shape in SHAPES:
        where = joined if shape.word else text
        for mark in shape.marks:
            if mark in where:
                found = shape.pattern.search(where)
                if found is not None:
                    yield shape, found.group()
                break


# Secrets are long words, and most of a text is short ones: a table and a search for a run of x find them 20 times as
# fast as a regular expression does.
_WORD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/.=-")
_TABLE: Final = bytes([ord("x") if byte in _WORD else ord(" ") for byte in range(256)])
_SHORTEST_WORD: Final = b"x" * 20


def words(text: str) -> list[str]:
    """The long words of a text, each once: what keys, tokens and base64 can be in.

    Example:
        >>> words("It is sk-abcdefghijklmnopqrstuvwx, or sk-abcdefghijklmnopqrstuvwx.")
        ['sk-abcdefghijklmnopqrstuvwx', 'sk-abcdefghijklmnopqrstuvwx.']
    """
    data = text.encode(errors="replace")
    mask = data.translate(_TABLE)
    found: dict[bytes, None] = {}
    start = mask.find(_SHORTEST_WORD)
    while start >= 0:
        end = mask.find(b" ", start)
        end = len(mask) if end < 0 else end
        found[data[start:end]] = None
        start = mask.find(_SHORTEST_WORD, end)
    return [word.decode() for word in found]


def named_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Secret values -> the variable that holds each: secret by its name, of 12 characters or more, and no place.

    Example:
        >>> named_secrets({"MISTRAL_API_KEY": "0123456789abcdef", "AUTH_FILE": "/home/me/.auth", "HOME": "/home/me"})
        {'0123456789abcdef': 'MISTRAL_API_KEY'}
    """
    return {
        value: name
        for name, value in environment.items()
        if len(value) >= _SHORTEST
        and value not in _HARMLESS
        and _SECRET_NAME.search(name.upper())
        and not _PLACE.fullmatch(value)
    }


def environment_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables that are secret by their names, as in ``OPENAI_API_KEY``, from 12 characters on."""
    return tuple(named_secrets(environment))
