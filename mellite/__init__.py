"""mellite: model outputs that have not been generated yet, and everything people do with them.

General layout, top to bottom; arrows point down only, and a test enforces it (docs/design.md walks it):

    cli, demo                                   edges
    sampling, streaming, requirements           many thunks: tried again, checked while they stream, judged
    backends/                                   live, cassette, fake: they only yield events
    cassettes/                                  recorded traffic
    providers/                                  names, URLs and environment variables
    protocols/                                  a vendor's JSON
    wire/                                       bytes: routes, transports, framing, auth
    thunk, calling, generation, loops           the thunk
    fold, chunking                              pure functions of values
    errors, messages, request, events           words

Every public name loads its module when it is first used, so that ``import mellite`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import backends, cassettes, errors, events, requirements, streaming
    from .asking import generate
    from .backends.resolve import backend
    from .calling import Backend
    from .calls import CallInfo
    from .chunking import chunk
    from .errors import MelliteError
    from .gathering import Gathering, Results, as_completed, gather
    from .messages import (
        Audio,
        CacheHint,
        Document,
        Image,
        Message,
        Reasoning,
        Text,
        ToolCall,
        ToolResult,
        ToolValue,
        Video,
    )
    from .mochi import mochi_llm_generate, mochi_llm_stream
    from .records import GenerateLog, GenerationMetadata, RawProviderResponse
    from .request import CachePolicy, HttpOptions, Options, Request, Timeouts, ToolChoice, ToolDefinition
    from .requirements import Requirement, ValidationResult, check
    from .sampling import (
        BestOfN,
        BudgetForcing,
        Escalate,
        Fallback,
        Hedge,
        MajorityVote,
        MinimumBayesRisk,
        ModelFriendlyRepair,
        MultiTurnRepair,
        RejectionSampling,
        RepairSampling,
        SamplingResult,
    )
    from .sharing import share
    from .streaming import stream
    from .thunk import ModelOutputThunk
    from .usage import Usage

__all__ = [
    "Audio",
    "Backend",
    "BestOfN",
    "BudgetForcing",
    "CacheHint",
    "CachePolicy",
    "CallInfo",
    "Document",
    "Escalate",
    "Fallback",
    "Gathering",
    "GenerateLog",
    "GenerationMetadata",
    "Hedge",
    "HttpOptions",
    "Image",
    "MajorityVote",
    "MelliteError",
    "Message",
    "MinimumBayesRisk",
    "ModelFriendlyRepair",
    "ModelOutputThunk",
    "MultiTurnRepair",
    "Options",
    "RawProviderResponse",
    "Reasoning",
    "RejectionSampling",
    "RepairSampling",
    "Request",
    "Requirement",
    "Results",
    "SamplingResult",
    "Text",
    "Timeouts",
    "ToolCall",
    "ToolChoice",
    "ToolDefinition",
    "ToolResult",
    "ToolValue",
    "Usage",
    "ValidationResult",
    "Video",
    "__version__",
    "as_completed",
    "backend",
    "backends",
    "cassettes",
    "check",
    "chunk",
    "errors",
    "events",
    "gather",
    "generate",
    "mochi_llm_generate",
    "mochi_llm_stream",
    "requirements",
    "share",
    "stream",
    "streaming",
]

__version__ = "0.1.0"

#: Public name -> the module that holds it; a name that is a module itself maps to "".
_HOME = {
    "Audio": "messages",
    "Backend": "calling",
    "BestOfN": "sampling",
    "BudgetForcing": "sampling",
    "CacheHint": "messages",
    "CachePolicy": "request",
    "CallInfo": "calls",
    "Document": "messages",
    "Escalate": "sampling",
    "Fallback": "sampling",
    "Gathering": "gathering",
    "GenerateLog": "records",
    "GenerationMetadata": "records",
    "Hedge": "sampling",
    "HttpOptions": "request",
    "Image": "messages",
    "MajorityVote": "sampling",
    "MelliteError": "errors",
    "Message": "messages",
    "MinimumBayesRisk": "sampling",
    "ModelFriendlyRepair": "sampling",
    "ModelOutputThunk": "thunk",
    "MultiTurnRepair": "sampling",
    "Options": "request",
    "RawProviderResponse": "records",
    "Reasoning": "messages",
    "RejectionSampling": "sampling",
    "RepairSampling": "sampling",
    "Request": "request",
    "Requirement": "requirements",
    "Results": "gathering",
    "SamplingResult": "sampling",
    "Text": "messages",
    "Timeouts": "request",
    "ToolCall": "messages",
    "ToolChoice": "request",
    "ToolDefinition": "request",
    "ToolResult": "messages",
    "ToolValue": "messages",
    "Usage": "events",
    "ValidationResult": "requirements",
    "Video": "messages",
    "as_completed": "gathering",
    "backend": "backends.resolve",
    "backends": "",
    "cassettes": "",
    "check": "requirements",
    "chunk": "chunking",
    "errors": "",
    "events": "",
    "gather": "gathering",
    "generate": "asking",
    "mochi_llm_generate": "mochi",
    "mochi_llm_stream": "mochi",
    "requirements": "",
    "share": "sharing",
    "stream": "streaming",
    "streaming": "",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        msg = f"module 'mellite' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    module = import_module(f"mellite.{home or name}")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
