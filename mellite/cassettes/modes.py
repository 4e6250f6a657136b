"""Whether to replay or to record, as the caller or the environment says, and which tests are selected.

    none          replay only: a request that is not recorded is an error, and no socket is opened
    once          record if there is no cassette yet, else replay only
    new_episodes  replay what is recorded, and record the rest
    all           record everything, and add it to what is there
    rewrite       record everything, and replace what is there once the recording has ended well

Everything here is a function of values: the environment is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal, TypeAlias

from attrs import frozen

from ..values.errors import ConfigurationError, RecordingForbidden
from ..values.public_names import publish
from ..values.spelling import nearest

__all__ = ["MODES", "Mode", "Selection", "in_ci", "mode_of", "permitted", "why_not"]

#: Whether to replay or to record.
Mode: TypeAlias = Literal["none", "once", "new_episodes", "all", "rewrite"]

MODES: Final[tuple[Mode, ...]] = ("none", "once", "new_episodes", "all", "rewrite")

#: The variables that ask for recording, and the mode that each means when it only says yes. The first one set counts.
_VARIABLES: Final[Mapping[str, Mode]] = {"RECORD": "rewrite", "MOCHI_LLM_CASSETTE_RECORD": "new_episodes"}

_YES: Final = frozenset({"1", "on", "true", "yes"})
_NO: Final = frozenset({"", "0", "false", "no", "off"})
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")


def mode_of(environment: Mapping[str, str], asked: str | None = None) -> Mode:
    """Return the mode that was asked for, or else the one that the environment sets, or else ``none``.

    ``RECORD=true`` means ``rewrite``, ``MOCHI_LLM_CASSETTE_RECORD=1`` means ``new_episodes``; both also take the name
    of a mode.

    Args:
        environment: as in ``os.environ``.
        asked: a mode.

    Raises:
        ConfigurationError: for a value that is not a mode; the message names the nearest one.

    Example:
        >>> mode_of({}), mode_of({"RECORD": "true"}), mode_of({"RECORD": "true"}, "once")
        ('none', 'rewrite', 'once')
    """
    if asked is not None:
        return _mode(asked, "mode")
    for name, yes in _VARIABLES.items():
        value = environment.get(name, "").strip().lower()
        if value in _YES:
            return yes
        if value not in _NO:
            return _mode(value.replace("-", "_"), name)
    return "none"


def _mode(value: object, name: str) -> Mode:
    for mode in MODES:
        if value == mode:
            return mode
    near = nearest(str(value), MODES)
    hint = f"; did you mean {near!r}?" if near is not None else ""
    msg = f"{name} is one of {', '.join(MODES)}, not {value!r:.80}{hint}"
    raise ConfigurationError(msg)


def in_ci(environment: Mapping[str, str]) -> bool:
    """Whether ``CI`` is set, and not to 0 or false, so that nothing may be recorded.

    Example:
        >>> in_ci({"CI": "true"}), in_ci({"CI": "false"}), in_ci({})
        (True, False, False)
    """
    return environment.get("CI", "").strip().lower() not in _NO


def permitted(mode: Mode, environment: Mapping[str, str], *, even_in_ci: bool = False) -> Mode:
    """Return the mode to run in: with ``CI=true``, modes that replay as well only replay.

    Args:
        mode: what is wanted.
        environment: as in ``os.environ``.
        even_in_ci: record there, too.

    Raises:
        RecordingForbidden: for ``all`` and ``rewrite`` with ``CI=true``, which would replay nothing.

    Example:
        >>> permitted("once", {"CI": "true"}), permitted("once", {})
        ('none', 'once')
    """
    if mode == "none" or even_in_ci or not in_ci(environment):
        return mode
    if mode in ("once", "new_episodes"):
        return "none"
    msg = (
        f"the mode {mode!r} records everything, but CI={environment['CI']!r} is set, where nothing is recorded: record "
        "on a machine of your own and commit the cassette, or say even_in_ci=True"
    )
    raise RecordingForbidden(msg)


def why_not(asked: str, environment: Mapping[str, str], *, blocks: bool, only_reports: bool) -> str | None:
    """Return what contradicts a flag of pytest that asks for recording; None if nothing does.

    Args:
        asked: a mode, or ``stale``.
        environment: as in ``os.environ``.
        blocks: whether the network is blocked.
        only_reports: whether requests that differ are only reported.

    Example:
        >>> why_not("all", {}, blocks=False, only_reports=True)
        '--mellite-stale only replays, and recording (all) was asked for'
    """
    if blocks:
        return f"--mellite-block-network leaves no way to record, and recording ({asked}) was asked for"
    if asked in ("all", "rewrite", "stale") and in_ci(environment):
        return f"with CI={environment['CI']!r} nothing is recorded, and recording ({asked}) was asked for"
    return f"--mellite-stale only replays, and recording ({asked}) was asked for" if only_reports else None


def _kebab(text: str) -> str:
    return _NO_WORD.sub("-", text.lower()).strip("-")


def _listed(text: str | None) -> tuple[str, ...]:
    """Split the value of a variable at its commas, in lower case."""
    return tuple([word for piece in (text or "").split(",") if (word := piece.strip().lower())])


@frozen(kw_only=True)
class Selection:
    """A choice of a few recorded tests, to record or to replay. All conditions that are given must hold.

    Args:
        prefixes: the test's group is one of these.
        providers: the test has a tag ``provider:`` with one of these.
        tags: the test has all of these.
        tests: the name of the test or of its cassette contains one of these, as it is or with dashes.

    Example:
        >>> chosen = Selection.of({"RECORDED_PROVIDER": "openai,groq", "RECORDED_TEST": "streams text"})
        >>> chosen.has("openai-chat/streams-text", tags=["provider:groq"]), chosen.has("openai-chat/streams-text")
        (True, False)
    """

    prefixes: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Selection:
        """Read ``RECORDED_PREFIX``, ``RECORDED_PROVIDER``, ``RECORDED_TAGS`` and ``RECORDED_TEST``.

        Each is a list with commas; case does not matter. A variable that is not set selects everything.
        """
        return cls(
            prefixes=_listed(environment.get("RECORDED_PREFIX")),
            providers=_listed(environment.get("RECORDED_PROVIDER")),
            tags=_listed(environment.get("RECORDED_TAGS")),
            tests=_listed(environment.get("RECORDED_TEST")),
        )

    def has(self, cassette: str, *, test: str = "", tags: Collection[str] = (), prefix: str | None = None) -> bool:
        """Whether a test is selected.

        Args:
            cassette: the name of its cassette, as in ``group/case``.
            test: the name of the test.
            tags: the tags of the test, as in ``provider:openai``, ``tool``.
            prefix: the group of the test; by default a tag ``prefix:``, or else the cassette's folder.
        """
        known = {tag.lower() for tag in tags}
        group = _group(cassette, known) if prefix is None else prefix.lower()
        if self.prefixes and group not in self.prefixes:
            return False
        if self.providers and known.isdisjoint([f"provider:{provider}" for provider in self.providers]):
            return False
        return known.issuperset(self.tags) and (not self.tests or any(map(self._names, (test, cassette))))

    def _names(self, name: str) -> bool:
        """Whether the name of a test or cassette contains a wanted one."""
        plain, dashed = name.lower(), _kebab(name)
        return any(wanted in plain or _kebab(wanted) in dashed for wanted in self.tests)


def _group(cassette: str, tags: Collection[str]) -> str:
    """Return the group that a tag names, or else the cassette's folder."""
    tagged = next((tag.removeprefix("prefix:") for tag in sorted(tags) if tag.startswith("prefix:")), None)
    return cassette.lower().rpartition("/")[0] if tagged is None else tagged


publish(globals(), "mellite.cassettes", "Selection")
