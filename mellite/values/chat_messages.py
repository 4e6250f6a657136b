"""Read messages as OpenAI's Chat Completions writes them, dicts with a role, and ("user", "Hello.") pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from .errors import InvalidRequest
from .messages import (
    Audio,
    CacheHint,
    Content,
    Document,
    Image,
    Message,
    ProviderMetadata,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from .provider_json import Json
from .spelling import did_you_mean

__all__ = ["conversation"]

_KEYS: Final = (
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "name",
    "refusal",
    "reasoning_content",
    "reasoning",
    "id",
)

#: What other libraries call these keys.
_OTHER_KEYS: Final = {
    "call_id": "tool_call_id",
    "message": "content",
    "parts": "content",
    "text": "content",
    "toolCallId": "tool_call_id",
    "toolCalls": "tool_calls",
    "type": "role",
}

#: What an answer of the API also holds, and nothing of which a model would read again.
_IGNORED: Final = frozenset({"annotations"})

#: Keys that exist, and cannot be said in a message of mellite.
_REFUSED: Final = {
    "audio": "sound that a model made cannot be sent back; leave it out",
    "function_call": "that is the form before tools: write it as 'tool_calls'",
}


def conversation(items: Sequence[Json]) -> tuple[Message, ...]:
    """Return the messages that dicts, pairs and `Message` objects stand for, in order.

    A dict is a message of Chat Completions: ``role`` and ``content``, a str or a list of content parts (``text``,
    ``image_url``, ``input_audio``, ``file``, ``video_url``; parts of mellite and thunks may stand among them), and
    for tools ``tool_calls`` and ``tool_call_id``. Also an answer of the API, dumped: what is None in it, and its
    ``annotations``, are left out. A pair is a role and a content.

    Raises:
        InvalidRequest: for an unknown role, key or kind of content; it names the index.

    Example:
        >>> asked = {"role": "user", "content": [{"type": "text", "text": "What is 6 times 7?"}]}
        >>> [message.role for message in conversation([("system", "Be brief."), asked, Message.assistant("42")])]
        ['system', 'user', 'assistant']
    """
    names: dict[str, str] = {}  # of tools, by the id of the call: a result need not repeat it
    messages = []
    for index, item in enumerate(items):
        try:
            message = item if isinstance(item, Message) else _message(item, names)
        except InvalidRequest as error:
            msg = f"message {index} of the prompt: {error}"
            raise InvalidRequest(msg, parameter="prompt") from None
        names.update((call.id, call.name) for call in message.tool_calls)
        messages.append(message)
    return tuple(messages)


def _message(item: Json, names: Mapping[str, str]) -> Message:
    if isinstance(item, Mapping):
        return _of_dict(item, names)
    if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
        _refuse(
            f"a message is a Message, a dict with a role and a content, or a pair (role, content), not {item!r:.80}"
        )
    return Message(item[0], _content(item[1], "content"))


def _of_dict(item: Mapping[Json, Json], names: Mapping[str, str]) -> Message:
    given = {key: value for key, value in item.items() if value is not None and key not in _IGNORED}
    for key in given:
        if key in _REFUSED:
            _refuse(f"key {key!r}: {_REFUSED[key]}")
        if key not in _KEYS:
            said = did_you_mean(str(key), _KEYS, aliases=_OTHER_KEYS, otherwise="the keys are")
            _refuse(f"there is no key {key!r}; {said}")
    if "role" not in given:
        _refuse("it has no 'role'; a message is written {'role': 'user', 'content': ...}")
    role, id = Message(given["role"], ()).role, given.get("id")  # a Message checks its role
    content = _content(given["content"], "content") if "content" in given else []
    if role == "tool":
        return Message("tool", _result(given, content, names), id=id)
    for key in ("tool_call_id", "name"):
        if key in given:
            _refuse(f"key {key!r} belongs to messages of the role 'tool'; say in the text what the model is to know")
    if role != "assistant":
        if "tool_calls" in given:
            _refuse(f"key 'tool_calls' belongs to messages of the role 'assistant', not {role!r}")
        if not content and "content" not in given:
            _refuse("it has no 'content'")
        return Message(role, content, id=id)
    return Message("assistant", _said(given, content), id=id)


def _said(given: Mapping[str, Json], content: list[Content]) -> list[Content]:
    """Return the parts of an assistant's message: thinking, text, tool calls."""
    thinking = given.get("reasoning_content", given.get("reasoning"))
    parts: list[Content] = [Reasoning(_text(thinking, "reasoning_content"))] if thinking else []
    calls = _list(given.get("tool_calls", []), "tool_calls")
    parts += [part for part in content if part != "" or not calls]  # servers send "" beside calls
    if given.get("refusal"):
        parts.append(Text(_text(given["refusal"], "refusal")))
    parts += [_call(call, f"tool_calls[{index}]") for index, call in enumerate(calls)]
    if not parts and "content" not in given:
        _refuse("it has no 'content' and no 'tool_calls'")
    return parts


def _call(value: Json, where: str) -> ToolCall:
    call = _dict(value, where)
    if call.get("type", "function") != "function" or "function" not in call:
        _refuse(f"{where} must be {{'id': ..., 'type': 'function', 'function': ...}}, not of type {call.get('type')!r}")
    function = _dict(call["function"], f"{where}.function")
    arguments = function.get("arguments", "")
    raw = arguments if isinstance(arguments, str) else None
    extra = call.get("extra_content")
    return ToolCall(
        _text(call.get("id"), f"{where}.id"),
        _text(function.get("name"), f"{where}.function.name"),
        arguments if raw is None else _decoded(raw),
        raw_arguments=raw,
        provider_metadata=None if extra is None else {"openai": {"extra_content": extra}},
    )


def _decoded(raw: str) -> Json:
    """Return the object that a text of arguments stands for; None if it is not JSON, {} if there is no text."""
    if not raw.strip():
        return {}
    import json

    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _result(given: Mapping[str, Json], content: list[Content], names: Mapping[str, str]) -> list[Content]:
    if all(isinstance(part, ToolResult) for part in content) and content:
        return content
    if "tool_call_id" not in given:
        _refuse("a message of the role 'tool' needs 'tool_call_id', the id of the call that it answers")
    id = _text(given["tool_call_id"], "tool_call_id")
    name = given.get("name", names.get(id, ""))
    parts = [Text(part) if isinstance(part, str) else part for part in content]
    plain = len(parts) == 1 and isinstance(content[0], str)
    return [ToolResult(id, _text(name, "name"), content[0] if plain else parts or "")]


# Content


def _content(value: Json, where: str) -> list[Content]:
    """Return the parts of a content: a str, a part, or a list of dicts and parts."""
    if isinstance(value, (list, tuple)):
        return [_piece(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return [_piece(value, where)]


def _piece(value: Json, where: str) -> Content:
    if not isinstance(value, Mapping):
        return value  # type: ignore[no-any-return]  # a Message checks its parts
    kind = value.get("type")
    read = _PIECES.get(kind) if isinstance(kind, str) else None
    if read is None:
        said = did_you_mean(str(kind), _PIECES, otherwise="the types are")
        _refuse(f"{where} is of the type {kind!r}, which is not content of a message; {said}")
    return read(value, where)


def _text_piece(value: Mapping[str, Json], where: str) -> Content:
    text = _text(value.get("text"), f"{where}.text")
    mark = value.get("cache_control")
    if mark is None:
        return Text(text)
    hour = _dict(mark, f"{where}.cache_control").get("ttl") == "1h"
    return Text(text, cache=CacheHint(ttl_seconds=3600 if hour else None))


def _refusal(value: Mapping[str, Json], where: str) -> Content:
    return Text(_text(value.get("refusal"), f"{where}.refusal"))


def _image(value: Mapping[str, Json], where: str) -> Content:
    given = value.get("image_url")
    picture = (
        {"url": given, "detail": value.get("detail")} if isinstance(given, str) else _dict(given, f"{where}.image_url")
    )
    url = _text(picture.get("url"), f"{where}.image_url.url")
    detail = picture.get("detail")
    noted: ProviderMetadata | None = None if detail is None else {"openai": {"detail": detail}}
    if not url.startswith("data:"):
        return Image(url=url, provider_metadata=noted)
    image = Image.from_base64(url)
    return Image(image.data, media_type=image.media_type, provider_metadata=noted)


def _video(value: Mapping[str, Json], where: str) -> Content:
    given = value.get("video_url")
    url = given if isinstance(given, str) else _dict(given, f"{where}.video_url").get("url")
    url = _text(url, f"{where}.video_url.url")
    return Video.from_base64(url) if url.startswith("data:") else Video(url=url)


def _audio(value: Mapping[str, Json], where: str) -> Content:
    sound = _dict(value.get("input_audio"), f"{where}.input_audio")
    form = _text(sound.get("format"), f"{where}.input_audio.format")
    data = _text(sound.get("data"), f"{where}.input_audio.data")
    return Audio.from_base64(data, media_type={"mp3": "audio/mpeg"}.get(form, f"audio/{form}"))


def _file(value: Mapping[str, Json], where: str) -> Content:
    file = value if value.get("type") == "input_file" else _dict(value.get("file"), f"{where}.file")
    name = file.get("filename")
    if file.get("file_url") is not None:
        return Document(url=_text(file["file_url"], f"{where}.file_url"), filename=name)
    if file.get("file_data") is None:
        _refuse(f"{where}: a file is given with its 'file_data', as a data URL; mellite sends no ids of stored files")
    return Document.from_base64(_text(file["file_data"], f"{where}.file.file_data"), filename=name)


_PIECES: Final[dict[str, Callable[[Mapping[str, Json], str], Content]]] = {
    "file": _file,
    "image_url": _image,
    "input_audio": _audio,
    "input_file": _file,
    "input_image": _image,
    "input_text": _text_piece,
    "output_text": _text_piece,
    "refusal": _refusal,
    "text": _text_piece,
    "video_url": _video,
}


# Values


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        _refuse(f"{where} must be a str, not {value!r:.80}")
    return value


def _dict(value: Json, where: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        _refuse(f"{where} must be a dict, not {value!r:.80}")
    return value


def _list(value: Json, where: str) -> Sequence[Json]:
    if not isinstance(value, (list, tuple)):
        _refuse(f"{where} must be a list, not {value!r:.80}")
    return value


def _refuse(msg: str) -> NoReturn:
    raise InvalidRequest(msg, parameter="prompt")
