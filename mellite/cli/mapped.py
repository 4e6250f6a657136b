"""`mellite map`: ask a model about each row of a file, and write the answers beside the rows."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, final

import click

from ..values.errors import BudgetSpent, InvalidRequest
from ..values.portrait import counted
from .asking import Asking, asking_options
from .examples import examples
from .numbers import ABOVE_0, FROM_0
from .output import errors_shown, print_json
from .prompts_of_rows import beside, prompt_of
from .rows import check_writable, column_types_in, count_rows, rows_in
from .stopping import STOPS, Terminated, exit_code_of, terminable, unstopped

if TYPE_CHECKING:
    from ..engine.collected import RowsFile
    from ..engine.mapping import Map
    from ..thunk.thunk import AnyThunk

__all__ = ["map_command"]

_SPENT: Final = 3

_WITH_WORKERS: Final = ("dask", "ray")

#: Between two lines of --json, in seconds.
_EVERY: Final = 1.0


@click.command(
    "map",
    epilog=examples(
        "mellite map questions.csv --column question --out answers.csv",
        "mellite map rows.jsonl --template 'Say {text}' --out a.jsonl --journal run",
        "mellite map rows.parquet --out a.parquet --on dask --workers 4",
    ),
)
@click.argument("file")
@asking_options
@click.option("--out", required=True, metavar="FILE", help="Where answers go: .jsonl, .csv, .parquet.")
@click.option("--template", metavar="TEXT", help="The prompt, with columns as {question}.")
@click.option("--column", metavar="NAME", help="The column that is the prompt; prompt unless given.")
@click.option(
    "--on",
    default="local",
    show_default=True,
    type=click.Choice(["local", "dask", "ray", "batch"]),
    help="How the calls are made: in this process, on workers of Dask or Ray, or in batches at half the price.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A cluster, for --on dask or ray; without it, this machine.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many processes, for --on dask or ray.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    default=256,
    show_default=True,
    help="How many run at once.",
)
@click.option("--rpm", type=ABOVE_0, metavar="N", help="The most requests a minute.")
@click.option("--tpm", type=ABOVE_0, metavar="N", help="The most tokens a minute.")
@click.option("--max-usd", type=FROM_0, metavar="USD", help="Begin no more calls once this much is spent.")
@click.option("--journal", metavar="DIR", help="Keep each answer in DIR; a second run asks only what is missing there.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows.")
@click.option("--json", "as_json", is_flag=True, help="Print the progress as JSON lines.")
def map_command(*, file: str, asking: Asking, **given: Any) -> None:
    """Ask a model about each row of FILE.

    FILE is .csv, .jsonl or .parquet; "-" is JSON lines on standard input. A row of --out is the row of FILE and text,
    error_type, error, model, finish_reason, input_tokens, output_tokens, cost_usd and duration_ms; a column of FILE
    with such a name becomes input_text and so on. The file is written once all rows have settled. Exits with 1 if some
    rows failed, 3 if the budget is spent, 130 on Ctrl-C, 143 on SIGTERM; rows settled by then are written.
    """
    with errors_shown(), terminable():
        code = _Mapping(file, asking, given).run()
    sys.exit(code)


@final
class _Mapping:
    """One run of the command."""

    def __init__(self, file: str, asking: Asking, given: Mapping[str, Any]) -> None:
        from ..engine.collected import rows_file

        if given["template"] is not None and given["column"] is not None:
            msg = "--template and --column both say what the prompt is: leave one out"
            raise InvalidRequest(msg, parameter="template")
        check_writable(given["out"], file)
        self._given = given
        self._asking = asking
        self._rows = islice(rows_in(file), given["limit"])
        self._total = count_rows(file, given["limit"])
        self._options = asking.options()
        types = column_types_in(file) if given["out"].lower().endswith(".parquet") else {}
        self._out: RowsFile = rows_file(given["out"], beside(types))
        self._of: dict[int, Mapping[str, Any]] = {}  # by the id of a thunk in progress, the row that it is of
        self._began = self._said = time.monotonic()
        self._failure: Exception | None = None  # the first one

    def run(self) -> int:
        """Ask about all rows; return the exit code."""
        from ..engine.engines import engine_named
        from ..engine.mapping import map as mapping

        for name in ("scheduler", "workers"):
            if self._given[name] is not None and self._given["on"] not in _WITH_WORKERS:
                msg = f"--{name} is for --on dask and --on ray, which have workers, not for --on {self._given['on']}"
                raise InvalidRequest(msg, parameter=name)
        engine = engine_named(self._given["on"], self._given["scheduler"], self._given["workers"])
        try:
            mapped = mapping(
                self._thunks() if self._total is None else _Counted(self._thunks(), self._total),
                on=engine,
                journal=self._given["journal"],
                limits=self._limits(),
                concurrency=self._given["concurrency"],
                progress=not self._given["as_json"],
            )
            self._out.begin()
            code = self._settle(mapped)
            with unstopped():
                written = self._out.finish()
                engine.linger_in_thread()
        except BaseException:
            with unstopped():
                self._keep()
            raise
        self._say(mapped, written.rows)
        if written.failed and not self._given["as_json"]:
            why = "" if self._failure is None else f"; the first error: {self._failure}"
            click.echo(f"mellite: {written.failed:,} of them failed{why}", err=True)
        return code or int(written.failed > 0)

    def _keep(self) -> None:
        """Have what was paid for not lost by what came after it."""
        if not self._out.rows:
            self._out.abandon()
            return
        written = self._out.finish()
        told = f"mellite: {counted(written.rows, 'row')} had settled before, now in {written.path}"
        click.echo(told, err=True)

    def _limits(self) -> list[Any]:
        from ..backends.wrappers.quotas import Budget, Rate

        rpm, tpm, usd = (self._given[name] for name in ("rpm", "tpm", "max_usd"))
        limits: list[Any] = []
        if rpm is not None or tpm is not None:
            rates = [None if rate is None else float(rate) for rate in (rpm, tpm)]
            limits.append(Rate(requests_per_minute=rates[0], tokens_per_minute=rates[1]))
        if usd is not None:
            limits.append(Budget(usd=usd))
        return limits

    def _thunks(self) -> Iterator[AnyThunk]:
        backend = None
        for number, row in enumerate(self._rows, 1):
            prompt = prompt_of(row, number, template=self._given["template"], column=self._given["column"])
            backend = self._asking.backend(prompt) if backend is None else backend
            thunk = backend.generate(prompt, system=self._asking.system, **self._options)
            self._of[id(thunk)] = row
            yield thunk

    def _settle(self, mapped: Map[Any]) -> int:
        try:
            with mapped:
                for thunk in mapped:
                    self._failure = self._failure or thunk.error
                    row = beside(self._of.pop(id(thunk)))
                    self._out.write({**row, **_answer(thunk)}, failed=thunk.state != "done")
                    if self._given["as_json"] and time.monotonic() - self._said >= _EVERY:
                        self._say(mapped, None)
        except BudgetSpent as error:
            click.echo(f"mellite: {error}", err=True)
            return _SPENT
        except KeyboardInterrupt as stop:
            for number in STOPS:  # another one would break into what ends by itself
                signal.signal(number, signal.SIG_IGN)
            by = "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"
            click.echo(f"mellite: stopped by {by}; what had settled is written", err=True)
            return exit_code_of(stop)
        return 0

    def _say(self, mapped: Map[Any], rows: int | None) -> None:
        if not self._given["as_json"]:
            if rows is not None:
                click.echo(f"{counted(rows, 'row')} written to {self._given['out']}", err=True)
            return
        self._said = now = time.monotonic()
        counts, cost, usage = mapped.counts, mapped.cost_usd, mapped.usage
        settled = counts["done"] + counts["failed"] + counts["cancelled"]
        total = self._total if rows is None else settled
        projected = None if cost is None or not settled or total is None else float(cost * total / settled)
        print_json(
            {
                **counts,
                "total": total,
                "failures": mapped.failures,
                "per_second": round(settled / max(now - self._began, 1e-6), 2),
                "input_tokens": None if usage is None else usage.input_tokens,
                "output_tokens": None if usage is None else usage.output_tokens,
                "cost_usd": None if cost is None else float(cost),
                "projected_usd": projected,
                "limits": mapped.limits,
                "workers": mapped.workers,
                "rows": rows,
            }
        )
        sys.stdout.flush()


@final
class _Counted:
    """Thunks that are made as they are needed, and whose number is known."""

    def __init__(self, thunks: Iterator[AnyThunk], count: int) -> None:
        self._thunks = thunks
        self._count = count

    def __iter__(self) -> Iterator[AnyThunk]:
        return self._thunks

    def __len__(self) -> int:
        return self._count


def _answer(thunk: AnyThunk) -> dict[str, Any]:
    from ..engine.collected import answer_of

    return answer_of(thunk)
