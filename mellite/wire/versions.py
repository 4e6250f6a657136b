"""Choose the version of a provider's API for each request: the newest, or an older one that a field needs."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..values.errors import UnsupportedOption
from ..values.provider_json import Json, JsonObject

__all__ = ["Versions"]


@frozen(kw_only=True)
class Versions:
    """Two versions of one API that accept different fields. An immutable value.

    Args:
        newest: the version to use by default.
        older: the version for requests with a field that the newest refuses.
        older_fields: the fields of the body that only `older` accepts; the options for them have the same names.
        header: the header that names the version, in lower case.
        field: the field of the body that names the version, if no header does.
        named: the version given in code, for every request.

    Example:
        >>> versions = Versions(newest="2", older="1", older_fields=frozenset({"top_k"}), header="api-version")
        >>> versions.applied({"top_k": 5}, {}, route="example", drop=False)
        ({'top_k': 5}, {'api-version': '1'})
    """

    newest: str
    older: str
    older_fields: frozenset[str]
    header: str | None = None
    field: str | None = None
    named: str | None = None

    def applied(
        self, body: Mapping[str, Json], headers: Mapping[str, str], *, route: str, drop: bool
    ) -> tuple[JsonObject, dict[str, str]]:
        """Return copies of a request's body and headers that name the version to use.

        Args:
            body: the body of the request. A version that it names already is kept.
            headers: the headers by lower-case name. A version that they name already is kept.
            route: the id of the route, for messages.
            drop: whether to drop fields that the version refuses.

        Raises:
            UnsupportedOption: for a field that the version given in code refuses.
        """
        body, headers = dict(body), dict(headers)
        older = sorted(self.older_fields & body.keys())
        named = body.get(self.field) if self.field is not None else headers.get(self.header or "")
        version = named or self.named
        if version is None:
            version = self.older if older else self.newest
        elif version == self.newest and older:
            if not drop:
                msg = (
                    f"route {route!r} cannot honour the option {older[0]!r} with the API version {version!r}, which "
                    f"was named in code and does not take it; name {self.older!r} or none, leave the option out, or "
                    "allow that it is left out with drop_unsupported=True"
                )
                raise UnsupportedOption(msg, option=older[0])
            for name in older:
                del body[name]
        if self.field is not None:
            body[self.field] = version
        elif self.header is not None:
            headers[self.header] = version
        return body, headers
