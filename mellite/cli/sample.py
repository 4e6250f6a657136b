"""`mellite sample`: send a prompt several times, judge the answers, and print the one that a strategy chooses."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..values.errors import InvalidRequest
from .asking import CASSETTE_DIR, MODEL, Asking
from .examples import examples
from .output import encodable, errors_shown
from .requirements import HELP, requirements_of
from .standard_input import given_text

if TYPE_CHECKING:
    from ..strategies.requirements import Requirement
    from ..strategies.sampling import SamplingResult, Strategy
    from ..thunk.thunk import ModelOutputThunk

__all__ = ["sample"]

#: The values of ``--strategy``: the strategy, and whether it takes the number of samples first.
STRATEGIES: Final = {
    "rejection": ("RejectionSampling", False),
    "repair": ("RepairSampling", False),
    "multi-turn-repair": ("MultiTurnRepair", False),
    "model-friendly-repair": ("ModelFriendlyRepair", False),
    "best-of-n": ("BestOfN", True),
    "majority": ("MajorityVote", True),
    "minimum-bayes-risk": ("MinimumBayesRisk", True),
}


@click.command(
    epilog=examples(
        'mellite sample --require json "List three rivers as JSON."',
        'mellite sample --strategy majority -n 5 --key numeric "What is 17 * 23?"',
    ),
)
@click.argument("prompt")
@click.option("-n", "--samples", type=int, default=3, show_default=True, help="How many answers at most.")
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    default="rejection",
    show_default=True,
    metavar="NAME",
    help=f"How to choose an answer: {', '.join(STRATEGIES)}.",
)
@click.option("--require", "requires", multiple=True, metavar="NAME[=VALUE]", help=HELP)
@click.option(
    "--key", type=click.Choice(["exact", "numeric"]), help="What makes two answers the same vote, for majority."
)
@MODEL
@click.option("--temperature", type=float, help="The temperature, if not the provider's default.")
@click.option(
    "--concurrency", type=int, help="How many to ask at once; by default 1, or all for strategies that compare answers."
)
@click.option("--max-tokens", type=int, help="Stop when all answers together have used this many tokens.")
@click.option("--max-usd", metavar="USD", help="Stop when all answers together have cost this much.")
@click.option("--deadline", type=float, metavar="SECONDS", help="Stop after this time, with the best answer so far.")
@click.option("--progress", is_flag=True, help="Show a bar while it runs, on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every sample.")
@CASSETTE_DIR
def sample(
    *,
    prompt: str,
    samples: int,
    strategy: str,
    requires: tuple[str, ...],
    key: str | None,
    model: str | None,
    temperature: float | None,
    progress: bool,
    as_json: bool,
    cassette_dir: str | None,
    **budgets: Any,
) -> None:
    """Ask PROMPT several times, and print the best answer.

    "-" reads PROMPT from standard input. Exits with 1 if no answer meets the requirements; --json prints the nearest
    one all the same.
    """
    with errors_shown():
        if not requires and not STRATEGIES[strategy][1]:
            msg = (
                f"--strategy {strategy} needs a --require, such as --require json: nothing else can fail; or take "
                "--strategy majority, which compares the answers"
            )
            raise InvalidRequest(msg, parameter="require")
        text = given_text() if prompt == "-" else prompt
        given = {name: value for name, value in budgets.items() if value is not None}
        chosen = _strategy(strategy, samples, key, given)
        required = requirements_of(requires)
        thunk = Asking(model=model, cassette_dir=cassette_dir).backend(text).generate(text, temperature=temperature)
        result = _sampled(chosen, thunk, required, progress=progress)
    _print(result, as_json=as_json)
    if not result.success:
        click.echo(f"mellite: none of {result.attempts} samples was good enough ({result.stop_reason})", err=True)
        sys.exit(1)


def _strategy(name: str, samples: int, key: str | None, budgets: dict[str, Any]) -> Strategy:
    from ..strategies import sampling

    kind, counts = STRATEGIES[name]
    if key is not None:
        if name != "majority":
            msg = f"--key is for --strategy majority, not for {name}"
            raise InvalidRequest(msg, parameter="key")
        budgets = {**budgets, "key": key}
    make = getattr(sampling, kind)
    made: Strategy = make(samples, **budgets) if counts else make(max_samples=samples, **budgets)
    return made


def _sampled(
    strategy: Strategy, thunk: ModelOutputThunk[str], required: list[Requirement], *, progress: bool
) -> SamplingResult[str]:
    import anyio

    return anyio.run(partial(strategy.sample, thunk, required, progress=progress))


def _print(result: SamplingResult[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(result.to_json())
        return
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(result)
    if result.success:
        click.echo(encodable(result.value or ""))
