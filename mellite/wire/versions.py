"""Say which version of its API a provider is asked in, where a request needs an older one than the newest."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..values.errors import UnsupportedOption
from ..values.provider_json import Json, JsonObject

__all__ = ["Versions"]


@frozen(kw_only=True)
class Versions:
    """The versions of one API that differ in what they take. A value.

    Args:
        newest: the version that is asked for.
        older: the version that is asked for where a request has a field that the newest does not take.
        older_fields: those fields of the body; they are options of the same names.
        header: the header that says the version, in lower case.
        field: the field of the body that says the version, where no header does.
        named: the version that was named in code; it is asked for, whatever the request has.

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
        """Return the body and the headers of a request with the version that it is to be asked in.

        Args:
            body: of the request; it may name a version, too.
            headers: by lower-case name; likewise.
            route: the id of the route, for messages.
            drop: whether fields that the version does not take may be left out.

        Raises:
            UnsupportedOption: for a field that the version which was named in code does not take.
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
