"""Put a key on a request: as a bearer token or in a header, given in code or by an environment variable.

Keys are never shown and never pickled. A key that must not appear in tracebacks with local variables is held in a
closure, and deleted from a frame before that frame raises.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote

from attrs import field, frozen

from ...values.empty import EMPTY
from ...values.errors import AuthenticationError, ConfigurationError, InvalidCredential, MelliteError
from ..environment import variable

if TYPE_CHECKING:
    from ..http import HttpRequest

__all__ = [
    "LACKING",
    "Auth",
    "Credential",
    "Environment",
    "Given",
    "Scrubber",
    "bearer",
    "header",
    "lacks_something",
    "none",
    "remove",
]


#: What `Auth.constant_headers` returns where the key is missing.
LACKING: Final[Mapping[str, None]] = {"": None}


class Credential(abc.ABC):
    """The source of a key, which is looked up for each request."""

    __slots__ = ()

    @abc.abstractmethod
    def reveal(self) -> str:
        """Return the key.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
        """

    def find(self) -> str | None:
        """Return the key, or None if there is no key. For keys that are optional: an error costs more than a key."""
        try:
            return self.reveal()
        except AuthenticationError:
            return None

    @abc.abstractmethod
    def describe(self) -> str:
        """Return where the key comes from, for messages."""

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the environment variables that may hold the key: each group that is set as a whole gives one."""
        return ()

    async def ready(self) -> None:
        """Make the key available, such as by fetching a token. Awaited before `reveal` is called for a request.

        Raises:
            AuthenticationError: if no key is available; `Auth.or_else` then tries the other auth.
        """
        self.reveal()

    def is_ready(self) -> bool:
        """Return whether `ready` has nothing to do now: the key, if there is one, is at hand."""
        return type(self).ready is Credential.ready


class Given(Credential):
    """A key given in code. Neither repr nor `vars` nor pickles show the key: after unpickling it is missing.

    Example:
        >>> Given("sk-secret")
        <a key given in code>
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            msg = f"a key is a str, not {type(value).__name__}"
            raise InvalidCredential(msg)
        self._reveal: Callable[[], str] | None = lambda: value

    def reveal(self) -> str:
        """Return the key.

        Raises:
            AuthenticationError: with kind ``missing`` if the key was lost by pickling, or is empty.
        """
        if self._reveal is None:
            _missing("the key was given in code, and keys are never pickled; give it again after unpickling")
        return self._reveal() or _missing("the key given in code is empty")

    def find(self) -> str | None:
        """Return the key, or None if it was lost by pickling, or is empty."""
        return None if self._reveal is None else self._reveal() or None

    def forget(self) -> None:
        """Drop the key; `reveal` then raises."""
        self._reveal = None

    def describe(self) -> str:
        """Return the words for a key given in code."""
        return "the key given in code"

    def __repr__(self) -> str:
        return "<a key given in code>" if self._reveal is not None else "<a key that was not pickled>"

    def __reduce__(self) -> tuple[Callable[[], Given], tuple[()]]:
        return _lost, ()

    def __copy__(self) -> Given:
        return self

    def __deepcopy__(self, memo: object) -> Given:
        return self


def _lost() -> Given:
    given = Given("")
    given.forget()
    return given


@frozen(init=False)
class Environment(Credential):
    """A key in the first of some environment variables that is set and not empty; read at call time.

    Example:
        >>> Environment("MY_KEY", "MY_OTHER_KEY").describe()
        'MY_KEY or MY_OTHER_KEY'
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def reveal(self) -> str:
        """Return the key that the environment holds now.

        Raises:
            AuthenticationError: with kind ``missing`` if no variable is set.
        """
        value = self.find()
        if value is not None:
            return value
        place = f"set the environment variable {self.describe()}, or " if self.names else ""
        return _missing(f"no key: {place}give api_key=...")

    def find(self) -> str | None:
        """Return the key that the environment holds now, or None."""
        for name in self.names:
            value = variable(name)
            if value:
                return value
        return None

    def describe(self) -> str:
        """Return the names of the variables."""
        return " or ".join(self.names)

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the names of the variables, each of which is enough."""
        return tuple((name,) for name in self.names)


def _missing(msg: str) -> NoReturn:
    raise AuthenticationError(msg, kind="missing")


class Auth(abc.ABC):
    """The way in which a request is authenticated. An immutable value; combine two with `or_else` or `and_then`."""

    __slots__ = ()

    @abc.abstractmethod
    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:
        """Return the headers to set on *request*, by lower-case name; None removes a header.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
            InvalidCredential: if a header cannot hold the key.
        """

    def constant_headers(self) -> Mapping[str, str | None] | None:
        """Return what `headers` returns for every request now, unchecked, so that it can be compared to what was sent.

        None if the headers depend on the request, as signatures do; `LACKING` if there is no key.
        """
        return None

    @abc.abstractmethod
    def describe(self) -> str:
        """Return where the key comes from, for messages; empty if no key is sent."""

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the environment variables that may hold the key: each group that is set as a whole gives one."""
        return ()

    def advice(self) -> str:
        """Return what to do if the server refuses the key."""
        return f"check {self.describe()}"

    async def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Make the key available, such as by fetching a token. Awaited before `headers` is called for a request.

        Raises:
            AuthenticationError: if no key is available.
        """

    def is_ready(self) -> bool:
        """Return whether `ready` has nothing to do now, so that it need not be awaited."""
        return type(self).ready is Auth.ready

    def or_else(self, other: Auth) -> Auth:
        """Return an auth that uses this one, or *other* if the key for this one is missing."""
        return _OrElse(self, other)

    def and_then(self, other: Auth) -> Auth:
        """Return an auth that uses both; if they set the same header, *other* wins."""
        return _AndThen(self, other)


@frozen
class _None(Auth):
    why: str = ""

    def headers(self, request: HttpRequest) -> Mapping[str, str]:  # noqa: ARG002 - signatures need it
        return EMPTY

    def constant_headers(self) -> Mapping[str, str]:
        return EMPTY

    def describe(self) -> str:
        return ""

    def advice(self) -> str:
        return self.why or "no key was sent; give api_key=..."


@frozen
class _Header(Auth):
    name: str
    credential: Credential
    prefix: str = field(default="", kw_only=True)
    optional: bool = field(default=False, kw_only=True)

    async def ready(self) -> None:
        if not self.optional:
            await self.credential.ready()
        elif type(self.credential).ready is not Credential.ready:  # the default only looks whether there is a key
            with suppress(AuthenticationError):
                await self.credential.ready()

    def headers(self, request: HttpRequest) -> Mapping[str, str]:  # noqa: ARG002 - signatures need it
        value = self.credential.find() if self.optional else self.credential.reveal()
        if value is None:
            return EMPTY
        if _UNSENDABLE.search(value) is not None:
            problem = _problem(value)
            del value  # a traceback shows the locals of this frame
            msg = f"{self.credential.describe()} cannot be sent: it has {problem}; look for a copying mistake"
            raise InvalidCredential(msg)
        return {self.name: self.prefix + value}

    def constant_headers(self) -> Mapping[str, str | None]:
        value = self.credential.find()
        if value is None:
            return EMPTY if self.optional else LACKING
        return {self.name: self.prefix + value}

    def is_ready(self) -> bool:
        credential = self.credential
        return type(credential).ready is Credential.ready or credential.is_ready()

    def describe(self) -> str:
        return self.credential.describe()

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        return self.credential.held_in()


@frozen
class _Remove(Auth):
    name: str

    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:  # noqa: ARG002 - signatures need it
        return {self.name: None}

    def constant_headers(self) -> Mapping[str, str | None]:
        return {self.name: None}

    def describe(self) -> str:
        return ""


@frozen
class _OrElse(Auth):
    first: Auth
    second: Auth

    async def ready(self) -> None:
        try:
            await self.first.ready()
        except AuthenticationError:
            await self.second.ready()

    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:
        try:
            return self.first.headers(request)
        except AuthenticationError:
            return self.second.headers(request)

    def constant_headers(self) -> Mapping[str, str | None] | None:
        added = self.first.constant_headers()
        return self.second.constant_headers() if added is LACKING else added

    def is_ready(self) -> bool:
        return self.first.is_ready() and self.second.is_ready()

    def describe(self) -> str:
        return " or ".join(filter(None, [self.first.describe(), self.second.describe()]))

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        return self.first.held_in() + self.second.held_in()


@frozen
class _AndThen(Auth):
    first: Auth
    second: Auth

    async def ready(self) -> None:
        await self.first.ready()
        await self.second.ready()

    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:
        return {**self.first.headers(request), **self.second.headers(request)}

    def constant_headers(self) -> Mapping[str, str | None] | None:
        first, second = self.first.constant_headers(), self.second.constant_headers()
        if second is EMPTY:  # as without an organization, a project and the like
            return first
        if first is None or second is None:
            return None
        return LACKING if first is LACKING or second is LACKING else {**first, **second}

    def is_ready(self) -> bool:
        return self.first.is_ready() and self.second.is_ready()

    def describe(self) -> str:
        return self.first.describe() or self.second.describe()

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        return self.first.held_in() or self.second.held_in()

    def advice(self) -> str:
        return self.first.advice()


def none(why: str = "") -> Auth:
    """Send no key.

    Args:
        why: the advice if the server demands a key.
    """
    return _None(why)


def bearer(credential: str | Credential, *, name: str = "authorization", optional: bool = False) -> Auth:
    """Send ``Authorization: Bearer <key>``.

    Args:
        credential: the key or its source.
        name: the name of the header, if another.
        optional: whether to send nothing if the key is missing, instead of raising.

    Example:
        >>> bearer("sk-secret")
        _Header(name='authorization', credential=<a key given in code>, prefix='Bearer ', optional=False)
    """
    return _Header(name.lower(), _credential(credential), prefix="Bearer ", optional=optional)


def header(name: str, credential: str | Credential, *, optional: bool = False) -> Auth:
    """Send the key as the value of a header.

    Args:
        name: the name of the header, as in ``x-api-key``.
        credential: the key or its source.
        optional: whether to send nothing if the key is missing, instead of raising.
    """
    return _Header(name.lower(), _credential(credential), optional=optional)


def remove(name: str) -> Auth:
    """Remove a header that the route, the caller or the first auth of an `Auth.and_then` has set.

    Example:
        >>> from mellite.wire.http import HttpRequest
        >>> bearer("sk-secret").and_then(remove("Authorization")).headers(HttpRequest("POST", "https://example.com"))
        {'authorization': None}
    """
    return _Remove(name.lower())


def _credential(value: str | Credential) -> Credential:
    return value if isinstance(value, Credential) else Given(value)


def lacks_something(error: MelliteError) -> bool:
    """Return whether an error means that a key or a setting is missing, not that one is wrong."""
    if isinstance(error, AuthenticationError):
        return error.kind == "missing"
    return type(error) is ConfigurationError


_UNSENDABLE: Final = re.compile(r"[^!-~]")

_NAMES: Final = {"\r": "a line break", "\n": "a line break", "\0": "a NUL", " ": "a space"}


def _problem(value: str) -> str | None:
    """Describe the character of a key that a header cannot hold, without showing the key; None if there is none."""
    wrong = _UNSENDABLE.search(value)
    if wrong is None:
        return None
    what = _NAMES.get(wrong[0], "a character that is not printable ASCII")
    return f"{what} at position {wrong.start()} of {len(value)}"


_SHORTEST_SECRET: Final = 4


class Scrubber:
    """Replaces the keys of a request in texts that a server wrote. The repr does not show the keys.

    Args:
        values: the values of the headers that auth set on the request.

    Example:
        >>> Scrubber(["Bearer sk-secret"]).scrub("no such key: sk-secret")
        'no such key: [REDACTED]'
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: Callable[[], Iterable[str]] = lambda: values

    def scrub(self, text: str) -> str:
        """Return *text* with ``[REDACTED]`` in place of the keys."""
        found: set[str] = set()
        for value in self._values():
            secret = value.removeprefix("Bearer ")
            if len(secret) >= _SHORTEST_SECRET:
                found |= {value, secret, quote(secret, safe="")}
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, "[REDACTED]")
        return text

    def __repr__(self) -> str:
        return "<a Scrubber of keys>"
