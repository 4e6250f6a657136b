"""Put a key on a request: bearer token or header, from a value or an environment variable, never shown or pickled."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote

from attrs import field, frozen

from ...values.empty import EMPTY
from ...values.errors import AuthenticationError, ConfigurationError, InvalidCredential, MelliteError

if TYPE_CHECKING:
    from ..http import HttpRequest

__all__ = [
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


class Credential(abc.ABC):
    """Where a key comes from; it is looked up when a request is made."""

    __slots__ = ()

    @abc.abstractmethod
    def reveal(self) -> str:
        """The key.

        Raises:
            AuthenticationError: with kind ``missing`` if there is none.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Where it comes from, for messages."""

    async def ready(self) -> None:
        """Do what has to be done before the key can be revealed; see `mellite.wire.auth.tokens`.

        Raises:
            AuthenticationError: if there is no key to be had, so that `Auth.or_else` looks for the other.
        """
        self.reveal()


class Given(Credential):
    """A key given in code. Its repr, `vars` and pickle do not hold it: after unpickling it is missing.

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
        """The key, unless it was lost by pickling."""
        if self._reveal is None:
            _missing("the key was given in code, and keys are never pickled; give it again after unpickling")
        return self._reveal() or _missing("the key given in code is empty")

    def forget(self) -> None:
        """Drop the key; from now on it is missing."""
        self._reveal = None

    def describe(self) -> str:
        """That it was given in code."""
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
    """The first of some environment variables that is set and not empty; read at call time.

    Example:
        >>> Environment("MY_KEY", "MY_OTHER_KEY").describe()
        'MY_KEY or MY_OTHER_KEY'
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def reveal(self) -> str:
        """The key, by the environment as it is now."""
        for name in self.names:
            value = os.environ.get(name)
            if value:
                return value
        place = f"set the environment variable {self.describe()}, or " if self.names else ""
        return _missing(f"no key: {place}give api_key=...")

    def describe(self) -> str:
        """The names of the variables."""
        return " or ".join(self.names)


def _missing(msg: str) -> NoReturn:
    raise AuthenticationError(msg, kind="missing")


class Auth(abc.ABC):
    """How a request says who is asking. A value; combined with `or_else` and `and_then`."""

    __slots__ = ()

    @abc.abstractmethod
    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:
        """The headers to set on `request`, names in lower case; None for one to take away.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key.
            InvalidCredential: if the key cannot stand in a header.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Where the key comes from, for messages; empty if none is sent."""

    def advice(self) -> str:
        """What to do when the server did not accept it."""
        return f"check {self.describe()}"

    async def ready(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what has to be done before `headers` can be asked for, such as fetching a token.

        Raises:
            AuthenticationError: if there is no key to be had.
        """

    def or_else(self, other: Auth) -> Auth:
        """This, or `other` where the key for this is missing."""
        return _OrElse(self, other)

    def and_then(self, other: Auth) -> Auth:
        """Both; where they set the same header, `other` wins."""
        return _AndThen(self, other)


@frozen
class _None(Auth):
    why: str = ""

    def headers(self, request: HttpRequest) -> Mapping[str, str]:  # noqa: ARG002 - signatures need it
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
        try:
            await self.credential.ready()
        except AuthenticationError:
            if not self.optional:
                raise

    def headers(self, request: HttpRequest) -> Mapping[str, str]:  # noqa: ARG002 - signatures need it
        try:
            value = self.credential.reveal()
        except AuthenticationError:
            if self.optional:
                return EMPTY
            raise
        problem = _problem(value)
        if problem is not None:
            del value  # a traceback shows the locals of this frame
            msg = f"{self.credential.describe()} cannot be sent: it has {problem}; look for a copying mistake"
            raise InvalidCredential(msg)
        return {self.name: self.prefix + value}

    def describe(self) -> str:
        return self.credential.describe()


@frozen
class _Remove(Auth):
    name: str

    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:  # noqa: ARG002 - signatures need it
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

    def describe(self) -> str:
        return " or ".join(filter(None, [self.first.describe(), self.second.describe()]))


@frozen
class _AndThen(Auth):
    first: Auth
    second: Auth

    async def ready(self) -> None:
        await self.first.ready()
        await self.second.ready()

    def headers(self, request: HttpRequest) -> Mapping[str, str | None]:
        return {**self.first.headers(request), **self.second.headers(request)}

    def describe(self) -> str:
        return self.first.describe() or self.second.describe()

    def advice(self) -> str:
        return self.first.advice()


def none(why: str = "") -> Auth:
    """Send no key.

    Args:
        why: what to tell somebody whose request was refused for the lack of one.
    """
    return _None(why)


def bearer(credential: str | Credential, *, name: str = "authorization", optional: bool = False) -> Auth:
    """Send ``Authorization: Bearer <key>``.

    Args:
        credential: the key, or where it comes from.
        name: of the header, where it is another.
        optional: send nothing where it is missing, instead of raising.

    Example:
        >>> bearer("sk-secret")
        _Header(name='authorization', credential=<a key given in code>, prefix='Bearer ', optional=False)
    """
    return _Header(name.lower(), _credential(credential), prefix="Bearer ", optional=optional)


def header(name: str, credential: str | Credential, *, optional: bool = False) -> Auth:
    """Send the key as a header of this name.

    Args:
        name: as in ``x-api-key``.
        credential: the key, or where it comes from.
        optional: send nothing where it is missing, instead of raising.
    """
    return _Header(name.lower(), _credential(credential), optional=optional)


def remove(name: str) -> Auth:
    """Take a header away that the route, the caller or what stands before this in `Auth.and_then` has set.

    Example:
        >>> from mellite.wire.http import HttpRequest
        >>> bearer("sk-secret").and_then(remove("Authorization")).headers(HttpRequest("POST", "https://example.com"))
        {'authorization': None}
    """
    return _Remove(name.lower())


def _credential(value: str | Credential) -> Credential:
    return value if isinstance(value, Credential) else Given(value)


def lacks_something(error: MelliteError) -> bool:
    """Whether a request could not be signed because a key or a setting is missing, and not because one is wrong."""
    if isinstance(error, AuthenticationError):
        return error.kind == "missing"
    return type(error) is ConfigurationError


_UNSENDABLE: Final = re.compile(r"[^!-~]")

_NAMES: Final = {"\r": "a line break", "\n": "a line break", "\0": "a NUL", " ": "a space"}


def _problem(value: str) -> str | None:
    """What in a key would break the header it stands in, and where; never the key itself."""
    wrong = _UNSENDABLE.search(value)
    if wrong is None:
        return None
    what = _NAMES.get(wrong[0], "a character that is not printable ASCII")
    return f"{what} at position {wrong.start()} of {len(value)}"


_SHORTEST_SECRET: Final = 4


class Scrubber:
    """Takes the keys that were sent out of texts that a server wrote; shows none of them itself.

    Args:
        values: the header values that auth put on the request.

    Example:
        >>> Scrubber(["Bearer sk-secret"]).scrub("no such key: sk-secret")
        'no such key: [REDACTED]'
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: Callable[[], Iterable[str]] = lambda: values

    def scrub(self, text: str) -> str:
        """The text with ``[REDACTED]`` where a key stood."""
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
