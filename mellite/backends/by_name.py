"""Make a backend from a string: 'openai:gpt-4o-mini', 'cassette:DIRECTORY_OR_FILE' or 'fake:echo'."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

from ..loops.places import limit_of
from ..providers import catalog
from ..thunk.backend import Backend
from ..values.errors import ConfigurationError, UnknownProvider
from ..values.options import CommonOptions, Timeouts
from ..values.public_names import publish
from ..values.request import Request
from ..values.spelling import nearest
from ..values.whole_numbers import check_count
from ..wire.http import Transport
from ..wire.transports.default import NetworkOptions, reaching
from .live import MOST, LiveBackend

if TYPE_CHECKING:
    from .wrappers.quotas import Concurrency

# What answers from cassettes is imported where one is named, with all protocols: half of what a live call needs.

__all__ = ["BackendOptions", "backend", "is_offline"]

#: The default for how often to try again, as in the SDKs of OpenAI and Anthropic.
RETRIES: Final = 2

_NETWORK: Final = tuple(NetworkOptions.__annotations__)
_OFFLINE: Final = ("cassette", "fake")
_FAKES: Final = "fake:echo answers with the prompt, fake:constant:TEXT with TEXT"


#: The endings of HTTP cassettes' names: mellite's own and VCR's, compressed or not.
_FILE: Final = re.compile(r"\.(?:json|ya?ml|toml)(?:\.gz|\.lz4)?$")


class BackendOptions(CommonOptions, NetworkOptions, total=False):
    """The further options of `mellite.backend`, for signatures: ``**options: Unpack[BackendOptions]``.

    They are checked when the backend is made.
    """

    model: str | None
    provider: str
    keep_raw: bool
    max_request_bytes: int | None
    max_answer_bytes: int | None
    max_answer_values: int | None


def backend(
    spec: str,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    transport: Transport | None = None,
    timeouts: Timeouts | None = None,
    retries: int = RETRIES,
    max_concurrency: int | Concurrency | None = MOST,
    **options: Unpack[BackendOptions],
) -> Backend:
    """Make a backend from a string.

    ``provider:model`` (or ``provider/model``; the first separator counts) asks a provider over the network.
    ``cassette:DIRECTORY`` answers from the text cassettes in a directory. ``cassette:FILE.json`` answers from an HTTP
    cassette (also from VCR's ``.yaml``, or compressed, ``.json.gz``), in the recorded order, or in any order if another
    client recorded it. ``fake:echo`` answers with the prompt, ``fake:constant:TEXT`` with a text. The file of an HTTP
    cassette is read at once. Otherwise nothing is opened, read from the environment or sent before the first thunk is
    generated.

    Args:
        spec: the string.
        api_key: the key; by default from the provider's environment variable, read when a call is made.
        base_url: another server; no key of the environment is sent there.
        transport: sends the requests, instead of connections of mellite's own.
        timeouts: the default timeouts of calls, in seconds.
        retries: how often to retry a failure that may pass, before any content of the answer was passed on; 0 for
            never. A `mellite.Retry` around the backend replaces it.
        max_concurrency: the most generations that run at once, over all loops and threads of the process; a
            `mellite.Concurrency` to share a limit between backends, None for no limit. Others wait. Cassettes and fakes
            have no limit.
        **options: defaults for every call: the fields of `mellite.request.Options`, ``provider_options`` and ``http``;
            and ``max_request_bytes``, ``max_answer_bytes``, ``max_answer_values`` and ``keep_raw`` of
            `mellite.backends.LiveBackend`. Connections: ``proxy``, a URL, None for none, by default from the
            environment; ``ca``, a file or folder of certificates to trust instead of the system's; ``cert``, the client
            certificate, a file with its key or two files. For a directory of text cassettes, ``provider`` and ``model``
            are those of the keys.

    Raises:
        UnknownProvider: if there is no such provider; names the nearest.
        UnknownOption: for an option that does not exist; names the nearest.
        InvalidRequest: for an option of the wrong type, a `max_concurrency` below 1, or `retries` below 0.
        ConfigurationError: if the string or the base URL makes no sense, or a proxy or a certificate cannot be used.
        CassetteMiss: if there is no such HTTP cassette.
        InvalidCassette: if the HTTP cassette is damaged.

    Example:
        >>> backend("fake:echo").generate("Anyone there?").result()
        'Anyone there?'
        >>> backend("cassette:cassettes/text", provider="openai").generate("Say hello.").result()
        'Hello! It is good to meet you.'
    """
    if not isinstance(spec, str) or not spec.strip():
        msg = f"a backend is named by a str such as 'openai:gpt-4o-mini' or 'cassette:DIRECTORY', not {spec!r:.100}"
        raise ConfigurationError(msg)
    limit_of("max_concurrency", max_concurrency)
    check_count("retries", retries, least=0)
    given = cast("dict[str, Any]", options)
    kind, _, rest = spec.partition(":")
    network = cast("NetworkOptions", {name: given.pop(name) for name in _NETWORK if name in given})
    if is_offline(spec):
        if network or api_key is not None or base_url is not None or transport is not None:
            msg = f"{spec!r} asks nobody: it takes no api_key, base_url, transport, proxy, ca or cert"
            raise ConfigurationError(msg)
        if kind.strip().lower() == "fake":
            Request.of("", **given)
            return _fake(spec, rest)
        return _cassette(spec, rest, timeouts, {**given, "retries": retries})
    name, _ = catalog.split(spec)
    if not catalog.knows(name):
        near = nearest(name, _OFFLINE)
        if near is not None:
            msg = f"there is no provider {name!r} (from {spec!r}); did you mean '{near}:'?"
            raise UnknownProvider(msg, provider=name)
    route = catalog.find(spec, api_key=api_key, base_url=base_url)
    if network:
        if transport is not None:
            given_too = " and ".join(f"{name}=" for name in network)
            msg = f"{given_too} and transport= cannot both be given: give it to the transport, Http1Transport(proxy=)"
            raise ConfigurationError(msg)
        route = route.with_(transport=reaching(route.transport, **network))
    given["retries"] = retries
    return LiveBackend(route, transport=transport, timeouts=timeouts, max_concurrency=max_concurrency, **given)


def is_offline(spec: str) -> bool:
    """Return whether a spec names a cassette or a fake, which use no network.

    Example:
        >>> is_offline("fake:echo"), is_offline("openai:gpt-4o-mini")
        (True, False)
    """
    kind, separator, _ = spec.partition(":")
    return bool(separator) and kind.strip().lower() in _OFFLINE


def _fake(spec: str, rest: str) -> Backend:
    from .fake import Constant, Echo

    kind, separator, text = rest.partition(":")
    if kind == "echo" and not separator:
        return Echo()
    if kind == "constant" and separator:
        return Constant(text)
    msg = f"there is no fake backend {spec!r}; {_FAKES}"
    raise ConfigurationError(msg)


def _cassette(spec: str, path: str, timeouts: Timeouts | None, options: dict[str, Any]) -> Backend:
    if not path:
        msg = f"{spec!r} names no cassette: write cassette:DIRECTORY or cassette:FILE.json"
        raise ConfigurationError(msg)
    if _FILE.search(path) and not os.path.isdir(path):
        return _replayed(path, timeouts, options)
    from .text_cassette import TextCassetteBackend

    options.pop("retries")  # a text cassette holds answers, and no failures
    provider = options.pop("provider", "")
    model = options.pop("model", None) or ""
    Request.of("", **options)
    return TextCassetteBackend(path, provider=provider, model=model)


def _replayed(path: str, timeouts: Timeouts | None, options: dict[str, Any]) -> Backend:
    from ..cassettes.bodies import decoded
    from ..cassettes.files.read import load_cassette
    from ..cassettes.replaying.transport import ReplayTransport
    from ..providers.recognize import route_of

    cassette = load_cassette(path)
    for interaction in cassette.http:
        is_json, body = decoded(interaction.request.body.characters)
        if is_json and isinstance(body, dict):
            route = route_of(interaction.request.url, body)
            if route is not None:
                # A client of somebody else's also asks what this backend never will, as for a list of models.
                of_a_client = isinstance((cassette.metadata or {}).get("client"), str)
                transport = ReplayTransport(cassette, match="pool" if of_a_client else "cursor")
                return LiveBackend(route, transport=transport, timeouts=timeouts, **options)
    msg = (
        f"cassette {path!r} holds no request of a protocol that mellite knows; replay it with a backend of your own "
        "over mellite.cassettes.ReplayTransport"
    )
    raise ConfigurationError(msg)


publish(globals(), "mellite", "backend")
publish(globals(), "mellite.backends", "BackendOptions")
