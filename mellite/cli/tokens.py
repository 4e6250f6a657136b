"""`mellite tokens`: how many tokens a text has."""

from __future__ import annotations

import click

from .examples import examples
from .output import errors_shown, print_json
from .standard_input import given_text

__all__ = ["tokens"]


@click.command(
    epilog=examples('mellite tokens "The sky is blue."', "mellite tokens -m gpt-4o - <prompt.txt"),
)
@click.argument("text")
@click.option("-m", "--model", metavar="MODEL", help="The model whose tokens to count, with or without its provider.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tokens(*, text: str, model: str | None, as_json: bool) -> None:
    """Count the tokens of TEXT; "-" reads it from standard input.

    Whether it is an estimate is said on standard error.
    """
    from ..values.tokens import count_tokens

    with errors_shown():
        count = count_tokens(given_text() if text == "-" else text, model=model)
    if as_json:
        print_json({"tokens": count, "exact": count.exact, "model": model})
        return
    click.echo(str(int(count)))
    if not count.exact:
        click.echo(f"mellite: an estimate; {_why(model)}", err=True)


def _why(model: str | None) -> str:
    if model is None:
        return "name a model to have its own tokenizer count, where one is installed"
    from ..values.tokenizers import vocabulary_of

    if vocabulary_of(model) is not None:
        return f"for the tokenizer of {model!r}: pip install 'mellite[tokens]'"
    return f"no tokenizer of {model!r} is in any package"
