"""A route's plan from one call to the next: the URL and the checked headers with the key, while nothing changes.

A key that is kept here shows nowhere: these classes hide it in their reprs, and neither copies nor pickles have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, final

from ..values.errors import AuthenticationError, ConfigurationError
from ..values.options import NO_OPTIONS, Options
from ..values.request import Request
from .auth.keys import Auth, Scrubber
from .http import Written

__all__ = ["Ahead", "Asked", "Plan", "Plans", "Target"]

_MOST: Final = 64

#: What plans are kept by: the model, whether answers stream, and whether nothing is sent, so that no key is needed.
Target: TypeAlias = tuple[str | None, bool, bool]

#: What URL and headers are made of: base URL, headers of the route and of the call, query of the call, and the headers
#: with the version of the API, where the body decides which.
Asked: TypeAlias = tuple[str, Mapping[str, str], Mapping[str, str], Mapping[str, str], Mapping[str, str] | None]


class Ahead(NamedTuple):
    """A request that was compiled to be looked at before it is sent.

    Attributes:
        request: the very request; one that is equal is another one.
        call: what was made of it.
        base: the base URL that it goes to.
        plan: the way that it goes: it can be sent as it is while that has the key which is in force.
    """

    request: Request
    call: Any
    base: str
    plan: Plan

    def __repr__(self) -> str:
        return "<a request that was compiled ahead>"

    def __reduce__(self) -> NoReturn:
        msg = "what is compiled holds a key, and is neither copied nor pickled"
        raise TypeError(msg)


@final
class Plan:
    """The way to send requests as long as the key, the base URL and the headers stay the same.

    Args:
        added: the headers that auth has set; None if those of the next request are others.

    Attributes:
        url: the URL.
        written: all headers.
        asked: what both were made of, once the first request has been checked.
        scrubber: removes the key from texts.
    """

    __slots__ = ("added", "asked", "scrubber", "url", "written")

    def __init__(
        self, url: str, headers: Mapping[str, str], added: Mapping[str, str | None] | None, scrubber: Scrubber
    ) -> None:
        self.url = url
        self.written = Written(headers)
        self.added = added
        self.scrubber = scrubber
        self.asked: Asked | None = None

    def still_has_key_of(self, auth: Auth) -> bool:
        """Tell whether the headers that auth would set now are those of this plan."""
        try:
            return auth.constant_headers() == self.added
        except (AuthenticationError, ConfigurationError):
            return False  # it is raised, or passed over, where the headers are asked for

    def __repr__(self) -> str:
        return "<a Plan of requests>"

    def __reduce__(self) -> NoReturn:
        msg = "a plan holds a key, and is neither copied nor pickled"
        raise TypeError(msg)


@final
class Plans:
    """The plans that one route keeps; its copies and pickles have none of them.

    Threads may use one at once: everything is assigned in one step, and what is lost to another is made again.

    Attributes:
        options: the options of the last call, and what the defaults of the route make of them.
        ahead: what was compiled for somebody who looks at a request before it is sent.
    """

    __slots__ = ("_plans", "ahead", "options")

    def __init__(self) -> None:
        self._plans: dict[Target, Plan] = {}
        self.options: tuple[Options | None, Options] = (None, NO_OPTIONS)
        self.ahead: Ahead | None = None

    def find(self, target: Target, asked: Asked, auth: Auth | None) -> Plan | None:
        """Return the plan for a target, if there is one that still holds.

        Args:
            auth: gives the key that the plan must have; None to leave that to whoever sends the request.
        """
        plans = self._plans
        if target in plans:
            plan = plans[target]
            if plan.asked == asked and (auth is None or plan.still_has_key_of(auth)):
                return plan
        return None

    def keep(self, target: Target, asked: Asked, plan: Plan) -> None:
        """Keep a plan if more requests can follow it, and drop those with another key.

        Args:
            target: what to keep it by.
            asked: what it was made of.
            plan: the plan, whose first request has been checked.
        """
        if plan.added is None or "content-length" in plan.written.headers:
            return
        base, own, extra, query, versioned = asked
        if not all(isinstance(value, str) for value in query.values()):
            return  # 1 and True are equal, and not the same in a URL
        # Copies, because a caller may change what was given.
        plan.asked = (base, dict(own), dict(extra), dict(query), None if versioned is None else dict(versioned))
        plans = self._plans
        if len(plans) >= _MOST or not all(plan.added == other.added for other in plans.values()):
            plans = {}
        self._plans = {**plans, target: plan}

    def __repr__(self) -> str:
        return f"<{len(self._plans)} plans of requests>"

    def __reduce__(self) -> tuple[type[Plans], tuple[()]]:
        return Plans, ()
