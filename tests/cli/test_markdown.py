"""Answers of `mellite generate` as Markdown: on a terminal by default, and as they grow; plain in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from mellite.cassettes.text import djb2_key
from tests.cli.programs import COMMAND, ROOT, invoked
from tests.terminal import on_terminal

QUESTION = "Which rivers are long?"
ANSWER = """# Rivers

The *longest* of the world,
line by line:

1. The **Nile**
2. The Amazon

   which some hold longer

| river | km |
|---|---|
| Nile | 6650 |

```python
def length(river):
    return 6650
```

<div>
<b>HTML</b> is text.
</div>

See [the list](https://example.com/rivers). \x1b[31mNot red.
"""
DRAWN = """Rivers

The longest of the world,
line by line:

 1 The Nile
 2 The Amazon
   which some hold longer

 river  km
 ───────────
 Nile   6650

 def length(river):
     return 6650

<div>
<b>HTML</b> is text.
</div>

See the list (https://example.com/rivers). \ufffd[31mNot red."""


@pytest.fixture
def texts(tmp_path: Path) -> str:
    """A directory with the answer."""
    (tmp_path / f"{djb2_key('openai', '', QUESTION)}.txt").write_bytes(ANSWER.encode())
    return str(tmp_path)


@pytest.mark.parametrize("how", [[], ["--stream"]], ids=["whole", "streamed"])
def test_on_a_terminal(texts: str, how: list[str]) -> None:
    """The answer is drawn, and nothing of how it grew is left."""
    seen = on_terminal([*COMMAND, "generate", QUESTION, "--cassette-dir", texts, *how], PYTHONPATH=str(ROOT))
    assert seen.code == 0
    shown = [line for line in "\n".join(seen.screen).split("\n") if line.strip()]
    assert [line.strip() for line in shown] == [line.strip() for line in DRAWN.split("\n") if line.strip()]
    if how:
        assert "\n".join(seen.screen).lstrip() == DRAWN


@pytest.mark.parametrize(("more", "kind"), [(["--plain", "--stream"], "xterm"), ([], "dumb")])
def test_plain_on_a_terminal(texts: str, more: list[str], kind: str) -> None:
    """As it is, where that is asked for, and on a terminal that cannot go back."""
    seen = on_terminal(
        [*COMMAND, "generate", QUESTION, "--cassette-dir", texts, *more], PYTHONPATH=str(ROOT), TERM=kind
    )
    assert (seen.code, "| Nile | 6650 |" in seen.plain, "**Nile**" in seen.plain) == (0, True, True)


def test_in_a_pipe(texts: str) -> None:
    """Plain by default; drawn without colours where that is asked for; never beside JSON."""
    asked = ("generate", QUESTION, "--cassette-dir", texts)
    plain = ANSWER.replace("\x1b[31m", "")  # click leaves out of pipes what would steer a terminal
    assert invoked(*asked).out == plain
    for how in ((), ("--stream",)):
        ran = invoked(*asked, "--markdown", *how, COLUMNS="90")
        assert (ran.code, ran.out.split("\n")[0].strip(), "\x1b" in ran.out) == (0, "Rivers", False)
        assert " 1 The Nile\n" in "\n".join([line.rstrip() for line in ran.out.split("\n")])
    refused = invoked(*asked, "--markdown", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "--json and --markdown" in refused.err
    assert invoked(*asked, "--plain", "--json").json["text"] == ANSWER.rstrip("\n")
