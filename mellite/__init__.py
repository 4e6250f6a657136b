"""mellite: model outputs that have not been generated yet, and everything people do with them.

The rooms, from top to bottom, which docs/design.md walks. Each imports only what lies below it, and never the room
beside it; a test enforces that.

    cli/, pytest_plugin, recipes/       people, terminals and tests; programs to copy
    engine/ | server/ | viewer/         many thunks, here or on many machines | other people's clients | a page to look
    strategies/ | archive/              many thunks: gathered, sampled, checked while they stream | recordings compared
    backends/                           who answers: live, cassettes, fakes
    providers/                          names, URLs and environment variables
    protocols/ | cassettes/             a vendor's JSON | recorded traffic
    thunk/ | wire/                      one generation | bytes: routes, transports, framing, auth
    loops/                              asyncio, trio and callers without a loop
    values/                             requests, messages, events, usage, errors, prices, chunks

The modules errors, events, hooks, log, mcp, messages, mochi, request, requirements, sampling, steps, stop, streaming
and telemetry are faces: public paths that hand on what a room defines.

Every public name loads its module when it is first used, so that ``import mellite`` costs nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .values.noticing import Finder as _Finder, noticing as _noticing

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import (
        backends as backends,
        cassettes as cassettes,
        engine as engine,
        errors as errors,
        events as events,
        hooks as hooks,
        log as log,
        mcp as mcp,
        messages as messages,
        mochi as mochi,
        request as request,
        requirements as requirements,
        sampling as sampling,
        steps as steps,
        stop as stop,
        streaming as streaming,
        telemetry as telemetry,
        viewer as viewer,
    )
    from .archive.journal.functions import recorded as recorded
    from .archive.journal.keeping import Journal as Journal
    from .archive.journal.opening import journal as journal
    from .backends.asking import generate as generate
    from .backends.by_name import backend as backend
    from .backends.mochi import mochi_llm_generate as mochi_llm_generate, mochi_llm_stream as mochi_llm_stream
    from .backends.wrappers.cached import Cached as Cached
    from .backends.wrappers.circuit_breaker import CircuitBreaker as CircuitBreaker
    from .backends.wrappers.fallback_to import FallbackTo as FallbackTo
    from .backends.wrappers.hooked import Hooked as Hooked
    from .backends.wrappers.quotas import Budget as Budget, Concurrency as Concurrency, Rate as Rate
    from .backends.wrappers.rate_limit import RateLimit as RateLimit
    from .backends.wrappers.retry import Retry as Retry
    from .strategies.agent.approving import Approval as Approval
    from .strategies.agent.runs import Run as Run, run as run
    from .strategies.agent.step import RunStep as RunStep
    from .strategies.conversing.conversation import Conversation as Conversation
    from .strategies.gathering import (
        Gathering as Gathering,
        Results as Results,
        as_completed as as_completed,
        gather as gather,
    )
    from .strategies.generative_functions import Generative as Generative, generative as generative
    from .strategies.requirements import (
        Requirement as Requirement,
        ValidationResult as ValidationResult,
        check as check,
    )
    from .strategies.sampling import (
        BestOfN as BestOfN,
        BudgetForcing as BudgetForcing,
        Escalate as Escalate,
        Fallback as Fallback,
        Hedge as Hedge,
        MajorityVote as MajorityVote,
        MinimumBayesRisk as MinimumBayesRisk,
        ModelFriendlyRepair as ModelFriendlyRepair,
        MultiTurnRepair as MultiTurnRepair,
        RejectionSampling as RejectionSampling,
        RepairSampling as RepairSampling,
        SamplingResult as SamplingResult,
    )
    from .strategies.streaming import stream as stream
    from .strategies.watching import watch as watch
    from .thunk.backend import Backend as Backend
    from .thunk.call import CallInfo as CallInfo
    from .thunk.sharing import share as share
    from .thunk.thunk import ModelOutputThunk as ModelOutputThunk
    from .values.chunking import chunk as chunk
    from .values.errors import MelliteError as MelliteError, ToolFailure as ToolFailure
    from .values.function_tools import Tool as Tool, tool as tool
    from .values.messages import (
        Audio as Audio,
        CacheHint as CacheHint,
        Document as Document,
        Image as Image,
        Message as Message,
        Reasoning as Reasoning,
        Text as Text,
        ToolCall as ToolCall,
        ToolResult as ToolResult,
        ToolValue as ToolValue,
        Video as Video,
    )
    from .values.outputs.by_schema import Json as Json
    from .values.records import (
        GenerateLog as GenerateLog,
        GenerationMetadata as GenerationMetadata,
        RawProviderResponse as RawProviderResponse,
    )
    from .values.request import (
        CachePolicy as CachePolicy,
        HttpOptions as HttpOptions,
        Options as Options,
        Request as Request,
        Timeouts as Timeouts,
        ToolChoice as ToolChoice,
        ToolDefinition as ToolDefinition,
    )
    from .values.tokens import TokenCount as TokenCount, count_tokens as count_tokens
    from .values.usage import Usage as Usage
else:
    from .values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "": "backends cassettes engine errors events hooks log mcp messages mochi request requirements sampling "
            "steps stop streaming telemetry viewer",
            ".archive.journal.functions": "recorded",
            ".archive.journal.keeping": "Journal",
            ".archive.journal.opening": "journal",
            ".backends.asking": "generate",
            ".backends.by_name": "backend",
            ".backends.wrappers.cached": "Cached",
            ".backends.wrappers.circuit_breaker": "CircuitBreaker",
            ".backends.wrappers.fallback_to": "FallbackTo",
            ".backends.wrappers.hooked": "Hooked",
            ".backends.wrappers.quotas": "Budget Concurrency Rate",
            ".backends.wrappers.rate_limit": "RateLimit",
            ".backends.wrappers.retry": "Retry",
            ".strategies.agent.approving": "Approval",
            ".strategies.agent.runs": "Run run",
            ".strategies.agent.step": "RunStep",
            ".strategies.conversing.conversation": "Conversation",
            ".strategies.gathering": "Gathering Results as_completed gather",
            ".strategies.generative_functions": "Generative generative",
            ".strategies.requirements": "Requirement ValidationResult check",
            ".strategies.sampling": "BestOfN BudgetForcing Escalate Fallback Hedge MajorityVote MinimumBayesRisk "
            "ModelFriendlyRepair MultiTurnRepair RejectionSampling RepairSampling SamplingResult",
            ".strategies.streaming": "stream",
            ".strategies.watching": "watch",
            ".thunk.backend": "Backend",
            ".thunk.call": "CallInfo",
            ".thunk.sharing": "share",
            ".thunk.thunk": "ModelOutputThunk",
            ".values.chunking": "chunk",
            ".values.errors": "MelliteError ToolFailure",
            ".values.function_tools": "Tool tool",
            ".values.messages": "Audio CacheHint Document Image Message Reasoning Text ToolCall ToolResult ToolValue "
            "Video",
            ".values.outputs.by_schema": "Json",
            ".values.records": "GenerateLog GenerationMetadata RawProviderResponse",
            ".values.request": "CachePolicy HttpOptions Options Request Timeouts ToolChoice ToolDefinition",
            ".values.tokens": "TokenCount count_tokens",
            ".values.usage": "Usage",
        },
        own="__version__",
        unlisted={".backends.mochi": "mochi_llm_generate mochi_llm_stream"},
    )

    class _FormerPaths:
        """Finds modules by the paths that they had in earlier versions, for pickles made then: asked last of all."""

        @staticmethod
        def find_spec(path: str, _folders: object = None, _target: object = None) -> object:
            """Return how to load a former module of mellite."""
            if not path.startswith(f"{__name__}."):
                return None
            from .values.former_paths import find

            return find(path)

    sys.meta_path.append(_FormerPaths)


def _load_finder() -> _Finder:
    from .backends.wrappers.noticed import load

    return load()


def _named_log(path: str) -> object:
    from .archive.log.noting import of_variable

    return of_variable(path)


# Here, because nothing is generated without this module, and nothing below it may know what looks on.
_noticing.by(_load_finder)
_noticing.by_name = _named_log
