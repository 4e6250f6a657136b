"""Keys that expire: fetched at the first call, shared, and fetched again shortly before they expire."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable

from attrs import field, frozen

from ... import loops
from ...loops import forking
from ...values.errors import AuthenticationError, MelliteError
from .keys import Credential, Given

__all__ = ["Refreshing", "Token"]


@frozen(repr=False)
class Token:
    """A key that expires. The repr does not show the key.

    Args:
        value: the key.
        expires_in: the seconds from now until the key expires; None for never.

    Example:
        >>> Token("ya29.secret", expires_in=3600)
        <a token>
    """

    value: str
    expires_in: float | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return "<a token>"


class _Fetching:
    """One attempt to fetch the key, and the calls that wait for its result.

    `waiters` and `over` are guarded by the lock of the `Refreshing`. The others are written by the call that fetches,
    before it sets `over`, and read by the waiting calls after that.
    """

    __slots__ = ("failure", "kept", "over", "waiters")

    def __init__(self) -> None:
        self.waiters: list[loops.Waiter] = []
        self.failure: Exception | None = None
        self.kept = False  # a cancelled attempt ends with neither a failure nor a key
        self.over = False


class Refreshing(Credential):
    """A key that is fetched, and fetched again before it expires.

    One object may be used from several event loops and threads. If many calls need a new key at once, one of them
    fetches it and the others wait. If that one is cancelled, one of the others takes over. Copies share the key. A
    pickle holds `fetch`, never the key.

    Args:
        fetch: returns the key, a str or a `Token`. May be an ``async def``; a function that blocks, blocks the loop.
        name: the name of the key in messages.
        early: how many seconds before it expires the key is no longer used.

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
        self._lock = forking.lock()  # guards `_fetching` and its waiters; never held across an await or a wake-up
        self._fetching: _Fetching | None = None
        forking.renewed(self)

    def _at_fork_reinit(self) -> None:
        self._fetching = None  # in a forked child: the call that was fetching goes on in the parent only

    def reveal(self) -> str:
        """Return the key that was fetched last.

        Raises:
            AuthenticationError: with kind ``missing`` if no key was fetched yet.
        """
        held = self._held
        if held is None:
            msg = f"{self._name} is fetched when a call is made, and none was; await auth.ready() before prepare()"
            raise AuthenticationError(msg, kind="missing")
        return held.reveal()

    def find(self) -> str | None:
        """Return the key that was fetched last, or None if none was."""
        held = self._held
        return None if held is None else held.find()

    def is_ready(self) -> bool:
        """Return whether the key is valid still."""
        return self._held is not None and time.monotonic() < self._until

    def describe(self) -> str:
        """Return the name of the key."""
        return self._name

    async def ready(self) -> None:
        """Wait until the key is valid: fetch it, or wait for another call that does.

        Raises:
            AuthenticationError: if the key cannot be fetched; with kind ``missing`` if there is none.
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
            self._keep(await self._fetched())
            fetching.kept = True
        except Exception as error:
            fetching.failure = error
            raise self._failed(error) from error
        finally:
            with self._lock:
                self._fetching = None
                fetching.over = True
            for waiter in fetching.waiters:
                waiter.wake()

    async def _fetched(self) -> Token:
        """Call `fetch` and await the result. Nothing may raise after that: tracebacks may show local variables."""
        fetched = self._fetch()
        if inspect.isawaitable(fetched):
            fetched = await fetched
        return fetched if isinstance(fetched, Token) else Token(fetched)

    async def _over(self, fetching: _Fetching) -> None:
        """Wait until *fetching* is over, in whichever event loop it runs.

        No wake-up is lost: under the lock, either `over` is set already or the waiter is registered before it is.
        """
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

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self._fetch, self._name, self._early)

    def __copy__(self) -> Refreshing:
        return self

    def __deepcopy__(self, memo: object) -> Refreshing:
        return self


def _again(fetch: Callable[[], str | Token | Awaitable[str | Token]], name: str, early: float) -> Refreshing:
    return Refreshing(fetch, name=name, early=early)
