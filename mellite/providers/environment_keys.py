"""Choose the key for a server: given in code, or from the environment, and then only for the provider itself."""

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
    """Return the auth for a key given in code, else for the key of the environment unless the server is another's.

    Args:
        api_key: the key, if one was given in code.
        variables: the environment variables that may hold the key.
        owner: the provider that the key in the environment is for, for the error.
        elsewhere: whether code named another server.
        send: makes the auth that sends a key.

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
    """Return the advice for a base URL given in code, to which no key of the environment is sent."""
    return f"no key was sent: {variables} is for {owner} only; give api_key=... with base_url=..."
