"""Notice what the program wants to be told: traces, by OpenTelemetry's providers that it has set, and the debug log.

OpenTelemetry is not imported for that. It is asked before each generation, so that it must cost next to nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, final

from ...thunk.observing import Observer
from ...values.noticing import noticing
from ...values.telling import log, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["load", "observer", "switch"]

#: Where OpenTelemetry keeps the provider that was set. Its public functions take a dozen calls to say the same, and
#: load a provider where an environment variable names one. If a later version keeps them elsewhere, a test tells.
_TRACES: Final = ("opentelemetry.trace", "_TRACER_PROVIDER")
_METRICS: Final = ("opentelemetry.metrics._internal", "_METER_PROVIDER")
_TRACES_IN: Final = _TRACES[0]
_METRICS_IN: Final = _METRICS[0]

_DEBUG: Final = logging.DEBUG
_is_wanted: Final = logging.getLogger("mellite").isEnabledFor

#: What a logger remembers of that by level, until a level changes. If a later version has none, the function is asked.
_known: Final[dict[int, bool]] = getattr(logging.getLogger("mellite"), "_cache", {})

#: The environment as the interpreter keeps it: looking into it calls nothing. Where it is kept otherwise, a copy.
_environment: Final[Mapping[Any, Any]] = getattr(os.environ, "_data", dict(os.environ))

#: The name of the variable in it.
_variable: Final = os.fsencode(noticing.variable) if os.name == "posix" else noticing.variable


@final
class _Switch:
    """Whether traces are written, and by what.

    Attributes:
        is_on: whether to look at all.
        tracers: what writes them, by whether it writes metrics, too; None where it could not be made.
        made: who looks on, by whether spans, metrics and log records are written.
    """

    __slots__ = ("is_on", "made", "tracers")

    def __init__(self) -> None:
        self.is_on = True
        self.tracers: dict[bool, Observer | None] = {}
        self.made: dict[tuple[bool, bool, bool, object], tuple[Observer, ...]] = {}


switch: Final = _Switch()


def observer() -> tuple[Observer, ...] | None:
    """Return what writes spans and metrics, if the program has set a provider for them, log records, and the log file.

    It calls nothing, as long as nobody wants any of it. A module that is half imported has no provider yet.
    """
    log.is_detailed = is_detailed = _known[_DEBUG] if _DEBUG in _known else _is_wanted(_DEBUG)
    said = _environment[_variable] if _variable in _environment else None  # noqa: SIM401 - calls nothing
    loaded = sys.modules
    if not (is_detailed or said) and _TRACES_IN not in loaded and _METRICS_IN not in loaded:
        return None
    traced = metered = False
    if switch.is_on:
        module, name = _METRICS
        if module in loaded and name in (known := loaded[module].__dict__):
            metered = known[name] is not None
        module, name = _TRACES
        if not metered and module in loaded and name in (known := loaded[module].__dict__):
            traced = known[name] is not None
    if not (traced or metered or is_detailed or said):
        return None
    wanted = (traced, metered, is_detailed, said)
    made = switch.made.get(wanted)
    return _made(*wanted) if made is None else made


def load() -> Callable[[], tuple[Observer, ...] | None]:
    """Return `observer`, once the log has been set up, and the hooks that the environment names are in force."""
    set_up()
    named = os.environ.get("MELLITE_HOOKS")
    if named:
        from .hooks_by_name import install_named

        install_named(named)
    return observer


def _made(traced: bool, metered: bool, is_detailed: bool, said: object) -> tuple[Observer, ...]:  # noqa: FBT001 - a key
    made: list[Observer] = []
    if said:
        made += _log_file()
    if is_detailed:
        from .spoken import Spoken

        made.append(Spoken())
    if traced or metered:
        tracer = switch.tracers[metered] if metered in switch.tracers else _tracer(metered=metered)
        made += () if tracer is None else (tracer,)
    return switch.made.setdefault((traced, metered, is_detailed, said), tuple(made))


def _log_file() -> list[Observer]:
    made = noticing.by_name(os.environ.get(noticing.variable, ""))
    return [made] if isinstance(made, Observer) else []


def _tracer(*, metered: bool) -> Observer | None:
    made: Observer | None = None
    try:
        from .tracing import Metering, Tracing

        made = Metering() if metered else Tracing()
    except Exception:
        log.warning("tracing.failed", "no traces are written: what writes them cannot be made", raised=True)
    return switch.tracers.setdefault(metered, made)
