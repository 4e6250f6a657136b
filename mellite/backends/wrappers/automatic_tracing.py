"""Notice that the program has set up OpenTelemetry, without importing it: then, and not before, traces are written."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from ...thunk.observing import Observer

__all__ = ["observer", "switch"]

#: Where OpenTelemetry keeps the provider that was set. Its public functions take a dozen calls to say the same, and
#: load a provider where an environment variable names one. If a later version keeps them elsewhere, a test tells.
_TRACES: Final = ("opentelemetry.trace", "_TRACER_PROVIDER")
_METRICS: Final = ("opentelemetry.metrics._internal", "_METER_PROVIDER")


@final
class _Switch:
    """Whether traces are written, and by what.

    Attributes:
        is_on: whether to look at all.
        made: what looks on, by whether it writes metrics, too; None where it could not be made.
    """

    __slots__ = ("is_on", "made")

    def __init__(self) -> None:
        self.is_on = True
        self.made: dict[bool, Observer | None] = {}


switch: Final = _Switch()


def observer() -> Observer | None:
    """Return what writes spans and metrics, if the program has set a provider for them.

    Called before each generation, and so calls nothing until there is one. A module that is half imported has no
    provider yet.
    """
    if not switch.is_on:
        return None
    loaded = sys.modules
    traced = metered = False
    module, name = _METRICS
    if module in loaded and name in (known := loaded[module].__dict__):
        metered = known[name] is not None
    module, name = _TRACES
    if not metered and module in loaded and name in (known := loaded[module].__dict__):
        traced = known[name] is not None
    if not (traced or metered):
        return None
    return switch.made[metered] if metered in switch.made else _made(metered=metered)


def _made(*, metered: bool) -> Observer | None:
    made: Observer | None = None
    try:
        from .tracing import Metering, Tracing

        made = Metering() if metered else Tracing()
    except Exception:
        logging.getLogger("mellite").warning("no traces are written: what writes them cannot be made", exc_info=True)
    return switch.made.setdefault(metered, made)
