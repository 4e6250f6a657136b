"""The fields of a request body that come from options: renamed, or the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter

from ..values.errors import InvalidRequest
from ..values.options import Options
from ..values.provider_json import Json, JsonObject
from ..values.request import Request

__all__ = ["own_fields", "renamed"]


def renamed(options: Options, fields: Mapping[str, str]) -> JsonObject:
    """Return the options that are set, under the names of the protocol and in its order.

    Example:
        >>> renamed(Options(top_p=0.5), {"temperature": "t", "top_p": "p"})
        {'p': 0.5}
    """
    found: JsonObject = {}
    for name, value in zip(fields, _reader(*fields)(options), strict=True):
        if value is not None:
            found[fields[name]] = list(value) if type(value) is tuple else value
    return found


@lru_cache(maxsize=64)
def _reader(*names: str) -> Callable[[Options], Sequence[Json]]:
    """Return what reads some options, in one step."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda options: [getattr(options, name) for name in names]


def own_fields(
    request: Request, namespace: str, *, reserved: Collection[str], field_of: Callable[[str], str] = str
) -> Iterator[tuple[str, Json]]:
    """Give the caller's own fields of the body: ``provider_options`` of one namespace.

    Args:
        request: the request.
        namespace: whose options.
        reserved: the fields that a request sets itself.
        field_of: gives the field of the body that an option stands for.

    Raises:
        InvalidRequest: if the options are not a mapping, or one is reserved.
    """
    options: object = request.provider_options.get(namespace)
    if options is None:
        return
    if not isinstance(options, Mapping):
        msg = f"provider_options[{namespace!r}] must be a mapping, not {type(options).__name__}"
        raise InvalidRequest(msg, parameter="provider_options")
    for name, value in options.items():
        if field_of(name) in reserved:
            msg = f"provider_options[{namespace!r}] cannot set {name!r}; the request has a field of its own for it"
            raise InvalidRequest(msg, parameter="provider_options")
        yield name, value
