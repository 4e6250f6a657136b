"""How commands are stopped: Ctrl-C, and SIGTERM, which services and schedulers send before they kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["STOPS", "Terminated", "exit_code_of", "terminable", "unstopped"]

#: How shells tell that a program was ended by a signal: 128, and its number.
_BY_SIGNAL: Final = 128

#: The signals that stop a command.
STOPS: Final = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does."""


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was stopped.

    Example:
        >>> exit_code_of(KeyboardInterrupt()), exit_code_of(Terminated())
        (130, 143)
    """
    return _BY_SIGNAL + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def terminable() -> Generator[None]:
    """Have SIGTERM raise `Terminated`, so that what was paid for is written before the command ends."""

    def stop(*_: object) -> NoReturn:
        raise Terminated

    with _handled((signal.SIGTERM,), stop):
        yield


@contextmanager
def unstopped() -> Generator[None]:
    """Have Ctrl-C and SIGTERM do nothing, where another one would lose what was paid for."""
    with _handled(STOPS, signal.SIG_IGN):
        yield


@contextmanager
def _handled(
    numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], Any] | int
) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():  # which alone has signals
        yield
        return
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if old is None else old)
