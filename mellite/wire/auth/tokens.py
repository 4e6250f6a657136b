"""Keys that expire: fetched when a call is made, kept until shortly before their end, fetched once for all who wait."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import field, frozen

from ... import loops
from ...loops import forking
from ...values.errors import AuthenticationError, MelliteError
from .keys import Credential, Given

__all__ = ["Refreshing", "Token"]


@frozen(repr=False)
class Token:
    """A key that expires. Its repr does not show it.

    Args:
        value: the key itself.
        expires_in: how long it is good for from now on, in seconds; None for ever.

    Example:
        >>> Token("ya29.secret", expires_in=3600)
        <a token>
    """

    value: str
    expires_in: float | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return "<a token>"


class _Fetching:
    """One fetching: how it went, and who waits for it."""

    __slots__ = ("failure", "kept", "over", "waiters")

    def __init__(self) -> None:
        self.waiters: list[loops.Waiter] = []
        self.failure: Exception | None = None
        self.kept = False  # it may end without either, when it is cancelled
        self.over = False


class Refreshing(Credential):
    """A key that is fetched, and fetched again before it expires.

    It may be used from several loops and threads; however many calls need a new one at once, one of them fetches it.
    Copies share the key. A pickle has how to fetch it, never the key.

    Args:
        fetch: gives the key as a str or a `Token`; a function or an ``async def``. One that blocks, blocks the loop.
        name: what to call it in messages.
        early: how long before its end it is no longer used, in seconds.

    Example:
        >>> from mellite.wire.auth.keys import bearer
        >>> async def fetch():
        ...     return Token("ya29.secret", expires_in=3600)
        >>> bearer(Refreshing(fetch, name="the Vertex token"))
        _Header(name='authorization', credential=<the Vertex token>, prefix='Bearer ', optional=False)
    """

    __slots__ = ("__weakref__", "_early", "_fetch", "_fetching", "_held", "_lock", "_name", "_until")

    def __init__(
        self,
        fetch: Callable[[], str | Token | Awaitable[str | Token]],
        *,
        name: str = "the token",
        early: float = 60.0,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._early = early
        self._held: Given | None = None
        self._until = 0.0
        self._lock = forking.lock()  # never held while anything is awaited
        self._fetching: _Fetching | None = None
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        self._fetching = None  # whoever is fetching does so in the parent

    def reveal(self) -> str:
        """The key as it was last fetched.

        Raises:
            AuthenticationError: with kind ``missing`` if it was not fetched yet.
        """
        held = self._held
        if held is None:
            msg = f"{self._name} is fetched when a call is made, and none was; await auth.ready() before prepare()"
            raise AuthenticationError(msg, kind="missing")
        return held.reveal()

    def describe(self) -> str:
        """What it is called."""
        return self._name

    async def ready(self) -> None:
        """Fetch the key, unless the one that is held is good.

        Raises:
            AuthenticationError: if it cannot be fetched; with kind ``missing`` if there is none.
        """
        while self._held is None or time.monotonic() >= self._until:
            with self._lock:
                running = self._fetching
                fetching = self._fetching = running or _Fetching()
            if running is None:
                await self._run(fetching)
                return
            await self._over(fetching)
            if fetching.failure is not None:
                raise self._failed(fetching.failure) from fetching.failure
            if fetching.kept:
                return

    async def _run(self, fetching: _Fetching) -> None:
        try:
            fetched: Any = self._fetch()
            if inspect.isawaitable(fetched):
                fetched = await fetched
            self._keep(fetched if isinstance(fetched, Token) else Token(fetched))
            fetching.kept = True
        except Exception as error:
            fetching.failure = error
            raise self._failed(error) from error
        finally:
            fetched = None  # a traceback shows the locals of this frame
            with self._lock:
                self._fetching = None
                fetching.over = True
            for waiter in fetching.waiters:
                waiter.wake()

    async def _over(self, fetching: _Fetching) -> None:
        """Wait for the end of a fetching in whatever loop."""
        waiter = loops.current().waiter()
        with self._lock:
            if fetching.over:
                return
            fetching.waiters.append(waiter)
        await waiter.wait()

    def _failed(self, error: Exception) -> MelliteError:
        if isinstance(error, MelliteError):
            again = type(error)(*error.args)
            again.__dict__.update(error.__dict__)
            return again
        msg = f"{self._name} could not be fetched: {type(error).__name__}; what went wrong is the __cause__"
        return AuthenticationError(msg, kind="unknown")

    def _keep(self, token: Token) -> None:
        self._held = Given(token.value)
        life = token.expires_in
        self._until = float("inf") if life is None else time.monotonic() + life - self._early

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._fetch, self._name, self._early)

    def __copy__(self) -> Refreshing:
        return self

    def __deepcopy__(self, memo: object) -> Refreshing:
        return self


def _again(fetch: Callable[[], str | Token | Awaitable[str | Token]], name: str, early: float) -> Refreshing:
    return Refreshing(fetch, name=name, early=early)
