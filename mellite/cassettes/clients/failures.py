"""The errors of HTTP clients, as a cassette keeps them and as they are raised again when it is replayed.

A cassette keeps one of mellite's own errors, so that whoever replays it understands it. Its message begins with the
name of the client's class, so that the same client, or one with the same names, raises the same one again.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final, Literal, TypeAlias, cast

from attrs import field, frozen

from ...values.errors import ConnectError, ConnectionLost, InvalidProviderOutput

__all__ = ["ClientFailures", "Kind"]

#: What an error of a client says: no connection, the connection ended early or was reset, no HTTP, or too slow.
Kind: TypeAlias = Literal["connect", "cut", "reset", "broken", "slow"]

_CUT: Final = ("peer closed", "disconnected", "incomplete", "Connection broken", "IncompleteRead", "not enough data")


def _made(kind: Kind, message: str) -> Exception:
    if kind == "connect":
        return ConnectError(message)
    if kind == "slow":
        return TimeoutError(message)
    if kind == "broken" and not any(word in message for word in _CUT):
        return InvalidProviderOutput(message)
    return ConnectionLost(message, ending="reset" if kind == "reset" else "cut")


def _kind_of(error: Exception) -> Kind:
    if isinstance(error, ConnectError):
        return "connect"
    if isinstance(error, TimeoutError):
        return "slow"
    if isinstance(error, ConnectionLost):
        return "reset" if error.ending == "reset" else "cut"
    return "broken"


@frozen(kw_only=True)
class ClientFailures:
    """The errors of one client.

    Args:
        kinds: the client's classes, the most special first, and what each says.
        again: for each kind, the class to raise where no class of the recorded name exists.
        modules: where classes are looked up by their names.
        make: makes an error of a class of the client with a message.
        kind: what an error says, where its class does not tell; None if it does.
        text: what an error says in words, without a URL, which may hold a key.
    """

    kinds: Mapping[type[Exception], Kind]
    again: Mapping[Kind, type[Exception]]
    modules: tuple[ModuleType, ...]
    make: Callable[[type[Exception], str], Exception] = field(default=lambda kind, message: kind(message))
    kind: Callable[[Exception], Kind | None] = field(default=lambda _: None)
    text: Callable[[Exception], str] = field(default=str)

    def ours(self, error: Exception) -> Exception | None:
        """Return the error to record for one of the client's; None if it is not about the connection."""
        for kind, means in self.kinds.items():
            if isinstance(error, kind):
                return _made(self.kind(error) or means, f"{type(error).__name__}: {self.text(error)}")
        return None

    def theirs(self, error: Exception) -> Exception:
        """Return what the client raises where this error was recorded."""
        name, colon, message = str(error).partition(": ")
        for module in (*self.modules, builtins):
            kind = cast("type[Exception] | None", getattr(module, name, None)) if colon else None
            if isinstance(kind, type) and issubclass(kind, tuple(self.kinds)):
                return self.make(kind, message)
        return self.make(self.again[_kind_of(error)], str(error))
