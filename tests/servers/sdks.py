"""The official SDKs, each asked the same question and its answer brought into one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import anthropic
import cohere
import openai
from google import genai
from google.genai import errors as google_errors, types as google

from tests.servers.asking import RESULT, WEATHER_TOOL, Asked, Said
from tests.servers.running import KEY

__all__ = ["SDKS"]

LONGEST: Final = 600
"""Tokens that an answer may have."""

PATIENCE: Final = 600
"""Seconds that an SDK and mellite wait for an answer: a model on a busy processor gives a hundred of them slowly."""


def _turns(asked: Asked) -> list[dict[str, Any]]:
    """The conversation in the words of Chat Completions."""
    turns: list[dict[str, Any]] = []
    if asked.before is not None:
        turns += [
            {"role": "user", "content": asked.before[0]},
            {"role": "assistant", "content": asked.before[1]},
        ]
    turns.append({"role": "user", "content": asked.text})
    if asked.called is not None:
        function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
        turns.append(
            {"role": "assistant", "tool_calls": [{"id": asked.called, "type": "function", "function": function}]}
        )
        turns.append({"role": "tool", "tool_call_id": asked.called, "content": RESULT})
    return turns


def _calls(found: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple([(name, json.loads(given) if isinstance(given, str) else dict(given or {})) for name, given in found])


# --- OpenAI ---------------------------------------------------------------------------------------


def _openai(base: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE)


def chat(base: str, model: str, asked: Asked, *, stream: bool) -> Said:
    """OpenAI's SDK, Chat Completions."""
    options: dict[str, Any] = {"model": model, "messages": _turns(asked), "max_tokens": LONGEST}
    options["temperature"] = "hot" if asked.broken else 0
    if asked.tools:
        options["tools"] = [{"type": "function", "function": WEATHER_TOOL}]
    client = _openai(base)
    try:
        if stream:
            return _streamed_chat(
                client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
            )
        answer = client.chat.completions.create(**options)
    except openai.APIStatusError as error:
        return Said(status=error.status_code)
    choice, usage = answer.choices[0], answer.usage
    asked_for = choice.message.tool_calls or []
    return Said(
        text=choice.message.content or "",
        thinking=getattr(choice.message, "reasoning_content", None) or "",
        calls=_calls((call.function.name, call.function.arguments) for call in asked_for if call.type == "function"),
        reason=choice.finish_reason,
        taken=usage and usage.prompt_tokens,
        given=usage and usage.completion_tokens,
        call_id=asked_for[0].id if asked_for else None,
    )


def _streamed_chat(chunks: Iterable[Any]) -> Said:
    text, thinking, reason, usage = "", "", None, None
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thinking += getattr(choice.delta, "reasoning_content", None) or ""
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, ["", "", ""])
                known[0] += call.id or ""
                known[1] += call.function.name or ""
                known[2] += call.function.arguments or ""
    return Said(
        text=text,
        thinking=thinking,
        calls=_calls((name, arguments) for _, name, arguments in calls.values()),
        reason=reason,
        taken=usage and usage.prompt_tokens,
        given=usage and usage.completion_tokens,
        call_id=next((id for id, *_ in calls.values()), None),
    )


def _items(asked: Asked) -> list[dict[str, Any]]:
    """The conversation as input items of Responses."""
    items: list[dict[str, Any]] = []
    for turn in _turns(asked):
        called = [
            {"type": "function_call", "call_id": call["id"], **call["function"]} for call in turn.get("tool_calls", ())
        ]
        items += called
        if turn["role"] == "tool":
            items.append({"type": "function_call_output", "call_id": turn["tool_call_id"], "output": turn["content"]})
        elif turn["role"] == "assistant" and turn.get("content"):
            part = {"type": "output_text", "text": turn["content"], "annotations": []}
            items.append(
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            )
        elif turn["role"] == "user":
            items.append({"type": "message", "role": "user", "content": turn["content"]})
    return items


def responses(base: str, model: str, asked: Asked, *, stream: bool) -> Said:
    """OpenAI's SDK, Responses."""
    options: dict[str, Any] = {"model": model, "input": _items(asked), "max_output_tokens": LONGEST, "store": False}
    options["temperature"] = "hot" if asked.broken else 0
    if asked.tools:
        options["tools"] = [{"type": "function", "strict": False, **WEATHER_TOOL}]
    client = _openai(base)
    text = ""
    try:
        if stream:
            answer = None
            for event in client.responses.create(**options, stream=True):
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type in ("response.completed", "response.incomplete"):
                    answer = event.response
            if answer is None:
                return Said(text=text, reason="no terminal event")
        else:
            answer = client.responses.create(**options, stream=False)
            text = answer.output_text
    except openai.APIStatusError as error:
        return Said(status=error.status_code)
    asked_for = [item for item in answer.output if item.type == "function_call"]
    thinking = [
        part for item in answer.output if item.type == "reasoning" for part in (item.content or item.summary or [])
    ]
    return Said(
        text=text,
        thinking="".join([part.text for part in thinking]),
        calls=_calls((item.name, item.arguments) for item in asked_for),
        reason=answer.status,
        taken=answer.usage and answer.usage.input_tokens,
        given=answer.usage and answer.usage.output_tokens,
        call_id=asked_for[0].call_id if asked_for else None,
    )


# --- Anthropic ------------------------------------------------------------------------------------


def _blocks(asked: Asked) -> list[dict[str, Any]]:
    """The conversation in the words of Messages."""
    turns: list[dict[str, Any]] = []
    for turn in _turns(asked):
        if turn["role"] == "tool":
            block = {"type": "tool_result", "tool_use_id": turn["tool_call_id"], "content": turn["content"]}
            turns.append({"role": "user", "content": [block]})
        elif "tool_calls" in turn:
            calls = [
                {"type": "tool_use", "id": call["id"], "name": "get_weather", "input": {"city": "Paris"}}
                for call in turn["tool_calls"]
            ]
            turns.append({"role": "assistant", "content": calls})
        else:
            turns.append(turn)
    return turns


def messages(base: str, model: str, asked: Asked, *, stream: bool) -> Said:
    """Anthropic's SDK."""
    client = anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0, timeout=PATIENCE)
    options: dict[str, Any] = {"model": model, "messages": _blocks(asked), "max_tokens": LONGEST}
    options["extra_body"] = {"temperature": "hot" if asked.broken else 0}
    if asked.tools:
        tool = {name: value for name, value in WEATHER_TOOL.items() if name != "parameters"}
        options["tools"] = [{**tool, "input_schema": WEATHER_TOOL["parameters"]}]
    try:
        if stream:
            with client.messages.stream(**options) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**options)
    except anthropic.APIStatusError as error:
        return Said(status=error.status_code)
    asked_for = [block for block in answer.content if block.type == "tool_use"]
    return Said(
        text="".join([block.text for block in answer.content if block.type == "text"]),
        thinking="".join([block.thinking for block in answer.content if block.type == "thinking"]),
        calls=_calls((block.name, block.input) for block in asked_for),
        reason=answer.stop_reason,
        taken=sum(
            [
                answer.usage.input_tokens,
                answer.usage.cache_read_input_tokens or 0,
                answer.usage.cache_creation_input_tokens or 0,
            ]
        ),
        given=answer.usage.output_tokens,
        call_id=asked_for[0].id if asked_for else None,
    )


# --- Google ---------------------------------------------------------------------------------------


def _contents(asked: Asked) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    for turn in _turns(asked):
        if turn["role"] == "tool":
            part = {"function_response": {"name": "get_weather", "response": {"output": turn["content"]}}}
            contents.append({"role": "user", "parts": [part]})
        elif "tool_calls" in turn:
            part = {"function_call": {"name": "get_weather", "args": {"city": "Paris"}}}
            contents.append({"role": "model", "parts": [part]})
        else:
            role = "model" if turn["role"] == "assistant" else "user"
            contents.append({"role": role, "parts": [{"text": turn["content"]}]})
    return contents


def gemini(base: str, model: str, asked: Asked, *, stream: bool) -> Said:
    """Google's SDK, pointed at another base URL."""
    client = genai.Client(api_key=KEY, http_options=google.HttpOptions(base_url=base, api_version="v1beta"))
    config: dict[str, Any] = {"max_output_tokens": LONGEST, "temperature": 0}
    if asked.tools:
        declared = {
            "name": "get_weather",
            "description": WEATHER_TOOL["description"],
            "parameters_json_schema": WEATHER_TOOL["parameters"],
        }
        config["tools"] = [{"function_declarations": [declared]}]
        config["automatic_function_calling"] = {"disable": True}
    options: dict[str, Any] = {"model": model, "contents": _contents(asked), "config": config}
    try:
        if stream:
            answers = list(client.models.generate_content_stream(**options))
        else:
            answers = [client.models.generate_content(**options)]
    except google_errors.APIError as error:
        return Said(status=error.code)
    found = [found for answer in answers for found in answer.candidates or []]
    parts = [part for each in found for part in (each.content and each.content.parts) or []]
    usage = next((answer.usage_metadata for answer in reversed(answers) if answer.usage_metadata), None)
    reasons = [each.finish_reason for each in found if each.finish_reason]
    return Said(
        text="".join([part.text for part in parts if part.text and not part.thought]),
        thinking="".join([part.text for part in parts if part.text and part.thought]),
        calls=_calls((part.function_call.name, part.function_call.args) for part in parts if part.function_call),
        reason=reasons[-1].value if reasons else None,
        taken=usage and usage.prompt_token_count,
        given=usage and usage.candidates_token_count,
        call_id="call-1",
    )


# --- Cohere ---------------------------------------------------------------------------------------


def cohere_chat(base: str, model: str, asked: Asked, *, stream: bool) -> Said:
    """Cohere's SDK, Chat version 2."""
    client = cohere.ClientV2(api_key=KEY, base_url=base, timeout=PATIENCE)
    options: dict[str, Any] = {"model": model, "messages": _turns(asked), "max_tokens": LONGEST, "temperature": 0}
    if asked.tools:
        options["tools"] = [{"type": "function", "function": WEATHER_TOOL}]
    try:
        if stream:
            return _streamed_cohere(client.chat_stream(**options))
        answer = client.chat(**options)
    except cohere.core.ApiError as error:
        return Said(status=error.status_code)
    blocks, asked_for = answer.message.content or [], answer.message.tool_calls or []
    tokens = answer.usage.tokens if answer.usage else None
    return Said(
        text="".join([block.text for block in blocks if block.type == "text"]),
        thinking="".join([block.thinking for block in blocks if block.type == "thinking"]),
        calls=_calls((call.function.name, call.function.arguments) for call in asked_for),
        reason=answer.finish_reason,
        taken=_whole(tokens.input_tokens) if tokens else None,
        given=_whole(tokens.output_tokens) if tokens else None,
        call_id=asked_for[0].id if asked_for else None,
    )


def _streamed_cohere(events: Iterable[Any]) -> Said:
    text, thinking, reason, tokens = "", "", None, None
    calls: dict[int, list[str]] = {}
    for event in events:
        if event.type in ("content-start", "content-delta"):
            text += event.delta.message.content.text or ""
            thinking += event.delta.message.content.thinking or ""
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            calls[event.index] = [call.id, call.function.name, call.function.arguments or ""]
        elif event.type == "tool-call-delta":
            calls[event.index][2] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            reason = event.delta.finish_reason
            tokens = event.delta.usage.tokens if event.delta.usage else None
    return Said(
        text=text,
        thinking=thinking,
        calls=_calls((name, arguments) for _, name, arguments in calls.values()),
        reason=reason,
        taken=_whole(tokens.input_tokens) if tokens else None,
        given=_whole(tokens.output_tokens) if tokens else None,
        call_id=next((id for id, *_ in calls.values()), None),
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)


SDKS: Final[Mapping[str, Callable[..., Said]]] = {
    "anthropic": messages,
    "cohere": cohere_chat,
    "google": gemini,
    "openai": responses,
    "openai-chat": chat,
}
"""mellite's provider -> the official SDK's way to ask the same."""
