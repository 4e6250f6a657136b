"""Count or estimate how many tokens something has, before it is sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from .errors import InvalidRequest
from .messages import (
    Deferred,
    Document,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    WholeAnswer,
)
from .picture_size import size_of
from .prompts import messages_of
from .public_names import publish
from .request import Prompt, Request
from .tokenizers import counted
from .tools import ToolDefinition, ToolLike, definition_of

__all__ = ["TokenCount", "count_tokens"]


class TokenCount(int):
    """A number of tokens, and whether it is exact or an estimate.

    Attributes:
        exact: whether the model's own tokenizer counted, or it is an estimate.
    """

    exact: bool

    def __new__(cls, tokens: int, *, exact: bool = False) -> Self:
        """Make a count."""
        count = super().__new__(cls, tokens)
        count.exact = exact
        return count

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, bool]]:
        return (int(self),), {"exact": self.exact}


def count_tokens(what: Prompt | ToolLike, *, model: str | None = None) -> TokenCount:
    """Return the number of input tokens of a text or request: exact for a bare text if possible, else an estimate.

    With ``mellite[tokens]`` a str is counted by the tokenizer of an OpenAI model, which takes 0.3 s to load the first
    time. Everything else is estimated from the kinds of characters: for recorded answers this is off by 5 % on average,
    where characters divided by four are off by 19 %. Messages count with their markup, images by their area, tools by
    their schemas, plus what a provider is known to put before them. See ``docs/how-to/count-tokens.md``.

    Args:
        what: a text; or a part, message, prompt or Request, as `mellite.generate` takes it; or a tool.
        model: the model whose tokens to count, with or without a provider in front; by default a Request's own.

    Raises:
        InvalidRequest: if `what` is not a prompt, or a thunk in it has not settled.

    Example:
        >>> count_tokens("The sky is blue by day, and black at night.")
        12
        >>> count_tokens("Hello.").exact
        False
    """
    if model is not None and not isinstance(model, str):
        msg = f"option 'model' must be a str, not {model!r}"
        raise InvalidRequest(msg, parameter="model")
    if isinstance(what, Request):
        model = model or what.model
        return TokenCount(math.ceil(_request(what) * _factor(model) + _added(model, has_tools=bool(what.tools))))
    if isinstance(what, str):
        exactly = counted(what, model) if model is not None else None
        if exactly is not None:
            return TokenCount(exactly[0], exact=exactly[1])
        tokens = _text(what)
    elif isinstance(what, ToolDefinition) or hasattr(what, "definition") or callable(what):
        tokens = _tool(definition_of(what))
    elif isinstance(what, Part):
        tokens = _part(what)
    else:
        tokens = sum([_message(message) for message in messages_of(what)])
    return TokenCount(math.ceil(tokens * _factor(model)))


def _factor(model: str | None) -> float:
    return _ANTHROPIC if model is not None and "claude" in model else 1


def _added(model: str | None, *, has_tools: bool) -> int:
    """Return how many tokens are put before what is sent."""
    for name, always, with_tools in _BEFORE:
        if model is not None and name in model:
            return always + (with_tools if has_tools else 0)
    return 0


#: How many tokens Anthropic's models have for one of others: the median over recorded answers.
_ANTHROPIC: Final = 1.15

#: A part of models' names -> the tokens that stand before every request, and the instructions before tools: about the
#: medians over recorded requests.
_BEFORE: Final = (("claude", 0, 500), ("nova", 0, 350), ("gpt-oss", 65, 40), ("llama-4", 0, 650), ("llama-3", 30, 140))

#: What marks a message, and where the answer begins.
_PER_MESSAGE: Final = 4
_PER_REQUEST: Final = 3
_PER_TOOL: Final = 8

#: Providers show a model the schema of a tool in a shorter form than JSON.
_SCHEMA: Final = 0.6

#: An image of unknown size, a second of sound or film, and a page of a document are in the hundreds everywhere.
_IMAGE: Final = 800
_MOST_OF_AN_IMAGE: Final = 1600
_PIXELS_PER_TOKEN: Final = 750
_BYTES_PER_TOKEN: Final[Mapping[str, int]] = {"Audio": 500, "Video": 1000, "Document": 100}
_UNKNOWN_MEDIA: Final = 2000

_PIECES: Final = re.compile(
    r"([A-Za-z]+)"
    r"|([0-9]+)"
    r"|([぀-ヿ㐀-鿿가-힯豈-﫿])"
    r"|([^\W\d_]+)"
    r"|(\n\s*|[ \t\r\f\v]{2,})"
    r"|([!-/:-@\[-`{-~]+)"
    r"|(\S)"
)
_WORD, _NUMBER, _IDEOGRAPH, _OTHER_WORD, _SPACE, _PUNCTUATION = range(1, 7)

#: Letters of a word that is one token in vocabularies of 100,000 and more; what is longer has one more for each five.
_SHORT_WORD: Final = 8


def _text(text: str) -> float:
    """Return the estimate for a text."""
    tokens = 0.0
    for piece in _PIECES.finditer(text):
        kind, length = piece.lastindex, piece.end() - piece.start()
        if kind == _WORD:
            tokens += 1 if length <= _SHORT_WORD else 1 + (length - _SHORT_WORD) / 5
        elif kind == _NUMBER:
            tokens += -(-length // 3)
        elif kind == _IDEOGRAPH:
            tokens += 0.85
        elif kind == _OTHER_WORD:
            tokens += max(1, length / 2.7)
        elif kind == _SPACE:
            tokens += 1
        elif kind == _PUNCTUATION:
            tokens += 0.9 + (length - 1) * 0.4
        else:
            tokens += 1.5
    return tokens


def _request(request: Request) -> float:
    tokens: float = _PER_REQUEST + sum([_message(message) for message in request.messages])
    tokens += sum([_PER_MESSAGE + _text(part.text) for part in request.system])
    return tokens + sum([_tool(tool) for tool in request.tools])


def _message(message: Message) -> float:
    whole = WholeAnswer.in_place_of(message)
    if whole is not None:
        return sum([_message(each) for each in whole.deferred_messages()])
    return _PER_MESSAGE + sum([_part(part) for part in message.content])


def _tool(tool: ToolDefinition) -> float:
    return _PER_TOOL + _text(tool.name) + _text(tool.description) + _SCHEMA * _json(tool.input_schema)


def _part(part: object) -> float:
    if isinstance(part, (Text, Reasoning)):
        return _text(part.text)
    if isinstance(part, Deferred):
        return _text(part.deferred_text())
    if isinstance(part, ToolCall):
        return _PER_TOOL + _text(part.name) + _json(part.raw_arguments or part.arguments)
    if isinstance(part, ToolResult):
        return _PER_TOOL + _result(part.result.value)
    return _media(part) if isinstance(part, Media) else _json(part)


def _result(value: Any) -> float:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(x, (Text, Media)) for x in value):
        return sum([_part(part) for part in value])
    return _json(value)


def _json(value: object) -> float:
    return _text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _media(part: Media) -> float:
    if isinstance(part, Image):
        size = None if part.data is None else size_of(part.data)
        return _IMAGE if size is None else min(max(size[0] * size[1] / _PIXELS_PER_TOKEN, 85), _MOST_OF_AN_IMAGE)
    if isinstance(part, Document) and part.data is not None and (part.media_type or "").startswith("text/"):
        return _text(part.data.decode(errors="replace"))
    return _UNKNOWN_MEDIA if part.data is None else len(part.data) / _BYTES_PER_TOKEN[type(part).__name__]


publish(globals(), "mellite", "count_tokens", "TokenCount")
