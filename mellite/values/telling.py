"""The log for people who operate a program: records of the logger ``mellite``, with fields of stable names.

Each record says in ``mellite_event`` what happened, and has the fields that belong to that as ``mellite_...``: see
docs/how-to/read-the-log.md, which lists all of them. Prompts and answers are never in it, at no level, nor is a key.

The program decides where the records go, as with any library; with the variable ``MELLITE_LOG`` set to a level they go
to stderr. That is looked at when something happens first, so that importing costs nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final, final

from .errors import ConfigurationError, ProviderError, RequestError, TransportError

__all__ = ["MCP_LOG", "VARIABLE", "Log", "log", "reason_of", "words_of"]

VARIABLE: Final = "MELLITE_LOG"

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"

#: Errors whose words are ours or the provider's, and hold nothing of prompt and answer.
_TOLD: Final = (ConfigurationError, ProviderError, RequestError, TransportError)
_MOST_CHARACTERS: Final = 500
_MOST_MISTAKES: Final = 100


def words_of(error: BaseException | None) -> str | None:
    """Return what an error says, without secrets; None where that might hold something of prompt and answer."""
    if not isinstance(error, _TOLD):
        return None
    from .secrets.shapes import masked  # a dozen modules, for what is rare

    return masked(str(error))[:_MOST_CHARACTERS]


def reason_of(error: BaseException) -> str:
    """Return the class of an error, and its words where they may be told."""
    words = words_of(error)
    return type(error).__name__ if words is None else f"{type(error).__name__}: {words}"


@final
class _Stderr(logging.Handler):
    """Writes to what ``sys.stderr`` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if sys.stderr is not None:
            sys.stderr.write(self.format(record) + "\n")


@final
class _SettingUp:
    """The setup that is done once, before the first record.

    Attributes:
        is_done: whether it has been.
        complained: whether it was said that a handler of the program raises.
        mistakes: what was said of mistakes of the program.
    """

    __slots__ = ("complained", "is_done", "mistakes")

    def __init__(self) -> None:
        self.is_done = False
        self.complained = False
        self.mistakes: set[str] = set()


_setting_up: Final = _SettingUp()


@final
class Log:
    """Writes records under one name.

    Args:
        name: the logger's name.

    Attributes:
        is_detailed: whether records of the level debug were wanted when the last generation began. Where they would
            cost something, look here first: it costs no call.
    """

    __slots__ = ("_logger", "is_detailed")

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self.is_detailed = False

    def wants(self, level: int) -> bool:
        """Return whether records of this level are wanted."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, message: str, *args: object, **fields: Any) -> None:
        """Tell what goes on; see `tell`."""
        self.tell(logging.DEBUG, event, message, *args, **fields)

    def info(self, event: str, message: str, *args: object, **fields: Any) -> None:
        """Tell what is out of the ordinary; see `tell`."""
        self.tell(logging.INFO, event, message, *args, **fields)

    def warning(self, event: str, message: str, *args: object, **fields: Any) -> None:
        """Write a warning; see `tell`."""
        self.tell(logging.WARNING, event, message, *args, **fields)

    def mistake(self, event: str, message: str, *args: object, **fields: Any) -> None:
        """Write a warning about code of the program; see `tell`.

        Where nothing handles records, each such message also goes to stderr, once: the program's author has not set up
        logging yet, and is the only one who can mend it.
        """
        self.tell(logging.WARNING, event, message, *args, **fields)
        if _is_handled(self._logger) or not self._logger.isEnabledFor(logging.WARNING) or logging.lastResort is None:
            return
        said = f"mellite: {message % args} (MELLITE_LOG=warning shows the traceback)"
        if said not in _setting_up.mistakes and len(_setting_up.mistakes) < _MOST_MISTAKES:
            _setting_up.mistakes.add(said)
            logging.lastResort.handle(logging.makeLogRecord({"msg": said, "levelno": logging.WARNING}))

    def tell(
        self, level: int, event: str, message: str, *args: object, raised: bool | BaseException = False, **fields: Any
    ) -> None:
        """Write a record.

        Args:
            level: one of those of `logging`.
            event: what happened, in two words.
            message: the same as a sentence, with a ``%s`` for each of `args`.
            *args: what stands in it.
            raised: an error whose traceback to add; True for that of the one that is being handled.
            **fields: the values of the record; None for what is not known.
        """
        if not _setting_up.is_done:
            set_up()
        if not self._logger.isEnabledFor(level):
            return
        # With a prefix: a record refuses a field whose name it has already, from a record factory of the program, say.
        extra: dict[str, Any] = {f"mellite_{name}": value for name, value in fields.items() if value is not None}
        extra["mellite_event"] = event
        try:
            self._logger.log(level, message, *args, exc_info=raised, extra=extra, stacklevel=3)
        except Exception as error:
            # A filter or handler of the program. What it is told of must go on.
            if not _setting_up.complained and logging.lastResort is not None:
                _setting_up.complained = True
                said = f"mellite: what handles its log records raised {type(error).__name__}; this is said once"
                logging.lastResort.handle(logging.makeLogRecord({"msg": said, "levelno": logging.ERROR}))


log: Final = Log("mellite")

#: What MCP servers say on stderr, and of their tools.
MCP_LOG: Final = Log("mellite.mcp")


def _is_handled(logger: logging.Logger) -> bool:
    """Return whether records reach a handler that does something."""
    at: logging.Logger | None = logger
    while at is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def set_up() -> None:
    """Write to nowhere but where the program wants it, or to stderr at the level that the variable names. Idempotent.

    Where the program has handlers of its own, the variable sets the level only.
    """
    if _setting_up.is_done:
        return
    _setting_up.is_done = True
    logger = logging.getLogger("mellite")
    is_handled = logger.hasHandlers()
    logger.addHandler(logging.NullHandler())
    word = os.environ.get(VARIABLE, "").strip()
    if not word:
        return
    logger.setLevel(_LEVELS.get(word.lower(), logging.WARNING))
    if not is_handled:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%H:%M:%S"))
        logger.addHandler(handler)
    if word.lower() not in _LEVELS:
        said = "%s=%.20s is not a level: write one of %s"
        log.tell(logging.WARNING, "log.setting", said, VARIABLE, word, ", ".join(_LEVELS))
