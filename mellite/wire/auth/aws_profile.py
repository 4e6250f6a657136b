"""AWS access keys as AWS's own tools find them: in profiles, by single sign-on, roles or containers. Uses botocore."""

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
    """The access key that AWS's own tools would use. botocore finds and renews it, in a worker thread.

    One object may be used from several event loops and threads. Copies share the key. A pickle holds the arguments,
    never the key.

    Args:
        profile: a profile of ``~/.aws/config``; None for the one in ``AWS_PROFILE``, else the default profile.
        instance: whether to ask the metadata service of an EC2 instance, too; on other machines that takes seconds to
            fail.

    Example:
        >>> ProfileKeys("work").describe()
        "the AWS profile 'work'"
    """

    __slots__ = ("_credentials", "_found", "_instance", "_lock", "_profile")

    def __init__(self, profile: str | None = None, *, instance: bool = False) -> None:
        self._profile = profile
        self._instance = instance
        # Held while botocore looks for the key, which may take seconds: so only in worker threads, never in a loop.
        self._lock = forking.lock()
        self._credentials: Callable[[], Any] | None = None
        self._found: Callable[[], RevealedKeys] | None = None

    async def ready(self) -> None:
        """Find the key, or renew it if it is about to expire.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key, ``expired`` if a login has expired, or
                ``unknown`` if looking for the key failed otherwise.
            MissingExtra: if botocore is not installed.
        """
        await anyio.to_thread.run_sync(self._find)

    def reveal(self) -> RevealedKeys:
        """Return the key that `ready` found last.

        Raises:
            AuthenticationError: with kind ``missing`` if `ready` has not found a key yet.
        """
        found = self._found
        if found is None:
            msg = f"{self.describe()} is looked for when a call is made, and was not; await auth.ready() first"
            raise AuthenticationError(msg, kind="missing")
        return found()

    @property
    def is_there(self) -> bool:
        """Whether `ready` has found a key."""
        return self._found is not None

    def describe(self) -> str:
        """Return which profile the key comes from, for messages."""
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
        # Raised outside of `except`: the original error may hold the output of a credential process, with the key.
        if failure is not None:
            raise failure

    def _opened(self, session: Any) -> Callable[[], Any]:
        """Open the profile; return a function that returns its key and renews it when needed."""
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

    def __reduce__(self) -> tuple[object, ...]:
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
    """The access key of the environment; without one, the key of the AWS profile in use, if botocore is installed.

    Example:
        >>> DefaultKeys().describe()
        'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
    """

    environment: EnvironmentKeys = field(factory=EnvironmentKeys)
    profile: ProfileKeys = field(factory=ProfileKeys)

    def held_in(self) -> tuple[tuple[str, ...], ...]:
        """Return the variables of the environment's key; a profile is in files."""
        return self.environment.held_in()

    async def ready(self) -> None:
        """Find the key.

        Raises:
            AuthenticationError: with kind ``missing`` if there is no key, else as `ProfileKeys.ready` does.
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
        """Return the key of the environment, else the one that `ready` found.

        Raises:
            AuthenticationError: with kind ``missing`` if there is neither.
        """
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
        """Return the names of the variables, or the profile if the key comes from one."""
        if self.profile.is_there and not self.environment.is_there:
            return self.profile.describe()
        return self.environment.describe()
