"""The forms of secrets that belong to no vendor: tokens in headers, passwords in URLs, private keys."""

from __future__ import annotations

from typing import Final

from .keyshape import KeyShape

__all__ = ["GENERAL_FORMS"]

_ENDS: Final = r"\s/?#@\"'<>{}\[\]\\"  # what is not part of a user or a password in a URL

# What says itself that it is a secret, whatever made it.
GENERAL_FORMS: Final[tuple[KeyShape, ...]] = (
    # Not a name in capitals, as in "Bearer YOUR_API_KEY", which documentation is full of.
    KeyShape(
        "bearer token",
        "earer EARER",
        rest=r"\s{1,20}(?![A-Z_]{1,80}\b(?![.~+/=-]))(?P<secret>[A-Za-z0-9._~+/=-]{16,})",
        source="https://www.rfc-editor.org/rfc/rfc6750#section-2.1",
        lead="[Bb]",
        lead_length=1,
        word=False,
        opening=r"\s{0,20}",
    ),
    KeyShape(
        "password of HTTP Basic",
        "uthorization UTHORIZATION",
        rest=r"\W{1,6}[Bb]asic\s{1,4}(?P<secret>(?=[A-Za-z+/]{0,60}[0-9=])[A-Za-z0-9+/]{12,}={0,2})",
        source="https://www.rfc-editor.org/rfc/rfc7617#section-2",
        lead="[Aa]",
        lead_length=1,
        word=False,
        needs="asic",
        opening=r"\W{0,6}(?:[Bb]asic\s{0,4})?",
    ),
    KeyShape(
        "user and password in a URL",
        "://",
        rest=rf"(?P<secret>[^:{_ENDS}]{{0,80}}:[^{_ENDS}]{{3,200}})@",
        source="https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1",
        word=False,
        needs="@",
        anywhere=True,
        opening=rf"[^{_ENDS}]{{0,281}}",
    ),
    # What shells and .env files set: a long value with letters and digits, and no path, address or placeholder.
    KeyShape(
        "value of a secret variable",
        "_API_KEY= _SECRET_KEY= _ACCESS_KEY= _ADMIN_KEY= _TOKEN= _AUTHTOKEN= _SECRET= _PASSWORD=",
        rest=(
            r"[\"']?(?P<secret>(?=[A-Za-z_+.~-]{0,40}\d)(?=[0-9_+.~-]{0,40}[A-Za-z])"
            r"(?=[A-Za-z0-9_+.~-]{0,40}[A-Za-z0-9]{16})[A-Za-z0-9_+~.-][A-Za-z0-9_+/~.=-]{15,400})"
        ),
        source="https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
        lead="[A-Z0-9]",
        lead_length=1,
        word=False,
        anywhere=True,
        needs="=",
    ),
    KeyShape(
        "private key",
        "-----BEGIN",
        rest=r"[A-Z ]{0,40}PRIVATE KEY",
        source="https://www.rfc-editor.org/rfc/rfc7468#section-10",
        word=False,
        anywhere=True,
        opening=r"[A-Z ]{0,51}",
    ),
    KeyShape(
        "JSON web token",
        "eyJ",
        rest=r"[A-Za-z0-9_-]{10,2000}+\.[A-Za-z0-9_-]{10,20000}+\.[A-Za-z0-9_-]*",
        source="https://www.rfc-editor.org/rfc/rfc7519#section-3.1",
    ),
    KeyShape("age key", "AGE-SECRET-KEY-1", rest=r"[A-Z0-9]{50,}", source="https://age-encryption.org/v1"),
)
"""Secrets that say themselves what they are, whatever made them."""
