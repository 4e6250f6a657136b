"""Read the JSON of an answer, one stream event or all of it, unless it stands for an error."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from typing import Final

from ..values.errors import InvalidProviderOutput, MelliteError, UnknownProviderError
from ..values.provider_json import Json, JsonObject
from .answer_state import AnswerState
from .error_answers import failure_of
from .error_bodies import is_answer, is_error
from .json_values import decode_json, wrong

__all__ = ["answered", "decoded", "is_done", "read_event", "read_whole"]

_LONGEST_MARK: Final = 120  # bytes


def is_done(data: bytes) -> bool:
    """Tell whether a stream event is ``[DONE]``: OpenAI's end mark, which gateways send in other protocols too.

    Example:
        >>> is_done(b" [DONE] "), is_done(b"{}")
        (True, False)
    """
    return len(data) < _LONGEST_MARK and data.strip(_AROUND_DONE) == b"[DONE]"


_AROUND_DONE: Final = codecs.BOM_UTF8 + b' \t\r\n"'


def read_event(state: AnswerState, data: bytes, event: str, *, known: Collection[str]) -> JsonObject | None:
    """Decode the data of one stream event: a JSON object that is not an error, or None for ``null``, as gateways send.

    Args:
        state: where the parser stands; an error gets the usage so far.
        data: the JSON; or plain words, as some servers send in place of an error.
        event: the name of the event; one called ``error`` is an error whatever it holds.
        known: the fields of an answer; see `is_error`.

    Raises:
        InvalidProviderOutput: if it is not a JSON object.
        MelliteError: of the kind that an error inside the stream stands for.
    """
    try:
        value = decoded(data, event)
        return None if value is None else answered(value, "a stream event", event=event, known=known)
    except MelliteError as error:
        error.usage = state.counts
        raise


def decoded(data: bytes, event: str = "message", *, whole: bool = False) -> Json:
    """Decode the data of one stream event, or, if it is `whole`, the body of an answer in one piece.

    Raises:
        InvalidProviderOutput: if it is not JSON.
        MelliteError: of the kind that plain words stand for, where they say what went wrong.
    """
    try:
        return decode_json(data)
    except InvalidProviderOutput:
        text = data.decode("utf-8", "replace").strip()
        if event == "error" or text[:1].isalpha():
            error = failure_of(text, whole=whole)
            if event == "error" or not isinstance(error, UnknownProviderError):
                raise error from None
        raise


def read_whole(body: bytes, *, known: Collection[str] = ()) -> Json:
    """Decode an answer that came in one piece and is not an error.

    Raises:
        InvalidProviderOutput: if it is not JSON.
        MelliteError: of the kind that an error, sent with status 200, stands for.
    """
    value = decoded(body, whole=True)
    if type(value) is dict or isinstance(value, str) or _is_list_of_errors(value):
        return answered(value, "the answer", known=known, whole=True)
    return value


def answered(
    value: Json, what: str, *, event: str = "message", known: Collection[str] = (), whole: bool = False
) -> JsonObject:
    """Return a decoded object if it is a JSON object and no error; bare text, or a list of errors, is an error.

    Raises:
        InvalidProviderOutput: if it is something else; `what` says what it should have been.
        MelliteError: of the kind that the error stands for.
    """
    if isinstance(value, str) and (inside := _object_in(value)) is not None:
        if event == "error" or is_error(inside, known=known, whole=whole):
            raise failure_of(inside, whole=whole)
        msg = f"{what} is a text with JSON in it, not the JSON itself: the server encodes it twice"
        raise InvalidProviderOutput(msg)
    if type(value) is not dict:
        if (isinstance(value, str) and _WORD.search(value) is not None) or _is_list_of_errors(value):
            raise failure_of(value, whole=whole)
        raise wrong(value, what, "a JSON object")
    if event == "error" or is_error(value, known=known, whole=whole):
        raise failure_of(value, whole=whole)
    if "message" in value and isinstance(value["message"], str) and "type" not in value and not is_answer(value, known):
        error = failure_of(value)  # Kong: {"message": "API rate limit exceeded"}
        if not isinstance(error, UnknownProviderError):
            raise error
    return value


def _object_in(text: str) -> JsonObject | None:
    """Return the JSON object that a text is, as servers send that hand finished JSON to what encodes it; else None."""
    if text.lstrip()[:1] != "{":
        return None
    try:
        value = decode_json(text)
    except InvalidProviderOutput:
        return None
    return value if type(value) is dict else None


def _is_list_of_errors(value: Json) -> bool:
    """Tell whether a value is what Vertex AI sends where an answer that is a list fails."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and bool(value[0].get("error"))


_WORD: Final = re.compile(r"\w{3}")
