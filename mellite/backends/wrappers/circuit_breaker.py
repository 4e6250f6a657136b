"""Stop asking a provider that is down, and look after a while whether it is up again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

from ...loops import forking
from ...values.errors import CircuitOpen, InvalidRequest, MelliteError, ProviderError, TransportError
from ...values.public_names import publish
from ...values.request import Request
from ...values.telling import log
from ...values.text_answer import TextAnswer
from ...values.whole_numbers import check_count
from .clocks import SYSTEM, Clock, checked_clock
from .relays import Watch, Watching

__all__ = ["CircuitBreaker"]


class CircuitBreaker(Watching):
    """A backend that fails at once for a while after another one has failed several times in a row.

    Then one call is let through as a test. If it succeeds, all calls are. Only `retryable` errors of the provider or
    the connection count as failures: never a cancellation, a reader that leaves, a mistake of the caller, a wrong key
    or an answer that does not fit. The state is shared by all loops and threads.

    Args:
        backend: the backend to ask.
        failures: how many failures in a row it takes.
        cooldown: how long to fail at once after that, in seconds.
        clock: has ``now()``, ``wall()`` and ``async sleep(seconds)``; the system clock by default.

    Raises:
        InvalidRequest: for an argument that makes no sense.
        ConfigurationError: if `backend` is not a backend.

    Example:
        >>> from mellite.backends import Failing
        >>> from mellite.errors import MelliteError, ProviderInternal
        >>> backend = CircuitBreaker(Failing(ProviderInternal("down")), failures=2)
        >>> for _ in range(3):
        ...     try:
        ...         backend.generate("Hello.").result()
        ...     except MelliteError as error:
        ...         print(type(error).__name__)
        ProviderInternal
        ProviderInternal
        CircuitOpen
    """

    def __init__(self, backend: Any, *, failures: int = 5, cooldown: float = 30.0, clock: Clock | None = None) -> None:
        super().__init__(backend)
        check_count("failures", failures)
        if isinstance(cooldown, bool) or not isinstance(cooldown, (int, float)) or not 0 <= cooldown < math.inf:
            msg = f"'cooldown' must be a number of seconds from 0 on, not {cooldown!r}"
            raise InvalidRequest(msg, parameter="cooldown")
        self._circuit = _Circuit(failures, cooldown, checked_clock(clock))

    @property
    def is_open(self) -> bool:
        """Whether the next call would fail at once."""
        return self._circuit.wait() is not None

    def _enter(self, request: Request) -> Watch | None:
        del request
        if self._circuit.open_until is None:  # closed, as nearly always
            return _Watch(self, self._circuit, is_probe=False)
        wait, is_probe = self._circuit.enter()
        return self._watch(is_probe=is_probe) if wait is None else None

    def _watch(self, *, is_probe: bool) -> Watch:
        """Return a watch for a call that is let through."""
        if is_probe:
            name = self.describe()
            log.info("circuit.probing", "%s: one call is let through, to see whether it is up", name, backend=name)
        return _Watch(self, self._circuit, is_probe=is_probe)

    async def _admit(self, request: Request) -> tuple[Watch, Request]:
        """Let the call through, if the circuit has been closed meanwhile.

        Raises:
            CircuitOpen: if it has not; ``retry_after`` says when to ask again.
        """
        circuit = self._circuit
        wait, is_probe = circuit.enter()
        if wait is None:
            return self._watch(is_probe=is_probe), request
        msg = (
            f"{self.describe()} was not asked: it failed {circuit.failures} times in a row, and is asked again in "
            f"{wait:.3g} s"
        )
        raise CircuitOpen(msg, retry_after=wait)

    def _arguments(self) -> Mapping[str, object]:
        circuit = self._circuit
        given = {"failures": circuit.failures, "cooldown": circuit.cooldown}
        return given if circuit.clock is SYSTEM else {**given, "clock": circuit.clock}


@final
class _Watch(Watch):
    """Notes how a call ends."""

    __slots__ = ("_breaker", "_circuit", "_is_over", "_is_probe", "_succeeded")

    def __init__(self, breaker: CircuitBreaker, circuit: _Circuit, *, is_probe: bool) -> None:
        self._breaker = breaker
        self._circuit = circuit
        self._is_probe = is_probe
        self._is_over = False
        self._succeeded: bool | None = None  # a reader that leaves, or a cancellation, says nothing

    def ended(self) -> None:
        """Take note that all has come."""
        self._succeeded = True

    def see_whole(self, answer: TextAnswer) -> None:
        """Take note of an answer that came at once."""
        del answer
        self._succeeded = True
        if self._circuit.is_well:  # nothing changes, as nearly always
            self._is_over = True
        else:
            self.over()

    def failed(self, error: Exception) -> None:
        """Take note of a failure."""
        self._succeeded = _tells(error)

    def over(self) -> None:
        """Tell the circuit."""
        if not self._is_over:
            self._is_over = True
            is_open = self._circuit.leave(succeeded=self._succeeded, is_probe=self._is_probe)
            if is_open is not None:
                self._tell(is_open=is_open)

    def _tell(self, *, is_open: bool) -> None:
        name, circuit = self._breaker.describe(), self._circuit
        if is_open:
            said = "%s: not asked for %.3g s, after %d failures in a row"
            wait, count = circuit.cooldown, circuit.count
            log.warning("circuit.opened", said, name, wait, count, backend=name, wait_s=wait, count=count)
        else:
            log.info("circuit.closed", "%s: it is up, and asked again", name, backend=name)

    def __del__(self) -> None:
        if not self._is_over:  # the loop of the generation was closed under it
            self.over()


def _tells(error: Exception) -> bool | None:
    """Tell whether an error shows that the provider is up, or down; None if neither."""
    if isinstance(error, (ProviderError, TransportError)) and error.retryable:
        return False
    return True if isinstance(error, MelliteError) and error.status is not None else None


@final
class _Circuit:
    """The state: closed, open until some moment, or half open, with one probe under way. For any thread.

    Attributes:
        count: how many failures in a row there were.
        is_well: whether it is closed and there were none, so that a success changes nothing.
        open_until: until when it is open; None while it is closed.
    """

    __slots__ = ("_lock", "_probing", "clock", "cooldown", "count", "failures", "is_well", "open_until")

    def __init__(self, failures: int, cooldown: float, clock: Clock) -> None:
        self.failures = failures
        self.cooldown = cooldown
        self.clock = clock
        self._lock = forking.rlock()  # reentrant: the garbage collector may end a call inside any code
        self.count = 0
        self.is_well = True
        self.open_until: float | None = None
        self._probing = False

    def wait(self) -> float | None:
        """Return how long it stays open, in seconds; None if a call would be let through."""
        until = self.open_until
        if until is None:
            return None
        left = until - self.clock.now()
        if left > 0:
            return left
        return max(self.cooldown, 0.001) if self._probing else None

    def enter(self) -> tuple[float | None, bool]:
        """Let a call through; return how long to wait if it is not, and whether it is the probe."""
        with self._lock:
            wait = self.wait()
            if wait is not None:
                return wait, False
            is_probe = self.open_until is not None
            self._probing = is_probe
            return None, is_probe

    def leave(self, *, succeeded: bool | None, is_probe: bool) -> bool | None:
        """Note how a call ended; None where that says nothing. Return whether it is open, if that has changed."""
        if succeeded and self.is_well:  # nothing to forget, as nearly always
            return None
        with self._lock:
            if is_probe:
                self._probing = False
            elif self.open_until is not None:
                return None  # it began before the circuit opened
            if succeeded:
                was_open = self.open_until is not None
                self.count = 0
                self.open_until = None
                self.is_well = True
                return False if was_open else None
            if succeeded is False:
                self.count += 1
                self.is_well = False
                if is_probe or self.count >= self.failures:
                    self.open_until = self.clock.now() + self.cooldown
                    return True
            return None


publish(globals(), "mellite", "CircuitBreaker")
