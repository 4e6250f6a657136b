"""The JSON body of a request as bytes; and how raw additions of the caller are laid over it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..values.errors import InvalidRequest
from ..values.options import HttpOptions
from ..values.provider_json import Json, JsonObject

__all__ = ["encoded", "merged", "merged_http"]


def merged(under: Mapping[str, Json], over: Mapping[str, Json]) -> JsonObject:
    """`over` laid over `under`, deeply; lists are replaced."""
    result = dict(under)
    for name, value in over.items():
        known = result.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[name] = merged(known, value)
        else:
            result[name] = value
    return result


def merged_http(under: HttpOptions | None, over: HttpOptions | None) -> HttpOptions | None:
    """The additions of both, those of `over` winning."""
    if under is None or over is None:
        return over if under is None else under
    return HttpOptions(
        body=merged(under.body, over.body),
        headers={**under.headers, **over.headers},
        query={**under.query, **over.query},
    )


def encoded(body: JsonObject) -> tuple[bytes, JsonObject]:
    """The body as bytes, and as it is sent: lone surrogates, which servers refuse, become U+FFFD."""
    try:
        try:
            return msgspec.json.encode(body, enc_hook=_plain), body
        except UnicodeEncodeError:
            body = _well_formed(body)
            return msgspec.json.encode(body, enc_hook=_plain), body
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"the request cannot be written as JSON: {error}"
        raise InvalidRequest(msg) from error


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"a {type(value).__name__} cannot stand in a JSON body"
    raise TypeError(msg)


def _well_formed(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, (list, tuple)):
        return [_well_formed(item) for item in value]
    if isinstance(value, Mapping):
        return {_well_formed(name): _well_formed(item) for name, item in value.items()}
    return value
