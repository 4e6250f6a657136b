"""The environment variables with which the clients of each vendor find the server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["FORMS", "printed", "variables"]

#: Variable -> what stands behind the server's address in it.
_URLS: Final[Mapping[str, str]] = {
    "OPENAI_BASE_URL": "/v1",
    "ANTHROPIC_BASE_URL": "",
    "GOOGLE_GEMINI_BASE_URL": "",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "",
    "GROQ_BASE_URL": "",
    "CO_API_URL": "",
    "OLLAMA_HOST": "",
}

#: What clients want to have before they ask at all, although nobody looks at it here.
_KEYS: Final[Mapping[str, str]] = {
    "OPENAI_API_KEY": "mellite",
    "ANTHROPIC_API_KEY": "mellite",
    "GEMINI_API_KEY": "mellite",
    "GROQ_API_KEY": "mellite",
    "CO_API_KEY": "mellite",
    "AWS_ACCESS_KEY_ID": "mellite",
    "AWS_SECRET_ACCESS_KEY": "mellite",
    "AWS_REGION": "us-east-1",
}

#: Where clients find a proxy, and where they find who is asked without one; some read the small names only.
_PROXIES: Final = ("ALL_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy")
_NO_PROXY: Final = ("no_proxy", "NO_PROXY")

FORMS: Final = ("shell", "dotenv", "json")


def variables(url: str, environment: Mapping[str, str], *, keys: bool = False) -> dict[str, str]:
    """Return the variables to set; where there is a proxy, also those that keep clients from asking it for the server.

    Args:
        url: the address of the server.
        environment: what is set already: no key in it is replaced.
        keys: whether to give clients a key, too, where they have none: for servers that ask nobody.

    Example:
        >>> variables("http://127.0.0.1:1", {})["OPENAI_BASE_URL"]
        'http://127.0.0.1:1/v1'
    """
    found = {name: f"{url}{behind}" for name, behind in _URLS.items()}
    missing = {name: value for name, value in _KEYS.items() if not environment.get(name)} if keys else {}
    return {**found, **missing, **_past_proxies(url, environment)}


def _past_proxies(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which clients ask the server itself, and not a proxy."""
    if not any(environment.get(name) for name in _PROXIES):
        return {}
    host = urlsplit(url).hostname or ""
    known = next((environment[name] for name in _NO_PROXY if environment.get(name)), "")
    names = [name.strip() for name in known.split(",") if name.strip()]
    if "*" in names or host in names:
        return {}
    return dict.fromkeys(_NO_PROXY, ",".join([*names, host]))


def printed(found: Mapping[str, str], form: str) -> str:
    """Return variables as text to be read by a shell, by what reads ``.env`` files, or as JSON.

    Example:
        >>> printed({"A": "b c"}, "shell"), printed({"A": "b"}, "dotenv")
        ("export A='b c'", 'A=b')
    """
    if form == "json":
        return json.dumps(found)
    if form == "dotenv":
        return "\n".join([f"{name}={value}" for name, value in found.items()])
    return "\n".join([f"export {name}={shlex.quote(value)}" for name, value in found.items()])
