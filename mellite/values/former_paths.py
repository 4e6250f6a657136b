"""Paths that modules had in earlier versions, where pickles or published programs name them.

``mellite`` puts a finder at the end of `sys.meta_path` that asks `find` here for a module that is nowhere. What it
gives is a module with no code, which takes each name from where that is now. Add a row when a module moves that defines
what a pickle may hold, or that a page told people to import; never take one away. tests/test_pickles.py reads pickles
of every earlier version.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

__all__ = ["find", "moved"]

_ROOT: Final = __name__.partition(".")[0]

_MOVED: Final[Mapping[str, str]] = {
    "asking": "backends.asking",
    "backends.cassette": "backends.text_cassette",
    "backends.resolve": "backends.by_name",
    "calling": "thunk.backend",
    "calls": "thunk.call",
    "cassettes.codecs": "cassettes",
    "cassettes.files": "cassettes",
    "cassettes.http": "cassettes",
    "cassettes.journal": "cassettes",
    "cassettes.matching": "cassettes",
    "cassettes.of_tests": "cassettes.for_pytest",
    "cassettes.recorder": "cassettes",
    "cassettes.recording": "cassettes",
    "cassettes.redaction": "cassettes",
    "cassettes.scripted": "cassettes",
    "cassettes.sidecars": "cassettes",
    "cassettes.sockets": "cassettes",
    "cassettes.using": "cassettes",
    "cassettes.vcr": "cassettes",
    "cassettes.rendering": "cassettes.text.rendering",
    "chunking": "values.chunking",
    "chunking.choosing": "values.chunking.choosing",
    "chunking.cutting": "values.chunking.cutting",
    "chunking.json_values": "values.chunking.json_values",
    "chunking.own": "values.chunking.own",
    "chunking.sentences": "values.chunking.sentences",
    "conformance": "backends.conformance",
    "fold": "values.compact",
    "gathering": "strategies.gathering",
    "outcome": "thunk.outcome",
    "places": "loops.places",
    "pricelist": "values.prices.pricelist",
    "pricing": "values.prices.price",
    "protocols.anthropic_answer": "protocols.anthropic_messages.answer",
    "protocols.anthropic_body": "protocols.anthropic_messages.body",
    "protocols.anthropic_history": "protocols.anthropic_messages.history",
    "protocols.chat_answer": "protocols.openai_chat.answer",
    "protocols.chat_body": "protocols.openai_chat.body",
    "protocols.cohere_answer": "protocols.cohere_chat.answer",
    "protocols.cohere_body": "protocols.cohere_chat.body",
    "protocols.converse_answer": "protocols.bedrock_converse.answer",
    "protocols.converse_body": "protocols.bedrock_converse.body",
    "protocols.failures": "protocols.error_answers",
    "protocols.gemini_answer": "protocols.gemini.answer",
    "protocols.gemini_body": "protocols.gemini.body",
    "protocols.responses_answer": "protocols.openai_responses.answer",
    "protocols.responses_body": "protocols.openai_responses.body",
    "providers.google_login": "providers.google_credentials",
    "recorded": "archive.replay",
    "records": "values.records",
    "requirements.checking": "strategies.requirements",
    "requirements.formats": "strategies.requirements strategies.requirements.stock.formats",
    "requirements.json_prefix": "strategies.requirements.stock.json_prefix",
    "requirements.judging": "strategies.requirements strategies.requirements.stock.judge",
    "requirements.requirement": "strategies.requirements",
    "requirements.similarity": "strategies.requirements strategies.requirements.stock.similarity",
    "requirements.texts": "strategies.requirements strategies.requirements.stock.texts",
    "requirements.tool_calls": "strategies.requirements strategies.requirements.stock.tool_calls",
    "requirements.verdict": "strategies.requirements",
    "sampling.bestof": "strategies.sampling",
    "sampling.chain": "strategies.sampling",
    "sampling.hedge": "strategies.sampling",
    "sampling.rejection": "strategies.sampling",
    "sampling.repair": "strategies.sampling strategies.sampling.repair",
    "sampling.result": "strategies.sampling",
    "sampling.sample": "strategies.sampling",
    "sampling.strategy": "strategies.sampling",
    "sampling.thinking": "strategies.sampling strategies.sampling.budget_forcing",
    "sampling.voting": "strategies.sampling",
    "sharing": "thunk.sharing",
    "streaming.events": "strategies.streaming",
    "streaming.handle": "strategies.streaming",
    "usage": "values.usage",
    "wire.auth": "wire.auth.keys",
    "wire.aws_profile": "wire.auth.aws_profile",
    "wire.sigv4": "wire.auth.sigv4",
    "wire.tokens": "wire.auth.tokens",
    "wire.transport": "wire.transports.default",
    "wire.transport_aiohttp": "wire.transports.aiohttp",
    "wire.transport_httpx2": "wire.transports.httpx2",
    "wire.websocket": "wire.transports.websocket",
}
"""Former module -> the modules that its names are in now, separated by white space; all without ``mellite.``."""


def moved(path: str, name: str) -> object:
    """Return what a former module had under a name.

    Raises:
        AttributeError: if it had nothing of that name, or that is gone.
    """
    homes = "" if name.startswith("__") else _MOVED[path.removeprefix(f"{_ROOT}.")]
    for home in homes.split():
        module = import_module(f"{_ROOT}.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    msg = f"module {path!r} has no attribute {name!r}"
    raise AttributeError(msg)


def find(path: str) -> ModuleSpec | None:
    """Return how to load a former module; None for any other."""
    if path.removeprefix(f"{_ROOT}.") not in _MOVED:
        return None
    return ModuleSpec(path, _Loader(), is_package=True)  # there may be others below it


class _FormerModule(ModuleType):
    """A module that is gone, for pickles that name it.

    The import sets it as an attribute of its parent, where it may hide what people import: where a module of the
    requirements was, `mellite.requirements.similarity` is a function. The first look into it undoes that.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        parent, _, self._child = path.rpartition(".")
        self._parent = import_module(parent)
        self._hidden = vars(self._parent).get(self._child)

    def __getattr__(self, name: str) -> object:
        if not name.startswith("__") and vars(self._parent).get(self._child) is self:
            if self._hidden is None:
                delattr(self._parent, self._child)
            else:
                setattr(self._parent, self._child, self._hidden)
        return moved(self.__name__, name)


class _Loader(Loader):
    """Makes former modules, with nothing in them."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make one."""
        return _FormerModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""
