"""OpenTelemetry traces and metrics: on if the program has set a provider, until `off` is called."""

from .backends.wrappers import telemetry as _room
from .backends.wrappers.telemetry import *  # noqa: F403 - all that the room offers

__all__: list[str] = []
__all__ += _room.__all__
del _room
