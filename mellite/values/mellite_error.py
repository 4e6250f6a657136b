"""What all errors of mellite have in common; `mellite.values.errors` has them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .public_names import publish

if TYPE_CHECKING:
    from .usage import Usage

__all__ = ["MelliteError"]


class MelliteError(Exception):
    """Any error of mellite; catch this to catch them all.

    Attributes, each None where it is not known:
        provider: the provider's name, as in ``openai``.
        model: the requested model.
        status: the HTTP status, an int.
        request_id: the provider's id of the request, to quote in a support ticket.
        partial: the text received before it went wrong.
        usage: the tokens used by then.
        retryable: whether asking again could help.
        retry_after: how long the provider asked to wait, in seconds.
        provider_message: what the provider's error answer said, in its own words.
        code: the provider's own code for it.

    Your subclass accepts its annotated attributes as keywords: ``class Mine(MelliteError): rule: str | None = None``.

    Raises:
        TypeError: for a keyword that is not an attribute of the class; names the nearest one.

    Example:
        >>> from mellite.errors import RateLimited
        >>> error = RateLimited("openai asked to wait", provider="openai", retry_after=2.0)
        >>> error.retryable, error.retry_after
        (True, 2.0)
    """

    default_retryable: ClassVar[bool] = False

    provider: str | None
    model: str | None
    status: int | None
    request_id: str | None
    partial: str | None
    usage: Usage | None
    retryable: bool
    retry_after: float | None
    provider_message: str | None = None
    code: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        partial: str | None = None,
        usage: Usage | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        if details:
            _check_details(type(self), details)
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.partial = partial
        self.usage = usage
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        # What a subclass declares (a cassette's path, a parameter's name): plain attributes, so that pickle keeps them.
        self.__dict__.update(details)


def _check_details(kind: type[MelliteError], details: Mapping[str, object]) -> None:
    """Raise TypeError for a keyword that no class of this error declares as an attribute, with the nearest one."""
    declared = [name for cls in kind.__mro__ for name in getattr(cls, "__annotations__", ()) if name[0] != "_"]
    known = sorted({name for name in declared if name != "default_retryable"})
    for name in details:
        if name not in known:
            from .spelling import did_you_mean

            msg = f"{kind.__name__}() got an unexpected keyword argument {name!r}; {did_you_mean(name, known)}"
            raise TypeError(msg)


publish(globals(), "mellite.errors", elsewhere={"usage": "values.usage"})
