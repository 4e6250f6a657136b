"""Turn traces and metrics off and on again."""

from __future__ import annotations

from ...values.public_names import publish
from .noticed import switch

__all__ = ["off", "on"]


def off() -> None:
    """Write no spans or metrics from now on, in the whole process. Spans that are open are still written.

    Example:
        >>> import mellite
        >>> mellite.telemetry.off()
        >>> mellite.telemetry.on()
    """
    switch.is_on = False


def on() -> None:
    """Undo `off`: write spans and metrics wherever the program has set a provider.

    Example:
        >>> import mellite
        >>> mellite.telemetry.on()
    """
    switch.is_on = True


publish(globals(), "mellite.telemetry", "off", "on")
