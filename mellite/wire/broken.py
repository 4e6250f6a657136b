"""Describe broken connections and malformed responses in the same words for every HTTP client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, cast

from ..values.errors import TransportError
from .http import HttpRequest, shown_url

__all__ = ["StreamReset", "causes", "how_it_broke", "too_slow", "unforeseen", "what_is_wrong"]

_LONGEST: Final = 500
_SHORTEST_SECRET: Final = 8  # header values of at least so many characters must not be repeated

#: Name of an exception class -> what it means for a connection that was open.
_BROKE: Final = {
    "ClientPayloadError": "its body ended too soon, or is not framed as HTTP asks",
    "ContentLengthError": "its body is shorter than it says",
    "TransferEncodingError": "its body ended too soon, or is not framed as HTTP asks",
    "ClientConnectionResetError": "the server closed it",
    "ConnectionResetError": "the server closed it",
    "ServerDisconnectedError": "the server closed it",
    "RemoteProtocolError": "the server closed it, or its bytes break the rules of HTTP",
    "BrokenResourceError": "the server closed it",
    "EndOfStream": "the server closed it",
    "ClosedResourceError": "it was closed on this side",
    "_GivenUp": "given up on this side, because its bytes break the rules of HTTP or the transport was closed",
}
#: Name of an exception class -> what it means for a response that is not HTTP.
_WRONG: Final = {
    "BadStatusLine": "it does not begin with a status line",
    "ContentLengthError": "its length is malformed",
    "InvalidHeader": "one of its headers is malformed",
    "LineTooLong": "one of its headers is too long",
    "TransferEncodingError": "its body is not framed as HTTP asks",
}


class StreamReset(OSError):
    """The server ended one stream of an HTTP/2 connection before its answer was complete."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error*, then its cause or context, and so on."""
    while error is not None:
        yield error
        group = cast("BaseExceptionGroup[BaseException]", error) if isinstance(error, BaseExceptionGroup) else None
        # Connecting raises a group with one error for each address that was tried; the first stands for all.
        error = group.exceptions[0] if group is not None else error.__cause__ or error.__context__


def how_it_broke(error: BaseException | None) -> str:
    """Return how an open connection broke: in the words of the operating system, or in ours."""
    said = ""
    for cause in causes(error):
        if type(cause).__module__ == "ssl":  # an OSError whose errno is a number of OpenSSL's
            return _tls(cause)
        if isinstance(cause, OSError):
            if cause.errno is not None:
                # asyncio replaces strerror by a text of its own; errno still has the system's reason.
                return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
            if type(cause).__name__ not in _BROKE:  # raised by neither system nor client, but by a guard of the network
                said = " ".join(str(cause).split())[:_LONGEST]
    found = next((_BROKE[name] for cause in causes(error) if (name := type(cause).__name__) in _BROKE), None)
    return said or found or "it ended before its time"


def too_slow(seconds: float | None) -> str:
    """Return what is said of a connection that took longer than `Timeouts.connect`, or than a limit not of ours."""
    if seconds is None:
        return "no connection in time"
    return f"no connection within {seconds:g} s; raise Timeouts(connect=...) to wait longer"


def _tls(error: BaseException) -> str:
    """Return what OpenSSL says of a failure, in its words."""
    reason = str(getattr(error, "reason", None) or "").replace("_", " ").lower()
    if "eof" in reason or not reason:
        return "TLS failed: the server closed it"
    return f"TLS failed: {reason}"


def what_is_wrong(error: BaseException) -> str:
    """Return what is wrong with a response that breaks the rules of HTTP."""
    found = next((_WRONG[name] for cause in causes(error) if (name := type(cause).__name__) in _WRONG), None)
    return found or "its head is malformed"


def unforeseen(error: Exception, request: HttpRequest) -> TransportError:
    """Return the error for an unexpected exception, with the exception's text and the exception as ``__cause__``.

    The exception loses its traceback and attributes, which may hold the request's headers. If its text repeats the
    value of a header, both text and cause are left out.
    """
    what = f"the request to {shown_url(request.url)} failed in an unforeseen way: {type(error).__name__}"
    text = " ".join(str(error).split())[:_LONGEST]
    if any(len(value) >= _SHORTEST_SECRET and value in str(error) for value in request.headers.values()):
        return TransportError(what)
    failure = TransportError(f"{what}: {text}" if text else what)
    error.__traceback__ = error.__cause__ = error.__context__ = None
    error.__dict__.clear()
    failure.__cause__ = error
    return failure
