"""`mellite batch`: ask about each row of a file in batches, at half the price, and fetch the answers hours later."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..values.errors import InvalidRequest
from ..values.portrait import counted
from .asking import Asking, live_options
from .examples import examples
from .output import errors_shown, print_json
from .prompts_of_rows import beside, prompt_of
from .rows import check_writable, rows_in

if TYPE_CHECKING:
    from ..engine.batch import BatchStatus, Estimate
    from ..thunk.thunk import AnyThunk

__all__ = ["batch_group"]

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, one for each batch.")
_one_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_template = click.option("--template", metavar="TEXT", help="The prompt, with columns as {question}.")
_column = click.option("--column", metavar="NAME", help="The column that is the prompt; prompt unless given.")


@click.group("batch")
def batch_group() -> None:
    """Ask in batches, at half the price; answers come within hours.

    DIR is the directory of a journal, which keeps the batches, and their answers once fetched. Keys are read from the
    environment.
    """


@batch_group.command("submit", epilog=examples("mellite batch submit rows.csv -m openai:gpt-4o-mini --journal night"))
@click.argument("file")
@live_options
@_template
@_column
@click.option("--journal", required=True, metavar="DIR", help="Where batches and answers are kept.")
@_json
def submit_command(*, file: str, asking: Asking, **given: Any) -> None:
    """Submit the rows of FILE in batches.

    FILE is .csv, .jsonl or .parquet; "-" is JSON lines on standard input.
    """
    from ..engine.batch import submit

    with errors_shown():
        made = _run(partial(submit, _thunks(file, asking, given), journal=given["journal"]))
        _show(made, as_json=given["as_json"])


@batch_group.command("status", epilog=examples("mellite batch status night"))
@click.argument("directory", metavar="DIR")
@_json
def status_command(*, directory: str, as_json: bool) -> None:
    """Show how far the batches of DIR are."""
    from ..engine.batch import status

    with errors_shown():
        _show(_run(partial(status, directory)), as_json=as_json)


@batch_group.command("fetch", epilog=examples("mellite batch fetch night --wait --out answers.csv"))
@click.argument("directory", metavar="DIR")
@click.option("--out", required=True, metavar="FILE", help="Where answers go: .jsonl, .csv, .parquet.")
@click.option("--wait", is_flag=True, help="Wait until all batches have ended.")
@_one_json
def fetch_command(*, directory: str, out: str, wait: bool, as_json: bool) -> None:
    """Write the answers of the batches of DIR that have ended.

    Each answer stands beside its row. Exits with 1 if some rows failed.
    """
    from ..engine.batch import fetch
    from ..engine.collected import answer_of, rows_file

    with errors_shown():
        check_writable(out)
        file = rows_file(out)
        file.begin()
        try:
            for thunk in _run(partial(fetch, directory, wait=wait)):
                row = thunk.call.request.metadata.get("row")
                kept = row if isinstance(row, Mapping) else {"prompt": thunk.call.request.text}
                file.write({**beside(kept), **answer_of(thunk)}, failed=thunk.state != "done")
        except BaseException:
            file.abandon()
            raise
        written = file.finish()
        if as_json:
            print_json({"path": written.path, "rows": written.rows, "failed": written.failed})
        else:
            told = f"{counted(written.rows, 'row')} written to {written.path}, {written.failed:,} of them failed"
            click.echo(told, err=True)
    sys.exit(int(written.failed > 0))


@batch_group.command("cancel", epilog=examples("mellite batch cancel night"))
@click.argument("directory", metavar="DIR")
@_json
def cancel_command(*, directory: str, as_json: bool) -> None:
    """Cancel the batches of DIR that have not ended."""
    from ..engine.batch import cancel

    with errors_shown():
        _show(_run(partial(cancel, directory)), as_json=as_json)


@batch_group.command("estimate", epilog=examples("mellite batch estimate rows.csv -m openai:gpt-4o-mini"))
@click.argument("file")
@live_options
@_template
@_column
@_one_json
def estimate_command(*, file: str, asking: Asking, **given: Any) -> None:
    """Estimate the number and the cost of the batches for FILE.

    FILE is .csv, .jsonl or .parquet; "-" is JSON lines on standard input. Nothing is sent.
    """
    from ..engine.batch import estimate

    with errors_shown():
        found: Estimate = _run(partial(estimate, _thunks(file, asking, given)))
        facts = {
            "requests": found.requests,
            "batches": found.batches,
            "bytes": found.bytes,
            "input_tokens": found.input_tokens,
            "output_tokens": found.output_tokens,
            "live_usd": None if found.live_usd is None else float(found.live_usd),
            "batch_usd": None if found.batch_usd is None else float(found.batch_usd),
            "saving_usd": None if found.saving_usd is None else float(found.saving_usd),
        }
        if given["as_json"]:
            print_json(facts)
            return
        batches = f"{found.batches:,} batch{'' if found.batches == 1 else 'es'}"
        click.echo(f"{counted(found.requests, 'request')} in {batches}, {counted(found.bytes, 'byte')}")
        click.echo(f"{found.input_tokens:,} tokens of input, at most {found.output_tokens:,} of output, as estimated")
        told = [f"{name} {'unknown' if cost is None else f'${cost:,.4f}'}" for name, cost in _costs(found)]
        click.echo(", ".join(told))


def _costs(found: Estimate) -> Iterator[tuple[str, Any]]:
    yield "in single calls", found.live_usd
    yield "in batches", found.batch_usd
    yield "saved", found.saving_usd


def _thunks(file: str, asking: Asking, given: Mapping[str, Any]) -> Iterator[AnyThunk]:
    if given["template"] is not None and given["column"] is not None:
        msg = "--template and --column both say what the prompt is: leave one out"
        raise InvalidRequest(msg, parameter="template")
    options = asking.options()
    backend = None
    for number, row in enumerate(rows_in(file), 1):
        prompt = prompt_of(row, number, template=given["template"], column=given["column"])
        backend = asking.backend(prompt) if backend is None else backend
        yield backend.generate(prompt, system=asking.system, metadata={"row": dict(row)}, **options)


def _run(call: Any) -> Any:
    import anyio

    return anyio.run(call)


def _show(found: list[BatchStatus], *, as_json: bool) -> None:
    for each in found:
        if as_json:
            print_json(
                {
                    "batch_id": each.batch_id,
                    "provider": each.provider,
                    "model": each.model,
                    "state": each.state,
                    "requests": each.requests,
                    "succeeded": each.succeeded,
                    "failed": each.failed,
                    "fetched": each.is_fetched,
                    "message": each.message,
                }
            )
            continue
        counts = f"{counted(each.requests, 'request')}, {each.succeeded:,} answered, {each.failed:,} failed"
        told = f" ({each.message})" if each.message else ""
        state = f"{each.state}, fetched" if each.is_fetched else each.state
        name = each.batch_id or "(not sent)"
        click.echo(f"{name}  {each.provider}:{each.model}  {state}  {counts}{told}")
