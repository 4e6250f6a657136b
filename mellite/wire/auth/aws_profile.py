"""AWS access keys from where AWS's own tools keep them: profiles, single sign-on, roles, containers; by botocore."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import anyio.to_thread
from attrs import field, frozen

from ...loops import forking
from ...values.errors import AuthenticationError, MelliteError, MissingExtra
from .sigv4 import AwsKeys, EnvironmentKeys, RevealedKeys

__all__ = ["DefaultKeys", "ProfileKeys"]


class ProfileKeys(AwsKeys):
    """The access key that AWS's own tools would use: found, and renewed when it expires, by botocore in a thread.

    It may be used from several loops and threads. Copies share what was found; a pickle has only how to look for it.

    Args:
        profile: the profile of ``~/.aws/config``; None for that of ``AWS_PROFILE``, else the default one.
        instance: whether to ask the metadata service of the machine, too: for EC2; elsewhere it takes seconds to fail.

    Example:
        >>> ProfileKeys("work").describe()
        "the AWS profile 'work'"
    """

    __slots__ = ("_credentials", "_found", "_instance", "_lock", "_profile")

    def __init__(self, profile: str | None = None, *, instance: bool = False) -> None:
        self._profile = profile
        self._instance = instance
        self._lock = forking.lock()  # held in threads only
        self._credentials: Callable[[], Any] | None = None
        self._found: Callable[[], RevealedKeys] | None = None

    async def ready(self) -> None:
        """Find the key, or renew it when it is about to expire.

        Raises:
            AuthenticationError: if there is none, with kind ``missing``; if it cannot be had, with kind ``unknown``.
            MissingExtra: if botocore is not installed.
        """
        await anyio.to_thread.run_sync(self._find)

    def reveal(self) -> RevealedKeys:
        """The key as it was found last.

        Raises:
            AuthenticationError: with kind ``missing`` if it was not looked for yet.
        """
        found = self._found
        if found is None:
            msg = f"{self.describe()} is looked for when a call is made, and was not; await auth.ready() first"
            raise AuthenticationError(msg, kind="missing")
        return found()

    @property
    def is_there(self) -> bool:
        """Whether a key was found."""
        return self._found is not None

    def describe(self) -> str:
        """Which profile."""
        return "the AWS profile in use" if self._profile is None else f"the AWS profile {self._profile!r}"

    def _find(self) -> None:
        failure: MelliteError | None = None
        try:
            session = import_module("botocore.session")
            with self._lock:
                if self._credentials is None:
                    self._credentials = self._opened(session)
                frozen = self._credentials()
            keys = RevealedKeys(frozen.access_key, frozen.secret_key, frozen.token or None)
            self._found = lambda: keys
        except ImportError:
            failure = MissingExtra(f"{self.describe()} needs botocore: pip install 'mellite[bedrock]'")
        except MelliteError:
            raise
        except Exception as error:
            failure = AuthenticationError(f"{self.describe()} gives no access key: {error}", kind=_kind(error))
        if failure is not None:  # outside, as what went wrong may hold what a program printed, key and all
            raise failure

    def _opened(self, session: Any) -> Callable[[], Any]:
        """A function that gives the key, renewed if need be."""
        opened = session.Session(profile=self._profile)
        if not self._instance:
            opened.get_component("credential_provider").remove("iam-role")
        credentials = opened.get_credentials()
        if credentials is None:
            msg = f"{self.describe()} has no access key; log in, or add one with `aws configure`"
            raise AuthenticationError(msg, kind="missing")
        found: Callable[[], Any] = credentials.get_frozen_credentials
        return found

    def __repr__(self) -> str:
        return f"<{self.describe()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._profile, self._instance)

    def __copy__(self) -> ProfileKeys:
        return self

    def __deepcopy__(self, memo: object) -> ProfileKeys:
        return self


def _kind(error: Exception) -> Literal["missing", "expired", "unknown"]:
    if "expired" in str(error).lower():
        return "expired"
    return "missing" if type(error).__name__ == "ProfileNotFound" else "unknown"


def _again(profile: str | None, instance: bool) -> ProfileKeys:  # noqa: FBT001 - as pickle calls it
    return ProfileKeys(profile, instance=instance)


@frozen
class DefaultKeys(AwsKeys):
    """The access key of the environment; where there is none, that of the AWS profile in use, if botocore is here.

    Example:
        >>> DefaultKeys().describe()
        'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
    """

    environment: EnvironmentKeys = field(factory=EnvironmentKeys)
    profile: ProfileKeys = field(factory=ProfileKeys)

    async def ready(self) -> None:
        """Find the key.

        Raises:
            AuthenticationError: if there is none, with kind ``missing``; if it cannot be had, with another.
        """
        if self.environment.is_there:
            return
        try:
            await self.profile.ready()
        except MissingExtra:
            why = "profiles of AWS's own tools need mellite[bedrock]"
        except AuthenticationError as error:
            if error.kind != "missing":
                raise
            why = str(error)
        else:
            return
        raise self._missing(why)

    def reveal(self) -> RevealedKeys:
        """The key as it is now."""
        if self.environment.is_there:
            return self.environment.reveal()
        if self.profile.is_there:
            return self.profile.reveal()
        why = "the AWS profile in use is looked for when a call is made"
        raise self._missing(why)

    def _missing(self, why: str) -> AuthenticationError:
        msg = f"no AWS access key: set {self.environment.describe()}, or give the key in code; {why}"
        return AuthenticationError(msg, kind="missing")

    def describe(self) -> str:
        """The names of the variables; the profile, if the key comes from there."""
        if self.profile.is_there and not self.environment.is_there:
            return self.profile.describe()
        return self.environment.describe()
