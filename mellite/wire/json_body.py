"""Write the JSON body of a request as bytes, and merge the caller's raw additions into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from attrs import evolve

from ..values.errors import InvalidRequest
from ..values.json_texts import well_formed
from ..values.options import HttpOptions
from ..values.provider_json import Json, JsonObject
from ..values.type_names import a_type_name

__all__ = ["encoded", "merged", "merged_http", "of_copy"]


def merged(under: Mapping[str, Json], over: Mapping[str, Json]) -> JsonObject:
    """Return *under* with *over* merged into it: objects recursively, everything else replaced."""
    result = dict(under)
    for name, value in over.items():
        known = result.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[name] = merged(known, value)
        else:
            result[name] = value
    return result


def merged_http(under: HttpOptions | None, over: HttpOptions | None) -> HttpOptions | None:
    """Merge two sets of additions; those of *over* win."""
    if under is None or over is None:
        return over if under is None else under
    return HttpOptions(
        body=merged(under.body, over.body),
        headers={**under.headers, **over.headers},
        query={**under.query, **over.query},
    )


def of_copy(extra: HttpOptions, lineage: Sequence[int]) -> HttpOptions:
    """Return the additions of a copy of a thunk: an idempotency key is its own, or it would get its parent's answer.

    Args:
        extra: the additions that all copies share.
        lineage: which copy of which copy it is.

    Example:
        >>> of_copy(HttpOptions(headers={"Idempotency-Key": "order-7"}), (0, 2)).headers["Idempotency-Key"]
        'order-7-0.2'
    """
    headers = {
        name: f"{value}-{'.'.join(map(str, lineage))}" if name.lower() == "idempotency-key" else value
        for name, value in extra.headers.items()
    }
    return evolve(extra, headers=headers)


def encoded(body: JsonObject) -> tuple[bytes, JsonObject]:
    """Return the body as bytes, and the object that they stand for.

    Lone surrogates, which servers refuse, become U+FFFD in both.

    Raises:
        InvalidRequest: if the body cannot be written as JSON.
    """
    try:
        try:
            return msgspec.json.encode(body, enc_hook=_plain), body
        except UnicodeEncodeError:
            body = well_formed(body)
            return msgspec.json.encode(body, enc_hook=_plain), body
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"the request cannot be written as JSON: {error}"
        raise InvalidRequest(msg) from error


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{a_type_name(type(value))} cannot stand in a JSON body"
    raise TypeError(msg)
