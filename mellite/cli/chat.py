"""`mellite chat`: talk with a model on a terminal or in a pipe, with history and tools."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..values.errors import ConfigurationError, InvalidRequest, MelliteError
from ..values.portrait import counted
from ..values.spelling import did_you_mean
from .asking import Asking, asking_options
from .examples import examples
from .generate import print_stream, stop, summary
from .output import errors_shown, print_json

if TYPE_CHECKING:
    from ..strategies.conversing.conversation import Conversation
    from ..thunk.thunk import AnyThunk

__all__ = ["chat"]

_EXIT: Final = "/exit"

_HELP: Final = """\
/save FILE    write the conversation to a file
/load FILE    go on from a conversation in a file
/model P:M    ask another model from now on
/exit         end the chat; so does Ctrl-D
/help         show this
A line that begins with // is sent with one of them. Ctrl-C stops an answer."""


@click.command(
    epilog=examples("mellite chat -m fake:echo", "mellite chat -m openai:gpt-4o-mini -s 'Answer in verse.'"),
)
@asking_options
@click.option(
    "--tool", "tools", multiple=True, metavar="MODULE:FUNCTION", help="A function that the model may call; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: each delta, and everything at the end.")
def chat(*, asking: Asking, tools: tuple[str, ...], as_json: bool) -> None:
    """Talk with a model: each line of standard input is a question.

    /help lists the commands, /exit or Ctrl-D ends the chat.
    """
    with errors_shown():
        from ..strategies.conversing.conversation import Conversation

        found = [_tool(name) for name in tools]
        # Without a model, the first question decides under which name answers are looked up in a directory.
        chat = Conversation(asking.backend(""), system=asking.system, tools=found, **asking.options())
        session = _Session(chat, asking, as_json=as_json)
        if sys.stdin.isatty() and sys.stdout.isatty():
            session.on_terminal()
        else:
            session.in_pipe()


def _tool(name: str) -> Any:
    """Import a tool.

    Raises:
        ConfigurationError: if there is no such function.
    """
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        msg = f"--tool {name}: write MODULE:FUNCTION, as in --tool weather:get_weather"
        raise ConfigurationError(msg)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        msg = f"--tool {name}: {error}"
        raise ConfigurationError(msg) from error
    return found


class _Session:
    """A conversation that goes on line by line.

    Args:
        chat: what was said so far.
        asking: gives the backend, for a first question and for another model.
        as_json: whether to print JSON lines.
    """

    def __init__(self, chat: Conversation, asking: Asking, *, as_json: bool) -> None:
        self._chat = chat
        self._asking = asking
        self._is_chosen = False
        self._as_json = as_json
        self._is_on_terminal = False
        self._commands: Mapping[str, Callable[[str], str]] = {
            "/help": lambda _: _HELP,
            "/load": self._load,
            "/model": self._model,
            "/save": self._save,
        }

    def in_pipe(self) -> None:
        """Answer each line; the first error ends it."""
        try:
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(errors="strict")  # in the C locale, Python takes halves of characters for text
            for line in sys.stdin:
                if not self._take(line.strip()):
                    return
        except UnicodeDecodeError as error:
            msg = f"standard input is not {error.encoding}: {error.reason} at byte {error.start}"
            raise InvalidRequest(msg) from error

    def on_terminal(self) -> None:
        """Ask for lines until Ctrl-D; errors are shown, and the chat goes on."""
        with suppress(ImportError):  # Windows has none
            importlib.import_module("readline")  # gives `input` its editing and history
        self._is_on_terminal = True
        while True:
            try:
                line = input("> ")
            except EOFError:
                click.echo()
                return
            except KeyboardInterrupt:
                click.echo("\n(Ctrl-D ends the chat)")
                continue
            try:
                if not self._take(line.strip()):
                    return
            except MelliteError as error:
                click.echo(f"mellite: {error}", err=True)

    def _take(self, line: str) -> bool:
        """Do what a line says: a command, or a question. Return whether the chat goes on."""
        if not line.startswith("/") or line.startswith("//"):
            if line:
                self._ask(line.removeprefix("/"))
            return True
        if line == _EXIT:
            return False
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            known = sorted([*self._commands, _EXIT])
            msg = f"there is no command {name}; {did_you_mean(name, known, otherwise='the commands are')}"
            raise InvalidRequest(msg)
        click.echo(command(argument.strip()), err=True)
        return True

    def _ask(self, question: str) -> None:
        if not self._is_chosen and not self._chat.messages:
            self._chat = self._changed(backend=self._asking.backend(question))
        answer = self._chat.ask(question)
        try:
            with self._calls_shown():
                print_stream(answer, self._as_json)
        except KeyboardInterrupt:
            stop(answer)
            if not self._is_on_terminal:
                raise
            click.echo("\n(stopped)", err=True)
            self._chat = self._with_partial(question, answer)
            return
        except MelliteError:
            if answer.partial and not self._as_json:
                click.echo()  # the error stands on a line of its own
            raise
        if self._as_json:
            print_json(summary(answer))
        self._chat = self._chat.after(answer)

    def _calls_shown(self) -> AbstractContextManager[None]:
        """Show what tools are called inside the block, if there are any."""
        if not self._chat.tools:
            return nullcontext()
        from ..thunk.observing import using
        from .shown_calls import ShownCalls

        return using(ShownCalls(on_terminal=self._is_on_terminal))

    def _with_partial(self, question: str, answer: AnyThunk) -> Conversation:
        """Return the conversation with the arrived part of an answer that was stopped; unchanged if nothing arrived."""
        from ..values.messages import Message

        if not answer.partial:
            return self._chat
        said = (Message.user(question), Message.assistant(answer.partial))
        return self._changed(messages=(*self._chat.messages, *said))

    def _changed(self, *, backend: Any = None, messages: Any = None) -> Conversation:
        chat = self._chat
        return type(chat).from_messages(
            backend or chat.backend,
            messages or chat.messages,
            system=chat.system or None,
            tools=chat.tools,
            id=chat.id,
            **chat.options,
        )

    def _save(self, name: str) -> str:
        path = _path("/save", name)
        text = self._chat.to_json()
        try:
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        except OSError as error:
            msg = f"cannot write {name!r}: {error.strerror or error}"
            raise InvalidRequest(msg) from error
        return f"saved {counted(len(self._chat.messages), 'message')} to {name}"

    def _load(self, name: str) -> str:
        try:
            text = _path("/load", name).read_text(encoding="utf-8", errors="surrogatepass")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"cannot read {name!r}: {getattr(error, 'strerror', None) or error}"
            raise InvalidRequest(msg) from error
        chat = self._chat
        self._chat = type(chat).from_json(text, backend=chat.backend, tools=chat.tools)
        return f"loaded {counted(len(self._chat.messages), 'message')} from {name}"

    def _model(self, name: str) -> str:
        if not name:
            msg = "say which model: /model PROVIDER:MODEL"
            raise InvalidRequest(msg)
        self._chat, self._is_chosen = self._changed(backend=self._asking.live(name)), True
        return f"asking {name} from now on"


def _path(command: str, name: str) -> Path:
    if not name:
        msg = f"say which file: {command} FILE"
        raise InvalidRequest(msg)
    return Path(os.path.expanduser(name))  # pathlib's raises for a user who has no home folder
