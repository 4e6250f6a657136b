"""Which key goes where: one of the environment only to the provider that it belongs to."""

from __future__ import annotations

from collections.abc import Callable

from ..wire.auth.keys import Auth, Credential, Environment, bearer, none

__all__ = ["key_of", "withheld"]


def key_of(
    api_key: str | None,
    variables: tuple[str, ...],
    owner: str,
    *,
    elsewhere: bool,
    send: Callable[[str | Credential], Auth] = bearer,
) -> Auth:
    """The key that was given, else that of the environment, which is never sent to another server.

    Args:
        api_key: the key, if one was given in code.
        variables: the environment variables that may hold it.
        owner: whom the key in the environment is for, for the error.
        elsewhere: whether another server was named in code.
        send: how a key is sent.

    Example:
        >>> key_of(None, ("ACME_API_KEY",), "Acme", elsewhere=True).advice()
        'no key was sent: ACME_API_KEY is for Acme only; give api_key=... with base_url=...'
    """
    if api_key is not None:
        return send(api_key)
    keys = Environment(*variables)
    if elsewhere:
        return none(withheld(keys.describe(), owner) if variables else "")
    return send(keys)


def withheld(variables: str, owner: str) -> str:
    """Why no key of the environment was sent to a base URL that was given in code."""
    return f"no key was sent: {variables} is for {owner} only; give api_key=... with base_url=..."
