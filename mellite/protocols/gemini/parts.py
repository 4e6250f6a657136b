"""Events for the parts of a Gemini answer: text, thinking, function calls, hosted tools, signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...values.errors import InvalidProviderOutput, InvalidRequest
from ...values.events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEvent,
    ToolInputError,
    ToolResultEvent,
)
from ...values.messages import ToolCall, ToolResult, ToolValue
from ...values.provider_json import Json, JsonObject
from ..json_values import json_text, wrong
from .calls import Written, is_piece
from .state import State

__all__ = ["MISSES", "close", "finish_call", "on_part"]

#: After so many chunks that held more than text, those of this answer are no longer tried as plain.
MISSES: Final = 8


def on_part(state: State, part: Mapping[str, Json], events: list[Event]) -> None:
    """Put the events that one part stands for after `events`.

    Raises:
        InvalidProviderOutput: if it is not what Gemini's parts look like.
    """
    signature = part.get("thoughtSignature")
    if signature is not None and not isinstance(signature, str):
        raise wrong(signature, "a thoughtSignature", "a text")
    text = part.get("text")
    if text is not None and not isinstance(text, str):
        raise wrong(text, "the text of a part", "a text")
    if not state.started:
        state.begin(events)
    call = part.get("functionCall")
    if call is not None:
        _on_call(state, call, signature, events)
    elif text is None:
        _on_other(state, part, events)
    else:
        kind = "reasoning" if part.get("thought") is True else "text"
        if text or signature:
            _on_text(state, kind, text, signature, events)
        elif kind != state.block:
            state.plain = ""  # an empty part of another kind: what comes now belongs to a new one in the whole answer


def _on_text(state: State, kind: str, text: str, signature: str | None, events: list[Event]) -> None:
    if state.block != kind:
        close(state, events)
        state.block, state.block_id = kind, f"{kind}-{state.blocks[kind]}"
        state.blocks[kind] += 1
        events.append(TextStart(state.block_id) if kind == "text" else ReasoningStart(state.block_id))
    if text:
        state.go_on()
        events.append(TextDelta(text, state.block_id) if kind == "text" else ReasoningDelta(text, state.block_id))
    if signature:
        close(state, events, signature)
    else:
        state.plain = kind if state.misses < MISSES else ""


def close(state: State, events: list[Event], signature: str | None = None) -> None:
    """End the open block, if there is one; a signature belongs to all of it."""
    if state.block:
        metadata = {"google": {"thoughtSignature": signature}} if signature else None
        end = TextEnd if state.block == "text" else ReasoningEnd
        events.append(end(state.block_id, provider_metadata=metadata))
        state.block = state.plain = ""


def _on_call(state: State, call: Json, signature: str | None, events: list[Event]) -> None:
    if not isinstance(call, dict):
        raise wrong(call, "a functionCall", "an object")
    name, arguments = call.get("name"), call.get("args") or {}
    if not isinstance(arguments, dict):
        raise wrong(arguments, "the args of a functionCall", "an object")
    close(state, events)
    pieces = is_piece(call)
    if state.written is not None and not (pieces and (name or state.written.name) == state.written.name):
        finish_call(state, events)
    if pieces and state.written is None and not name:
        return  # the end of a call that is complete already
    state.go_on()
    written = state.written if pieces and state.written is not None else _begun(call, arguments)
    state.written = written
    written.pieces = pieces
    written.signature = written.signature or signature
    written.add(call.get("partialArgs"))
    if not call.get("willContinue"):
        finish_call(state, events)


def _begun(call: Mapping[str, Json], arguments: JsonObject) -> Written:
    """Begin a call, which must say the name of its function."""
    name, id = call.get("name"), call.get("id")
    if not isinstance(name, str) or not name:
        raise wrong(name, "the name of a functionCall", "a text")
    return Written(name, id if isinstance(id, str) and id else None, arguments)


def finish_call(state: State, events: list[Event], *, cut_short: bool = False) -> None:
    """Complete the function call that is being written, if there is one.

    Args:
        cut_short: the answer hit its limit, so that a call which is not whole is not a call.
    """
    call, state.written = state.written, None
    if call is None:
        return
    id = call.id or f"{state.id_stem}_{state.calls}"
    arguments = call.arguments
    try:
        raw = json_text(arguments, what="the arguments")
    except InvalidRequest as error:  # of what was read before, only depth can be the trouble
        msg = f"the args of the functionCall {call.name!r} are nested too deeply"
        raise InvalidProviderOutput(msg) from error
    if cut_short:
        events.append(ToolInputError(id, call.name, raw=raw))
        return
    known: JsonObject = {}
    if call.id:
        known["id"] = call.id  # the provider's own, which it wants to see again
    if call.signature:
        known["thoughtSignature"] = call.signature
    metadata = {"google": known} if known else None
    events.append(ToolCallEvent(ToolCall(id, call.name, arguments, raw_arguments=raw, provider_metadata=metadata)))
    if call.pieces:
        state.merged.add_call(call.whole())
    state.calls += 1


def _on_other(state: State, part: Mapping[str, Json], events: list[Event]) -> None:
    """Take what the provider ran itself, or what is new: noted as it is, to be sent back."""
    if not part.keys() - {"thought"}:
        return
    state.go_on()
    close(state, events)
    metadata = {"google": {"part": dict(part)}}
    code, output, call, answer = (
        part.get(name) for name in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
    )
    if isinstance(code, dict):
        state.code_id = _hosted_id(state, code)
        arguments = {name: value for name, value in code.items() if name != "id"}
        events.append(_hosted_call(state.code_id, "code_execution", arguments, metadata))
    elif isinstance(call, dict):
        arguments = call.get("args") or {}
        events.append(_hosted_call(_hosted_id(state, call), str(call.get("toolType") or "tool"), arguments, metadata))
    elif isinstance(output, dict):
        good = output.get("outcome") in (None, "OUTCOME_OK", 1)  # 1: its number, see enums.py
        value = ToolValue("text" if good else "error", output.get("output") or "")
        id = output.get("id") or state.code_id or _hosted_id(state, output)
        events.append(_hosted_result(str(id), "code_execution", value, metadata))
    elif isinstance(answer, dict):
        value = ToolValue("json", answer.get("response"))
        events.append(_hosted_result(_hosted_id(state, answer), str(answer.get("toolType") or "tool"), value, metadata))
    else:
        id = f"text-{state.blocks['text']}"
        state.blocks["text"] += 1
        events += [TextStart(id), TextEnd(id, provider_metadata=metadata)]


def _hosted_id(state: State, value: Mapping[str, Json]) -> str:
    id = value.get("id")
    if isinstance(id, str) and id:
        return id
    state.hosted += 1
    return f"{state.id_stem}_hosted_{state.hosted}"


def _hosted_call(id: str, name: str, arguments: Json, metadata: Mapping[str, Json]) -> ToolCallEvent:
    return ToolCallEvent(ToolCall(id, name, arguments, provider_executed=True, provider_metadata=metadata))


def _hosted_result(id: str, name: str, value: ToolValue, metadata: Mapping[str, Json]) -> ToolResultEvent:
    return ToolResultEvent(ToolResult(id, name, value, provider_executed=True, provider_metadata=metadata))
