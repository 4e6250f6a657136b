"""Send calls to another process as bytes: the backend once, and each request; refuse what must not travel.

A backend is pickled once for a map, and every request refers to it, so that all calls on a worker share its
connections; so are the classes and functions of the program's main module, which a worker cannot import. Keys do not
travel: those of mellite's own backends are never pickled, and what looks like one in anything else is refused.
"""

from __future__ import annotations

import io
import os
import pickle
import zlib
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Final, NamedTuple, cast, final

from ..backends.fake import Scripted
from ..values.backend_streams import name_of
from ..values.errors import AuthenticationError, CannotTravel, MelliteError
from ..values.request import Request
from ..values.secrets.names import FIELDS, environment_secrets, is_secret_header, plain_name
from ..values.secrets.shapes import looks_secret
from ..wire.auth.keys import Given
from ..wire.transports.default import is_replaced
from ..wire.transports.scripted import ScriptedTransport

__all__ = ["Arrived", "Travelling", "packed", "unpacked"]

#: Shorter packets are sent as they are.
_WORTH_SQUEEZING: Final = 1024
_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None), type, FunctionType)
_OURS: Final = __name__.partition(".")[0]


def packed(value: object) -> bytes:
    """Return a value as bytes to send, compressed where that pays."""
    data = pickle.dumps(value, protocol=5)
    return b"z" + zlib.compress(data, 1) if len(data) > _WORTH_SQUEEZING else b"-" + data


def unpacked(data: bytes) -> Any:
    """Return the value that `packed` made this of."""
    return pickle.loads(zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:])  # noqa: S301 - from our own other end


class _Shared(NamedTuple):
    """A value that is sent only once.

    Args:
        value: the thing itself, kept so that its id stays its own.
        data: its pickle.
    """

    value: object
    data: bytes


@final
class Travelling:
    """Makes bytes of backends and requests for one map; for one thread at a time.

    What is shared has a number, and refers to such of lower numbers only.
    """

    def __init__(self) -> None:
        self._shared: list[_Shared] = []
        self._numbers: dict[int, int] = {}  # id -> its number
        self._secrets = environment_secrets(os.environ)

    def backend(self, backend: object) -> int:
        """Return the number of a backend, which is looked at and pickled the first time.

        Raises:
            CannotTravel: naming what of it cannot be sent, or may be a key.
            AuthenticationError: if its key was given in code.
        """
        number = self._numbers.get(id(backend))
        if number is not None:
            return number
        if is_replaced() and hasattr(backend, "transport_now"):
            msg = (
                f"a cassette or another stand-in answers for {name_of(backend)} in this process, and it does not "
                "travel: use on='local'"
            )
            raise CannotTravel(msg, attribute="backend.transport")
        self._inspect(backend, "backend")
        return self._share(backend, self._dumps(backend, "backend"))

    def request(self, request: Request) -> bytes:
        """Return a request as bytes.

        Raises:
            CannotTravel: naming what of it cannot be sent, or may be a key.
        """
        if request.http is not None:
            self._inspect(request.http, "request.http")
        if request.provider_options:
            self._inspect(request.provider_options, "request.provider_options")
        return self._dumps(request, "request", may_be_plain=True)

    def value(self, value: object, name: str) -> None:
        """Refuse what could not be sent.

        Args:
            value: anything, such as a strategy.
            name: what to call it.

        Raises:
            CannotTravel: naming what of it cannot be sent.
        """
        self._dumps(value, name)

    def since(self, count: int) -> list[tuple[int, bytes]]:
        """Return all that is shared, but for the first so many, as numbers and bytes."""
        return [(count + place, each.data) for place, each in enumerate(self._shared[count:])]

    @property
    def count(self) -> int:
        """The number of shared values."""
        return len(self._shared)

    def _share(self, value: object, data: bytes) -> int:
        number = self._numbers[id(value)] = len(self._shared)
        self._shared.append(_Shared(value, data))
        return number

    def number_of(self, value: object) -> int | None:
        """Return the number of what is shared, and share what a worker cannot import; None for all else."""
        number = self._numbers.get(id(value))
        if number is None and isinstance(value, (type, FunctionType)) and value.__module__ == "__main__":
            if "<" in value.__qualname__:  # a lambda, or inside of a function
                return None
            import cloudpickle  # type: ignore[import-untyped]

            number = self._share(value, cloudpickle.dumps(value))
        return number

    def _dumps(self, value: object, name: str, *, may_be_plain: bool = False) -> bytes:
        try:
            if may_be_plain:  # a third of the time, as nothing has to look at each part
                data = pickle.dumps(value, protocol=5)
                if b"__main__" not in data:
                    return data
            return self._pickled(value)
        except Exception as error:
            if isinstance(error, MelliteError):
                raise
            path, reason = self._stuck(value, name, error)
            msg = f"{path} cannot be sent to another process: {reason}"
            raise CannotTravel(msg, attribute=path) from error

    def _pickled(self, value: object) -> bytes:
        file = io.BytesIO()
        _Pickler(file, self).dump(value)
        return file.getvalue()

    # What does not travel

    def _stuck(self, value: object, path: str, reason: Exception) -> tuple[str, Exception]:
        """Return the path of the innermost part that cannot be pickled, and why; a class only if nothing else is."""
        seen: list[object] = []
        while not any(value is each for each in seen):
            seen.append(value)
            for name, part in sorted(_parts(value, path), key=lambda each: isinstance(each[1], type)):
                try:
                    self._pickled(part)
                except Exception as error:
                    value, path, reason = part, name, error
                    break
        return path, reason

    def _inspect(self, value: object, path: str) -> None:
        """Refuse keys, and what answers in turn.

        Raises:
            CannotTravel: naming where it is.
            AuthenticationError: for a key that was given in code.
        """
        waiting: list[tuple[str, object]] = [(path, value)]
        seen: dict[int, object] = {}
        while waiting:
            path, value = waiting.pop()
            if id(value) in seen:
                continue
            seen[id(value)] = value  # kept: what is made on the way must not get the id of another one
            self._judge(value, path)
            named = isinstance(value, Mapping) or not _is_ours(value)
            for name, part in _parts(value, path):
                if named and part not in (None, "", b"") and _names_a_secret(name[len(path) :]):
                    raise _secret(name)
                if isinstance(part, str) and not _is_ours(value) and looks_secret(part, self._secrets):
                    raise _secret(name)
                if not isinstance(part, _PLAIN):
                    waiting.append((name, part))

    def _judge(self, value: object, path: str) -> None:
        if isinstance(value, (Scripted, ScriptedTransport)):
            kind = type(value).__name__
            msg = f"{path} is a {kind}, which answers in turn, and each worker would begin anew: use on='local'"
            raise CannotTravel(msg, attribute=path)
        if isinstance(value, Given) and value.find() is not None:
            msg = (
                f"the key at {path} was given in code, and keys never travel: leave api_key= out, and set the "
                "environment variable of the provider where the workers run"
            )
            raise AuthenticationError(msg, kind="missing")


def _is_ours(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == _OURS


def _names_a_secret(name: str) -> bool:
    name = name.strip("[].'\"_")
    return plain_name(name) in FIELDS or is_secret_header(name.replace("_", "-"))


def _secret(path: str) -> CannotTravel:
    msg = (
        f"{path} looks like a key, and keys never travel: have the backend read it from the environment of the worker, "
        "when it is asked, or leave it out in __getstate__"
    )
    return CannotTravel(msg, attribute=path)


def _parts(value: object, path: str) -> Iterator[tuple[str, Any]]:
    """Give what a pickle of a value holds, each with its path."""
    if isinstance(value, Mapping):
        yield from [(f"{path}[{name!r}]", part) for name, part in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from [(f"{path}[{place}]", part) for place, part in enumerate(cast("Sequence[object]", value))]
    elif not isinstance(value, _PLAIN):
        yield from _reduced(value, path)


def _reduced(value: object, path: str) -> Iterator[tuple[str, Any]]:
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # this is what cannot be pickled
        return
    if isinstance(reduced, str):
        return
    arguments, state, items = reduced[1], (*reduced, None)[2], [each for each in reduced[3:5] if each is not None]
    for part in arguments:
        yield path, part[0] if isinstance(part, tuple) and len(part) == 1 else part
    states = state if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict) else (state,)
    for each in states:
        if isinstance(each, Mapping):
            yield from [(f"{path}.{_shown(value, str(name))}", part) for name, part in each.items()]
        elif each is not None:
            yield path, each
    for each in items:
        yield path, list(each)


def _shown(value: object, name: str) -> str:
    """Return the name of an attribute as a caller knows it."""
    public = name.lstrip("_")
    return public if public and hasattr(type(value), public) else name


@final
class _Pickler(pickle.Pickler):
    """Pickles a value that refers to what is shared."""

    def __init__(self, file: io.BytesIO, travelling: Travelling) -> None:
        super().__init__(file, protocol=5)
        self._number_of = travelling.number_of

    def persistent_id(self, obj: object) -> int | None:
        """Return the number that stands for a thing; None to pickle the thing itself."""
        return self._number_of(obj)


@final
class Arrived:
    """The receiving end on a worker: makes backends and requests of bytes again."""

    def __init__(self) -> None:
        self._shared: dict[int, object] = {}
        self._failures: dict[int, Exception] = {}

    def add(self, number: int, data: bytes) -> None:
        """Take what is shared.

        Raises:
            Exception: if it is of a module that this process cannot import.
        """
        self._shared[number] = self._loads(data)

    def note_failure(self, number: int, error: Exception) -> None:
        """Note that what has this number cannot be read here."""
        self._failures[number] = error

    def backend(self, number: int) -> Any:
        """Return a backend by its number.

        Raises:
            Exception: why it cannot be read here.
        """
        if number in self._failures:
            raise self._failures[number]
        return self._shared[number]

    def request(self, data: bytes) -> Request:
        """Return a request.

        Raises:
            Exception: if it is of a module that this process cannot import.
        """
        return cast("Request", self._loads(data))

    def _loads(self, data: bytes) -> object:
        return _Unpickler(io.BytesIO(data), self._shared).load()


@final
class _Unpickler(pickle.Unpickler):
    """Unpickles a value that refers to what is shared."""

    def __init__(self, file: io.BytesIO, shared: Mapping[int, object]) -> None:
        super().__init__(file)
        self._found = shared

    def persistent_load(self, pid: int) -> object:
        """Return the thing that a number stands for."""
        return self._found[pid]
